"""The report of the diagnosis: findings, remedies and the numbers behind them; what a comparison recommends."""

from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer

from prunescope.artifacts.document import Document, Evidence, Known
from prunescope.artifacts.stability import Correlations
from prunescope.config.sections import Diagnosis

Severity = Literal["info", "high", "critical"]
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


class Remedy(Document):
    """A change of the settings that may help."""

    kind: str = Field(description="Stable code of the remedy.")
    patch: dict[str, Any] = Field(description="Settings to change.")
    experiment: str | None = Field(description="The name that has them; null where no name can say it.")
    command: str | None = Field(description="Runs it; null without a name.")
    what: str = Field(description="The change in words.")


class Finding(Document):
    """One thing that the report says."""

    issue: str = Field(description="Title.")
    severity: Severity
    description: str = Field(description="What was seen.")
    recommendation: str = Field(description="What to do.")
    code: str = Field(description="Stable name; [what each means](broken.md#what-each-finding-means).")
    layers: tuple[int, ...] = Field(description="Those concerned.")
    evidence: Evidence = Field(description="The numbers behind it; they depend on the code.")
    remedy: Remedy | None = Field(description="The first of `remedies`.")
    remedies: tuple[Remedy, ...] = Field(description="What is not in force yet, the most promising first.")


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


class Checks(Document):
    """What was measured besides."""

    spikes: list[Spike]
    spearman: Known = Field(description="Rank correlation of importance and rate over the layers.")
    spread: dict[Part, Known] = Field(description="Highest minus lowest rate of a layer.")
    attention_vs_mlp: OverallRates
    score_ratio: Known = Field(description="Highest / lowest mean score of a block.")
    stability: ComparedStability | None = Field(description="Null where nothing was compared.")


class DiagnosisReport(Document):
    """What is wrong with an experiment, and what to try; codes and keys are the same in every language."""

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
