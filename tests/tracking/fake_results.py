"""A results folder as the pipeline would leave it, made of fixed numbers."""

from pathlib import Path

from prunescope.artifacts.diagnosis import Recommendation
from prunescope.artifacts.facts import KINDS, BlockFacts, ModelFacts
from prunescope.artifacts.folders import (
    CalibrationFolder,
    ComparisonFolder,
    ExperimentFolder,
    GradientsFolder,
    ModelFolder,
)
from prunescope.artifacts.identity import Identity
from prunescope.artifacts.manifests import CalibrationManifest
from prunescope.artifacts.record import StepRecord
from prunescope.config.sections import Method, Settings
from prunescope.files import write_text

URI = "sqlite:///mlflow.db"
MODEL, NAME = "Tiny", "taylor_T1_tau0_20_wiki"
START = 1_700_000_000.0
RATES = [0.1, None, 0.3, 0.25]
KEYS = {
    "model": "source-cccc3333",
    "calibration": "wiki_n4_s16-aaaa1111",
    "gradients": "wiki_n4_s16-bbbb2222",
}
STEPS = ("importance", "diagnosis", "pruning", "evaluation")
FACTS = ModelFacts(
    name=MODEL,
    path="resources/models/Tiny",
    origin="tests",
    revision=None,
    model_type="llama",
    dtype="float32",
    context=64,
    layers=4,
    total_parameters=1000,
    decoder_parameters=800,
    blocks=tuple(BlockFacts(layer, kind, groups=1, cost=1, overhead=0) for layer in range(4) for kind in KINDS),
)
MANIFEST = CalibrationManifest(
    source="gensim",
    revision=None,
    documents=7,
    sha256="f" * 64,
    tokens=64,
    samples=4,
    seq_len=16,
    seed=0,
    bos=False,
    texts={},
)


def write_experiment(
    root: Path, name: str = NAME, key: str = "11112222", ppl: float = 54.6, temperature: float = 1.0
) -> Path:
    """Write one finished experiment and the shared steps it uses; return its folder."""
    folder = ExperimentFolder(root / "results" / MODEL / name)
    write_identity(folder.path, key, temperature)
    write_records(folder.path, ppl)
    write_files(folder)
    for kind in (ModelFolder, CalibrationFolder, GradientsFolder):
        write_shared(kind(root / kind.of(MODEL, KEYS[kind.step])))
    return folder.path


def write_identity(directory: Path, key: str = "11112222", temperature: float = 1.0, **changed) -> None:
    """Write what the experiment is; `changed`: other fields, such as `steps`."""
    told = {
        "key": f"{MODEL}/{directory.name}-{key}",
        "model": MODEL,
        "experiment": directory.name,
        "steps": {step: record_key(directory, step) for step in STEPS},
        "dataset": "wiki",
        "settings": Settings(method=Method(temperature=temperature)),
        "shared": KEYS,
        "params": {"dataset": "wiki", "method.criterion": "taylor", "method.temperature": temperature},
    }
    ExperimentFolder(directory).identity.write(Identity(**told | changed))


def record_key(directory: Path, step: str) -> str:
    return f"{directory.name}-{step}"


def write_record(directory: Path, step: str, **changed) -> None:
    """Write the record of a step of the experiment; `changed`: its fields."""
    record = StepRecord(
        step=step, **{"key": record_key(directory, step), "started": START, "finished": START} | changed
    )
    ExperimentFolder(directory).named(ExperimentFolder.record, step=step).write(record)


def write_records(directory: Path, ppl: float = 54.6, later: float = 0.0) -> None:
    """Write the records of the experiment's own steps, `later` seconds after the usual time."""
    metrics = {"importance": {}, "diagnosis": {"grad/mean_ratio": 2847.0}, "pruning": {"prune/ratio": 0.2}}
    metrics["evaluation"] = {"ppl/wiki/w512": ppl, "ppl/bad": float("nan")}
    for position, (step, values) in enumerate(metrics.items()):
        started = START + 100 * position + later
        write_record(
            directory,
            step,
            metrics=values,
            curves={"prune/rate": RATES} if step == "pruning" else {},
            tags={"device": "cpu"},
            started=started,
            finished=started + 10,
            seconds=10.0,
            peak_memory_bytes=2**20,
            git_sha="0" * 40,
            versions={"torch": "2.13.0"},
        )


def write_files(folder: ExperimentFolder) -> None:
    """Write what people open, with any content, and beside it what they do not."""
    folder.page.write(f"# {folder.path.name}\n\nPerplexity 54.6.\n![Rates](visualization/pruning_rates.png)\n")
    figures = [folder.named(file, plot="pruning_rates") for file in (ExperimentFolder.figure, ExperimentFolder.vector)]
    for entry in (folder.diagnosis, folder.perplexity, folder.rates, folder.table, folder.html, *figures):
        write_text(entry.path, "x\n")
    for entry in (folder.checkpoint, folder.recovered):
        entry.path.mkdir(exist_ok=True)
        write_text(entry.path / "model.safetensors", "x\n")
        write_text(entry.path / "README.md", "x\n")


def write_shared(folder: ModelFolder | CalibrationFolder | GradientsFolder) -> None:
    """Write one shared step."""
    record = StepRecord(
        step=folder.step,
        key=folder.path.name,
        params={"samples": 4},
        metrics={"grad/loss": 2.5} if folder.step == "gradients" else {},
        curves={"grad/layer_norm": [1.0, 2.0]} if folder.step == "gradients" else {},
        started=START - 100,
        finished=START - 50,
        seconds=50.0,
    )
    folder.record.write(record)
    if isinstance(folder, ModelFolder):
        folder.facts.write(FACTS)
    if isinstance(folder, CalibrationFolder):
        folder.manifest.write(MANIFEST)


def write_comparison(root: Path, best: str = NAME, sweep: str = "remedies") -> Path:
    """Write the comparison of a sweep that recommends one experiment; return its folder."""
    folder = ComparisonFolder(root / "results" / MODEL / "comparison" / sweep)
    for entry in (folder.page, folder.table, folder.html, folder.perplexity, folder.perplexity_vector):
        write_text(entry.path, "x\n")
    said = {"recommended": {best: "lowest of 2"}, "experiments": [best, "other"], "sentences": [f"{best} is best."]}
    folder.recommendation.write(Recommendation(**said))
    folder.record.write(StepRecord(step="comparison", key=f"{MODEL}/{sweep}", started=START, finished=START + 1))
    return folder.path
