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
from pathlib import Path

import snakemake.cli

import prunescope.cli
from prunescope.steps.table import TABLE


def script() -> None:
    """Run the script that is the first argument."""
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")


PROGRAMS = {"prunescope": prunescope.cli.main, "snakemake": snakemake.cli.main, "script": script}
LATE = (
    "accelerate",
    "matplotlib.backends.backend_svg",
    "mlflow.store.tracking.sqlalchemy_store",
    "peft",
    "prunescope.runs.preflight",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "rich.progress",
    "snakemake.api",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
)
"""What programs import on the way, and that takes long."""


def wait_for_a_command(folder: Path) -> socket.socket:
    """Fork for every connection, and return it in the fork; exit when the standard input ends."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
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


def import_all() -> None:
    """Import what a step or a program may need, so that forks have it."""
    for module in (*LATE, *(f"prunescope.{step.run.partition(':')[0]}" for step in TABLE.values())):
        with suppress(ModuleNotFoundError):  # of an extra
            importlib.import_module(module)
    snakemake.cli.get_argument_parser()  # which imports the plugins


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
    import_all()
    gc.freeze()
    folder = Path(sys.argv[1])
    run(PROGRAMS[become(wait_for_a_command(folder), folder)])


if __name__ == "__main__":
    main()
