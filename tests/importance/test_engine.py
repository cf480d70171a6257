"""The pass under pressure: every mode, little memory, a kill in the middle; the numbers stay the same."""

import os
import signal
import subprocess

import numpy as np
import pytest
import torch

from jobs import job
from passes import NAMES, assert_equal, collect
from prunescope.artifacts.folders import CalibrationFolder, GradientsFolder, ModelFolder
from prunescope.criteria import not_scored
from prunescope.environment import CHECKPOINTING, DEVICE_MEMORY, SAVE_BATCHES
from prunescope.errors import ConfigError
from prunescope.importance import gradients, modes
from prunescope.importance.modes import RESERVE, Mode, choose_mode, mean_gradient_bytes
from prunescope.importance.partial import PartialSums
from prunescope.models import loading
from prunescope.models.adapter import ModelAdapter, adapter_for
from prunescope.models.loading import (
    load_checkpoint,
    load_model,
    load_offloaded,
    spread_layers,
)
from prunescope.models.loss import next_token_losses
from prunescope.models.offload import OffloadedLayers
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.steps.importance import GradientsSpec
from prunescope.steps.job import run
from tiny import save_source, tiny_facts, tiny_model, tiny_tokens, uneven_plan

SHAPES = [{}, {"kv_heads": 2, "ratio": 3, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}]
each_shape = pytest.mark.parametrize("shape", SHAPES)


# --- modes ------------------------------------------------------------------------------------------


@each_shape
def test_stream_scores_as_accumulate_does(shape):
    model = tiny_model(**shape)
    stream, accumulate = collect(model, mode=Mode("stream")), collect(model)
    assert list(stream.saliency) == [name for name in NAMES if name not in not_scored("stream")]
    assert_equal(stream, accumulate, stream.saliency)
    assert stream.statistics.by_parameter_and_layer() == accumulate.statistics.by_parameter_and_layer()


@each_shape
def test_gate_scores_as_accumulate_does(shape):
    model = tiny_model(**shape)
    gate, accumulate = collect(model, mode=Mode("gate")), collect(model)
    assert list(gate.saliency) == [name for name in NAMES if name not in not_scored("gate")]
    for criterion, blocks in gate.saliency.items():
        for block, scores in blocks.items():
            torch.testing.assert_close(scores, accumulate.saliency[criterion][block], rtol=1e-6, atol=0)


def test_stream_keeps_no_gradient(file):
    model, kept = tiny_model(), []

    class Watched(PartialSums):
        def save_if_due(self, reached, collectors):
            kept.extend(name for collector in collectors for name in collector.sums if name.startswith("mean/"))

    watched = Watched(file, "test")
    collect(model, mode=Mode("stream"), partial=watched)
    assert not kept
    collect(model, partial=watched)
    assert kept


@pytest.mark.parametrize(
    ("name", "criteria", "free", "expected"),
    [
        ("auto", NAMES, 2 * RESERVE, "accumulate"),
        ("auto", NAMES, RESERVE, "layered"),
        ("auto", ("gate", "taylor_stream"), 2 * RESERVE, "stream"),
        ("accumulate", NAMES, RESERVE, "accumulate"),
        ("stream", NAMES, 2 * RESERVE, "stream"),
        ("gate", NAMES, 2 * RESERVE, "gate"),
    ],
)
def test_auto_goes_by_free_memory(monkeypatch, name, criteria, free, expected):
    monkeypatch.setattr(modes, "free_memory", lambda device: free)
    assert choose_mode(name, adapter_for(tiny_model()), criteria).name == expected


@pytest.mark.parametrize(("spare", "expected"), [(RESERVE, "accumulate"), (RESERVE - 1, "layered")])
def test_mean_gradients_may_be_kept_on_a_host_with_memory_to_spare(monkeypatch, spare, expected):
    adapter = adapter_for(tiny_model())
    free = {"cuda": RESERVE, "cpu": mean_gradient_bytes(adapter) + spare}
    monkeypatch.setattr(modes, "free_memory", lambda device: free[device.type])
    monkeypatch.setattr(ModelAdapter, "device", torch.device("cuda"))
    mode = choose_mode("auto", adapter, NAMES)
    assert (mode.name, mode.accumulators) == (expected, torch.device("cpu") if expected == "accumulate" else None)


