"""The pages are served by a real server, which also takes a synchronisation over HTTP."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass

import pytest
from fake_results import MODEL, NAME, URI, write_experiment

from prunescope.errors import ConfigError
from prunescope.tracking.sync import sync
from prunescope.tracking.track import track_all, track_one
from prunescope.tracking.ui import experiment_link, free_port, serve


def get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.read()


@dataclass
class Server:
    """A server and the link that it printed."""

    link: str
    process: subprocess.Popen

    @property
    def address(self) -> str:
        return self.link.partition("/#/")[0]

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server(project):
    """The project's store with one experiment, served as `serve` does."""
    sync([project / "results" / MODEL / NAME], URI)
    code = f"from prunescope.tracking.ui import serve; serve('{URI}', {free_port(0)})"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, **pipes)
    try:
        yield Server(re.search(r"http://\S+", process.stdout.readline()).group(), process)
    finally:
        process.terminate()
        process.wait(timeout=20)


def wait_for(address: str) -> None:
    for _ in range(120):
        try:
            get(f"{address}/health")
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise TimeoutError(address)


def test_links(project):
    assert experiment_link(URI) == ("http://127.0.0.1:5000/#/experiments", [])
    (result,) = sync([project / "results" / MODEL / NAME], URI)
    table = f"/#/experiments/{result.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey=prunescope"
    assert experiment_link(URI) == (f"http://127.0.0.1:5000{table}", [])
    assert experiment_link(URI, port=5001, model=MODEL)[0] == f"http://127.0.0.1:5001{table}"
    with pytest.raises(ConfigError, match=f"no experiment of 'Tinny' is in MLflow; did you mean '{MODEL}'"):
        experiment_link(URI, model="Tinny")


def test_the_server_shows_the_project(project, server, capfd):
    address, _, page = server.link.partition("/#/")
    assert re.fullmatch(r"experiments/\d+/runs\?workflowType=machine_learning&viewStateShareKey=prunescope", page)
    wait_for(address)
    directory = project / "results" / MODEL / NAME
    (local,) = sync([directory], URI)
    readme = get(f"{address}/get-artifact?path=README.md&run_uuid={local.run_id}")
    assert readme == (directory / "README.md").read_bytes()

    assert sync([directory], address)[0] == local
    other = write_experiment(project, "taylor_T0_20_wiki")
    content = json.loads(track_one(other, address).read_text())
    assert (
        content["url"]
        == f"{address}/#/experiments/{local.experiment_id}/runs/{content['run_id']}?workflowType=machine_learning"
    )
    assert sync([other], address)[0].change == "unchanged"
    capfd.readouterr()
    (other / "README.md").write_text("changed")
    track_one(other, address.replace("//", "//me:secret@"))
    assert "secret" not in "".join([*capfd.readouterr(), (other / "mlflow.json").read_text()])
    assert serve(address, 0) is None


def test_a_server_that_is_killed_in_a_sweep_costs_nothing_that_track_all_does_not_bring(project, server, caplog):
    wait_for(server.address)
    one, two, three = (write_experiment(project, f"taylor_T{i}_20_wiki") for i in range(3))
    track_one(one, server.address)
    server.kill()
    for directory in (two, three):
        caplog.clear()
        track_one(directory, server.address)
        (warning,) = (record.getMessage() for record in caplog.records)
        assert "prunescope track --all" in warning
        assert json.loads((directory / "mlflow.json").read_text())["pending"] is True
    assert track_all(project, URI) == Counter(new=2, unchanged=2)
    assert all(json.loads((directory / "mlflow.json").read_text())["run_id"] for directory in (one, two, three))
    assert track_all(project, URI) == Counter(unchanged=4)
