"""Two finished experiments: real report, page and figure of made-up gradients; perplexities are made up too."""

from pathlib import Path

import numpy as np

from diagnosis_data import spec, write_diagnosis
from diagnosis_data import write_experiment as write_analysis
from prunescope.artifacts.facts import KINDS, BlockFacts, ModelFacts
from prunescope.artifacts.folders import ExperimentFolder, ModelFolder
from prunescope.artifacts.identity import Identity
from prunescope.artifacts.record import StepRecord
from prunescope.config.sections import Method, Settings
from prunescope.reporting.diagnosis_page import write_diagnosis_page
from prunescope.reporting.figures import draw

MODEL = "SmolLM2-135M"
START = 1_700_000_000.0
LAYERS = np.arange(30)
ORDINARY = 1.0 + 0.9 * np.exp(-LAYERS / 3) + 0.25 * np.sin(LAYERS * 1.7)
EXTREME = np.where((LAYERS >= 2) & (LAYERS <= 4), ORDINARY / 1000, ORDINARY)
EXPERIMENTS = {
    "taylor_T0_20_wiki": (EXTREME, 0.0, 83.2),
    "taylor_T1_tau0_20_wiki": (ORDINARY, 1.0, 57.3),
}
KEYS = {"model": "source-12345678"}
FACTS = ModelFacts(
    name=MODEL,
    path=f"resources/models/{MODEL}",
    origin="made up",
    revision=None,
    model_type="llama",
    dtype="float32",
    context=8192,
    layers=30,
    total_parameters=134_515_008,
    decoder_parameters=106_204_032,
    blocks=tuple(BlockFacts(layer, kind, groups=1, cost=1, overhead=0) for layer in range(30) for kind in KINDS),
)


def write_results(root: Path) -> None:
    """Write ``results/`` of a project with both experiments."""
    ModelFolder(root / ModelFolder.of(MODEL, KEYS["model"])).facts.write(FACTS)
    for name, (profile, temperature, perplexity) in EXPERIMENTS.items():
        folder = ExperimentFolder(write_analysis(root / "results", name, profile))
        write_diagnosis(spec(folder.path), folder.path)
        draw(folder, "gradient_analysis")
        write_diagnosis_page(folder)
        _finish(folder, temperature, perplexity)


def _finish(folder: ExperimentFolder, temperature: float, perplexity: float) -> None:
    name = folder.path.name
    highest = max(layer.rate for layer in folder.summary.read().layers)
    metrics = {
        "importance": {"prune/ratio_of_total": 0.2, "prune/max_layer_rate": highest},
        "pruning": {"prune/checkpoint_bytes": 430_515_488},
        "evaluation": {"ppl/wiki_w512": perplexity, "ppl_baseline/wiki_w512": 20.4},
    }
    steps = {step: f"{name}-{step}" for step in metrics}
    for step, values in metrics.items():
        told = {"step": step, "key": steps[step], "metrics": values}
        record = StepRecord(**told, started=START, finished=START + 60, seconds=60.0)
        folder.named(ExperimentFolder.record, step=step).write(record)
    diagnosed = folder.named(ExperimentFolder.record, step="diagnosis").read()
    settings = {
        "dataset": "wiki",
        "method.ratio": 0.2,
        "method.criterion": "taylor",
        "method.temperature": temperature,
        "method.tau": 0.0,
    }
    identity = Identity(
        key=f"{MODEL}/{name}-12345678",
        model=MODEL,
        experiment=name,
        steps=steps | {"diagnosis": diagnosed.key},
        dataset="wiki",
        settings=Settings(method=Method(temperature=temperature, tau=0.0)),
        shared=KEYS,
        params=settings,
    )
    folder.identity.write(identity)
    folder.page.write(f"# {MODEL} / {name}\n\nPerplexity {perplexity}.\n")
    folder.checkpoint.path.mkdir()
