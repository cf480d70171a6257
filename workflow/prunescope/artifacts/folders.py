"""The folders of ``results/`` and their files: each file is named once, here."""

from pathlib import Path
from typing import Any, ClassVar, TypeVar

from prunescope.artifacts.files import Entry, File, Folder
from prunescope.artifacts.formats import AnyJson, Arrays, Opaque, Table, Tensors, Text

RESULTS = "results"
COMPARISON = "comparison"
"""Folder of a model's sweeps, beside those of its experiments."""


class Resources(Folder):
    """What was downloaded."""

    pattern = "resources"
    wheel = File("wheels/{wheel}.whl", Opaque(), step="wheel", about="a wheel from PyPI, checked by SHA-256")
    corpus = File("corpora/{name}-{hash}.v1.jsonl", Opaque(), step="corpus", about="the documents of an embedded text")


class SharedFolder(Folder):
    """What a shared step leaves: ``results/{model}/_shared/{step}/{key}``."""

    pattern = f"{RESULTS}/{{model}}/_shared/{{step}}/{{key}}"
    key = File("key.json", AnyJson(), about="all that the result depends on", always=False)
    record = File("record.json", AnyJson(), about="what the step did")
    benchmark = File("benchmark.tsv", Text(), about="Snakemake's measurement of time and memory", always=False)

    def __init_subclass__(cls, step: str) -> None:
        cls.step = step
        cls.pattern = f"{RESULTS}/{{model}}/_shared/{step}/{{key}}"
        for name, file in SharedFolder.files().items():
            own = File(file.path, file.format, about=file.about, always=file.always)
            setattr(cls, name, own)
            own.__set_name__(cls, name)

    @classmethod
    def of(cls, model: str, key: str) -> str:
        """Return the path of the folder of a key, relative to the project."""
        return f"{RESULTS}/{model}/_shared/{cls.step}/{key}"


class ModelFolder(SharedFolder, step="model"):
    facts = File("model.json", AnyJson(), about="the model's groups, and where its checkpoint is")


class CalibrationFolder(SharedFolder, step="calibration"):
    samples = File("samples.safetensors", Tensors("`input_ids`, int32 `[samples, seq_len]`: full windows, no BOS"))
    manifest = File("manifest.json", AnyJson(), about="where the tokens come from")


class GradientsFolder(SharedFolder, step="gradients"):
    saliency = File("saliency.safetensors", Arrays("float32 `[groups]` under `{criterion}/{layer}.{block}`"))
    statistics = File("gradient_statistics.json", AnyJson(), about="|g| by parameter, batch and layer")
    stability = File("stability.json", AnyJson(), about="whether two halves of the calibration set rank alike")
    timing = File("timing.json", AnyJson(), about="what the pass took, and how it kept its evidence")


class RemovalFolder(SharedFolder, step="removal"):
    losses = File("block_importance.json", AnyJson(), about="loss increase without each block and layer")
    similarity = File("similarity.json", AnyJson(), about="1 - cosine of the residual stream", always=False)


class EvaluationTextFolder(SharedFolder, step="evaluation_text"):
    windows = File("windows.safetensors", Tensors("int32 token ids under `{dataset}/{protocol}`"))
    manifest = File("manifest.json", AnyJson(), about="where the tokens come from")


class BaselineFolder(SharedFolder, step="baseline"):
    perplexity = File("perplexity.json", AnyJson(), about="of the unpruned model")
    losses = File("losses.parquet", Table(dataset="", protocol="", window="", tokens="", loss="summed, in nats"))


class ZeroshotBaselineFolder(SharedFolder, step="zeroshot_baseline"):
    scores = File("zeroshot.json", AnyJson(), about="scores of the unpruned model")


class GgufBaselineFolder(SharedFolder, step="gguf_baseline"):
    gguf = File("gguf", Opaque(), about="the unpruned model as GGUF, in the types that are measured")


class RecoveryTextFolder(SharedFolder, step="recovery_text"):
    samples = File("samples.safetensors", Tensors("`input_ids` and `labels`, int32 `[rows, seq_len]`"))
    manifest = File("manifest.json", AnyJson(), about="where the tokens come from")


S = TypeVar("S", bound=SharedFolder)


