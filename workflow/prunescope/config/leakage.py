"""What a test text has in common with the texts that a model was pruned or trained by."""

from collections.abc import Iterable
from typing import Literal

from prunescope.config.sections import DatasetSource
from prunescope.config.sections.sources import Purpose, text_files

Leakage = Literal["none", "source", "documents"]
"""`source`: the same source but disjoint splits, so that only the domain is known; `documents`: the same split."""

ORDER: tuple[Leakage, ...] = ("none", "source", "documents")


def worst_leakage(used: Iterable[DatasetSource], test: DatasetSource) -> Leakage:
    """Return the most that any of the texts that were used has in common with a test text, judged by their sources.

    Two copies of a text under different hub ids or wheels are not recognised.
    """
    return max((leakage_between(source, "calibration", test, "test") for source in used), key=ORDER.index)


def leakage_between(one: DatasetSource, its: Purpose, other: DatasetSource, others: Purpose) -> Leakage:
    """Return what a split of one text has in common with another split of another, or of the same, text."""
    if one.hub and one.hub == other.hub:
        return "documents" if _split(one, its) == _split(other, others) else "source"
    # Wheels and local files are split by a hash of each document: read alike, two splits never share one. Among other
    # files long documents are divided elsewhere, so that parts of two splits may overlap.
    if one.embedded and other.embedded:
        return "source" if one.embedded.member_sha256 == other.embedded.member_sha256 else "none"
    if one.local and other.local:
        used, tested = set(text_files(one.local)), set(text_files(other.local))
        alike = used == tested and one.reading == other.reading
        return ("source" if alike else "documents") if used & tested else "none"
    return "none"


def _split(source: DatasetSource, purpose: Purpose) -> tuple[str, str | None]:
    name = getattr(source.splits, purpose)
    return name, (source.files or {}).get(name)
