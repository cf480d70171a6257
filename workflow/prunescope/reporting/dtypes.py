"""The dtypes that an experiment was computed in.

`dtype: auto` means bfloat16 on one machine and float32 on another, so results under one key may differ by rounding.
"""

from collections.abc import Mapping

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
    found = []
    for step in TABLE:
        names = _grouped({name: known[step] for name, known in experiments.items() if step in known})
        if len(names) > 1:
            said = (f"{dtype} ({those})" for dtype, those in names.items())
            found.append(f"{_label(step)} in {' and '.join(said)}")
    for pair in PAIRS:
        both = {name: {step: known[step] for step in pair if step in known} for name, known in experiments.items()}
        names = _grouped({name: in_words(known) for name, known in both.items() if len(set(known.values())) > 1})
        found += [f"{said} ({those})" for said, those in names.items()]
    if not found:
        return None
    return f"Computed in different dtypes, so that small differences may be rounding: {'; '.join(found)}."


def _grouped(values: Mapping[str, str]) -> dict[str, str]:
    """Return the experiments of each value, as text."""
    names: dict[str, list[str]] = {}
    for name, value in values.items():
        names.setdefault(value, []).append(f"`{name}`")
    return {value: ", ".join(those) for value, those in names.items()}


def _label(step: str) -> str:
    return step.replace("_", " ")