def test_mean_gradients_take_four_bytes_a_weight():
    model = tiny_model().bfloat16()
    decoder = sum(p.numel() for name, p in model.named_parameters() if "proj" in name)
    assert mean_gradient_bytes(adapter_for(model)) == 4 * decoder


# --- memory -----------------------------------------------------------------------------------------


@each_shape
@pytest.mark.parametrize("mode", ["accumulate", "gate"])
def test_checkpointing_changes_no_number(shape, mode):
    model = tiny_model(**shape)
    found = collect(model, mode=Mode(mode), checkpointing=True)
    assert_equal(found, collect(model, mode=Mode(mode)))
    assert found.effort.checkpointing
    assert not any("forward" in vars(layer) for layer in model.model.layers)


def test_checkpointing_computes_layers_twice():
    model, calls = tiny_model(), []
    model.model.layers[1].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    collect(model, checkpointing=True)
    assert len(calls) == 2 * 4  # four batches


def limited_to(monkeypatch, model, most):
    """Let the model run out of memory above `most` windows, or whenever layers are not checkpointed."""
    layer = model.model.layers[2]
    forward = type(layer).forward

    def hungry(self, hidden, *args, **kwargs):
        if self is layer and ("forward" not in vars(layer) or len(hidden) > most):
            raise torch.OutOfMemoryError("no memory left")
        return forward(self, hidden, *args, **kwargs)

    monkeypatch.setattr(type(layer), "forward", hungry)


def test_batches_are_halved_until_they_fit(monkeypatch, caplog):
    model = tiny_model()
    expected = collect(model, batch_size=2)
    limited_to(monkeypatch, model, most=3)
    found = collect(model, batch_size=5)
    assert_equal(found, expected)
    assert (found.effort.batch_size, found.effort.checkpointing) == (2, True)
    assert "out of memory with 5 windows per batch: trying 2, layers checkpointed" in caplog.text


def test_checkpointing_alone_may_do(monkeypatch):
    model = tiny_model()
    expected = collect(model, batch_size=5)
    limited_to(monkeypatch, model, most=5)
    found = collect(model, batch_size=5)
    assert_equal(found, expected)
    assert found.effort.batch_size == 5


def test_single_windows_that_do_not_fit_are_an_error(monkeypatch):
    model = tiny_model()
    limited_to(monkeypatch, model, most=0)
    with pytest.raises(torch.OutOfMemoryError):
        collect(model)


# --- a kill in the middle ---------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    return tmp_path / "partial.safetensors"


class Killed(Exception):
    """Stands for the signal."""


class KilledAfter(PartialSums):
    """Saves after every batch and dies after the second, or after `last`."""

    last = 2

    def save_if_due(self, reached, collectors):
        super().save_if_due(reached, collectors)
        if reached.batches == self.last:
            raise Killed


