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
from prunescope.environment import SAVE_STEPS, whole_number
from prunescope.errors import ConfigError, NonFiniteError, PrunescopeError
from prunescope.models.loading import load_checkpoint
from prunescope.recovery import training
from prunescope.recovery.adapters import add_adapters, weight_changes, write_merged
from prunescope.recovery.steps import train_and_merge
from recovery.conftest import spec
from tiny import FAMILIES, tiny_tokens


def load(folder):
    return load_checkpoint(folder, torch.float32, torch.device("cpu"))


def weights(folder):
    return load_file(folder / "model.safetensors")


def run(experiment, **changes):
    train_and_merge(job(spec(**changes), experiment, recovery_text=experiment.parent / "text"))
    return record_of(experiment)


def record_of(experiment):
    return ExperimentFolder(experiment).named(ExperimentFolder.record, step="recovery").read()


def loss_on(folder, text):
    rows = load_file(text / "samples.safetensors")["input_ids"].long()
    return load(folder)(rows, labels=rows).loss.item()


def test_a_text_is_learned_and_only_projections_change(experiment):
    text = experiment.parent / "text"
    record = run(experiment)
    assert loss_on(experiment / "recovered", text) < 0.5 * loss_on(experiment / "model", text)
    before, after = weights(experiment / "model"), weights(experiment / "recovered")
    assert {name: tensor.shape for name, tensor in before.items()} == {n: t.shape for n, t in after.items()}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.endswith("_proj.weight")}
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
    adapted = add_adapters(model, spec())
    layers = weight_changes(adapted)
    assert set(layers) == {name for name in weights(experiment / "model") if name.endswith("_proj.weight")}
    random = torch.Generator().manual_seed(3)
    for layer in layers.values():
        for part in (layer.lora_A, layer.lora_B):
            part["default"].weight.data.normal_(std=0.1, generator=random)
    adapted.eval()
    tokens = tiny_tokens()
    wanted = adapted(tokens).logits
    write_merged(adapted, experiment / "model", experiment / "recovered")
    found = load(experiment / "recovered").double()(tokens).logits
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(load(experiment / "model").double()(tokens).logits, wanted, atol=1e-2)


def test_the_first_loss_is_that_of_the_pruned_model_by_hand(experiment):
    """Only what is labelled counts, each token once, whatever batch it is in."""
    rows = load_file(experiment.parent / "text/samples.safetensors")["input_ids"]
    labels = rows.clone()
    for row in range(len(rows)):
        labels[row, : row + 1] = -100
        labels[row, 15 - row % 3 :] = -100
    save_file({"input_ids": rows, "labels": labels}, experiment.parent / "text/samples.safetensors")
    record = run(experiment, batch_size=4, accumulation=3, tokens=12 * 16, dropout=0)
    logits = load(experiment / "model")(rows.long()).logits[:, :-1]
    naive = functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels[:, 1:].long().reshape(-1))
    assert record.histories["recover/loss"][0] == (1, pytest.approx(naive.item(), rel=1e-5))


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(experiment, caplog):
    caplog.set_level(logging.INFO)
    run(experiment)
    wanted, losses = weights(experiment / "recovered"), record_of(experiment).histories
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(experiment), spec().text()],
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
from prunescope.recovery.steps import train_and_merge

advance = training.Progress.advance

def die(self, *args):
    advance(self, *args)
    if self.done == 10 * 4 * 16:
        os.kill(os.getpid(), signal.SIGKILL)

training.Progress.advance = die
folder = Path(sys.argv[1])
train_and_merge(job(RecoverySpec.model_validate_json(sys.argv[2]), folder, recovery_text=folder.parent / "text"))
"""


@pytest.mark.parametrize("change", ["setting", "weights"])
def test_another_run_is_never_resumed(experiment, caplog, monkeypatch, change):
    with monkeypatch.context() as patch:
        patch.setenv(SAVE_STEPS, "4")
        patch.setattr("prunescope.recovery.adapters.write_merged", stop)
        with pytest.raises(KeyboardInterrupt):
            run(experiment)
    assert (experiment / ".recovery/checkpoint-20").is_dir()
    if change == "weights":
        file = experiment / "model/model.safetensors"
        save_file({name: tensor + 0.01 for name, tensor in load_file(file).items()}, file, {"format": "pt"})
    record = run(experiment, learning_rate=0.01 if change == "setting" else 0.02)
    assert "belongs to another training run" in caplog.text
    assert record.metrics["recover/resumed_from_step"] == 0


def test_a_run_that_was_killed_while_it_merged_only_merges(experiment, monkeypatch):
    run(experiment)
    wanted = weights(experiment / "recovered")
    with monkeypatch.context() as patch:
        patch.setenv(SAVE_STEPS, "4")
        patch.setattr("prunescope.recovery.adapters.write_merged", stop)
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
    saved = experiment.glob(".recovery/checkpoint-*/adapter_model.safetensors")
    assert all(tensor.isfinite().all() for file in saved for tensor in load_file(file).values())


def test_out_of_memory_says_what_to_lower(experiment, monkeypatch):
    def no_room(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training, "token_losses", no_room)
    said = (
        r"halve recovery\.batch_size \(2\) and double recovery\.accumulation \(2\) or set recovery\.checkpointing: true"
    )
    with pytest.raises(PrunescopeError, match=said):
        run(experiment)


def test_without_peft_there_is_one_sentence(experiment, monkeypatch):
    monkeypatch.setattr("prunescope.packages.find_spec", lambda name: None)
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
