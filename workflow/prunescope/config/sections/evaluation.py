"""What is measured of the pruned model, and its training."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from prunescope.config.protocols import Protocol
from prunescope.config.sections.base import Dtype, GgufType, ProtocolName, Rate, Section


class Zeroshot(Section):
    """Zero-shot tasks through lm-evaluation-harness (`make` installs it)."""

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
        "(`pip install -c requirements.lock -e '.[gguf]'`).",
        examples=[["q8_0"]],
    )

    @field_validator("batch_sizes")
    @classmethod
    def _in_one_order(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(sizes)))


class Recovery(Section):
    """LoRA fine-tuning of the pruned model, merged into its weights (`make` installs peft for it)."""

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
    dtype: Dtype = Field(
        "auto", description="Compute dtype; auto: bfloat16 on a GPU that computes in it, else float32."
    )
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

    @field_validator("datasets")
    @classmethod
    def _each_once(cls, datasets: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(datasets)))

    @property
    def longest_window(self) -> int:
        """The longest window of any protocol, in tokens."""
        return max(Protocol.parse(name).window for name in self.protocols)
