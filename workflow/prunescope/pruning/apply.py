"""Prune by a plan that a person may have edited, instead of selecting one."""

from pathlib import Path

import pandas as pd

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.folders import ExperimentFolder, ModelFolder
from prunescope.artifacts.identity import Identity
from prunescope.artifacts.plan import PruningPlan
from prunescope.artifacts.record import recording
from prunescope.config.sections import Limits
from prunescope.errors import DataError
from prunescope.importance.decision import note_decision, summarise, write_decision
from prunescope.importance.limits import lanes_of, rounding_unit
from prunescope.importance.selection import Selection
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.steps.importance import ImportanceSpec

NO_LIMITS = Limits(width_multiple=1)


def apply_plan(plan_file: Path, like: ExperimentFolder, output: ExperimentFolder) -> None:
    """Cut the model of the experiment `like` by a plan, into a new folder.

    Leaves there what the importance step leaves, the checkpoint, and what the experiment is.

    Raises:
        DataError: `output` is the experiment itself.
        PrunescopeError: the plan does not fit the model.
    """
    if output.path.resolve() == like.path.resolve():
        raise DataError(
            f"{output.path} is the experiment that the plan is applied like, and would be lost; give a new folder"
        )
    identity, name = like.identity.read(), output.path.name
    facts = like.input(ModelFolder).ready()
    plan = record_plan(facts, plan_file, like, output)
    write_checkpoint(facts, plan, output.checkpoint.path, experiment=name, plan_file=plan_file)
    output.identity.write(
        Identity(
            model=identity.model,
            experiment=name,
            dataset=identity.dataset,
            settings=identity.settings,
            shared=identity.shared,
            params=identity.params | {"plan": str(plan_file)},
        )
    )


def record_plan(facts: ModelFacts, plan_file: Path, like: ExperimentFolder, output: ExperimentFolder) -> PruningPlan:
    """Write what the importance step writes, from a plan, and return the plan.

    No limit holds for a plan made by hand, and its target ratio is the one that it achieves.

    Args:
        plan_file: see `PruningPlan.read`.
        like: an experiment on the same model, whose importance table, if there is one, is written again with what goes.

    Raises:
        PrunescopeError: the plan does not fit the model.
        DataError: the table does not fit the model.
    """
    step, name = ImportanceSpec.step, output.path.name
    entry = output.named(ExperimentFolder.record, step=step)
    with recording(step, name, entry, {"plan": str(plan_file)}) as record:
        plan = PruningPlan.read(plan_file, facts)
        table = _read_table(like, facts) if like.table.exists() else None
        unit = rounding_unit(lanes_of(facts.blocks, NO_LIMITS, "group"))
        selection = Selection(plan, plan.removed_parameters / facts.total_parameters, NO_LIMITS, unit)
        summary = summarise(facts, selection, None, name)
        write_decision(output, table, plan, summary)
        note_decision(record, summary)
    return plan


def _read_table(folder: ExperimentFolder, facts: ModelFacts) -> pd.DataFrame:
    table = folder.table.read()
    found = table.groupby(["layer", "block"], observed=True).size().to_dict()
    if found != {(block.layer, block.block): block.groups for block in facts.blocks}:
        raise DataError(
            f"{folder.table.path} is not the importance table of '{facts.name}': its blocks have other groups"
        )
    return table
