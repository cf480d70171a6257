"""What training makes small: cross-entropy, KL divergence from the unpruned model, or both."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from prunescope.config.sections import Recovery
from prunescope.models.loss import Head, distillation_losses, token_losses
from prunescope.recovery.trained import Student


@dataclass(frozen=True)
class Teacher:
    """The unpruned model.

    Attributes:
        states: maps token ids ``[batch, tokens]`` to what its head reads, ``[batch, tokens, d]``, without a gradient.
        head: maps those to logits.
    """

    states: Callable[[Tensor], Tensor]
    head: Head


@dataclass(frozen=True)
class Objective:
    """``ce * CE + kl * KL(unpruned || pruned)`` of each position, over the whole vocabulary, in nats.

    Attributes:
        teacher: None where only cross-entropy counts.
    """

    ce: float = 1.0
    kl: float = 0.0
    teacher: Teacher | None = None

    @classmethod
    def of(cls, told: Recovery, teacher: Teacher | None) -> "Objective":
        weights = {"ce": (1.0, 0.0), "kl": (0.0, 1.0), "ce_kl": (1.0, told.kl_weight)}
        return cls(*weights[told.loss], teacher)

    def losses(self, student: Student, input_ids: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of every position, at least float32, and its parts by name where there is a teacher.

        The logits of a batch never exist as a whole; the parts have no gradient.

        Args:
            input_ids, targets: int64 ``[batch, tokens]``.
        """
        hidden = student(input_ids)
        if self.teacher is None:
            return token_losses(student.head, hidden, targets), {}
        dense = self.teacher.states(input_ids)
        total, ce, kl = distillation_losses(student.head, hidden, targets, self.teacher.head, dense, self.ce, self.kl)
        return total, {"ce": ce, "kl": kl}
