"""What does each lever of docs/quality.md give? A table of experiments, over calibration seeds.

    python benchmarks/quality.py                  # all cells; goes on where it was stopped
    python benchmarks/quality.py --only refit     # the rows that have this word in their name
    python benchmarks/quality.py --table          # what there is so far, as Markdown

Every cell is an experiment of the pipeline under `benchmarks/quality.yaml`. By hand it is

    snakemake --cores all --configfile benchmarks/quality.yaml -- results/SmolLM2-135M/gate_T0_20_wiki_n128_max50_refit
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean

from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.measured import BASELINE, PRUNED, RECOVERED
from prunescope.artifacts.perplexity import Results
from prunescope.markdown import table

RESULTS, OVERLAY = Path("results/SmolLM2-135M"), "benchmarks/quality.yaml"
TEXTS = ("wiki", "hansard")
TRAINED = ("recover", "recover_projections", "recover_kl_projections", "recover_cekl_projections", "recover_cekl")
REPAIRED = "refit_scales"
TOGETHER = (REPAIRED, *(f"{REPAIRED}_{way}" for way in TRAINED[:2]))
LEVERS = ("", "refit", REPAIRED, "uniform", "uniform_refit", *(f"refit_{way}" for way in TRAINED))


@dataclass(frozen=True)
class Row:
    """A row of the table: what is removed, in percent, what is done about it, and calibration windows of 128 tokens."""

    percent: int
    lever: str
    samples: int = 128

    def experiment(self, seed: int) -> str:
        """Return the name of the experiment with another calibration text."""
        limit = "max50" if self.percent <= 30 else "max60"
        options = [f"n{self.samples}", f"seed{seed}" if seed else "", limit, self.lever]
        return "_".join([f"gate_T0_{self.percent}_wiki", *filter(None, options)])


def rows(only: str) -> list[Row]:
    """Return the rows, those first that are asked about most."""
    texts = product((20,), ("", "refit", *TOGETHER), (512, 32, 2048))
    uniform = ((20, f"uniform_{lever}", 512) for lever in TOGETHER)
    others = product((30, 10, 40), ("", "refit", *TOGETHER), (512,))
    every = [*(Row(20, lever) for lever in LEVERS), *(Row(*cell) for cell in (*texts, *uniform, *others))]
    return [row for row in every if only in row.experiment(0)]


def run(wanted: Iterable[str]) -> int:
    """Run what is not there yet; return the exit status."""
    targets = [f"{RESULTS}/{name}" for name in wanted]
    return subprocess.call(["snakemake", "--cores", "all", "--configfile", OVERLAY, "--", *targets])


def measured(experiment: str) -> tuple[Results, Results] | None:
    """Return the perplexities of the unpruned model, and of the one that an experiment ends with, if it is done."""
    folder = ExperimentFolder(RESULTS / experiment)
    for file, name in ((folder.recovered, RECOVERED), (folder.perplexity, PRUNED)):
        if file.exists():
            found = file.read()
            return getattr(found, BASELINE), getattr(found, name)
        if name == RECOVERED and "recover" in experiment:
            return None
    return None


def cells(row: Row, seeds: int) -> list[str] | None:
    """Return a row: mean and range over the seeds by text, and each mean as a multiple of the unpruned model's."""
    found = [one for one in (measured(row.experiment(seed)) for seed in range(seeds)) if one]
    if not found:
        return None
    values = {text: [pruned[text]["w512"].perplexity for _, pruned in found] for text in TEXTS}
    ratios = {text: fmean(values[text]) / found[0][0][text]["w512"].perplexity for text in TEXTS}
    shown = [f"{fmean(one):.1f}" + _range(one) for one in values.values()]
    return [f"`{row.experiment(0)}`", *shown, *(f"x {ratios[text]:.2f}" for text in TEXTS), str(len(found))]


def _range(values: list[float]) -> str:
    return f" ({min(values):.1f}-{max(values):.1f})" if len(values) > 1 else ""


def print_table(wanted: Iterable[Row], seeds: int) -> None:
    """Print what was measured, as Markdown."""
    header = ["experiment", *TEXTS, *(f"{text}, to unpruned" for text in TEXTS), "seeds"]
    print(table(header, [one for one in (cells(row, seeds) for row in wanted) if one], "lrrrrr"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="the rows whose names hold this")
    parser.add_argument("--seeds", type=int, default=3, help="how many calibration texts")
    parser.add_argument("--table", action="store_true", help="print the table instead of measuring")
    told = parser.parse_args()
    status = 0 if told.table else run(row.experiment(seed) for seed in range(told.seeds) for row in rows(told.only))
    print_table(rows(told.only), told.seeds)
    sys.exit(status)
