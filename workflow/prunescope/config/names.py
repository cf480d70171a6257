"""The grammar of experiment names: a name is the declaration of an experiment.

``{criterion}_T{T}[_tau{tau}]_{percent}_{dataset}[_{option}...]``, for example
``taylor_T1_tau0_20_c4`` or ``taylor_T0_20_wikitext2_s256_n64``.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from prunescope.criteria import CRITERIA
from prunescope.errors import ConfigError, did_you_mean, nearest

SHAPE = "{criterion}_T{T}[_tau{tau}]_{percent}_{dataset}[_{option}...], for example taylor_T1_tau0_20_c4"

NUMBER = r"-?\d+(?:\.\d+)?"
NAME = re.compile(
    rf"(?P<criterion>[a-z0-9_]+?)_T(?P<temperature>{NUMBER})(?:_tau(?P<tau>inf|auto|{NUMBER}))?"
    rf"_(?P<percent>{NUMBER})_(?P<dataset>[A-Za-z0-9-]+)(?P<options>(?:_[A-Za-z0-9.-]+)*)"
)


@dataclass(frozen=True)
class Option:
    """A suffix of the name, a word or a word and a number: sets the setting at `path`.

    Attributes:
        word: what it starts with. path: config path. meaning: for the reference, ``"example: meaning"``.
        percent: the number is a percentage of the setting. whole: the number is an integer. several: whole numbers
            with dots between them. value: what a word without a number sets.
    """

    word: str
    path: str
    meaning: str
    percent: bool = False
    whole: bool = False
    several: bool = False
    value: Any = None

    def parse(self, text: str) -> Any:
        """Return the value that `text` declares, or None when it is another option."""
        if self.value is not None:
            return self.value if text == self.word else None
        if self.several:
            match = re.fullmatch(rf"{self.word}(\d+(?:\.\d+)*)", text)
            return tuple(int(number) for number in match[1].split(".")) if match else None
        match = re.fullmatch(rf"{self.word}({NUMBER})", text)
        if match is None:
            return None
        if self.whole:
            return int(match[1]) if match[1].lstrip("-").isdigit() else None
        return float(match[1]) / 100 if self.percent else float(match[1])

    def write(self, value: Any) -> str | None:
        """Return the option that declares `value`, or None when it cannot."""
        if self.value is not None:
            text = self.word
        elif self.several:
            text, value = self.word + ".".join(map(str, value)), tuple(value)
        else:
            text = self.word + write_number(100 * value if self.percent else value)
        return text if self.parse(text) == value else None


OPTIONS = (
    Option("s", "calibration.seq_len", "s256: calibration windows of 256 tokens", whole=True),
    Option("n", "calibration.samples", "n64: 64 calibration windows", whole=True),
    Option("seed", "calibration.seed", "seed1: other calibration documents", whole=True),
    Option("share", "method.combine", "share: the prior of each block, shared out by saliency", value="share"),
    Option("sim", "method.prior", "sim: similarity of the residual stream as prior", value="similarity"),
    Option("log", "corrections.normalize", "log: logarithm of saliency, per block", value="log"),
    Option("sqrt", "corrections.normalize", "sqrt: square root of saliency, per block", value="sqrt"),
    Option("minmax", "corrections.normalize", "minmax: saliency to [0, 1], per block", value="minmax"),
    Option("zscore", "corrections.normalize", "zscore: z-score of saliency, per block", value="zscore"),
    Option("mean", "corrections.mean", "mean: saliency divided by its block's mean", value=True),
    Option("clip", "corrections.clip", "clip5: saliency clipped to percentiles 5 and 95"),
    Option("depth", "corrections.depth_weight", "depth50: early layers weigh up to 50 % more", percent=True),
    Option("min", "limits.min_rate", "min5: every block loses at least 5 %, in whole groups", percent=True),
    Option("max", "limits.max_rate", "max50: no block loses more than 50 %", percent=True),
    Option("attn", "limits.attention.max_rate", "attn30: no attention block loses more than 30 %", percent=True),
    Option("mlp", "limits.mlp.max_rate", "mlp50: no MLP block loses more than 50 %", percent=True),
    Option("early", "limits.early_layers.max_rate", "early30: the first five layers lose at most 30 %", percent=True),
    Option("first", "limits.early_layers.count", "first8: `early` is about the first eight layers", whole=True),
    Option("protect", "limits.protect", "protect0.1.31: layers 0, 1 and 31 keep everything", several=True),
    Option(
        "collapse", "limits.collapse_below", "collapse20: a block that would keep less than 20 % goes", percent=True
    ),
    Option("fp32", "gradients.dtype", "fp32: gradients in float32", value="float32"),
    Option("w", "limits.width_multiple", "w64: kept MLP widths are multiples of 64", whole=True),
    Option("recover", "recovery.enabled", "recover: LoRA fine-tuning after pruning", value=True),
)


@dataclass(frozen=True)
class Name:
    """The parts of an experiment name, numbers as they were written."""

    criterion: str
    temperature: str
    tau: str | None
    percent: str
    dataset: str
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        tau = [] if self.tau is None else [f"tau{self.tau}"]
        return "_".join([self.criterion, f"T{self.temperature}", *tau, self.percent, self.dataset, *self.options])


def write_number(value: float | str) -> str:
    """Return a number as names spell it; words stay."""
    if isinstance(value, str):
        return value
    return "inf" if value == math.inf else f"{value:.10g}"


def split_name(text: str) -> Name | None:
    """Return the parts of a name, or None when it has not the shape of one; parts may still be unknown."""
    match = NAME.fullmatch(text)
    if match is None:
        return None
    parts = match.groupdict()
    return Name(**parts | {"options": tuple(parts["options"].split("_")[1:])})


def parse_name(name: str, datasets: Iterable[str]) -> tuple[str, dict[str, Any]]:
    """Parse an experiment name into its dataset and the settings that it declares.

    Raises:
        ConfigError: with the nearest valid name, when a part is unknown, said twice, or a fraction for a percentage.
    """
    parts = split_name(name)
    if parts is None:
        raise ConfigError(f"'{name}' is not an experiment name; expected {SHAPE}")
    _check_part(parts, "criterion", CRITERIA)
    _check_part(parts, "dataset", datasets)
    _check_percentage(parts.percent, name, str(replace(parts, percent=write_number(100 * float(parts.percent)))))
    settings: dict[str, Any] = {
        "method": {
            "criterion": parts.criterion,
            "temperature": float(parts.temperature),
            "ratio": float(parts.percent) / 100,
        }
    }
    if parts.tau is not None:
        settings["method"]["tau"] = parts.tau if parts.tau in ("inf", "auto") else float(parts.tau)
    seen: set[str] = set()
    for text in parts.options:
        path, value = _parse_option(name, text)
        if path in seen:
            raise ConfigError(f"'{name}' sets {path} twice; keep one of the options")
        seen.add(path)
        _put(settings, path, value)
    return parts.dataset, settings


def _check_part(name: Name, part: str, candidates: Iterable[str]) -> None:
    known, word = sorted(candidates), getattr(name, part)
    if word in known:
        return
    suggestions = [str(replace(name, **{part: candidate})) for candidate in nearest(word, known)]
    hint = did_you_mean(str(name), suggestions) if suggestions else f"known: {', '.join(known)}"
    where = f" (datasets are declared in config/config.yaml: datasets; known: {', '.join(known)})"
    raise ConfigError(f"unknown {part} '{word}' in '{name}'; {hint}" + (where if part == "dataset" else ""))


def _check_percentage(number: str, name: str, meant: str) -> None:
    if 0 < abs(float(number)) < 1:
        raise ConfigError(
            f"'{name}': {number} would be a percentage, less than 1 %; did you mean {meant}? A fraction as small as "
            "that is set in a named experiment (config/config.yaml: experiments)"
        )


def _parse_option(name: str, text: str) -> tuple[str, Any]:
    for option in OPTIONS:
        value = option.parse(text)
        if value is not None:
            if option.percent:
                _check_percentage(text.removeprefix(option.word), name, option.word + write_number(10_000 * value))
            return option.path, (value, 100 - value) if option.path == "corrections.clip" else value
    known = "; ".join(option.meaning for option in OPTIONS)
    raise ConfigError(f"unknown option '{text}' in '{name}'; known: {known}")


def _put(settings: dict[str, Any], path: str, value: Any) -> None:
    *parents, leaf = path.split(".")
    for parent in parents:
        settings = settings.setdefault(parent, {})
    settings[leaf] = value
