"""Derive the modeling files of the other families from Llama's: ``python -m prunescope.models.pruned.generate``."""

from prunescope.models.families import FAMILIES
from prunescope.models.pruned import modeling_file

TEMPLATE = modeling_file("llama")
GENERATED = tuple(family for family in FAMILIES if family != "llama")


def render(family: str) -> str:
    """Return the modeling file of a family whose module in transformers mirrors Llama's."""
    header = f"# Generated from {TEMPLATE.name} by generate.py: edit that file.\n"
    text = TEMPLATE.read_text(encoding="utf-8")
    return header + text.replace("llama", family).replace("Llama", FAMILIES[family].prefix)


if __name__ == "__main__":
    for family in GENERATED:
        modeling_file(family).write_text(render(family), encoding="utf-8")
