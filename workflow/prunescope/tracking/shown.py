"""Which files are shown beside a run."""

import re
from pathlib import Path

from prunescope.artifacts.files import Folder
from prunescope.artifacts.folders import (
    BaselineFolder,
    ComparisonFolder,
    ModelFolder,
    SearchTextFolder,
    TrialTextFolder,
    ZeroshotBaselineFolder,
)
from prunescope.artifacts.folders import ExperimentFolder as Own
from prunescope.artifacts.folders import SharedFolder as Shared

SUFFIXES = (".md", ".yaml", ".json", ".csv", ".html", ".png", ".svg")
LARGEST = 5 * 2**20
HIDDEN = {
    # The row itself says it.
    *(Own.identity, Own.record, Own.tracked, ComparisonFolder.record, ComparisonFolder.tracked),
    *(kind.record for kind in Shared.__subclasses__()),
    # Another file says the same.
    *(Own.html, Own.vector, Own.before_after_vector, ComparisonFolder.html),
    # The experiments that use it say it.
    *(ModelFolder.facts, BaselineFolder.perplexity, BaselineFolder.words, ZeroshotBaselineFolder.scores),
    *(TrialTextFolder.measured, SearchTextFolder.measured),
}


def artifacts(folder: Folder) -> dict[str, Path]:
    """Return the small files of a folder that people open: name within the folder -> absolute path."""
    found = [
        path
        for file in folder.files().values()
        if file not in HIDDEN and file.path.endswith(SUFFIXES)
        for path in folder.path.glob(any_of(file.path))
    ]
    return {
        path.relative_to(folder.path).as_posix(): path.absolute()
        for path in sorted(found)
        if path.is_file() and path.stat().st_size <= LARGEST
    }


def any_of(pattern: str) -> str:
    """Return what to search for files by, such as ``visualization/*.png`` for ``visualization/{plot}.png``."""
    return re.sub(r"\{\w+\}", "*", pattern)
