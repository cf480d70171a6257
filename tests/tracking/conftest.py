"""An empty MLflow store, migrated once and copied, and what is counted in a store."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from fake_results import write_experiment

TABLES = (
    "experiments",
    "experiment_tags",
    "runs",
    "metrics",
    "latest_metrics",
    "params",
    "tags",
    "datasets",
    "inputs",
    "logged_models",
    "logged_model_metrics",
)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    from prunescope.tracking.connection import connected

    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    with connected(f"sqlite:///{path}"):
        return path


@pytest.fixture
def project(tmp_path, monkeypatch, empty_database) -> Path:
    """A project folder, the working directory, with an empty store and one finished experiment."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    shutil.copy(empty_database, root)
    write_experiment(root)
    return root


@pytest.fixture
def store_counts():
    """Count the rows of every table and the artifact files of the project's store."""

    def count(root: Path) -> dict[str, int]:
        with sqlite3.connect(root / "mlflow.db") as database:
            rows = {t: database.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in TABLES}
        return rows | {"files": sum(path.is_file() for path in (root / "mlartifacts").rglob("*"))}

    return count
