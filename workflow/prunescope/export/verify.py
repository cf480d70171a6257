"""Prove that what was written computes what the plan says: its logits against those of the masked model."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from prunescope.artifacts.folders import EvaluationTextFolder, ExperimentFolder, ModelFolder
from prunescope.artifacts.plan import PruningPlan
from prunescope.config.sections import GGUF_TYPES, Closeness, GgufExport
from prunescope.errors import DataError, PrunescopeError
from prunescope.export import llama_cpp
from prunescope.export.checks import CannotCheckError, Check, check_logits
from prunescope.export.logits_alone import logits_of_checkpoint
from prunescope.models.memory import release
from prunescope.packages import LLAMA_CPP
from prunescope.pruning.fitted import load_repaired
from prunescope.pruning.proof import RANDOM, Named, load_by_transformers, logits_by_layer, random_windows
from prunescope.steps.export import GgufSpec

WINDOWS, TOKENS = 2, 128


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
    """Compare every form of an experiment's pruned model with its parent, masked by the plan and repaired.

    Exports of a model that was trained after pruning are compared with what was trained.

    In float32, because bfloat16 hides what is to be found: there two correct models differ by half a standard
    deviation. The parent is computed layer by layer.

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
    parent = load_by_transformers(Path(facts.path))
    windows = fixed_windows(parent.config.vocab_size, folder.input(EvaluationTextFolder))
    fitted = load_repaired(folder.repairs(folder.identity.read().steps))
    masked = exported = logits_by_layer(parent, windows, plan, fitted)
    del parent
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
    windows = {RANDOM: random_windows(vocabulary, WINDOWS, TOKENS)}
    for name, rows in sorted(texts.windows.read().items()) if texts.windows.exists() else ():
        windows.setdefault(name.split("/")[0], rows[:WINDOWS, :TOKENS].long())
    return windows


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
