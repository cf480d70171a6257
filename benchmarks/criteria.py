"""Which cut hurts least? Every criterion with every prior, with and without a rate limit, over calibration seeds.

    snakemake --cores all --configfile config/study.yaml -- \\
        results/Study-135M/{taylor_T1_tau0_20_wiki,seed1,seed2}/analysis/plan.json
    python benchmarks/criteria.py           # about two and a half hours on two cores; goes on where it was stopped
    python benchmarks/criteria.py --table   # what there is so far, as Markdown

Each cut is written as a checkpoint, loaded and evaluated on the windows of `config/study.yaml`. Cuts that turn out
equal are evaluated once.
"""

import argparse
import hashlib
import json
import math
import tempfile
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TypeVar

import pandas as pd
import torch
import yaml

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.folders import (
    EvaluationTextFolder,
    GradientsFolder,
    ModelFolder,
    RemovalFolder,
    SharedFolder,
)
from prunescope.artifacts.plan import PruningPlan
from prunescope.config.patches import merge
from prunescope.config.protocols import Protocol
from prunescope.config.resolve import parse_config
from prunescope.config.sections import Limits, Method
from prunescope.criteria import CRITERIA
from prunescope.errors import PrunescopeError
from prunescope.evaluation.perplexity import measure_losses
from prunescope.importance.decision import scores_of
from prunescope.importance.prior import choose_prior
from prunescope.importance.selection import select
from prunescope.importance.table import build_table
from prunescope.models.loading import load_checkpoint
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.steps.planned import Planned
from prunescope.steps.registry import Registry

Shared = TypeVar("Shared", bound=SharedFolder)

MODEL, WINDOWS = "Study-135M", "wiki/w512"
SEEDS = {0: "taylor_T1_tau0_20_wiki", 1: "seed1", 2: "seed2"}
PRIORS = {
    "T0": {},
    "T1": {"temperature": 1},
    "layer-wise": {"temperature": 1, "tau": "inf"},
    "share": {"combine": "share"},
}
MAX_RATES = (None, 0.5)
RATIO = 0.2
RESULTS = Path("results/Study-135M/criteria.jsonl")


@dataclass(frozen=True)
class Cut:
    """One cell of the table, for one seed."""

    seed: int
    criterion: str
    prior: str
    max_rate: float | None

    def plan(self, planned: Planned, facts: ModelFacts) -> PruningPlan:
        """Select what goes.

        Raises:
            ConfigError: the ratio cannot be reached under the limit (whole layers know no rate).
        """
        method = Method(criterion=self.criterion, ratio=RATIO, **PRIORS[self.prior])
        saliency = scores_of(folder_of(planned, GradientsFolder), self.criterion)
        losses = folder_of(planned, RemovalFolder).losses.read() if method.needs_prior else None
        prior = choose_prior(losses, method.tau) if losses else None
        table = build_table(facts.blocks, saliency, prior, method)
        limits = Limits(max_rate=self.max_rate)
        return select(table, facts, method.ratio, limits, CRITERIA[self.criterion].unit).plan


def folder_of(planned: Planned, kind: type[Shared]) -> Shared:
    """Return the folder of a shared step of an experiment."""
    return kind(Path(planned.tasks[kind.step].folder))


def cuts() -> list[Cut]:
    """Return all cuts, those first that differ least from the plain one: no limit, T = 0 or share, first seed."""
    every = [Cut(*cell) for cell in product(SEEDS, CRITERIA, PRIORS, MAX_RATES)]
    return sorted(
        every, key=lambda cut: (cut.seed > 0) + (cut.max_rate is not None) + (cut.prior in ("T1", "layer-wise"))
    )


def digest(plan: PruningPlan) -> str:
    """Return what tells one cut from another."""
    state = hashlib.sha256()
    for block in plan.blocks:
        state.update(f"{block.facts.layer}.{block.facts.block}:".encode() + block.removed.tobytes())
    return state.hexdigest()[:16]


def evaluate(plan: PruningPlan, facts: ModelFacts, windows: torch.Tensor) -> float:
    """Return the perplexity of the checkpoint that a plan makes."""
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(facts, plan, Path(folder) / "model")
        model = load_checkpoint(Path(folder) / "model", torch.float32, torch.device("cpu"))
        return math.exp(measure_losses(model, windows, Protocol(windows.shape[1])).mean)


def run() -> None:
    """Evaluate every cut that is not in `RESULTS` yet."""
    contents = [yaml.safe_load(Path(f"config/{name}.yaml").read_text()) for name in ("config", "study")]
    registry = Registry(parse_config(merge(*contents)))
    experiments = {seed: registry.experiment(MODEL, name) for seed, name in SEEDS.items()}
    facts = folder_of(experiments[0], ModelFolder).ready()
    windows = folder_of(experiments[0], EvaluationTextFolder).windows.read()[WINDOWS]
    rows = read_rows()
    known = {row["cut"]: row["perplexity"] for row in rows}
    done = {(row["seed"], row["criterion"], row["prior"], row["max_rate"]) for row in rows}
    for cut in cuts():
        if tuple(asdict(cut).values()) in done:
            continue
        try:
            plan = cut.plan(experiments[cut.seed], facts)
        except PrunescopeError as error:
            print(cut, error, flush=True)
            continue
        name = digest(plan)
        if name not in known:
            known[name] = evaluate(plan, facts, windows)
        row = asdict(cut) | {"cut": name, "perplexity": known[name]}
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


def read_rows() -> list[dict]:
    """Read what was measured before."""
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.is_file() else []


def print_table() -> None:
    """Print a table per limit, a row per criterion, best first: means over the seeds, and ranges where they differ."""
    rows = pd.DataFrame(read_rows())
    for limit, found in rows.groupby("max_rate", dropna=False):
        print("\nno limit" if pd.isna(limit) else f"\nmax_rate: {limit:g}")
        means = found.groupby(["criterion", "prior"])["perplexity"].mean()
        cells = found.groupby(["criterion", "prior"])["perplexity"].agg(_cell).unstack()[list(PRIORS)]
        print(f"| criterion | {' | '.join(PRIORS)} |")
        print(f"| --- | {' | '.join('---:' for _ in PRIORS)} |")
        for criterion in means.groupby("criterion").min().sort_values().index:
            print(f"| `{criterion}` | {' | '.join(cells.loc[criterion].fillna(''))} |")


def _cell(values: pd.Series) -> str:
    if values.nunique() == 1:
        return f"{values.mean():,.1f}"
    return f"{values.mean():,.1f} ({values.min():,.1f}-{values.max():,.1f})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="print the table instead of measuring")
    print_table() if parser.parse_args().table else run()
