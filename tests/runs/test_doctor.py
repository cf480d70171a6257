"""What this machine lacks for what is to run: said in a table, and by the exit code."""

import shutil
import tempfile
from collections import namedtuple
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from prunescope.cli import app
from prunescope.config.files import CONFIG_FILE
from prunescope.models import loading
from prunescope.packages import Package
from prunescope.runs import machine
from prunescope.runs.doctor import examine

Usage = namedtuple("Usage", "total used free")
TARGET = "tiny/taylor_T0_20_mine"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose model and text are there, on a machine that has what is needed; the hub answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "urlopen", contextmanager(lambda *_, **__: iter([None])))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 0, 2**40))
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / name).write_text("{}")
    (tmp_path / "mine.txt").write_text("text")
    configure()
    return tmp_path


def configure(targets=(TARGET,), **models):
    content = {
        "targets": list(targets),
        "models": {"tiny": {"path": "model"}} | models,
        "datasets": {"mine": {"local": "*.txt"}, "far": {"hub": "a/text"}},
        "evaluation": {"datasets": ["mine"]},
    }
    CONFIG_FILE.parent.mkdir(exist_ok=True)
    CONFIG_FILE.write_text(yaml.safe_dump(content))


def looked(*targets, overlays=()):
    return {check.name: check for check in examine(targets, overlays)}


def missing(*targets, **more):
    return {name: check for name, check in looked(*targets, **more).items() if check.status == "missing"}


def test_nothing_is_missing(project):
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0, done.output
    assert "Nothing is missing" in done.output
    assert {"Python", "PyTorch", "bfloat16", "memory", "disk", "hub", "model tiny", "text mine"} <= set(looked())


def test_a_model_folder_that_is_not_there(project):
    configure(other={"path": "/nowhere"})
    found = missing()
    assert list(found) == ["model other"]
    assert (
        found["model other"].found == "there is no folder /nowhere"
        and "models.other.path" in found["model other"].advice
    )
    (project / "model/model.safetensors").unlink()
    assert missing()["model tiny"].found == "model has no *.safetensors"
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1 and "Missing: model other, model tiny." in done.output


def test_without_a_network_only_what_comes_from_the_hub_is_missing(project, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no route")

    configure(far={"hub": "a/b"})
    monkeypatch.setattr(machine, "urlopen", refuse)
    assert looked()["hub"].status == "note"
    found = missing("far/taylor_T0_20_far")["hub"]
    assert "does not answer (no route); needed for model far, text far" in found.found
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert looked("far/taylor_T0_20_mine")["hub"].found == "HF_HUB_OFFLINE is set; needed for model far"


def test_a_full_disk(project, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 2**40, 2**20))
    assert "0.0 GiB free in results; about 2.0 GiB are needed" in missing()["disk"].found

    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    found = missing()
    assert {"disk", "temporary files"} == set(found)
    assert "nothing can be written there: No space left on device" in found["temporary files"].found


@pytest.mark.parametrize(("native", "status"), [(True, "ok"), (False, "note")])
def test_bfloat16(project, monkeypatch, native, status):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(loading, "native_bfloat16", lambda: native)
    assert looked()["bfloat16"].status == status


def test_an_optional_package_is_missing_where_it_is_needed(project, monkeypatch):
    monkeypatch.setattr(Package, "installed", False)
    assert looked()["peft"].status == "note"
    found = missing(f"{TARGET}_recover")
    assert list(found) == ["peft"] and found["peft"].advice.endswith("'.[recover]'")


def test_the_configuration_and_the_environment_are_looked_at_too(project, monkeypatch):
    overlay = Path("overlay.yaml")
    overlay.write_text("limits: {max_rat: 0.5}")
    assert "limits.max_rat" in missing(overlays=[overlay])["configuration"].found
    assert "unknown criterion" in missing("tiny/tailor_T0_20_mine")["targets"].found
    monkeypatch.setenv("PRUNESCOPE_HOST_MEMORY", "much")
    assert "must be a number of GiB" in missing()["environment"].found
    monkeypatch.delenv("PRUNESCOPE_HOST_MEMORY")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////nowhere/mlflow.db")
    assert "there is no folder" in missing()["MLflow"].found
