"""Tracking, and exports to other formats."""

from pydantic import Field

from prunescope.config.sections.base import GgufType, Rate, Section


class Tracking(Section):
    """Where experiments are recorded."""

    enabled: bool = Field(True, description="Whether to synchronise with MLflow at all.")
    uri: str = Field(
        "sqlite:///mlflow.db",
        description="MLflow store: `sqlite:///FILE`, the http(s) address of a server, or a `postgresql://`, `mysql://` "
        "or `mssql://` database; the environment variable MLFLOW_TRACKING_URI wins.",
    )


class Closeness(Section):
    """How close the next-token distributions of an exported file must be to the checkpoint's, on a fixed text."""

    min_agreement: Rate = Field(0.98, description="Share of positions where the most likely token must be the same.")
    max_kl: float = Field(0.01, ge=0, description="Largest mean KL divergence from the checkpoint, in nats.")


class GgufExport(Section):
    """GGUF files for llama.cpp. Each is compared with the checkpoint and refused when it differs.

    What is quantised is compared twice, before (`exact`) and after, so that a wrong file is told from a rounded one.
    """

    types: tuple[GgufType, ...] = Field(
        ("f16", "q8_0"), min_length=1, description="What the target `{experiment}/export/gguf` makes."
    )
    exact: Closeness = Field(Closeness(), description="For f32, f16 and bf16.")
    eight_bit: Closeness = Field(Closeness(min_agreement=0.9, max_kl=0.02), description="For q8_0.")
    four_bit: Closeness = Field(Closeness(min_agreement=0.5, max_kl=0.5), description="For q4_0 and q4_k_m.")
    pre_tokenizer: str | None = Field(
        None, description="llama.cpp's name of the pre-tokenizer; null: told from the tokenizer.", examples=["qwen2"]
    )


class Export(Section):
    """Formats of other programs; nothing is exported unless it is asked for."""

    gguf: GgufExport = Field(GgufExport(), description="GGUF files for llama.cpp.")
