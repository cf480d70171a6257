"""What a search found: the settings that decide what is removed, and what they do on the windows of the search."""

from typing import Annotated, Any

from pydantic import Field

from prunescope.artifacts.document import Document, InFull
from prunescope.artifacts.trials import TriedText
from prunescope.config.candidates import Deciding
from prunescope.config.sections import Corrections, Limits, Method


class Closeness(Document):
    """How close a setting stays to the unpruned model on one text."""

    perplexity: float
    ratio: float = Field(description="To the perplexity of the unpruned model.")
    kl: float = Field(description="KL(dense || pruned), nats per position.")


class Found(Document):
    """One of the settings, measured on all windows of the search."""

    trial: int = Field(description="Its row in `search.parquet`.")
    patch: dict[str, Any] = Field(description="What it changes in the settings of the experiment.")
    experiment: str | None = Field(description="The plain name that says the same; null where no name can say it.")
    plan: str = Field(description="Digest of what is cut.")
    kl: float = Field(
        description="Mean of all texts; what the search makes small. With `refit`: after the refit of the whole plan."
    )
    ranked_kl: float | None = Field(
        None, description="With `refit`: KL by which it was ranked, each block refitted to what it loses itself."
    )
    ratio: float = Field(description="Geometric mean of the ratios of all texts; of the same model as `kl`.")
    texts: dict[str, Closeness] = Field(description="By text; of the same model as `kl`.")


class Gain(Document):
    """Perplexity of the winner, divided by that of the best start: geometric mean of all texts."""

    ratio: float
    low: float | None = Field(description="95 %, paired by window; null where a text has a single window.")
    high: float | None = Field(description="Likewise.")


class Search(Document):
    """The settings that stand in place of `auto`, and how they were found.

    All figures are of the windows that chose the settings, so they flatter them. `trials.json` measures the experiment
    on other windows.
    """

    method: Annotated[Method, InFull] = Field(description="As found.")
    corrections: Annotated[Corrections, InFull] = Field(description="As found.")
    limits: Annotated[Limits, InFull] = Field(description="As found.")
    winner: Found = Field(description="The settings that stand.")
    runner_up: Found | None = Field(description="The best setting that cuts something else; null where there is none.")
    start: Found = Field(
        description="The best of the settings that the search began with: each criterion at T = 0, plain and with a "
        "limit of 0.5, `share`, and the candidates of the configuration."
    )
    gain: Gain
    trials: int = Field(description="Settings that were tried.")
    impossible: int = Field(description="Those of them that could not be measured; `search.parquet` says why.")
    whole: int = Field(description="Those that were measured on all windows.")
    stopped: bool = Field(description="Whether `search.seconds` ended the search.")
    fixed: list[str] = Field(description="Settings that were not searched, since the user has set them.")
    rungs: list[int] = Field(description="Windows per text that settings are measured on, one after the other.")
    importance: dict[str, float] = Field(
        description="How much each setting matters for being among the best tenth, by path (PED-ANOVA, on the windows "
        "that all were measured on); they add up to 1. Empty where too few were measured."
    )
    texts: dict[str, TriedText] = Field(description="The windows of the search, by name of the text.")
    left_out: dict[str, str] = Field(description="Texts that are not searched on, and why.")

    @property
    def decided(self) -> Deciding:
        """The settings that stand."""
        return Deciding.within(self)
