"""Does the ranking of plans that are refitted cheaply agree with that of plans that are refitted for real?

    snakemake --cores all results/SmolLM2-135M/gate_T0_20_wiki_max50_refit
    python benchmarks/ranking.py SmolLM2-135M gate_T0_20_wiki_max50_refit              # all plans of its trial
    python benchmarks/ranking.py SmolLM2-135M gate_T0_20_wiki_max50_refit --plans 6

Of plans of an experiment's trial, spread over the ranking by plain cuts, it measures KL(unpruned || pruned) on the
windows of the trial: as plain cuts, with each block refitted to what it loses itself (what trial and search rank by),
and refitted as the checkpoint is. It prints a row per plan, the rank correlations with the last, and what the first of
each ranking leaves. A refit takes about two forward passes over its text. Killed and run again, it goes on.
"""

import argparse
import logging
from pathlib import Path
from tempfile import gettempdir

import numpy as np
from numpy import ndarray

from prunescope.artifacts.folders import GramFolder, ModelFolder, TrialTextFolder
from prunescope.artifacts.plan import PruningPlan
from prunescope.config.files import CONFIG_FILE, load_merged
from prunescope.config.resolve import parse_config
from prunescope.diagnosis.trials import TrialJob, decide, situation
from prunescope.errors import ConfigError
from prunescope.markdown import table
from prunescope.ranks import rank_correlation
from prunescope.search.gauge import mean_kl
from prunescope.steps.importance import RefitTold
from prunescope.steps.job import Job
from prunescope.steps.planned import Planned
from prunescope.steps.registry import Registry
from prunescope.trial.cuts import Cut
from prunescope.trial.measured import BlockRefit, Meter
from prunescope.trial.refitted import RealRefit, RefittedMeter

WAYS = ("plain cut", "blocks refitted", "refit")
"""How a plan is measured; the last is what a checkpoint is."""


def measure(planned: Planned, count: int | None) -> tuple[list[str], ndarray]:
    """Return the names of plans, those with the lowest KL as plain cuts first, and KL by each of `WAYS`.

    Args:
        count: of plans, evenly spread over the ranking by plain cuts; None: all.

    Raises:
        ConfigError: the experiment is not refitted, or tries no other settings.
        DataError: a file is missing; the experiment has not run as far as its trial.
    """
    told = RefitTold.of(planned.experiment.settings.repair.refit)
    if told is None or "trial" not in planned.tasks:
        raise ConfigError(f"{planned.experiment.name} is not refitted, or has no trial")
    task = planned.tasks["trial"]
    job: TrialJob = Job.of(task.step, task.spec, Path(task.folder))
    text, facts, gram = job.input(TrialTextFolder), job.input(ModelFolder).ready(), job.input(GramFolder)
    names, plans = tried(job)
    plain = Meter(text, facts)
    far = kl(plain, plans)
    order = sorted(far, key=lambda digest: far[digest])
    chosen = np.unique(np.linspace(0, len(order) - 1, count or len(order)).round().astype(int))
    order = [order[place] for place in chosen]
    windows = gram.samples.read()["input_ids"]
    real = RealRefit(gram.path.name, windows, told.ridge, told.dtype, Path(gettempdir(), f"ranking-{gram.path.name}"))
    meter = RefittedMeter.after(plain, real)
    blocks = kl(Meter(text, facts, refit=BlockRefit.of(job)), {digest: plans[digest] for digest in order})
    whole = {digest: kl(meter, {digest: plans[digest]})[digest] for digest in order}  # each is kept when it is done
    found = (far, blocks, whole)
    return [names[digest] for digest in order], np.array([[one[digest] for one in found] for digest in order])


def tried(job: TrialJob) -> tuple[dict[str, str], dict[str, PruningPlan]]:
    """Return names and plans of what the trial tried, by digest."""
    decided = decide(job, situation(job), job.input(ModelFolder).ready()).decided
    cuts = [(proposal.label or job.spec.experiment, cut) for proposal, cut in reversed(decided) if isinstance(cut, Cut)]
    return {cut.digest: name for name, cut in cuts}, {cut.digest: cut.plan for _, cut in cuts}


def kl(meter: Meter, plans: dict[str, PruningPlan]) -> dict[str, float]:
    """Return KL(unpruned || pruned) of plans, by digest, the mean of the texts."""
    found = meter.measure(plans)
    return {digest: mean_kl(found[digest]) for digest in plans}


def report(names: list[str], values: ndarray) -> str:
    """Return the table and what follows from it."""
    rows = [(f"`{name}`", *(f"{value:.4f}" for value in row)) for name, row in zip(names, values, strict=True)]
    said = [table(("plan", *WAYS), rows, "l" + "r" * len(WAYS))]
    real = values[:, -1]
    for way, column in zip(WAYS[:-1], values.T, strict=False):
        agrees, best = rank_correlation(column, real), column.argmin()
        spearman = "unknown" if agrees is None else f"{agrees:.3f}"
        place = 1 + int((real < real[best]).sum())
        said.append(
            f"By {way}: Spearman {spearman} with the refit; the first has KL {real[best]:.4f} after it, {place} of "
            f"{len(real)} (the best {real.min():.4f})."
        )
    return "\n\n".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("experiment", help="with `refit` in its name; it must have run as far as its trial")
    parser.add_argument("--plans", type=int, help="how many, evenly spread over the ranking by plain cuts")
    parser.add_argument("--configfile", type=Path, nargs="*", default=[], help="as given to snakemake")
    told = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    registry = Registry(parse_config(*load_merged(CONFIG_FILE, told.configfile, {})))
    print(report(*measure(registry.experiment(told.model, told.experiment), told.plans)))


if __name__ == "__main__":
    main()
