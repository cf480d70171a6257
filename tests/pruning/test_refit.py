"""The refit: least squares against numpy's, choice by held-out tokens, and a model that computes what was fitted."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from jobs import job
from prunescope.artifacts.folders import CheckpointFolder, ExperimentFolder, RefitTextFolder
from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.artifacts.plan_file import PlanFile
from prunescope.errors import DataError, NonFiniteError
from prunescope.models.adapter import adapter_for
from prunescope.models.loading import load_checkpoint, load_offloaded
from prunescope.pruning import refit as refitting
from prunescope.pruning.as_cut import as_cut
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.pruning.fitted import FittedLayers, load_fitted
from prunescope.pruning.least_squares import Sums, best_fit, solve
from prunescope.pruning.proof import ProofError, prove
from prunescope.pruning.prune import prune
from prunescope.pruning.refit import held_out_windows, refit
from prunescope.pruning.repair import fit_projections
from prunescope.steps.job import Job
from prunescope.steps.pruning import PruningSpec
from prunescope.steps.repair import RefitSpec
from shapes import SHAPES
from tiny import mask_model, save_source, tiny_facts, tiny_model, tiny_tokens, uneven_plan

CPU = torch.device("cpu")
RIDGES = (1e-3, 1.0)
OUTPUTS = {"attention": "self_attn.o_proj", "mlp": "mlp.down_proj"}


def refitted(model, folder, windows, ridges=RIDGES, plan=None, done=None):
    """Refit a model by its uneven plan; return how it did and the weights."""
    adapter = adapter_for(model)
    plan = plan or uneven_plan(tiny_facts(model))
    done = done or FittedLayers(folder / "fitted", "this")
    fits = refit(adapter, windows, plan, adapter.weights, ridges, done, batch_size=5)
    return fits, load_fitted(done.folder, "refit")


@torch.no_grad()
def naive(model, windows, ridges, plan):
    """Cut and fit a model in place, one block after the other, each with numpy's lstsq on a pass of its own."""
    dense, held_out, found = deepcopy(model), held_out_windows(len(windows)), []
    for block in adapter_for(model).blocks:
        block_plan = plan.block(block.facts.layer, block.facts.block)
        if len(block_plan.removed) and not block_plan.whole:
            found.append(_fit(model, dense, block.facts, block_plan, windows, held_out, ridges))
        else:
            mask_model(model, only(plan, block.facts))
    return found


def stream_after(model, facts, windows):
    """Return the residual stream after a block, [tokens, d]."""
    seen = {}

    def watch(layer, _, between, after):
        seen[layer] = between, after

    with adapter_for(model).watching_layers(watch):
        model(windows)
    return seen[facts.layer][facts.block == "mlp"].flatten(0, 1).numpy()


def _fit(model, dense, facts, block_plan, windows, held_out, ridges):
    projection = adapter_for(model).output_projection(facts.layer, facts.block)
    width = projection.in_features // facts.groups
    kept = np.concatenate([np.arange(group * width, (group + 1) * width) for group in block_plan.kept])
    cut = projection.weight.numpy()[:, kept].copy()
    projection.weight.zero_()
    projection.weight[:, kept] = torch.from_numpy(cut)
    seen = []
    handle = projection.register_forward_pre_hook(lambda _, args: seen.append(args[0].flatten(0, 1).numpy()[:, kept]))
    whole = [stream_after(dense, facts, part) for part in (windows[:-held_out], windows[-held_out:])]
    left = [stream_after(model, facts, part) for part in (windows[:-held_out], windows[-held_out:])]
    handle.remove()
    lengths = [np.linalg.norm(one, axis=1, keepdims=True) for one in whole]
    inputs, others = (one / length for one, length in zip(seen, lengths, strict=True))
    lacking, unseen = ((a - b) / length for a, b, length in zip(whole, left, lengths, strict=True))
    changes = {None: np.zeros_like(cut)}
    for ridge in ridges:
        damping = np.sqrt(ridge * np.square(inputs).sum() / len(kept))
        wanted = np.concatenate([lacking, np.zeros((len(kept), len(cut)))])
        given = np.concatenate([inputs, damping * np.eye(len(kept))])
        changes[ridge] = np.linalg.lstsq(given, wanted, rcond=None)[0].T
    errors = {ridge: np.square(unseen - others @ change.T).sum() / len(others) for ridge, change in changes.items()}
    best = min(errors, key=errors.get)
    fitted = torch.from_numpy(cut + changes[best])
    projection.weight[:, kept] = fitted
    return best, errors[None], errors[best], fitted


