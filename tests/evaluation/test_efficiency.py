"""Efficiency: what follows from the shape against formulas and real caches, and figures that add up."""

import pytest
import torch

from export_models import tiny_checkpoint
from jobs import job
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.config.sections import Efficiency, GgufExport
from prunescope.evaluation.cost import measure_cost
from prunescope.evaluation.efficiency import measure
from prunescope.evaluation.speed import Runs, Transformers, extra_memory, measure_speed
from prunescope.export.steps import export_baseline, export_gguf
from prunescope.models.adapter import adapter_for
from prunescope.models.loading import load_checkpoint
from prunescope.pruning.checkpoint import write_checkpoint
from prunescope.steps.evaluation import EfficiencySpec, GgufBaselineSpec
from prunescope.steps.export import GgufExportSpec, GgufSpec
from tiny import VOCABULARY, save_source, tiny_model, uneven_plan

HIDDEN, HEAD, PROMPT = 24, 10, 16
NAMES = {"model": "m", "experiment": "e", "prompt": PROMPT, "dtype": "float32"}
SHAPES = [
    pytest.param({"kv_heads": 3, "ratio": 1}, id="r1"),
    pytest.param({"kv_heads": 2, "ratio": 3, "tie_word_embeddings": True}, id="r3-tied"),
    pytest.param({"family": "mistral", "kv_heads": 2, "ratio": 2}, id="mistral"),
]


def formulas(layers, ratio):
    """Cache bytes, prefill and decode FLOP per token of layers (kv_heads, channels), by hand."""
    weights = sum(HIDDEN * HEAD * kv * (2 * ratio + 2) + 3 * HIDDEN * channels for kv, channels in layers)
    heads = sum(kv * ratio for kv, _ in layers)
    logits = HIDDEN * VOCABULARY
    prefill = 2 * weights + 4 * heads * HEAD * PROMPT + 2 * logits / PROMPT  # queries x keys, weights x values
    decode = 2 * weights + 4 * heads * HEAD * (PROMPT + 1) + 2 * logits
    return 2 * sum(kv for kv, _ in layers) * HEAD * 8, prefill, decode


def real_cache_bytes(model):
    cache = model(torch.zeros(1, PROMPT, dtype=torch.int64), use_cache=True).past_key_values
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers if layer.is_initialized) / PROMPT


@pytest.mark.parametrize("shape", SHAPES)
def test_cost_follows_the_formulas(shape, tmp_path):
    model = tiny_model(**shape)
    model.save_pretrained(tmp_path)
    cost = measure_cost(model, tmp_path, PROMPT)
    kv_bytes, prefill, decode = formulas([(shape["kv_heads"], 20)] * 4, shape["ratio"])
    assert cost.kv_cache_bytes_per_token == kv_bytes == real_cache_bytes(model)
    assert cost.prefill_flops_per_token == pytest.approx(prefill)
    assert cost.decode_flops_per_token == decode
    assert cost.parameters == adapter_for(model).total_parameters
    assert cost.weight_bytes == 8 * cost.parameters
    assert cost.weight_bytes < cost.checkpoint_bytes < 1.2 * cost.weight_bytes + 10_000


def test_cost_of_a_pruned_model_follows_what_is_left(tmp_path):
    facts = save_source(tiny_model(kv_heads=3, ratio=2), tmp_path / "source")
    plan = uneven_plan(facts)
    write_checkpoint(facts, plan, tmp_path / "model")
    model = load_checkpoint(tmp_path / "model", torch.float64, torch.device("cpu"))
    kept = {(block.facts.layer, block.facts.block): block.facts.groups - len(block.removed) for block in plan.blocks}
    layers = [(kept[layer, "attention"], kept[layer, "mlp"]) for layer in range(4)]
    cost = measure_cost(model, tmp_path / "model", PROMPT)
    assert (cost.kv_cache_bytes_per_token, cost.prefill_flops_per_token, cost.decode_flops_per_token) == pytest.approx(
        formulas(layers, 2)
    )
    assert cost.kv_cache_bytes_per_token == real_cache_bytes(model)


def test_a_sliding_window_bounds_cache_and_attention(tmp_path):
    cost = measure_cost(tiny_model("mistral", sliding_window=5), tmp_path, PROMPT)
    full = measure_cost(tiny_model("mistral"), tmp_path, PROMPT)
    assert cost.kv_cache_bytes_per_token < full.kv_cache_bytes_per_token / 2
    assert cost.decode_flops_per_token < full.decode_flops_per_token


def test_models_are_timed_in_turn():
    calls = []
    models = {name: tiny_model() for name in ("a", "b")}
    for name, model in models.items():
        model.register_forward_pre_hook(
            lambda _, inputs, name=name: calls.append((name, *inputs[0].shape)),
        )
    told = Efficiency(prompt=PROMPT, generate=3, batch_sizes=(4, 1), repeats=2)
    measured = measure_speed({name: Transformers(model) for name, model in models.items()}, told)
    assert list(measured) == [1, 4]
    for runs in (measured[batch][name] for batch in (1, 4) for name in "ab"):
        assert (len(runs.prefill), len(runs.decode)) == (2, 6)
        assert runs.extra_bytes is None or runs.extra_bytes >= 0
    prefills = [(name, batch) for name, batch, tokens in calls if tokens == PROMPT]
    assert prefills == [(name, batch) for batch in (1, 4) for _ in range(3) for name in "ab"]
    assert len(calls) == 2 * 2 * (3 + 2 * 4)


