"""Factors of the kept groups: folded in they compute the same, training them goes on, and held-out windows decide."""

import logging

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from jobs import job
from prunescope.artifacts.folders import ExperimentFolder, ModelFolder, RefitTextFolder
from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.artifacts.plan_file import PlanFile
from prunescope.environment import SAVE_STEPS
from prunescope.errors import DataError
from prunescope.models.adapter import adapter_for
from prunescope.models.loading import load_checkpoint
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.pruning.fitted import FittedLayers, load_fitted
from prunescope.pruning.prune import prune
from prunescope.pruning.refit import refit
from prunescope.recovery import training
from prunescope.recovery.cut_model import CutModel
from prunescope.recovery.scales import train_scales
from prunescope.steps.job import Job
from prunescope.steps.pruning import PruningSpec
from prunescope.steps.repair import ScalesSpec
from shapes import SHAPES
from tiny import save_source, tiny_model, tiny_tokens, uneven_plan

CPU = torch.device("cpu")
TOLD = {"tokens": 16 * 12, "batch_size": 2, "dtype": "float32", "checkpointing": False}


@pytest.mark.parametrize(
    ("shape", "refitted"),
    [*(pytest.param(*one.values, True, id=one.id) for one in SHAPES), ({"family": "qwen2"}, False)],
)
def test_the_checkpoint_computes_what_the_factors_do_beside_the_unpruned_model(tmp_path, shape, refitted):
    model, tokens = tiny_model(**shape), tiny_tokens()
    facts = save_source(model, tmp_path / "source")
    plan, adapter, repaired = uneven_plan(facts), adapter_for(model), {}
    if refitted:
        refit(adapter, tiny_tokens(20), plan, adapter.weights, (0.1,), FittedLayers(tmp_path / "refit", "this"), 5)
        repaired = load_fitted(tmp_path / "refit", "refit")
    unpruned = model(tokens).logits
    cut, random = CutModel(adapter, plan, repaired), torch.Generator().manual_seed(3)
    for factors in cut.factors:
        factors.data += 0.3 * torch.randn(factors.shape, generator=random, dtype=factors.dtype)
    with cut.cut(), torch.no_grad():
        scaled = model(tokens).logits
        teacher = cut.teacher
        torch.testing.assert_close(teacher.head(teacher.states(tokens)), unpruned, rtol=0, atol=0)
        weights = {block.grouped.name: block.fold(adapter.weights) for block in cut.blocks}
        torch.testing.assert_close(model(tokens).logits, scaled, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(model(tokens).logits, unpruned, rtol=0, atol=0)
    assert not torch.allclose(scaled, unpruned, atol=1e-2)
    write_checkpoint(facts, plan, tmp_path / "model", fitted=repaired | weights)
    found = load_checkpoint(tmp_path / "model", torch.float64, CPU)(tokens).logits
    torch.testing.assert_close(found, scaled, rtol=1e-9, atol=1e-9)


def test_factors_are_multiplied_in_float32_and_rounded_once():
    model = tiny_model(num_hidden_layers=1).bfloat16()
    adapter = adapter_for(model)
    plan = PruningPlan("tiny", tuple(BlockPlan(block.facts, np.array([1])) for block in adapter.blocks))
    _, block = CutModel(adapter, plan, {}).blocks
    block.factors.data.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(0))
    assert block.factors.dtype == torch.float32
    stored = adapter.weights(block.grouped.name)[:, torch.arange(20) != 1]
    expected = (stored.float() * block.factors).bfloat16()
    found = block.fold(adapter.weights)
    assert torch.equal(found, expected) and torch.equal(block.weight, expected)


@pytest.fixture
def experiment(tmp_path):
    """Return what makes the job of the step: a tiny model in bfloat16, its plan and its text."""
    facts = save_source(tiny_model("qwen2").bfloat16(), tmp_path / "source")
    ModelFolder(tmp_path / "parent").facts.write(facts)
    folder = ExperimentFolder(tmp_path / "e")
    folder.plan.write(PlanFile.of(uneven_plan(facts)))
    RefitTextFolder(tmp_path / "text").samples.write({"input_ids": tiny_tokens(40).int()})

    def made(**changes):
        spec = ScalesSpec(model="tiny", experiment="e", **TOLD | changes)
        return job(spec, folder.path, model=tmp_path / "parent", refit_text=tmp_path / "text")

    return made


