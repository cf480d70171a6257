"""What a section alone cannot check: settings against each other, against the model, and against the disk."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from prunescope.config.files import CONFIG_FILE
from prunescope.config.sections import DatasetSource, ModelSource, Settings
from prunescope.config.sections.sources import TEXT_FILES, text_files
from prunescope.criteria import CRITERIA, OF_WHOLE_LAYERS, not_scored

LEVELLING = ("log", "minmax", "zscore")
"""Normalisations after which all groups of a block are equal if they were alike; `sqrt` keeps the block's size."""


def text_problems(texts: Mapping[str, DatasetSource]) -> Iterator[str]:
    """Yield a sentence for each text whose local files are not there."""
    for name, text in texts.items():
        if text.local and not text_files(text.local):
            yield f"{CONFIG_FILE}: datasets.{name}.local = '{text.local}': matches no {', '.join(TEXT_FILES)} file"
        if text.path and not Path(text.path).is_dir():
            yield f"{CONFIG_FILE}: datasets.{name}.path = '{text.path}': no such folder"


def problems(model: str, source: ModelSource, settings: Settings, where: str) -> Iterator[str]:
    """Yield a sentence for each thing that keeps an experiment from running."""
    if source.path and not (Path(source.path) / "config.json").is_file():
        yield (
            f"{CONFIG_FILE}: models.{model}.path = '{source.path}': no config.json there; "
            "give a folder with a Hugging Face checkpoint, or remove the path to use the hub"
        )
    zeroshot = settings.evaluation.zeroshot
    if zeroshot and zeroshot.task_dir and not Path(zeroshot.task_dir).is_dir():
        yield f"{where}: evaluation.zeroshot.task_dir = '{zeroshot.task_dir}': no such folder"
    for problem in (*_lengths(source, settings), *_criterion(settings), *_ranges(settings)):
        yield f"{where}: {problem}"


def _lengths(source: ModelSource, settings: Settings) -> Iterator[str]:
    lengths = {
        "calibration.seq_len": settings.calibration.seq_len,
        "evaluation.protocols: window": settings.evaluation.longest_window,
    }
    if settings.recovery.enabled:
        lengths["recovery.seq_len"] = settings.recovery.seq_len
    efficiency = settings.evaluation.efficiency
    if efficiency:
        lengths["evaluation.efficiency: prompt + generate"] = efficiency.prompt + efficiency.generate
    for path, length in lengths.items():
        if source.context and length > source.context:
            yield f"{path} = {length}: longer than the model's window; allowed: 8 to {source.context}"


def _criterion(settings: Settings) -> Iterator[str]:
    criterion, gradients, corrections = settings.method.criterion, settings.gradients, settings.corrections
    if criterion not in gradients.criteria:
        yield (
            f"gradients.criteria = {list(gradients.criteria)} does not contain the experiment's criterion "
            f"'{criterion}'; add it"
        )
    if criterion in not_scored(gradients.mode):
        able = [name for name in CRITERIA if name not in not_scored(gradients.mode)]
        yield (
            f"gradients.mode = {gradients.mode} cannot score '{criterion}'; allowed criteria: {', '.join(able)}, "
            "or gradients.mode: accumulate"
        )
    if criterion in OF_WHOLE_LAYERS and (corrections.mean or corrections.normalize in LEVELLING):
        which = "mean = true" if corrections.mean else f"normalize = {corrections.normalize}"
        yield (
            f"corrections.{which} makes all layers equal under method.criterion = {criterion}, which gives the groups "
            "of a layer one value; leave it out (sqrt, clip and depth_weight can stay) or change the criterion"
        )


def _ranges(settings: Settings) -> Iterator[str]:
    ratio, highest = settings.method.ratio, settings.limits.max_rate
    if highest is not None and highest <= ratio:
        can = f"less than {highest:g} of all parameters" if highest > 0 else "nothing"
        yield (
            f"method.ratio = {ratio:g} cannot be reached under limits.max_rate = {highest:g}: {can} can go; lower the "
            f"ratio or relax the limit (allowed: above {ratio:g}, up to 1)"
        )
    longest, most = settings.evaluation.longest_window, settings.evaluation.max_tokens
    if most < longest:
        yield f"evaluation.max_tokens = {most}: less than one window of {longest}"
