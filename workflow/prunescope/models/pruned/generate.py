"""Derive the modeling files of the other families from Llama's: ``python -m prunescope.models.pruned.generate``."""

from pathlib import Path

HERE = Path(__file__).parent
TEMPLATE = HERE / "modeling_pruned_llama.py"
FAMILIES = {"mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}


def render(family: str, name: str) -> str:
    """Return the modeling file of a family whose stock module mirrors Llama's."""
    header = f"# Generated from {TEMPLATE.name} by generate.py: edit that file.\n"
    return header + TEMPLATE.read_text(encoding="utf-8").replace("llama", family).replace("Llama", name)


if __name__ == "__main__":
    for family, name in FAMILIES.items():
        (HERE / f"modeling_pruned_{family}.py").write_text(render(family, name), encoding="utf-8")