@each_shape
@pytest.mark.parametrize("mode", ["accumulate", "stream", "gate"])
def test_a_pass_goes_on_where_it_was_killed(file, shape, mode):
    model, mode = tiny_model(**shape), Mode(mode)
    with pytest.raises(Killed):
        collect(model, mode=mode, partial=KilledAfter(file, "this", every=1))
    found = collect(model, mode=mode, partial=PartialSums(file, "this", every=1))
    assert_equal(found, collect(model, mode=mode))
    assert (found.resumed, found.computed) == (2, 3 * 12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", ["accumulate", "stream", "gate"])
def test_one_batch_is_left_for_the_gpu(file, monkeypatch, mode):
    monkeypatch.setattr(KilledAfter, "last", 3)  # the other half of the sums stays on the CPU, where it was read
    model, mode = tiny_model().cuda(), Mode(mode)
    with pytest.raises(Killed):
        collect(model, mode=mode, partial=KilledAfter(file, "this", every=1))
    found = collect(model, mode=mode, partial=PartialSums(file, "this"))
    torch.testing.assert_close(found.saliency, collect(model, mode=mode).saliency)
    assert found.resumed == 3


def test_a_smaller_batch_is_taken_up_again(file):
    model = tiny_model()
    with pytest.raises(Killed):
        collect(model, batch_size=2, partial=KilledAfter(file, "this", every=1))
    found = collect(model, batch_size=8, partial=PartialSums(file, "this"))
    assert_equal(found, collect(model, batch_size=2))


def test_sums_of_another_pass_are_not_taken_up(file, caplog):
    model = tiny_model()
    with pytest.raises(Killed):
        collect(model, partial=KilledAfter(file, "that", every=1))
    found = collect(model, partial=PartialSums(file, "this"))
    assert found.resumed == 0
    assert_equal(found, collect(model))
    assert "belongs to another gradient pass" in caplog.text


def test_damaged_sums_are_not_taken_up(file, caplog):
    model = tiny_model()
    file.write_bytes(b"no tensors")
    assert collect(model, partial=PartialSums(file, "this")).resumed == 0
    assert "is damaged" in caplog.text


@pytest.mark.parametrize(
    ("every", "interval", "expected"), [(2, 1e9, [2]), (3, 1e9, [3]), (None, 0.0, [1, 2, 3]), (None, 1e9, [])]
)
def test_sums_are_saved_by_batches_or_by_time(file, monkeypatch, every, interval, expected):
    monkeypatch.setattr("prunescope.importance.partial.INTERVAL", interval)
    saved = []
    monkeypatch.setattr(PartialSums, "_save", lambda self, reached, collectors: saved.append(reached.batches))
    collect(tiny_model(), partial=PartialSums(file, "this", every))
    assert saved == expected


@pytest.fixture
def checkpoint(tmp_path):
    """Facts of a tiny model on disk, and the folder of calibration windows, as inputs of a job."""
    model = tiny_model().float()
    model.save_pretrained(tmp_path / "model")
    CalibrationFolder(tmp_path / "calibration").samples.write({"input_ids": tiny_tokens(samples=7).int()})
    return {"model": tiny_facts(model, tmp_path / "model"), "calibration": tmp_path / "calibration"}


KILL = """
import os, signal, sys
from pathlib import Path
from prunescope.importance.partial import PartialSums
from prunescope.steps.job import run

save = PartialSums.save_if_due
def save_and_die(self, reached, collectors):
    save(self, reached, collectors)
    if (reached.layers or reached.batches) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
PartialSums.save_if_due = save_and_die
run("gradients", Path(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.parametrize("mode", ["accumulate", "layered"])
def test_a_killed_step_gives_the_same_files(tmp_path, programs, mode):
    """Through `run`, whose folders are found from the experiment's."""
    shared = tmp_path / "results/m/_shared"
    model = tiny_model().float()
    model.save_pretrained(tmp_path / "model")
    ModelFolder(shared / "model/m").facts.write(tiny_facts(model, tmp_path / "model"))
    CalibrationFolder(shared / "calibration/c").samples.write({"input_ids": tiny_tokens(samples=7).int()})
    resumed, whole = (GradientsFolder(shared / "gradients" / key) for key in ("resumed", "whole"))
    told = {"inputs": {"model": "m", "calibration": "c"}, "batch_size": 2, "dtype": "float32", "mode": mode}
    spec = GradientsSpec(**told).text()
    environment = os.environ | {SAVE_BATCHES: "2"}
    killed = subprocess.run([programs / "python", "-c", KILL, resumed.path, spec], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert resumed.partial.exists()
    assert not resumed.saliency.exists() and not resumed.key.exists()
    for folder in (resumed, whole):
        run("gradients", folder.path, spec)
    timing = resumed.timing.read()
    assert (timing.resumed_after_layers if mode == "layered" else timing.resumed_after_batches) == 2
    assert not resumed.partial.exists()
    assert resumed.statistics.read() == whole.statistics.read()
    assert resumed.stability.read() == whole.stability.read()
    found, expected = resumed.saliency.read(), whole.saliency.read()
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], values) for name, values in expected.items())


