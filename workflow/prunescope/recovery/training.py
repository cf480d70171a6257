"""Training of the adapters by transformers' Trainer: the loss, what is logged while it runs, and where it goes on."""

import logging
import math
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from torch.utils.data import Subset, TensorDataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from prunescope.artifacts.folders import RecoveryTextFolder
from prunescope.artifacts.record import StepRecord
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


def train(model: PeftModel, text: RecoveryTextFolder, told: Recovery, state: TrainingState, record: StepRecord) -> None:
    """Train the adapters of a model in place.

    Args:
        state: where the run is saved, and goes on from.
        record: takes the counts, which include the steps before an interruption except for the tokens per second, and
            the course of learning rate and loss (mean per token, in nats).

    Raises:
        NonFiniteError: the loss is NaN or infinite.
        PrunescopeError: out of memory.
    """
    samples = text.samples.read()
    rows, rows_per_step = TensorDataset(samples["input_ids"], samples["labels"]), told.batch_size * told.accumulation
    tokens_per_step = round(text.manifest.read().tokens / len(rows) * rows_per_step)
    steps = max(1, round(told.tokens / tokens_per_step))
    saved = state.latest()
    if saved:
        log.info("going on from step %s of %s", saved, steps)
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
        trainer.train(resume_from_checkpoint=str(state.at(saved)) if saved else None)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        ways = f"halve recovery.batch_size ({told.batch_size}) and double recovery.accumulation ({told.accumulation})"
        ways += "" if told.checkpointing else " or set recovery.checkpointing: true"
        raise PrunescopeError(
            f"out of memory while training: {ways}, or lower recovery.seq_len ({told.seq_len})"
        ) from error
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    for name in ("loss", "learning_rate"):
        record.histories[f"recover/{name}"] = [(entry["step"], entry[name]) for entry in logged]
    record.metrics |= {
        "recover/final_loss": logged[-1]["loss"],
        "recover/tokens": steps * tokens_per_step,
        "recover/tokens_per_second": round(progress.rate, 1),
        "recover/steps": steps,
        "recover/resumed_from_step": saved,
    }


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

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.progress.skip(state.global_step * self.tokens_per_step)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.progress.advance(self.tokens_per_step, self.note)
        if self.saving.due(state.global_step):
            control.should_log = control.should_save = True  # a state is looked at before it is saved

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: dict[str, float], **kwargs: Any
    ) -> None:
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise NonFiniteError(
                f"the loss is {logs['loss']} at step {state.global_step}; lower recovery.learning_rate, or try "
                "recovery.dtype: float32"
            )
        self.note = f"loss {logs['loss']:.3f}, learning rate {logs['learning_rate']:.1e}"

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
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
    random, order = torch.Generator().manual_seed(seed), list[int]()
    while len(order) < count:
        order += torch.randperm(len(rows), generator=random).tolist()
    return Subset(rows, order[:count])


def _collate(rows: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Return a batch, cut after the last token that is learned."""
    tokens, labels = (torch.stack(part).long() for part in zip(*rows, strict=True))
    length = int((labels != NOT_LEARNED).any(dim=0).nonzero().max()) + 1
    return {"input_ids": tokens[:, :length], "labels": labels[:, :length]}
