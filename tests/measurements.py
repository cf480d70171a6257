"""Trials as they would be measured: what each remedy does, as a test wants it."""

import math
from collections.abc import Iterable, Mapping

from prunescope.artifacts.diagnosis import DiagnosisReport, Remedy
from prunescope.artifacts.trials import Candidate, Distance, Effect, LessText, Trials, TriedText
from prunescope.config.candidates import needs_no_pass
from prunescope.config.patches import leaves
from prunescope.diagnosis.trials import ranked

OWN, WIDTH, WINDOWS = 100.0, 0.05, 16
START = "snakemake --cores all results/SmolLM2-135M"
GATE = {"name": "gate_T0", "kind": "criterion", "patch": {"method": {"criterion": "gate"}}}


def tried(report: DiagnosisReport) -> dict[str, Remedy]:
    """Return the remedies of a report that a trial measures, by kind."""
    remedies = [remedy for finding in report.diagnosis for remedy in finding.remedies]
    return {one.kind: one for one in remedies if all(needs_no_pass(path) for path, _ in leaves(one.patch))}


def candidate(ratio: float | str, texts: Iterable[str] = ("wiki",), width=WIDTH, **told) -> Candidate:
    """A candidate of this ratio, with an interval of `width` to each side; or the reason why it has none."""
    told = {"experiment": None, "command": None} | told
    if isinstance(ratio, str):
        return Candidate(**told, reason=ratio)
    bounds = {"ratio": ratio, "low": ratio * (1 - width), "high": ratio * (1 + width)}
    change, low, high = (round(math.log(value), 6) for value in bounds.values())
    distance = Distance(kl=2 + change, change=change, low=low, high=high)
    effects = {text: Effect(**bounds, perplexity=OWN * ratio, kl=0.1) for text in texts}
    return Candidate(**{"plan": told["name"]} | told, texts=effects, **bounds, distance=distance)


def trials(
    remedies: Mapping[str, Remedy],
    ratios: Mapping[str, float | str],
    *more: Candidate,
    seconds=40.0,
    texts=("wiki",),
    **told,
) -> Trials:
    """A trial of an experiment and of some of its remedies, by kind, as `candidate`; and of what else is given."""
    own = candidate(
        1.0, texts, width=0, name="own", kind="experiment", patch={}, experiment="me", command=f"{START}/me"
    )
    found = [
        candidate(
            ratio, texts, name=kind, **remedies[kind].model_dump(include={"kind", "patch", "experiment", "command"})
        )
        for kind, ratio in ratios.items()
    ]
    shown = dict.fromkeys(texts, TriedText(windows=WINDOWS, tokens=WINDOWS * 127, dense=20.0))
    return ranked([own, *found, *more], shown, {}, seconds).model_copy(update=told)


def half(ratio: float, width=WIDTH, samples=16, of=32) -> LessText:
    """What half of the calibration text does, as `candidate`."""
    found = candidate(ratio, width=width, name="half", kind="half", patch={})
    return LessText(samples=samples, of=of, ratio=ratio, distance=found.distance)
