"""What an optional step measured: one shape for zero-shot tasks, efficiency and whatever comes next."""

from typing import Any

from pydantic import Field
from typing_extensions import TypeAliasType

from prunescope.artifacts.document import Document, Number, Spread
from prunescope.config.patches import flatten

Numbers = TypeAliasType("Numbers", "dict[str, Numbers | Number | None]")
"""Nested numbers by name, such as ``{"arc": {"acc": {"value": 0.5, "stderr": 0.02}}}``."""

BASELINE, PRUNED, RECOVERED, SETTINGS = "baseline", "pruned", "recovered", "settings"


class Measured(Spread):
    """Numbers of the unpruned, the pruned and the trained model, and how they were measured.

    Of zero-shot tasks: `{task: {metric: {value, stderr}}}`, of the last of the models and the baseline
    ([what they are](evaluation.md#zero-shot-tasks)). Of efficiency: sizes and, under `batches`, speed by batch size,
    of all models and, as `pruned_q8_0`, of their GGUF files ([what they are](evaluation.md#efficiency)).
    """

    spread = "models"
    models: dict[str, Numbers] = Field(
        description="A key for each of `baseline`, `pruned`, `recovered` (trained) that was measured.",
        json_schema_extra={"key": "{model}"},
    )
    settings: dict[str, Any] = Field(description="How it was measured; the keys are the step's.")

    @property
    def final(self) -> Numbers:
        """Numbers of the checkpoint that the experiment ends with: the trained one, else the pruned one."""
        return self.models[RECOVERED if RECOVERED in self.models else PRUNED]

    def flat(self, model: str) -> dict[str, Number | None]:
        """Return the numbers of a model by dotted name: ``{"arc.acc.value": 0.5}``; empty where it has none."""
        return flatten(self.models.get(model, {}))  # type: ignore[return-value]


class ZeroshotScores(Document):
    """Scores of the unpruned model."""

    scores: Numbers = Field(description="`{task: {metric: {value, stderr}}}`.")
    settings: dict[str, Any] = Field(
        description="`lm_eval` (version), `limit`, `num_fewshot`, `task_versions`, `samples`, `device`, `dtype`."
    )
