"""The steps and the command that bring MLflow level with the results, and leave beside them where they are in it."""

import logging
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from prunescope.artifacts.folders import ComparisonFolder, ExperimentFolder
from prunescope.artifacts.identity import Receipt
from prunescope.errors import PrunescopeError
from prunescope.steps.job import Job
from prunescope.steps.reporting import TrackComparisonSpec, TrackSpec
from prunescope.tracking import store, view
from prunescope.tracking.connection import TrackingUnavailable
from prunescope.tracking.gather import RecordError, open_folder
from prunescope.tracking.shown import any_of
from prunescope.tracking.sync import SyncResult, sync

logger = logging.getLogger(__name__)


def track(job: Job[TrackSpec, ExperimentFolder] | Job[TrackComparisonSpec, ComparisonFolder]) -> None:
    """Synchronise an experiment or the comparison of a sweep; see `track_one`."""
    track_one(job.folder.path, job.spec.uri)


def track_one(directory: Path, uri: str) -> Path:
    """Synchronise one experiment, or the comparison of a sweep, and return the file that says where it is in MLflow.

    A store that cannot be reached or refuses is one warning and a pending file, never an error.

    Raises:
        ConfigError: the address is none of a store.
        RecordError: the experiment has not finished or is being run again. DataError: a file is damaged.
    """
    folder = open_folder(directory)
    try:
        (outcome,) = sync([directory], uri)
    except TrackingUnavailable as error:
        logger.warning("%s", error)
        folder.tracked.write(Receipt(run_id=None, pending=True, reason=str(error)))
    else:
        if isinstance(outcome, PrunescopeError):
            raise outcome
        _write(outcome, uri)
    return folder.tracked.path


def track_all(project: Path, uri: str) -> Counter[str]:
    """Synchronise every finished experiment and comparison of a project.

    Returns:
        How many were ``new``, ``updated``, ``unchanged``, and how many are ``unfinished`` or ``broken`` (said in a
        warning each) and left out.

    Raises:
        TrackingUnavailable: the store cannot be reached or refuses.
    """
    patterns = map(any_of, (ExperimentFolder.identity.pattern, ComparisonFolder.recommendation.pattern))
    counts = Counter(new=0, updated=0, unchanged=0, unfinished=0, broken=0)
    for outcome in sync([path.parent for pattern in patterns for path in sorted(project.glob(pattern))], uri):
        if isinstance(outcome, RecordError):
            counts["unfinished"] += 1
        elif isinstance(outcome, PrunescopeError):
            logger.warning("left out: %s", outcome)
            counts["broken"] += 1
        else:
            _write(outcome, uri)
            counts[outcome.change] += 1
    return counts


def _write(result: SyncResult, uri: str) -> None:
    address = store.redact(store.tracking_uri(uri))
    page = f"{address.rstrip('/')}{view.run_page(result.experiment_id, result.run_id)}"
    receipt = Receipt(
        run_id=result.run_id,
        experiment_id=result.experiment_id,
        key=result.key,
        uri=address,
        url=page if store.is_server(address) else None,
        synced_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    result.folder.tracked.write(receipt)
