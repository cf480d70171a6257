"""Reading what a diagnosis rests on, from the files of the pipeline or from the numbers of another program."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prunescope.artifacts.diagnosis import ComparedStability
from prunescope.artifacts.stability import Stability
from prunescope.artifacts.summary import BoundLimit, NegativeDelta
from prunescope.config.messages import sentence
from prunescope.config.sections import Limits
from prunescope.criteria import CRITERIA
from prunescope.diagnosis.evidence import STATISTICS, Rates, Statistics
from prunescope.diagnosis.replay_files import read_document
from prunescope.diagnosis.replay_numbers import finite
from prunescope.diagnosis.replay_rates import rates_of
from prunescope.diagnosis.replay_statistics import gradients_of
from prunescope.errors import DataError

Content = TypeVar("Content", bound=BaseModel)

BlockName = Annotated[str, Field(pattern=r"^\d+\.(attention|mlp|layer)$")]


class _Bound(BoundLimit):
    blocks: list[BlockName]


class _Decided(BaseModel):
    """What `pruning_summary.json` says beside rates; other programs say none of it."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    target_ratio: float | None = Field(None, gt=0, lt=1)
    bound: tuple[_Bound, ...] = ()
    collapsed: tuple[BlockName, ...] = ()
    negative_deltas: tuple[NegativeDelta, ...] = ()


def compared_stability(found: Stability, criterion: str) -> ComparedStability | None:
    """Return the stability of a criterion, or of the one that stands for it.

    None where it has none: nothing of a ranking by weights or whole layers is compared.
    """
    wanted = CRITERIA[criterion].stability
    compared = found.others | {found.criterion: found.layers}
    if wanted is None or wanted not in compared:
        return None
    return ComparedStability(criterion=wanted, samples=found.samples, layers=compared[wanted])


def read_statistics(path: Path) -> Statistics:
    """Read `gradient_statistics.json`, or what another program wrote: any of `STATISTICS`, by layer or by parameter.

    Raises:
        DataError: see `read_document` and `gradients_of`.
    """
    found = gradients_of(read_document(path), path)
    frame = pd.DataFrame.from_dict(found.layers, orient="index").reindex(columns=STATISTICS).astype(float)
    broken = (layer for layer, values in found.layers.items() if not finite(values.values()))
    return Statistics(
        layers=frame.rename_axis("layer").sort_index(),
        non_finite=found.non_finite,
        non_finite_layers=tuple(sorted(broken)),
        unweighted=found.unweighted,
    )


def read_rates(path: Path) -> Rates:
    """Read `pruning_summary.json` or `.csv`, or what another program wrote: rates by layer or by block.

    Raises:
        DataError: see `read_document` and `rates_of`; or what the summary says beside rates is not valid.
    """
    content = read_document(path)
    layers, percent = rates_of(content, path)
    summary = content if isinstance(content, dict) else {}
    decided = _validated(_Decided, summary, f"{path}")
    return Rates(
        layers=layers,
        model=_name(summary, "model"),
        experiment=_name(summary, "experiment"),
        target_ratio=decided.target_ratio,
        limits=_validated(Limits, summary["limits"], f"{path}: limits") if "limits" in summary else None,
        bound=decided.bound,
        collapsed=decided.collapsed,
        negative_deltas=decided.negative_deltas,
        percent=percent,
    )


def check_layers(statistics: Statistics, rates: Rates) -> None:
    """Check that statistics and rates can be of one model, which number its layers alike.

    Raises:
        DataError: they have no layer in common, or one of them, or both, seem to count from 1.
    """
    measured, cut = set(statistics.layers.index), set(rates.layers.index)
    (first, last), (first_cut, last_cut) = ((min(layers), max(layers)) for layers in (measured, cut))
    said = f"the statistics are of layers {first} to {last} and the rates of {first_cut} to {last_cut}"
    if not measured & cut:
        raise DataError(f"{said}: no layer has both; give files of one model, with layers numbered from 0 on")
    if len(measured) == len(cut) > 1 and first - first_cut == last - last_cut in (-1, 1):
        raise DataError(f"{said}: one of them seems to count from 1; number the layers from 0 on in both")


def _validated(kind: type[Content], content: Any, where: str) -> Content:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise DataError(sentence(error, kind, where)) from None


def _name(summary: dict[str, Any], what: str) -> str:
    """Return a name for the commands of the report; other programs may keep anything else under its key."""
    name = summary.get(what)
    return name if isinstance(name, str) else ""
