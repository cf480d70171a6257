"""What a command says when memory runs out."""

import sys

import pytest
import torch
import typer

import prunescope.cli as cli
from prunescope.cli.memory import WAYS_OUT


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_the_way_out_is_of_the_command(monkeypatch, capsys, error):
    def fail():
        raise error

    monkeypatch.setattr(cli, "app", fail)
    for command, setting in {"zeroshot": "evaluation.zeroshot.batch_size", "removal": "calibration.seq_len"}.items():
        monkeypatch.setattr(sys, "argv", ["prunescope", command, "results/m/e"])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == 1
        assert f"prunescope: out of memory: lower {setting}, or set" in capsys.readouterr().err


def test_other_errors_keep_their_traceback(monkeypatch):
    def fail():
        raise RuntimeError("something else")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(RuntimeError, match="something else"):
        cli.main()


def test_every_way_out_is_of_a_command():
    assert WAYS_OUT.keys() <= typer.main.get_command(cli.app).commands.keys()
