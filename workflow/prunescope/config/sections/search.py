"""The search: settings that are found, by `auto` in place of a criterion."""

from pydantic import Field

from prunescope.config.sections.base import Section


class Search(Section):
    """Of experiments such as `auto_20_wiki`: how their settings are searched for, before selection.

    What the name or the configuration sets to something else than its default is kept; of the rest, the settings that
    keep the model closest to the unpruned one on held-out text are found.
    """

    trials: int = Field(128, ge=1, description="Settings that are tried.")
    seconds: int | None = Field(
        None,
        ge=1,
        description="No more settings are asked for after this time; what is found then depends on the machine.",
    )
    samples: int = Field(
        64,
        ge=1,
        description="Windows per text, of `calibration.seq_len` tokens, from the validation split of the calibration "
        "text and of each evaluated text: those after the windows of the trial, fewer where a split is shorter. The "
        "first 4 are for all settings, 16 for the best third, all for the best third of those.",
    )
    seed: int = Field(0, ge=0, description="Seed of the search.")
