"""The table of steps: every step once, in the order of the pipeline. Rules, keys, times and tracking follow it."""

from prunescope.steps import (
    diagnosis,
    evaluation,
    export,
    gram,
    importance,
    pruning,
    recovery,
    repair,
    reporting,
    sources,
    texts,
    trial,
)
from prunescope.steps.step import Step

MODULES = (sources, texts, gram, importance, trial, diagnosis, repair, pruning, recovery, evaluation, export, reporting)
TABLE: dict[str, Step] = {step.name: step for module in MODULES for step in module.STEPS}
RULES: dict[str, Step] = TABLE | {f"{name}_part": step for name, step in TABLE.items() if step.part}
"""The step of each rule: its own, and that of a part of it."""
