"""A pruned model of uneven widths and a text that can be learned by heart."""

import pytest
import torch
from safetensors.torch import save_file

from prunescope.files import write_json
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.steps.specs import RecoverySpec
from tiny import VOCABULARY, save_source, tiny_model, uneven_plan

TOLD = {
    "tokens": 20 * 4 * 16,
    "seq_len": 16,
    "batch_size": 2,
    "accumulation": 2,
    "rank": 4,
    "alpha": 16,
    "learning_rate": 0.02,
    "dropout": 0.1,
    "dtype": "float32",
    "checkpointing": False,
}


def spec(**changes) -> RecoverySpec:
    return RecoverySpec(model="tiny", experiment="e", recovery_text="k", **TOLD | changes)


@pytest.fixture
def experiment(tmp_path, request):
    """The folder of an experiment as pruning leaves it, and beside it `text/`: 12 rows of one repeated sentence."""
    family = getattr(request, "param", "llama")
    facts = save_source(tiny_model(family).float(), tmp_path / "source")
    write_checkpoint(facts, uneven_plan(facts), tmp_path / "e/model", experiment="e")
    sentence = torch.randint(3, VOCABULARY, (8,), generator=torch.Generator().manual_seed(2))
    rows = sentence.repeat(12, 2).int()
    (tmp_path / "text").mkdir()
    save_file({"input_ids": rows, "labels": rows.clone()}, tmp_path / "text/samples.safetensors")
    write_json(tmp_path / "text/manifest.json", {"tokens": rows.numel(), "learned_tokens": rows.numel()})
    return tmp_path / "e"
