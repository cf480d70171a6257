"""What is measured of the pruned model, and its fine-tuning."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from prunescope.config.protocols import Protocol
from prunescope.config.sections.base import Dtype, GgufType, LocalPath, ProtocolName, Rate, Section

Count = Annotated[int, Field(ge=1)]
Prompt = Annotated[str, Field(min_length=1)]


class Zeroshot(Section):
    """Zero-shot tasks through lm-evaluation-harness (`make` installs it)."""

    tasks: tuple[str, ...] = Field(
        ("boolq", "piqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa"),
        min_length=1,
        description="Names of tasks in the harness or in `task_dir`; most read their data from the hub.",
    )
    limit: int | None = Field(None, ge=1, description="Use only this many first questions of a task; null: all.")
    batch_size: int = Field(8, ge=1, description="Requests per forward pass.")
    num_fewshot: int | None = Field(None, ge=0, description="Examples in the prompt; null: what the task says.")
    task_dir: LocalPath | None = Field(
        None,
        description="Folder with your own task files (YAML and what they name, relative to it); they win over those "
        "of the harness. A task file can run code.",
    )


class Efficiency(Section):
    """Speed, memory and size of the pruned and the unpruned model, measured in turn in one process."""

    prompt: int = Field(512, ge=1, description="Tokens of the prompt.")
    generate: int = Field(64, ge=1, description="Tokens decoded after the prompt.")
    batch_sizes: tuple[Count, ...] = Field((1, 4), min_length=1, description="Sequences at a time.")
    repeats: int = Field(5, ge=1, description="Timed runs per model and batch size, after one that is not timed.")
    gguf: tuple[GgufType, ...] = Field(
        (),
        description="GGUF types to measure too, for both models, with llama.cpp on the CPU; they are exported first "
        "(`pip install -c requirements.lock -e '.[gguf]'`).",
        examples=[["q8_0"]],
    )

    @field_validator("batch_sizes")
    @classmethod
    def _in_one_order(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(sizes)))


class Words(Section):
    """Prompts that the unpruned, the pruned and the trained model go on with, always by the most likely token."""

    prompts: tuple[Prompt, ...] = Field(
        ("The capital of France is", "Once upon a time, there was a", "To make a cup of tea, first"),
        min_length=1,
        description="How texts begin, for a base and an instruct model alike: no chat template is put around them.",
    )
    tokens: int = Field(24, ge=1, le=256, description="New tokens per prompt, at most.")


class Recovery(Section):
    """Training of the pruned model, by LoRA (`make` installs peft for it) or of its output projections."""

    enabled: bool = Field(False, description="Whether to train; `recover` in a name switches it on.")
    loss: Literal["ce", "kl", "ce_kl"] = Field(
        "ce",
        description="`ce`: cross-entropy; `kl`: KL divergence from the unpruned model, which computes beside the "
        "pruned one; `ce_kl`: both.",
    )
    kl_weight: float = Field(2.0, gt=0, description="Weight of KL beside cross-entropy, under `ce_kl`.")
    train: Literal["lora", "projections"] = Field(
        "lora",
        description="`lora`: adapters, merged at the end; `projections`: the o and down weights of all layers, in "
        "float32.",
    )
    dataset: str | None = Field(
        None,
        description="Text or instruction data whose calibration split to train on; null: the experiment's dataset.",
    )
    tokens: int = Field(20_000_000, ge=1, description="Tokens to train on, whole steps; a short text is repeated.")
    seq_len: int = Field(1024, ge=8, description="Tokens per window of text; at most, per example.")
    batch_size: int = Field(4, ge=1, description="Windows in memory at a time.")
    accumulation: int = Field(4, ge=1, description="Batches per step of the optimizer.")
    rank: int = Field(16, ge=1, description="Rank of the adapters; every linear layer but the head has one.")
    alpha: float = Field(32, gt=0, description="Adapters are scaled by alpha / rank.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.05, description="Dropout at the input of the adapters.")
    learning_rate: float = Field(2e-4, gt=0, description="Peak learning rate of AdamW, for adapters.")
    projections_learning_rate: float = Field(3e-4, gt=0, description="The same, for `train: projections`.")
    warmup: Rate = Field(0.05, description="Share of the steps in which the learning rate rises to its peak.")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="Learning rate after the warmup.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay of what is trained.")
    seed: int = Field(0, ge=0, description="Seed of the documents, their order, the adapters and the dropout.")
    dtype: Dtype = Field(
        "auto",
        description="Dtype to compute in (what is trained is float32); auto: bfloat16 on hardware that has it, else "
        "float32.",
    )
    checkpointing: bool = Field(True, description="Recompute activations: less memory, a third more time.")

    @property
    def distils(self) -> bool:
        """Whether the unpruned model computes beside the pruned one."""
        return self.loss != "ce"

    @property
    def peak_rate(self) -> float:
        """The peak learning rate of what is trained."""
        return self.learning_rate if self.train == "lora" else self.projections_learning_rate


class Evaluation(Section):
    """Perplexity before and after pruning and, on request, zero-shot tasks and efficiency."""

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
        description="Tokens per text and protocol, spread evenly over the split; more than it has: all of them.",
    )
    dtype: Dtype = Field("auto", description="Compute dtype; auto: bfloat16 on a GPU that has it, else float32.")
    words: Words | None = Field(
        Words(),
        description="Prompts, to see what the models write. null: none; a model that its device cannot hold is left "
        "out.",
    )
    zeroshot: Zeroshot | None = Field(
        None, description="Zero-shot tasks. null: none, since they need lm-eval and the hub; `{}`: the defaults."
    )
    efficiency: Efficiency | None = Field(
        None, description="Speed, memory and size. null: none, since times need a quiet machine; `{}`: the defaults."
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

    @field_validator("datasets")
    @classmethod
    def _each_once(cls, datasets: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(datasets)))

    @property
    def longest_window(self) -> int:
        """The longest window of any protocol, in tokens."""
        return max(Protocol.parse(name).window for name in self.protocols)
