"""Obtaining models: facts of a local copy, and the sentence that each failure gets."""

import json

import pytest
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from transformers import GPT2Config, GPT2LMHeadModel

from jobs import job
from prunescope.artifacts.folders import ModelFolder
from prunescope.config.sections import ModelSource
from prunescope.errors import DataError
from prunescope.models.prepare import obtain
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.steps.sources import ModelSpec
from tiny import save_source, tiny_model, uneven_plan


def obtained(root, **source):
    """Obtain a model; its folder is ``root/out``."""
    obtain(job(ModelSpec(name="mine", source=ModelSource(**source)), root / "out"))
    return ModelFolder(root / "out")


def test_facts_of_a_local_copy(tmp_path):
    model = tiny_model(kv_heads=2, ratio=3, attention_bias=True, tie_word_embeddings=True)
    save_source(model, tmp_path / "source")
    facts = obtained(tmp_path, path=str(tmp_path / "source")).ready()
    assert facts.total_parameters == sum(p.numel() for p in model.parameters())
    assert facts.decoder_parameters == sum(p.numel() for p in model.model.layers.parameters())
    assert (facts.layers, facts.context, facts.dtype, facts.model_type) == (4, 64, "float64", "llama")
    covered = sum(block.parameters + block.overhead for block in facts.blocks)
    assert covered == facts.decoder_parameters


def refuse(error):
    def download(*_, **__):
        raise error

    return download


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (lambda: GatedRepoError("no", response=_response()), r"owner/model is gated: accept .* `hf auth login`"),
        (lambda: RepositoryNotFoundError("no", response=_response()), "the hub has no model 'owner/model'"),
        (lambda: LocalEntryNotFoundError("offline"), r"could not be fetched from the hub \(LocalEntryNotFound"),
        (lambda: ConnectionError("down"), r"could not be fetched from the hub \(ConnectionError\)"),
    ],
)
def test_hub_failures_say_the_way_out(monkeypatch, tmp_path, error, said):
    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse(error()))
    with pytest.raises(DataError, match=said) as caught:
        obtained(tmp_path, hub="owner/model")
    assert "models.mine.path in config/config.yaml" in str(caught.value)
    assert not (tmp_path / "out").exists()


def _response():
    """The hub library wants a response of its own HTTP client."""
    import huggingface_hub.errors as errors

    client = __import__(errors.HfHubHTTPError.__mro__[1].__module__.split(".")[0])
    return client.Response(401, request=client.Request("GET", "https://hub.test"))


def test_hub_model_is_taken_from_the_cache_and_its_commit_recorded(monkeypatch, tmp_path):
    snapshot = tmp_path / "snapshots" / "0123abcd"
    save_source(tiny_model("mistral"), snapshot)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(snapshot))
    facts = obtained(tmp_path, hub="owner/model", revision="v1").ready()
    assert (facts.origin, facts.revision, facts.model_type) == ("owner/model", "0123abcd", "mistral")


def test_an_unsupported_architecture_is_refused(tmp_path):
    config = GPT2Config(n_layer=1, n_head=1, n_embd=8, vocab_size=10)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "source")
    with pytest.raises(DataError, match="'gpt2' cannot be pruned yet; supported: llama, mistral, qwen2, qwen3"):
        obtained(tmp_path, path=str(tmp_path / "source"))


def test_quantised_weights_are_refused(tmp_path):
    save_source(tiny_model("qwen2"), tmp_path / "source")
    config = json.loads((tmp_path / "source/config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (tmp_path / "source/config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match=r"the weights in .*/source are quantised \(gptq\) and cannot be pruned"):
        obtained(tmp_path, path=str(tmp_path / "source"))


def test_a_pruned_checkpoint_is_refused(tmp_path):
    facts = save_source(tiny_model(), tmp_path / "source")
    write_checkpoint(facts, uneven_plan(facts), tmp_path / "pruned")
    with pytest.raises(DataError, match="models of type 'pruned_llama' cannot be pruned yet"):
        obtained(tmp_path, path=str(tmp_path / "pruned"))


def test_pickled_weights_are_refused(tmp_path):
    save_source(tiny_model(), tmp_path / "source")
    (tmp_path / "source/model.safetensors").rename(tmp_path / "source/pytorch_model.bin")
    with pytest.raises(DataError, match=r"lacks model\.safetensors: .*pickled weights are not read"):
        obtained(tmp_path, path=str(tmp_path / "source"))


def test_a_truncated_shard_is_found_before_anything_is_computed(tmp_path):
    model = tiny_model()
    save_source(model, tmp_path / "source")
    model.save_pretrained(tmp_path / "source", max_shard_size="20KB")
    shard = sorted((tmp_path / "source").glob("model-*"))[1]
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(DataError, match=rf"{shard.name} cannot be read .* damaged or incomplete: fetch it again"):
        obtained(tmp_path, path=str(tmp_path / "source"))


def test_facts_of_a_checkpoint_that_is_gone(tmp_path):
    save_source(tiny_model(), tmp_path / "source")
    folder = obtained(tmp_path, path=str(tmp_path / "source"))
    (tmp_path / "source/config.json").unlink()
    with pytest.raises(DataError, match=r"no longer in .*; obtain it again with `snakemake .*--forcerun model"):
        folder.ready()


def test_facts_with_an_unknown_key_are_damaged(tmp_path):
    save_source(tiny_model(), tmp_path / "source")
    file = obtained(tmp_path, path=str(tmp_path / "source")).facts
    file.path.write_text(json.dumps(json.loads(file.path.read_text()) | {"heads": 4}))
    with pytest.raises(DataError, match=r"model\.json is damaged: heads"):
        file.read()


def told(root, **values):
    """Save a model whose `config.json` says other values."""
    save_source(tiny_model("mistral"), root / "source")
    path = root / "source/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return str(root / "source")


@pytest.mark.parametrize(
    "values",
    [
        {"use_cache": False},  # as training with checkpointed activations leaves it
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 500.0}},
        {"sliding_window": 4},
    ],
)
def test_configurations_that_a_run_without_numbers_must_not_refuse(tmp_path, values):
    assert obtained(tmp_path, path=told(tmp_path, **values)).ready().layers == 4


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sliding_window": 0}, "sliding_window = 0: must be null or a whole number from 1 on"),
        ({"rope_theta": float("inf")}, "rope_theta = Infinity: must be finite"),
        ({"transformers_weights": "best.safetensors"}, 'transformers_weights = "best.safetensors": must be left out'),
    ],
)
def test_configurations_that_fail_only_once_something_is_computed(tmp_path, values, said):
    with pytest.raises(DataError, match=said):
        obtained(tmp_path, path=told(tmp_path, **values))
