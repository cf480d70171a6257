"""Prove that what was written computes what the plan says: its logits against those of the masked model."""

import os
import signal
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

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.plan import PruningPlan
from prunescope.config.sections import GGUF_TYPES, Closeness, GgufExport
from prunescope.errors import DataError, PrunescopeError
from prunescope.export import llama_cpp, logits_alone
from prunescope.export.agreement import compare_logits
from prunescope.files import read_json
from prunescope.models.adapter import adapter_for
from prunescope.models.loading import device_for, load_checkpoint, load_config
from prunescope.models.memory import NO_HOST_MEMORY, release
from prunescope.models.weights import check_shards
from prunescope.pruning.surgery import mask_model
from prunescope.steps.planned import RECOVERED
from prunescope.steps.specs import GgufSpec

Named = dict[str, Tensor]
"""Tensors by the name of a text: windows, int64 ``[n, tokens]``, or logits, float32 ``[n, tokens, vocab]``."""

WINDOWS, TOKENS = 2, 128
RANDOM = "random tokens"
EXPORTED = "export/"
TOLERANCE = 1e-3
"""Of a form that computes the same, in standard deviations of the logits."""


@dataclass(frozen=True)
class Verdict:
    """How logits compare with those wanted: a figure beside what is allowed, as text for the table.

    Attributes:
        agreement: share of the positions where both expect the same next token.
        word: for one that passed.
    """

    figure: str
    allowed: str
    agreement: float
    passed: bool
    word: str = "equal"


Judge = Callable[[Tensor, Tensor], Verdict]
"""Compares logits found and wanted, float32 ``[n, tokens, vocab]``."""


@dataclass(frozen=True)
class Form:
    """A form in which the pruned model lies on disk.

    Attributes:
        name: for the table. place: its file or folder, relative to the experiment's.
        logits: computes them, given that place and the windows.
        judge: compares them with the masked parent's.
    """

    name: str
    place: str
    logits: Callable[[Path, Named], Named]
    judge: Judge


@dataclass(frozen=True)
class Check:
    """How one form did on one text.

    Attributes:
        failure: why there are no logits at all. unchecked: why they could not be asked for.
    """

    form: str
    text: str
    tokens: int = 0
    verdict: Verdict | None = None
    failure: str | None = None
    unchecked: str | None = None

    @property
    def passed(self) -> bool:
        return self.verdict is not None and self.verdict.passed

    @property
    def failed(self) -> bool:
        return not self.passed and self.unchecked is None


class NoMemoryError(PrunescopeError):
    """There is not the memory to compute the logits of a form, which says nothing about it."""


def verify(directory: Path, gguf: GgufExport) -> list[Check]:
    """Compare every form of an experiment's pruned model with its parent, masked by ``analysis/plan.json``.

    Exports of a model that was trained after pruning are compared with what was trained.

    In float32, because bfloat16 hides what is to be found: there two correct models differ by half a standard
    deviation. It takes 4 bytes of memory per parameter of the parent, of the host where the device has less.

    Args:
        gguf: how close GGUF files must be, by type.

    Raises:
        DataError: the parent is gone, or nothing is there to verify.
    """
    about = read_json(directory / "experiment.json")
    shared = about["shared"]
    facts = ModelFacts.read(Path(shared["model"]) / "model.json")
    plan = PruningPlan.read(directory / "analysis/plan.json", facts)
    forms = [form for form in all_forms(gguf) if (directory / form.place).exists()]
    if not forms:
        raise DataError(f"{directory} has nothing to verify (no model, no export); run its pruning step first")
    windows = fixed_windows(load_config(facts.path).vocab_size, Path(shared["evaluation_text"], "windows.safetensors"))
    masked = exported = masked_logits(facts, plan, windows)
    release()  # forms are computed by other processes
    if RECOVERED in about.get("steps", ()) and any(form.place.startswith(EXPORTED) for form in forms):
        exported = logits_of_checkpoint(directory / RECOVERED, windows)
    return [
        check
        for form in forms
        for check in check_form(
            form, directory / form.place, windows, exported if form.place.startswith(EXPORTED) else masked
        )
    ]


def fixed_windows(vocabulary: int, texts: Path) -> Named:
    """Return random tokens and, of every evaluation text, the first windows; the same at every call."""
    windows = {RANDOM: torch.randint(vocabulary, (WINDOWS, TOKENS), generator=torch.Generator().manual_seed(0))}
    for name, rows in sorted(load_file(texts).items()) if texts.is_file() else ():
        windows.setdefault(name.split("/")[0], rows[:WINDOWS, :TOKENS].long())
    return windows


@torch.no_grad()
def masked_logits(facts: ModelFacts, plan: PruningPlan, windows: Named) -> Named:
    """Return the logits of the parent with what the plan removes zeroed: nothing of the pruned model is used."""
    device = device_for(facts.total_parameters * torch.float32.itemsize)
    model = load_checkpoint(facts.path, torch.float32, device)
    mask_model(model, adapter_for(model), plan)
    return {
        name: torch.cat([model(row[None].to(device)).logits.cpu() for row in rows]) for name, rows in windows.items()
    }


