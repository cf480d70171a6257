"""Where the tracking store is: its address, its lock and its artifact folder (no MLflow here)."""

import os
import re
from pathlib import Path

ARTIFACTS = "mlartifacts"


def tracking_uri(configured: str) -> str:
    """Return the environment's MLFLOW_TRACKING_URI, which wins, or the configured address."""
    return os.environ.get("MLFLOW_TRACKING_URI") or configured


def is_server(uri: str) -> bool:
    """Return whether the address is that of an MLflow server."""
    return uri.startswith(("http://", "https://"))


def redact(uri: str) -> str:
    """Return the address without user, password and query, fit for files and messages."""
    return re.sub(r"//[^/]*@", "//", uri).partition("?")[0]


def database_file(uri: str) -> Path | None:
    """Return the file of a ``sqlite:///`` address, relative to the working directory; None for others."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///").partition("?")[0])


def absolute(uri: str) -> str:
    """Return the address with an absolute database file.

    MLflow keeps one open store per address and process: a relative one would name a new database
    after a change of directory and still get the old.
    """
    database = database_file(uri)
    return uri if database is None else f"sqlite:///{database.absolute()}"


def lock_file(uri: str) -> Path:
    """Return the file that synchronising processes lock: beside the database, or in the working directory."""
    database = database_file(uri)
    return database.with_name(f"{database.name}.lock") if database else Path(".mlflow/sync.lock")


def artifact_root(uri: str) -> str | None:
    """Return the artifact folder beside a sqlite database, None where MLflow's server decides.

    Inside the working directory it is relative, so that the project folder can be moved.
    """
    database = database_file(uri)
    if database is None:
        return None
    folder = database.absolute().parent / ARTIFACTS
    return (folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder).as_posix()
