"""Training by transformers' Trainer: the loss, what is logged while it runs, and where it goes on."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from prunescope.artifacts.record import StepRecord
from prunescope.config.sections import Recovery
from prunescope.errors import NonFiniteError, PrunescopeError
from prunescope.models.loading import default_device
from prunescope.models.memory import out_of_memory
from prunescope.progress import Progress
from prunescope.recovery.objective import Objective
from prunescope.recovery.state import TrainingState
from prunescope.recovery.text import NOT_LEARNED
from prunescope.recovery.trained import Student

log = logging.getLogger(__name__)

POINTS = 200
"""About how many losses are kept of a run."""

SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


@dataclass(frozen=True)
class Course:
    """How long and how fast a model is trained.

    Attributes:
        name: of its metrics, `{name}/loss` and so on.
        section, rate_setting: of the configuration, where its settings are, and the name there of `learning_rate`.
        steps: of the optimizer. tokens_per_step: of the text, on average.
        batch_size: windows in memory at a time. accumulation: batches per step.
        less_memory: what a person can do when there is not enough.
    """

    name: str
    section: str
    rate_setting: str
    steps: int
    tokens_per_step: int
    batch_size: int
    accumulation: int
    learning_rate: float
    schedule: str
    warmup: float
    weight_decay: float
    seed: int
    checkpointing: bool
    less_memory: str

    @classmethod
    def of(cls, told: Recovery, tokens_per_row: float) -> "Course":
        """Return the course that the section `recovery` tells."""
        tokens_per_step = round(tokens_per_row * told.batch_size * told.accumulation)
        less = f"halve recovery.batch_size ({told.batch_size}) and double recovery.accumulation ({told.accumulation})"
        less += "" if told.checkpointing else " or set recovery.checkpointing: true"
        return cls(
            name="recover",
            section="recovery",
            rate_setting="learning_rate" if told.train == "lora" else "projections_learning_rate",
            steps=max(1, round(told.tokens / tokens_per_step)),
            tokens_per_step=tokens_per_step,
            batch_size=told.batch_size,
            accumulation=told.accumulation,
            learning_rate=told.peak_rate,
            schedule=told.schedule,
            warmup=told.warmup,
            weight_decay=told.weight_decay,
            seed=told.seed,
            checkpointing=told.checkpointing,
            less_memory=f"{less}, or lower recovery.seq_len ({told.seq_len})",
        )

    @property
    def tokens(self) -> int:
        return self.steps * self.tokens_per_step

    @property
    def rows(self) -> int:
        return self.steps * self.batch_size * self.accumulation


def train(
    student: Student,
    objective: Objective,
    rows: TensorDataset,
    course: Course,
    state: TrainingState,
    record: StepRecord,
) -> None:
    """Train the parameters of a student in place.

    Args:
        rows: tokens and labels, int ``[windows, tokens]``.
        state: where the run is saved, and goes on from.
        record: takes the counts, which include the steps before an interruption except for the tokens per second, and
            the course of learning rate and losses (mean per token, in nats).

    Raises:
        NonFiniteError: the loss is NaN or infinite.
        PrunescopeError: out of memory.
    """
    saved = state.latest()
    if saved:
        log.info("going on from step %s of %s", saved, course.steps)
    if course.checkpointing:
        student.model.gradient_checkpointing_enable({"use_reentrant": False})
    progress = Progress(record.step, course.tokens, "tokens")
    trainer = _Trainer(
        student,
        _arguments(course, state.folder),
        data_collator=_collate,
        train_dataset=_in_order(rows, course.rows, course.seed),
        callbacks=[_Watch(state, progress, course)],
    )
    trainer.objective = objective
    trainer.remove_callback(PrinterCallback)
    try:
        trainer.train(resume_from_checkpoint=str(state.at(saved)) if saved else None)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise PrunescopeError(f"out of memory while training: {course.less_memory}") from error
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    for name in ("loss", "ce", "kl", "learning_rate"):
        if name in logged[-1]:
            record.histories[f"{course.name}/{name}"] = [(entry["step"], entry[name]) for entry in logged]
    record.metrics |= {
        f"{course.name}/final_loss": logged[-1]["loss"],
        f"{course.name}/tokens": course.tokens,
        f"{course.name}/tokens_per_second": round(progress.rate, 1),
        f"{course.name}/steps": course.steps,
        f"{course.name}/resumed_from_step": saved,
    }


class _Trainer(Trainer):
    """The mean loss of the tokens that are learned, without the logits of a batch ever being there as a whole.

    Attributes:
        objective: what is made small. parts: sums of its parts since they were logged, and of the tokens behind them.
    """

    objective: Objective
    parts: dict[str, Tensor | float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parts = {}

    def compute_loss(
        self,
        model: Student,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Tensor:
        # What is padded is at the end, where no token that counts can see it.
        learned = inputs["labels"] != NOT_LEARNED
        losses, parts = self.objective.losses(model, inputs["input_ids"], inputs["labels"].clamp(min=0))
        for name, values in (parts | {"tokens": learned}).items():
            self.parts[name] = self.parts.get(name, 0.0) + (values * learned).sum()
        return (losses * learned).sum() / num_items_in_batch

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the mean of each part to what is logged of a stretch of steps."""
        if "loss" in logs:
            tokens = self.parts.pop("tokens")
            logs |= {name: float(total / tokens) for name, total in self.parts.items()}
            self.parts.clear()
        super().log(logs, start_time)


