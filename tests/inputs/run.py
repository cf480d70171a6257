"""Run a case in a process of its own: through the steps of an experiment, or through the command line."""

import logging
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import traceback
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import transformers

from inputs.case import MODEL, STEPS, TEXTS, Case, Outcome
from inputs.editing import made
from inputs.proof import prove
from prunescope.artifacts.folders import CalibrationFolder, EvaluationTextFolder, ExperimentFolder
from prunescope.cli import main
from prunescope.config.resolve import parse_config
from prunescope.errors import PrunescopeError
from prunescope.steps.job import run as run_step
from prunescope.steps.registry import Registry
from warm.server import import_all

SECONDS, BYTES = 20, 6 << 30
"""What a case may take: time of the processor, and memory beyond that of the libraries."""

PATIENCE = 10 * SECONDS
"""Seconds on the clock, on a machine that has more to do."""

LOCAL_TEXT = {"local": f"{TEXTS}/*.txt"}


class Said(logging.Handler):
    """Keeps the last line that a step wrote about perplexity."""

    line = ""

    def emit(self, record: logging.LogRecord) -> None:
        if "perplexity" in record.msg:
            self.line = record.getMessage().split(":", 1)[1].strip()


SAID = Said()


def project(folder: Path, case: Case) -> None:
    """Make a sound project and edit it."""
    made()(folder)
    (folder / TEXTS).mkdir()
    for number in range(60):
        words = [f"w{3 + (number * 7 + place * place) % 50}" for place in range(40)]
        (folder / TEXTS / f"{number}.txt").write_text(" ".join(words))
    for edit in case.edits:
        edit(folder)


def configuration(**changes: Any) -> dict[str, Any]:
    """Return the configuration of a project, sections changed."""
    return {
        "models": {"m": {"path": MODEL}},
        "datasets": {"words": LOCAL_TEXT},
        "calibration": {"samples": 4, "seq_len": 16},
        "gradients": {"batch_size": 2, "dtype": "float32"},
        "limits": {"width_multiple": 1},
        "evaluation": {"datasets": ["words"], "protocols": ["w16"], "max_tokens": 64, "dtype": "float32"},
        "tracking": {"enabled": False},
    } | changes


def through_the_steps(case: Case) -> Outcome:
    """Run the steps of an experiment in the working directory; then what is typed, or prove what they wrote."""
    step = "configuration"
    try:
        if case.last is not None:
            registry = Registry(parse_config(configuration(**case.config)))
            tasks = registry.experiment("m", case.experiment).tasks
            wanted = STEPS[: STEPS.index(case.last) + 1]
            for name, task in tasks.items():
                if name in wanted or (task.step.figure and case.last == "page"):
                    step = name
                    run_step(task.step.name, Path(task.folder), task.spec.text())
        if case.command:
            return through_the_command_line(case.command)
        if case.last != "evaluation":
            return Outcome("accepted", step, drawn(*(Path(tasks[name].folder) for name in STEPS[1:3])))
        step = "proof"
        proved = prove(Path(MODEL), tasks["model"].folder, ExperimentFolder.of("m", case.experiment))
        return replace(proved, said=f"pruned {SAID.line}; {proved.said}")
    except PrunescopeError as error:
        return Outcome("refused", step, str(error))
    except Exception as error:
        return traced(error, step)


def drawn(calibration: Path, evaluation_text: Path) -> str:
    """Return how much text was read, and digits that tell whether it was the same."""
    windows, tested = (
        CalibrationFolder(calibration).manifest.read(),
        EvaluationTextFolder(evaluation_text).manifest.read(),
    )
    one = tested["words"]
    return (
        f"{windows.documents} documents give {windows.tokens} tokens to calibrate on ({windows.sha256[:6]}), "
        f"{one.documents} give {one.tokens} tokens to test on ({one.sha256[:6]})"
    )


def through_the_command_line(command: tuple[str, ...]) -> Outcome:
    """Run `prunescope` or another program in the working directory, as a person does."""
    if command[0] != "prunescope":
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = done.stdout.rpartition("Building DAG of jobs...")[2] if done.returncode else done.stdout
        return Outcome("refused" if done.returncode else "accepted", command[0], said.strip())
    sys.argv = list(command)
    with tempfile.TemporaryFile("w+") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", closefd=False) for stream in (1, 2))
        code: Any = 0
        try:
            main()
        except SystemExit as error:
            code = error.code
        except Exception as error:
            return traced(error, command[1])
        sys.stdout.flush()
        sys.stderr.flush()
        output.seek(0)
        said = output.read().strip()
    return Outcome("refused" if code else "accepted", command[1], said)


def traced(error: Exception, step: str) -> Outcome:
    """Return the outcome of a traceback: where a person would see it, how long it is, and its last line."""
    lines = traceback.format_exception(error)
    first = str(error).strip().splitlines()[:1]
    count = sum(line.count("\n") for line in lines)
    return Outcome("defect", step, f"traceback of {count} lines: {type(error).__name__}: {''.join(first):.160}")


def run(case: Case) -> Outcome:
    """Make a case's input in a temporary folder and run it there, in a process of its own."""
    import_all()  # once, not in every child
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(sender, Path(folder), case))
        process.start()
        sender.close()
        try:
            outcome = receiver.recv() if receiver.poll(PATIENCE) else Outcome("defect", "", f"hangs: {PATIENCE} s")
        except EOFError:
            process.join()
            outcome = Outcome("defect", "", f"the process is aborted (exit code {process.exitcode})")
        finally:
            process.kill()
            process.join()
        return Outcome(outcome.kind, outcome.step, outcome.said.replace(f"{folder}/", "").replace(folder, "."))


def _child(sender: Connection, folder: Path, case: Case) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, 2 * SECONDS))
    # Nobody is there to answer a question.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    torch.set_num_threads(1)
    os.chdir(folder)
    os.environ |= {"HOME": str(folder), "COLUMNS": "300"}
    logging.getLogger("prunescope").setLevel(logging.INFO)
    logging.getLogger("prunescope").addHandler(SAID)
    transformers.logging.set_verbosity_error()
    with Path(os.devnull).open("w") as nowhere:
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
        try:
            project(folder, case)
            outcome = through_the_steps(case)
        except BaseException as error:
            outcome = Outcome("broken case", "", f"{type(error).__name__}: {error}")
    sender.send(outcome)
    sender.close()
    os._exit(0)
