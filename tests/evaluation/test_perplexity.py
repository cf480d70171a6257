"""Perplexity against a naive loop over tokens, and what the files hold."""

import math
import shutil

import numpy as np
import pytest
import torch

from jobs import job
from prunescope.artifacts.folders import BaselineFolder, EvaluationTextFolder, ExperimentFolder
from prunescope.artifacts.identity import Identity
from prunescope.artifacts.perplexity import Ratio
from prunescope.config.protocols import Protocol
from prunescope.config.sections import Settings
from prunescope.data.calibration import tokens_sha256
from prunescope.errors import DataError, NonFiniteError
from prunescope.evaluation.perplexity import measure_losses, summarise, tokens_read
from prunescope.evaluation.steps import evaluate_baseline, evaluate_like, evaluate_pruned, evaluate_recovered
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.steps.evaluation import BaselineSpec, EvaluationSpec
from prunescope.steps.recovery import RecoveredSpec
from tiny import save_source, tiny_model, tiny_tokens, uneven_plan

BASELINE, TEXT = "_shared/baseline/k", "_shared/evaluation_text/k"


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
    found = measure_losses(model, spans, protocol)
    result = summarise("float64", spans, protocol, found)
    assert result.tokens == sum(map(len, losses)) == total
    assert (result.windows, result.window, result.stride) == (3 * windows, protocol.window, protocol.stride)
    assert result.dtype == "float64"
    assert result.sha256 == tokens_sha256(spans.numpy())
    assert result.perplexity == pytest.approx(math.exp(np.sum(losses) / total), rel=1e-9)
    # Stretches of a window's length, counted from the start of each span.
    ends = range(protocol.window - 1, length + protocol.window - 1, protocol.window)
    sums = [sum(span[max(0, end - protocol.window) : end]) for span in losses for end in ends]
    np.testing.assert_allclose(found.sums, sums, rtol=1e-9)


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
        measure_losses(model, tiny_tokens(), Protocol(12))


@pytest.fixture
def evaluated(tmp_path):
    """A baseline and a pruned model on two texts, by two protocols."""
    model = tiny_model().float()
    facts = save_source(model, tmp_path / "source")
    write_checkpoint(facts, uneven_plan(facts), tmp_path / "e/model")
    spans = {f"{text}/{name}": tiny_tokens(4, n).int() for text in ("a", "b") for name, n in (("w8", 8), ("w12s4", 32))}
    EvaluationTextFolder(tmp_path / TEXT).windows.write(spans)
    told = BaselineSpec(inputs={"evaluation_text": "k"}, dtype="float32")
    evaluate_baseline(job(told, tmp_path / BASELINE, model=facts, evaluation_text=tmp_path / TEXT))
    return tmp_path


def evaluate(folder, dtype="float32"):
    inputs = {"baseline": folder / BASELINE, "evaluation_text": folder / TEXT}
    keys = {step: path.name for step, path in inputs.items()}
    spec = EvaluationSpec(model="m", experiment="e", inputs=keys, dtype=dtype, leakage={"a": "none", "b": "source"})
    evaluate_pruned(job(spec, folder / "e", **inputs))
    return ExperimentFolder(folder / "e").perplexity.read()


def test_baseline_and_pruned_results_stand_side_by_side(evaluated):
    before = BaselineFolder(evaluated / BASELINE).perplexity.read()
    report, experiment = evaluate(evaluated), ExperimentFolder(evaluated / "e")
    assert report.baseline == before
    assert {name: list(named) for name, named in report.pruned.items()} == {name: ["w8", "w12s4"] for name in "ab"}
    assert {name: named["w8"].leakage for name, named in report.pruned.items()} == {"a": "none", "b": "source"}
    for protocol in ("w8", "w12s4"):
        one, other, ratio = (results["a"][protocol] for results in (report.baseline, report.pruned, report.ratio))
        assert one.sha256 == other.sha256
        assert ratio.ratio == pytest.approx(other.perplexity / one.perplexity)
        assert one.interval[0] < one.perplexity < one.interval[1]
    windows = experiment.windows.read()
    assert len(windows) == 2 * (4 + 4 * 3)
    rows = windows.query("dataset == 'b' and protocol == 'w12s4'")
    assert rows["window"].tolist() == list(range(12))
    mean = rows["pruned"].sum() / rows["tokens"].sum()
    assert math.exp(mean) == pytest.approx(report.pruned["b"]["w12s4"].perplexity)
    metrics = experiment.named(ExperimentFolder.record, step="evaluation").read().metrics
    assert metrics["ppl_ratio/a_w8"] == report.ratio["a"]["w8"].ratio


def test_a_model_equals_itself(evaluated):
    shutil.rmtree(evaluated / "e/model")
    (evaluated / "e/model").symlink_to(evaluated / "source")
    assert evaluate(evaluated).ratio["a"]["w8"] == Ratio(ratio=1, interval=(1, 1))


def test_a_checkpoint_is_measured_like_an_experiment(evaluated):
    wanted, like = evaluate(evaluated), ExperimentFolder(evaluated / "e")
    shared = {"baseline": "k", "evaluation_text": "k"}
    settings = Settings(evaluation={"dtype": "float32"})
    like.identity.write(Identity(model="m", experiment="e", dataset="d", settings=settings, shared=shared, params={}))
    shutil.copytree(like.checkpoint.path, evaluated / "other/model")
    evaluate_like(like, ExperimentFolder(evaluated / "other"))
    assert ExperimentFolder(evaluated / "other").perplexity.read() == wanted


def test_a_trained_model_stands_beside_the_others(evaluated):
    before, experiment = evaluate(evaluated), ExperimentFolder(evaluated / "e")
    shutil.copytree(evaluated / "source", experiment.recovered.path)
    spec = RecoveredSpec(model="m", experiment="e", dtype="float32", leakage={"a": "documents", "b": "none"})
    evaluate_recovered(job(spec, experiment.path, evaluation_text=evaluated / TEXT))
    report, windows = experiment.recovered_perplexity.read(), experiment.recovered_windows.read()
    assert (report.baseline, report.pruned) == (before.baseline, before.pruned)
    assert {name: named["w8"].leakage for name, named in report.recovered.items()} == {"a": "documents", "b": "none"}
    assert report.ratio["a"]["w8"] == Ratio(ratio=1, interval=(1, 1))
    assert report.ratio_to_pruned["b"]["w12s4"].ratio == pytest.approx(1 / before.ratio["b"]["w12s4"].ratio)
    np.testing.assert_array_equal(windows["recovered"], windows["baseline"])
    metrics = experiment.named(ExperimentFolder.record, step="recovered").read().metrics
    assert metrics["ppl_recovered/a_w8"] == report.recovered["a"]["w8"].perplexity


def test_other_dtypes_are_a_warning_and_other_tokens_an_error(evaluated, caplog):
    evaluate(evaluated)
    assert "delete" not in caplog.text
    evaluate(evaluated, dtype="bfloat16")
    assert "the baseline was measured in float32 and the pruned model in bfloat16" in caplog.text
    EvaluationTextFolder(evaluated / TEXT).windows.write({"a/w8": tiny_tokens(4, 9).int()[:, 1:].contiguous()})
    with pytest.raises(DataError, match="the baseline was measured on other tokens: delete"):
        evaluate(evaluated)
