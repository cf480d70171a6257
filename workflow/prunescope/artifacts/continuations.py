"""What models write after a few prompts: the unpruned, the pruned and the trained one."""

from pydantic import Field

from prunescope.artifacts.document import Document


class Continuations(Document):
    """Prompts, and how each model goes on, always with the most likely token (greedily)."""

    prompts: list[str]
    tokens: int = Field(description="At most so many new ones; a model may end earlier.")
    texts: dict[str, list[str]] = Field(
        description="By `baseline`, `pruned`, `recovered` (trained), one for each prompt, as far as they wrote."
    )
    left_out: dict[str, str] = Field(description="Why a model did not write.")
