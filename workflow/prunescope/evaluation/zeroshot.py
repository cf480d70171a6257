"""Zero-shot tasks through lm-evaluation-harness (EleutherAI, `lm_eval` on PyPI), an optional dependency.

This module imports neither torch nor lm_eval until a step runs: `require_lm_eval` is asked when a workflow is parsed.
"""

import contextlib
import logging
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.record import StepRecord, recording
from prunescope.config.sections import Zeroshot
from prunescope.errors import ConfigError, DataError, did_you_mean
from prunescope.files import read_json, write_json
from prunescope.steps.planned import RECOVERED
from prunescope.steps.specs import ZeroshotBaselineSpec, ZeroshotSpec

log = logging.getLogger(__name__)

Scores = dict[str, dict[str, dict[str, float | None]]]
"""``{task: {metric: {"value": float, "stderr": float or None}}}``."""


def require_lm_eval() -> None:
    """Raise `ConfigError` where lm-evaluation-harness is not installed."""
    if find_spec("lm_eval") is None:
        raise ConfigError(
            "evaluation.zeroshot needs lm-evaluation-harness, which is not installed: install prunescope[zeroshot] "
            "(in a checkout: pip install -c requirements.lock -e '.[zeroshot]'), or set evaluation.zeroshot to null"
        )


def write_zeroshot_baseline(spec: ZeroshotBaselineSpec, key: str, facts: ModelFacts, output: Path) -> None:
    """Run the tasks on the unpruned model; write ``zeroshot.json`` {scores, settings}."""
    with recording(spec.step, key, output / "record.json", spec.model_dump(mode="json")) as record:
        scores, settings = _measure(Path(facts.path), spec)
        write_json(output / "zeroshot.json", {"scores": scores, "settings": settings})
        _note(record, scores, "zeroshot/")
        record.tags |= {name: settings[name] for name in ("device", "dtype")}


def write_zeroshot(spec: ZeroshotSpec, checkpoint: Path, baseline: Path, directory: Path) -> None:
    """Run the tasks on a checkpoint; write ``evaluation/zeroshot.json`` {baseline, pruned or recovered, settings}.

    Args:
        checkpoint: ``model`` (pruned) or ``recovered`` (then trained) of the experiment.
        baseline: ``zeroshot.json`` of the unpruned model.
    """
    with recording(spec.step, spec.record_key, directory / "records/zeroshot.json") as record:
        before = read_json(baseline)["scores"]
        scores, settings = _measure(checkpoint, spec)
        content = {"baseline": before, RECOVERED if checkpoint.name == RECOVERED else "pruned": scores}
        content |= {"settings": settings}
        write_json(directory / "evaluation/zeroshot.json", content)
        _note(record, scores, "zeroshot/")
        _note(record, before, "zeroshot_baseline/")
        record.tags |= {name: settings[name] for name in ("device", "dtype")}
        record.artifacts.append("../evaluation/zeroshot.json")


def run_tasks(model: Any, tokenizer: Any, told: Zeroshot) -> tuple[Scores, dict[str, Any]]:
    """Return the scores of a loaded model, and the versions, shots and sample counts of the tasks.

    Args:
        model: a causal language model of transformers. tokenizer: its tokenizer.

    Raises:
        ConfigError: lm_eval is not installed, or has no such task.
        DataError: the data of a task cannot be obtained.
    """
    require_lm_eval()
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of every model that is already loaded
    manager = _task_manager(told)
    with _explained(told), contextlib.chdir(told.task_dir or "."):  # tasks name their files relative to their folder
        found = simple_evaluate(
            model=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=told.batch_size),
            tasks=list(told.tasks),
            num_fewshot=told.num_fewshot,
            limit=told.limit,
            task_manager=manager,
            log_samples=False,
        )
    settings = {"lm_eval": version("lm_eval"), "limit": told.limit, "num_fewshot": found["n-shot"]}
    settings |= {"task_versions": found["versions"], "samples": found["n-samples"]}
    return {task: _scores(measured) for task, measured in found["results"].items()}, settings


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


def _measure(checkpoint: Path, spec: ZeroshotBaselineSpec | ZeroshotSpec) -> tuple[Scores, dict[str, Any]]:
    require_lm_eval()
    from prunescope.models.loading import compute_tags, load_model, load_tokenizer

    model = load_model(checkpoint, spec.dtype)
    scores, settings = run_tasks(model, load_tokenizer(checkpoint), spec)
    for task, metrics in scores.items():
        log.info("%s: %s", task, ", ".join(f"{name} {score['value']:.4f}" for name, score in metrics.items()))
    return scores, settings | compute_tags(model)


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


@contextlib.contextmanager
def _explained(told: Zeroshot):
    from datasets.exceptions import DatasetsError

    try:
        yield
    except (DatasetsError, OSError) as error:  # what cannot be downloaded is an OSError too
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"the data of evaluation.zeroshot.tasks ({', '.join(told.tasks)}) could not be read ({reason}): most "
            "tasks come from the hub; where it cannot be reached give evaluation.zeroshot.task_dir a folder with "
            "task files that read local data"
        ) from error


def _note(record: StepRecord, scores: Scores, prefix: str) -> None:
    for task, metrics in scores.items():
        for metric, score in metrics.items():
            record.metrics[f"{prefix}{task}_{metric}"] = score["value"]
