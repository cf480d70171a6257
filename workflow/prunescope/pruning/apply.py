"""Take a plan that a person has edited, instead of selecting one."""

from pathlib import Path

import pandas as pd

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.plan import PruningPlan
from prunescope.artifacts.record import recording
from prunescope.config.sections import Limits
from prunescope.errors import DataError
from prunescope.importance.limits import lanes_of, rounding_unit
from prunescope.importance.outputs import note_results, write_analysis
from prunescope.importance.selection import Selection
from prunescope.importance.summary import summarise

NO_LIMITS = Limits(width_multiple=1)


def write_applied(
    facts: ModelFacts, plan_file: Path, table_file: Path | None, directory: Path, experiment: str
) -> None:
    """Write what the importance step writes, from a plan: the diagnosis and the pruning step take it from there.

    No limit holds for a plan made by hand, and its target ratio is the one that it achieves.

    Args:
        plan_file: see `PruningPlan.read`. table_file: an ``importance_table.parquet`` of the same model, to
            write again with what goes; None: no table is written.

    Raises:
        PrunescopeError: the plan does not fit the model.
        DataError: the table does not fit the model.
    """
    with recording("importance", experiment, directory / "records/importance.json", {"plan": str(plan_file)}) as record:
        plan = PruningPlan.read(plan_file, facts)
        table = _read_table(table_file, facts) if table_file else None
        summary = summarise(facts, _as_selection(plan, facts), None, experiment)
        write_analysis(directory / "analysis", table, plan, summary)
        note_results(record, summary)


def _as_selection(plan: PruningPlan, facts: ModelFacts) -> Selection:
    unit = rounding_unit(lanes_of(facts.blocks, NO_LIMITS, "group"))
    return Selection(plan, plan.removed_parameters / facts.total_parameters, NO_LIMITS, unit)


def _read_table(path: Path, facts: ModelFacts) -> pd.DataFrame:
    table = pd.read_parquet(path)
    found = table.groupby(["layer", "block"], observed=True).size().to_dict()
    if found != {(block.layer, block.block): block.groups for block in facts.blocks}:
        raise DataError(f"{path} is not the importance table of '{facts.name}': its blocks have other groups")
    return table
