"""The pass layer by layer: the very numbers of the whole model's, with one layer in memory, and after a kill."""

from collections import Counter

import pytest
import torch

from passes import assert_equal, collect
from prunescope.criteria import CRITERIA
from prunescope.errors import NonFiniteError
from prunescope.importance.modes import Mode
from prunescope.importance.partial import PartialSums
from prunescope.models import sweep
from prunescope.models.adapter import adapter_for
from prunescope.models.checkpoint import Checkpoint
from prunescope.models.loading import load_offloaded
from prunescope.models.sweep import Sweep
from shapes import SHAPES
from tiny import tiny_model, tiny_tokens

LAYERED = Mode("layered")
CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_it_computes_what_the_whole_pass_computes(shape, dtype):
    model = tiny_model(**shape).to(dtype)
    assert_equal(collect(model, mode=LAYERED), collect(model))


@pytest.mark.parametrize("criteria", [("gate",), ("taylor_stream", "wanda"), ("taylor",), ("magnitude", "shortgpt")])
def test_any_criteria_can_be_asked_for(criteria):
    model = tiny_model("qwen3")
    assert_equal(collect(model, criteria=criteria, mode=LAYERED), collect(model, criteria=criteria))


def test_streams_may_be_in_a_file(tmp_path, monkeypatch, caplog):
    model = tiny_model()
    expected = collect(model)
    monkeypatch.setattr(sweep, "free_memory", lambda device: 1000)
    with caplog.at_level("INFO"):
        found = collect(model, mode=LAYERED, partial=PartialSums(tmp_path / "partial.safetensors", "this"))
    assert "residual streams on a file" in caplog.text
    assert_equal(found, expected)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("tied", [False, True])
def test_each_layer_is_read_once_per_direction(tmp_path, monkeypatch, tied):
    model = tiny_model(tie_word_embeddings=tied)
    model.save_pretrained(tmp_path / "model")
    offloaded = load_offloaded(tmp_path / "model", torch.float64, CPU)
    reads, read, present = Counter(), Checkpoint.read, set()

    def counted(self, name):
        reads[name] += 1
        return read(self, name)

    def note(*_):
        layers = offloaded.model.layers
        present.add(sum(any(p.untyped_storage().nbytes() > 8 for p in one.parameters()) for one in layers))

    for layer in offloaded.model.layers:
        layer.mlp.register_forward_pre_hook(note)
    offloaded.offloaded_layers._read = counted.__get__(offloaded.offloaded_layers._read.__self__)
    assert_equal(collect(offloaded, mode=LAYERED), collect(model))
    by_layer = {layer: {n for name, n in reads.items() if f"layers.{layer}." in name} for layer in range(4)}
    assert by_layer == {0: {2}, 1: {2}, 2: {2}, 3: {1}}  # the topmost is still there when the way down begins
    assert present == {1}


class Killed(Exception):
    """Stands for the signal."""


class KilledAt(PartialSums):
    """Saves after every layer and dies after some."""

    layers = 2

    def save_if_due(self, reached, collectors):
        super().save_if_due(reached, collectors)
        if reached.layers == self.layers:
            raise Killed


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_it_goes_on_at_the_layer_where_it_was_killed(tmp_path, monkeypatch, shape, layers):
    model, file = tiny_model(**shape), tmp_path / "partial.safetensors"
    monkeypatch.setattr(KilledAt, "layers", layers)
    with pytest.raises(Killed):
        collect(model, mode=LAYERED, partial=KilledAt(file, "this", every=1))
    descended, run = [], Sweep.run
    monkeypatch.setattr(Sweep, "run", lambda self, layer, hidden: descended.append(layer) or run(self, layer, hidden))
    found = collect(model, mode=LAYERED, partial=PartialSums(file, "this", every=1))
    assert_equal(found, collect(model))
    assert found.resumed_layers == layers
    assert max(descended) == 3 - layers


def test_batches_are_halved_until_a_layer_fits(monkeypatch):
    model = tiny_model()
    expected = collect(model, batch_size=2)
    forward = type(model.model.layers[2]).forward

    def hungry(self, hidden, *args, **kwargs):
        if len(hidden) > 3 and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("no memory left")
        return forward(self, hidden, *args, **kwargs)

    monkeypatch.setattr(type(model.model.layers[2]), "forward", hungry)
    found = collect(model, batch_size=5, mode=LAYERED)
    assert_equal(found, expected)
    assert found.effort.batch_size == 2


def test_a_gradient_that_is_not_finite_names_its_layer():
    model = tiny_model()
    model.model.layers[2].mlp.down_proj.weight[0, 0] = torch.inf
    with pytest.raises(NonFiniteError, match=r"the loss of batch 0 is nan.* first not finite after layer 2"):
        collect(model, mode=LAYERED)


def test_layers_need_not_run_to_know_what_they_are_called_with():
    for shape in ({}, {"family": "mistral", "sliding_window": 5}):
        adapter, tokens = adapter_for(tiny_model(**shape)), tiny_tokens()
        hidden = adapter.embed(tokens)
        one = Sweep(adapter, tokens[:1])
        for layer in range(4):
            hidden = one.run(layer, hidden)
        torch.testing.assert_close(adapter.logits(hidden), adapter.model(tokens).logits, rtol=0, atol=0)


def test_every_criterion_can_be_scored():
    assert list(collect(tiny_model(), mode=LAYERED).saliency) == list(CRITERIA)


def test_freed_memory_is_given_back_after_each_layer(monkeypatch):
    given_back = []
    monkeypatch.setattr("prunescope.importance.layered.trim", lambda: given_back.append(1))
    collect(tiny_model(), mode=LAYERED)
    assert len(given_back) == 4
