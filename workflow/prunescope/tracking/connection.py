"""A client of the tracking store, alone among the project's processes, and what it means when there is none."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from requests.exceptions import RequestException
from sqlalchemy.exc import OperationalError

from prunescope.errors import PrunescopeError
from prunescope.tracking import store


class TrackingUnavailable(PrunescopeError):
    """The tracking store cannot be reached; nothing but the synchronisation is lost."""


@contextmanager
def connected(uri: str) -> Iterator[MlflowClient]:
    """Yield a client of the store, alone among the project's processes; a fresh database is created.

    Raises:
        TrackingUnavailable: the store cannot be reached, now or inside the block.
    """
    uri = store.tracking_uri(uri)
    lock = store.lock_file(uri)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock), _quiet(), _explaining_absence(uri):
        client = MlflowClient(tracking_uri=store.absolute(uri))
        if root := store.artifact_root(uri):
            # Every public way to give MLflow a relative root makes it absolute.
            client._tracking_client.store.artifact_root_uri = root
        yield client


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what is said in one sentence instead: retries, and the migrations of a fresh database."""
    levels = {"urllib3.connectionpool": logging.ERROR, "mlflow.store.db": logging.ERROR}
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _explaining_absence(uri: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, RequestException, OperationalError) as error:
        reason = _absence(error, uri)
        if reason is None:
            raise
        raise TrackingUnavailable(
            f"the tracking store {store.redact(uri)} {reason}; the results are safe, and "
            "`prunescope track --all` catches up once it is back"
        ) from error


def _absence(error: Exception, uri: str) -> str | None:
    """Return what keeps us from the store, None when the error is of another kind."""
    status = _http_status(error)
    if status in (401, 403):
        return f"refuses access (HTTP {status}: see MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_TOKEN)"
    if status == 404 and store.is_server(uri) and not isinstance(error, RestException):
        return "does not answer like an MLflow server"
    # A server that does not answer looks like an internal error to MLflow's client.
    return "cannot be reached" if status == 503 or (status >= 500 and store.is_server(uri)) else None


def _http_status(error: Exception) -> int:
    if isinstance(error, MlflowException):
        return error.get_http_status_code()
    response = getattr(error, "response", None)
    return 503 if response is None else response.status_code
