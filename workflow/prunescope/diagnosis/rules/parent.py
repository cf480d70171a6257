"""Rules on the unpruned model."""

from collections.abc import Iterator

from prunescope.diagnosis.rules.base import Observation, rule
from prunescope.diagnosis.situation import Situation


@rule("critical")
def broken_parent(now: Situation) -> Iterator[Observation]:
    """An unpruned model that predicts worse than a blind guess."""
    if now.trials and now.trials.worse_than_a_guess:
        yield Observation({"perplexity": now.trials.worse_than_a_guess, "vocabulary": now.trials.vocabulary})
