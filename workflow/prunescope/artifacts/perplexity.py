"""Perplexities: of the unpruned, the pruned and the trained model, and how they compare."""

from collections.abc import Iterator
from statistics import geometric_mean

from pydantic import Field, model_validator

from prunescope.artifacts.document import Document
from prunescope.config.leakage import Leakage

Interval = tuple[float, float]
"""Lowest and highest value, 95 %."""


def shown(value: float, interval: Interval | None = None, digits: int = 2) -> str:
    """Return a perplexity or a ratio for people: ``47.28 [45.90, 48.61]``; that of a destroyed model has 305 digits."""
    bounds = f" [{shown(interval[0], digits=digits)}, {shown(interval[1], digits=digits)}]" if interval else ""
    if value >= 1e6:
        return f"{value:.2e}{bounds}"
    return (f"{value:,.0f}" if value >= 1000 else f"{value:.{digits}f}") + bounds


class Perplexity(Document):
    """Perplexity of one text by one protocol."""

    perplexity: float = Field(description="exp of the mean token loss.")
    interval: Interval | None = Field(
        description="95 %, over the choice of windows; null for a single window "
        "([what it says](evaluation.md#perplexity))."
    )
    loss: float = Field(description="Mean token loss, in nats.")
    tokens: int = Field(description="Tokens scored.")
    windows: int = Field(description="Stretches of a window's length that their losses are summed over.")
    window: int = Field(description="Of the protocol, in tokens.")
    stride: int = Field(description="Of the protocol, in tokens; 0: independent windows.")
    sha256: str = Field(description="Of the evaluated token ids: int32, little-endian.")
    bos: bool = Field(description="Whether a BOS token is put first.")
    dtype: str = Field(description="That the model computed in.")
    leakage: Leakage | None = Field(
        None,
        description="What calibration and training know of the text: `none`, `source` or `documents` "
        "([what they mean](evaluation.md#perplexity)); the unpruned model has none.",
    )


class Ratio(Document):
    """One model's perplexity divided by another's, on the same windows."""

    ratio: float
    interval: Interval | None = Field(description="95 %, paired: each draw takes the same windows for both models.")


Results = dict[str, dict[str, Perplexity]]
"""By text and protocol."""
Ratios = dict[str, dict[str, Ratio]]
"""By text and protocol."""


def geomean(ratios: Ratios) -> float:
    """Return the geometric mean over all texts and protocols: by how much a model is worse, in one number."""
    return geometric_mean(ratio.ratio for protocols in ratios.values() for ratio in protocols.values())


def times(ratio: float) -> str:
    """Return a ratio for people: ``x 4.1``, or ``x 1.05`` where a digit more matters."""
    return f"x {shown(ratio, digits=2 if ratio < 2 else 1)}"


class Hardware(Document):
    """The machine of a measurement."""

    device_name: str = Field(description="Name of the accelerator, or of the CPU without one.")
    cpu: str
    cpu_count: int | None = Field(description="Cores.")
    threads: int = Field(description="Of PyTorch.")
    system: str = Field(description="Operating system and architecture.")


class IntervalSettings(Document):
    """How the intervals were drawn."""

    level: float = Field(description="Of confidence.")
    draws: int = Field(description="Of the bootstrap.")
    seed: int


class EvaluationSettings(Document):
    """How perplexity was measured."""

    device: str
    dtype: str
    hardware: Hardware
    spans_spread: str = Field(description="Where the evaluated spans lie in the test split.")
    bos: bool = Field(description="Whether a BOS token is put first.")
    documents_joined_by: str
    interval: IntervalSettings


class SameTexts(Document):
    """Base of reports whose models were all measured on the same texts and protocols."""

    @model_validator(mode="after")
    def _same_texts(self) -> "SameTexts":
        results = {name: value for name, value in self if name != "settings"}
        measured = {
            name: {text: set(protocols) for text, protocols in value.items()} for name, value in results.items()
        }
        for name, texts in measured.items():
            if texts != measured["baseline"]:
                raise ValueError(f"{name} was measured on other texts or protocols than baseline")
        for name in results.keys() & {"pruned", "recovered"}:
            for text, protocols in results[name].items():
                if len({result.leakage for result in protocols.values()}) != 1:
                    raise ValueError(f"{name}.{text}: the protocols say different things of leakage, or there is none")
        return self


def longest(results: Results) -> Iterator[tuple[str, str, Perplexity]]:
    """Yield for each text the protocol with its longest window, and the perplexity by it."""
    for text, protocols in results.items():
        name = max(protocols, key=lambda protocol: protocols[protocol].window)
        yield text, name, protocols[name]


def changes(report: "PerplexityReport | RecoveredReport") -> Iterator[str]:
    """Yield what became of the perplexity on each text, by the protocol with its longest window.

    For example ``wiki w512 21.4 -> 88.1 (x 4.1)`` and, of a trained model, ``..., trained 30.3 (x 1.42)``.
    """
    for text, name, unpruned in longest(report.baseline):
        before, after = unpruned.perplexity, report.pruned[text][name].perplexity
        said = f"{text} {name} {shown(before, digits=1)} -> {shown(after, digits=1)} ({times(after / before)})"
        if isinstance(report, RecoveredReport):
            trained = report.recovered[text][name].perplexity
            said += f", trained {shown(trained, digits=1)} ({times(trained / before)})"
        yield said


class PerplexityReport(SameTexts):
    """Perplexity before and after pruning, by text and protocol."""

    baseline: Results = Field(description="Of the unpruned model.")
    pruned: Results
    ratio: Ratios = Field(description="Pruned over baseline.")
    settings: EvaluationSettings


class RecoveredReport(SameTexts):
    """Perplexity of the trained model beside the others, by text and protocol."""

    baseline: Results = Field(description="Of the unpruned model.")
    pruned: Results
    recovered: Results = Field(description="Of the trained model.")
    ratio: Ratios = Field(description="Trained over baseline.")
    ratio_to_pruned: Ratios = Field(description="Trained over pruned.")
    settings: EvaluationSettings
