"""Is the diagnosis right? Sick and healthy experiments, and what becomes of those who do as the report says.

    snakemake --cores all --configfile config/truth.yaml -- results/Truth-135M/taylor_T0_20_wiki/analysis/trials.json
    python benchmarks/diagnosis.py                # over an hour on one core; goes on where it was stopped
    python benchmarks/diagnosis.py --only _20_    # the cases whose names match this pattern
    python benchmarks/diagnosis.py --again        # diagnose anew; what was measured of a plan stays known
    python benchmarks/diagnosis.py --table        # what there is so far, as Markdown (docs/truth.md)

A case is an experiment of `config/truth.yaml` up to its report, with the trial of other settings and without. The first
command of either report is run up to its plan, and plans are measured on windows of the test split: the experiment's,
the recommended ones, and those candidates of the trial that came near its best. What is judged, and how, is in
`verdicts.py`.
"""

import argparse
import math
import re
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from statistics import fmean

from damage import DAMAGES, damage
from foreign import TEXTS, write
from verdicts import Advice, Case, Row, Rows, as_markdown

from prunescope.artifacts.diagnosis import DiagnosisReport
from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.folders import (
    EvaluationTextFolder,
    ExperimentFolder,
    ModelFolder,
    TrialTextFolder,
)
from prunescope.artifacts.manifests import TrialManifest
from prunescope.artifacts.plan import PruningPlan
from prunescope.config.files import load_merged
from prunescope.config.resolve import parse_config
from prunescope.diagnosis.report import diagnose_experiment
from prunescope.errors import PrunescopeError
from prunescope.evaluation.bootstrap import exponential
from prunescope.steps.job import Job, run
from prunescope.steps.planned import Planned
from prunescope.steps.registry import Registry
from prunescope.steps.spec import SharedSpec
from prunescope.steps.step import Task
from prunescope.trial.cuts import Scores
from prunescope.trial.measured import Meter, nothing, plan_digest

CONFIGURATION = (Path("config/config.yaml"), Path("config/truth.yaml"))
KEPT = Path("benchmarks/results/diagnosis")
BASE = "Truth-135M"
PLAN = ("model", "calibration", "gradients", "removal", "importance")
TRIAL = ("evaluation_text", "trial_text", "trial")
NEAR = 1.1
"""Candidates are measured on the test split if their perplexity in the trial is within this factor of the lowest."""


def cases() -> list[Case]:
    """Return all cases, those at 20 % first."""
    ratios = (20, 10, 30, 40)
    plain = [f"{c}_{t}_{r}_wiki" for r, c, t in product(ratios, ("taylor", "gate", "wanda", "shortgpt"), PRIORS)]
    plain += [f"{c}_T0_20_hansard" for c in ("taylor", "gate")]
    plain += [f"{c}_T1_tauinf_20_wiki" for c in ("taylor", "gate")]
    reachable = (20, 10, 30)  # by half of each block
    good = [f"gate_T0_{r}_wiki_max50{n}" for r, n in product(reachable, ("", "_n64"))]
    odd = [f"{c}_T0_20_{text}" for c, text in product(("taylor", "gate"), ("wiki_n4", *TEXTS))]
    found = [Case(BASE, name) for name in (*plain, *good, *odd)]
    found += [Case(model, f"{c}_T0_20_wiki") for model, c in product(DAMAGES, ("taylor", "gate"))]
    return sorted(found, key=lambda case: "_20_" not in case.experiment)


PRIORS = ("T0", "T1_tau0")


@dataclass(frozen=True)
class Bench:
    """Runs experiments up to their plans and reports, and measures plans on the test split.

    Attributes:
        registry: of the configuration. kept: where what was measured on the test split is kept.
    """

    registry: Registry
    kept: Path

    def judge(self, case: Case) -> Row:
        """Run a case and what its reports recommend."""
        begin = time.perf_counter()
        planned = self.registry.experiment(case.model, case.experiment)
        bring(planned, (*PLAN, *TRIAL))
        told = [task_of(planned, "diagnosis", trials=tried) for tried in (False, True)]
        without, report = [diagnose_experiment(job).report for job in told]
        candidates = self._candidates(planned)
        plans = dict(candidates)
        advice = [self._advice(case, planned, first, plans) for first in (without, report)]
        tested = self._test(planned, plans)
        return Row(
            case=case,
            ratio=planned.experiment.settings.method.ratio,
            seconds=round(time.perf_counter() - begin, 1),
            without=severities(without),
            findings=severities(report),
            rules=advice[0],
            trial=advice[1],
            verdict=report.checks.trial.verdict if report.checks.trial else None,
            tested=tested,
            candidates=list(candidates),
            dense=plan_digest(nothing(facts_of(planned))),
        )

    def _candidates(self, planned: Planned) -> dict[str, PruningPlan]:
        """Return by digest the plan of the experiment, first, and those that the trial found near its best."""
        job = task_of(planned, "trial")
        trials = job.folder.trials.read()
        scores = Scores.read(job, job.folder.decided(job.spec), facts_of(planned))
        lowest = min(one.ratio for one in trials.ranked)
        near = [one for one in trials.ranked if one is trials.best or one.ratio <= NEAR * lowest]
        return {one.plan: scores.cut(one.patch).plan for one in (trials.own, *near)}

    def _advice(
        self, case: Case, planned: Planned, report: DiagnosisReport, plans: dict[str, PruningPlan]
    ) -> Advice | None:
        """Return the first command of a report, and add the plan that it leads to; None where there is none."""
        first = first_command(report)
        if first is None:
            return None
        try:
            followed = self.registry.experiment(case.model, first.experiment)
            bring(followed, PLAN)
        except PrunescopeError as error:
            return Advice(**vars(first) | {"error": str(error)})
        plan = PruningPlan.read(ExperimentFolder(Path(followed.directory)).plan.path, facts_of(planned))
        digest = plan_digest(plan)
        plans[digest] = plan
        less = followed.experiment.settings.method.ratio < planned.experiment.settings.method.ratio
        return Advice(**vars(first) | {"plan": digest, "less": less})

    def _test(self, planned: Planned, plans: dict[str, PruningPlan]) -> dict[str, dict[str, float]]:
        """Return perplexities on the test split: by digest, by text; of the dense model too."""
        found = Meter(self._test_text(planned), facts_of(planned)).measure(plans)
        return {
            digest: {text: _perplexity(values) for text, values in losses.loss.items()}
            for digest, losses in found.items()
        }

    def _test_text(self, planned: Planned) -> TrialTextFolder:
        """Return the windows of the test split in the form that the trial measures on."""
        source = EvaluationTextFolder(Path(planned.tasks["evaluation_text"].folder))
        folder = TrialTextFolder(self.kept / planned.experiment.model)
        manifest, windows = source.manifest.read(), source.windows.read()
        protocol = planned.experiment.settings.evaluation.protocols[0]
        tensors = {name: windows[f"{name}/{protocol}"] for name in manifest}
        drawn = {
            name: told.model_dump(include={"source", "revision", "split", "documents"})
            | {"windows": len(tensors[name]), "document_ids": []}
            for name, told in manifest.items()
        }
        sha256 = {name: told.sha256 for name, told in manifest.items()}
        folder.windows.write(tensors)
        folder.manifest.write(TrialManifest(texts=drawn, sha256=sha256, left_out={}))
        return folder


