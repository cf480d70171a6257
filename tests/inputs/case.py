"""A case: an input as somebody has it, and what must come of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Edit = Callable[[Path], None]
"""Changes something in a folder."""

MODEL, TEXTS = "model", "texts"
"""Folders of a project that hold its model and its texts."""

EXPERIMENT = "taylor_T0_20_words"

STEPS = ("model", "calibration", "evaluation_text", "recovery_text", "trial_text", "gradients", "baseline")
STEPS += ("importance", "trial", "diagnosis", "pruning", "evaluation", "page")
"""Of an experiment, those that read something of the input, in order."""


@dataclass(frozen=True)
class Case:
    """An input.

    Attributes:
        name: what it is, in words, as in the table.
        edits: what makes it, in turn, in a project with a sound model and sound texts.
        refused: regular expression of the sentence that must come; None: it must be accepted.
        shows: regular expression of what must be said of one that is accepted.
        by: last step in which the sentence may come: before anything is computed.
        config: sections of the project's configuration.
        experiment: its name.
        last: step after which there is nothing more to see; none: nothing is run.
        command: what is typed then; no command: what the steps wrote is proved.
    """

    name: str
    edits: tuple[Edit, ...] = ()
    refused: str | None = None
    by: str = "model"
    config: dict[str, Any] = field(default_factory=dict)
    experiment: str = EXPERIMENT
    last: str | None = "evaluation"
    command: tuple[str, ...] = ()
    shows: str = ""

    def fault(self, outcome: "Outcome") -> str:
        """Return what is wrong with an outcome; nothing, if it is as it must be."""
        if outcome.kind == "defect" or (self.refused is None) != (outcome.kind == "accepted"):
            return f"{outcome.kind}, in {outcome.step or 'the process'}: {outcome.said}"
        pattern = self.shows if self.refused is None else self.refused
        if not re.search(pattern, outcome.said, re.DOTALL):
            return f"'{pattern}' is not in: {outcome.said}"
        late = outcome.kind == "refused" and self.by in STEPS and outcome.step in STEPS[STEPS.index(self.by) + 1 :]
        return f"only in the {outcome.step} step: {outcome.said}" if late else ""


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        kind: ``accepted``; ``refused``, by a sentence of ours; or ``defect``: a traceback, a crash, a hang, or numbers
            that are not of the model.
        step: in which it came. said: the sentence, or what was proved.
    """

    kind: str
    step: str
    said: str
