"""The steps of an experiment in their order: whether each is done, where its log is, how long it took before."""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from prunescope.files import read_json
from prunescope.steps.keys import RESULTS
from prunescope.steps.planned import BEFORE_AFTER, PLOTS, Planned

LOGS = "logs"
PROOF = {"page": "README.md", "track": "mlflow.json", "statistics": "analysis/gradient_statistics.json"}
"""The file that says that one of the experiment's own steps is done; of the others it is their record."""

UPSTREAM = {
    "gradients": ("calibration",),
    "removal": ("calibration",),
    "baseline": ("evaluation_text",),
    "importance": ("gradients", "removal"),
    "statistics": ("gradients",),
    "diagnosis": ("importance", "statistics"),
    "pruning": ("importance",),
    "evaluation": ("pruning", "baseline"),
    "zeroshot": ("pruning", "recovery", "zeroshot_baseline"),
    "recovery": ("pruning", "recovery_text"),
    "recovered": ("recovery", "evaluation"),
    "efficiency": ("pruning", "recovery", "gguf_baseline"),
    "page": ("diagnosis", "evaluation", "zeroshot", "recovered", "efficiency"),
    "track": ("page",),
} | dict.fromkeys((f"plot_{plot}" for plot in (*PLOTS, BEFORE_AFTER)), ("diagnosis",))
"""What makes a step run again when it runs."""

TIMED = (
    "gradients", "removal", "baseline", "zeroshot_baseline", "pruning", "evaluation", "zeroshot", "efficiency",
    "recovery", "recovered",
)  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One step of one experiment.

    Attributes:
        step: its name. label: the same for people, figures under one name.
        proof: a file that exists when the step is done. log: where it writes.
        earlier: pattern of the `benchmark.tsv` files of the same step and model.
        tokens: calibration tokens of a step that reads them, else 1; time grows with them.
        timed: whether the step leaves a `benchmark.tsv`: it works with the model.
        upstream: the steps that make it run again when they run.
    """

    step: str
    label: str
    proof: Path
    log: Path
    earlier: str
    tokens: int = 1
    timed: bool = False
    upstream: tuple["Stage", ...] = ()

    @property
    def done(self) -> bool:
        return self.proof.exists() and all(stage.done for stage in self.upstream)

    def seconds(self) -> float | None:
        """Return about how long the step will take, or None when it was never timed: the median of earlier runs."""
        times = [
            _scaled(file, self.tokens / _tokens(file.parent.name))
            for file in Path().glob(self.earlier)
            if (self.tokens > 1) == (_tokens(file.parent.name) > 1)
        ]
        return median(times) if times else None


def stages(planned: Planned) -> list[Stage]:
    """Return the steps of an experiment, the shared ones first."""
    model, name = planned.experiment.model, planned.experiment.name
    made: dict[str, Stage] = {}
    for step in planned.shared.values():
        made[step.name] = Stage(
            step=step.name,
            label=step.name.replace("_", " "),
            proof=Path(step.file("record.json")),
            log=Path(LOGS, model, step.name, f"{step.key}.log"),
            earlier=f"{RESULTS}/{model}/_shared/{step.name}/*/benchmark.tsv",
            tokens=_tokens(step.key),
            timed=step.name in TIMED,
            upstream=_upstream(step.name, made),
        )
    plots = [f"plot_{plot}" for plot in planned.plots]
    own = ["importance", "statistics", "diagnosis", *plots]
    own += [step for step in planned.own if step not in (*own, *planned.plots)]
    own += ["track"] if planned.experiment.tracking.enabled else []
    for step in own:
        made[step] = Stage(
            step=step,
            label="figures" if step in plots else step,
            proof=Path(planned.directory, PROOF.get(step, f"records/{step}.json")),
            log=Path(LOGS, model, name, f"{step}.log"),
            earlier=f"{LOGS}/{model}/*/{step}.benchmark.tsv",
            timed=step in TIMED,
            upstream=_upstream(step, made),
        )
    return list(made.values())


def export_stages(planned: Planned, file: str) -> list[Stage]:
    """Return the exports that a file or folder below an experiment stands for; none for any other."""
    if file == "export/uniform":
        names = ["export_uniform"]
    elif file.startswith("export/gguf"):
        types = planned.experiment.export.gguf.types if file == "export/gguf" else [Path(file).stem]
        names = [f"export_gguf_{kind}" for kind in types]
    else:
        names = []
    return [
        Stage(
            step=name,
            label=name.replace("_", " ", 2),
            proof=Path(planned.directory, f"records/{name}.json"),
            log=Path(LOGS, planned.experiment.model, planned.experiment.name, f"{name}.log"),
            earlier="",
        )
        for name in names
    ]


def estimate(todo: Iterable[Stage]) -> tuple[float, list[str]]:
    """Return about how many seconds steps will take, and the labels of those that no earlier run tells of."""
    times = {stage: stage.seconds() for stage in todo if stage.timed}
    unknown = {stage.label for stage, seconds in times.items() if seconds is None}
    return sum(seconds for seconds in times.values() if seconds is not None), sorted(unknown)


def _upstream(step: str, made: dict[str, Stage]) -> tuple[Stage, ...]:
    return tuple(made[name] for name in UPSTREAM.get(step, ()) if name in made)


def _tokens(key: str) -> int:
    """Return the calibration tokens that a key such as ``wiki_n32_s128-3f017b8b`` names, 1 where it names none."""
    match = re.search(r"_n(\d+)_s(\d+)-[0-9a-f]{8}$", key)
    return int(match[1]) * int(match[2]) if match else 1


def _scaled(benchmark: Path, factor: float) -> float:
    """Return the seconds of a run with `factor` times its work: start-up, which the record leaves out, stays."""
    total, record = _seconds(benchmark), benchmark.with_name("record.json")
    work = min(read_json(record)["seconds"], total) if record.is_file() else total
    return total - work + work * factor


def _seconds(benchmark: Path) -> float:
    with benchmark.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return float(rows[-1]["s"]) if rows else 0.0