def test_the_summary_of_runs():
    runs = Runs(prefill=[0.1, 0.2, 9.0], decode=[0.01] * 9 + [0.05] * 2, extra_bytes=100)
    assert runs.summary(batch=4, prompt=50, weight_bytes=1000) == {
        "prefill_tokens_per_second": pytest.approx(4 * 50 / 0.2),
        "decode_tokens_per_second": pytest.approx(4 / 0.01),
        "latency_p50_seconds": pytest.approx(0.01),
        "latency_p95_seconds": pytest.approx(0.05),
        "peak_memory_bytes": 1100,
    }


def run(spec, directory, **inputs):
    measure(job(spec, directory, **inputs))
    folder = ExperimentFolder(directory)
    return folder.efficiency.read(), folder.named(ExperimentFolder.record, step="efficiency").read().metrics


def test_the_file_holds_both_models(tmp_path):
    facts = save_source(tiny_model().float(), tmp_path / "source")
    write_checkpoint(facts, uneven_plan(facts), tmp_path / "e/model")
    spec = EfficiencySpec(**NAMES, generate=2, batch_sizes=(1, 2), repeats=2)
    measured, metrics = run(spec, tmp_path / "e", model=facts)
    baseline, pruned = measured.models["baseline"], measured.models["pruned"]
    assert set(measured.models) == {"baseline", "pruned"}
    assert measured.settings.items() >= {"prompt": PROMPT, "batch_sizes": [1, 2], "device": "cpu"}.items()
    for name in ("parameters", "checkpoint_bytes", "kv_cache_bytes_per_token", "decode_flops_per_token"):
        assert pruned[name] < baseline[name]
    for model in (baseline, pruned):
        for batch, summary in model["batches"].items():
            assert summary["decode_tokens_per_second"] == pytest.approx(int(batch[1:]) / summary["latency_p50_seconds"])
            assert summary["peak_memory_bytes"] is None or summary["peak_memory_bytes"] >= model["weight_bytes"]
    assert metrics["speed/decode_flops_per_token"] == pruned["decode_flops_per_token"]
    assert metrics["speed_baseline/latency_p95_seconds_b2"] == baseline["batches"]["b2"]["latency_p95_seconds"]


def test_gguf_files_of_both_models_are_measured_beside_them(tmp_path):
    pytest.importorskip("llama_cpp", reason="needs llama-cpp-python: pip install -e '.[gguf]'")
    directory = tmp_path / "e"
    _, facts, plan = tiny_checkpoint(directory)
    exact = GgufExport(exact={"min_agreement": 0.98, "max_kl": 1e-3})
    told = GgufSpec.by(exact, "f32")
    export_gguf(job(GgufExportSpec(model="m", experiment="e", **dict(told)), directory))
    export_baseline(job(GgufBaselineSpec(files=(told,)), tmp_path / "shared", model=facts))
    spec = EfficiencySpec(**NAMES, generate=2, repeats=2, gguf=("f32",))
    measured, metrics = run(spec, directory, model=facts, gguf_baseline=tmp_path / "shared")
    assert list(measured.models) == ["baseline", "pruned", "baseline_f32", "pruned_f32"]
    assert measured.settings["llama_cpp"]["threads"] == measured.settings["hardware"]["threads"]
    kept = [len(plan.block(layer, "attention").kept) for layer in range(4)]
    heads = {"baseline_f32": 4 * 2, "pruned_f32": sum(kept) + 1}  # layer 0 has no attention left, but a stub
    for name, groups in heads.items():
        file = measured.models[name]
        assert file["kv_cache_bytes_per_token"] == groups * 2 * 16 * 2  # keys and values, head_dim, float16
        assert file["checkpoint_bytes"] > file["weight_bytes"] > 4 * 0.9 * file["parameters"]
        assert file["decode_flops_per_token"] is None
        for size in (1, 4):
            speed = file["batches"][f"b{size}"]
            assert speed["decode_tokens_per_second"] == pytest.approx(size / speed["latency_p50_seconds"])
    expected = measured.models["pruned_f32"]["batches"]["b4"]["prefill_tokens_per_second"]
    assert metrics["speed_pruned_f32/prefill_tokens_per_second_b4"] == expected


def test_extra_memory_is_what_the_block_adds_every_time():
    runs = Runs()
    for _ in range(2):
        with extra_memory(torch.device("cpu"), runs.keep_extra):
            parts = [torch.ones(2**18) for _ in range(32)]  # 32 MiB in pieces that the allocator likes to keep
            del parts
        if runs.extra_bytes is None:
            pytest.skip("the kernel does not tell the peak of resident memory")
        assert 30 * 2**20 < runs.extra_bytes < 40 * 2**20
        runs = Runs()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_peak_memory_on_a_gpu_is_the_allocators():
    model = tiny_model().float().cuda()
    runs = measure_speed(
        {"a": Transformers(model)}, Efficiency(prompt=PROMPT, generate=2, batch_sizes=(1,), repeats=1)
    )[1]["a"]
    assert runs.extra_bytes > 0