class _Watch(TrainerCallback):
    """Reports loss, learning rate and tokens per second, says when to save, and stops at a loss that is no number."""

    def __init__(self, saving: TrainingState, progress: Progress, course: Course) -> None:
        self.saving, self.progress, self.course, self.note = saving, progress, course, ""

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.progress.skip(state.global_step * self.course.tokens_per_step)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.progress.advance(self.course.tokens_per_step, self.note)
        if self.saving.due(state.global_step):
            control.should_log = control.should_save = True  # a state is looked at before it is saved

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: dict[str, float], **kwargs: Any
    ) -> None:
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise NonFiniteError(
                f"the loss is {logs['loss']} at step {state.global_step}; lower "
                f"{self.course.section}.{self.course.rate_setting}, or try {self.course.section}.dtype: float32"
            )
        self.note = f"loss {logs['loss']:.3f}, learning rate {logs['learning_rate']:.1e}"

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.saving.complete(state.global_step)


def _arguments(told: Course, folder: Path) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=told.steps,
        per_device_train_batch_size=told.batch_size,
        gradient_accumulation_steps=told.accumulation,
        learning_rate=told.learning_rate,
        lr_scheduler_type=SCHEDULES[told.schedule],
        warmup_steps=round(told.warmup * told.steps),
        weight_decay=told.weight_decay,
        seed=told.seed,
        train_sampling_strategy="sequential",  # the rows come in their order
        logging_steps=max(1, told.steps // POINTS),
        logging_nan_inf_filter=False,
        save_strategy="no",  # `_Watch` says when
        save_total_limit=2,  # one is complete while the other is written
        use_cpu=default_device().type == "cpu",
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # a step has one GPU; on more, Trainer would split batches
    return arguments


def _in_order(rows: TensorDataset, count: int, seed: int) -> Subset:
    """Return `count` rows: all of them in random order, then all in another, and so on."""
    random, order = torch.Generator().manual_seed(seed), list[int]()
    while len(order) < count:
        order += torch.randperm(len(rows), generator=random).tolist()
    return Subset(rows, order[:count])


def _collate(rows: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Return a batch, with the label of the next token at each position, up to the last one that is learned."""
    tokens, labels = (torch.stack(part).long() for part in zip(*rows, strict=True))
    length = max(1, int((labels != NOT_LEARNED).any(dim=0).nonzero().max()))
    return {"input_ids": tokens[:, :length], "labels": labels[:, 1 : length + 1]}
