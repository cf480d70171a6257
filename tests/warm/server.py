"""Runs commands in forks of this process; `client.py` hands them over."""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType

LATE = (
    "accelerate",
    "matplotlib.backends.backend_svg",
    "mlflow.store.tracking.sqlalchemy_store",
    "peft",
    "prunescope.cli",
    "prunescope.runs.preflight",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "rich.progress",
    "snakemake.api",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
)
"""What programs import on the way, and that takes long."""

ALONE = (
    "safetensors.torch",
    "transformers.dynamic_module_utils",
    "transformers.models.llama.modeling_llama",
    "transformers.models.qwen3.modeling_qwen3",
)
"""What a checkpoint needs that runs without this package."""


@cache
def import_all() -> None:
    """Import what a step or a program may need, so that forks have it."""
    import snakemake.cli

    from prunescope.steps.table import TABLE

    for module in (*LATE, *(f"prunescope.{step.run.partition(':')[0]}" for step in TABLE.values())):
        with suppress(ModuleNotFoundError):  # of an extra
            importlib.import_module(module)
    snakemake.cli.get_argument_parser()  # which imports the plugins


def import_alone() -> None:
    """Import what checkpoints need."""
    for module in ALONE:
        importlib.import_module(module)


def prunescope() -> None:
    """Run the command line."""
    import prunescope.cli

    prunescope.cli.main()


def snakemake() -> None:
    """Run Snakemake."""
    import snakemake.cli

    snakemake.cli.main()


def python() -> None:
    """Run what `python` is given: a script, or code behind `-c`; before them `-I`, or folders in PYTHONPATH."""
    del sys.argv[0]
    if sys.argv[0] == "-I":
        del sys.argv[0]
        _read_again()
    else:
        sys.path[:0] = ["", *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    if sys.argv[0] == "-c":
        sys.modules["__main__"] = module = ModuleType("__main__")
        exec(sys.argv.pop(1), vars(module))
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def _read_again() -> None:
    """Take from the environment what transformers took from it when it was imported."""
    folder = os.environ["HF_MODULES_CACHE"]
    for name, module in list(sys.modules.items()):
        if name.startswith("transformers.") and "HF_MODULES_CACHE" in vars(module):
            module.HF_MODULES_CACHE = folder


PROGRAMS = {"prunescope": prunescope, "snakemake": snakemake, "python": python}
IMPORTS = {"all": import_all, "alone": import_alone}


def wait_for_a_command(path: Path) -> socket.socket:
    """Fork for every connection, and return it in the fork; exit when the standard input ends."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(100)
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                return connection
            connection.close()
            reap()
    sys.exit()


def reap() -> None:
    """Let the forks that have ended go."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def become(connection: socket.socket, folder: Path) -> str:
    """Fork once more: one process says the other's number and how it ended; in the other, return the program's name."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    request = json.load(connection.makefile())
    process = os.fork()
    if process:
        for stream in streams:
            os.close(stream)
        connection.sendall(f"{process}\n".encode())
        _, status = os.waitpid(process, 0)
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["argv"]
    sys.executable = str(folder / "python")  # beside which the rules look for `prunescope`
    return Path(sys.argv[0]).name


def run(program: Callable[[], None]) -> None:
    """Run a program to its end, without taking apart, and so copying, the memory that the fork shares."""
    try:
        program()
        code = 0
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    gc.disable()
    IMPORTS[name]()
    gc.freeze()
    gc.enable()
    run(PROGRAMS[become(wait_for_a_command(folder / name), folder)])


if __name__ == "__main__":
    main()
