"""Texts as a step reads them, and the steps that cut windows from them."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from prunescope.artifacts.folders import (
    CalibrationFolder,
    EvaluationTextFolder,
    ModelFolder,
    RecoveryTextFolder,
    RefitTextFolder,
    Resources,
    SearchTextFolder,
    TrialTextFolder,
)
from prunescope.config.leakage import Leakage, leakage_between, worst_leakage
from prunescope.config.resolve import Experiment
from prunescope.config.sections import Calibration, DatasetSource, Section, Settings, SplitNames
from prunescope.config.sections.sources import Purpose, text_files
from prunescope.steps.fingerprints import copied_files, fingerprint
from prunescope.steps.sources import corpora
from prunescope.steps.spec import Planning, SharedSpec
from prunescope.steps.step import Step

if TYPE_CHECKING:
    from typing import Self

DIVISION = 2
"""How local texts are divided into documents; raised when it changes, so that only their keys do."""


class TextSpec(Section):
    """A text and, for local files, what stands for their paths."""

    source: DatasetSource
    fingerprint: str | None = None

    @classmethod
    def of(cls, source: DatasetSource, purpose: str) -> "TextSpec":
        """Return what a step reads of a text: of a hub dataset the one split that serves `purpose`."""
        told: dict[str, Any] = {"license": None}
        if source.hub:
            split = getattr(source.splits, purpose)
            told["splits"] = SplitNames(**{purpose: split})
            # Where the split has no files, reading says so, and which there are.
            told["files"] = {name: file for name, file in (source.files or {}).items() if name == split} or source.files
        source = source.model_copy(update=told)
        files = text_files(source.local) if source.local else copied_files(source)
        return cls(source=source, fingerprint=fingerprint(files))

    def identity(self) -> dict[str, Any]:
        aside = {"local", "path"} if self.fingerprint else set()
        told = {
            "source": self.source.model_dump(mode="json", exclude=aside, exclude_defaults=True),
            "fingerprint": self.fingerprint,
        }
        return told | ({"division": DIVISION} if self.source.local and not self.source.instruction else {})


class TextsSpec(SharedSpec):
    """Base of the steps that read texts."""

    texts: dict[str, TextSpec] = Field(description="By name.")

    @property
    def resources(self) -> list[str]:
        return list(corpora({name: text.source for name, text in self.texts.items()}).values())

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"texts": {name: text.identity() for name, text in self.texts.items()}}


class CalibrationSpec(Calibration, TextsSpec):
    """Draw and tokenise calibration windows."""

    step = "calibration"
    dataset: str
    weights: dict[str, float] = Field({}, description="Of the texts of a mixture.")

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["CalibrationSpec"]:
        experiment = planned.experiment
        yield cls(**common, **drawn(experiment, experiment.dataset), **dict(experiment.settings.calibration))

    @property
    def slug(self) -> str:
        return f"{self.dataset}_n{self.samples}_s{self.seq_len}"


class RefitTextSpec(CalibrationSpec):
    """Draw and tokenise what repairs are measured on: as many windows as there are, if the text is short."""

    step = "refit_text"

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["RefitTextSpec"]:
        experiment, repair = planned.experiment, planned.experiment.settings.repair
        if repair.enabled:
            told = repair.refit
            samples, seed = -(-told.tokens // told.seq_len), experiment.settings.calibration.seed
            windows = {"samples": samples, "seq_len": told.seq_len, "seed": seed}
            yield cls(**common, **drawn(experiment, experiment.dataset), **windows)


class RecoveryTextSpec(CalibrationSpec):
    """Draw and tokenise what recovery trains on: as many windows as there are, if the text is short."""

    step = "recovery_text"

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["RecoveryTextSpec"]:
        told = planned.experiment.settings.recovery
        if told.enabled:
            samples = -(-told.tokens // told.seq_len)
            windows = {"samples": samples, "seq_len": told.seq_len, "seed": told.seed}
            yield cls(**common, **drawn(planned.experiment, recovery_dataset(planned.experiment)), **windows)


class EvaluationTextSpec(TextsSpec):
    """Cut the evaluation tokens of every text and protocol, so that all models see the same windows."""

    step = "evaluation_text"
    version = 2
    protocols: tuple[str, ...]
    max_tokens: int

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["EvaluationTextSpec"]:
        told = planned.experiment.settings.evaluation
        texts = {name: TextSpec.of(planned.experiment.texts[name], "test") for name in told.datasets}
        yield cls(**common, texts=texts, protocols=told.protocols, max_tokens=told.max_tokens)

    @property
    def slug(self) -> str:
        return "_".join(self.texts)


class TrialTextSpec(TextsSpec):
    """Draw held-out windows of the calibration text and of each evaluated text, to try settings on."""

    step = "trial_text"
    aside = frozenset({"left_out"})
    samples: int = Field(description="Windows per text.")
    seq_len: int
    tested: dict[str, int] = Field(
        {}, description="Texts whose streamed split is tested on too -> `max_tokens` of that: what it reads is skipped."
    )
    left_out: dict[str, str] = Field({}, description="Texts without a split of their own to try on, and why.")

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["TrialTextSpec"]:
        if planned.experiment.settings.trial.enabled:
            yield cls.drawn(planned.experiment, common, cls.windows(planned.experiment.settings))

    @staticmethod
    def windows(settings: Settings) -> int:
        """Return how many windows of a text the trial takes, if it has as many."""
        return min(settings.trial.samples, settings.calibration.samples)

    @classmethod
    def drawn(cls, experiment: Experiment, common: Mapping[str, Any], samples: int, **told: Any) -> "Self":
        """Return what draws so many windows of each text that is held out; `told`: further fields."""
        settings = experiment.settings
        names = sorted({*texts_of(experiment, experiment.dataset), *settings.evaluation.datasets})
        left_out = {name: reason for name in names if (reason := _not_held_out(experiment, name))}
        texts = {name: TextSpec.of(experiment.texts[name], "validation") for name in names if name not in left_out}
        tested = {name: settings.evaluation.max_tokens for name in texts if _tested(experiment, name)}
        windows = {"samples": samples, "seq_len": settings.calibration.seq_len}
        return cls(**common, texts=texts, tested=tested, left_out=left_out, **windows, **told)

    @property
    def slug(self) -> str:
        return f"{'_'.join(self.texts) or 'none'}_n{self.samples}_s{self.seq_len}"


class SearchTextSpec(TrialTextSpec):
    """Draw held-out windows to search settings on: those after the windows of the trial, of the same texts."""

    step = "search_text"
    skip: int = Field(description="Windows of each text that come first, and are the trial's.")

    @classmethod
    def of(cls, planned: Planning, common: Mapping[str, Any]) -> Iterable["SearchTextSpec"]:
        settings = planned.experiment.settings
        if settings.method.searched:
            yield cls.drawn(planned.experiment, common, settings.search.samples, skip=cls.windows(settings))


def _not_held_out(experiment: Experiment, name: str) -> str:
    """Say why the validation split of a text is not held out; empty where it is."""
    source = experiment.texts[name]
    used: dict[Purpose, Iterable[str]] = {
        "calibration": texts_of(experiment, experiment.dataset),
        "test": experiment.settings.evaluation.datasets,
    }
    for purpose, others in used.items():
        for other in others:
            shared = leakage_between(experiment.texts[other], purpose, source, "validation") == "documents"
            if shared and not (source.streaming and other == name and purpose == "test"):
                of = "its own" if other == name else f"{other}'s"
                return f"its validation split has documents of {of} {purpose} split"
    return ""


def _tested(experiment: Experiment, name: str) -> bool:
    """Whether the validation split of a text is the one that perplexity is measured on."""
    source = experiment.texts[name]
    evaluated = name in experiment.settings.evaluation.datasets
    return evaluated and leakage_between(source, "test", source, "validation") == "documents"


def drawn(experiment: Experiment, dataset: str) -> dict[str, Any]:
    """Return a dataset, the texts that it draws on, and their weights."""
    texts = {name: TextSpec.of(experiment.texts[name], "calibration") for name in texts_of(experiment, dataset)}
    return {"dataset": dataset, "texts": texts, "weights": experiment.texts[dataset].mixture or {}}


def texts_of(experiment: Experiment, dataset: str) -> tuple[str, ...]:
    """Return the names of the texts behind a dataset: itself, or those of a mixture."""
    return tuple(experiment.texts[dataset].mixture or (dataset,))


def recovery_dataset(experiment: Experiment) -> str:
    """Return the name of what the pruned model is trained on."""
    return experiment.settings.recovery.dataset or experiment.dataset


def leakage(experiment: Experiment, *also: str) -> dict[str, Leakage]:
    """Return what each evaluated text has in common with the calibration texts and the datasets in `also`."""
    names = [name for dataset in (experiment.dataset, *also) for name in texts_of(experiment, dataset)]
    used = [experiment.texts[name] for name in names]
    return {name: worst_leakage(used, experiment.texts[name]) for name in experiment.settings.evaluation.datasets}


READS = (ModelFolder.facts, Resources.corpus)
# Texts may be on the hub.
STEPS = tuple(
    Step(spec, run, folder, looks_at=READS, network=True)
    for spec, run, folder in (
        (CalibrationSpec, "data.calibration:calibrate", CalibrationFolder),
        (EvaluationTextSpec, "data.evaluation_text:cut_evaluation_text", EvaluationTextFolder),
        (TrialTextSpec, "data.trial_text:draw_trial_text", TrialTextFolder),
        (SearchTextSpec, "data.trial_text:draw_trial_text", SearchTextFolder),
        (RefitTextSpec, "data.refit_text:draw_refit_text", RefitTextFolder),
        (RecoveryTextSpec, "recovery.text:draw_recovery_text", RecoveryTextFolder),
    )
)
