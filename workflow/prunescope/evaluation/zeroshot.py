"""Zero-shot tasks through lm-evaluation-harness (EleutherAI, `lm_eval` on PyPI), an optional dependency."""

import contextlib
import errno
import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prunescope.artifacts.folders import ExperimentFolder, ModelFolder, ZeroshotBaselineFolder
from prunescope.artifacts.measured import BASELINE, PRUNED, RECOVERED, Measured, ZeroshotScores
from prunescope.artifacts.record import StepRecord
from prunescope.config.sections import Zeroshot
from prunescope.data.tokenizer import load_tokenizer
from prunescope.errors import ConfigError, DataError, did_you_mean
from prunescope.models.loading import compute_tags, load_model
from prunescope.models.offload import offloaded_layers
from prunescope.packages import LM_EVAL
from prunescope.steps.evaluation import ZeroshotBaselineSpec, ZeroshotSpec
from prunescope.steps.job import Job

log = logging.getLogger(__name__)

WITHOUT_HUB = (
    "most tasks come from the hub; where it cannot be reached give evaluation.zeroshot.task_dir a folder with task "
    "files that read local data"
)
WITHOUT_LOCKS = "the library that reads them locks its cache: set HF_HOME to a folder on a file system that has locks"


def run_baseline(job: Job[ZeroshotBaselineSpec, ZeroshotBaselineFolder]) -> None:
    """Run the tasks on the unpruned model; errors as of `run_tasks`."""
    with job.recording(job.spec.model_dump(mode="json")) as record:
        measured = run_tasks(Path(job.input(ModelFolder).ready().path), job.spec)
        job.folder.scores.write(measured)
        _note(record, measured, "zeroshot/")


def run_final(job: Job[ZeroshotSpec, ExperimentFolder]) -> None:
    """Run the tasks on the pruned or, where there is one, the trained checkpoint; errors as of `run_tasks`."""
    folder = job.folder
    with job.recording() as record:
        before = job.input(ZeroshotBaselineFolder).scores.read()
        name, checkpoint = (RECOVERED, folder.recovered) if folder.recovered.exists() else (PRUNED, folder.checkpoint)
        after = run_tasks(checkpoint.path, job.spec)
        models = {BASELINE: before.scores, name: after.scores}
        folder.zeroshot.write(Measured(models=models, settings=after.settings))
        _note(record, before, "zeroshot_baseline/")
        _note(record, after, "zeroshot/")


def run_tasks(checkpoint: Path, told: ZeroshotBaselineSpec | ZeroshotSpec) -> ZeroshotScores:
    """Return the scores of a checkpoint, and how they were measured: versions, shots and sample counts of the tasks.

    Raises:
        ConfigError: lm_eval is not installed, or has no such task.
        DataError: the data of a task cannot be obtained.
    """
    LM_EVAL.require()
    from datasets.exceptions import DatasetsError
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of every model that is already loaded
    manager, model = _task_manager(told), load_model(checkpoint, told.dtype)
    if offloaded_layers(model):
        log.warning(
            "the layers are read once per batch of %s requests: raise evaluation.zeroshot.batch_size as far as the "
            "logits of all tokens of a batch fit beside them",
            told.batch_size,
        )
    loaded = HFLM(pretrained=model, tokenizer=load_tokenizer(checkpoint), batch_size=told.batch_size)
    try:
        with contextlib.chdir(told.task_dir or "."):  # tasks name their files relative to their folder
            found = simple_evaluate(
                model=loaded,
                tasks=list(told.tasks),
                num_fewshot=told.num_fewshot,
                limit=told.limit,
                task_manager=manager,
                log_samples=False,
            )
    except (DatasetsError, OSError) as error:  # what cannot be downloaded is an OSError too
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        way_out = WITHOUT_LOCKS if getattr(error, "errno", None) == errno.ENOLCK else WITHOUT_HUB
        raise DataError(
            f"the data of evaluation.zeroshot.tasks ({', '.join(told.tasks)}) could not be read ({reason}): {way_out}"
        ) from error
    settings = {"lm_eval": version("lm_eval"), "limit": told.limit, "num_fewshot": found["n-shot"]}
    settings |= {"task_versions": found["versions"], "samples": found["n-samples"]} | compute_tags(model)
    scores = {task: _scores(measured) for task, measured in found["results"].items()}
    for task, metrics in scores.items():
        log.info("%s: %s", task, ", ".join(f"{name} {score['value']:.4f}" for name, score in metrics.items()))
    return ZeroshotScores(scores=scores, settings=settings)


def _task_manager(told: Zeroshot) -> Any:
    from lm_eval.tasks import TaskManager

    folder = Path(told.task_dir).absolute() if told.task_dir else None
    if folder:
        manager = TaskManager(include_path=folder, include_defaults=False)
        if set(told.tasks) <= set(manager.all_tasks):
            return manager
    manager = TaskManager(include_path=folder)  # reads thousands of files
    for number, task in enumerate(told.tasks):
        if task not in manager.all_tasks:
            raise ConfigError(
                f"evaluation.zeroshot.tasks.{number} = '{task}': lm-evaluation-harness {version('lm_eval')} and "
                f"evaluation.zeroshot.task_dir have no such task; {did_you_mean(task, manager.all_tasks)}"
            )
    return manager


def _scores(measured: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """Read the harness's ``"acc,none": 0.5, "acc_stderr,none": 0.02``; other filters stay in the metric's name."""
    scores: dict[str, dict[str, float | None]] = {}
    for key, value in measured.items():
        metric, comma, chosen = key.partition(",")
        if not comma or metric.endswith("_stderr"):
            continue
        stderr = measured.get(f"{metric}_stderr,{chosen}")
        name = metric if chosen == "none" else f"{metric}_{chosen}"
        scores[name] = {"value": float(value), "stderr": float(stderr) if isinstance(stderr, (int, float)) else None}
    return scores


def _note(record: StepRecord, measured: ZeroshotScores, prefix: str) -> None:
    scores: dict[str, Any] = measured.scores
    for task, metrics in scores.items():
        record.metrics |= {f"{prefix}{task}_{metric}": score["value"] for metric, score in metrics.items()}
    record.tags |= {name: measured.settings[name] for name in ("device", "dtype")}
