"""How the settings of an experiment were found, on its page, as Markdown."""

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.perplexity import shown
from prunescope.artifacts.search import Found, Search
from prunescope.artifacts.trials import Trials
from prunescope.config.patches import leaves
from prunescope.markdown import table

MATTERS = 5
"""Settings that are named as those that matter."""


def search_section(search: Search, trials: Trials | None) -> str:
    """Return what was found, why it stands, and what came close.

    Args:
        trials: what the trial measured on windows that the search did not use; None: there was none.
    """
    said = [_tried(search), _table(search), _why(search), _confirmed(trials), _knobs(search)]
    if search.winner.experiment:
        said.append(f"The same by name: `{search.winner.experiment}`.")
    said.append(f"All settings that were tried: `{ExperimentFolder.searched.path}`.")
    return "\n\n".join(part for part in said if part)


def _tried(search: Search) -> str:
    windows = " and ".join(f"{text.windows} of {name}" for name, text in search.texts.items())
    said = (
        f"{search.trials} settings were tried on held-out windows ({windows}), {search.whole} of them on all of these; "
        f"{search.impossible} could not be measured. The search made KL(unpruned ‖ pruned) small, the mean of the "
        "texts."
    )
    if search.winner.ranked_kl is not None:
        said += (
            " They were ranked with each block refitted to what it loses itself; the best three, and the best start, "
            "were then refitted as a checkpoint is, and all figures but that of the ranking are of these."
        )
    said += " Time ended it (`search.seconds`)." if search.stopped else ""
    said += f" Kept as configured: {', '.join(f'`{path}`' for path in search.fixed)}." if search.fixed else ""
    return said + "".join(f" Not searched on {name}: {reason}." for name, reason in search.left_out.items())


def _table(search: Search) -> str:
    rows = {"found": search.winner, "next": search.runner_up, "best start": search.start}
    ranked = ("KL ranked by",) if search.winner.ranked_kl is not None else ()
    texts = (f"{name} ({shown(text.dense)} unpruned)" for name, text in search.texts.items())
    columns = ("", "settings", "KL", *ranked, *texts)
    found = [_row(name, one, search) for name, one in rows.items() if one is not None]
    return table(columns, found, "ll" + "r" * (len(columns) - 2))


def _row(name: str, one: Found, search: Search) -> tuple[str, ...]:
    texts = (f"{shown(one.texts[text].perplexity)} ({shown(one.texts[text].ratio)})" for text in search.texts)
    ranked = () if one.ranked_kl is None else (f"{one.ranked_kl:.4f}",)
    return (name, _settings(one), f"{one.kl:.4f}", *ranked, *texts)


def _settings(one: Found) -> str:
    return ", ".join(f"{path.partition('.')[2]} = {value}" for path, value in leaves(one.patch)) or "as configured"


def _why(search: Search) -> str:
    if search.winner.plan == search.start.plan:
        return "One of the settings that the search began with stands: none that was measured on all windows is closer."
    gain = search.gain
    interval = None if gain.low is None or gain.high is None else (gain.low, gain.high)
    return (
        "What stands is closest to the unpruned model on all windows of the search. Its perplexity there, divided by "
        f"that of the best start: {shown(gain.ratio, interval)} (geometric mean of the texts, paired 95 % interval). "
        "These windows chose it, so they flatter it."
    )


def _confirmed(trials: Trials | None) -> str:
    if trials is None or not trials.texts:
        return ""
    texts = trials.own.texts
    windows = " and ".join(f"{text.windows} of {name}" for name, text in trials.texts.items())
    figures = " and ".join(
        f"{shown(effect.perplexity)} on {name} ({shown(trials.texts[name].dense)} unpruned)"
        for name, effect in texts.items()
    )
    return f"On windows that the search did not use ({windows}): {figures}."


def _knobs(search: Search) -> str:
    found = sorted(search.importance.items(), key=lambda knob: -knob[1])[:MATTERS]
    said = ", ".join(f"`{path}` {share:.0%}" for path, share in found)
    return f"What matters for being among the best tenth: {said} (PED-ANOVA)." if found else ""