def run(experiment, **changes):
    """Run the step; return its report, its record and the weights that it left."""
    told = experiment(**changes)
    train_scales(told)
    record = told.folder.named(ExperimentFolder.record, step="scales").read()
    return told.folder.scales.read(), record, load_fitted(told.folder.scaled.path, "scales")


def test_what_helps_on_held_out_windows_is_written(experiment):
    report, record, weights = run(experiment)
    folder, facts = experiment().folder, experiment().input(ModelFolder).ready()
    assert (report.tokens, report.held_out_tokens) == (16 * 12, 5 * 12)
    assert report.taken and report.loss < report.loss_before
    assert set(record.histories) == {"scales/loss", "scales/ce", "scales/kl", "scales/learning_rate"}
    assert record.metrics["scales/taken"] == 1 and record.metrics["scales/steps"] == 8
    assert {values.dtype for values in weights.values()} == {torch.bfloat16}
    assert not folder.scaling.exists()
    # The step's own figures, by the checkpoint that pruning writes.
    prune(Job(PruningSpec(model="tiny", experiment="e", scales=True), folder, experiment().inputs))
    tokens = tiny_tokens(40)[-5:]
    said, likely = (
        load_checkpoint(path, torch.float32, CPU)(tokens).logits[:, :-1].log_softmax(-1)
        for path in (folder.checkpoint.path, facts.path)
    )
    assert report.after.ce == pytest.approx(-said.gather(2, tokens[:, 1:, None]).mean().item(), rel=1e-5)
    assert report.after.kl == pytest.approx((likely.exp() * (likely - said)).sum(-1).mean().item(), rel=1e-5)
    stored = load_file(folder.checkpoint.path / "model.safetensors")
    assert all(any(torch.equal(values, other) for other in stored.values()) for values in weights.values())


def test_what_does_not_help_is_not_written(experiment, caplog):
    caplog.set_level(logging.INFO)
    report, record, weights = run(experiment, learning_rate=20.0)
    assert not report.taken and not weights
    assert report.loss > report.loss_before
    assert record.metrics["scales/taken"] == 0
    assert "no better: the weights stay without factors" in caplog.text


def test_it_goes_on_where_it_was_interrupted_and_checkpointing_changes_no_number(experiment, monkeypatch):
    expected, record, wanted = run(experiment)

    def die(progress, amount, *_):
        progress.done += amount
        if progress.what == "scales" and progress.done == 5 * 24:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setenv(SAVE_STEPS, "3")
        patch.setattr(training.Progress, "advance", die)
        with pytest.raises(KeyboardInterrupt):
            run(experiment)
    report, again, weights = run(experiment)
    assert again.metrics["scales/resumed_from_step"] == 3
    assert (report, again.histories) == (expected, record.histories)
    assert all(torch.equal(weights[name], values) for name, values in wanted.items())
    report, _, _ = run(experiment, checkpointing=True)
    assert report.loss == pytest.approx(expected.loss, rel=1e-4)


def test_where_only_whole_blocks_go_there_is_nothing_to_scale(experiment):
    told = experiment()
    facts = told.input(ModelFolder).ready()
    blocks = (BlockPlan(one, np.arange(one.groups if one.layer == 1 else 0)) for one in facts.blocks)
    told.folder.plan.write(PlanFile.of(PruningPlan("tiny", tuple(blocks))))
    report, _, weights = run(experiment)
    assert not report.blocks and not report.taken and not weights


def test_a_model_that_does_not_fit_is_one_sentence(experiment, monkeypatch):
    monkeypatch.setattr("prunescope.models.loading.free_memory", lambda _: 10)
    with pytest.raises(DataError, match=r"do not fit .* take a larger one, or leave scales out"):
        run(experiment)