def _perplexity(losses: Sequence[float | None]) -> float:
    """Return the perplexity of windows of one length; infinite where a loss is no number."""
    return math.inf if None in losses else exponential(fmean(losses))


def bring(planned: Planned, names: Collection[str]) -> None:
    """Run those of some tasks whose files are not there, or were made for another spec."""
    for task in planned.tasks.values():
        if task.name in names and not current(task):
            run(task.name, Path(task.folder), task.spec.text())


def current(task: Task) -> bool:
    """Whether a task's files are there, made for its spec."""
    if not task.done or isinstance(task.spec, SharedSpec):
        return task.done
    record = ExperimentFolder(Path(task.folder)).named(ExperimentFolder.record, step=task.name)
    return record.read().key == task.key


def task_of(planned: Planned, name: str, **changed: object) -> Job:
    """Return the job of a task, with fields of its spec changed."""
    task = planned.tasks[name]
    return Job.of(task.step, task.spec.model_copy(update=changed), Path(task.folder))


def facts_of(planned: Planned) -> ModelFacts:
    """Return the facts of the model."""
    return ModelFolder(Path(planned.tasks["model"].folder)).ready()


def severities(report: DiagnosisReport) -> dict[str, str]:
    """Return the severity of each finding, by code."""
    return {finding.code: finding.severity for finding in report.diagnosis}


def first_command(report: DiagnosisReport) -> Advice | None:
    """Return what a reader would run first: the best setting that was measured, or else the first of the commands."""
    trial = report.checks.trial
    if "broken_parent" in severities(report):
        return None
    if trial and trial.more_text and trial.more_text.experiment:
        return Advice(trial.more_text.experiment, trial.more_text.kind)
    if trial and trial.verdict in ("better", "unclear") and trial.best.experiment:
        best = trial.best
        return Advice(best.experiment, "measured", best.ratio, best.low, best.high)
    found = sorted((one for finding in report.diagnosis for one in finding.remedies), key=lambda one: one.order)
    worth = [one for one in found if one.experiment and (one.worth_trying or trial is None)]
    return Advice(worth[0].experiment, worth[0].kind) if worth else None


@dataclass(frozen=True)
class Materials:
    """What the cases need beside the pipeline: damaged copies and foreign texts, each made once."""

    registry: Registry

    @cached_property
    def source(self) -> Path:
        """The embedded model as a checkpoint."""
        planned = self.registry.experiment(BASE, cases()[0].experiment)
        bring(planned, ["model"])
        return Path(facts_of(planned).path)

    def make(self) -> None:
        for name, change in DAMAGES.items():
            target = Path(self.registry.config.models[name].path)
            if not target.exists():
                damage(self.source, target, *change)
        for name, texts in TEXTS.items():
            file = Path(self.registry.config.datasets[name].local)
            if not file.exists():
                write(texts(Path("resources/wheels")), file)


def main() -> None:
    told = parse()
    rows = Rows(KEPT / "cases.jsonl")
    if told.table:
        print(as_markdown(rows.read()))
        return
    registry = Registry(parse_config(*load_merged(CONFIGURATION[0], CONFIGURATION[1:], {})))
    Materials(registry).make()
    # Only now are there fingerprints of what was made.
    bench = Bench(Registry(registry.config), KEPT)
    for case in wanted(told.only, [] if told.again else [row.case for row in rows.read()]):
        row = bench.judge(case)
        rows.add(row)
        print(row.line, flush=True)


def wanted(only: str, known: Collection[Case]) -> Iterator[Case]:
    """Yield the cases whose names match a pattern and that are not known yet."""
    return (case for case in cases() if re.search(only, str(case)) and case not in known)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose {model}/{experiment} matches this pattern")
    parser.add_argument("--again", action="store_true", help="diagnose cases anew that are known")
    parser.add_argument("--table", action="store_true", help="print the table instead of measuring")
    return parser.parse_args()


if __name__ == "__main__":
    main()
