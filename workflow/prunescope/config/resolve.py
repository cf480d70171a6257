"""From the configuration and an experiment name to one frozen `Experiment`."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from prunescope.config.local import TEXT_FILES, text_files
from prunescope.config.messages import sentence
from prunescope.config.names import SHAPE, parse_name
from prunescope.config.overrides import check_word
from prunescope.config.sections import (
    Config,
    DatasetSource,
    Export,
    ModelSource,
    Section,
    Settings,
    Sweep,
    Tracking,
)
from prunescope.criteria import CRITERIA, OF_WHOLE_LAYERS, not_scored
from prunescope.errors import ConfigError, did_you_mean

CONFIG_FILE = Path("config/config.yaml")
LEVELLING = ("log", "minmax", "zscore")
"""Normalisations that leave nothing of a block whose groups are all alike; `sqrt` leaves its size."""
COMPARISON = "comparison"
"""Folder of a model's sweeps, beside those of its experiments."""


class Experiment(Section):
    """One experiment on one model, with every setting resolved."""

    model: str
    name: str
    source: ModelSource
    dataset: str
    texts: dict[str, DatasetSource]
    settings: Settings
    tracking: Tracking
    export: Export


def load_config(path: Path = CONFIG_FILE) -> Config:
    """Read and validate a configuration file."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no {path} here; run from the project folder or pass --config") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    return parse_config(content or {}, str(path))


def parse_config(content: dict[str, Any], origin: str = str(CONFIG_FILE)) -> Config:
    """Validate the content of a configuration file, the settings of every model and named experiment included.

    Raises:
        ConfigError: one sentence with the config path, the value and what is allowed.
    """
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        raise ConfigError(sentence(error, Config, origin)) from None
    _check_reference_name(config, config, origin)
    for name, source in config.models.items():
        where = f"{origin}: models.{name}.settings"
        _check_reference_name(config, _settings(config, source.settings, where=where), where)
    for name, experiment in config.experiments.items():
        where = f"{origin}: experiments.{name}.settings"
        try:
            declared = parse_name(experiment.base, config.datasets)[1]
        except ConfigError as error:
            raise ConfigError(f"{origin}: experiments.{name}.base: {error}") from None
        settings = _settings(config, declared, experiment.settings, where=where)
        _check_reference_name(config, settings, where)
        if name == (experiment.settings.get("report") or {}).get("reference"):
            raise ConfigError(f"{where}: report.reference = '{name}': an experiment is not compared with itself")
        if name == COMPARISON:
            raise ConfigError(
                f"{origin}: experiments.{name}: results/{{model}}/{name} holds sweeps; choose another name"
            )
    for name, sweep in config.sweeps.items():
        try:
            _check_sweep(config, sweep)
        except ConfigError as error:
            raise ConfigError(f"{origin}: sweeps.{name}: {error}") from None
    for target in config.targets:
        if target.count("/") != 1:
            raise ConfigError(f"{origin}: targets: '{target}' must be {{model}}/{{experiment}}")
    return config


def resolve(config: Config, model: str, name: str) -> Experiment:
    """Resolve one experiment.

    Precedence, lowest first: the top-level sections, the model's settings, what the name declares,
    the settings of a named experiment.

    An experiment that inherits itself as its reference has none.

    Raises:
        ConfigError: unknown model, dataset, option or reference (with the nearest names), or a value out of range.
    """
    experiment = _resolved(config, model, name)
    reference = experiment.settings.report.reference
    if reference is not None:
        try:
            _resolved(config, model, reference)
        except ConfigError as error:
            raise ConfigError(f"{model}/{name}: report.reference = '{reference}': {error}") from None
    return experiment


def settings_of(config: Config, model: str, name: str, patch: dict[str, Any] | None = None) -> Settings:
    """Return the settings of an experiment, changed by `patch`: each one valid, not yet checked against the others.

    Raises:
        ConfigError: as `resolve`.
    """
    _, declared, own = _declared(config, name)
    return _settings(config, config.models[model].settings, declared, own, patch or {}, where=f"{model}/{name}")


def _resolved(config: Config, model: str, name: str) -> Experiment:
    """Resolve one experiment, but not its reference: two experiments may name each other."""
    if model not in config.models:
        raise ConfigError(
            f"unknown model '{model}'; {did_you_mean(model, config.models)} "
            f"(models are declared in {CONFIG_FILE}: models)"
        )
    source = config.models[model]
    dataset, declared, own = _declared(config, name)
    settings = _settings(config, source.settings, declared, own, where=f"{model}/{name}")
    if settings.report.reference == name:
        report = settings.report.model_copy(update={"reference": None})
        settings = settings.model_copy(update={"report": report})
    experiment = Experiment(
        model=model,
        name=name,
        source=source,
        dataset=dataset,
        texts=_texts(config, dataset, settings, f"{model}/{name}"),
        settings=settings,
        tracking=config.tracking,
        export=config.export,
    )
    _check(experiment)
    return experiment


def _declared(config: Config, name: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the dataset of an experiment, what its name declares, and the settings of a named one."""
    named = config.experiments.get(name)
    if named is None and not _looks_like_a_declaration(name):
        raise ConfigError(
            f"unknown experiment '{name}'; {did_you_mean(name, config.experiments)} (named ones are declared in "
            f"{CONFIG_FILE}: experiments; others look like {SHAPE})"
        )
    dataset, declared = parse_name(named.base if named else name, config.datasets)
    return dataset, declared, named.settings if named else {}


