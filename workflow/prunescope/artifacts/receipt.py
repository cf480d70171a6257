"""Where an experiment or a comparison is in MLflow."""

from pydantic import Field

from prunescope.artifacts.document import Document


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
