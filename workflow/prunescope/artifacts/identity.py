"""What an experiment is, for programs, and where it is in MLflow."""

from typing import Annotated, Any

from pydantic import Field, PlainSerializer, field_validator

from prunescope.artifacts.document import Document
from prunescope.config.patches import Scalar
from prunescope.config.sections import Settings


def in_force(settings: Settings) -> dict[str, Any]:
    """Return settings as the file holds them: without those of a repair or a recovery that is off."""
    on = {"recovery": settings.recovery.enabled, "repair": settings.repair.enabled}
    return settings.model_dump(mode="json", exclude={name for name, wanted in on.items() if not wanted})


class Identity(Document):
    """What an experiment is: its key, its settings and the steps behind it.

    Of a plan that was applied by hand only `model`, `experiment`, `dataset`, `settings`, `shared` and `params` are
    there.
    """

    version: int | None = Field(None, description="Of this format.")
    model: str
    experiment: str
    key: str | None = Field(None, description="Identity of the experiment and its settings.")
    steps: dict[str, str] = Field({}, description="The key of each record of its own steps.")
    dataset: str = Field(description="The calibration text.")
    settings: Annotated[Settings, PlainSerializer(in_force)] = Field(description="As in the configuration.")
    shared: dict[str, str] = Field(description="The key of each shared step.")
    parent_license: str | None = None
    data_license: str | None = Field(None, description="Of the calibration text.")
    params: dict[str, Scalar] = Field(description="The settings by dotted path, and `dataset`.")

    @field_validator("shared")
    @classmethod
    def _keys(cls, shared: dict[str, str]) -> dict[str, str]:
        for step, key in shared.items():
            if "/" in key:
                raise ValueError(f"{step} = '{key}' is a folder, as version 0.1 wrote, and no key")
        return shared


class Receipt(Document):
    """The row in MLflow, or why there is none yet: `prunescope track --all` catches up later."""

    run_id: str | None = Field(description="Null where the store could not be reached.")
    experiment_id: str | None = Field(None, description="MLflow's.")
    key: str | None = Field(None, description="Of the experiment or comparison that was tracked.")
    uri: str | None = Field(None, description="Of the store, without credentials.")
    url: str | None = Field(None, description="Of the run's page; null without a server.")
    synced_at: str | None = Field(None, description="Time in ISO 8601, UTC.")
    pending: bool = Field(False, description="Only where the store could not be reached: true.")
    reason: str | None = Field(None, description="Only where the store could not be reached.")
