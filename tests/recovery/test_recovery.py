"""Training after pruning: what is learned, what is written, and what happens when it is interrupted."""

import logging
import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from jobs import job
from prunescope.artifacts.folders import ExperimentFolder
from prunescope.environment import DEVICE_MEMORY, SAVE_STEPS, whole_number
from prunescope.errors import ConfigError, NonFiniteError, PrunescopeError
from prunescope.models.checkpoint import open_checkpoint
from prunescope.models.loading import load_checkpoint
from prunescope.recovery import objective, training
from prunescope.recovery.adapters import Adapters
from prunescope.recovery.projections import Projections
from prunescope.recovery.steps import train_and_merge
from prunescope.recovery.trained import write_trained
from recovery.conftest import spec
from tiny import FAMILIES, tiny_tokens


def load(folder):
    return load_checkpoint(folder, torch.float32, torch.device("cpu"))


def weights(folder):
    return load_file(folder / "model.safetensors")


def run(experiment, **changes):
    train_and_merge(job_of(spec(**changes), experiment))
    return record_of(experiment)


def job_of(told, experiment):
    return job(told, experiment, recovery_text=experiment.parent / "text", model=experiment.parent / "parent")


def record_of(experiment):
    return ExperimentFolder(experiment).named(ExperimentFolder.record, step="recovery").read()


def loss_on(folder, text):
    rows = load_file(text / "samples.safetensors")["input_ids"].long()
    return load(folder)(rows, labels=rows).loss.item()


PROJECTIONS = {"train": "projections", "projections_learning_rate": 0.02}
OUTPUTS = ("o_proj.weight", "down_proj.weight")


@pytest.mark.parametrize(("told", "changing"), [({}, "_proj.weight"), (PROJECTIONS, OUTPUTS)], ids=["lora", "outputs"])
def test_a_text_is_learned_and_only_projections_change(experiment, told, changing):
    text = experiment.parent / "text"
    record = run(experiment, **told)
    assert loss_on(experiment / "recovered", text) < 0.5 * loss_on(experiment / "model", text)
    before, after = weights(experiment / "model"), weights(experiment / "recovered")
    assert {name: tensor.shape for name, tensor in before.items()} == {n: t.shape for n, t in after.items()}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.endswith(changing)}
    assert record.metrics["recover/trained_parameters"] > 0
    assert "recover/kl" not in record.histories
    for name in ("config.json", "pruning_map.json", "tokenizer.json", "modeling_pruned.py"):
        assert (experiment / "recovered" / name).read_bytes() == (experiment / "model" / name).read_bytes()
    steps, losses = zip(*record.histories["recover/loss"], strict=True)
    assert steps == tuple(range(1, 21))
    assert losses[-1] == record.metrics["recover/final_loss"] < 0.5 * losses[0]
    rates = dict(record.histories["recover/learning_rate"])
    assert rates[2] == pytest.approx(0.02)  # one step of warmup
    assert rates[20] < rates[10] < rates[2]
    assert record.metrics["recover/tokens"] == 20 * 4 * 16
    assert not (experiment / ".recovery").exists()


@pytest.mark.parametrize("experiment", FAMILIES, indirect=True)
def test_merged_weights_compute_what_the_adapters_do(experiment):
    model = load(experiment / "model").double()
    adapters = Adapters(model, spec())
    assert set(adapters.layers) == {name for name in weights(experiment / "model") if name.endswith("_proj.weight")}
    random = torch.Generator().manual_seed(3)
    for layer in adapters.layers.values():
        for part in (layer.lora_A, layer.lora_B):
            part["default"].weight.data.normal_(std=0.1, generator=random)
    tokens = tiny_tokens()
    wanted = model.eval()(tokens).logits
    write_trained(adapters, experiment / "model", experiment / "recovered")
    found = load(experiment / "recovered").double()(tokens).logits
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(load(experiment / "model").double()(tokens).logits, wanted, atol=1e-2)


@pytest.mark.parametrize("experiment", FAMILIES, indirect=True)
def test_trained_output_projections_are_written_rounded_once(experiment):
    model = load(experiment / "model").double()
    projections = Projections(model, open_checkpoint(experiment / "model").read)
    assert set(projections.weights) == {name for name in weights(experiment / "model") if name.endswith(OUTPUTS)}
    random = torch.Generator().manual_seed(3)
    for weight in projections.parameters:
        assert weight.dtype == torch.float32
        weight.data += 0.1 * torch.randn(weight.shape, generator=random)
    tokens = tiny_tokens()
    wanted = model(tokens).logits
    write_trained(projections, experiment / "model", experiment / "recovered")
    torch.testing.assert_close(load(experiment / "recovered").double()(tokens).logits, wanted, atol=1e-9, rtol=1e-9)
    rough = torch.rand(3, 4).bfloat16()
    (name, *_) = projections.weights
    assert torch.equal(projections.merged(name, rough), projections.weights[name].bfloat16())


