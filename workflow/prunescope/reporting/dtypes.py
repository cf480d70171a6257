"""The dtypes that an experiment was computed in.

`dtype: auto` means bfloat16 on one machine and float32 on another, so results under one key may differ by rounding.
"""

from collections.abc import Iterator, Mapping

from prunescope.artifacts.card import ProtocolCard
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.steps.table import TABLE

PAIRS = (
    ("gradients", "removal"),
    ("baseline", "evaluation"),
    ("evaluation", "recovered"),
    ("zeroshot_baseline", "zeroshot"),
)
"""Steps whose numbers are combined or compared within an experiment."""


def read_dtypes(folder: ExperimentFolder) -> dict[str, str]:
    """Return the dtype of each step of an experiment that computed with the model.

    Of a plan that was applied by hand only those of the perplexities are known.
    """
    if folder.card.exists():
        return dtypes_of(folder.card.read())
    report = folder.perplexity.read()
    before = {result.dtype for protocols in report.baseline.values() for result in protocols.values()}
    return {"baseline": " and ".join(sorted(before)), "evaluation": report.settings.dtype}


def dtypes_of(card: ProtocolCard) -> dict[str, str]:
    """Return the dtype of each step that tells it, in the order of the pipeline."""
    found = {step: card.compute[step].dtype for step in TABLE if step in card.compute}
    return {step: dtype for step, dtype in found.items() if dtype}


def computed_in(card: ProtocolCard) -> str:
    """Return a sentence with the dtypes of an experiment, and one more where they should be the same and are not."""
    return "\n\n".join(filter(None, [f"Computed with {in_words(dtypes_of(card))}.", mixed_within(card)]))


def mixed_within(card: ProtocolCard) -> str | None:
    """Return `mixed_dtypes` of one experiment."""
    return mixed_dtypes({card.experiment.rpartition("/")[2]: dtypes_of(card)})


def in_words(dtypes: Mapping[str, str]) -> str:
    """Return ``gradients in bfloat16, baseline in float32``."""
    return ", ".join(f"{_label(step)} in {dtype}" for step, dtype in dtypes.items())


def mixed_dtypes(experiments: Mapping[str, Mapping[str, str]]) -> str | None:
    """Return a line that names the numbers that were computed in different dtypes; None where there are none.

    Compared are each step between experiments, and `PAIRS` within one.

    Args:
        experiments: dtype by step, by name of the experiment.
    """
    found = [*_between(experiments), *_within(experiments)]
    if not found:
        return None
    return f"Computed in different dtypes, so that small differences may be rounding: {'; '.join(found)}."


def _between(experiments: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for step in TABLE:
        names: dict[str, list[str]] = {}
        for name, known in experiments.items():
            if step in known:
                names.setdefault(known[step], []).append(name)
        if len(names) > 1:
            yield f"{_label(step)} in " + " and ".join(f"{dtype} ({_listed(names[dtype])})" for dtype in names)


def _within(experiments: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for pair in PAIRS:
        names: dict[str, list[str]] = {}
        for name, known in experiments.items():
            both = {step: known[step] for step in pair if step in known}
            if len(set(both.values())) > 1:
                names.setdefault(in_words(both), []).append(name)
        yield from (f"{said} ({_listed(those)})" for said, those in names.items())


def _label(step: str) -> str:
    return step.replace("_", " ")


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
