"""How the forms of a pruned model compare with what they must compute, and the table of that."""

from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table
from torch import Tensor

from prunescope.config.sections import Closeness
from prunescope.errors import PrunescopeError
from prunescope.export.agreement import compare_logits
from prunescope.pruning.proof import TOLERANCE, logit_difference

Status = Literal["equal", "close", "DIFFERS", "not checked"]

COLOURS = {"equal": "green", "close": "green", "DIFFERS": "red", "not checked": "yellow"}


class CannotCheckError(PrunescopeError):
    """The logits of a form cannot be computed on this machine, which says nothing about the form."""


@dataclass(frozen=True)
class Check:
    """How one form did on one text.

    Attributes:
        numbers: for the table: tokens, difference, allowed difference, share of equal next tokens.
        reason: why there are no logits.
    """

    form: str
    text: str
    status: Status
    numbers: tuple[str, str, str, str] = ("", "", "", "")
    reason: str = ""

    @property
    def passed(self) -> bool:
        return self.status in ("equal", "close")

    @property
    def failed(self) -> bool:
        return self.status == "DIFFERS"


def check_logits(form: str, text: str, found: Tensor, wanted: Tensor, limits: Closeness | None) -> Check:
    """Compare logits, float32 ``[n, tokens, vocab]``.

    Args:
        limits: of a form that rounds; None: the largest difference must be within `TOLERANCE`.
    """
    if limits:
        result = compare_logits(wanted.flatten(0, 1), found.flatten(0, 1))
        passed, agreement = result.within(limits), result.top1
        figure, allowed = f"KL {result.kl:.1e}", f"KL {limits.max_kl:g}, {limits.min_agreement:.0%}"
    else:
        difference = logit_difference(found, wanted)
        passed, agreement = difference <= TOLERANCE, (found.argmax(-1) == wanted.argmax(-1)).float().mean().item()
        figure, allowed = f"{difference:.1e}", f"{TOLERANCE:g}"
    status: Status = "DIFFERS" if not passed else "close" if limits else "equal"
    return Check(form, text, status, (str(found[..., 0].numel()), figure, allowed, f"{agreement:.1%}"))


def print_checks(checks: list[Check]) -> None:
    """Print the checks as a table."""
    table = Table("form", "text", "tokens", "difference", "allowed", "next token", "")
    for check in checks:
        table.add_row(check.form, check.text, *check.numbers, f"[{COLOURS[check.status]}]{check.status}[/]")
    console = Console()
    console.print(table)
    console.print(
        "Difference: the largest of any logit from the masked parent's, in standard deviations of the logits; of "
        "GGUF files the mean KL divergence in nats, since they round."
    )
    for check in checks:
        if check.reason:
            said = check.reason if check.failed else f"{check.status}: {check.reason}"
            console.print(f"{check.form}: {said}", style=COLOURS[check.status], markup=False)
