"""The embedded model, as Llama and as Mistral: real weights through adapters, engine, surgery and perplexity."""

import math
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from jobs import job
from prunescope.artifacts.facts import ModelFacts
from prunescope.artifacts.folders import ModelFolder
from prunescope.config.protocols import Protocol
from prunescope.config.resolve import load_config, resolve
from prunescope.config.sections import Limits, Method
from prunescope.data.wheels import download, read_member
from prunescope.evaluation.perplexity import measure_losses
from prunescope.importance.engine import collect_gradients
from prunescope.importance.selection import select
from prunescope.importance.table import build_table
from prunescope.models.adapter import adapter_for
from prunescope.models.convert import reading_once
from prunescope.models.loading import load_checkpoint
from prunescope.models.prepare import obtain
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.steps.planned import Planned
from prunescope.steps.sources import WheelSpec
from prunescope.trial.removal import measure_removal
from tiny import mask_model

pytestmark = pytest.mark.embedded
ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
TEXT = (
    "The river rises in the hills to the north of the town and flows for some forty miles through farmland "
    "before it reaches the sea. In the nineteenth century it was used to carry coal and timber."
)


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    source = load_config().models["SmolLM2-135M"].embedded
    download(job(WheelSpec.holding(source), Path("resources")))
    task = Planned(resolve(load_config(), "SmolLM2-135M", "taylor_T0_20_wiki")).tasks["model"]
    folder = tmp_path_factory.mktemp("model") / task.key
    obtain(job(task.spec, folder))
    return ModelFolder(folder).ready()


@pytest.fixture(scope="module")
def llama(facts):
    return load_checkpoint(facts.path, torch.float32, CPU)


@pytest.fixture(scope="module")
def mistral(llama):
    """The same weights in the Mistral architecture."""
    settings = llama.config.to_dict()
    for name in ("model_type", "architectures", "attention_bias", "mlp_bias", "pretraining_tp"):
        settings.pop(name, None)
    model = MistralForCausalLM(MistralConfig(**settings | {"sliding_window": None}))
    model.load_state_dict(llama.state_dict())
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def windows(facts):
    ids = AutoTokenizer.from_pretrained(facts.path)(TEXT, add_special_tokens=False)["input_ids"]
    return torch.tensor(ids[:32]).reshape(2, 16)


def test_facts(facts):
    assert facts.total_parameters == 134_515_008
    assert facts.total_parameters - facts.decoder_parameters - 576 == 28_311_552  # tied embedding, final norm
    attention, mlp = facts.blocks[:2]
    assert (facts.layers, attention.groups, mlp.groups) == (30, 3, 1536)
    assert (attention.cost, mlp.cost) == (576 * 64 * 8, 3 * 576)


def test_conversion_keeps_the_logits_bit_for_bit(facts, llama, windows, tmp_path):
    source = load_config().models["SmolLM2-135M"].embedded
    (tmp_path / "model.gguf").write_bytes(read_member(Path(WheelSpec.holding(source).file), source))
    with reading_once():
        direct = AutoModelForCausalLM.from_pretrained(
            tmp_path, gguf_file="model.gguf", dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
    assert isinstance(llama, LlamaForCausalLM)
    with torch.no_grad():
        assert torch.equal(direct(windows).logits, llama(windows).logits)


def test_it_speaks_english(llama, windows):
    perplexity = math.exp(measure_losses(llama, windows, Protocol(windows.shape[1])).mean)
    assert perplexity < 100  # 32 tokens of context at most; a broken conversion gives 49,152


def test_mistral_architecture_gives_the_same_importance(llama, mistral, windows):
    one = collect_gradients(adapter_for(llama), windows, ["taylor", "taylor_stream"], 1)
    two = collect_gradients(adapter_for(mistral), windows, ["taylor", "taylor_stream"], 1)
    for criterion, blocks in one.saliency.items():
        for name, scores in blocks.items():
            torch.testing.assert_close(two.saliency[criterion][name], scores, rtol=1e-3, atol=1e-7)


def test_pruned_mistral_equals_masked_mistral(mistral, windows, tmp_path, facts):
    mistral.save_pretrained(tmp_path / "source")
    AutoTokenizer.from_pretrained(facts.path).save_pretrained(tmp_path / "source")
    changed = ModelFacts(**vars(facts) | {"path": str(tmp_path / "source"), "model_type": "mistral"})
    adapter = adapter_for(mistral)
    saliency = collect_gradients(adapter, windows, ["taylor"], 2).saliency["taylor"]
    table = build_table(facts.blocks, {name: scores.numpy() for name, scores in saliency.items()}, None, Method())
    plan = select(table, changed, 0.2, Limits()).plan
    written = write_checkpoint(changed, plan, tmp_path / "model")
    assert abs(written / facts.total_parameters - 0.8) < 55_296 / facts.total_parameters
    pruned = load_checkpoint(tmp_path / "model", torch.float32, CPU)
    assert pruned.config.model_type == "pruned_mistral"
    mask_model(mistral, plan)
    with torch.no_grad():
        torch.testing.assert_close(pruned(windows).logits, mistral(windows).logits, rtol=1e-3, atol=1e-3)


def test_removal_of_a_real_block_hurts(llama, windows):
    losses = measure_removal(adapter_for(llama), windows[:1], 32)
    assert losses.mlp[0] > 1  # the first MLP carries the model
    assert losses.layer.isfinite().all()
