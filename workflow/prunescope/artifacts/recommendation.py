"""Which experiment of a sweep to take, and why."""

from pydantic import Field

from prunescope.artifacts.document import Document


class Recommendation(Document):
    """The recommendation of a comparison."""

    recommended: dict[str, str] = Field(description="Experiment -> reason; one for each ratio that several reached.")
    experiments: list[str] = Field(description="That were compared.")
    sentences: list[str] = Field(description="The recommendation in words.")
