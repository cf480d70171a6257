"""The configuration of a checkpoint, and the model that it describes, without weights."""

import json
from pathlib import Path
from types import NoneType

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PretrainedConfig, PreTrainedModel

from prunescope.errors import DataError, first_line
from prunescope.files import read_json
from prunescope.models.families import FAMILIES
from prunescope.models.pruned import register_pruned_architectures

GENERATION_CONFIG = "generation_config.json"

SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
)
LARGEST = 2**31
DTYPES = ("float32", "bfloat16", "float16", "float64")

LONGEST = 300
"""Characters of what transformers says that are told."""

TOKENS = 64
"""What `check_runs` runs on; some contradictions show in longer texts only."""


def load_config(path: str | Path) -> PretrainedConfig:
    """Load the configuration of a model that can be pruned.

    Raises:
        DataError: it cannot be used, or the model is of no supported architecture, or quantised.
    """
    config = load_any_config(path)
    if config.model_type not in FAMILIES:
        supported = ", ".join(sorted(FAMILIES))
        raise DataError(f"models of type '{config.model_type}' cannot be pruned yet; supported: {supported}")
    quantisation = getattr(config, "quantization_config", None)
    if quantisation is not None:
        method = quantisation.get("quant_method") if isinstance(quantisation, dict) else None
        raise DataError(
            f"the weights in {path} are quantised ({method or 'quantization_config names no method'}) and cannot be "
            "pruned: take the unquantised checkpoint, prune it, and quantise the result"
        )
    return config


def load_any_config(path: str | Path) -> PretrainedConfig:
    """Load the configuration of a model of any architecture that transformers knows, pruned ones included.

    Raises:
        DataError: it cannot be used.
    """
    register_pruned_architectures()
    _check_values(Path(path, "config.json"))
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    except Exception as error:  # whatever the classes of transformers make of the values that they find
        raise _unusable(path, error) from error
    return plain(config)


def plain(config: PretrainedConfig) -> PretrainedConfig:
    """Let a model return its results by name, and nothing but logits; some files ask for something else."""
    config.return_dict, config.output_hidden_states, config.output_attentions = True, False, False
    return config


def skeleton(config: PretrainedConfig) -> PreTrainedModel:
    """Build the model without allocating weights (meta device).

    Raises:
        DataError: there is no such model.
    """
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception as error:  # as above: an unknown activation, a rope that lacks a factor, ...
        raise _unusable(config.name_or_path, error) from error


def check_runs(model: PreTrainedModel) -> None:
    """Check that a skeleton computes: that its configuration does not contradict itself.

    Raises:
        DataError: it does.
    """
    try:
        with torch.no_grad():
            # Without a cache transformers looks for the borders of packed texts, in numbers that are not there.
            model.eval()(torch.zeros((1, TOKENS), dtype=torch.int64, device="meta"), use_cache=True)
    except Exception as error:  # as above: a rope of another width than the heads, a window that is no number, ...
        if "on meta tensors" in str(error):  # a dynamic rope asks how long the text is: the rest runs with the weights
            _check_rope(model)
            return
        raise _unusable(model.config.name_or_path, error) from error


def _check_rope(model: PreTrainedModel) -> None:
    head_dim = getattr(model.config, "head_dim", None) or model.config.hidden_size // model.config.num_attention_heads
    turned = 2 * model.base_model.rotary_emb.inv_freq.shape[-1]
    if turned != head_dim:
        raise DataError(
            f"config.json in {model.config.name_or_path}: its rope turns {turned} of the {head_dim} values of a head; "
            "correct partial_rotary_factor"
        )


def check_generation(path: Path) -> None:
    """Check the settings for generation, which go along with the pruned model.

    Raises:
        DataError: they cannot be used.
    """
    if not (path / GENERATION_CONFIG).is_file():
        return
    try:
        GenerationConfig.from_pretrained(path)
    except Exception as error:  # as above
        raise DataError(f"{GENERATION_CONFIG} in {path} cannot be used ({first_line(error)}): delete it") from error


def _check_values(path: Path) -> None:
    """Check the values that make transformers fail without a word about which one it was."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path} is no configuration of a model: it holds {json.dumps(content):.40}")

    def refuse(name: str, wanted: str) -> None:
        raise DataError(f"{path}: {name} = {json.dumps(content[name]):.40}: must be {wanted}")

    for name, value in content.items():
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            refuse(name, "finite")
    for name in SIZES:
        value = content.get(name)
        if value is not None and (type(value) is not int or not 0 < value < LARGEST):
            refuse(name, "a whole number from 1 on")
    heads, groups = content.get("num_attention_heads"), content.get("num_key_value_heads")
    if heads and groups and heads % groups:
        refuse("num_key_value_heads", f"a divisor of num_attention_heads, {heads}")
    for name in ("dtype", "torch_dtype"):
        if content.get(name) not in (None, *DTYPES):
            refuse(name, f"one of {', '.join(DTYPES)}")
    if not isinstance(content.get("quantization_config"), dict | NoneType):
        refuse("quantization_config", "a mapping")
    for rope in (content, content.get("rope_parameters"), content.get("rope_scaling")):
        theta = rope.get("rope_theta", 1) if isinstance(rope, dict) else 1
        if not isinstance(theta, int | float):
            raise DataError(f"{path}: rope_theta = {json.dumps(theta):.40}: must be a number")
    window = content.get("sliding_window")
    if content.get("use_sliding_window", True) and type(window) is int and window < 1:
        refuse("sliding_window", "null or a whole number from 1 on")
    weights = content.get("transformers_weights")
    if weights is not None:
        refuse("transformers_weights", "left out: transformers would read that file instead of model.safetensors")
    padding = content.get("pad_token_id")
    if isinstance(padding, int) and padding >= (content.get("vocab_size") or LARGEST):
        refuse("pad_token_id", f"a token of the vocabulary, below {content['vocab_size']}")


def _unusable(path: str | Path, error: Exception) -> DataError:
    lines = " ".join(line.strip() for line in str(error).splitlines())
    said = f"{lines[:LONGEST]} ..." if len(lines) > LONGEST else lines
    return DataError(f"config.json in {path} cannot be used ({type(error).__name__}: {said})")
