"""What a sweep may change, and how: words of experiment names and paths of settings, as patches.

ratio: 20              a word of names, a percentage as there
seq_len: 256           a setting of `calibration`, `method` or `corrections`
limits.max_rate: 0.5   any setting by its path
limits: {protect: [0]} any section
"""

from collections.abc import Iterator
from typing import Any, get_args

from prunescope.config.names import OPTIONS, PERCENT
from prunescope.config.patches import Patch, merge, nested, overlap
from prunescope.config.sections import Calibration, Corrections, Method, Section, Settings
from prunescope.errors import ConfigError, did_you_mean

SECTIONS: dict[str, type[Section]] = {"calibration": Calibration, "method": Method, "corrections": Corrections}
PERCENTAGES = {"ratio": "method.ratio"} | {option.word: option.path for option in OPTIONS if option.form is PERCENT}
PLAIN = {"dataset": "dataset", "T": "method.temperature"}
PLAIN |= {field: f"{section}.{field}" for section, kind in SECTIONS.items() for field in kind.model_fields}
# A word that is also the name of a field means the field: mean, clip.
SWITCHES = {option.word: option for option in OPTIONS if option.switches_to is not None and option.word not in PLAIN}
PLAIN |= {option.word: option.path for option in OPTIONS if option.word not in {*PERCENTAGES, *SWITCHES}}


def patch_of(changes: dict[str, Any]) -> Patch:
    """Return the settings that words and paths declare together, as nested sections; `dataset` beside them.

    Values are not checked against their setting yet.

    Raises:
        ConfigError: an unknown word or path, a fraction where a percentage is meant, or one setting twice.
    """
    patch: Patch = {}
    for word, value in changes.items():
        check_word(word)
        change = nested(_setting(word, value))
        twice = overlap(patch, change)
        if twice:
            raise ConfigError(f"{word} sets {twice}, which another change sets too; keep one of them")
        patch = merge(patch, change)
    return patch


def check_word(word: str) -> None:
    """Check that a word or a path stands for a setting.

    Raises:
        ConfigError: with the nearest ones.
    """
    known = {*PERCENTAGES, *SWITCHES, *PLAIN, *setting_paths()}
    if word not in known:
        raise ConfigError(
            f"'{word}' is neither a word of experiment names nor a setting; {did_you_mean(word, known)} "
            "(config/README.md lists both)"
        )


def setting_paths(section: type[Section] = Settings, prefix: str = "") -> Iterator[str]:
    """Yield the path of every section and setting, such as ``limits.early_layers.max_rate``."""
    for name, field in section.model_fields.items():
        yield prefix + name
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from setting_paths(kind, f"{prefix}{name}.")


def _setting(word: str, value: Any) -> Patch:
    """Return the value that a word sets, by path; nothing for a switch that is off."""
    if word in PERCENTAGES and value is not None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or 0 < abs(value) < 1:
            path = PERCENTAGES[word]
            raise ConfigError(
                f"{word} = {value!r}: must be a percentage, as in names (20); a fraction is '{path}: 0.2'"
            )
        return {PERCENTAGES[word]: value / 100}
    if word == "clip" and isinstance(value, (int, float)):
        return {PLAIN[word]: [value, 100 - value]}
    if word in SWITCHES:
        if not isinstance(value, bool):
            raise ConfigError(f"{word} = {value!r}: must be true, or false for the base as it is")
        return {SWITCHES[word].path: SWITCHES[word].switches_to} if value else {}
    return {(PERCENTAGES | PLAIN).get(word, word): value}
