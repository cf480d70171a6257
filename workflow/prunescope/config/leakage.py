"""What a test text has in common with the texts that a model was pruned or trained by."""

from collections.abc import Iterable
from typing import Literal

from prunescope.config.sections import DatasetSource
from prunescope.config.sections.sources import text_files

Leakage = Literal["none", "source", "documents"]
"""`source`: the same source but disjoint splits, so that only the domain is known; `documents`: the same split."""

ORDER: tuple[Leakage, ...] = ("none", "source", "documents")


def worst_leakage(used: Iterable[DatasetSource], test: DatasetSource) -> Leakage:
    """Return the most that any of the texts that were used has in common with a test text, judged by their sources.

    Two copies of a text under different hub ids or wheels are not recognised.
    """
    return max((_leakage(source, test) for source in used), key=ORDER.index)


def _leakage(calibration: DatasetSource, test: DatasetSource) -> Leakage:
    if calibration.hub and calibration.hub == test.hub:
        same = _split(calibration, calibration.splits.calibration) == _split(test, test.splits.test)
        return "documents" if same else "source"
    # Wheels and local files are split by a hash of each document: read alike, two splits never share one. Among other
    # files long documents are divided elsewhere, so that parts of two splits may overlap.
    if calibration.embedded and test.embedded:
        return "source" if calibration.embedded.member_sha256 == test.embedded.member_sha256 else "none"
    if calibration.local and test.local:
        used, tested = set(text_files(calibration.local)), set(text_files(test.local))
        alike = used == tested and calibration.reading == test.reading
        return ("source" if alike else "documents") if used & tested else "none"
    return "none"


def _split(source: DatasetSource, name: str) -> tuple[str, str | None]:
    return name, (source.files or {}).get(name)
