"""Local text files, as the configuration names them."""

from pathlib import Path

TEXT_FILES = (".txt", ".jsonl", ".parquet")


def matching_files(pattern: str) -> list[Path]:
    """Return the files that a glob matches, sorted; relative patterns start in the working directory."""
    path = Path(pattern)
    return sorted(match for match in Path(path.anchor).glob(str(path.relative_to(path.anchor))) if match.is_file())


def text_files(pattern: str) -> list[Path]:
    """Return the .txt, .jsonl and .parquet files that a glob matches."""
    return [file for file in matching_files(pattern) if file.suffix in TEXT_FILES]
