"""All settings of an experiment, sweeps, and the whole configuration."""

from typing import Any

from pydantic import Field, PrivateAttr, model_validator

from prunescope.config.files import Origin
from prunescope.config.sections.base import PathName, Section, SweepName, TextName
from prunescope.config.sections.diagnosis import Diagnosis, Report
from prunescope.config.sections.evaluation import Evaluation, Recovery
from prunescope.config.sections.importance import Calibration, Corrections, Gradients, Limits, Method, Removal
from prunescope.config.sections.outputs import Export, Tracking
from prunescope.config.sections.repair import Repair
from prunescope.config.sections.search import Search
from prunescope.config.sections.sources import DatasetSource, ModelSource
from prunescope.config.sections.trial import Trial


class Settings(Section):
    """Everything that an experiment can change."""

    calibration: Calibration = Field(Calibration(), description="The text that importance is measured on.")
    gradients: Gradients = Field(Gradients(), description="The gradient pass.")
    removal: Removal = Field(Removal(), description="The removal prior, for T > 0.")
    method: Method = Field(Method(), description="How importance becomes a decision.")
    corrections: Corrections = Field(Corrections(), description="Corrections of the scores.")
    limits: Limits = Field(Limits(), description="What selection may not do.")
    search: Search = Field(Search(), description="Settings that are found: `auto` in place of a criterion.")
    trial: Trial = Field(Trial(), description="Other settings, measured before the cut.")
    diagnosis: Diagnosis = Field(Diagnosis(), description="Thresholds of the report.")
    report: Report = Field(Report(), description="Language of the report, and what it compares with.")
    evaluation: Evaluation = Field(Evaluation(), description="Perplexity before and after.")
    repair: Repair = Field(Repair(), description="What is done to the pruned weights before they are written.")
    recovery: Recovery = Field(Recovery(), description="Fine-tuning after pruning.")


class NamedExperiment(Section):
    """An experiment that a name alone cannot declare: a base and settings."""

    base: str = Field(description="Name of the experiment that it changes.", examples=["taylor_T1_tau0_20_c4"])
    settings: dict[str, Any] = Field({}, description="Sections to merge over those of the base.")


class Sweep(Section):
    """Experiments to run and compare: those listed, and those that variants and product make of the base.

    A change is a word of experiment names with its value (`ratio: 20`, `max: 50`, `share: true`), a setting of
    `calibration`, `method` or `corrections` (`seq_len: 256`), or any setting by its path (`limits.protect: [0]`).
    """

    model: str | tuple[str, ...] = Field(
        description="Model or models of `snakemake sweep_{name}`; `results/{model}/comparison/{name}` takes any.",
        examples=["SmolLM2-135M"],
    )
    experiments: tuple[str, ...] = Field((), description="Names of experiments to include.")
    base: str | None = Field(None, description="Experiment to change.", examples=["taylor_T0_20_wiki"])
    product: dict[str, tuple[Any, ...]] = Field(
        {},
        description="Values by what they change; every combination is an experiment.",
        examples=[{"T": [0, 1], "ratio": [10, 20, 30]}],
    )
    variants: tuple[dict[str, Any], ...] = Field(
        (),
        description="Sets of changes, each one experiment (`{}`: the base itself); a product is taken of each.",
        examples=[[{}, {"T": 1, "tau": 0}, {"limits": {"protect": [0]}}]],
    )

    @property
    def models(self) -> tuple[str, ...]:
        return (self.model,) if isinstance(self.model, str) else self.model

    @model_validator(mode="after")
    def _something_to_run(self) -> "Sweep":
        if self.base is None and (self.product or self.variants):
            raise ValueError("product and variants need a base, the name of the experiment that they change")
        if self.base is None and not self.experiments:
            raise ValueError("needs experiments, or a base with product or variants")
        if any(not values for values in self.product.values()):
            raise ValueError("every list of the product needs a value")
        twice = sorted({word for variant in self.variants for word in variant} & set(self.product))
        if twice:
            raise ValueError(f"{', '.join(twice)} is in the variants and in the product; keep one of them")
        return self


class Config(Settings):
    """The whole of ``config/config.yaml``."""

    models: dict[PathName, ModelSource] = Field(description="Models, by their names in paths.")
    datasets: dict[TextName, DatasetSource] = Field(description="Texts, by their names in experiment names.")
    tracking: Tracking = Field(Tracking(), description="Where experiments are recorded.")
    export: Export = Field(Export(), description="Formats of other programs, on request.")
    experiments: dict[PathName, NamedExperiment] = Field({}, description="Named experiments.")
    sweeps: dict[SweepName, Sweep] = Field({}, description="Experiments to compare: `snakemake sweep_{name}`.")
    shards: int = Field(
        1,
        ge=1,
        le=1000,
        description="How many jobs share the windows of a step that measures the model, each on a GPU of its own; what "
        "they find is added up to the same result ([scatter and gather](../docs/scatter.md)).",
    )
    targets: tuple[str, ...] = Field((), description="{model}/{experiment} to build when no target is given.")

    _origin: Origin = PrivateAttr(default_factory=Origin)

    @property
    def origin(self) -> Origin:
        """Which file says what."""
        return self._origin

    def said_by(self, origin: Origin) -> "Config":
        """Note which file says what; return itself."""
        self._origin = origin
        return self
