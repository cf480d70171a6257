"""The importance step: from saliency and prior to the table, the plan and its summary. Needs no torch."""

import logging

import numpy as np
import pandas as pd

from prunescope.artifacts.facts import KINDS, ModelFacts
from prunescope.artifacts.folders import ExperimentFolder, GradientsFolder, ModelFolder, RemovalFolder
from prunescope.artifacts.plan import PruningPlan
from prunescope.artifacts.plan_file import PlanFile
from prunescope.artifacts.record import StepRecord
from prunescope.artifacts.summary import BoundLimit, LayerRates, PruningSummary
from prunescope.criteria import CRITERIA
from prunescope.errors import ConfigError
from prunescope.importance.prior import Prior, choose_prior
from prunescope.importance.selection import Selection, mark_removed, select
from prunescope.importance.table import build_table
from prunescope.steps.importance import ImportanceSpec
from prunescope.steps.job import Job

log = logging.getLogger(__name__)


def score_and_select(job: Job[ImportanceSpec, ExperimentFolder]) -> None:
    """Score the groups and select what goes; publish the statistics and the stability of the gradients.

    Raises:
        ConfigError: the gradient pass ran in a mode that cannot score the criterion, or the prior is missing.
        BudgetError: the ratio cannot be reached under the limits.
    """
    spec, gradients = job.folder.decided(job.spec), job.input(GradientsFolder)
    method = spec.method
    facts = job.input(ModelFolder).facts.read()
    if method.needs_prior and not job.reads(RemovalFolder):
        raise ConfigError(
            f"method.combine = {method.combine} with T = {method.temperature:g} needs the prior: the spec has no key "
            "of the removal step"
        )
    with job.recording(spec.model_dump(mode="json")) as record:
        losses = job.input(RemovalFolder).losses.read() if method.needs_prior else None
        prior = choose_prior(losses, method.tau) if losses else None
        scores = scores_of(gradients, method.criterion)
        table = build_table(facts.blocks, scores, prior, method, spec.corrections)
        selection = select(table, facts, method.ratio, spec.limits, CRITERIA[method.criterion].unit)
        summary = summarise(facts, selection, prior, job.spec.experiment)
        write_decision(job.folder, table, selection.plan, summary)
        job.folder.statistics.copy(gradients.statistics)
        job.folder.stability.copy(gradients.stability)
        note_decision(record, summary)


def layer_rates(plan: PruningPlan) -> pd.DataFrame:
    """Return a row per layer: prunable parameters, removed ones and rates in [0, 1], per block and together.

    Columns: ``layer, attention_params, attention_removed, attention_rate, mlp_params, mlp_removed,
    mlp_rate, rate``. The norm and output bias that go with a whole block are counted in the totals of
    the summary only, so that a rate of 1 means that every group is gone.
    """
    rows = pd.DataFrame({"layer": plan.layers})
    for kind in KINDS:
        blocks = [plan.block(layer, kind) for layer in plan.layers]
        rows[f"{kind}_params"] = [block.facts.parameters for block in blocks]
        rows[f"{kind}_removed"] = [len(block.removed) * block.facts.cost for block in blocks]
        rows[f"{kind}_rate"] = rows[f"{kind}_removed"] / rows[f"{kind}_params"]
    removed, params = (rows[f"attention_{what}"] + rows[f"mlp_{what}"] for what in ("removed", "params"))
    return rows.assign(rate=removed / params)


def summarise(facts: ModelFacts, selection: Selection, prior: Prior | None, experiment: str) -> PruningSummary:
    """Return what was asked and what goes; its `layers` are the rows of `layer_rates`."""
    removed = selection.plan.removed_parameters
    rates = layer_rates(selection.plan)
    return PruningSummary(
        model=facts.name,
        experiment=experiment,
        target_ratio=selection.ratio,
        total_parameters=facts.total_parameters,
        decoder_parameters=facts.decoder_parameters,
        removed_parameters=removed,
        remaining_parameters=facts.total_parameters - removed,
        ratio_of_total=removed / facts.total_parameters,
        ratio_of_decoder=removed / facts.decoder_parameters,
        rounding_unit=selection.rounding_unit,
        attention_rate=float(np.average(rates["attention_rate"], weights=rates["attention_params"])),
        mlp_rate=float(np.average(rates["mlp_rate"], weights=rates["mlp_params"])),
        limits=selection.limits,
        layers_dropped=sorted(set(selection.plan.layers) - set(selection.plan.kept_layers)),
        tau=prior.tau if prior else None,
        layer_wise=prior.layer_wise if prior else [],
        negative_deltas=prior.negative() if prior else [],
        bound=[BoundLimit(limit=limit, blocks=blocks) for limit, blocks in selection.bound.items()],
        collapsed=selection.collapsed,
        layers=[LayerRates(**row) for row in rates.to_dict(orient="records")],
    )


def write_decision(
    folder: ExperimentFolder, table: pd.DataFrame | None, plan: PruningPlan, summary: PruningSummary
) -> None:
    """Write the plan, its summary as JSON and CSV and, where there is one, the table with what the plan removes."""
    if table is not None:
        folder.table.write(mark_removed(table, plan))
    folder.rates.write(layer_rates(plan))
    folder.plan.write(PlanFile.of(plan))
    folder.summary.write(summary)
    log.info(
        "%.2f %% of all parameters go, %.2f %% of the decoder layers: %s of %s",
        100 * summary.ratio_of_total,
        100 * summary.ratio_of_decoder,
        f"{summary.removed_parameters:,}",
        f"{summary.total_parameters:,}",
    )


def note_decision(record: StepRecord, summary: PruningSummary) -> None:
    """Add what a summary says to the record of the step."""
    names = ("ratio_of_total", "ratio_of_decoder", "removed_parameters", "remaining_parameters")
    record.metrics |= {f"prune/{name}": getattr(summary, name) for name in (*names, "attention_rate", "mlp_rate")}
    record.metrics["prune/max_layer_rate"] = summary.highest_rate


def scores_of(gradients: GradientsFolder, criterion: str) -> dict[str, np.ndarray]:
    """Return the saliency by a criterion: block name (``"{layer}.{kind}"``) -> float32 ``[groups]``.

    Raises:
        ConfigError: the gradient pass ran in a mode that cannot score it.
    """
    prefix = f"{criterion}/"
    found = gradients.saliency.read().items()
    scores = {name.removeprefix(prefix): values for name, values in found if name.startswith(prefix)}
    if not scores:
        raise ConfigError(
            f"{gradients.saliency.path} has no '{criterion}': the gradient pass ran in a mode that cannot score it "
            f"({gradients.timing.path.name} says why); choose a criterion without the mean gradient, such as "
            "taylor_stream, or gradients.mode: accumulate"
        )
    return scores
