"""A tiny project in which every step of the table has run, and that runs one of them again, in a fork of its own.

Forks come from a clean process that has imported everything (`multiprocessing`'s forkserver), so that a step that is
killed costs no import. They run the command that the rule calls.
"""

import bz2
import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import ZipFile

import yaml
from safetensors.torch import load_file

from export_models import byte_level
from faults import child
from prunescope.artifacts.folders import CheckpointFolder
from prunescope.config.resolve import load_config
from prunescope.packages import LLAMA_CPP
from prunescope.steps.registry import Registry
from prunescope.steps.spec import Run
from prunescope.steps.step import Task
from workflow.conftest import configuration, make_project

TESTS = Path(__file__).parents[1]
URI = "sqlite:///mlflow.db"
REFERENCE, EXPERIMENT = "auto_20_words", "taylor_T1_tau0_20_words_refit_scales_recover"
ARTICLE = "<page><title>Fox</title><ns>0</ns><revision><text>{}</text></revision></page>"
TRACKING = ("track", "track_comparison")
TABLES = ("experiments", "runs", "metrics", "latest_metrics", "params", "inputs", "datasets", "logged_models")
GGUF = ["f32"] if LLAMA_CPP.installed else []
LIMIT = 600
"""Seconds after which a step counts as hanging."""

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["faults.preload", "faults.child", "pytest"])  # pytest: the main module of who asks


@dataclass(frozen=True)
class Ended:
    """How a step ended: exit code (below 0: the signal that killed it; None: it hung), and what it said."""

    code: int | None
    said: str


@dataclass(frozen=True)
class EveryStep:
    """A project in which a task of every step has run.

    Attributes:
        tasks: by step. inputs: the files that each of them reads. watched: see `child.watch`.
        counts: rows of MLflow after each tracking step alone.
    """

    folder: Path
    tasks: dict[str, Task] = field(default_factory=dict)
    inputs: dict[str, list[str]] = field(default_factory=dict)
    watched: dict[str, dict] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def run(self, step: str, fault: str = "", at: int = 0, **environment: str) -> Ended:
        """Run a step, with a fault of `child.FAULTS` at its write number `at`."""
        task = self.tasks[step]
        command = ["prunescope", "run", task.step.name, task.folder, "--spec", task.spec.text()]
        variables = {
            "MLFLOW_TRACKING_URI": URI,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.folder / "index"),
            "HF_DATASETS_CACHE": str(self.folder / "cache"),
        }
        said: list[str] = []
        pipe = self.folder / "said"
        os.mkfifo(pipe)
        reader = threading.Thread(target=lambda: said.append(pipe.read_text()))
        reader.start()
        arguments = (str(self.folder), command, str(pipe), fault, at, variables | environment)
        process = FORKS.Process(target=child.run, args=arguments)
        process.start()
        process.join(LIMIT)
        code = process.exitcode
        process.kill()
        with contextlib.suppress(OSError):  # a reader still waits where nothing was said
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        reader.join()
        pipe.unlink()
        return Ended(code, said[0])

    def copy(self, folder: Path) -> "EveryStep":
        shutil.copytree(self.folder, folder, symlinks=True)
        return EveryStep(folder, self.tasks, self.inputs, self.watched, self.counts)

    def forget(self, step: str) -> None:
        """Delete what a step has left, as Snakemake does before it runs, and what it would find again."""
        for path in [self.folder / name for name in self.tasks[step].outputs]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for cache in self.folder.glob("results/tiny/_shared/*/*/measured"):
            shutil.rmtree(cache)
        if step in TRACKING:
            self.forget_tracking()

    def forget_tracking(self) -> None:
        shutil.copy(self.folder / "empty.db", self.folder / "mlflow.db")
        shutil.rmtree(self.folder / "mlartifacts", ignore_errors=True)

    def rows(self) -> dict[str, int]:
        """Count the rows of the store."""
        with contextlib.closing(sqlite3.connect(self.folder / "mlflow.db")) as store:
            return {table: store.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in TABLES}

    def numbers(self, step: str) -> dict[str, object]:
        """Return what a step left, file by file, without what differs from run to run: times, speeds and memory."""
        paths = [self.folder / file for file in self.tasks[step].outputs]
        files = [file for path in paths for file in (_inside(path) if path.is_dir() else [path]) if file.is_file()]
        return {str(file.relative_to(self.folder)): _content(file) for file in sorted(files)}


def _inside(folder: Path) -> list[Path]:
    """Return what a step left in a folder; the card of a checkpoint is the page's."""
    return [file for file in folder.rglob("*") if file.name != CheckpointFolder.card.path]


VOLATILE = ("started", "finished", "seconds", "peak_memory_bytes", "git_sha", "synced_at", "run_id", "experiment_id")
MEASURED = ("speed/", "memory/", "usage/")


def _content(file: Path) -> object:
    if file.name in ("efficiency.json", "timing.json"):
        return None  # nothing but times
    if file.suffix == ".json":
        return _stable(json.loads(file.read_text()))
    if file.suffix == ".safetensors":
        return {name: tensor.double().tolist() for name, tensor in load_file(file).items()}
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _stable(value: object) -> object:
    if isinstance(value, dict):
        return {name: _stable(one) for name, one in value.items() if not _varies(name)}
    return [_stable(one) for one in value] if isinstance(value, list) else value


