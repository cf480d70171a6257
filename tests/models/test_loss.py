"""The chunked loss against the plain one: values and gradients, whatever the size of the chunks."""

import pytest
import torch

from prunescope.models import loss
from prunescope.models.loss import distillation_losses, next_token_losses, token_losses
from tiny import VOCABULARY, tiny_model, tiny_tokens


@pytest.fixture(params=[1, 5 * VOCABULARY, 1 << 24], ids=["one position", "five positions", "all"])
def chunk(request, monkeypatch):
    monkeypatch.setattr(loss, "LOGITS", request.param)


@pytest.mark.usefixtures("chunk")
def test_losses_are_those_of_the_whole_logits():
    model, tokens = tiny_model(), tiny_tokens()
    logits = model(tokens).logits[:, :-1].log_softmax(dim=-1)
    expected = -logits.gather(2, tokens[:, 1:, None])[..., 0]
    torch.testing.assert_close(next_token_losses(model, tokens), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("chunk")
def test_gradients_are_those_of_the_whole_logits():
    torch.manual_seed(0)
    head = torch.nn.Linear(7, VOCABULARY, bias=True, dtype=torch.float64).requires_grad_(False)
    hidden, weights = torch.randn(3, 11, 7, dtype=torch.float64), torch.rand(3, 11, dtype=torch.float64)
    targets = tiny_tokens(3, 11)
    chunked, whole = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    (token_losses(head, chunked, targets) * weights).sum().backward()
    plain = torch.nn.functional.cross_entropy(head(whole).transpose(1, 2), targets, reduction="none")
    (plain * weights).sum().backward()
    torch.testing.assert_close(chunked.grad, whole.grad, rtol=1e-12, atol=1e-12)
    assert head.weight.grad is None


@pytest.mark.usefixtures("chunk")
def test_half_precision_is_summed_in_float32():
    head = torch.nn.Linear(7, VOCABULARY, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    hidden = torch.randn(2, 11, 7, dtype=torch.bfloat16).requires_grad_()
    losses = token_losses(head, hidden, tiny_tokens(2, 11))
    assert losses.dtype == torch.float32
    losses.sum().backward()
    assert hidden.grad.dtype == torch.bfloat16
    torch.testing.assert_close(
        losses,
        torch.nn.functional.cross_entropy(head(hidden).float().transpose(1, 2), tiny_tokens(2, 11), reduction="none"),
    )


def test_never_more_logits_than_allowed(monkeypatch):
    monkeypatch.setattr(loss, "LOGITS", 5 * VOCABULARY)
    model, rows = tiny_model(), []
    model.lm_head.register_forward_hook(lambda _, args, __: rows.append(len(args[0])))
    next_token_losses(model, tiny_tokens())
    assert max(rows) == 5
    assert sum(rows) == 3 * 11


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize(("ce", "kl"), [(0.0, 1.0), (1.0, 2.0)])
def test_distillation_is_that_of_the_whole_distributions(ce, kl):
    """Values and gradients, against the formula on whole logits in float64."""
    random = torch.Generator().manual_seed(0)
    shape = {"generator": random, "dtype": torch.float64}
    head, other = (torch.nn.Linear(7, VOCABULARY, dtype=torch.float64).requires_grad_(False) for _ in range(2))
    dense, hidden, weights = torch.randn(3, 11, 7, **shape), torch.randn(3, 11, 7, **shape), torch.rand(3, 11, **shape)
    targets = tiny_tokens(3, 11)
    chunked, whole = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    found = distillation_losses(head, chunked, targets, other, dense, ce, kl)
    said, likely = head(whole).log_softmax(-1), other(dense).softmax(-1)
    entropy = -said.gather(2, targets[..., None])[..., 0]
    divergence = (likely * (likely.log() - said)).sum(-1)
    for one, expected in zip(found, (ce * entropy + kl * divergence, entropy, divergence), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-12, atol=1e-12)
    (found[0] * weights).sum().backward()
    ((ce * entropy + kl * divergence) * weights).sum().backward()
    torch.testing.assert_close(chunked.grad, whole.grad, rtol=1e-12, atol=1e-12)
    assert not found[1].requires_grad and not found[2].requires_grad


def test_the_divergence_of_a_model_from_itself_is_zero():
    head = torch.nn.Linear(7, VOCABULARY, dtype=torch.bfloat16).requires_grad_(False)
    hidden = torch.randn(2, 5, 7, dtype=torch.bfloat16).requires_grad_()
    total, _, kl = distillation_losses(head, hidden, tiny_tokens(2, 5), head, hidden.detach(), 0.0, 1.0)
    total.sum().backward()
    assert total.dtype == torch.float32
    assert not kl.any() and not hidden.grad.any()
