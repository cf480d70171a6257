"""From the configuration and an experiment name to one frozen `Experiment`."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from prunescope.config.candidates import configured
from prunescope.config.checks import problems, text_problems
from prunescope.config.files import CONFIG_FILE, Origin, read_config_file
from prunescope.config.messages import said_of, unknown, validated
from prunescope.config.names import SHAPE, Name, known_name, parse_name
from prunescope.config.patches import Patch, at, merge
from prunescope.config.sections import (
    Config,
    DatasetSource,
    Export,
    ModelSource,
    NamedExperiment,
    Section,
    Settings,
    Sweep,
    Tracking,
)
from prunescope.config.sweep_words import check_word
from prunescope.criteria import AUTO
from prunescope.errors import ConfigError, did_you_mean

COMPARISON = "comparison"
"""Folder of a model's sweeps, beside those of its experiments."""


class Experiment(Section):
    """One experiment on one model, with every setting resolved.

    Attributes:
        plain: the settings of the model before the experiment's name changes any.
        declared_in: the file that declares the model.
    """

    model: str
    name: str
    source: ModelSource
    dataset: str
    texts: dict[str, DatasetSource]
    settings: Settings
    plain: Settings
    tracking: Tracking
    export: Export
    declared_in: str = str(CONFIG_FILE)


def load_config(path: Path = CONFIG_FILE) -> Config:
    """Read and validate a configuration file; errors as of `read_config_file` and `parse_config`."""
    content = read_config_file(path)
    return parse_config(content, Origin({str(path): content}))


def parse_config(content: Mapping[str, Any], origin: Origin | None = None) -> Config:
    """Validate what configuration files say together, the settings of every model and named experiment included.

    Args:
        origin: which file says what, for the sentences of errors.

    Raises:
        ConfigError: one sentence with the config path, the value and what is allowed.
    """
    origin = origin or Origin()

    def said_in(path: str) -> str:
        return f"{origin.of(path)}: {path}"

    config = validated(Config, content, origin).said_by(origin)
    _check_reference(config, config, origin.of("report.reference"))
    for name, source in config.models.items():
        where = said_in(f"models.{name}.settings")
        _check_reference(config, _settings(config, source.settings, where=where), where)
    for name, experiment in config.experiments.items():
        _check_named(config, name, experiment, said_in(f"experiments.{name}"))
    for name, sweep in config.sweeps.items():
        with said_of(said_in(f"sweeps.{name}")):
            _check_sweep(config, sweep)
    for target in config.targets:
        if target.count("/") != 1:
            raise ConfigError(f"{said_in('targets')}: '{target}' must be {{model}}/{{experiment}}")
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
        with said_of(f"{model}/{name}: report.reference = '{reference}'"):
            _resolved(config, model, reference)
    return experiment


def essential(experiment: Experiment) -> Name | None:
    """Return a name without what decides nothing: T under `share`, tau at T = 0 or at its default.

    Experiments of a model that agree in it are the same; None where the grammar does not know the name.
    """
    name, method = known_name(experiment.name), experiment.settings.method
    if name is None:
        return None
    if method.combine == "share":
        name = replace(name, temperature="0")
    if not method.needs_prior or method.tau == experiment.plain.method.tau:
        name = replace(name, tau=None)
    return name


def settings_of(config: Config, model: str, name: str, patch: Patch | None = None) -> Settings:
    """Return the settings of an experiment, changed by `patch`, not yet checked together; errors as of `resolve`."""
    _, declared, own = _declared(config, name)
    return _settings(config, config.models[model].settings, declared, own, patch or {}, where=f"{model}/{name}")


def _resolved(config: Config, model: str, name: str) -> Experiment:
    """Resolve one experiment, but not its reference: two experiments may name each other."""
    if model not in config.models:
        raise ConfigError(unknown("model", model, config.models))
    where = f"{model}/{name}"
    dataset, _, _ = _declared(config, name)
    settings = settings_of(config, model, name)
    if settings.report.reference == name:
        report = settings.report.model_copy(update={"reference": None})
        settings = settings.model_copy(update={"report": report})
    experiment = Experiment(
        model=model,
        name=name,
        source=config.models[model],
        dataset=dataset,
        texts=_texts(config, dataset, settings, where),
        settings=settings,
        plain=_settings(config, config.models[model].settings, where=where),
        tracking=config.tracking,
        export=config.export,
        declared_in=config.origin.of(f"models.{model}"),
    )
    for problem in problems(model, experiment.source, settings, where, config.origin):
        raise ConfigError(problem)
    with said_of(where):
        configured(settings)
    return experiment


