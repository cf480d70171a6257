"""The table of steps: every step once, in the order of the pipeline. Rules, keys, times and tracking follow it."""

from prunescope.steps import (
    diagnosis,
    evaluation,
    export,
    gradients,
    importance,
    pruning,
    recovery,
    reporting,
    sources,
    texts,
)
from prunescope.steps.step import Step

TABLE: dict[str, Step] = {
    step.name: step
    for step in (
        *sources.STEPS,
        *texts.STEPS,
        *gradients.STEPS,
        *importance.STEPS,
        *diagnosis.STEPS,
        *pruning.STEPS,
        *recovery.STEPS,
        *evaluation.STEPS,
        *export.STEPS,
        *reporting.STEPS,
        *reporting.COMPARISONS,
    )
}
