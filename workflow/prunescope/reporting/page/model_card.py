"""The model card: the README.md of a pruned checkpoint, as the Hugging Face hub reads it."""

from typing import Any

import yaml

from prunescope.artifacts.facts import KINDS, ModelFacts
from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.markdown import table
from prunescope.steps.reporting import PageSpec

LICENSES = {"apache-2.0", "mit", "bsd-3-clause", "gemma", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3"}
"""Names of licences that the hub knows and that language models come with."""

UNTRAINED = "- It was not trained after pruning: the figures above are what the cut alone leaves.\n"

LIMITS = """\
- Perplexity is all that is measured here. What pruning did to knowledge, reasoning, other languages, safety training
  and bias is not known; expect it to be uneven.
- The layers differ in width, so that software which expects equal layers does not load this checkpoint as it is.
- The parent's licence and conditions of use hold for this model too."""


def render_card(
    spec: PageSpec,
    facts: ModelFacts,
    plan: PruningPlan,
    checkpoint_bytes: int,
    what: str,
    scores: str,
    trained: str | None = None,
) -> str:
    """Return the card as Markdown with its YAML header.

    Args:
        checkpoint_bytes: size of the weights on disk. what, scores: Markdown tables of what was done and of the
            perplexity before and after. trained: how it was trained after pruning; None: not at all.
    """
    sections = [
        f"---\n{yaml.safe_dump(card_header(spec, facts), sort_keys=False)}---",
        f"# {spec.model}, pruned: {spec.experiment}",
        f"{spec.model} without its least important GQA groups and MLP channels: structured pruning by Prunescope. The "
        f"weights take {checkpoint_bytes / 1e6:,.0f} MB ({facts.dtype}).",
        what,
        "## Load it\n\n" + how_to_load("path/or/hub-id"),
        "## Perplexity\n\n" + scores,
        *(["## Training", trained] if trained else []),
        "## Limits\n\n" + ("" if trained else UNTRAINED) + LIMITS,
        "## Widths\n\n" + widths_table(plan),
    ]
    return "\n\n".join(sections) + "\n"


def card_header(spec: PageSpec, facts: ModelFacts) -> dict[str, Any]:
    """Return the metadata of the card; the parent is named where it has a place on the hub."""
    licence = spec.parent_license or "unknown"
    known = licence.lower() in LICENSES
    header: dict[str, Any] = {"license": licence.lower()} if known else {"license": "other", "license_name": licence}
    if facts.revision is not None:
        header["base_model"] = facts.origin
    return header | {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["prunescope", "pruning", "structured-pruning", facts.model_type, "custom_code"],
    }


def how_to_load(path: str) -> str:
    """Return how to load a pruned checkpoint, as Markdown."""
    return f"""The layers differ in width, so the checkpoint carries its code. With transformers (4.57 or 5) alone:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

path = "{path}"
model = AutoModelForCausalLM.from_pretrained(path, dtype="auto", trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=True)
```

Where Prunescope is installed, no code of the checkpoint need be trusted:

```python
from prunescope.models.pruned import register_pruned_architectures

register_pruned_architectures()  # then the same, without trust_remote_code
```"""


def widths_table(plan: PruningPlan) -> str:
    """Return what every layer kept, as a Markdown table."""
    rows = [
        (index, layer, *(_width(plan.block(layer, kind)) for kind in KINDS))
        for index, layer in enumerate(plan.kept_layers)
    ]
    return table(("layer", "in the parent", "GQA groups", "MLP channels"), rows, "rrrr")


def _width(block: BlockPlan) -> str:
    return f"{len(block.kept)} of {block.facts.groups}" if not block.whole else "none"