def _declared(config: Config, name: str) -> tuple[str, Patch, Patch]:
    """Return the dataset of an experiment, what its name declares, and the settings of a named one."""
    named = config.experiments.get(name)
    if named is None and "_T" not in name and not name.startswith(f"{AUTO}_"):
        raise ConfigError(
            f"unknown experiment '{name}'; {did_you_mean(name, config.experiments)} (named ones are declared in "
            f"{CONFIG_FILE}: experiments; others look like {SHAPE})"
        )
    dataset, declared = parse_name(named.base if named else name, config.datasets)
    return dataset, declared, named.settings if named else {}


def _settings(config: Config, *layers: Patch, where: str) -> Settings:
    return validated(Settings, merge(config.model_dump(include=set(Settings.model_fields)), *layers), where)


def _check_named(config: Config, name: str, experiment: NamedExperiment, where: str) -> None:
    with said_of(f"{where}.base"):
        _, declared = parse_name(experiment.base, config.datasets)
    settings = _settings(config, declared, experiment.settings, where=f"{where}.settings")
    _check_reference(config, settings, f"{where}.settings")
    if name == at(experiment.settings, "report.reference"):
        raise ConfigError(f"{where}.settings: report.reference = '{name}': an experiment is not compared with itself")
    if name == COMPARISON:
        raise ConfigError(f"{where}: results/{{model}}/{name} holds sweeps; choose another name")


def _check_reference(config: Config, settings: Settings, where: str) -> None:
    reference = settings.report.reference
    if reference is not None:
        with said_of(f"{where}: report.reference = '{reference}'"):
            _declared(config, reference)


def _check_sweep(config: Config, sweep: Sweep) -> None:
    """Check names and words; the values are checked only when the sweep is asked for."""
    for model in sweep.models:
        if model not in config.models:
            raise ConfigError(unknown("model", model, config.models))
    for name in (*sweep.experiments, *([sweep.base] if sweep.base else [])):
        _declared(config, name)
    for word in (*sweep.product, *(word for variant in sweep.variants for word in variant)):
        check_word(word)


def _texts(config: Config, dataset: str, settings: Settings, where: str) -> dict[str, DatasetSource]:
    """Return the datasets that an experiment reads, by name, the texts of a mixture included."""
    trained = (settings.recovery.dataset or dataset) if settings.recovery.enabled else dataset
    _check_datasets(config, settings.evaluation.datasets, f"{where}: evaluation.datasets")
    _check_datasets(config, [trained], f"{where}: recovery.dataset")
    for name in settings.evaluation.datasets:
        if config.datasets[name].mixture:
            raise ConfigError(f"{where}: evaluation.datasets: '{name}' is a mixture; evaluate on its texts instead")
    drawn = [text for name in (dataset, trained) for text in _drawn(config, name)]
    texts = {name: config.datasets[name] for name in (*drawn, *settings.evaluation.datasets)}
    for problem in text_problems(texts, config.origin):
        raise ConfigError(problem)
    return texts


def _check_datasets(config: Config, names: Iterable[str], where: str) -> None:
    for name in names:
        if name not in config.datasets:
            raise ConfigError(f"{where}: {unknown('dataset', name, config.datasets)}")


def _drawn(config: Config, dataset: str) -> tuple[str, ...]:
    """Return a dataset and, of a mixture, its texts."""
    mixed = config.datasets[dataset].mixture or {}
    texts = [name for name, text in config.datasets.items() if not text.mixture and not text.instruction]
    for name in mixed:
        if name not in texts:
            where = f"datasets.{dataset}.mixture"
            raise ConfigError(
                f"{config.origin.of(where)}: {where}: '{name}' is not a text; {did_you_mean(name, texts)}"
            )
    return (dataset, *mixed)
