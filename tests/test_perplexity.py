"""Perplexity against a naive loop over tokens, and what the files hold."""

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from prunescope.config.specs import BaselineSpec, EvaluationSpec
from prunescope.errors import NonFiniteError
from prunescope.evaluation.perplexity import measure_perplexity, write_baseline, write_evaluation
from tiny import save_source, tiny_model, tiny_tokens


def naive_losses(model, windows):
    """-log p of every token but the first of its window, each from a forward pass over its own prefix."""
    losses = []
    for window in windows:
        for position in range(1, len(window)):
            logits = model(window[None, :position]).logits[0, -1]
            losses.append(-torch.log_softmax(logits, -1)[window[position]].item())
    return losses


def test_equals_the_naive_loop():
    model, windows = tiny_model(), tiny_tokens(samples=3, length=7)
    losses = naive_losses(model, windows)
    result = measure_perplexity(model, windows)
    assert result.tokens == len(losses) == 18
    assert (result.windows, result.window, result.dtype) == (3, 7, "float64")
    assert result.perplexity == pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-9)


def test_a_loss_that_is_not_finite_is_an_error():
    model = tiny_model()
    model.model.norm.weight[0] = float("inf")
    with pytest.raises(NonFiniteError, match=r"windows of 12 tokens is nan; try evaluation\.dtype: float32"):
        measure_perplexity(model, tiny_tokens())


def test_baseline_and_pruned_results_stand_side_by_side(tmp_path, caplog):
    facts = save_source(tiny_model().float(), tmp_path / "source")
    windows = tmp_path / "windows.safetensors"
    save_file({f"{text}/w{n}": tiny_tokens(4, n).int() for text in ("a", "b") for n in (8, 16)}, windows)
    told = BaselineSpec(model="m", evaluation_text="t", dtype="float32")
    write_baseline(told, "key", facts, windows, tmp_path / "baseline")
    before = json.loads((tmp_path / "baseline/perplexity.json").read_text())
    assert set(before) == {"a", "b"}
    assert set(before["a"]) == {"w8", "w16"}

    pruned = EvaluationSpec(model="m", experiment="e", baseline="key", dtype="float32")
    write_evaluation(pruned, tmp_path / "source", windows, tmp_path / "baseline/perplexity.json", tmp_path / "e")
    content = json.loads((tmp_path / "e/evaluation/perplexity.json").read_text())
    assert content["pruned"] == content["baseline"] == before
    assert not caplog.records or "delete" not in caplog.text

    other = EvaluationSpec(model="m", experiment="e", baseline="key", dtype="bfloat16")
    write_evaluation(other, tmp_path / "source", windows, tmp_path / "baseline/perplexity.json", tmp_path / "e")
    assert "the baseline was measured in float32 and the pruned model in bfloat16" in caplog.text
