"""Training of the adapters by transformers' Trainer: the loss, what is logged while it runs, and where it goes on."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor
from torch.utils.data import Subset, TensorDataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from prunescope.config.sections import Recovery
from prunescope.errors import NonFiniteError, PrunescopeError
from prunescope.models.loading import default_device
from prunescope.models.loss import token_losses
from prunescope.models.memory import out_of_memory
from prunescope.progress import Progress
from prunescope.recovery.state import TrainingState
from prunescope.recovery.text import NOT_LEARNED

log = logging.getLogger(__name__)

POINTS = 200
"""About how many losses are kept of a run."""

SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


@dataclass(frozen=True)
class Point:
    """After how many steps; the mean loss per token, in nats, since the point before; the learning rate then."""

    step: int
    loss: float
    learning_rate: float


@dataclass(frozen=True)
class Training:
    """What a run did.

    Attributes:
        steps: of the optimizer, in all. resumed: after how many of them this process went on.
        tokens: trained on, in all. tokens_per_second: of this process.
        points: the loss over the steps, those before an interruption included.
    """

    steps: int
    resumed: int
    tokens: int
    tokens_per_second: float
    points: list[Point]


def train(
    model: PeftModel, rows: TensorDataset, tokens_per_row: float, told: Recovery, state: TrainingState
) -> Training:
    """Train the adapters of a model in place.

    Args:
        rows: (tokens, labels), int ``[seq_len]`` each, as the text step wrote them. tokens_per_row: without padding.
        state: where the run is saved, and goes on from.

    Raises:
        NonFiniteError: the loss is NaN or infinite.
        PrunescopeError: out of memory.
    """
    rows_per_step = told.batch_size * told.accumulation
    tokens_per_step = round(tokens_per_row * rows_per_step)
    steps = max(1, round(told.tokens / tokens_per_step))
    saved = state.latest()
    if saved:
        log.info("going on from step %s of %s", saved.step, steps)
    if told.checkpointing:
        model.get_base_model().gradient_checkpointing_enable({"use_reentrant": False})
    progress = Progress("recovery", steps * tokens_per_step, "tokens")
    trainer = _RecoveryTrainer(
        model,
        _arguments(told, steps, state.folder),
        data_collator=_collate,
        train_dataset=_in_order(rows, steps * rows_per_step, told.seed),
        callbacks=[_Watch(state, progress, tokens_per_step)],
    )
    trainer.remove_callback(PrinterCallback)
    try:
        trainer.train(resume_from_checkpoint=str(saved.folder) if saved else None)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise PrunescopeError(_too_large(told)) from error
    points = [
        Point(entry["step"], entry["loss"], entry["learning_rate"])
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    return Training(steps, saved.step if saved else 0, steps * tokens_per_step, progress.rate, points)


class _RecoveryTrainer(Trainer):
    """The mean loss of the tokens that are learned, without the logits of a batch ever being there as a whole."""

    def compute_loss(
        self,
        model: PeftModel,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Tensor:
        causal = model.get_base_model()
        # What is padded is at the end, where no token that counts can see it.
        hidden = causal.base_model(input_ids=inputs["input_ids"], use_cache=False).last_hidden_state
        targets = inputs["labels"][:, 1:]
        losses = token_losses(causal.get_output_embeddings(), hidden[:, :-1], targets.clamp(min=0))
        return (losses * (targets != NOT_LEARNED)).sum() / num_items_in_batch


class _Watch(TrainerCallback):
    """Reports loss, learning rate and tokens per second, says when to save, and stops at a loss that is no number."""

    def __init__(self, saving: TrainingState, progress: Progress, tokens_per_step: int) -> None:
        self.saving, self.progress, self.tokens_per_step, self.note = saving, progress, tokens_per_step, ""

    def on_train_begin(self, args, state: TrainerState, control: TrainerControl, **kwargs) -> None:
        self.progress.skip(state.global_step * self.tokens_per_step)

    def on_step_end(self, args, state: TrainerState, control: TrainerControl, **kwargs) -> None:
        self.progress.advance(self.tokens_per_step, self.note)
        if self.saving.due(state.global_step):
            control.should_log = control.should_save = True  # a state is looked at before it is saved

    def on_log(self, args, state: TrainerState, control: TrainerControl, logs: dict[str, float], **kwargs) -> None:
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise NonFiniteError(
                f"the loss is {logs['loss']} at step {state.global_step}; lower recovery.learning_rate, or try "
                "recovery.dtype: float32"
            )
        self.note = f"loss {logs['loss']:.3f}, learning rate {logs['learning_rate']:.1e}"

    def on_save(self, args, state: TrainerState, control: TrainerControl, **kwargs) -> None:
        self.saving.complete(state.global_step)


def _arguments(told: Recovery, steps: int, folder: Path) -> TrainingArguments:
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=told.batch_size,
        gradient_accumulation_steps=told.accumulation,
        learning_rate=told.learning_rate,
        lr_scheduler_type=SCHEDULES[told.schedule],
        warmup_steps=round(told.warmup * steps),
        weight_decay=told.weight_decay,
        seed=told.seed,
        train_sampling_strategy="sequential",  # the rows come in their order
        logging_steps=max(1, steps // POINTS),
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
    random, order = torch.Generator().manual_seed(seed), []
    while len(order) < count:
        order += torch.randperm(len(rows), generator=random).tolist()
    return Subset(rows, order[:count])


def _collate(rows: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Return a batch, cut after the last token that is learned."""
    tokens, labels = (torch.stack(part).long() for part in zip(*rows, strict=True))
    length = int((labels != NOT_LEARNED).any(dim=0).nonzero().max()) + 1
    return {"input_ids": tokens[:, :length], "labels": labels[:, :length]}


def _too_large(told: Recovery) -> str:
    ways = [f"halve recovery.batch_size ({told.batch_size}) and double recovery.accumulation ({told.accumulation})"]
    ways += [] if told.checkpointing else ["set recovery.checkpointing: true"]
    return f"out of memory while training: {' or '.join(ways)}, or lower recovery.seq_len ({told.seq_len})"
