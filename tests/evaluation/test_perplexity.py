"""Perplexity against a naive loop over tokens, and what the files hold."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from prunescope.config.protocols import Protocol
from prunescope.data.calibration import tokens_sha256
from prunescope.errors import DataError, NonFiniteError
from prunescope.evaluation.outputs import write_baseline, write_evaluation
from prunescope.evaluation.perplexity import measure_losses, measure_perplexity, tokens_read
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.steps.specs import BaselineSpec, EvaluationSpec
from tiny import save_source, tiny_model, tiny_tokens, uneven_plan


def naive_losses(model, span, window, stride):
    """-log p of every token of a span but its first, each from a forward pass over its exact context alone."""
    losses = []
    for position in range(1, len(span)):
        # The first window that holds the token scores it.
        advances = max(0, math.ceil((position + 1 - window) / stride)) if stride else 0
        context = span[advances * stride : position]
        logits = model(context[None]).logits[0, -1]
        losses.append(-torch.log_softmax(logits, -1)[span[position]].item())
    return losses


@pytest.mark.parametrize(
    ("name", "length", "windows"),
    [("w9", 9, 1), ("w12s4", 12, 1), ("w12s4", 32, 3), ("w12s5", 27, 3), ("w12s11", 34, 3), ("w12s1", 15, 2)],
)
def test_equals_the_naive_loop(name, length, windows):
    model, spans, protocol = tiny_model(), tiny_tokens(samples=3, length=length), Protocol.parse(name)
    losses = [naive_losses(model, span, protocol.window, protocol.stride) for span in spans]
    total = 3 * (length - 1)
    result = measure_perplexity(model, spans, protocol)
    assert result.tokens == sum(map(len, losses)) == total
    assert (result.windows, result.window, result.stride) == (3 * windows, protocol.window, protocol.stride)
    assert result.dtype == "float64"
    assert result.sha256 == tokens_sha256(spans.numpy())
    assert result.perplexity == pytest.approx(math.exp(np.sum(losses) / total), rel=1e-9)
    # Stretches of a window's length, counted from the start of each span.
    ends = range(protocol.window - 1, length + protocol.window - 1, protocol.window)
    sums = [sum(span[max(0, end - protocol.window) : end]) for span in losses for end in ends]
    np.testing.assert_allclose(measure_losses(model, spans, protocol).sums, sums, rtol=1e-9)


def test_a_strided_window_has_context_that_an_independent_one_lacks():
    model, spans = tiny_model(), tiny_tokens(samples=2, length=24)
    strided = measure_losses(model, spans, Protocol(12, 4)).sums
    independent = measure_losses(model, spans.reshape(4, 12), Protocol(12)).sums
    np.testing.assert_allclose(strided[::2], independent[::2], rtol=1e-12)
    assert (np.abs(strided[1::2] - independent[1::2]) > 0.1).all()


@pytest.mark.parametrize(("name", "length", "read"), [("w12", 12, 36), ("w12s4", 32, 3 * 6 * 12)])
def test_tokens_read_are_those_the_model_sees(name, length, read):
    model, seen = tiny_model(), []
    model.model.embed_tokens.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numel()))
    spans, protocol = tiny_tokens(samples=3, length=length), Protocol.parse(name)
    measure_losses(model, spans, protocol)
    assert tokens_read(spans, protocol) == sum(seen) == read


def test_a_loss_that_is_not_finite_is_an_error():
    model = tiny_model()
    model.model.norm.weight[0] = float("inf")
    with pytest.raises(NonFiniteError, match=r"windows of 12 tokens is nan; try evaluation\.dtype: float32"):
        measure_perplexity(model, tiny_tokens())


@pytest.fixture
def evaluated(tmp_path):
    """A baseline and a pruned model on two texts, by two protocols."""
    model = tiny_model().float()
    facts = save_source(model, tmp_path / "source")
    write_checkpoint(facts, uneven_plan(facts), tmp_path / "model")
    spans = {f"{text}/{name}": tiny_tokens(4, n).int() for text in ("a", "b") for name, n in (("w8", 8), ("w12s4", 32))}
    save_file(spans, tmp_path / "windows.safetensors")
    told = BaselineSpec(model="m", evaluation_text="t", dtype="float32")
    write_baseline(told, "key", facts, tmp_path / "windows.safetensors", tmp_path / "baseline")
    return tmp_path


def evaluate(folder, checkpoint="model", dtype="float32"):
    spec = EvaluationSpec(model="m", experiment="e", baseline="k", dtype=dtype, leakage={"a": "none", "b": "source"})
    write_evaluation(spec, folder / checkpoint, folder / "windows.safetensors", folder / "baseline", folder / "e")
    return json.loads((folder / "e/evaluation/perplexity.json").read_text())


def test_baseline_and_pruned_results_stand_side_by_side(evaluated):
    before = json.loads((evaluated / "baseline/perplexity.json").read_text())
    content = evaluate(evaluated)
    assert content["baseline"] == before
    assert {name: list(named) for name, named in content["pruned"].items()} == {name: ["w8", "w12s4"] for name in "ab"}
    assert {name: named["w8"]["leakage"] for name, named in content["pruned"].items()} == {"a": "none", "b": "source"}
    for protocol in ("w8", "w12s4"):
        one, other, ratio = (content[name]["a"][protocol] for name in ("baseline", "pruned", "ratio"))
        assert one["sha256"] == other["sha256"]
        assert ratio["ratio"] == pytest.approx(other["perplexity"] / one["perplexity"])
        assert one["interval"][0] < one["perplexity"] < one["interval"][1]
    windows = pd.read_parquet(evaluated / "e/evaluation/windows.parquet")
    assert len(windows) == 2 * (4 + 4 * 3)
    rows = windows.query("dataset == 'b' and protocol == 'w12s4'")
    assert rows["window"].tolist() == list(range(12))
    mean = rows["pruned"].sum() / rows["tokens"].sum()
    assert math.exp(mean) == pytest.approx(content["pruned"]["b"]["w12s4"]["perplexity"])
    metrics = json.loads((evaluated / "e/records/evaluation.json").read_text())["metrics"]
    assert metrics["ppl_ratio/a_w8"] == content["ratio"]["a"]["w8"]["ratio"]


def test_a_model_equals_itself(evaluated):
    content = evaluate(evaluated, "source")
    assert content["ratio"]["a"]["w8"] == {"ratio": 1, "interval": [1, 1]}


def test_other_dtypes_are_a_warning_and_other_tokens_an_error(evaluated, caplog):
    evaluate(evaluated)
    assert "delete" not in caplog.text
    evaluate(evaluated, dtype="bfloat16")
    assert "the baseline was measured in float32 and the pruned model in bfloat16" in caplog.text
    save_file({"a/w8": tiny_tokens(4, 9).int()[:, 1:].contiguous()}, evaluated / "windows.safetensors")
    with pytest.raises(DataError, match="the baseline was measured on other tokens: delete"):
        evaluate(evaluated)