@pytest.mark.parametrize(("native", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_the_record_says_what_auto_was(checkpoint, tmp_path, monkeypatch, native, dtype):
    monkeypatch.setattr(loading, "default_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(loading, "native_bfloat16", lambda: native)
    gradients.collect(job(GradientsSpec(criteria=("gate",), batch_size=2), tmp_path, **checkpoint))
    assert GradientsFolder(tmp_path).record.read().tags["dtype"] == dtype


def test_checkpointing_can_be_asked_for(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv(CHECKPOINTING, "1")
    gradients.collect(job(GradientsSpec(criteria=("gate",), batch_size=2), tmp_path, **checkpoint))
    assert GradientsFolder(tmp_path).timing.read().checkpointing


# --- models larger than the device ------------------------------------------------------------------


def absent(layer):
    """Whether no parameter of a layer takes memory."""
    return all(parameter.untyped_storage().nbytes() <= 8 for parameter in layer.parameters())


def absent_layers(model):
    return sum(absent(layer) for layer in model.model.layers)


@pytest.mark.parametrize("family", ["llama", "mistral"])
@pytest.mark.parametrize("tied", [False, True])
def test_an_offloaded_model_computes_the_same(tmp_path, family, tied):
    model = tiny_model(family, tie_word_embeddings=tied).float()
    model.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    whole = load_checkpoint(tmp_path / "model", torch.float32, torch.device("cpu"))
    offloaded = load_offloaded(tmp_path / "model", torch.float32, torch.device("cpu"))
    assert absent_layers(offloaded) == 4
    tokens = tiny_tokens()
    assert torch.equal(next_token_losses(offloaded, tokens), next_token_losses(whole, tokens))
    assert_equal(collect(offloaded), collect(whole))


def test_one_layer_is_in_memory_at_a_time(tmp_path):
    tiny_model().save_pretrained(tmp_path / "model")
    model = load_offloaded(tmp_path / "model", torch.float32, torch.device("cpu"))
    present = []
    for layer in model.model.layers:
        layer.mlp.register_forward_pre_hook(lambda *_: present.append(len(model.model.layers) - absent_layers(model)))
    collect(model)
    assert set(present) == {1}
    assert len(present) == 2 * 4 * 4  # up and down, four batches, four layers


def test_a_memory_limit_offloads_the_layers(checkpoint, monkeypatch):
    facts = checkpoint["model"]
    monkeypatch.setenv(DEVICE_MEMORY, "0.00001")
    assert adapter_for(load_model(facts.path)).offloaded
    monkeypatch.setenv(DEVICE_MEMORY, "1")
    assert not adapter_for(load_model(facts.path)).offloaded
    monkeypatch.setenv(DEVICE_MEMORY, "much")
    with pytest.raises(ConfigError, match="PRUNESCOPE_DEVICE_MEMORY = 'much': must be a number of GiB"):
        load_model(facts.path)


def test_a_pruned_model_is_offloaded_too(tmp_path, monkeypatch):
    facts = save_source(tiny_model(), tmp_path / "source")
    write_checkpoint(facts, uneven_plan(facts), tmp_path / "model")
    whole = load_model(tmp_path / "model")
    monkeypatch.setenv(DEVICE_MEMORY, "0.00001")
    offloaded = load_model(tmp_path / "model")
    assert absent_layers(offloaded) == len(offloaded.model.layers) == 3
    assert torch.equal(next_token_losses(offloaded, tiny_tokens()), next_token_losses(whole, tiny_tokens()))


def test_layers_are_spread_undivided_where_all_of_them_fit(monkeypatch):
    model, memory = tiny_model(), {}
    monkeypatch.setattr("prunescope.models.loading.weight_memory", lambda device: memory[device.index])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(memory))
    size = sum(parameter.nbytes for parameter in model.parameters())
    memory |= {0: size * 2 // 3, 1: size}
    places = spread_layers(model)
    assert set(places.values()) == {0, 1}
    assert {f"model.layers.{layer}" for layer in range(4)} <= places.keys()
    memory |= {0: size // 2, 1: size // 8}
    assert spread_layers(model) is None


def test_a_layer_that_cannot_be_read_leaves_nothing_in_memory(tmp_path, monkeypatch):
    tiny_model().save_pretrained(tmp_path / "model")
    model = load_offloaded(tmp_path / "model", torch.float32, torch.device("cpu"))
    expected, read = next_token_losses(model, tiny_tokens()), OffloadedLayers.read

    def fail(self, name):
        if name == "model.layers.1.mlp.up_proj.weight":
            raise torch.OutOfMemoryError("no memory left")
        return read(self, name)

    with monkeypatch.context() as patched, pytest.raises(torch.OutOfMemoryError):
        patched.setattr(OffloadedLayers, "read", fail)
        next_token_losses(model, tiny_tokens())
    assert absent_layers(model) == 4
    assert torch.equal(next_token_losses(model, tiny_tokens()), expected)
