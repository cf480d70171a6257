"""What stock programs read: layers of one shape, and the configuration that says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prunescope.models.families import FAMILIES, family_name
from prunescope.models.pruned.modeling_pruned import rope_of_version_4

NOT_STOCK = ("per_layer_config", "auto_map", "_name_or_path")


@dataclass(frozen=True)
class LayerShape:
    """Widths of one decoder layer; heads and kv_heads are 0 without attention, width is 0 without an MLP."""

    heads: int
    kv_heads: int
    width: int


def stock_groups(content: Mapping[str, Any]) -> tuple[int, ...]:
    """Return how many GQA groups a layer may keep so that stock programs read the model; all of them always fit.

    Args:
        content: the configuration of the unpruned model.
    """
    groups, hidden = content["num_key_value_heads"], content["hidden_size"]
    per_group = content["num_attention_heads"] // groups
    rule = FAMILIES[family_name(content["model_type"])].stock_heads

    def fits(count: int) -> bool:
        return rule == "any" or (rule == "divisors" and hidden % (count * per_group) == 0)

    return (*filter(fits, range(1, groups)), groups)


def stock_config(content: Mapping[str, Any], shape: LayerShape, head_dim: int) -> dict[str, Any]:
    """Return the configuration of a stock model whose layers have one shape, as JSON content.

    Transformers 4 and 5 read it, each its own names of the rotary embedding's parameters.

    Args:
        content: the configuration of the unpruned model, or of a pruned one.
    """
    family, rope = family_name(content["model_type"]), content.get("rope_parameters")
    return {
        **{name: value for name, value in content.items() if name not in NOT_STOCK},
        **(rope_of_version_4(rope) if rope else {}),
        "model_type": family,
        "architectures": [f"{FAMILIES[family].prefix}ForCausalLM"],
        "head_dim": head_dim,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "intermediate_size": shape.width,
    }
