"""The surgeon: its costs against those of sets of columns in float64, and its sums against naive ones."""

import numpy as np
import pytest
import torch

from prunescope.importance import surgeon as surgery
from prunescope.importance.engine import collect_gradients
from prunescope.importance.modes import Mode
from prunescope.importance.surgeon import DAMPING, surgeon
from prunescope.models.adapter import adapter_for
from shapes import SHAPES
from tiny import tiny_model, tiny_tokens

TOKENS = 90


@pytest.fixture
def moments():
    """H [12, 12] of correlated inputs, G [5, 5] and W [5, 12], float64."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(TOKENS, 12)) @ random.normal(size=(12, 12))
    gradients = random.normal(size=(TOKENS, 5)) @ random.normal(size=(5, 5))
    return inputs.T @ inputs, gradients.T @ gradients / TOKENS, random.normal(size=(5, 12))


def cost_of(removed, inputs, outputs, weight):
    """The least ½ / N · tr(G Δ H Δᵀ) over all Δ that take away the removed columns, by least squares."""
    damped = inputs + DAMPING * inputs.diagonal().mean() * np.eye(len(inputs))
    root, half = np.linalg.cholesky(damped).T, np.linalg.cholesky(outputs).T
    kept = np.setdiff1d(np.arange(len(inputs)), removed)
    gone = root[:, removed] @ (half @ weight)[:, removed].T
    change = np.linalg.lstsq(root[:, kept], gone, rcond=None)[0]
    return np.square(gone - root[:, kept] @ change).sum() / (2 * TOKENS)


def columns_of(groups, width):
    return [group * width + column for group in groups for column in range(width)]


@pytest.mark.parametrize("groups", [12, 4, 1])
def test_a_group_costs_what_its_going_adds_to_that_of_the_set(moments, groups):
    width = 12 // groups
    costs = surgeon(*map(torch.from_numpy, moments), groups, TOKENS).numpy()
    gone, before, floor = [], 0.0, 0.0
    for _ in range(groups):
        after = {
            group: cost_of(columns_of([*gone, group], width), *moments) for group in range(groups) if group not in gone
        }
        best = min(after, key=after.get)
        floor = max(floor, after[best] - before)
        assert costs[best] == pytest.approx(floor, rel=1e-9)
        gone, before = [*gone, best], after[best]


def test_rounds_of_several_groups_rank_nearly_alike(moments, monkeypatch):
    one_by_one = surgeon(*map(torch.from_numpy, moments), 12, TOKENS)
    monkeypatch.setattr(surgery, "STEPS", 4)
    assert (
        np.corrcoef(
            one_by_one.argsort().argsort(), surgeon(*map(torch.from_numpy, moments), 12, TOKENS).argsort().argsort()
        )[0, 1]
        > 0.8
    )


def test_of_two_equal_columns_the_second_is_dear(moments):
    inputs, outputs, weight = moments
    inputs[3], inputs[:, 3] = inputs[2], inputs[:, 2]
    inputs[3, 3] = inputs[2, 2]
    first, second = sorted(surgeon(*map(torch.from_numpy, (inputs, outputs, weight)), 12, TOKENS)[2:4].tolist())
    assert second > 10 * first


@pytest.mark.parametrize("inputs", ["zeros", "singular"])
def test_sums_that_are_singular_are_survived(moments, inputs):
    gram = torch.zeros(12, 12) if inputs == "zeros" else torch.ones(12, 12)
    costs = surgeon(gram.double(), *map(torch.from_numpy, moments[1:]), 12, TOKENS)
    assert costs.isfinite().all() and (costs >= 0).all()


def naive(model, windows):
    """Costs of all blocks by their definition, a pass per window."""
    adapter, sums = adapter_for(model), {}
    for window in windows:
        seen, stack = {}, []
        for block in adapter.blocks:
            module = adapter.output_projection(block.facts.layer, block.facts.block)

            def keep(_, args, output, name=block.name, seen=seen):
                output = output if output.requires_grad else output.detach().requires_grad_()
                output.retain_grad()
                seen[name] = args[0], output
                return output

            stack.append(module.register_forward_hook(keep))
        logits = model(window[None]).logits[0, :-1]
        torch.nn.functional.cross_entropy(logits, window[1:].long(), reduction="sum").backward()
        for handle in stack:
            handle.remove()
        for name, (inputs, output) in seen.items():
            x, g = inputs.detach()[0], output.grad[0]
            old = sums.get(name, (0, 0))
            sums[name] = old[0] + x.T @ x, old[1] + g.T @ g / windows.numel()
    weights = {
        block.name: adapter.output_projection(block.facts.layer, block.facts.block).weight for block in adapter.blocks
    }
    return {
        block.name: surgeon(*sums[block.name], weights[block.name].detach(), block.facts.groups, windows.numel())
        for block in adapter.blocks
    }


@pytest.mark.parametrize("mode", ["accumulate", "layered", "gate"])
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_the_pass_sums_what_the_definition_says(shape, mode):
    windows = tiny_tokens(samples=6)
    found = collect_gradients(adapter_for(tiny_model(**shape)), windows, ["surgeon"], 3, Mode(mode)).saliency["surgeon"]
    expected = naive(tiny_model(**shape), windows)
    for block, costs in expected.items():
        torch.testing.assert_close(found[block].double(), costs, rtol=1e-5, atol=1e-12)
