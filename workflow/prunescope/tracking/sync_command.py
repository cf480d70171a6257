"""`prunescope track`: synchronise experiments and comparisons and leave an `mlflow.json` beside each."""

import logging
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from prunescope.config.resolve import COMPARISON
from prunescope.errors import PrunescopeError
from prunescope.files import write_json
from prunescope.tracking import store, view
from prunescope.tracking.connection import TrackingUnavailable
from prunescope.tracking.gather import EXPERIMENT_FILE
from prunescope.tracking.gather_comparison import gather, is_whole
from prunescope.tracking.mlflow_sync import SyncResult, sync

logger = logging.getLogger(__name__)


def track_one(directory: Path, uri: str) -> Path:
    """Synchronise one experiment, or the comparison of a sweep, and return its ``mlflow.json``.

    A store that cannot be reached or refuses is one warning and a pending ``mlflow.json``, never an error.

    Raises:
        ConfigError: the address is none of a store.
        RecordError: the experiment has not finished or has a broken record.
    """
    try:
        (result,) = sync([directory], uri)
    except TrackingUnavailable as error:
        logger.warning("%s", error)
        path = directory / "mlflow.json"
        write_json(path, {"run_id": None, "pending": True, "reason": str(error)})
        return path
    return _write(result, uri)


def track_all(results: Path, uri: str) -> Counter[str]:
    """Synchronise every finished experiment and comparison under `results`.

    Returns:
        How many were ``new``, ``updated``, ``unchanged``, and how many are ``unfinished`` or ``broken`` (said in a
        warning each) and left out.

    Raises:
        TrackingUnavailable: the store cannot be reached or refuses.
    """
    patterns = (f"*/*/{EXPERIMENT_FILE}", f"*/{COMPARISON}/*/recommendation.json")
    found = [path.parent for pattern in patterns for path in sorted(results.glob(pattern))]
    finished = [directory for directory in found if is_whole(directory)]
    whole = [directory for directory in finished if _is_readable(directory)]
    counts = Counter(new=0, updated=0, unchanged=0, unfinished=len(found) - len(finished))
    counts["broken"] = len(finished) - len(whole)
    for result in sync(whole, uri) if whole else []:
        _write(result, uri)
        counts[result.change] += 1
    return counts


def _is_readable(directory: Path) -> bool:
    try:
        gather(directory)
    except PrunescopeError as error:
        logger.warning("left out: %s", error)
        return False
    return True


def _write(result: SyncResult, uri: str) -> Path:
    address = store.redact(store.tracking_uri(uri))
    page = f"{address.rstrip('/')}{view.run_page(result.experiment_id, result.run_id)}"
    path = result.directory / "mlflow.json"
    content = {
        "run_id": result.run_id,
        "experiment_id": result.experiment_id,
        "key": result.key,
        "uri": address,
        "url": page if store.is_server(address) else None,
        "synced_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(path, content)
    return path