def test_a_model_that_computes_in_bfloat16_is_trained_from_the_weights_as_they_are_stored(experiment):
    model = load_checkpoint(experiment / "model", torch.bfloat16, torch.device("cpu"))
    projections = Projections(model, open_checkpoint(experiment / "model").read)
    before = weights(experiment / "model")
    assert all(torch.equal(weight, before[name]) for name, weight in projections.weights.items())
    tokens = tiny_tokens()
    wanted = load_checkpoint(experiment / "model", torch.bfloat16, torch.device("cpu"))(tokens).logits
    assert torch.equal(model(tokens).logits, wanted)


def test_the_first_loss_is_that_of_the_pruned_model_by_hand(experiment):
    """Only what is labelled counts, each token once, whatever batch it is in."""
    rows = load_file(experiment.parent / "text/samples.safetensors")["input_ids"]
    labels = rows.clone()
    for row in range(len(rows)):
        labels[row, : row + 1] = -100
        labels[row, 15 - row % 3 :] = -100
    save_file({"input_ids": rows, "labels": labels}, experiment.parent / "text/samples.safetensors")
    told = {"batch_size": 4, "accumulation": 3, "tokens": 12 * 16, "dropout": 0}
    targets = labels[:, 1:].long().reshape(-1)
    said, likely = (
        load(folder)(rows.long()).logits[:, :-1].flatten(0, 1).log_softmax(-1)[targets != -100]
        for folder in (experiment / "model", experiment.parent / "source")
    )
    ce = functional.nll_loss(said, targets[targets != -100]).item()
    kl = (likely.exp() * (likely - said)).sum(-1).mean().item()
    for loss, expected in {"ce": ce, "kl": kl, "ce_kl": ce + 0.5 * kl}.items():
        record = run(experiment, **told, loss=loss, kl_weight=0.5)
        assert record.histories["recover/loss"][0] == (1, pytest.approx(expected, rel=1e-5))
        if loss != "ce":
            assert record.histories["recover/ce"][0] == (1, pytest.approx(ce, rel=1e-5))
            assert record.histories["recover/kl"][0] == (1, pytest.approx(kl, rel=1e-5))


def test_a_text_that_is_read_again_and_again_is_told(experiment, caplog):
    record = run(experiment, tokens=16 * 16)
    assert record.metrics["recover/times_read"] == pytest.approx(16 / 12)
    assert "by heart" not in caplog.text
    record = run(experiment, tokens=20 * 16)
    assert record.metrics["recover/times_read"] == pytest.approx(20 / 12)
    assert "the text is read 1.7 times, and so learned by heart" in caplog.text
    assert "lower recovery.tokens (320), or give recovery.dataset more text than these 12 windows" in caplog.text


def test_distillation_comes_close_to_the_unpruned_model_resident_or_not(experiment, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    record = run(experiment, **PROJECTIONS, loss="kl")
    curve = [value for _, value in record.histories["recover/kl"]]
    assert curve[-1] < 0.5 * curve[0]
    wanted = weights(experiment / "recovered")
    monkeypatch.setenv(DEVICE_MEMORY, "0")
    run(experiment, **PROJECTIONS, loss="kl")
    assert "layers are read from" in caplog.text
    torch.testing.assert_close(weights(experiment / "recovered"), wanted)


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(experiment, programs, caplog):
    caplog.set_level(logging.INFO)
    run(experiment)
    wanted, losses = weights(experiment / "recovered"), record_of(experiment).histories
    killed = subprocess.run(
        [programs / "python", "-c", KILLED, str(experiment), spec().text()],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), SAVE_STEPS: "4"},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert {file.name for file in (experiment / ".recovery").iterdir()} == {"checkpoint-4", "checkpoint-8"}
    # Half of a state, as a kill in the middle of saving leaves it.
    (experiment / ".recovery/checkpoint-12").mkdir()
    record = run(experiment)
    assert "going on from step 8 of 20" in caplog.text
    assert record.metrics["recover/resumed_from_step"] == 8
    torch.testing.assert_close(weights(experiment / "recovered"), wanted, rtol=0, atol=0)
    assert record.histories == losses
    assert not (experiment / ".recovery").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from jobs import job
from prunescope.steps.recovery import RecoverySpec
from prunescope.recovery import training
from prunescope.recovery.projections import Projections
from prunescope.recovery.steps import train_and_merge
from prunescope.recovery.trained import write_trained

advance = training.Progress.advance

def die(self, *args):
    advance(self, *args)
    if self.done == 10 * 4 * 16:
        os.kill(os.getpid(), signal.SIGKILL)

