"""A results folder as the pipeline would leave it, made of fixed numbers."""

from pathlib import Path

from prunescope.artifacts.record import StepRecord
from prunescope.files import write_json, write_text

URI = "sqlite:///mlflow.db"
MODEL, NAME = "Tiny", "taylor_T1_tau0_20_wiki"
START = 1_700_000_000.0
RATES = [0.1, None, 0.3, 0.25]
KEYS = {
    "model": "source-cccc3333",
    "calibration": "wiki_n4_s16-aaaa1111",
    "gradients": "wiki_n4_s16-bbbb2222",
}


def write_experiment(
    root: Path, name: str = NAME, key: str = "11112222", ppl: float = 54.6, temperature: float = 1.0
) -> Path:
    """Write one finished experiment and the shared steps it uses; return its folder."""
    directory = root / "results" / MODEL / name
    shared = {step: f"results/{MODEL}/_shared/{step}/{slug}" for step, slug in KEYS.items()}
    about = {
        "key": f"{MODEL}/{name}-{key}",
        "model": MODEL,
        "experiment": name,
        "params": {"dataset": "wiki", "method.criterion": "taylor", "method.temperature": temperature},
        "shared": shared,
    }
    write_json(directory / "experiment.json", about)
    write_records(directory, ppl)
    write_files(directory)
    for step, path in shared.items():
        write_shared(root / path, step)
    return directory


def write_records(directory: Path, ppl: float = 54.6, later: float = 0.0) -> None:
    """Write the records of the experiment's own steps, `later` seconds after the usual time."""
    metrics = {"importance": {}, "diagnosis": {"grad/mean_ratio": 2847.0}, "pruning": {"prune/ratio": 0.2}}
    metrics["evaluation"] = {"ppl/wiki/w512": ppl, "ppl/bad": float("nan")}
    for position, (step, values) in enumerate(metrics.items()):
        started = START + 100 * position + later
        StepRecord(
            step=step,
            key=directory.name,
            metrics=values,
            curves={"prune/rate": RATES} if step == "pruning" else {},
            tags={"device": "cpu"},
            artifacts=["../visualization/extra.txt", "../model/model.safetensors"] if step == "pruning" else [],
            started=started,
            finished=started + 10,
            seconds=10.0,
            peak_memory_bytes=2**20,
            git_sha="0" * 40,
            versions={"torch": "2.13.0"},
        ).write(directory / "records" / f"{step}.json")


def write_files(directory: Path) -> None:
    """Write the files that people open, and a checkpoint."""
    for name in ("analysis/gradient_diagnosis.json", "evaluation/perplexity.json"):
        write_json(directory / name, {})
    write_text(
        directory / "README.md", f"# {directory.name}\n\nPerplexity 54.6.\n![Rates](visualization/pruning_rates.png)\n"
    )
    for name in ("analysis/pruning_summary.csv", "visualization/extra.txt", "model/model.safetensors"):
        write_text(directory / name, "x\n")
    write_text(directory / "visualization/pruning_rates.png", "not really a picture")


def write_shared(directory: Path, step: str) -> None:
    """Write one shared step."""
    record = StepRecord(
        step=step,
        key=directory.name,
        params={"samples": 4},
        metrics={"grad/loss": 2.5} if step == "gradients" else {},
        curves={"grad/layer_norm": [1.0, 2.0]} if step == "gradients" else {},
        started=START - 100,
        finished=START - 50,
        seconds=50.0,
    )
    record.write(directory / "record.json")
    if step == "model":
        facts = {
            "name": MODEL,
            "path": "resources/models/Tiny",
            "origin": "tests",
            "revision": None,
            "dtype": "float32",
        }
        write_json(directory / "model.json", facts)
    if step == "calibration":
        manifest = {"source": "gensim", "revision": None, "documents": 7, "sha256": "f" * 64, "tokens": 64}
        write_json(directory / "manifest.json", manifest)


def write_comparison(root: Path, best: str = NAME, sweep: str = "remedies") -> Path:
    """Write the comparison of a sweep that recommends one experiment; return its folder."""
    directory = root / "results" / MODEL / "comparison" / sweep
    for name in ("comparison.md", "comparison.csv", "perplexity.png", "perplexity.svg"):
        write_text(directory / name, "x\n")
    content = {"recommended": {best: "lowest of 2"}, "experiments": [best, "other"], "sentences": [f"{best} is best."]}
    write_json(directory / "recommendation.json", content)
    StepRecord(step="comparison", key=f"{MODEL}/{sweep}", started=START, finished=START + 1).write(
        directory / "record.json"
    )
    return directory