def only(plan, facts):
    """Return a plan that does to one block what another does to it."""
    blocks = (block if block.facts == facts else BlockPlan(block.facts) for block in plan.blocks)
    return PruningPlan(plan.model, tuple(blocks))


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_least_squares_of_numpy_and_the_checkpoint_computes_it(tmp_path, shape):
    model, windows = tiny_model(**shape), tiny_tokens(samples=34)
    facts = save_source(model, tmp_path / "source")
    plan = uneven_plan(facts)
    fits, weights = refitted(model, tmp_path, windows, plan=plan)
    expected = naive(model, windows, RIDGES, plan)
    assert [(fit.layer, fit.block) for fit in fits] == [
        (block.facts.layer, block.facts.block) for block in plan.blocks if len(block.removed) and not block.whole
    ]
    assert len(weights) >= 2
    for fit, (ridge, cut_error, error, fitted) in zip(fits, expected, strict=True):
        assert fit.ridge == ridge
        assert (fit.cut_error, fit.error) == pytest.approx((cut_error, error), rel=1e-6)
        if ridge is not None:
            name = f"model.layers.{fit.layer}.{OUTPUTS[fit.block]}.weight"
            torch.testing.assert_close(weights[name], fitted, rtol=1e-6, atol=1e-8)
    write_checkpoint(facts, plan, tmp_path / "model", fitted=weights)
    pruned = load_checkpoint(tmp_path / "model", torch.float64, CPU)
    torch.testing.assert_close(pruned(tiny_tokens()).logits, model(tiny_tokens()).logits, rtol=1e-6, atol=1e-6)
    for unpruned in (load_checkpoint(facts.path, torch.float64, CPU), load_offloaded(facts.path, torch.float64, CPU)):
        with torch.no_grad(), as_cut(adapter_for(unpruned), plan, weights):
            torch.testing.assert_close(unpruned(tiny_tokens()).logits, pruned(tiny_tokens()).logits)
        assert not torch.allclose(unpruned(tiny_tokens()).logits, pruned(tiny_tokens()).logits)


def sums_of(inputs, lacking, stream):
    sums = Sums(inputs.shape[1], lacking.shape[1], inputs.dtype, CPU)
    sums.add(inputs, lacking, stream)
    return sums


def change_by(sums, ridge):
    solution, used = solve(sums.gram, sums.cross, ridge)
    return solution.T, used


@pytest.fixture
def problem():
    """Inputs [200, 9] with some correlation, what [200, 7] lacks and can be made up for in part, and of what."""
    random = torch.Generator().manual_seed(0)
    inputs, noise, stream = (torch.randn(200, size, generator=random, dtype=torch.float64) for size in (9, 7, 7))
    mixed, weight = (torch.randn(9, size, generator=random, dtype=torch.float64) for size in (9, 7))
    return inputs @ mixed, inputs @ weight + noise, stream * torch.logspace(0, 3, 200, dtype=torch.float64)[:, None]


def left_by(problem, change):
    inputs, lacking, stream = problem
    return ((lacking - inputs @ change.T).square().sum(dim=1) / stream.square().sum(dim=1)).sum().item()


def test_more_damping_moves_less_and_fits_less(problem):
    sums = sums_of(*problem)
    ridges = (0.0, 1e-4, 1e-2, 1.0, 1e2, 1e6)
    changes = [change_by(sums, ridge)[0] for ridge in ridges]
    errors, sizes = [sums.left(change) for change in changes], [change.norm().item() for change in changes]
    assert errors == sorted(errors) and sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 1e-4 * sizes[0]
    assert errors[-1] == pytest.approx(sums.lost.item(), rel=1e-4)
    for change, error in zip(changes, errors, strict=True):
        assert error == pytest.approx(left_by(problem, change), rel=1e-9)


def test_a_token_counts_as_a_share_of_its_stream(problem):
    inputs, lacking, stream = problem
    change, _ = change_by(sums_of(*problem), 0.0)
    scale = stream.norm(dim=1, keepdim=True).numpy()
    expected = np.linalg.lstsq(inputs.numpy() / scale, lacking.numpy() / scale, rcond=None)[0].T
    np.testing.assert_allclose(change.numpy(), expected, rtol=1e-8)
    longer = torch.cat([torch.full((1, 1), 1e6, dtype=torch.float64), torch.ones(199, 1, dtype=torch.float64)])
    massive, _ = change_by(sums_of(inputs * longer, lacking * longer, stream * longer), 0.0)
    torch.testing.assert_close(massive, change)


