"""The architectures of pruned checkpoints, one self-contained modeling file per family.

A checkpoint carries its file, so that it loads elsewhere with `trust_remote_code=True`; where this
package is installed, `register_pruned_architectures` makes it load without.
"""

from importlib import import_module
from pathlib import Path

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

PRUNED_FAMILIES = {
    "llama": "PrunedLlama",
    "mistral": "PrunedMistral",
    "qwen2": "PrunedQwen2",
    "qwen3": "PrunedQwen3",
}
MODELS = {AutoModel: "Model", AutoModelForCausalLM: "ForCausalLM"}


def modeling_file(family: str) -> Path:
    """Return the modeling file of a family, for example ``"llama"``."""
    return Path(__file__).with_name(f"modeling_pruned_{family}.py")


def register_pruned_architectures() -> None:
    """Let transformers' Auto classes load pruned checkpoints in this process, and save them with their file."""
    for family, name in PRUNED_FAMILIES.items():
        module = import_module(f"{__name__}.{modeling_file(family).stem}")
        config = getattr(module, f"{name}Config")
        AutoConfig.register(config.model_type, config, exist_ok=True)
        config.register_for_auto_class()
        for auto, suffix in MODELS.items():
            model = getattr(module, name + suffix)
            auto.register(config, model, exist_ok=True)
            model.register_for_auto_class(auto.__name__)


def auto_map(family: str) -> dict[str, str]:
    """Return what a checkpoint's configuration says about where its classes are."""
    prefix = f"{modeling_file(family).stem}.{PRUNED_FAMILIES[family]}"
    return {"AutoConfig": f"{prefix}Config"} | {auto.__name__: prefix + suffix for auto, suffix in MODELS.items()}
