"""The pruned checkpoint: safetensors, configuration, bundled modeling file, tokenizer, provenance."""

import copy
import logging
import shutil
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from prunescope.artifacts.facts import KINDS, ModelFacts
from prunescope.artifacts.folders import CheckpointFolder
from prunescope.artifacts.plan import PruningPlan
from prunescope.artifacts.plan_file import KeptGroups, PruningMap
from prunescope.data.tokenizer import load_tokenizer
from prunescope.errors import DataError
from prunescope.files import read_json, replacing_directory, write_json
from prunescope.models.adapter import ModelAdapter, adapter_for
from prunescope.models.checkpoint import open_checkpoint
from prunescope.models.pruned import MODELING_FILE, auto_map, pruned_class
from prunescope.models.stock import LayerShape, stock_config, stock_groups
from prunescope.models.weights import SHARD_BYTES, write_shards
from prunescope.pruning.proof import prove
from prunescope.pruning.surgery import NOTHING, Fitted, cut_weights

log = logging.getLogger(__name__)

TOKENIZER_CONFIG = "tokenizer_config.json"
COMPANIONS = (
    "generation_config.json",
    "tokenizer.json",
    TOKENIZER_CONFIG,
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tekken.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates",
)
"""Files and folders that pruning does not change."""


def write_checkpoint(
    facts: ModelFacts,
    plan: PruningPlan,
    output: Path,
    experiment: str | None = None,
    plan_file: Path | None = None,
    shard_bytes: int = SHARD_BYTES,
    fitted: Fitted = NOTHING,
) -> int:
    """Cut a model's weights by a plan and write a checkpoint that transformers loads.

    The source is read tensor by tensor and written shard by shard, so that memory holds about one shard.

    Args:
        experiment: whose checkpoint it is. plan_file: where a person gave the plan, its file. Both are recorded.
        fitted: see `cut_weights`.

    Returns:
        the number of parameters written, tied ones once.

    Raises:
        DataError: the source cannot be read, see `open_checkpoint`.
        ProofError: what was written does not compute what the plan says; nothing is left.
    """
    source = open_checkpoint(facts.path)
    adapter = adapter_for(source.skeleton)
    with replacing_directory(output) as temporary:
        folder = CheckpointFolder(temporary)
        written = write_shards(cut_weights(adapter, plan, source.read, fitted), temporary, shard_bytes)
        content = pruned_config(source.config, adapter, plan)
        folder.config.write(content)
        copy_companions(source.folder, temporary)
        _describe_tokenizer(source.folder, temporary / TOKENIZER_CONFIG)
        if "auto_map" in content:
            shutil.copy(MODELING_FILE, temporary)
        folder.kept.write(pruning_map(facts, plan, experiment, plan_file, fitted))
        prove(facts, plan, temporary, fitted)
    log.info("%s parameters are in %s", f"{written:,}", output)
    return written


def stock_shape(config: PretrainedConfig, plan: PruningPlan) -> LayerShape | None:
    """Return the one shape of all layers that stay, where stock programs take a model of it; else None."""
    kept = {tuple(len(plan.block(layer, kind).kept) for kind in KINDS) for layer in plan.kept_layers}
    (groups, width), *others = kept
    if others or not width or groups not in stock_groups(config.to_dict()):
        return None
    return LayerShape(groups * (config.num_attention_heads // config.num_key_value_heads), groups, width)


def pruned_config(config: PretrainedConfig, adapter: ModelAdapter, plan: PruningPlan) -> dict[str, Any]:
    """Return the configuration of the pruned model as JSON content: a stock one where there is a `stock_shape`."""
    family, shape, own = config.model_type, stock_shape(config, plan), copy.deepcopy(config)
    content = (own.to_diff_dict() if shape else own.to_dict()) | {"num_hidden_layers": len(plan.kept_layers)}
    content.pop("_name_or_path", None)
    if content.get("layer_types"):
        content["layer_types"] = _layer_types(content["layer_types"], plan)
    if shape:
        return stock_config(content, shape, adapter.head_dim)
    return content | {
        "model_type": f"pruned_{family}",
        "architectures": [pruned_class(family, "ForCausalLM")],
        "auto_map": auto_map(family),
        "head_dim": adapter.head_dim,  # hidden / heads is no way to find it any more
        "per_layer_config": {
            str(index): _layer_config(config, plan, layer) for index, layer in enumerate(plan.kept_layers)
        },
    }


def _layer_types(types: list[str], plan: PruningPlan) -> list[str]:
    """Return the attention type (full or sliding) of every kept layer.

    A layer without attention takes the type of the next attention, because the cache's first slot, where
    transformers reads the sequence length, must be of a type that is in use.
    """
    attending = [layer for layer in plan.kept_layers if not plan.block(layer, "attention").whole]
    following = {layer: next((other for other in attending if other >= layer), layer) for layer in plan.kept_layers}
    return [types[following[layer]] for layer in plan.kept_layers]


def _layer_config(config: PretrainedConfig, plan: PruningPlan, layer: int) -> dict[str, Any]:
    attention, mlp = plan.block(layer, "attention"), plan.block(layer, "mlp")
    content: dict[str, Any] = {}
    if not attention.whole:
        heads_per_group = config.num_attention_heads // attention.facts.groups
        content["num_key_value_heads"] = len(attention.kept)
        content["num_attention_heads"] = len(attention.kept) * heads_per_group
    if not mlp.whole:
        content["intermediate_size"] = len(mlp.kept)
    skip = [block.facts.block for block in (attention, mlp) if block.whole]
    return content | ({"skip": skip} if skip else {})


def pruning_map(
    facts: ModelFacts, plan: PruningPlan, experiment: str | None, plan_file: Path | None, fitted: Fitted
) -> PruningMap:
    """Return, per layer of the pruned model, the layer and the groups of the parent that it kept."""
    kept = {layer: [plan.block(layer, kind).kept.tolist() for kind in KINDS] for layer in plan.kept_layers}
    layers = [KeptGroups(layer=layer, attention_groups=heads, mlp_channels=mlp) for layer, (heads, mlp) in kept.items()]
    told: dict[str, Any] = {"plan": str(plan_file)} if plan_file else {}
    told |= {"fitted": sorted(fitted)} if fitted else {}
    return PruningMap(
        parent=plan.model,
        layers=layers,
        experiment=experiment,
        **told,
        parent_origin=facts.origin,
        parent_revision=facts.revision,
    )


def copy_companions(source: Path, folder: Path) -> None:
    """Copy the content of the files that pruning does not change; a source may be read-only, a copy is not."""
    for name in COMPANIONS:
        for file in (source / name, *sorted((source / name).glob("*"))):
            if file.is_file():
                copy = folder / file.relative_to(source)
                copy.parent.mkdir(exist_ok=True)
                shutil.copyfile(file, copy)


def _describe_tokenizer(source: Path, path: Path) -> None:
    """Name the class of the tokenizer, which transformers chooses by the type of the model where it knows that.

    The generic one is described as transformers 4 needs it: by its old name, without token types.
    """
    try:
        name = type(load_tokenizer(source)).__name__
    except DataError as error:  # the steps that read texts have used it; a plan may be applied without
        log.warning("%s", error)
        return
    content = read_json(path) if path.is_file() else {}
    if name == "TokenizersBackend":
        content = {"model_input_names": ["input_ids", "attention_mask"]} | content
        name = "PreTrainedTokenizerFast"
    write_json(path, content | {"tokenizer_class": name})
