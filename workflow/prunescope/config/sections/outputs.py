"""Tracking, and exports to other formats."""

from pydantic import Field

from prunescope.config.sections.base import GgufType, Rate, Section


class Tracking(Section):
    """Where experiments are recorded."""

    enabled: bool = Field(True, description="Whether to synchronise with MLflow.")
    uri: str = Field(
        "sqlite:///mlflow.db",
        description="MLflow store: `sqlite:///FILE`, the http(s) address of a server, or a `postgresql://`, `mysql://` "
        "or `mssql://` database. The environment variable MLFLOW_TRACKING_URI wins.",
    )


class Closeness(Section):
    """How close the next-token distributions of an exported file must be to the checkpoint's, on a fixed text."""

    min_agreement: Rate = Field(0.98, description="Smallest share of positions with the same most likely token.")
    max_kl: float = Field(0.01, ge=0, description="Largest mean KL divergence from the checkpoint, in nats.")


class GgufExport(Section):
    """GGUF files for llama.cpp; one that differs from the checkpoint is refused.

    A quantised file is compared before quantisation (`exact`) and after, to tell a wrong file from a rounded one.
    """

    types: tuple[GgufType, ...] = Field(("f16", "q8_0"), min_length=1, description="What `export/gguf` makes.")
    exact: Closeness = Field(Closeness(), description="For f32, f16 and bf16.")
    eight_bit: Closeness = Field(Closeness(min_agreement=0.9, max_kl=0.02), description="For q8_0.")
    four_bit: Closeness = Field(Closeness(min_agreement=0.5, max_kl=0.5), description="For q4_0 and q4_k_m.")
    pre_tokenizer: str | None = Field(
        None, description="llama.cpp's name of the pre-tokenizer; null: found by the tokenizer.", examples=["qwen2"]
    )


class Export(Section):
    """Formats of other programs, exported on request only."""

    gguf: GgufExport = Field(GgufExport(), description="GGUF files for llama.cpp.")