training.Progress.advance = die
folder = Path(sys.argv[1])
inputs = {"recovery_text": folder.parent / "text", "model": folder.parent / "parent"}
train_and_merge(job(RecoverySpec.model_validate_json(sys.argv[2]), folder, **inputs))
"""


def test_a_distillation_that_is_interrupted_goes_on_and_ends_with_the_same_weights(experiment, monkeypatch):
    told = PROJECTIONS | {"loss": "ce_kl", "tokens": 8 * 4 * 16}
    run(experiment, **told)
    wanted, losses = weights(experiment / "recovered"), record_of(experiment).histories

    def die(progress, amount, *_):
        progress.done += amount
        if progress.what == "recovery" and progress.done == 5 * 4 * 16:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setenv(SAVE_STEPS, "3")
        patch.setattr(training.Progress, "advance", die)
        with pytest.raises(KeyboardInterrupt):
            run(experiment, **told)
    assert [file.name for file in (experiment / ".recovery").iterdir()] == ["checkpoint-3"]
    record = run(experiment, **told)
    assert record.metrics["recover/resumed_from_step"] == 3
    torch.testing.assert_close(weights(experiment / "recovered"), wanted, rtol=0, atol=0)
    assert record.histories == losses
    assert set(losses) == {"recover/loss", "recover/ce", "recover/kl", "recover/learning_rate"}


@pytest.mark.parametrize("change", [{"learning_rate": 0.01}, {"loss": "kl"}, {"train": "projections"}, {}])
def test_another_run_is_never_resumed(experiment, caplog, monkeypatch, change):
    with monkeypatch.context() as patch:
        patch.setenv(SAVE_STEPS, "4")
        patch.setattr("prunescope.recovery.steps.write_trained", stop)
        with pytest.raises(KeyboardInterrupt):
            run(experiment)
    assert (experiment / ".recovery/checkpoint-20").is_dir()
    if not change:
        file = experiment / "model/model.safetensors"
        save_file({name: tensor + 0.01 for name, tensor in load_file(file).items()}, file, {"format": "pt"})
    record = run(experiment, **change)
    assert "belongs to another training run" in caplog.text
    assert record.metrics["recover/resumed_from_step"] == 0


def test_a_run_that_was_killed_while_it_merged_only_merges(experiment, monkeypatch):
    run(experiment)
    wanted = weights(experiment / "recovered")
    with monkeypatch.context() as patch:
        patch.setenv(SAVE_STEPS, "4")
        patch.setattr("prunescope.recovery.steps.write_trained", stop)
        with pytest.raises(KeyboardInterrupt):
            run(experiment)
    record = run(experiment)
    assert record.metrics["recover/resumed_from_step"] == record.metrics["recover/steps"] == 20
    torch.testing.assert_close(weights(experiment / "recovered"), wanted, rtol=0, atol=0)


def stop(*_):
    raise KeyboardInterrupt


def test_checkpointing_changes_no_number(experiment):
    run(experiment)
    wanted = weights(experiment / "recovered")
    run(experiment, checkpointing=True)
    torch.testing.assert_close(weights(experiment / "recovered"), wanted)


def test_a_loss_that_is_no_number_names_the_way_out(experiment, monkeypatch):
    monkeypatch.setenv(SAVE_STEPS, "1")
    with pytest.raises(NonFiniteError, match=r"the loss is nan at step \d+; lower recovery\.learning_rate"):
        run(experiment, learning_rate=1e30)
    assert not (experiment / "recovered").exists()
    saved = experiment.glob(".recovery/checkpoint-*/model.safetensors")
    assert all(tensor.isfinite().all() for file in saved for tensor in load_file(file).values())


def test_out_of_memory_says_what_to_lower(experiment, monkeypatch):
    def no_room(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(objective, "token_losses", no_room)
    said = (
        r"halve recovery\.batch_size \(2\) and double recovery\.accumulation \(2\) or set recovery\.checkpointing: true"
    )
    with pytest.raises(PrunescopeError, match=said):
        run(experiment)


def test_without_peft_there_is_one_sentence(experiment, monkeypatch):
    monkeypatch.setattr("prunescope.packages.find_spec", lambda name: None)
    run(experiment, train="projections")
    assert spec().needs_package and not spec(train="projections").needs_package
    with pytest.raises(ConfigError, match=r"recovery\.enabled needs peft.* install prunescope\[recover\]"):
        run(experiment)


@pytest.mark.parametrize(("told", "steps"), [("", None), ("4", 4), ("0", "error"), ("-1", "error"), ("x", "error")])
def test_how_often_the_state_is_saved(monkeypatch, told, steps):
    monkeypatch.setenv(SAVE_STEPS, told)
    if steps == "error":
        with pytest.raises(ConfigError, match=f"PRUNESCOPE_SAVE_STEPS = '{told}': must be a whole number"):
            whole_number(SAVE_STEPS)
    else:
        assert whole_number(SAVE_STEPS) == steps


def test_a_short_text_is_read_in_another_order_each_time():
    rows = torch.utils.data.TensorDataset(torch.arange(5)[:, None], torch.arange(5)[:, None])
    order = training._in_order(rows, 12, seed=0).indices
    assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5))
    assert order[:5] != order[5:10]
    assert len(order) == 12
