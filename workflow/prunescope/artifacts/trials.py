"""What other settings would do, measured before the cut: `trials.json`, and the losses of each plan behind it."""

import math
from typing import Any

from pydantic import Field

from prunescope.artifacts.document import Document, Known
from prunescope.config.patches import Patch
from prunescope.files import canonical


class WindowLosses(Document):
    """What a plan loses on each window, by text, in the order of the windows; null where it is no number."""

    loss: dict[str, list[Known]] = Field(description="Cross-entropy, nats per predicted token.")
    divergence: dict[str, list[Known]] = Field(description="KL(dense || pruned), nats per position.")


class TriedText(Document):
    """A text that settings are tried on."""

    windows: int
    tokens: int = Field(description="Predicted tokens of all windows.")
    dense: float = Field(description="Perplexity of the unpruned model.")


class Effect(Document):
    """What a setting does on one text."""

    perplexity: float
    ratio: float = Field(description="To the perplexity of the experiment itself.")
    low: float | None = Field(description="Of the ratio, 95 %, paired by window; null for a single window.")
    high: float | None = Field(description="Of the ratio; null for a single window.")
    kl: Known = Field(description="KL(dense || pruned), nats per position.")


class Distance(Document):
    """How far the predictions of a setting are from those of the unpruned model, as the mean of all texts.

    Settings are ranked and judged by it: it compares whole predictions, not the probability of one token each, and so
    needs far fewer windows than perplexity to tell two settings apart (docs/truth.md).
    """

    kl: float = Field(description="KL(dense || pruned), nats per position.")
    change: float = Field(description="That minus the experiment's; negative: closer to the unpruned model.")
    low: float | None = Field(description="Of the change, 95 %, paired by window.")
    high: float | None = Field(description="Of the change; null where a text has a single window.")


class Candidate(Document):
    """A setting, and what it does."""

    name: str = Field(description="The words of experiment names that it changes.")
    kind: str = Field(
        description="`experiment`: as it is; the code of a remedy, such as `cap_rates`; `criterion`: another criterion "
        "at T = 0, with the corrections and limits of the configuration alone; `cap`: another `max`; "
        "`balance`: another weight of attention; `configured`."
    )
    patch: dict[str, Any] = Field(description="Settings to change.")
    experiment: str | None = Field(description="The name that has them; null where no name can say it.")
    command: str | None = Field(description="Runs it; null without a name.")
    plan: str | None = Field(None, description="Digest of what is cut; of a candidate that has a plan.")
    same_as: str | None = Field(None, description="Name of the candidate before it that cuts the same.")
    ratio_of_total: float | None = Field(None, description="Removed, of all parameters.")
    attention_rate: float | None = Field(None, description="Over all layers, weighted by parameters.")
    mlp_rate: float | None = Field(None, description="Over all layers, weighted by parameters.")
    texts: dict[str, Effect] = Field({}, description="By text; of a candidate that was measured.")
    ratio: float | None = Field(None, description="Geometric mean of the ratios of all texts.")
    low: float | None = Field(None, description="Of that, 95 %: the windows of each text are drawn on their own.")
    high: float | None = Field(None, description="Of that; null where a text has a single window.")
    distance: Distance | None = Field(None, description="By which it is ranked; of a candidate that was measured.")
    reason: str | None = Field(None, description="Why it was not measured.")


class LessText(Document):
    """What the experiment's own settings do by the first half of the calibration windows.

    The part of a loss that is due to chance in the scores is about proportional to 1 / windows. So what half of them
    loses tells what twice as many would give.
    """

    samples: int = Field(description="Calibration windows of that half.")
    of: int = Field(description="All calibration windows.")
    ratio: float = Field(description="Perplexity beside that of the experiment, geometric mean of the texts.")
    distance: Distance = Field(description="Its `change` is what the other half of the windows gave.")

    @property
    def clear(self) -> bool:
        """Whether more text was clearly better."""
        return self.distance.low is not None and self.distance.low > 0

    def gain(self, factor: float) -> float:
        """Return the share of what the other half gave that `factor` times the windows will give.

        With c / n of a loss due to chance: (1/n - 1/(factor n)) / (1/m - 1/n), n all windows and m those of the half.
        """
        return (1 - 1 / factor) / (self.of / self.samples - 1)


class Trials(Document):
    """What other settings would do in place of the experiment's own, measured on the same held-out windows."""

    texts: dict[str, TriedText] = Field(description="By name of the text; none where no text is held out.")
    vocabulary: int | None = Field(None, description="Tokens that the model knows: the perplexity of a blind guess.")
    ridge: float | None = Field(
        None,
        description="Damping by which every plan, the experiment's too, was refitted before it was measured, block by "
        "block; null: all are plain cuts.",
    )
    left_out: dict[str, str] = Field(description="Texts that are not tried on, and why.")
    measured: int = Field(description="Different plans that were compared, the experiment's among them.")
    rank: int = Field(description="Of the experiment among them; 1: none is better; 0: none was measured.")
    gradient_seconds: float | None = Field(
        None, description="Wall time of the experiment's gradient pass: about what trying another one costs."
    )
    less_text: LessText | None = Field(
        None, description="By half of the calibration text; null where the criterion has no scores by half of it."
    )
    candidates: list[Candidate] = Field(description="The measured ones, the best first; then those that cut the same.")

    @property
    def worse_than_a_guess(self) -> dict[str, float]:
        """Perplexity of the unpruned model, by text, where it is above that of a blind guess."""
        guess = self.vocabulary or math.inf
        return {name: text.dense for name, text in self.texts.items() if text.dense > guess}

    @property
    def ranked(self) -> list[Candidate]:
        """The candidates that were measured, each plan once, the best first."""
        return [candidate for candidate in self.candidates if candidate.texts]

    @property
    def best(self) -> Candidate:
        return self.ranked[0]

    @property
    def own(self) -> Candidate:
        """The experiment as it is."""
        return next(candidate for candidate in self.candidates if candidate.kind == "experiment")

    @property
    def reasons(self) -> dict[str, str]:
        """Why settings were not measured, by name."""
        return {candidate.name: candidate.reason for candidate in self.candidates if candidate.reason}

    def find(self, patch: Patch, experiment: str | None) -> Candidate | None:
        """Return the candidate with the settings of a patch, or else with a name; None where it was none.

        Of candidates that cut the same it is the one that was measured.
        """
        wanted = canonical(patch)
        same = [one for one in self.candidates if canonical(one.patch) == wanted]
        same += [one for one in self.candidates if experiment is not None and one.experiment == experiment]
        if not same:
            return None
        return next((one for one in self.ranked if one.plan == same[0].plan), same[0])
