"""Prove that what was written computes what the plan says: its logits against those of the masked model."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file
from torch import Tensor

from prunescope.errors import DataError, PrunescopeError
from prunescope.files import read_json
from prunescope.models.adapter import adapter_for
from prunescope.models.facts import ModelFacts
from prunescope.models.loading import default_device, load_checkpoint, load_config
from prunescope.pruning import logits_alone
from prunescope.pruning.plan import PruningPlan
from prunescope.pruning.surgery import mask_model

Named = dict[str, Tensor]
"""Tensors by the name of a text: windows, int64 ``[n, tokens]``, or logits, float32 ``[n, tokens, vocab]``."""

WINDOWS, TOKENS = 2, 128
RANDOM = "random tokens"


@dataclass(frozen=True)
class Form:
    """A form in which the pruned model lies on disk.

    Attributes:
        name: for the table. place: its file or folder, relative to the experiment's.
        logits: computes them, given that place and the windows.
        tolerance: how far a logit may be off, in standard deviations of the logits.
    """

    name: str
    place: str
    logits: Callable[[Path, Named], Named]
    tolerance: float


@dataclass(frozen=True)
class Check:
    """How one form did on one text.

    Attributes:
        difference: the largest of any logit, in standard deviations of the logits.
        agreement: share of the positions where both expect the same next token.
        failure: why there are no logits at all.
    """

    form: str
    text: str
    tokens: int = 0
    difference: float = float("nan")
    agreement: float = float("nan")
    tolerance: float = 0.0
    failure: str | None = None

    @property
    def passed(self) -> bool:
        return self.difference <= self.tolerance


def verify(directory: Path) -> list[Check]:
    """Compare every form of an experiment's pruned model with its parent, masked by ``analysis/plan.json``.

    In float32, because bfloat16 hides what is to be found: there two correct models differ by half a standard
    deviation. It takes 4 bytes of memory per parameter of the parent.

    Raises:
        DataError: the parent is gone, or nothing is there to verify.
    """
    shared = read_json(directory / "experiment.json")["shared"]
    facts = ModelFacts.read(Path(shared["model"]) / "model.json")
    plan = PruningPlan.read(directory / "analysis/plan.json", facts)
    forms = [form for form in FORMS if (directory / form.place).exists()]
    if not forms:
        places = ", ".join(form.place for form in FORMS)
        raise DataError(f"{directory} has nothing to verify ({places}); run its pruning step first")
    windows = fixed_windows(load_config(facts.path).vocab_size, Path(shared["evaluation_text"], "windows.safetensors"))
    wanted = masked_logits(facts, plan, windows)
    return [check for form in forms for check in check_form(form, directory / form.place, windows, wanted)]


def fixed_windows(vocabulary: int, texts: Path) -> Named:
    """Return random tokens and, of every evaluation text, the first windows; the same at every call."""
    windows = {RANDOM: torch.randint(vocabulary, (WINDOWS, TOKENS), generator=torch.Generator().manual_seed(0))}
    for name, rows in sorted(load_file(texts).items()) if texts.is_file() else ():
        windows.setdefault(name.split("/")[0], rows[:WINDOWS, :TOKENS].long())
    return windows


@torch.no_grad()
def masked_logits(facts: ModelFacts, plan: PruningPlan, windows: Named) -> Named:
    """Return the logits of the parent with what the plan removes zeroed: nothing of the pruned model is used."""
    model = load_checkpoint(facts.path, torch.float32, default_device())
    mask_model(model, adapter_for(model), plan)
    device = next(model.parameters()).device
    return {
        name: torch.cat([model(row[None].to(device)).logits.cpu() for row in rows]) for name, rows in windows.items()
    }


def check_form(form: Form, place: Path, windows: Named, wanted: Named) -> Iterator[Check]:
    """Yield how one form did on each text."""
    try:
        found = form.logits(place, windows)
    except PrunescopeError as error:
        yield Check(form.name, "-", failure=str(error))
        return
    for text, reference in wanted.items():
        yield Check(
            form.name,
            text,
            tokens=windows[text].numel(),
            difference=((found[text] - reference).abs().max() / reference.std()).item(),
            agreement=(found[text].argmax(-1) == reference.argmax(-1)).float().mean().item(),
            tolerance=form.tolerance,
        )


def logits_of_checkpoint(place: Path, windows: Named) -> Named:
    """Return the logits of a checkpoint, loaded in a fresh process that cannot import this package.

    Raises:
        PrunescopeError: it does not load or run.
    """
    with TemporaryDirectory() as folder:
        files = Path(folder, "windows.safetensors"), Path(folder, "logits.safetensors")
        save_file({name: rows.contiguous() for name, rows in windows.items()}, files[0])
        done = subprocess.run(
            [sys.executable, "-I", logits_alone.__file__, place.resolve(), *files],
            env=os.environ | {"HF_MODULES_CACHE": folder, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise PrunescopeError(f"{place} does not run with transformers alone: {reason}")
        return load_file(files[1])


FORMS = (Form("transformers", "model", logits_of_checkpoint, 1e-3),)


def print_checks(checks: list[Check]) -> None:
    """Print the checks as a table."""
    table = Table("form", "text", "tokens", "difference", "allowed", "next token", "")
    for check in checks:
        numbers = (str(check.tokens), f"{check.difference:.1e}", f"{check.tolerance:g}", f"{check.agreement:.1%}")
        verdict = "[green]equal[/]" if check.passed else "[red]DIFFERS[/]"
        table.add_row(check.form, check.text, *(numbers if not check.failure else [""] * len(numbers)), verdict)
    console = Console()
    console.print(table)
    console.print(
        "Difference: the largest of any logit from the masked parent's, in standard deviations of the logits."
    )
    for check in checks:
        if check.failure:
            console.print(f"{check.form}: {check.failure}", style="red", markup=False)