def check_form(form: Form, place: Path, windows: Named, wanted: Named) -> Iterator[Check]:
    """Yield how one form did on each text."""
    try:
        found = form.logits(place, windows)
    except (llama_cpp.NotInstalledError, NoMemoryError) as error:
        yield Check(form.name, "-", unchecked=str(error))
        return
    except PrunescopeError as error:
        yield Check(form.name, "-", failure=str(error))
        return
    for text, logits in found.items():
        yield Check(form.name, text, windows[text].numel(), form.judge(logits, wanted[text]))


def within(tolerance: float) -> Judge:
    """Return what judges a form that computes the same: by the largest difference, in standard deviations."""

    def judge(found: Tensor, wanted: Tensor) -> Verdict:
        difference = ((found - wanted).abs().max() / wanted.std()).item()
        agreement = (found.argmax(-1) == wanted.argmax(-1)).float().mean().item()
        return Verdict(f"{difference:.1e}", f"{tolerance:g}", agreement, difference <= tolerance)

    return judge


def as_close_as(limits: Closeness) -> Judge:
    """Return what judges a form that rounds: as the export did."""

    def judge(found: Tensor, wanted: Tensor) -> Verdict:
        result = compare_logits(wanted.flatten(0, 1), found.flatten(0, 1))
        allowed = f"KL {limits.max_kl:g}, {limits.min_agreement:.0%}"
        return Verdict(f"KL {result.kl:.1e}", allowed, result.top1, result.within(limits), "close")

    return judge


def logits_of_checkpoint(place: Path, windows: Named) -> Named:
    """Return the logits of a checkpoint, loaded in a fresh process that cannot import this package.

    Raises:
        PrunescopeError: it does not load or run. NoMemoryError: not for a fault of its own.
    """
    check_shards(place)
    with TemporaryDirectory() as folder:
        files = Path(folder, "windows.safetensors"), Path(folder, "logits.safetensors")
        save_file({name: rows.contiguous() for name, rows in windows.items()}, files[0])
        done = subprocess.run(
            [sys.executable, "-I", logits_alone.__file__, place.resolve(), *files],
            env=os.environ | {"HF_MODULES_CACHE": folder, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
        )
        if done.returncode == -signal.SIGKILL or NO_HOST_MEMORY in done.stderr:
            raise NoMemoryError(f"the host has not the memory to run {place} in float32")
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise PrunescopeError(f"{place} does not run with transformers alone: {reason}")
        return load_file(files[1])


def logits_of_gguf(place: Path, windows: Named) -> Named:
    """Return the logits of a GGUF file on texts, computed in a fresh process.

    What it may lose by rounding is a limit for text: after random tokens it loses several times as much.

    Raises:
        NotInstalledError: there is no llama.cpp. ExportError: it does not run the file.
    """
    llama_cpp.check_installed()
    texts = {name: rows for name, rows in windows.items() if name != RANDOM} or windows
    return {
        name: torch.stack([torch.from_numpy(llama_cpp.compute_logits(place, row.tolist())) for row in rows])
        for name, rows in texts.items()
    }


def all_forms(gguf: GgufExport) -> list[Form]:
    """Return all forms that a pruned model can have."""
    exact = within(TOLERANCE)
    return [
        Form("transformers", "model", logits_of_checkpoint, exact),
        Form("uniform", "export/uniform", logits_of_checkpoint, exact),
        *(
            Form(
                f"GGUF {kind}", f"export/gguf/{kind}.gguf", logits_of_gguf, as_close_as(GgufSpec.of(gguf, kind).limits)
            )
            for kind in GGUF_TYPES
        ),
    ]


def print_checks(checks: list[Check]) -> None:
    """Print the checks as a table."""
    table = Table("form", "text", "tokens", "difference", "allowed", "next token", "")
    for check in checks:
        table.add_row(check.form, check.text, *_numbers(check), _said(check))
    console = Console()
    console.print(table)
    console.print(
        "Difference: the largest of any logit from the masked parent's, in standard deviations of the logits; of "
        "GGUF files the mean KL divergence in nats, since they round."
    )
    for check in checks:
        if check.failure or check.unchecked:
            reason = f"{check.form}: {check.failure or f'not checked: {check.unchecked}'}"
            console.print(reason, style="red" if check.failure else "yellow", markup=False)


def _numbers(check: Check) -> list[str]:
    verdict = check.verdict
    if verdict is None:
        return [""] * 4
    return [str(check.tokens), verdict.figure, verdict.allowed, f"{verdict.agreement:.1%}"]


def _said(check: Check) -> str:
    if check.failed:
        return "[red]DIFFERS[/]"
    return f"[green]{check.verdict.word}[/]" if check.passed else "[yellow]not checked[/]"
