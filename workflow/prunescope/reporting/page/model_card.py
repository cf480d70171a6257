"""The model card: the README.md of a pruned checkpoint, as the Hugging Face hub reads it."""

from typing import Any

import yaml

from prunescope.artifacts.facts import KINDS, ModelFacts
from prunescope.artifacts.folders import CheckpointFolder
from prunescope.artifacts.plan import BlockPlan, PruningPlan
from prunescope.markdown import table
from prunescope.reporting.rendering import render
from prunescope.steps.reporting import PageSpec

LICENSES = {"apache-2.0", "mit", "bsd-3-clause", "gemma", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3"}
"""Names of licences that the hub knows and that language models come with."""


def render_card(
    spec: PageSpec,
    facts: ModelFacts,
    plan: PruningPlan,
    checkpoint: CheckpointFolder,
    what: str,
    scores: str,
    repaired: str | None = None,
    trained: str | None = None,
    words: str | None = None,
) -> str:
    """Return the card as Markdown with its YAML header.

    Args:
        checkpoint: where the weights are. what, scores: Markdown tables of what was done and of the perplexity before
            and after. repaired: what was done to the weights that stay. trained: how it was trained after pruning.
            None: not at all. words: what it and its parent write; None: that was not asked.
    """
    return render(
        "model_card.md.j2",
        spec=spec,
        facts=facts,
        header=yaml.safe_dump(card_header(spec, facts, checkpoint.stock), sort_keys=False),
        checkpoint_bytes=checkpoint.stored_bytes,
        stock=checkpoint.stock,
        what=what,
        scores=scores,
        repaired=repaired,
        trained=trained,
        words=words,
        widths=widths_table(plan),
    )


def card_header(spec: PageSpec, facts: ModelFacts, stock: bool) -> dict[str, Any]:
    """Return the metadata of the card; the parent is named where it has a place on the hub.

    Args:
        stock: whether the checkpoint loads without code of its own.
    """
    licence = spec.parent_license or "unknown"
    known = licence.lower() in LICENSES
    header: dict[str, Any] = {"license": licence.lower()} if known else {"license": "other", "license_name": licence}
    if facts.revision is not None:
        header["base_model"] = facts.origin
    own_code = [] if stock else ["custom_code"]
    return header | {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["prunescope", "pruning", "structured-pruning", facts.model_type, *own_code],
    }


def widths_table(plan: PruningPlan) -> str:
    """Return what every layer kept, as a Markdown table."""
    rows = [
        (index, layer, *(_width(plan.block(layer, kind)) for kind in KINDS))
        for index, layer in enumerate(plan.kept_layers)
    ]
    return table(("layer", "in the parent", "GQA groups", "MLP channels"), rows, "rrrr")


def _width(block: BlockPlan) -> str:
    return f"{len(block.kept)} of {block.facts.groups}" if not block.whole else "none"
