import socket

import pytest

from prunescope.config.resolve import load_config, resolve
from prunescope.config.sections import Tracking
from prunescope.errors import ConfigError
from prunescope.runs.preflight import check_reachable
from prunescope.steps.planned import Planned
from prunescope.tracking import store
from prunescope.tracking.ui import free_port


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://me:secret@host:8080/mlflow", "https://host:8080/mlflow"),
        ("https://me:p@ss@host", "https://host"),
        ("https://me:p/ss@host/mlflow", "https://host/mlflow"),
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


@pytest.mark.parametrize("uri", ["localhost:5000", "mlflow.db", "./mlruns", "file:///mlruns", "sqlite://", "http://"])
def test_what_is_no_address_is_refused_in_one_sentence(uri, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError, match=f"tracking.uri = '{uri}' is not the address .* allowed: sqlite:///FILE"):
        store.tracking_uri(uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(ConfigError, match=f"MLFLOW_TRACKING_URI = '{uri}'"):
        store.tracking_uri("sqlite:///mlflow.db")


def test_it_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    experiment = resolve(load_config(), "SmolLM2-135M", "taylor_T0_20_wiki")
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI"):
        check_reachable(Planned(experiment))
    check_reachable(Planned(experiment.model_copy(update={"tracking": Tracking(enabled=False)})))


@pytest.mark.parametrize("uri", ["http://localhost:5000", "sqlite:////data/mlflow.db", "postgresql+psycopg2://me@h/db"])
def test_addresses_of_stores_are_taken(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert store.tracking_uri("sqlite:///mlflow.db") == uri


def test_a_folder_that_is_not_there_is_told_and_not_made(tmp_path):
    with pytest.raises(ConfigError, match=f"there is no folder {tmp_path}/new; create it or correct the address"):
        store.check_folder(f"sqlite:///{tmp_path}/new/x.db")
    store.check_folder(f"sqlite:///{tmp_path}/x.db")
    store.check_folder("https://host/new")


def test_artifacts_and_lock_lie_beside_the_database(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert store.artifact_root("sqlite:///sub/mlflow.db") == "mlartifacts"
    assert store.artifact_root("http://host") is None
    assert store.folder("sqlite:///sub/mlflow.db") == tmp_path / "sub"
    assert str(store.folder("sqlite:////elsewhere/mlflow.db")) == "/elsewhere"
    assert store.lock_file("sqlite:///sub/mlflow.db") == tmp_path / "sub/.mlflow.db.lease"


def test_a_port_in_use_is_replaced():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(port) == port
