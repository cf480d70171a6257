"""The pruned checkpoint: safetensors, configuration, bundled modeling file, provenance."""

import copy
import logging
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import save_torch_state_dict
from transformers import GenerationConfig, PretrainedConfig

from prunescope.files import replacing_directory, write_json
from prunescope.models.adapter import ModelAdapter, adapter_for
from prunescope.models.facts import ModelFacts
from prunescope.models.loading import load_config, load_tokenizer, skeleton
from prunescope.models.pruned import PRUNED_FAMILIES, auto_map, modeling_file
from prunescope.models.weights import WeightReader
from prunescope.pruning.plan import PruningPlan
from prunescope.pruning.surgery import cut_weights

log = logging.getLogger(__name__)

SHARD_SIZE = "5GB"


def write_checkpoint(facts: ModelFacts, plan: PruningPlan, output: Path, provenance: dict[str, Any]) -> int:
    """Cut a model's weights by a plan and write a checkpoint that transformers loads.

    The source is read tensor by tensor, so that memory holds the pruned weights and one source tensor.

    Returns:
        the number of parameters written, tied ones once.

    Raises:
        DataError: a shard of the source is damaged, or lacks a parameter.
    """
    config = load_config(facts.path)
    adapter = adapter_for(skeleton(config))
    with WeightReader(Path(facts.path)) as weights:
        state = dict(cut_weights(adapter, plan, weights.read))
    with replacing_directory(output) as folder:
        save_torch_state_dict(state, folder, max_shard_size=SHARD_SIZE, metadata={"format": "pt"})
        write_json(folder / "config.json", pruned_config(config, adapter, plan))
        _write_generation_config(Path(facts.path), folder)
        load_tokenizer(facts.path).save_pretrained(folder)
        shutil.copy(modeling_file(config.model_type), folder)
        write_json(folder / "pruning_map.json", pruning_map(plan) | provenance)
    log.info("wrote %s parameters to %s", f"{sum(t.numel() for t in state.values()):,}", output)
    return sum(tensor.numel() for tensor in state.values())


def pruned_config(config: PretrainedConfig, adapter: ModelAdapter, plan: PruningPlan) -> dict[str, Any]:
    """Return the configuration of the pruned model as JSON content."""
    family = config.model_type
    content = copy.deepcopy(config).to_dict()
    content |= {
        "model_type": f"pruned_{family}",
        "architectures": [f"{PRUNED_FAMILIES[family]}ForCausalLM"],
        "auto_map": auto_map(family),
        "num_hidden_layers": len(plan.kept_layers),
        "per_layer_config": {
            str(index): _layer_config(config, plan, layer) for index, layer in enumerate(plan.kept_layers)
        },
    }
    content.pop("_name_or_path", None)
    return content


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


def pruning_map(plan: PruningPlan) -> dict[str, Any]:
    """Return, per layer of the pruned model, the layer and the groups of the parent that it kept."""
    return {
        "parent": plan.model,
        "layers": [
            {
                "layer": layer,
                "attention_groups": plan.block(layer, "attention").kept.tolist(),
                "mlp_channels": plan.block(layer, "mlp").kept.tolist(),
            }
            for layer in plan.kept_layers
        ],
    }


def _write_generation_config(source: Path, folder: Path) -> None:
    if (source / "generation_config.json").is_file():
        GenerationConfig.from_pretrained(source).save_pretrained(folder)