class ExperimentFolder(Folder):
    """What people open: ``results/{model}/{experiment}``."""

    pattern = f"{RESULTS}/{{model}}/{{experiment}}"

    page = File("README.md", Text(), "page", "one page: settings, perplexity, findings, pictures, how to load")
    html = File("README.html", Text(), "page", "the same with the pictures inside")
    config = File("config.yaml", Text(), "page", "every setting as it was resolved")
    identity = File("experiment.json", AnyJson(), "page", "the same for programs")
    tracked = File("mlflow.json", AnyJson(), "track", "where its row in MLflow is")

    table = File("analysis/importance_table.parquet", Table(), "importance", "a row per group")
    plan = File("analysis/plan.json", AnyJson(), "importance", "what is cut")
    summary = File("analysis/pruning_summary.json", AnyJson(), "importance", "rates by layer, and in total")
    rates = File("analysis/pruning_summary.csv", Table(), "importance", "rates by layer")
    statistics = File("analysis/gradient_statistics.json", AnyJson(), "importance", "|g| by parameter and layer")
    stability = File("analysis/stability.json", AnyJson(), "importance", "whether two halves rank alike")
    diagnosis = File("analysis/gradient_diagnosis.json", AnyJson(), "diagnosis", "the report")
    diagnosis_page = File("analysis/diagnosis.html", Text(), "page", "the report as a page that stands alone")

    figure = File("visualization/{plot}.png", Opaque(), "plot", "a figure")
    vector = File("visualization/{plot}.svg", Opaque(), "plot", "the same for print")
    before_after = File("visualization/before_after.png", Opaque(), "before_after", "its rates beside the reference's")
    before_after_vector = File("visualization/before_after.svg", Opaque(), "before_after", "the same for print")

    checkpoint = File("model", Opaque(), "pruning", "the pruned checkpoint")
    perplexity = File("evaluation/perplexity.json", AnyJson(), "evaluation", "before and after")
    windows = File("evaluation/windows.parquet", Table(), "evaluation", "a row per window")
    card = File("evaluation/card.json", AnyJson(), "page", "what must be the same to compare")
    recovered = File("recovered", Opaque(), "recovery", "the checkpoint that was trained after pruning")
    recovered_perplexity = File(
        "evaluation/recovered.json", AnyJson(), "recovered", "perplexity of the trained model too"
    )
    recovered_windows = File("evaluation/recovered.parquet", Table(), "recovered", "a row per window")
    zeroshot = File("evaluation/zeroshot.json", AnyJson(), "zeroshot", "scores of the tasks")
    efficiency = File("evaluation/efficiency.json", AnyJson(), "efficiency", "speed, memory and size")

    gguf = File("export/gguf/{type}.gguf", Opaque(), "gguf", "for llama.cpp")
    uniform = File("export/uniform", Opaque(), "uniform", "padded with zeros, for stock transformers")
    record = File("records/{step}.json", AnyJson(), "(each step)", "what a step did")

    @classmethod
    def of(cls, model: str, experiment: str) -> "ExperimentFolder":
        """Return the folder of an experiment, relative to the project."""
        return cls(Path(RESULTS, model, experiment))

    def shared(self, kind: type[S], key: str) -> S:
        """Return the folder of a shared step of the same model."""
        return kind(self.path.parent / "_shared" / kind.step / key)

    def records(self) -> "list[Entry[Any]]":
        """Return the records that are there, those of exports included."""
        pattern = ExperimentFolder.record.path.format(step="*")
        return [Entry(ExperimentFolder.record, path) for path in sorted(self.path.glob(pattern))]


def _figure(name: str, about: str) -> tuple[File[Path], File[Path]]:
    return File(f"{name}.png", Opaque(), about=about), File(f"{name}.svg", Opaque(), about="the same for print")


class ComparisonFolder(Folder):
    """The experiments of a sweep side by side: ``results/{model}/comparison/{sweep}``."""

    pattern: ClassVar[str] = f"{RESULTS}/{{model}}/{COMPARISON}/{{sweep}}"
    step = "comparison"

    table = File("comparison.csv", Table(), about="a row per experiment, and one for the unpruned model")
    page = File("comparison.md", Text(), about="the same with what it means")
    html = File("comparison.html", Text(), about="the page with its figures inside")
    recommendation = File("recommendation.json", AnyJson(), about="which experiment to take, and why")
    perplexity, perplexity_vector = _figure("perplexity", "perplexity against ratio, with the Pareto front")
    rates, rates_vector = _figure("pruning_rates", "rates layer by layer")
    kept, kept_vector = _figure("kept_groups", "which groups the experiments share")
    gradients, gradients_vector = _figure("gradient_profiles", "gradients layer by layer")
    record = File("record.json", AnyJson(), about="what the step did")
    tracked = File("mlflow.json", AnyJson(), "track_comparison", "where its row in MLflow is")
