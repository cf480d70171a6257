"""Proof that an accepted input gave the numbers of its model: transformers loads the same folder, nothing muted."""

import os
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from inputs.case import Outcome
from prunescope.artifacts.folders import ExperimentFolder, ModelFolder
from prunescope.artifacts.plan import PruningPlan
from prunescope.models.configuration import plain
from prunescope.models.loading import load_model
from tiny import mask_model

HARMLESS = ("rotary_emb.inv_freq",)
"""Unexpected tensors of old checkpoints that hold nothing which is learned."""

LIMIT = "PRUNESCOPE_DEVICE_MEMORY"

TOLERANCE = 1e-4
"""Of logits in float32, relative to the largest."""


def prove(source: Path, model: str, folder: ExperimentFolder) -> Outcome:
    """Compare the model that was measured with transformers' own, and the one that was written with the masked one."""
    theirs, report = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
    tokens = torch.randint(3, theirs.config.vocab_size, (2, 12), generator=torch.Generator().manual_seed(1))
    expected = logits(theirs.eval(), tokens)
    measured = load_model(source, "float32")
    wrong = [f"transformers reports {what}: {named(keys)}" for what, keys in report.items() if named(keys)]
    differences = {"the measured model": distance(logits(measured, tokens), expected)}

    os.environ[LIMIT] = "0.00001"
    differences["layer by layer"] = distance(logits(load_model(source, "float32"), tokens), expected)
    del os.environ[LIMIT]

    written = load_model(folder.checkpoint.path, "float32")
    mask_model(measured, PruningPlan.read(folder.plan.path, ModelFolder(Path(model)).ready()))
    differences["written against masked"] = distance(logits(written, tokens), logits(measured, tokens))
    wrong += [f"{what}: logits differ by {d:.1e}" for what, d in differences.items() if not d < TOLERANCE]

    templates = [AutoTokenizer.from_pretrained(path).chat_template for path in (source, folder.checkpoint.path)]
    if templates[0] != templates[1]:
        wrong.append(f"chat templates {templates[0]} became {templates[1]}")
    if wrong:
        return Outcome("defect", "proof", f"exit code 0, and {'; '.join(wrong)}")
    return Outcome("accepted", "evaluation", f"logits equal transformers' to {max(differences.values()):.0e}")


def named(keys: object) -> str:
    """Return the names in an entry of transformers' load report that mean something."""
    names = [str(key) for key in keys] if isinstance(keys, list | set | tuple | dict) else []
    return ", ".join(sorted(name for name in names if not name.endswith(HARMLESS)))


def logits(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        plain(model.config)  # with return_dict false transformers does not run it
        return model(tokens).logits.double()


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest entry; NaN where an entry is."""
    if one.shape != other.shape:
        return float("inf")
    return 0.0 if torch.equal(one, other) else float((one - other).abs().max() / other.abs().max())
