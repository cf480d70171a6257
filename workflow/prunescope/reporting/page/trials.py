"""What other settings would do, on the page, as Markdown."""

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.perplexity import shown
from prunescope.artifacts.trials import Candidate, Effect, Trials
from prunescope.markdown import table

SHOWN = 8
"""Settings in the table, beside the experiment itself."""


def trials_section(trials: Trials, repaired: bool = False) -> str:
    """Return where the experiment stands, and a table of the best settings; or why none was tried.

    Args:
        repaired: whether the experiment's weights are repaired after the cut.
    """
    if not trials.texts:
        reasons = "".join(f"\n- {name}: {reason}" for name, reason in trials.left_out.items())
        return f"No other setting was tried, since no text is held out.\n{reasons}"
    windows = " and ".join(f"{text.windows} of {name}" for name, text in trials.texts.items())
    said = [
        f"{trials.measured} settings were tried before the cut, on held-out windows ({windows}). This one is number "
        f"{trials.rank}."
    ]
    rows = [
        (f"{number}", f"`{found.name}`", *(_effect(found.texts[name]) for name in trials.texts), _kl(found))
        for number, found in enumerate(trials.ranked, 1)
        if number <= SHOWN or found.kind == "experiment"
    ]
    columns = ("", "setting", *(f"{name} ({shown(text.dense)} unpruned)" for name, text in trials.texts.items()), "KL")
    said.append(table(columns, rows, "rl" + "r" * (len(trials.texts) + 1)))
    if trials.ridge is not None:
        said.append(
            "All of them, this one too, were refitted before they were measured, each block to what it loses itself. "
            "The refit of the checkpoint also makes up for what the blocks below have lost."
        )
    elif repaired:
        said.append("All of them, this one too, as the cut leaves them, without repair.")
    said.append(
        "Perplexity, and in parentheses its ratio to this experiment's, with the paired 95 % bootstrap interval; KL to "
        "the unpruned model, in nats per position, by which the settings are ranked. All "
        f"settings, and why some were not measured: `{ExperimentFolder.trials.path}`."
    )
    return "\n\n".join(said)


def _kl(found: Candidate) -> str:
    return "" if found.distance is None else f"{found.distance.kl:.2f}"


def _effect(effect: Effect) -> str:
    interval = None if effect.low is None or effect.high is None else (effect.low, effect.high)
    return f"{shown(effect.perplexity)} ({shown(effect.ratio, interval)})"
