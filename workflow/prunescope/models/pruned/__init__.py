"""The architectures of pruned checkpoints, in one self-contained modeling file.

A checkpoint carries the file, so that it loads elsewhere with `trust_remote_code=True`; where this
package is installed, `register_pruned_architectures` makes it load without.
"""

from pathlib import Path

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from prunescope.models.families import FAMILIES
from prunescope.models.pruned import modeling_pruned

MODELING_FILE = Path(modeling_pruned.__file__)
MODELS = {AutoModel: "Model", AutoModelForCausalLM: "ForCausalLM"}


def register_pruned_architectures() -> None:
    """Let transformers' Auto classes load pruned checkpoints in this process, and save them with their file."""
    for family in FAMILIES:
        config = getattr(modeling_pruned, pruned_class(family, "Config"))
        AutoConfig.register(config.model_type, config, exist_ok=True)
        config.register_for_auto_class()
        for auto, suffix in MODELS.items():
            model = getattr(modeling_pruned, pruned_class(family, suffix))
            auto.register(config, model, exist_ok=True)
            model.register_for_auto_class(auto.__name__)


def pruned_class(family: str, suffix: str) -> str:
    """Return the name of a class of the modeling file, such as ``PrunedLlamaForCausalLM``."""
    return f"Pruned{FAMILIES[family].prefix}{suffix}"


def auto_map(family: str) -> dict[str, str]:
    """Return what a checkpoint's configuration says about where its classes are."""
    classes = {"AutoConfig": "Config"} | {auto.__name__: suffix for auto, suffix in MODELS.items()}
    return {auto: f"{MODELING_FILE.stem}.{pruned_class(family, suffix)}" for auto, suffix in classes.items()}
