"""Where the prunable groups of an architecture are: the one place that knows module names."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from prunescope.artifacts.facts import BlockFacts, BlockKind
from prunescope.models.families import FAMILIES, family_name
from prunescope.models.offload import offloaded_layers


@dataclass(frozen=True)
class GroupedWeight:
    """A parameter whose rows (`dim` 0) or columns (`dim` 1) are divided among the groups of a block.

    Group k owns the `width` consecutive entries from ``k * width`` on.
    """

    name: str
    dim: int
    width: int

    def group_sum(self, values: Tensor) -> Tensor:
        """Sum per-weight `values` (the parameter's shape) over each group: ``[groups]``."""
        if self.dim == 0:
            return values.reshape(values.shape[0] // self.width, -1).sum(dim=1)
        return values.reshape(values.shape[0], -1, self.width).sum(dim=(0, 2))

    def select(self, values: Tensor, kept: Tensor) -> Tensor:
        """Return a contiguous copy of `values` with the entries of the `kept` groups (int64, ascending)."""
        offsets = torch.arange(self.width, device=kept.device)
        index = (kept[:, None] * self.width + offsets).reshape(-1)
        return values.index_select(self.dim, index.to(values.device)).contiguous()


@dataclass(frozen=True)
class Block:
    """An attention or MLP block of one decoder layer.

    Attributes:
        weights: parameters that groups share out among themselves.
        whole: parameters that go only with the whole block: its norm, its output bias, and the norms that all
            query or key heads share.
        facts: sizes, see `BlockFacts`.
    """

    facts: BlockFacts
    weights: tuple[GroupedWeight, ...]
    whole: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.facts.layer}.{self.facts.block}"


class ModelAdapter:
    """A Llama-shaped decoder: GQA attention and a gated MLP, each behind a norm.

    Biases and norms are read off the modules, their names from the row of the family.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.family = FAMILIES[family_name(model.config.model_type)]
        self.layers: list[nn.Module] = list(model.get_submodule(self.family.layers))
        self.parameters = dict(model.named_parameters())
        self.blocks: list[Block] = [block for layer in range(len(self.layers)) for block in self._layer_blocks(layer)]

    # --- structure ----------------------------------------------------------------------------------

    def layer_prefix(self, layer: int) -> str:
        """Return the prefix of a layer's parameter names, with the final dot."""
        return f"{self.family.layers}.{layer}."

    def _layer_blocks(self, layer: int) -> Iterator[Block]:
        names = self.family.attention
        attention = getattr(self.layers[layer], names.module)
        if attention is not None:
            head_dim = attention.head_dim
            query, key, _ = (getattr(attention, name) for name in names.inputs)
            groups = key.out_features // head_dim
            per_group = query.out_features // groups
            widths = (per_group, head_dim, head_dim)
            yield self._block(layer, "attention", groups, widths, output_width=per_group)
        if self.module(layer, "mlp") is not None:
            groups = self.output_projection(layer, "mlp").in_features
            yield self._block(layer, "mlp", groups, (1, 1), output_width=1)

    def _block(self, layer: int, kind: BlockKind, groups: int, widths: tuple[int, ...], output_width: int) -> Block:
        names = self.family.block(kind)
        prefix = f"{self.layer_prefix(layer)}{names.module}."
        norm_prefix = f"{self.layer_prefix(layer)}{names.norm}."
        inputs = [
            GroupedWeight(f"{prefix}{name}.{part}", dim=0, width=width)
            for name, width in zip(names.inputs, widths, strict=True)
            for part in ("weight", "bias")
        ]
        output = GroupedWeight(f"{prefix}{names.output}.weight", dim=1, width=output_width)
        weights = tuple(weight for weight in (*inputs, output) if weight.name in self.parameters)
        grouped = {weight.name for weight in weights}
        whole = tuple(
            name for name in self.parameters if name.startswith((prefix, norm_prefix)) and name not in grouped
        )
        cost = sum(self.parameters[weight.name].numel() for weight in weights) // groups
        overhead = sum(self.parameters[name].numel() for name in whole)
        return Block(BlockFacts(layer, kind, groups, cost, overhead), weights, whole)

    @property
    def head_dim(self) -> int:
        """Width of an attention head, the same in every layer."""
        attentions = (getattr(layer, self.family.attention.module) for layer in self.layers)
        return next(attention.head_dim for attention in attentions if attention is not None)

    @property
    def total_parameters(self) -> int:
        """All parameters, tied ones once."""
        return sum(parameter.numel() for parameter in self.parameters.values())

    @property
    def decoder_parameters(self) -> int:
        """Parameters of the decoder layers: neither embeddings, final norm nor head."""
        return sum(parameter.numel() for layer in self.layers for parameter in layer.parameters())

    @property
    def device(self) -> torch.device:
        """Where the embedding is, and with it the input of the model."""
        return self.model.get_input_embeddings().weight.device

    @property
    def offloaded(self) -> bool:
        """Whether the layers are in memory only while they run (see `models.offload`)."""
        return offloaded_layers(self.model) is not None

    def weights(self, name: str) -> Tensor:
        """Return the values of a parameter, wherever they are kept."""
        layers = offloaded_layers(self.model)
        return self.parameters[name] if layers is None else layers.read(name)

    # --- computation --------------------------------------------------------------------------------

    def module(self, layer: int, kind: BlockKind) -> nn.Module | None:
        """Return the attention or MLP module of a layer; None where it was removed."""
        return getattr(self.layers[layer], self.family.block(kind).module)

    def input_projection(self, layer: int, kind: BlockKind) -> nn.Module:
        """Return the first of the linear modules that the normed residual stream enters; all read the same input."""
        return getattr(self.module(layer, kind), self.family.block(kind).inputs[0])

    def output_projection(self, layer: int, kind: BlockKind) -> nn.Module:
        """Return the linear module that writes to the residual stream.

        Group k owns the consecutive inputs ``[k * width, (k + 1) * width)``, width = inputs / groups.
        """
        return getattr(self.module(layer, kind), self.family.block(kind).output)

    def embed(self, input_ids: Tensor) -> Tensor:
        """Map token ids ``[batch, tokens]`` to the residual stream before the first layer."""
        return self.model.get_input_embeddings()(input_ids)

    def normed(self, hidden: Tensor) -> Tensor:
        """Map the residual stream after the last layer, ``[batch, tokens, d]``, to what the head reads."""
        return self.model.get_submodule(self.family.final_norm)(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """Map the residual stream after the last layer, ``[batch, tokens, d]``, to ``[batch, tokens, vocab]``."""
        return self.model.get_submodule(self.family.head)(self.normed(hidden))

    @contextmanager
    def silenced(self, layer: int, kind: BlockKind) -> Iterator[None]:
        """Within the block, attention or MLP of `layer`, if it is there, adds exactly zero to the residual stream."""
        module = self.module(layer, kind)

        def zero_attention(hidden_states: Tensor, *_: object, **__: object) -> tuple[Tensor, None]:
            return torch.zeros_like(hidden_states), None

        zeros = zero_attention if kind == "attention" else torch.zeros_like
        with nullcontext() if module is None else running(module, zeros):
            yield

    @contextmanager
    def reading(self, layer: int, kind: BlockKind, read: Callable[[Tensor], Tensor]) -> Iterator[None]:
        """Within the block, the output projection of a block reads ``read(inputs)`` in place of its inputs.

        Args:
            read: takes ``[batch, tokens, inputs]``, and must not change them; an output bias is added all the same.
        """
        projection = self.output_projection(layer, kind)
        handle = projection.register_forward_pre_hook(lambda _, args: (read(*args),))
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def checkpointed(self) -> Iterator[None]:
        """Within the block, the activations of a layer are not kept for the backward pass but computed again."""
        with ExitStack() as stack:
            for layer in self.layers:
                twice = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
                stack.enter_context(running(layer, twice))
            yield

    @contextmanager
    def recording_inputs(self) -> Iterator[list[tuple[Tensor, dict]]]:
        """Within the block, collect what each layer is called with: (residual stream, other arguments)."""
        calls: list[tuple[Tensor, dict]] = []

        def note(_: nn.Module, args: tuple, kwargs: dict) -> None:
            others = {k: v for k, v in kwargs.items() if k != "hidden_states"}
            calls.append((_hidden(args, kwargs), others))

        with ExitStack() as stack:
            for layer in self.layers:
                stack.enter_context(layer.register_forward_pre_hook(note, with_kwargs=True))
            yield calls

    @contextmanager
    def watching_layers(self, note: Callable[[int, Tensor, Tensor, Tensor], None]) -> Iterator[None]:
        """Within the block, call ``note(layer, before, between, after)`` as soon as a layer has run.

        The three are the residual stream ``[batch, tokens, d]`` before the layer, between its attention and
        its MLP, and after it. Nothing is kept.
        """
        seen: list[Tensor] = []  # of the layer that runs: before and, if it has an MLP, between

        def enter(_: nn.Module, args: tuple, kwargs: dict) -> None:
            seen[:] = [_hidden(args, kwargs)]  # without what a checkpointed layer showed on the way down

        def see(_: nn.Module, args: tuple, kwargs: dict) -> None:
            seen.append(_hidden(args, kwargs))

        def leave(layer: int, _: nn.Module, __: tuple, output: Tensor | tuple) -> None:
            after = output[0] if isinstance(output, tuple) else output
            before, between = seen if len(seen) == 2 else (*seen, after)
            seen.clear()
            # Where layers are spread over several GPUs, `before` may be on that of the layer below.
            note(layer, before.to(after.device), between, after)

        with ExitStack() as stack:
            for index, layer in enumerate(self.layers):
                stack.enter_context(layer.register_forward_pre_hook(enter, with_kwargs=True))
                norm = getattr(layer, self.family.mlp.norm)
                if norm is not None:
                    stack.enter_context(norm.register_forward_pre_hook(see, with_kwargs=True))
                stack.enter_context(layer.register_forward_hook(partial(leave, index)))
            yield


@contextmanager
def running(module: nn.Module, forward: Callable) -> Iterator[None]:
    """Within the block, `module` runs `forward`; after it what it ran before, the class's own or one set on it."""
    before = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.forward
        else:
            module.forward = before


def _hidden(args: tuple, kwargs: dict) -> Tensor:
    """Return the residual stream among the arguments of a layer or norm."""
    return args[0] if args else kwargs["hidden_states"]


def adapter_for(model: nn.Module) -> ModelAdapter:
    """Return the adapter of a model of one of the `FAMILIES`, pruned or not."""
    return ModelAdapter(model)
