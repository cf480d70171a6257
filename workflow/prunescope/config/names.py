"""The grammar of experiment names: a name is the declaration of an experiment.

``{criterion}_T{T}[_tau{tau}]_{percent}_{dataset}[_{option}...]``, for example
``taylor_T1_tau0_20_c4`` or ``taylor_T0_20_wikitext2_s256_n64``.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from prunescope.config.sections import CRITERIA
from prunescope.errors import ConfigError, did_you_mean, nearest

SHAPE = "{criterion}_T{T}[_tau{tau}]_{percent}_{dataset}[_{option}...], for example taylor_T1_tau0_20_c4"

NUMBER = r"-?\d+(?:\.\d+)?"
NAME = re.compile(
    rf"(?P<criterion>[a-z0-9_]+?)_T(?P<temperature>{NUMBER})(?:_tau(?P<tau>inf|auto|{NUMBER}))?"
    rf"_(?P<percent>{NUMBER})_(?P<dataset>[A-Za-z0-9-]+)(?P<options>(?:_[A-Za-z0-9.-]+)*)"
)


@dataclass(frozen=True)
class Option:
    """A suffix of the name: `pattern` (one group) sets the setting at `path` to `parse(text)`."""

    pattern: str
    path: tuple[str, ...]
    parse: Callable[[str], Any]
    meaning: str

    def match(self, text: str) -> re.Match | None:
        return re.fullmatch(self.pattern, text)


def _percent(text: str) -> float:
    return float(text) / 100


OPTIONS = (
    Option(r"s(\d+)", ("calibration", "seq_len"), int, "s256: calibration windows of 256 tokens"),
    Option(r"n(\d+)", ("calibration", "samples"), int, "n64: 64 calibration windows"),
    Option(r"seed(\d+)", ("calibration", "seed"), int, "seed1: other calibration documents"),
    Option(rf"max({NUMBER})", ("limits", "max_rate"), _percent, "max50: no block loses more than 50 %"),
    Option(
        rf"early({NUMBER})",
        ("limits", "early_layers", "max_rate"),
        _percent,
        "early30: the first five layers lose at most 30 %",
    ),
    Option(r"w(\d+)", ("limits", "width_multiple"), int, "w64: kept MLP widths are multiples of 64"),
)


def parse_name(name: str, datasets: Iterable[str]) -> tuple[str, dict[str, Any]]:
    """Parse an experiment name into its dataset and the settings that it declares.

    Raises:
        ConfigError: with the nearest valid name, when a part is unknown.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise ConfigError(f"'{name}' is not an experiment name; expected {SHAPE}")
    _check_part(name, "criterion", match["criterion"], CRITERIA)
    _check_part(name, "dataset", match["dataset"], datasets)
    settings: dict[str, Any] = {
        "method": {
            "criterion": match["criterion"],
            "temperature": float(match["temperature"]),
            "ratio": _percent(match["percent"]),
        }
    }
    if match["tau"] is not None:
        settings["method"]["tau"] = match["tau"] if match["tau"] in ("inf", "auto") else float(match["tau"])
    for text in match["options"].split("_")[1:]:
        _apply_option(name, text, settings)
    return match["dataset"], settings


def _check_part(name: str, part: str, word: str, candidates: Iterable[str]) -> None:
    known = list(candidates)
    if word in known:
        return
    suggestions = [name.replace(word, candidate, 1) for candidate in nearest(word, known)]
    hint = did_you_mean(name, suggestions) if suggestions else f"known: {', '.join(sorted(known))}"
    where = f" (datasets are declared in config/config.yaml: datasets; known: {', '.join(sorted(known))})"
    raise ConfigError(f"unknown {part} '{word}' in '{name}'; {hint}" + (where if part == "dataset" else ""))


def _apply_option(name: str, text: str, settings: dict[str, Any]) -> None:
    for option in OPTIONS:
        if found := option.match(text):
            *parents, leaf = option.path
            section = settings
            for parent in parents:
                section = section.setdefault(parent, {})
            section[leaf] = option.parse(found[1])
            return
    known = "; ".join(option.meaning for option in OPTIONS)
    raise ConfigError(f"unknown option '{text}' in '{name}'; known: {known}")
