"""Chromium on MLflow's pages: one server for all tests, over a store that `prunescope track --all` filled.

`PRUNESCOPE_RESULTS` names a `results/` folder to show instead of the made-up one, with experiments of the same names;
`PRUNESCOPE_SCREENSHOTS` names a folder for pictures of what the tests saw (`make screenshots`).
"""

import os
import re
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
from realistic_results import EXPERIMENTS, write_results

URI = "sqlite:///mlflow.db"
# MLflow opens a chat panel over the first page that a browser ever sees.
NO_PANEL = "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"
SECONDS = 30


@dataclass(frozen=True)
class Site:
    """A running server: the link that it printed, and the model and two of the experiments that it shows."""

    link: str
    model: str
    experiments: tuple[str, ...] = tuple(EXPERIMENTS)

    @property
    def address(self) -> str:
        return self.link.partition("/#/")[0]


@pytest.fixture(scope="session")
def site(tmp_path_factory, programs):
    root = tmp_path_factory.mktemp("site")
    if given := os.environ.get("PRUNESCOPE_RESULTS"):
        (root / "results").symlink_to(Path(given).absolute())
    else:
        write_results(root)
    environment = os.environ | {"MLFLOW_TRACKING_URI": ""}
    subprocess.run([programs / "prunescope", "track", "--all", "--uri", URI], cwd=root, env=environment, check=True)
    code = f"from prunescope.tracking.ui import serve; serve('{URI}', 0)"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    server = subprocess.Popen([programs / "python", "-c", code], cwd=root, env=environment, **pipes)
    try:
        link = re.search(r"http://\S+", server.stdout.readline()).group()
        found = Site(link, _model(root / "results"))
        wait_for(f"{found.address}/health")
        yield found
    finally:
        server.terminate()
        server.wait(timeout=20)


def _model(results: Path) -> str:
    """Return the model of which both experiments were tracked."""
    tracked = [{path.parents[1].name for path in results.glob(f"*/{name}/mlflow.json")} for name in EXPERIMENTS]
    return min(set.intersection(*tracked))


def wait_for(address: str) -> None:
    end = time.monotonic() + 180  # on a machine that has more to do
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(address)


@pytest.fixture
def page(browser, site):
    """A page of a browser that was never here before, open on the link that `make ui` prints."""
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    context.set_default_timeout(SECONDS * 1000)
    context.add_init_script(NO_PANEL)
    opened = context.new_page()
    opened.goto(site.link)
    yield opened
    context.close()


@pytest.fixture
def picture(page):
    """Keep what the page shows for the documentation, where that is asked for."""

    def keep(name: str) -> None:
        if folder := os.environ.get("PRUNESCOPE_SCREENSHOTS"):
            page.mouse.move(0, 0)
            page.screenshot(path=Path(folder) / f"mlflow-{name}.png", animations="disabled")

    return keep
