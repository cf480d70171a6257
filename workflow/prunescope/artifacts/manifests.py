"""Where tokens come from: the manifests of calibration, recovery and evaluation text."""

from typing import Annotated

from pydantic import Field

from prunescope.artifacts.document import Document

Divided = Annotated[
    int,
    Field(
        description="Local files only: documents of the whole text that were longer than 2 % of it. Their parts count "
        "as documents, and may be in different splits."
    ),
]


class Drawn(Document):
    """What was drawn from one text."""

    source: str = Field(description="Hub id, wheel or files.")
    revision: str | None = Field(description="Commit of the hub, or null.")
    split: str = Field(description="Split that the documents are of.")
    windows: int = Field(description="Windows drawn from this text.")
    documents: int = Field(description="Documents in these windows.")
    divided: Divided = 0


class DrawnDocuments(Drawn):
    """What was drawn from one text, with the documents."""

    document_ids: list[str] = Field(description="In the order in which they were drawn.")


class Tokens(Document):
    """Tokens that a model is calibrated or trained on."""

    source: str = Field(description="Of all texts, joined by ` + `.")
    revision: str | None = Field(description="Of the only text; null for a mixture.")
    documents: int = Field(description="Of all texts.")
    sha256: str = Field(description="Of the tokens: int32, little-endian, row by row.")
    tokens: int = Field(description="Without padding.")
    samples: int = Field(description="Rows of the tensor.")
    seq_len: int = Field(description="Tokens per row.")
    seed: int = Field(description="Of the order in which documents and windows were drawn.")
    bos: bool = Field(description="Whether a row begins with a BOS token.")


class CalibrationManifest(Tokens):
    """Where the calibration tokens come from."""

    texts: dict[str, DrawnDocuments] = Field(description="By name of the text.")


class RecoveryManifest(CalibrationManifest):
    """Where the tokens of recovery come from."""

    learned_tokens: int = Field(description="Labels that are learned: not prompt, not padding.")


class TrialManifest(Document):
    """Where the windows come from that settings are tried on."""

    texts: dict[str, DrawnDocuments] = Field(description="By name of the text.")
    sha256: dict[str, str] = Field(description="Of the tokens of each text: int32, little-endian, row by row.")
    left_out: dict[str, str] = Field(description="Texts that are not tried on, and why.")


class EvaluationText(Document):
    """The test split of one text."""

    source: str = Field(description="Hub id, wheel or files.")
    revision: str | None = Field(description="Commit of the hub, or null.")
    split: str = Field(description="Split that the documents are of.")
    documents: int = Field(description="Documents that were read.")
    divided: Divided = 0
    tokens: int = Field(description="Of all that was read.")
    whole_split: bool = Field(description="Whether the split was read to its end.")
    tokens_used: dict[str, int] = Field(description="Tokens that are evaluated, by protocol.")
    sha256: str = Field(description="Of all tokens: int32, little-endian.")


EvaluationManifest = dict[str, EvaluationText]
"""By name of the text."""
