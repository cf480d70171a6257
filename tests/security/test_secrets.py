"""A password or a token is in no file and on no terminal; servers are for this machine alone."""

import os
import re
from pathlib import Path

import pytest

from prunescope.cli.unexpected import describe, without_secrets
from prunescope.tracking import ui
from prunescope.tracking.ui import serve

ROOT = Path(__file__).parents[2]


def test_the_traceback_of_an_error_holds_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:pa/ss@host/db?password=w0rd")
    try:
        raise KeyError("hf_abcdefgh at postgresql://me:pa/ss@host/db?password=w0rd and https://you:s3cret@host/x")
    except KeyError as error:
        said = describe(error, "`prunescope page`")
    (file,) = tmp_path.iterdir()
    for text in (said, file.read_text()):
        assert not re.search("abcdefgh|pa/ss|w0rd|s3cret", text)
    assert "(HF_TOKEN) at postgresql://host/db and https://host/x" in said


def test_text_without_one_stays_as_it_is(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
    assert without_secrets("see https://host/x and a@b.c: 1") == "see https://host/x and a@b.c: 1"


def test_the_pages_are_served_to_this_machine_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(ui, "experiment_link", lambda *_: ("link", []))
    started = []
    monkeypatch.setattr(os, "execve", lambda _, command, variables: started.append((command, variables)))
    serve("sqlite:///mlflow.db")
    ((command, variables),) = started
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert not any("sqlite" in word for word in command) and "mlflow.db" in variables["MLFLOW_BACKEND_STORE_URI"]
    assert ui.HOST == "127.0.0.1"


@pytest.mark.parametrize("file", ["Makefile", "mkdocs.yml"])
def test_so_is_the_documentation(file):
    served = re.findall(r"(?:dev[-_]addr:?|--host) +(\S+)", (ROOT / file).read_text())
    assert all(address.startswith("127.0.0.1") for address in served)
    assert served or file != "Makefile"