def _looks_like_a_declaration(name: str) -> bool:
    return "_T" in name


def merge(*layers: dict[str, Any]) -> dict[str, Any]:
    """Merge nested dictionaries, later ones win; anything but a dictionary is replaced."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(merged.get(key), dict) and isinstance(value, dict)
            merged[key] = merge(merged[key], value) if both else value
    return merged


def _settings(config: Config, *layers: dict[str, Any], where: str) -> Settings:
    base = config.model_dump(include=set(Settings.model_fields))
    try:
        return Settings.model_validate(merge(base, *layers))
    except ValidationError as error:
        raise ConfigError(sentence(error, Settings, where)) from None


def _check_reference_name(config: Config, settings: Settings, where: str) -> None:
    reference = settings.report.reference
    if reference is None:
        return
    try:
        _declared(config, reference)
    except ConfigError as error:
        raise ConfigError(f"{where}: report.reference = '{reference}': {error}") from None


def _check_sweep(config: Config, sweep: Sweep) -> None:
    """Check names and words, not yet the values: those only when the sweep is asked for."""
    for model in sweep.models:
        if model not in config.models:
            raise ConfigError(f"unknown model '{model}'; {did_you_mean(model, config.models)}")
    for name in (*sweep.experiments, *([sweep.base] if sweep.base else [])):
        _declared(config, name)
    for word in (*sweep.product, *(word for variant in sweep.variants for word in variant)):
        check_word(word)


def _texts(config: Config, dataset: str, settings: Settings, where: str) -> dict[str, DatasetSource]:
    for name in settings.evaluation.datasets:
        if name not in config.datasets:
            raise ConfigError(
                f"{where}: evaluation.datasets: unknown dataset '{name}'; {did_you_mean(name, config.datasets)} "
                f"(datasets are declared in {CONFIG_FILE}: datasets)"
            )
        if config.datasets[name].mixture:
            raise ConfigError(f"{where}: evaluation.datasets: '{name}' is a mixture; evaluate on its texts instead")
    trained = (settings.recovery.dataset or dataset) if settings.recovery.enabled else dataset
    if trained not in config.datasets:
        raise ConfigError(
            f"{where}: recovery.dataset: unknown dataset '{trained}'; {did_you_mean(trained, config.datasets)} "
            f"(datasets are declared in {CONFIG_FILE}: datasets)"
        )
    drawn = [text for name in (dataset, trained) for text in _drawn(config, name)]
    texts = {name: config.datasets[name] for name in (*drawn, *settings.evaluation.datasets)}
    for name, text in texts.items():
        _check_local(name, text)
    return texts


def _drawn(config: Config, dataset: str) -> tuple[str, ...]:
    """Return a dataset and, of a mixture, its texts."""
    mixed = config.datasets[dataset].mixture or {}
    texts = [name for name, text in config.datasets.items() if not text.mixture and not text.instruction]
    for name in mixed:
        if name not in texts:
            raise ConfigError(
                f"{CONFIG_FILE}: datasets.{dataset}.mixture: '{name}' is not a text; {did_you_mean(name, texts)}"
            )
    return (dataset, *mixed)


def _check_local(name: str, text: DatasetSource) -> None:
    if text.local and not text_files(text.local):
        raise ConfigError(
            f"{CONFIG_FILE}: datasets.{name}.local = '{text.local}': matches no {', '.join(TEXT_FILES)} file"
        )
    if text.path and not Path(text.path).is_dir():
        raise ConfigError(f"{CONFIG_FILE}: datasets.{name}.path = '{text.path}': no such folder")


def _check(experiment: Experiment) -> None:
    """Check what spans several sections."""
    where = f"{experiment.model}/{experiment.name}"
    source, settings = experiment.source, experiment.settings
    if source.path and not (Path(source.path) / "config.json").is_file():
        raise ConfigError(
            f"{CONFIG_FILE}: models.{experiment.model}.path = '{source.path}': no config.json there; "
            "give a folder with a Hugging Face checkpoint, or remove the path to use the hub"
        )
    zeroshot = settings.evaluation.zeroshot
    if zeroshot and zeroshot.task_dir and not Path(zeroshot.task_dir).is_dir():
        raise ConfigError(f"{where}: evaluation.zeroshot.task_dir = '{zeroshot.task_dir}': no such folder")
    lengths = {"calibration.seq_len": settings.calibration.seq_len}
    lengths |= {"evaluation.protocols: window": settings.evaluation.longest_window}
    if settings.recovery.enabled:
        lengths["recovery.seq_len"] = settings.recovery.seq_len
    if settings.evaluation.efficiency:
        told = settings.evaluation.efficiency
        lengths |= {"evaluation.efficiency: prompt + generate": told.prompt + told.generate}
    for path, length in lengths.items():
        if source.context and length > source.context:
            raise ConfigError(
                f"{where}: {path} = {length}: longer than the model's window; allowed: 8 to {source.context}"
            )
    if settings.method.criterion not in settings.gradients.criteria:
        raise ConfigError(
            f"{where}: gradients.criteria = {list(settings.gradients.criteria)} does not contain the experiment's "
            f"criterion '{settings.method.criterion}'; add it"
        )
    mode = settings.gradients.mode
    if settings.method.criterion in (unable := not_scored(mode)):
        able = [name for name in CRITERIA if name not in unable]
        raise ConfigError(
            f"{where}: gradients.mode = {mode} cannot score '{settings.method.criterion}'; allowed criteria: "
            f"{', '.join(able)}, or gradients.mode: accumulate"
        )
    corrections = settings.corrections
    if settings.method.criterion in OF_WHOLE_LAYERS and (corrections.mean or corrections.normalize in LEVELLING):
        which = "mean = true" if corrections.mean else f"normalize = {corrections.normalize}"
        raise ConfigError(
            f"{where}: corrections.{which} makes all layers equal under method.criterion = "
            f"{settings.method.criterion}, which gives the groups of a layer one value; leave it out (sqrt, clip and "
            "depth_weight can stay) or change the criterion"
        )
    largest_rate = settings.limits.max_rate
    if largest_rate is not None and largest_rate <= settings.method.ratio:
        raise ConfigError(
            f"{where}: method.ratio = {settings.method.ratio:g} cannot be reached under limits.max_rate = "
            f"{largest_rate:g}: less than {largest_rate:g} of all parameters can go; lower the ratio or relax the limit"
        )
    longest = settings.evaluation.longest_window
    if settings.evaluation.max_tokens < longest:
        raise ConfigError(
            f"{where}: evaluation.max_tokens = {settings.evaluation.max_tokens}: less than one window of {longest}"
        )
