"""Steps on a model whose upper layers are on a second device, on a machine without any; `test_devices` runs it.

torch's fake tensors hold no numbers, but they have a device, and refuse to be mixed as those of two GPUs do. They have
no backward pass: hooks on gradients are called at once. A step has passed when it asks for a number; its name is
printed, with and without a head that is tied to the embedding.
"""

import torch
from accelerate import hooks
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from prunescope.config.protocols import Protocol
from prunescope.evaluation.perplexity import measure_losses
from prunescope.models.adapter import adapter_for
from prunescope.trial.first_order import measure_first_order
from prunescope.trial.removal import measure_removal
from prunescope.trial.similarity import measure_similarity
from tiny import tiny_model, tiny_tokens

LOWER = ("model.embed_tokens", "model.rotary_emb", "model.layers.0", "model.layers.1")
UPPER = ("model.layers.2", "model.layers.3", "model.norm", "lm_head")
STEPS = {
    "perplexity": lambda model, windows: measure_losses(model, windows, Protocol(windows.shape[1])),
    "removal": lambda model, windows: measure_removal(adapter_for(model), windows, 2),
    "similarity": lambda model, windows: measure_similarity(adapter_for(model), windows, 2),
    "first_order": lambda model, windows: measure_first_order(adapter_for(model), windows, 2),
}


class Passed(Exception):
    """A number was asked for."""


def ask(*_: object) -> None:
    raise Passed


def spread(model: nn.Module, tied: bool) -> None:
    """Put fake weights on two devices, and the hooks by which accelerate moves what modules are called with."""
    places = dict.fromkeys(LOWER, torch.device("gpu:0")) | dict.fromkeys(UPPER, torch.device("gpu:1"))
    places |= {"lm_head": places["model.embed_tokens"]} if tied else {}
    for name, device in places.items():
        for module in model.get_submodule(name).modules():
            for own, values in list(module.named_parameters(recurse=False)):
                fake = torch.empty(values.shape, dtype=values.dtype, device=device)
                setattr(module, own, nn.Parameter(fake, requires_grad=False))
            for own, values in list(module.named_buffers(recurse=False)):
                setattr(module, own, torch.empty(values.shape, dtype=values.dtype, device=device))
    model.tie_weights()
    hooks.set_module_tensor_to_device = lambda *_, **__: None  # everything is in its place
    everywhere = places | {"": places["model.embed_tokens"]}
    hooks.attach_align_device_hook_on_blocks(model, everywhere, offload=dict.fromkeys(places, False))


def main() -> None:
    _setup_privateuseone_for_python_backend("gpu")
    models = {tied: tiny_model(tie_word_embeddings=tied) for tied in (False, True)}
    shape = tiny_tokens().shape
    Tensor.item = Tensor.tolist = Tensor.numpy = Tensor.nonzero = ask
    Tensor.backward = lambda _: None
    Tensor.register_hook = lambda values, hook: hook(torch.empty_like(values))
    torch.set_grad_enabled(False)
    torch.enable_grad = torch.no_grad
    with FakeTensorMode():
        for tied, model in models.items():
            spread(model, tied)
            for name, step in STEPS.items():
                try:
                    step(model, torch.zeros(shape, dtype=torch.int64))
                except Passed:
                    print(name)


if __name__ == "__main__":
    main()
