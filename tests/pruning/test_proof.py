"""The proof in the pruning step: right checkpoints pass, and nothing that a reader or a cut gets wrong does."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from jobs import job
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.artifacts.plan_file import PlanFile
from prunescope.errors import NonFiniteError
from prunescope.models.checkpoint import Checkpoint
from prunescope.pruning import checkpoint as writing
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.pruning.proof import (
    TOKENS,
    TOLERANCE,
    ProofError,
    load_by_transformers,
    logits_by_layer,
    prove,
    random_windows,
)
from prunescope.pruning.prune import prune
from prunescope.steps.pruning import PruningSpec
from shapes import SHAPES
from tiny import mask_model, save_source, tiny_model, tiny_tokens, uneven_plan


@pytest.mark.parametrize("shape", SHAPES)
def test_the_reference_is_the_masked_model(tmp_path, shape):
    model = tiny_model(**shape)
    plan = uneven_plan(save_source(model, tmp_path))
    logits = logits_by_layer(load_by_transformers(tmp_path), {"words": tiny_tokens()}, plan)["words"]
    whole = logits_by_layer(load_by_transformers(tmp_path), {"words": tiny_tokens()})["words"]
    assert logits.dtype == torch.float32
    torch.testing.assert_close(whole.double(), model(tiny_tokens()).logits, rtol=1e-4, atol=1e-4)
    mask_model(model, plan)
    torch.testing.assert_close(logits.double(), model(tiny_tokens()).logits, rtol=1e-4, atol=1e-4)


def test_a_right_checkpoint_passes(tmp_path):
    facts = save_source(tiny_model("qwen2", tie_word_embeddings=True), tmp_path / "source")
    write_checkpoint(facts, uneven_plan(facts), tmp_path / "model")
    assert prove(facts, uneven_plan(facts), tmp_path / "model") <= TOLERANCE


def test_a_reader_that_swaps_two_layers_is_found_in_the_pruning_step(tmp_path, monkeypatch):
    """Whatever is measured and cut comes from this reader, so that only another one can tell."""
    facts = save_source(tiny_model(), tmp_path / "source")
    folder = ExperimentFolder(tmp_path / "e")
    folder.plan.write(PlanFile.of(uneven_plan(facts)))
    read = Checkpoint.read

    def swapped(self, name):
        turned = {"model.layers.2.": "model.layers.3.", "model.layers.3.": "model.layers.2."}
        prefix = next((prefix for prefix in turned if name.startswith(prefix)), "")
        return read(self, turned.get(prefix, "") + name.removeprefix(prefix))

    monkeypatch.setattr(Checkpoint, "read", swapped)
    with pytest.raises(ProofError, match=r"does not compute what 'tiny' computes .* differs by .* it was not kept"):
        prune(job(PruningSpec(model="tiny", experiment="e"), folder.path, model=facts))
    assert not folder.checkpoint.path.exists()
    assert not list(folder.path.glob("**/*.safetensors"))
    assert not folder.named(ExperimentFolder.record, step="pruning").exists()


def test_a_cut_that_keeps_other_channels_is_found(tmp_path, monkeypatch):
    facts = save_source(tiny_model(), tmp_path / "source")
    other = uneven_plan(facts, seed=1)
    cut, configure = writing.cut_weights, writing.pruned_config
    monkeypatch.setattr(writing, "cut_weights", lambda adapter, plan, *told: cut(adapter, other, *told))
    monkeypatch.setattr(writing, "pruned_config", lambda config, adapter, plan: configure(config, adapter, other))
    with pytest.raises(ProofError, match="differs by"):
        write_checkpoint(facts, uneven_plan(facts), tmp_path / "model")


def test_weights_that_are_not_finite_are_named(tmp_path):
    facts = save_source(tiny_model(), tmp_path / "source")
    weights = load_file(tmp_path / "source/model.safetensors")
    weights["model.layers.3.self_attn.o_proj.weight"][0, 0] = torch.nan
    save_file(weights, tmp_path / "source/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(NonFiniteError, match=r"'model\.layers\.3\.self_attn\.o_proj\.weight' in .* holds NaN"):
        write_checkpoint(facts, uneven_plan(facts), tmp_path / "model")


def test_logits_that_are_all_zero_are_equal(tmp_path):
    facts = save_source(tiny_model(), tmp_path / "source")
    weights = load_file(tmp_path / "source/model.safetensors")
    weights["lm_head.weight"].zero_()
    save_file(weights, tmp_path / "source/model.safetensors", metadata={"format": "pt"})
    write_checkpoint(facts, uneven_plan(facts), tmp_path / "model")
    assert prove(facts, uneven_plan(facts), tmp_path / "model") == 0


def test_rows_that_no_token_of_the_text_reads_are_compared_too(tmp_path, monkeypatch):
    facts = save_source(tiny_model(vocab_size=500), tmp_path / "source")
    unread = next(row for row in range(500) if row not in random_windows(500, 1, TOKENS))
    read = Checkpoint.read

    def other(self, name):
        values = read(self, name).clone()
        if name == "model.embed_tokens.weight":
            values[unread] += 1
        return values

    monkeypatch.setattr(Checkpoint, "read", other)
    with pytest.raises(ProofError, match=r"'model\.embed_tokens\.weight' of the pruned checkpoint is not that"):
        write_checkpoint(facts, uneven_plan(facts), tmp_path / "model")


def test_a_model_that_was_computed_is_given_back(tmp_path):
    save_source(tiny_model(), tmp_path)
    model = load_by_transformers(tmp_path)
    logits_by_layer(model, {"words": tiny_tokens()})
    assert not any(parameter.numel() for parameter in model.parameters())