def _varies(name: str) -> bool:
    return name in VOLATILE or name.startswith(MEASURED) or any(word in name for word in ("second", "resumed", "bytes"))


def make(folder: Path) -> EveryStep:
    """Make the project and run every step."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    make_project(folder, folder, byte_level(), head_dim=16, max_position_embeddings=512)  # what llama.cpp can compute
    told = configuration() | {
        "search": {"trials": 12, "samples": 4},
        "trial": {"samples": 2},
        "repair": {"refit": {"tokens": 640, "seq_len": 16}, "scales": {"tokens": 320, "batch_size": 4}},
        "recovery": {"tokens": 320, "seq_len": 16, "batch_size": 2, "accumulation": 2, "rank": 4},
        "experiments": {"whole": {"base": EXPERIMENT, "settings": {"report": {"reference": REFERENCE}}}},
        "sweeps": {"alone": {"model": "tiny", "experiments": ["whole"]}},
    }
    told["evaluation"] |= {
        "protocols": ["w16"],
        "words": {"prompts": ["the cat"], "tokens": 3},
        "zeroshot": {
            "tasks": ["cats_and_dogs"],
            "task_dir": str(TESTS / "fixtures/zeroshot"),
            "batch_size": 3,
        },
        "efficiency": {"prompt": 8, "generate": 2, "batch_sizes": [1], "repeats": 1, "gguf": GGUF},
    }
    told["datasets"] |= {"foxes": {"embedded": wheel(folder / "index")}}
    (folder / "config/config.yaml").write_text(yaml.safe_dump(told))
    process = FORKS.Process(target=child.make_store, args=(str(folder), URI))
    process.start()
    process.join()
    shutil.copy(folder / "mlflow.db", folder / "empty.db")
    project = EveryStep(folder)
    for task, inputs in plan(folder):
        step = task.step.name
        if task.step.package and task.spec.needs_package and not task.step.package.installed:
            continue
        project.tasks[step], project.inputs[step] = task, inputs
        ended = project.run(step, "watch")
        assert ended.code == 0, f"{task.name}: {ended.said}"
        project.watched[step] = json.loads((folder / "watched.json").read_text())
    return project


def plan(folder: Path) -> list[tuple[Task, list[str]]]:
    """Return the tasks of two experiments, of their comparison and of a text in a wheel, each with what it reads.

    Of the figures there is one for each experiment.
    """
    with contextlib.chdir(folder):
        registry = Registry(load_config(), Run(tracking_uri=URI))
        resources = [registry.resource("wheel", {"wheel": "foxes-1.0"}), registry.resource("corpus", {"name": "foxes"})]
        found = {(task.name, task.folder): (task, task.spec.resources) for task in resources}
        for name in (REFERENCE, "whole"):
            planned = registry.experiment("tiny", name)
            exports = planned.exports("export/uniform") + planned.exports("export/gguf/f32.gguf")
            for task in planned.tasks.values():
                if not task.step.on_request or task in exports:
                    inputs = [*planned.needs(task), *planned.looks_at(task)]
                    found[task.name, task.folder] = task, inputs
        sweep = registry.sweep("tiny", "alone")
        found |= {(task.name, task.folder): (task, sweep.needs(task)) for task in sweep.tasks.values()}
        return list(in_order(needed(list(found.values()))))


def needed(tasks: list[tuple[Task, list[str]]]) -> list[tuple[Task, list[str]]]:
    """Return the tasks without those of the reference that nothing else reads."""
    kept = [one for one in tasks if REFERENCE not in one[0].folder and not one[0].step.shared]
    for _, inputs in kept:  # which grows on the way
        kept += [one for one in tasks if one not in kept and {*one[0].outputs} & {*inputs}]
    return kept


def in_order(waiting: list[tuple[Task, list[str]]]) -> Iterator[tuple[Task, list[str]]]:
    """Yield tasks after those that make what they read."""
    while waiting:
        made = {file for task, _ in waiting for file in task.outputs}
        ready = next(one for one in waiting if not made & ({*one[1]} - {*one[0].outputs}))
        waiting.remove(ready)
        yield ready


def wheel(folder: Path) -> dict[str, str]:
    """Write a wheel with a text into a folder that pip takes for an index; return how the configuration names it."""
    folder.mkdir()
    text = "The quick brown fox jumps over the lazy dog, again. " * 20
    dump = bz2.compress(f'<mediawiki xmlns="x">{ARTICLE.format(text)}</mediawiki>'.encode())
    file = folder / "foxes-1.0-py3-none-any.whl"
    with ZipFile(file, "w") as files:
        files.writestr("foxes/dump.xml.bz2", dump)
        files.writestr("foxes-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        files.writestr("foxes-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: foxes\nVersion: 1.0\n")
        files.writestr("foxes-1.0.dist-info/RECORD", "")
    sums = (hashlib.sha256(content).hexdigest() for content in (file.read_bytes(), dump))
    held = {"wheel": "foxes==1.0", "member": "foxes/dump.xml.bz2", "reader": "wikipedia_dump"}
    return held | dict(zip(("sha256", "member_sha256"), sums, strict=True))
