"""Prove that what was written computes what the plan says: its logits against those of the masked model."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.folders import EvaluationTextFolder, ExperimentFolder, ModelFolder
from prunescope.artifacts.plan import PruningPlan
from prunescope.config.sections import GGUF_TYPES, Closeness, GgufExport
from prunescope.errors import DataError, PrunescopeError
from prunescope.export import llama_cpp
from prunescope.export.checks import CannotCheckError, Check, check_logits
from prunescope.export.logits_alone import compute, logits_of_checkpoint
from prunescope.models.adapter import adapter_for
from prunescope.models.loading import device_for, load_checkpoint, load_config
from prunescope.models.memory import release
from prunescope.packages import LLAMA_CPP
from prunescope.pruning.surgery import mask_model
from prunescope.steps.export import GgufSpec

Named = dict[str, Tensor]
"""Tensors by the name of a text: windows, int64 ``[n, tokens]``, or logits, float32 ``[n, tokens, vocab]``."""

WINDOWS, TOKENS = 2, 128
RANDOM = "random tokens"


@dataclass(frozen=True)
class Form:
    """A form in which the pruned model lies on disk.

    Attributes:
        name: for the table. place: its file or folder.
        exported: made from the final checkpoint, which may be a trained one.
        limits: of a GGUF file, which rounds.
    """

    name: str
    place: Path
    exported: bool = True
    limits: Closeness | None = None

    def check(self, windows: Named, wanted: Named) -> Iterator[Check]:
        """Yield how it did on each text."""
        try:
            found = (logits_of_gguf if self.limits else logits_of_checkpoint)(self.place, windows)
        except CannotCheckError as error:
            yield Check(self.name, "-", "not checked", reason=str(error))
        except PrunescopeError as error:
            yield Check(self.name, "-", "DIFFERS", reason=str(error))
        else:
            for text, logits in found.items():
                yield check_logits(self.name, text, logits, wanted[text], self.limits)


def verify(folder: ExperimentFolder, gguf: GgufExport) -> list[Check]:
    """Compare every form of an experiment's pruned model with its parent, masked by the plan.

    Exports of a model that was trained after pruning are compared with what was trained.

    In float32, because bfloat16 hides what is to be found: there two correct models differ by half a standard
    deviation. It takes 4 bytes of memory per parameter of the parent, of the host where the device has less.

    Args:
        gguf: how close GGUF files must be, by type.

    Raises:
        DataError: the parent is gone, or nothing is there to verify.
    """
    facts = folder.input(ModelFolder).ready()
    plan = PruningPlan.read(folder.plan.path, facts)
    forms = [form for form in all_forms(folder, gguf) if form.place.exists()]
    if not forms:
        raise DataError(f"{folder.path} has nothing to verify (no model, no export); run its pruning step first")
    windows = fixed_windows(load_config(facts.path).vocab_size, folder.input(EvaluationTextFolder))
    masked = exported = masked_logits(facts, plan, windows)
    release()  # forms are computed by other processes
    final = folder.final.path
    if final != folder.checkpoint.path and any(form.exported for form in forms):
        exported = logits_of_checkpoint(final, windows)
    return [check for form in forms for check in form.check(windows, exported if form.exported else masked)]


def all_forms(folder: ExperimentFolder, gguf: GgufExport) -> list[Form]:
    """Return all forms that a pruned model can have."""
    files = {kind: folder.named(ExperimentFolder.gguf, type=kind).path for kind in GGUF_TYPES}
    return [
        Form("transformers", folder.checkpoint.path, exported=False),
        Form("uniform", folder.uniform.path),
        *(Form(f"GGUF {kind}", file, limits=GgufSpec.by(gguf, kind).limits) for kind, file in files.items()),
    ]


def fixed_windows(vocabulary: int, texts: EvaluationTextFolder) -> Named:
    """Return random tokens and, of every evaluation text, the first windows; the same at every call."""
    windows = {RANDOM: torch.randint(vocabulary, (WINDOWS, TOKENS), generator=torch.Generator().manual_seed(0))}
    for name, rows in sorted(texts.windows.read().items()) if texts.windows.exists() else ():
        windows.setdefault(name.split("/")[0], rows[:WINDOWS, :TOKENS].long())
    return windows


@torch.no_grad()
def masked_logits(facts: ModelFacts, plan: PruningPlan, windows: Named) -> Named:
    """Return the logits of the parent with what the plan removes zeroed: nothing of the pruned model is used."""
    device = device_for(facts.total_parameters * torch.float32.itemsize)
    model = load_checkpoint(facts.path, torch.float32, device)
    mask_model(adapter_for(model), plan)
    return compute(model, windows, device)


def logits_of_gguf(file: Path, windows: Named) -> Named:
    """Return the logits of a GGUF file on texts, computed in a fresh process.

    What it may lose by rounding is a limit for text: after random tokens it loses several times as much.

    Raises:
        CannotCheckError: there is no llama.cpp. ExportError: it does not run the file.
    """
    if not LLAMA_CPP.installed:
        raise CannotCheckError(LLAMA_CPP.said)
    texts = {name: rows for name, rows in windows.items() if name != RANDOM} or windows
    return {
        name: torch.stack([torch.from_numpy(llama_cpp.compute_logits(file, row.tolist())) for row in rows])
        for name, rows in texts.items()
    }