def test_inputs_in_pieces_and_in_bfloat16_are_summed_alike(problem, monkeypatch):
    monkeypatch.setattr("prunescope.pruning.least_squares.TOKENS", 7)
    pieces = sums_of(*problem)
    monkeypatch.undo()
    whole = Sums(9, 7, torch.float64, CPU)
    for piece in zip(*(one.split(64) for one in problem), strict=True):
        whole.add(*(one[None] for one in piece))
    assert pieces.tokens == whole.tokens == 200
    torch.testing.assert_close((pieces.gram, pieces.cross, pieces.lost), (whole.gram, whole.cross, whole.lost))
    rough = sums_of(*(one.bfloat16() for one in problem))
    assert rough.gram.dtype == torch.float64
    torch.testing.assert_close(rough.gram, pieces.gram, rtol=0.02, atol=0.02 * pieces.gram.abs().max().item())


def test_singular_sums_are_damped_until_they_are_not(problem, caplog):
    inputs, lacking, stream = problem
    inputs[:, 3] = inputs[:, 1]
    inputs[:, 2] = 0
    sums = sums_of(inputs, lacking, stream)
    with caplog.at_level("INFO"):
        change, used = change_by(sums, 0.0)
    assert used > 0 and change.isfinite().all()
    assert "singular with a damping of 0" in caplog.text
    assert sums.left(change) < sums.lost


def test_inputs_that_are_zero_change_nothing(problem):
    inputs, lacking, stream = problem
    sums = sums_of(torch.zeros_like(inputs), lacking, stream)
    assert best_fit(sums, sums, torch.ones(7, 9), (0.0, 0.1)).weight is None


def test_a_stream_of_zeros_is_survived(problem):
    inputs, lacking, stream = problem
    sums = sums_of(torch.zeros_like(inputs), torch.zeros_like(lacking), torch.zeros_like(stream))
    assert sums.finite and sums.lost == 0


def test_the_fit_has_the_dtype_that_is_stored_and_its_error_is_that_of_the_rounded_one(problem):
    stored = torch.linspace(-1, 1, 63).reshape(7, 9).to(torch.float16)
    sums = sums_of(*problem)
    fit = best_fit(sums, sums, stored, (1e-3,))
    assert fit.weight.dtype == torch.float16
    assert fit.error == pytest.approx(left_by(problem, fit.weight.double() - stored.double()) / 200, rel=1e-9)


@pytest.mark.parametrize("windows", [2, 3, 40])
def test_no_block_is_worse_than_the_plain_cut_on_held_out_tokens(tmp_path, windows):
    fits, weights = refitted(tiny_model(), tmp_path, tiny_tokens(windows), ridges=(0.0, 1e-6))
    assert all(fit.error <= fit.cut_error for fit in fits)
    plain = [fit for fit in fits if fit.ridge is None]
    assert all(fit.error == fit.cut_error for fit in plain)
    assert len(weights) == len(fits) - len(plain)
    assert plain if windows < 5 else len(weights) > 1  # one window for 20 columns, or 35


@pytest.mark.parametrize(("layer", "kind", "name"), [(2, "mlp", "mlp.up_proj"), (3, "attention", "self_attn.v_proj")])
def test_inputs_that_are_not_finite_name_the_layer(tmp_path, layer, kind, name):
    model = tiny_model(kv_heads=3)
    model.get_submodule(f"model.layers.{layer}.{name}").weight[0, 0] = torch.nan
    blocks = (BlockPlan(block.facts, np.array([1])) for block in adapter_for(model).blocks)
    with pytest.raises(NonFiniteError, match=f"of the {kind} block of layer {layer} are not finite"):
        refitted(model, tmp_path, tiny_tokens(8), plan=PruningPlan("tiny", tuple(blocks)))


def test_layers_that_are_read_as_they_run_give_the_same(tmp_path):
    model, windows = tiny_model("qwen2"), tiny_tokens(20)
    model.save_pretrained(tmp_path / "model")
    offloaded = load_offloaded(tmp_path / "model", torch.float64, CPU)
    here, there = refitted(model, tmp_path / "a", windows), refitted(offloaded, tmp_path / "b", windows)
    assert here[0] == there[0]
    assert here[1].keys() == there[1].keys()
    assert all(torch.equal(here[1][name], there[1][name]) for name in here[1])


class Killed(Exception):
    """Stands for the signal."""


class KilledAfter(FittedLayers):
    """Dies when a layer is saved."""

    layer = 2

    def keep(self, layer, weights, fits):
        super().keep(layer, weights, fits)
        if layer == self.layer:
            raise Killed


