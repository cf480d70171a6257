"""The grammar of experiment names, in both directions: a name declares an experiment, a change of it has a name.

``{criterion}_T{T}[_tau{tau}]_{percent}_{dataset}[_{option}...]``, for example
``taylor_T1_tau0_20_c4`` or ``taylor_T0_20_wikitext2_s256_n64``. ``auto_{percent}_{dataset}[_{option}...]`` leaves
criterion, T and tau to a search.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from prunescope.config.patches import Patch, leaves, nested
from prunescope.criteria import AUTO, CRITERIA
from prunescope.errors import ConfigError, did_you_mean, nearest

SHAPE = (
    "{criterion}_T{T}[_tau{tau}]_{percent}_{dataset}[_{option}...], for example taylor_T1_tau0_20_c4, or "
    f"{AUTO}_{{percent}}_{{dataset}}[_{{option}}...]"
)


def write_number(value: float | str) -> str:
    """Return a number as names spell it; words stay."""
    if isinstance(value, str):
        return value
    return "inf" if value == math.inf else f"{value:.10g}"


@dataclass(frozen=True)
class Form:
    """How a kind of value is spelled in a name: a pattern, and how its text is read and written."""

    pattern: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]


DECIMAL = r"-?\d+(?:\.\d+)?"
NUMBER = Form(DECIMAL, float, write_number)
WHOLE = Form(r"-?\d+", int, write_number)
PERCENT = Form(DECIMAL, lambda text: float(text) / 100, lambda rate: write_number(100 * rate))
TAU = Form(rf"inf|auto|{DECIMAL}", lambda text: text if text in ("inf", "auto") else float(text), write_number)
LAYERS = Form(
    r"\d+(?:\.\d+)*", lambda text: tuple(map(int, text.split("."))), lambda layers: ".".join(map(str, layers))
)
# The lower percentile is written, the upper one mirrors it.
PERCENTILES = Form(DECIMAL, lambda text: (float(text), 100 - float(text)), lambda pair: write_number(pair[0]))


def word_for(value: Any) -> Form:
    """Return the form of an option that is a word alone and sets one value."""
    return Form("", lambda _: value, lambda _: "")


@dataclass(frozen=True)
class Option:
    """A suffix of a name: a word, with a value behind it in most cases.

    Attributes:
        word: what it starts with. path: config path of the setting. form: how the value is spelled.
        example, meaning: for the reference. with_word: another word, without which it would do nothing.
    """

    word: str
    path: str
    form: Form
    example: str
    meaning: str
    with_word: str = ""

    def parse(self, text: str) -> Any:
        """Return the value that `text` declares, or None when it is another option."""
        match = re.fullmatch(rf"{self.word}({self.form.pattern})", text)
        return self.form.read(match[1]) if match else None

    def spell(self, value: Any) -> str | None:
        """Return the option that declares `value`, or None when it cannot."""
        text = self.word + self.form.write(value)
        return text if self.parse(text) == (tuple(value) if isinstance(value, list) else value) else None

    @property
    def switches_to(self) -> Any:
        """What a word alone sets; None where a value follows the word."""
        return None if self.form.pattern else self.form.read("")


OPTIONS = (
    Option("s", "calibration.seq_len", WHOLE, "s256", "calibration windows of 256 tokens"),
    Option("n", "calibration.samples", WHOLE, "n64", "64 calibration windows"),
    Option("seed", "calibration.seed", WHOLE, "seed1", "other calibration documents"),
    Option("share", "method.combine", word_for("share"), "share", "the prior of each block, shared out by saliency"),
    Option("sim", "method.prior", word_for("similarity"), "sim", "similarity of the residual stream as prior"),
    Option("log", "corrections.normalize", word_for("log"), "log", "logarithm of saliency, per block"),
    Option("sqrt", "corrections.normalize", word_for("sqrt"), "sqrt", "square root of saliency, per block"),
    Option("minmax", "corrections.normalize", word_for("minmax"), "minmax", "saliency scaled to [0, 1], per block"),
    Option("zscore", "corrections.normalize", word_for("zscore"), "zscore", "z-score of saliency, per block"),
    Option("mean", "corrections.mean", word_for(True), "mean", "saliency divided by its block's mean"),
    Option("clip", "corrections.clip", PERCENTILES, "clip5", "saliency clipped to percentiles 5 and 95"),
    Option("depth", "corrections.depth_weight", PERCENT, "depth50", "early layers weigh up to 50 % more"),
    Option("balance", "corrections.attention_weight", NUMBER, "balance2", "attention weighs twice as much"),
    Option("power", "corrections.power", NUMBER, "power0.5", "saliency within a block to the power of 0.5"),
    Option("blockpower", "corrections.block_power", NUMBER, "blockpower0.5", "mean of a block to the power of 0.5"),
    Option("min", "limits.min_rate", PERCENT, "min5", "every block loses at least 5 %, in whole groups"),
    Option("max", "limits.max_rate", PERCENT, "max50", "no block loses more than 50 %"),
    Option("attn", "limits.attention.max_rate", PERCENT, "attn30", "no attention block loses more than 30 %"),
    Option("mlp", "limits.mlp.max_rate", PERCENT, "mlp50", "no MLP block loses more than 50 %"),
    Option("early", "limits.early_layers.max_rate", PERCENT, "early30", "the first five layers lose at most 30 %"),
    Option("first", "limits.early_layers.count", WHOLE, "first8", "`early` is about the first eight layers"),
    Option("protect", "limits.protect", LAYERS, "protect0.1.31", "layers 0, 1 and 31 keep everything"),
    Option("collapse", "limits.collapse_below", PERCENT, "collapse20", "a block that would keep less than 20 % goes"),
    Option("fp32", "gradients.dtype", word_for("float32"), "fp32", "gradients in float32"),
    Option("w", "limits.width_multiple", WHOLE, "w64", "kept MLP widths are multiples of 64"),
    Option("trials", "search.trials", WHOLE, "trials512", "`auto` tries 512 settings"),
    Option("uniform", "limits.widths", word_for("uniform"), "uniform", "equal layers: a checkpoint for stock programs"),
    Option("refit", "repair.refit.enabled", word_for(True), "refit", "least-squares fit of what the cut leaves"),
    Option("scales", "repair.scales.enabled", word_for(True), "scales", "a trained factor per kept group"),
    Option("recover", "recovery.enabled", word_for(True), "recover", "training after pruning, of adapters (LoRA)"),
    Option("kl", "recovery.loss", word_for("kl"), "kl", "`recover` by KL to the unpruned model", "recover"),
    Option("cekl", "recovery.loss", word_for("ce_kl"), "cekl", "`recover` by cross-entropy and KL", "recover"),
    Option("projections", "recovery.train", word_for("projections"), "projections", "it trains o and down", "recover"),
)

# The parts of a name (tau may be left out, `auto` has neither T nor tau): field of `Name` -> the setting and how it is
# spelled.
PARTS: dict[str, tuple[str, Form]] = {
    "criterion": ("method.criterion", Form(r"[a-z0-9_]+?", str, str)),
    "temperature": ("method.temperature", NUMBER),
    "tau": ("method.tau", TAU),
    "percent": ("method.ratio", PERCENT),
    "dataset": ("dataset", Form(r"[A-Za-z0-9-]+", str, str)),
}
_GROUPS = {part: f"(?P<{part}>{form.pattern})" for part, (_, form) in PARTS.items()}
NAME = re.compile(
    "(?:{criterion}_T{temperature}(?:_tau{tau})?|(?P<searched>AUTO))_{percent}_{dataset}".format(**_GROUPS).replace(
        "AUTO", AUTO
    )
    + r"(?P<options>(?:_[A-Za-z0-9.-]+)*)"
)


@dataclass(frozen=True)
class Name:
    """The parts of an experiment name as they are written."""

    criterion: str
    temperature: str | None
    tau: str | None
    percent: str
    dataset: str
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        temperature = [] if self.temperature is None else [f"T{self.temperature}"]
        tau = [] if self.tau is None else [f"tau{self.tau}"]
        return "_".join([self.criterion, *temperature, *tau, self.percent, self.dataset, *self.options])

    @property
    def searched(self) -> bool:
        """Whether it leaves the settings to a search."""
        return self.criterion == AUTO


def split_name(text: str) -> Name:
    """Return the parts of a name, which may still be unknown.

    Raises:
        ConfigError: it does not have the shape of a name.
    """
    match = NAME.fullmatch(text)
    if match is None:
        raise ConfigError(f"'{text}' is not an experiment name; expected {SHAPE}")
    parts = match.groupdict()
    criterion = parts.pop("searched") or parts["criterion"]
    return Name(**parts | {"criterion": criterion, "options": tuple(match["options"].split("_")[1:])})


def parse_name(text: str, datasets: Iterable[str]) -> tuple[str, Patch]:
    """Parse an experiment name into its dataset and the settings that it declares.

    Raises:
        ConfigError: with the nearest valid name, when a part is unknown, said twice, or a fraction for a percentage.
    """
    name = split_name(text)
    if name.searched and name.temperature is not None:
        shorter = replace(name, temperature=None, tau=None)
        raise ConfigError(f"'{text}': {AUTO} has no T and no tau, since the search finds both; write {shorter}")
    if not name.searched:
        _check_part(name, "criterion", CRITERIA)
    _check_part(name, "dataset", datasets)
    _check_percentage(name.percent, text, str(replace(name, percent="{}")))
    written = {path: (getattr(name, part), form) for part, (path, form) in PARTS.items() if part != "dataset"}
    settings = {path: form.read(spelled) for path, (spelled, form) in written.items() if spelled is not None}
    for option_text in name.options:
        option, value = _parse_option(text, option_text)
        if option.path in settings:
            raise ConfigError(f"'{text}' sets {option.path} twice; keep one of the options")
        if option.with_word and option.with_word not in name.options:
            place = name.options.index(option_text)
            options = (*name.options[:place], option.with_word, *name.options[place:])
            raise ConfigError(
                f"'{text}': {option_text} is about {option.with_word}; write {replace(name, options=options)}"
            )
        settings[option.path] = value
    return name.dataset, nested(settings)


def known_name(text: str) -> Name | None:
    """Return the parts of `text`, or None when the grammar does not know it (a named experiment)."""
    try:
        name = split_name(text)
    except ConfigError:
        return None
    return name if declared(name) is not None else None


def declared(name: Name) -> Patch | None:
    """Return the settings that a name declares, or None when a part of it is unknown."""
    try:
        return parse_name(str(name), [name.dataset])[1]
    except ConfigError:
        return None


def rename(name: Name, patch: Patch) -> Name | None:
    """Return `name` with the settings of `patch`, or None when the grammar has no word for one of them."""
    for path, value in leaves(patch):
        changed = _with(name, path, value)
        if changed is None:
            return None
        name = changed
    return name if declared(name) is not None else None


def without(name: Name, path: str) -> Name:
    """Return `name` without the option that sets `path`, if it has one."""
    return replace(name, options=tuple(text for text in name.options if not _sets(text, path)))


def stripped(name: Name, sections: Iterable[str]) -> Name:
    """Return `name` without the options that set something in these sections."""
    paths = {option.path for option in OPTIONS if option.path.partition(".")[0] in set(sections)}
    for path in paths:
        name = without(name, path)
    return name


def _with(name: Name, path: str, value: Any) -> Name | None:
    for part, (its_path, form) in PARTS.items():
        if path == its_path:
            return _with_part(name, part, form.write(value))
    spelled = (option.spell(value) for option in OPTIONS if option.path == path and value is not None)
    text = next((text for text in spelled if text is not None), None)
    if text is None:
        return None
    kept = without(name, path).options
    position = next((i for i, other in enumerate(name.options) if _sets(other, path)), len(kept))
    return replace(name, options=(*kept[:position], text, *kept[position:]))


def _with_part(name: Name, part: str, word: Any) -> Name:
    if part == "criterion" and word == AUTO:
        return replace(name, criterion=AUTO, temperature=None, tau=None)
    if part == "criterion":
        return replace(name, criterion=word, temperature=name.temperature or "0")
    return replace(name, **{part: word})


def _sets(text: str, path: str) -> bool:
    return any(option.path == path and option.parse(text) is not None for option in OPTIONS)


def _check_part(name: Name, part: str, candidates: Iterable[str]) -> None:
    known, word = sorted(candidates), getattr(name, part)
    if word in known:
        return
    suggestions = [str(_with_part(name, part, candidate)) for candidate in nearest(word, known)]
    hint = did_you_mean(str(name), suggestions) if suggestions else f"known: {', '.join(known)}"
    where = f" (datasets are declared in config/config.yaml: datasets; known: {', '.join(known)})"
    raise ConfigError(f"unknown {part} '{word}' in '{name}'; {hint}" + (where if part == "dataset" else ""))


def _check_percentage(number: str, name: str, corrected: str) -> None:
    if 0 < abs(float(number)) < 1:
        meant = corrected.format(write_number(100 * float(number)))
        raise ConfigError(
            f"'{name}': {number} would be a percentage, less than 1 %; did you mean {meant}? A fraction as small as "
            "that is set in a named experiment (config/config.yaml: experiments)"
        )


def _parse_option(name: str, text: str) -> tuple[Option, Any]:
    for option in OPTIONS:
        value = option.parse(text)
        if value is not None:
            if option.form is PERCENT:
                _check_percentage(text.removeprefix(option.word), name, option.word + "{}")
            return option, value
    known = "; ".join(f"{option.example}: {option.meaning}" for option in OPTIONS)
    raise ConfigError(f"unknown option '{text}' in '{name}'; known: {known}")
