"""Rows of a Hugging Face dataset, from the hub or from a local copy in the hub's file layout."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prunescope.config.sections import DatasetSource
from prunescope.data.copies import check_copies
from prunescope.data.documents import Row, at, check_columns
from prunescope.errors import DataError, first_line
from prunescope.steps.fingerprints import copied_files

log = logging.getLogger(__name__)


def read_hub(source: DatasetSource, columns: tuple[str, ...], split: str) -> Iterator[Row]:
    """Yield the rows of a split.

    Raises:
        DataError: the dataset is gated, unknown or out of reach, has no such split, file or column, or is damaged.
    """
    name = source.path or source.hub or ""
    where = f"split '{split}' of '{name}'"
    count = empty = 0
    try:
        for count, row in enumerate(_load(source, name, split), 1):
            place = f"row {count - 1} of {where}"
            check_columns(place, columns, row, first=count == 1)
            empty += any(row[column] is None for column in columns)  # `datasets` fills in what a row lacks
            yield Row(place, row)
    except DataError:
        raise
    except Exception as error:  # of damaged files `datasets` raises whatever their bytes lead to
        raise DataError(_explain(error, source, name, split)) from error
    if empty:
        log.warning("%d of %d rows of %s have nothing in the column %s", empty, count, where, " or ".join(columns))


def _load(source: DatasetSource, name: str, split: str) -> Iterable[dict[str, Any]]:
    from datasets import load_dataset

    if source.path and not Path(source.path).is_dir():
        raise DataError(f"there is no folder '{source.path}': correct the `path` of '{source.hub}' in the config")
    if source.files and split not in source.files:
        raise DataError(
            f"`files` of '{name}' lacks the split '{split}': it has {', '.join(source.files)}; "
            "add it, or name one of these in `splits`"
        )
    files = {split: source.files[split]} if source.files else None
    with at(f"split '{split}' of '{name}' could not be read"):
        check_copies(copied_files(source.model_copy(update={"files": files})))
    return load_dataset(
        name,
        data_files=files,
        revision=None if source.path else source.revision,
        split=split,
        streaming=source.streaming,
    )


def _explain(error: Exception, source: DatasetSource, name: str, split: str) -> str:
    """Return one sentence with a way out for what `datasets` and `huggingface_hub` raise."""
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub import errors as hub

    log_in = "log in with `hf auth login` (or set HF_TOKEN)"
    copy = "give a local copy of the repository as its `path` in the config"
    reason = first_line(error.__cause__ or error)
    unknown = (DatasetNotFoundError, hub.RepositoryNotFoundError, hub.RevisionNotFoundError)
    # `datasets` reports a gated repository as one that is not found, and only its message tells.
    if isinstance(error, hub.GatedRepoError) or (isinstance(error, unknown) and "gated" in str(error)):
        page = f"https://huggingface.co/datasets/{source.hub}"
        return f"'{name}' is gated: accept its licence at {page} and {log_in}, or {copy}"
    if isinstance(error, unknown):
        return (
            f"'{name}' (revision {source.revision or 'default'}) is not on the hub or is private: "
            f"check `hub` and `revision`, {log_in}, or {copy}"
        )
    if isinstance(error, (ConnectionError, hub.LocalEntryNotFoundError, hub.HTTPError)):  # type: ignore[attr-defined]
        return (
            f"the hub could not be reached for '{name}' ({reason}): unset HF_HUB_OFFLINE if it is set, point "
            f"HF_ENDPOINT at a mirror, or {copy}"
        )
    return (
        f"split '{split}' of '{name}' could not be read ({reason}): "
        "check `files`, `splits` and `revision` in the config"
    )
