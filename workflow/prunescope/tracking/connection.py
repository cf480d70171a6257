"""A client of the tracking store, alone among the project's processes, and what it means when there is none."""

import logging
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from alembic.util import CommandError
from filelock import SoftFileLease, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from mlflow.store.db import utils as db_utils
from requests.exceptions import RequestException
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from prunescope.errors import PrunescopeError
from prunescope.steps.lease import EXPIRES, held_by
from prunescope.tracking import store

# Ten attempts, the last after 51 s, at a database that is down.
db_utils.MAX_RETRY_COUNT = 3

PATIENCE = 600.0
"""Seconds to wait for other processes at the store."""

# Retries, the migrations of a fresh database, tracebacks of a full disk: what comes of them is said in one sentence.
for name in ("urllib3.connectionpool", "mlflow.store.db"):
    logging.getLogger(name).setLevel(logging.CRITICAL)


class TrackingUnavailable(PrunescopeError):
    """The tracking store cannot be reached or refuses; nothing but the synchronisation is lost."""


@contextmanager
def connected(uri: str) -> Iterator[MlflowClient]:
    """Yield a client of the store, alone among the project's processes; a fresh database is created.

    Inside the block the store's folder is the working directory, as MLflow resolves relative locations against that.

    Raises:
        ConfigError: the address is none of a store, or the folder of its file is not there.
        TrackingUnavailable: the store cannot be reached or refuses, now or inside the block.
    """
    uri = store.tracking_uri(uri)
    lock, address = store.lock_file(uri), store.absolute(uri)
    store.check_folder(uri)
    with _explaining_refusal(uri), _alone(lock), chdir(store.folder(uri)):
        client = MlflowClient(tracking_uri=address)
        if root := store.artifact_root(uri):
            # Every public way to give MLflow a relative root makes it absolute.
            client._tracking_client.store.artifact_root_uri = root
        yield client


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Let one process in at a time, also where the file system has no locks."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    lease = SoftFileLease(str(lock.absolute()), lease_duration=EXPIRES)
    try:
        lease.acquire(timeout=PATIENCE)
    except Timeout:
        raise OSError(f"in use for {PATIENCE:.0f} s by {held_by(lock)}") from None
    try:
        yield
    finally:
        lease.release()


@contextmanager
def _explaining_refusal(uri: str) -> Iterator[None]:
    try:
        yield
    # Of an old or foreign database alembic complains, of a missing driver Python, of a full disk the system.
    except (MlflowException, RequestException, SQLAlchemyError, CommandError, ModuleNotFoundError, OSError) as error:
        raise TrackingUnavailable(
            f"the tracking store {store.redact(uri)} {_reason(error, uri)}; the results are safe, and "
            "`prunescope track --all` catches up afterwards"
        ) from error


def _reason(error: Exception, uri: str) -> str:
    """Return what keeps us from the store, fit for files and messages."""
    status = _http_status(error)
    if status in (401, 403):
        return f"refuses access (HTTP {status}: see MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_TOKEN)"
    if status == 404 and store.is_server(uri) and not isinstance(error, RestException):
        return "does not answer like an MLflow server"
    # A server that does not answer looks like an internal error to MLflow's client; a file says what it has.
    if status is not None and (
        status >= 500 if store.is_server(uri) else status == 503 and not store.database_file(uri)
    ):
        return "cannot be reached"
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"cannot be used ({said.replace(uri, store.redact(uri))})"


def _http_status(error: Exception) -> int | None:
    """Return the status of an answer, 503 where there was none, None for what is no question of reaching a store."""
    if isinstance(error, MlflowException):
        return error.get_http_status_code()
    if isinstance(error, RequestException) and error.response is not None:
        return error.response.status_code
    return 503 if isinstance(error, (RequestException, OperationalError)) else None
