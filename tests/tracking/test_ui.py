"""The pages are served by a real server, which also takes a synchronisation over HTTP."""

import json
import re
import subprocess
import sys
import time
import urllib.request

import pytest
from fake_results import MODEL, NAME, URI, write_experiment

from prunescope.tracking.mlflow_sync import sync
from prunescope.tracking.sync_command import track_one
from prunescope.tracking.ui import experiment_link, free_port, serve


def get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.read()


@pytest.fixture
def server(project):
    """The project's store with one experiment, served as `serve` does; yields the printed link."""
    sync([project / "results" / MODEL / NAME], URI)
    code = f"from prunescope.tracking.ui import serve; serve('{URI}', {free_port(0)})"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code], **pipes)
    try:
        yield re.search(r"http://\S+", process.stdout.readline()).group()
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
    assert experiment_link(URI) == "http://127.0.0.1:5000/#/experiments"
    (result,) = sync([project / "results" / MODEL / NAME], URI)
    table = f"/#/experiments/{result.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey=prunescope"
    assert experiment_link(URI) == experiment_link(URI, MODEL) == f"http://127.0.0.1:5000{table}"
    assert experiment_link(URI, MODEL, port=5001) == f"http://127.0.0.1:5001{table}"
    assert experiment_link(URI, "Other") == "http://127.0.0.1:5000/#/experiments"


def test_the_server_shows_the_project(project, server):
    address, _, page = server.partition("/#/")
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
    assert serve(address, 0) is None
