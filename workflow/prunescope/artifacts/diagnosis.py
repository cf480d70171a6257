"""The report of the diagnosis: findings, remedies and the numbers behind them; what a comparison recommends."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer

from prunescope.artifacts.document import Document, Evidence, Known
from prunescope.artifacts.stability import Correlations
from prunescope.artifacts.trials import Candidate, Distance, Effect
from prunescope.config.sections import Diagnosis

Severity = Literal["info", "high", "critical"]
Verdict = Literal["better", "unclear", "unmeasured", "promising", "doubtful", "same", "worse", "impossible"]
Part = Literal["attention", "mlp", "total"]
Thresholds = Annotated[Diagnosis, PlainSerializer(lambda section: section.model_dump(exclude={"on_critical"}))]


class ExtremeLayer(Document):
    """A layer of which a rate is above the threshold."""

    layer_idx: int
    pruning_rate: Known = Field(description="Of the layer.")
    importance: Known = Field(description="Mean score of its groups, weighted by their cost.")
    gradient_mean: Known
    gradient_norm: Known
    attention_rate: Known
    mlp_rate: Known
    which: list[Part] = Field(description="The rates that are above the threshold.")


class GradientScale(Document):
    """How far the gradients of the layers lie apart."""

    mean_range: tuple[float, float] | None = Field(description="`[lowest, highest]` mean of the layers.")
    mean_ratio: Known = Field(description="Highest / lowest; null where the lowest is 0.")
    norm_range: tuple[float, float] | None = Field(description="`[lowest, highest]` norm of the layers.")
    norm_ratio: Known = Field(description="Highest / lowest; null where the lowest is 0.")


class Expected(Document):
    """What more calibration text will do, by what half of it did ([less_text](#trialsjson))."""

    ratio: float = Field(description="Perplexity beside that of the experiment.")
    change: float = Field(description="Of KL(dense || pruned), nats per position.")


class Remedy(Document):
    """A change of the settings that may help."""

    kind: str = Field(description="Stable code of the remedy.")
    patch: dict[str, Any] = Field(description="Settings to change.")
    experiment: str | None = Field(description="The name that has them; null where no name can say it.")
    command: str | None = Field(description="Runs it; null without a name.")
    what: str = Field(description="The change in words.")
    verdict: Verdict | None = Field(
        None,
        description="By the interval of `distance`; `same`: it cuts the same; `impossible`: the ratio cannot be "
        "reached; `promising`, `doubtful`: more text, by `expected`. This and what follows: where other settings were "
        "tried ([trials.json](#trialsjson)).",
    )
    measured: dict[str, Effect] = Field({}, description="By text; empty where it was not measured.")
    ratio: float | None = Field(None, description="Geometric mean of the ratios of all texts.")
    low: float | None = Field(None, description="Of that, 95 %.")
    high: float | None = Field(None, description="Of that.")
    distance: Distance | None = Field(None, description="By which it is judged, and stands among the others.")
    expected: Expected | None = Field(None, description="Of more calibration text, where half of it was measured.")
    effect: str | None = Field(None, description="What it does, or what measuring it would take, in words.")

    @property
    def worth_trying(self) -> bool:
        """Whether nothing speaks against it."""
        return self.verdict not in ("same", "worse", "impossible")

    @property
    def order(self) -> tuple[float, bool]:
        """What sorts remedies, the best first; one that was not measured comes before those that change nothing."""
        unknown = math.inf if self.verdict in ("worse", "impossible") else 0.0
        change = self.distance or self.expected
        return unknown if change is None else change.change, self.verdict == "same"


class Finding(Document):
    """One thing that the report says."""

    issue: str = Field(description="Title.")
    severity: Severity
    lowered_from: Severity | None = Field(
        None, description="Severity by the rule, where no remedy that was measured improves the model."
    )
    description: str = Field(description="What was seen.")
    recommendation: str = Field(description="What to do.")
    code: str = Field(description="Stable name; [what each means](broken.md#what-each-finding-means).")
    layers: tuple[int, ...] = Field(description="Those concerned.")
    evidence: Evidence = Field(description="The numbers behind it; they depend on the code.")
    remedy: Remedy | None = Field(description="The first of `remedies`.")
    remedies: tuple[Remedy, ...] = Field(
        description="What is not in force yet, the most promising first: as measured, if so."
    )


class Spike(Document):
    """A layer whose gradient stands out."""

    layer: int
    z: float = Field(description="Robust z-score of the logarithm of its mean; negative for a valley.")


class OverallRates(Document):
    """Rates over all layers, weighted by parameters."""

    attention_rate: Known
    mlp_rate: Known
    rate: Known


class ComparedStability(Document):
    """Stability of the criterion that decides, or of the one that stands for it."""

    criterion: str
    samples: int = Field(description="Calibration windows of both halves together.")
    layers: Correlations = Field(description="Rank correlation by layer.")


class TrialCheck(Document):
    """What the trial of other settings says of the experiment; in full: [trials.json](#trialsjson)."""

    measured: int = Field(description="Different plans that were compared, the experiment's among them.")
    rank: int = Field(description="Of the experiment among them; 1: none is better.")
    windows: int = Field(description="Held-out windows of all texts.")
    verdict: Verdict = Field(description="Of `best`; `same`: it is the experiment itself.")
    best: Candidate
    unmeasured: dict[str, str] = Field(description="Settings that could not be tried, and why.")
    more_text: Remedy | None = Field(
        None, description="More calibration text, where it is `promising` and no setting was measured to be better."
    )


class Checks(Document):
    """What was measured besides."""

    spikes: list[Spike]
    spearman: Known = Field(description="Rank correlation of importance and rate over the layers.")
    spread: dict[Part, Known] = Field(description="Highest minus lowest rate of a layer.")
    attention_vs_mlp: OverallRates
    score_ratio: Known = Field(description="Highest / lowest mean score of a block.")
    stability: ComparedStability | None = Field(description="Null where nothing was compared.")
    trial: TrialCheck | None = Field(None, description="Where other settings were tried.")


class DiagnosisReport(Document):
    """What is wrong with an experiment, and what to try; codes and keys are the same in every language."""

    headline: str | None = Field(None, description="The best setting that was measured, in words, if any were tried.")
    extreme_pruning_layers: list[ExtremeLayer]
    num_extreme_layers: int
    gradient_statistics: GradientScale
    diagnosis: tuple[Finding, ...] = Field(description="The worst first.")
    checks: Checks
    language: str = Field(description="`en` or `zh`.")
    thresholds: Thresholds = Field(description="As configured, without `on_critical`.")

    def count(self, severity: Severity) -> int:
        """Return the number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.diagnosis)


class Recommendation(Document):
    """The recommendation of a comparison."""

    recommended: dict[str, str] = Field(description="Experiment -> reason; one for each ratio that several reached.")
    experiments: list[str] = Field(description="That were compared.")
    sentences: list[str] = Field(description="The recommendation in words.")
