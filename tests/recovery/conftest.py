"""A pruned model of uneven widths, the unpruned one, and a text that can be learned by heart."""

import pytest
import torch

from prunescope.artifacts.folders import ModelFolder, RecoveryTextFolder
from prunescope.artifacts.manifests import RecoveryManifest
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.steps.recovery import RecoverySpec
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
    return RecoverySpec(model="tiny", experiment="e", inputs={"recovery_text": "k"}, **TOLD | changes)


@pytest.fixture
def experiment(tmp_path, request):
    """The folder of an experiment as pruning leaves it; beside it `parent/` and `text/`, 12 rows of one sentence."""
    family = getattr(request, "param", "llama")
    facts = save_source(tiny_model(family).float(), tmp_path / "source")
    ModelFolder(tmp_path / "parent").facts.write(facts)
    write_checkpoint(facts, uneven_plan(facts), tmp_path / "e/model", experiment="e")
    sentence = torch.randint(3, VOCABULARY, (8,), generator=torch.Generator().manual_seed(2))
    rows = sentence.repeat(12, 2).int()
    text = RecoveryTextFolder(tmp_path / "text")
    text.samples.write({"input_ids": rows, "labels": rows.clone()})
    counts = {"documents": 1, "tokens": rows.numel(), "learned_tokens": rows.numel(), "samples": 12, "seq_len": 16}
    origin = {"source": "x", "revision": None, "sha256": "0", "seed": 0, "bos": False, "texts": {}}
    text.manifest.write(RecoveryManifest(**counts, **origin))
    return tmp_path / "e"
