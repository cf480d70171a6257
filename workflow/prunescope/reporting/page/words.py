"""What the models write after the prompts, on the page and on the model card, as Markdown."""

from prunescope.artifacts.continuations import Continuations
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.measured import BASELINE, PRUNED, RECOVERED
from prunescope.markdown import literal, table

MODELS = {BASELINE: "unpruned", PRUNED: "pruned", RECOVERED: "trained"}
SAID = "Always the most likely next token, {} at most. A sanity check, not a measure: read the perplexity for that."


def words_section(folder: ExperimentFolder, trained: bool) -> str | None:
    """Return what the models write side by side, and why one does not; None where there are no prompts."""
    words = (folder.recovered_words if trained else folder.words).read()
    if not words.prompts:
        return None
    wrote = [name for name in MODELS if name in words.texts]
    said = [f"The {MODELS[name]} model was left out: {reason}." for name, reason in words.left_out.items()]
    if wrote:
        said = [words_table(words, wrote), SAID.format(words.tokens), *said]
    return "\n\n".join(said)


def words_table(words: Continuations, models: list[str]) -> str:
    """Return a row per prompt and a column per model."""
    rows = [
        (f"**{literal(prompt)}**", *(literal(words.texts[name][place]) for name in models))
        for place, prompt in enumerate(words.prompts)
    ]
    return table(("", *(MODELS[name] for name in models)), rows)
