import socket

import pytest

from prunescope.tracking import store
from prunescope.tracking.ui import free_port


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://me:secret@host:8080/mlflow", "https://host:8080/mlflow"),
        ("https://me:p@ss@host", "https://host"),
        ("postgresql://host/db?password=secret", "postgresql://host/db"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
    ],
)
def test_addresses_are_shown_without_secrets(uri, shown):
    assert store.redact(uri) == shown


def test_the_environment_wins(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    assert store.tracking_uri("sqlite:///mlflow.db") == "http://elsewhere"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert store.tracking_uri("sqlite:///mlflow.db") == "sqlite:///mlflow.db"


def test_artifacts_and_lock_lie_beside_the_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert store.artifact_root("sqlite:///sub/mlflow.db") == "sub/mlartifacts"
    assert store.artifact_root(f"sqlite:///{tmp_path}/mlflow.db") == "mlartifacts"
    assert store.artifact_root("sqlite:////elsewhere/mlflow.db") == "/elsewhere/mlartifacts"
    assert store.artifact_root("http://host") is None
    assert str(store.lock_file("sqlite:///sub/mlflow.db")) == "sub/mlflow.db.lock"


def test_a_port_in_use_is_replaced():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(port) == port
