"""The search step: the settings that keep the model closest to the unpruned one on held-out text."""

import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from prunescope.artifacts.folders import ExperimentFolder, GramFolder, ModelFolder, SearchTextFolder
from prunescope.artifacts.search import Found, Search
from prunescope.config.candidates import Deciding
from prunescope.config.names import Name, known_name, rename, without
from prunescope.config.patches import Patch
from prunescope.errors import BudgetError, DataError
from prunescope.evaluation.bootstrap import exponential
from prunescope.search.gauge import Gauge
from prunescope.search.halving import NO_NUMBER, Halving, Tried, best, each_plan_once, importances, ranked
from prunescope.search.knobs import Space
from prunescope.steps.importance import SearchSpec
from prunescope.steps.job import Job
from prunescope.trial.cuts import Scores
from prunescope.trial.measured import BlockRefit, Meter
from prunescope.trial.refitted import RealRefit, RefittedMeter

log = logging.getLogger(__name__)

CONFIRMED = 3
"""Plans that are measured as they will be cut, where many are ranked by something cheaper."""

SearchJob = Job[SearchSpec, ExperimentFolder]


def find_settings(job: SearchJob) -> None:
    """Search, and write the settings that stand, a row per setting that was tried, and what the search rests on.

    Killed and run again, it goes on from what it measured, to the same result.

    Raises:
        DataError: no text is held out beside the windows of the trial, or a file is missing or damaged.
        BudgetError: the ratio cannot be reached by any setting that was tried.
    """
    spec, folder, text = job.spec, job.folder, job.input(SearchTextFolder)
    manifest = text.manifest.read()
    if not manifest.texts:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in manifest.left_out.items())
        raise DataError(
            f"there is no text to search on ({reasons}); give more text, lower trial.samples or calibration.seq_len, "
            "or name an experiment with a criterion"
        )
    told = Deciding.within(spec)
    with job.recording(spec.model_dump(mode="json", include={"trials", "seconds", "seed"})) as record:
        facts = job.input(ModelFolder).ready()
        scores = Scores.read(job, told, facts)
        gauge = Gauge(Meter(text, facts, refit=BlockRefit.of(job)))
        space = Space.of(told, scores.criteria)
        searched = Halving(
            space, scores.cut, partial(space.patch, settings=told), gauge.kl, len(gauge.rungs), spec.seed
        )
        tried = searched.run(space.starts(spec.candidates), spec.trials, spec.seconds)
        outcome = Outcome(tried, space, gauge, last_gauge(job, gauge), spec.experiment)
        search = outcome.search(scores, manifest.left_out, stopped=len(tried) < spec.trials)
        folder.searched.write(outcome.table())
        folder.search.write(search)
        shutil.rmtree(folder.confirming.path, ignore_errors=True)
        record.metrics = metrics(search)
        record.tags |= gauge.meter.tags
    log.info(
        "%d settings were tried, %d of them on all windows; found: %s",
        search.trials, search.whole, search.winner.experiment or search.winner.patch,
    )  # fmt: skip


def last_gauge(job: SearchJob, gauge: Gauge) -> Gauge:
    """Return what measures the best plans as they will be cut: what measured all of them, if nothing is refitted."""
    refit = job.spec.refit
    if refit is None:
        return gauge
    gram = job.input(GramFolder)
    windows, scratch = gram.samples.read()["input_ids"], job.folder.confirming.path
    real = RealRefit(gram.path.name, windows, refit.ridge, refit.dtype, scratch)
    return Gauge(RefittedMeter.after(gauge.meter, real), at_once=True)


@dataclass(frozen=True)
class Outcome:
    """What came of a search.

    Attributes:
        tried: all settings. gauge: what they were ranked by. last: what the best of them are measured by in the end.
        experiment: the name of the experiment, which leaves them open.
    """

    tried: Sequence[Tried]
    space: Space
    gauge: Gauge
    last: Gauge
    experiment: str

    def search(self, scores: Scores, left_out: Mapping[str, str], stopped: bool) -> Search:
        """Return what the search found.

        Raises:
            BudgetError: nothing was measured.
        """
        rungs = len(self.gauge.rungs)
        start = best((one for one in self.tried if one.start), rungs)
        found = self._confirmed([*ranked(self.tried, rungs)[:CONFIRMED], *([start] if start else [])])
        if not found:
            reason = self.tried[0].reason or NO_NUMBER
            raise BudgetError(f"none of {len(self.tried)} settings can be kept: {reason}")
        winner, *others = found
        if start is None or not math.isfinite(self._kl(start)):
            start = winner
        assert winner.cut and start.cut
        return Search(
            **dict(scores.changed(winner.patch)),
            winner=self._found(winner),
            runner_up=self._found(others[0]) if others else None,
            start=self._found(start),
            gain=self.last.gain(winner.cut.plan, start.cut.plan),
            trials=len(self.tried),
            impossible=sum(bool(one.reason) for one in self.tried),
            whole=sum(len(one.values) == rungs for one in self.tried),
            stopped=stopped,
            fixed=list(self.space.fixed),
            rungs=list(self.gauge.rungs),
            importance=importances(self.tried, self.space),
            texts=self.gauge.texts(),
            left_out=dict(left_out),
        )

    def _confirmed(self, some: Sequence[Tried]) -> list[Tried]:
        """Return settings, each plan once, the best first as they will be cut."""
        return sorted((one for one in each_plan_once(some) if math.isfinite(self._kl(one))), key=self._kl)

    def _kl(self, one: Tried) -> float:
        """Return what decides between the best: KL as they will be cut."""
        assert one.cut
        return self.last.kl({one.cut.digest: one.cut.plan}, len(self.last.rungs) - 1)[one.cut.digest]

    def _found(self, one: Tried) -> Found:
        assert one.cut
        texts = self.last.closeness(one.cut.plan)
        name = plain_name(self.experiment, one.patch)
        return Found(
            trial=one.number,
            patch=one.patch,
            experiment=str(name) if name else None,
            plan=one.cut.digest,
            kl=self._kl(one),
            **({} if self.last is self.gauge else {"ranked_kl": one.values[-1]}),
            ratio=exponential(fmean(np.log(found.ratio) for found in texts.values())),
            texts=texts,
        )

    def table(self) -> pd.DataFrame:
        """Return a row per setting, see `artifacts.tables.SEARCH`."""
        rows: list[dict[str, Any]] = []
        for one in self.tried:
            row: dict[str, Any] = {"trial": one.number, "start": one.start}
            row |= {knob.path: knob.cell(one.places[knob.path]) for knob in self.space.knobs}
            row["plan"] = one.cut.digest if one.cut else ""
            for rung, windows in enumerate(self.gauge.rungs):
                row[f"kl_{windows}"] = one.values[rung] if rung < len(one.values) else np.nan
            rows.append(row | {"reason": one.reason})
        return pd.DataFrame(rows)


def plain_name(experiment: str, patch: Patch) -> Name | None:
    """Return the name of an experiment with settings in place of `auto`; None where no name can say them."""
    name = known_name(experiment)
    return rename(without(name, "search.trials"), patch) if name else None


def metrics(search: Search) -> dict[str, float]:
    """Return what tracking shows."""
    ranked_kl = search.winner.ranked_kl
    return ({} if ranked_kl is None else {"search/ranked_kl": ranked_kl}) | {
        "search/kl": search.winner.kl,
        "search/ratio": search.winner.ratio,
        "search/gain": search.gain.ratio,
        "search/trials": search.trials,
        "search/whole": search.whole,
        "search/impossible": search.impossible,
    }
