"""Two finished experiments: real report, page and figure of made-up gradients; perplexities are made up too."""

import numpy as np

from diagnosis_data import spec
from diagnosis_data import write_experiment as write_analysis
from prunescope.artifacts.record import StepRecord
from prunescope.diagnosis.report import write_diagnosis
from prunescope.files import read_json, write_json, write_text
from prunescope.reporting.diagnosis_page import write_diagnosis_page
from prunescope.reporting.figures import save_plot

MODEL = "SmolLM2-135M"
START = 1_700_000_000.0
MODEL_STEP = f"results/{MODEL}/_shared/model/source-12345678"
LAYERS = np.arange(30)
ORDINARY = 1.0 + 0.9 * np.exp(-LAYERS / 3) + 0.25 * np.sin(LAYERS * 1.7)
EXTREME = np.where((LAYERS >= 2) & (LAYERS <= 4), ORDINARY / 1000, ORDINARY)
EXPERIMENTS = {
    "taylor_T0_20_wiki": (EXTREME, 0.0, 83.2),
    "taylor_T1_tau0_20_wiki": (ORDINARY, 1.0, 57.3),
}


def write_results(root) -> None:
    """Write ``results/`` of a project with both experiments."""
    write_json(
        root / MODEL_STEP / "model.json",
        {"name": MODEL, "path": "resources/models/SmolLM2-135M", "origin": "made up", "dtype": "float32"},
    )
    for name, (profile, temperature, perplexity) in EXPERIMENTS.items():
        directory = write_analysis(root / "results", name, profile)
        write_diagnosis(spec(directory), directory)
        save_plot("gradient_analysis", directory)
        write_diagnosis_page(directory)
        _finish(directory, temperature, perplexity)


def _finish(directory, temperature: float, perplexity: float) -> None:
    rates = [layer["rate"] for layer in read_json(directory / "analysis/pruning_summary.json")["layers"]]
    metrics = {
        "importance": {"prune/ratio_of_total": 0.2, "prune/max_layer_rate": max(rates)},
        "pruning": {"prune/checkpoint_bytes": 430_515_488},
        "evaluation": {"ppl/wiki_w512": perplexity, "ppl_baseline/wiki_w512": 20.4},
    }
    for step, values in metrics.items():
        StepRecord(
            step=step, key=directory.name, metrics=values, started=START, finished=START + 60, seconds=60.0
        ).write(directory / f"records/{step}.json")
    params = {"dataset": "wiki", "method.criterion": "taylor", "method.temperature": temperature, "method.tau": 0.0}
    write_json(
        directory / "experiment.json",
        {
            "key": f"{MODEL}/{directory.name}-12345678",
            "model": MODEL,
            "experiment": directory.name,
            "params": params,
            "shared": {"model": MODEL_STEP},
        },
    )
    write_text(directory / "README.md", f"# {MODEL} / {directory.name}\n\nPerplexity {perplexity}.\n")
    (directory / "model").mkdir()
