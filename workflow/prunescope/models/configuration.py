"""The configuration of a checkpoint, and the model that it describes, without weights."""

from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from prunescope.errors import DataError
from prunescope.models.families import FAMILIES
from prunescope.models.pruned import register_pruned_architectures


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
    if Path(path, "adapter_config.json").is_file() and not Path(path, "config.json").is_file():
        raise DataError(f"{path} holds an adapter, not a model: merge it into its model (`merge_and_unload` of peft)")
    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=False)
    except Exception as error:  # whatever the classes of transformers make of the values that they find
        raise _unusable(path, error) from error


def skeleton(config: PretrainedConfig) -> nn.Module:
    """Build the model without allocating weights (meta device).

    Raises:
        DataError: there is no such model.
    """
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception as error:  # as above: a head count that does not divide, an unknown activation, ...
        raise _unusable(config.name_or_path, error) from error


def _unusable(path: str | Path, error: Exception) -> DataError:
    lines = str(error).strip().splitlines()
    return DataError(f"config.json in {path} cannot be used: {lines[0] if lines else type(error).__name__}")
