"""The architectures of pruned checkpoints, one self-contained modeling file per family.

A checkpoint carries its file, so that it loads elsewhere with `trust_remote_code=True`; where this
package is installed, `register_pruned_architectures` makes it load without.
"""

from importlib import import_module
from pathlib import Path

PRUNED_FAMILIES = {"llama": "PrunedLlama", "mistral": "PrunedMistral"}


def modeling_file(family: str) -> Path:
    """Return the modeling file of a family, for example ``"llama"``."""
    return Path(__file__).with_name(f"modeling_pruned_{family}.py")


def register_pruned_architectures() -> None:
    """Let transformers' Auto classes load pruned checkpoints in this process."""
    for family in PRUNED_FAMILIES:
        import_module(f"{__name__}.modeling_pruned_{family}")


def auto_map(family: str) -> dict[str, str]:
    """Return what a checkpoint's configuration says about where its classes are."""
    module, name = modeling_file(family).stem, PRUNED_FAMILIES[family]
    return {
        "AutoConfig": f"{module}.{name}Config",
        "AutoModel": f"{module}.{name}Model",
        "AutoModelForCausalLM": f"{module}.{name}ForCausalLM",
    }
