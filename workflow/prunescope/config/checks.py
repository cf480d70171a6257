"""What a section alone cannot check: settings against each other, against the model, and against the disk."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from prunescope.config.files import Origin
from prunescope.config.places import dangling_links, if_hub_id, no_text_files, not_a_hub_id
from prunescope.config.sections import DatasetSource, ModelSource, Settings
from prunescope.config.sections.sources import text_files
from prunescope.criteria import CRITERIA, OF_GROUPS, OF_WHOLE_LAYERS, not_scored
from prunescope.files import is_file, is_folder

LEVELLING = ("log", "minmax", "zscore")
"""Normalisations after which all groups of a block are equal if they were alike; `sqrt` keeps the block's size."""

UNIFORM_LAYERS = (
    f"limits.widths = uniform narrows all layers alike, and method.criterion = {' or '.join(OF_WHOLE_LAYERS)} removes "
    "whole ones: drop one of them (what whole layers leave is uniform anyway)"
)


def text_problems(texts: Mapping[str, DatasetSource], origin: Origin) -> Iterator[str]:
    """Yield a sentence for each text that cannot be where the configuration says."""
    for name, text in texts.items():
        for problem in _text_problems(text):
            yield f"{origin.of(f'datasets.{name}')}: datasets.{name}.{problem}"


def _text_problems(text: DatasetSource) -> Iterator[str]:
    if text.local and not text_files(text.local):
        yield f"local = {text.local!r}: {no_text_files(text.local)}"
    for link in dangling_links(text.local or ""):
        yield f"local: {link} is a link to a file that is not there; restore it or remove the link"
    if text.path and not is_folder(Path(text.path)):
        yield f"path = {text.path!r}: no such folder{if_hub_id(text.path)}"
    if text.hub is not None and not text.path:
        own = "name its files in `local` (such as FOLDER/**/*.jsonl), or it as `path` beside the id that it is of"
        if reason := not_a_hub_id(text.hub, own):
            yield f"hub = {text.hub!r}: {reason}"


def problems(model: str, source: ModelSource, settings: Settings, where: str, origin: Origin) -> Iterator[str]:
    """Yield a sentence for each thing that keeps an experiment from running."""
    file = origin.of(f"models.{model}")
    if source.path and not is_file(Path(source.path) / "config.json"):
        yield (
            f"{file}: models.{model}.path = {source.path!r}: no config.json there; give a folder with a Hugging "
            f"Face checkpoint, or remove the path to use the hub{if_hub_id(source.path)}"
        )
    if source.hub is not None and not source.path and (reason := not_a_hub_id(source.hub, "name it as `path`")):
        yield f"{file}: models.{model}.hub = {source.hub!r}: {reason}"
    zeroshot = settings.evaluation.zeroshot
    if zeroshot and zeroshot.task_dir and not is_folder(Path(zeroshot.task_dir)):
        yield f"{where}: evaluation.zeroshot.task_dir = '{zeroshot.task_dir}': no such folder"
    for problem in (*_lengths(source, settings), *_criterion(settings), *_ranges(settings)):
        yield f"{where}: {problem}"


def _lengths(source: ModelSource, settings: Settings) -> Iterator[str]:
    lengths = {
        "calibration.seq_len": settings.calibration.seq_len,
        "evaluation.protocols: window": settings.evaluation.longest_window,
    }
    if settings.repair.enabled:
        lengths["repair.refit.seq_len"] = settings.repair.refit.seq_len
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
    if settings.method.searched:
        if not set(OF_GROUPS) & set(gradients.criteria) - set(not_scored(gradients.mode)):
            yield (
                f"gradients.criteria = {list(gradients.criteria)} under gradients.mode = {gradients.mode}: no "
                f"criterion is scored that a search can use; add one of {', '.join(OF_GROUPS)}"
            )
        return
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
    if criterion in OF_WHOLE_LAYERS and settings.limits.widths == "uniform":
        yield UNIFORM_LAYERS


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
