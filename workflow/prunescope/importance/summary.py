"""What a plan removes, layer by layer and in total."""

import numpy as np
import pandas as pd

from prunescope.artifacts.facts import KINDS, ModelFacts
from prunescope.artifacts.plan import PruningPlan
from prunescope.artifacts.summary import BoundLimit, LayerRates, PruningSummary
from prunescope.importance.prior import Prior
from prunescope.importance.selection import Selection


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
