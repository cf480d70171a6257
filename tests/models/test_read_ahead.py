"""The next layer is asked for while one computes: the right bytes, in both directions."""

import os
from pathlib import Path

import pytest
import torch

from prunescope.models.adapter import adapter_for
from prunescope.models.checkpoint import open_checkpoint
from prunescope.models.loading import load_offloaded
from prunescope.models.read_ahead import BLOCK, ReadAhead
from prunescope.models.sweep import Sweep
from tiny import tiny_model, tiny_tokens


@pytest.fixture
def folder(tmp_path):
    model = tiny_model(num_hidden_layers=3, intermediate_size=2048)
    model.save_pretrained(tmp_path, max_shard_size="300KB")
    return tmp_path


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="the system takes no advice")
def test_the_bytes_of_the_tensors_are_asked_for(folder, monkeypatch):
    asked = {}

    def note(file, begin, length, advice):
        assert advice == os.POSIX_FADV_WILLNEED and 0 < length <= BLOCK
        asked.setdefault(str(Path(f"/proc/self/fd/{file}").readlink()), []).append((begin, length))

    monkeypatch.setattr(os, "posix_fadvise", note)
    checkpoint = open_checkpoint(folder)
    names = [name for name in checkpoint.tensors if ".1.mlp." in name]
    for name in names:
        asked.clear()
        ReadAhead().begin([checkpoint.tensors[name]]).result()
        ((file, spans),) = asked.items()
        content = checkpoint.tensors[name].file.read_bytes()
        assert file == str(checkpoint.tensors[name].file)
        read = b"".join(content[begin : begin + length] for begin, length in spans)
        assert read == checkpoint.read(name).numpy().tobytes()


def test_what_cannot_be_read_ahead_is_left_to_the_reader(folder):
    checkpoint = open_checkpoint(folder)
    tensor = next(iter(checkpoint.tensors.values()))
    tensor.file.write_bytes(b"\xff" * 64)
    assert ReadAhead().begin([tensor]).result() is None
    tensor.file.unlink()
    assert ReadAhead().begin([tensor]).result() is None


def test_the_layer_above_is_next_on_the_way_up_and_the_one_below_on_the_way_down(folder):
    model = load_offloaded(folder, torch.float32, torch.device("cpu"))
    adapter, asked = adapter_for(model), []
    sweep = Sweep(adapter, tiny_tokens(samples=1))
    model.offloaded_layers._ahead = lambda names: asked.append({name.split(".")[2] for name in names})
    hidden = adapter.embed(tiny_tokens(samples=1))
    for layer in (0, 1, 2, 2, 1, 0):
        sweep.run(layer, hidden)
    assert asked == [{"1"}, {"2"}, {"0"}]
