"""Where the tracking store is: its address, its lock and its artifact folder (no MLflow here)."""

import os
import re
from pathlib import Path

from prunescope.errors import ConfigError
from prunescope.files import expanded

ARTIFACTS = "mlartifacts"
ENVIRONMENT = "MLFLOW_TRACKING_URI"
ADDRESS = re.compile(r"(https?://|sqlite:///|(postgresql|mysql|mssql)(\+\w+)?://).")


def tracking_uri(configured: str) -> str:
    """Return the environment's MLFLOW_TRACKING_URI, which wins, or the configured address.

    Raises:
        ConfigError: it is not the address of a store that can be written to.
    """
    given = os.environ.get(ENVIRONMENT)
    kind, found, file = (given or configured).partition("sqlite:///")
    uri = f"{kind}{found}{expanded(file)}"
    if not ADDRESS.match(uri):
        raise ConfigError(
            f"{ENVIRONMENT if given else 'tracking.uri'} = '{redact(uri)}' is not the address of an MLflow store; "
            "allowed: sqlite:///FILE, an http:// or https:// server, or a postgresql://, mysql:// or mssql:// database"
        )
    return uri


def check_folder(uri: str) -> None:
    """Check that the folder of a ``sqlite:///`` database is there: a wrong one would be made without a word.

    Raises:
        ConfigError: it is not.
    """
    database = database_file(uri)
    if database is not None and not database.parent.is_dir():
        raise ConfigError(f"{redact(uri)}: there is no folder {database.parent}; create it or correct the address")


def is_server(uri: str) -> bool:
    """Return whether the address is that of an MLflow server."""
    return uri.startswith(("http://", "https://"))


def redact(uri: str) -> str:
    """Return the address without user, password and query, fit for files and messages."""
    return re.sub(r"//([^/]*|[^?]*)@", "//", uri).partition("?")[0]


def database_file(uri: str) -> Path | None:
    """Return the absolute file of a ``sqlite:///`` address; None for others."""
    kind, found, file = uri.partition("sqlite:///")
    return Path(file.partition("?")[0]).absolute() if found and not kind else None


def absolute(uri: str) -> str:
    """Return the address with an absolute database file: MLflow keeps one open store per address and process."""
    database = database_file(uri)
    return f"sqlite:///{database}" if database else uri


def lock_file(uri: str) -> Path:
    """Return the file that says which process synchronises: beside the database, or in the working directory."""
    database = database_file(uri)
    return database.with_name(f".{database.name}.lease") if database else Path(".mlflow/sync.lease")


def artifact_root(uri: str) -> str | None:
    """Return the artifact folder, relative to `folder`, so that both can be moved; None where a server decides."""
    return ARTIFACTS if database_file(uri) else None


def folder(uri: str) -> Path:
    """Return the absolute folder that relative locations in a store are relative to: that of a sqlite database."""
    database = database_file(uri)
    return database.parent if database else Path.cwd()
