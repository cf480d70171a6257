"""What a command says when memory runs out."""

import sys

import pytest
import torch

import prunescope.cli as cli


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_the_way_out_is_of_the_step(monkeypatch, capsys, error):
    def fail():
        raise error

    monkeypatch.setattr(cli, "app", fail)
    for command, way_out in {
        "run zeroshot": "lower evaluation.zeroshot.batch_size, or set",
        "run removal": "lower calibration.seq_len, or set",
        "verify": "free the machine of other work",
    }.items():
        monkeypatch.setattr(sys, "argv", ["prunescope", *command.split(), "results/m/e"])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == 1
        assert f"prunescope: out of memory: {way_out}" in capsys.readouterr().err