@pytest.mark.parametrize("layer", [0, 2])
def test_it_goes_on_at_the_layer_where_it_was_killed(tmp_path, monkeypatch, layer):
    model, windows = tiny_model(), tiny_tokens(20)
    expected = refitted(model, tmp_path / "whole", windows)
    monkeypatch.setattr(KilledAfter, "layer", layer)
    with pytest.raises(Killed):
        refitted(model, tmp_path, windows, done=KilledAfter(tmp_path / "fitted", "this"))
    solved, best = [], refitting.best_fit
    monkeypatch.setattr(refitting, "best_fit", lambda *told: solved.append(1) or best(*told))
    found = refitted(model, tmp_path, windows)
    assert found[0] == expected[0]
    assert all(torch.equal(found[1][name], weights) for name, weights in expected[1].items())
    assert len(solved) == sum(fit.layer > layer for fit in found[0])


def test_layers_of_another_refit_and_damaged_ones_are_not_taken_up(tmp_path, caplog):
    model, windows = tiny_model(), tiny_tokens(20)
    expected = refitted(model, tmp_path, windows)
    assert FittedLayers(tmp_path / "fitted", "other").find(2) is None
    assert "belongs to another refit" in caplog.text
    (tmp_path / "fitted/layer_2.safetensors").write_bytes(b"half")
    with pytest.raises(DataError, match=r"layer_2\.safetensors is damaged .* run its step again: refit"):
        load_fitted(tmp_path / "fitted", "refit")
    again = refitted(model, tmp_path, windows)
    assert again[0] == expected[0]
    assert "is damaged" in caplog.text


def test_the_model_is_as_it_was(tmp_path):
    model = tiny_model()
    before = model(tiny_tokens()).logits
    refitted(model, tmp_path, tiny_tokens(10))
    assert torch.equal(model(tiny_tokens()).logits, before)


def test_the_proof_finds_fitted_columns_in_another_order(tmp_path):
    model = tiny_model()
    facts = save_source(model, tmp_path / "source")
    plan = uneven_plan(facts)
    _, weights = refitted(model, tmp_path, tiny_tokens(34), plan=plan)
    write_checkpoint(facts, plan, tmp_path / "model", fitted=weights)
    turned = {name: values.flip(1) for name, values in weights.items()}
    with pytest.raises(ProofError, match="differs by"):
        prove(facts, plan, tmp_path / "model", turned)
    with pytest.raises(ProofError, match="differs by"):
        prove(facts, plan, tmp_path / "model")


@pytest.fixture
def experiment(tmp_path):
    """Return the job of the step on a tiny model that is saved in bfloat16, its plan and its text beside it."""
    facts = save_source(tiny_model("qwen3").bfloat16(), tmp_path / "source")
    folder = ExperimentFolder(tmp_path / "e")
    folder.plan.write(PlanFile.of(uneven_plan(facts)))
    RefitTextFolder(tmp_path / "text").samples.write({"input_ids": tiny_tokens(20).int()})
    spec = RefitSpec(model="tiny", experiment="e", ridge=RIDGES, dtype="float32")
    return job(spec, folder.path, model=facts, refit_text=tmp_path / "text")


def test_the_step_leaves_what_the_pruning_step_writes(experiment):
    fit_projections(experiment)
    folder, weights = experiment.folder, load_fitted(experiment.folder.fitted.path, "refit")
    report, record = folder.refit.read(), folder.named(ExperimentFolder.record, step="refit").read()
    assert (report.tokens, report.held_out_tokens) == (18 * 12, 2 * 12)
    assert record.metrics["refit/fitted_blocks"] == len(report.fitted) == len(weights)
    assert record.metrics["refit/error"] == report.error < report.cut_error
    assert len(record.curves["refit/mlp_error"]) == 4
    assert {values.dtype for values in weights.values()} == {torch.bfloat16}
    assert not folder.fitting.exists()
    told = PruningSpec(model="tiny", experiment="e", refit=True)
    prune(Job(told, folder, experiment.inputs))
    kept = CheckpointFolder(folder.checkpoint.path).kept.read()
    assert kept.fitted == sorted(weights)
    stored = load_file(folder.checkpoint.path / "model.safetensors")
    assert all(any(torch.equal(values, other) for other in stored.values()) for values in weights.values())


def test_pruning_without_the_fitted_weights_says_which_step_makes_them(experiment):
    with pytest.raises(DataError, match="is not there; run the step that makes it first: refit"):
        prune(Job(PruningSpec(model="tiny", experiment="e", refit=True), experiment.folder, experiment.inputs))
