"""Several processes on one store, as two workflow runs and a `prunescope track --all` beside them would be."""

import shutil
import subprocess

from fake_results import MODEL, URI, write_experiment
from mlflow import MlflowClient

from prunescope.tracking.track import track_all

ONE_BY_ONE = """
import sys
from pathlib import Path
from prunescope.tracking.track import track_one
for name in sys.argv[1:]:
    track_one(Path(name), "sqlite:///mlflow.db")
"""
ALL = """
from pathlib import Path
from prunescope.tracking.track import track_all
for _ in range(2):
    track_all(Path(), "sqlite:///mlflow.db")
"""


def test_nothing_is_lost_and_nothing_is_doubled(programs, project, empty_database, store_counts, monkeypatch):
    names = [f"taylor_T{i}_20_wiki" for i in range(6)]
    shutil.rmtree(project / "results")
    folders = [str(write_experiment(project, name).relative_to(project)) for name in names]
    alone = project.with_name("alone")
    shutil.copytree(project / "results", alone / "results")
    shutil.copy(empty_database, alone)

    commands = [[ONE_BY_ONE, *folders[:3]], [ONE_BY_ONE, *folders[3:]], [ALL]]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "cwd": project}
    processes = [subprocess.Popen([programs / "python", "-c", *command], **pipes) for command in commands]
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, said

    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name(MODEL).experiment_id])
    assert sorted(run.info.run_name for run in runs) == names
    assert all((project / folder / "mlflow.json").is_file() for folder in folders)
    assert track_all(project, URI)["unchanged"] == len(names)
    monkeypatch.chdir(alone)
    track_all(alone, URI)
    assert store_counts(project) == store_counts(alone)
