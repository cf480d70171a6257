"""The protocol card: everything that must be the same before two evaluations may be compared."""

from pydantic import Field

from prunescope.artifacts.document import Document
from prunescope.artifacts.manifests import CalibrationManifest, Drawn, EvaluationText, RecoveryManifest, Tokens
from prunescope.artifacts.perplexity import Hardware, Perplexity
from prunescope.config.leakage import Leakage


class Parent(Document):
    """The unpruned model."""

    origin: str = Field(description="Hub id, wheel or path.")
    revision: str | None = Field(description="Resolved commit of the hub, or null.")
    license: str | None


class Removed(Document):
    """How much was asked for, and how much went."""

    asked_of_total: float = Field(description="Fraction of all parameters.")
    removed_of_total: float = Field(description="Fraction of all parameters.")
    removed_of_decoder: float = Field(description="Fraction of those in the decoder layers.")
    parameters_before: int
    parameters_after: int


class CalibrationTokens(Tokens):
    """The manifest of the calibration text without document ids."""

    texts: dict[str, Drawn] = Field(description="By name of the text.")
    dataset: str = Field(description="As in the name of the experiment.")
    license: str | None = Field(description="Of the text.")

    @classmethod
    def of(cls, manifest: CalibrationManifest, dataset: str, license: str | None) -> "CalibrationTokens":
        return cls(**_without_ids(manifest), dataset=dataset, license=license)


class RefitTokens(Tokens):
    """The manifest of the text of the repairs without document ids."""

    texts: dict[str, Drawn] = Field(description="By name of the text.")

    @classmethod
    def of(cls, manifest: CalibrationManifest) -> "RefitTokens":
        return cls(**_without_ids(manifest))


class RecoveryTokens(Tokens):
    """The manifest of the recovery text without document ids."""

    learned_tokens: int = Field(description="Labels that are learned.")
    texts: dict[str, Drawn] = Field(description="By name of the text.")

    @classmethod
    def of(cls, manifest: RecoveryManifest) -> "RecoveryTokens":
        return cls(**_without_ids(manifest))


def _without_ids(manifest: CalibrationManifest) -> dict[str, object]:
    return manifest.model_dump(exclude={"texts": {"__all__": {"document_ids"}}}, exclude_unset=True)


class EvaluatedTokens(Document):
    """The tokens of one protocol."""

    tokens: int
    windows: int
    sha256: str
    bos: bool
    dtype: str

    @classmethod
    def of(cls, measured: Perplexity) -> "EvaluatedTokens":
        return cls(**measured.model_dump(include=set(cls.model_fields)))


class EvaluatedText(EvaluationText):
    """The manifest of a text, and what was evaluated of it."""

    max_tokens: int
    leakage: Leakage = Field(description="What calibration and training know of the text.")
    protocols: dict[str, EvaluatedTokens]


class Seeds(Document):
    """Of random choices."""

    calibration: int
    bootstrap: int


class Compute(Document):
    """What a step computed with."""

    device: str
    dtype: str | None = Field(None, description="Left out where the step does not tell.")


class ProtocolCard(Document):
    """What must be the same to compare."""

    experiment: str = Field(description="`{model}/{experiment}`.")
    parent: Parent
    pruning: Removed
    calibration: CalibrationTokens
    refit: RefitTokens | None = Field(None, description="Of a model with a refit or scales only.")
    recovery: RecoveryTokens | None = Field(None, description="Of a trained model only.")
    evaluation: dict[str, EvaluatedText] = Field(description="By name of the text.")
    seeds: Seeds
    compute: dict[str, Compute] = Field(description="By step.")
    hardware: Hardware = Field(description="Of the evaluation.")
    versions: dict[str, str] = Field(description="Of Python and the libraries.")
    git_sha: str | None = Field(description="Commit of the project; null outside a git checkout.")
