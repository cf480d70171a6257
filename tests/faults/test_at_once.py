"""Two runs, a loop of `prunescope track --all` and `make ui` at once, on one store: no error, and each row once."""

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.request

import pytest

from workflow.conftest import Project, make_project

SECONDS = int(os.environ.get("SECONDS_AT_ONCE", "600"))
EXPERIMENTS = ["results/tiny/taylor_T1_tau0_20_words", "results/tiny/taylor_T0_20_words"]


@pytest.mark.faults
def test_nothing_fails_and_nothing_is_doubled(tmp_path, programs):
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    projects = [make_project(tmp_path / name, programs) for name in ("one", "two")]
    for project in projects:
        project.run(*EXPERIMENTS, **store)
    end, failed, rounds = time.monotonic() + SECONDS, [], [0, 0, 0, 0]

    def until_the_end(number: int, work) -> None:
        while time.monotonic() < end:
            try:
                work()
            except Exception as error:
                failed.append(f"{number}: {error}")
                return
            rounds[number] += 1

    def again(project: Project) -> None:
        done = project.run("--forcerun", "importance", "--", *EXPERIMENTS, **store)
        assert "cannot be" not in done.stderr, done.stderr

    def sync() -> None:
        done = projects[0].prunescope("track", "--all", **store)
        assert "cannot be" not in done.stderr, done.stderr
        time.sleep(1)

    with pages(projects[0], store) as address:

        def look() -> None:
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert answer.status == 200
            time.sleep(1)

        work = [lambda: again(projects[0]), lambda: again(projects[1]), sync, look]
        threads = [threading.Thread(target=until_the_end, args=told) for told in enumerate(work)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(f"{SECONDS} s: runs {rounds[0]} and {rounds[1]}, synchronisations {rounds[2]}, pages {rounds[3]}")
    assert failed == [] and all(rounds)
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        doubled = "SELECT experiment_id, name, COUNT(*) FROM runs WHERE lifecycle_stage = 'active' GROUP BY 1, 2"
        assert {count for *_, count in database.execute(doubled)} == {1}
    # The last one to write a row may have been the other project: its own times, and nothing else, are put in again.
    projects[0].prunescope("track", "--all", **store)
    assert "unchanged" in projects[0].prunescope("track", "--all", **store).stdout


@contextlib.contextmanager
def pages(project: Project, store: dict[str, str]):
    """Serve the store as `make ui` does; yield the address."""
    command = [str(project.cold.programs / "prunescope"), "ui"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    server = subprocess.Popen(command, cwd=project.folder, env=os.environ | store, start_new_session=True, **pipes)
    try:
        address = re.search(r"http://[^/]+", server.stdout.readline()).group()
        for _ in range(240):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=5):
                break
            time.sleep(0.5)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
