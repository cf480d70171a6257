"""A gradient pass that several jobs share finds what one job finds."""

import numpy as np
import pytest
import torch

from passes import NAMES, collect
from prunescope.artifacts.folders import CalibrationFolder, GradientsFolder, ModelFolder
from prunescope.artifacts.parts import Part, added
from prunescope.importance.modes import Mode
from prunescope.importance.shared_pass import numbers_of, run_shard, shared_pass
from prunescope.models.adapter import adapter_for
from prunescope.shards import Shard
from prunescope.steps.importance import GradientsSpec
from prunescope.steps.job import run
from tiny import save_source, tiny_model, tiny_tokens


def shared(mode: Mode, count: int):
    adapter, windows = adapter_for(tiny_model()), tiny_tokens(samples=7)
    told = adapter, windows, NAMES, 2, mode
    # Four batches; two of them are the first half.
    shards = [shard for shard in Shard.all(count) if numbers_of(shard, 7, 2)]
    parts = [Part(run_shard(*told, False, shard)) for shard in shards]
    return shared_pass(*told, False).completed(dict(added(parts).sums))


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("mode", ["stream", "gate"])
def test_evidence_and_verdict_are_the_same_of_any_number_of_parts(mode, count):
    expected = collect(tiny_model(), mode=Mode(mode))
    found = shared(Mode(mode), count)
    assert found.loss == pytest.approx(expected.loss, rel=1e-12)
    for scores in ("saliency", "first_half"):
        one, other = getattr(expected, scores), getattr(found, scores)
        assert one and one.keys() == other.keys()
        for criterion in one:
            for block, values in one[criterion].items():
                # They are float32, as they are kept: the sums agree to more digits than that.
                np.testing.assert_allclose(other[criterion][block], values, rtol=1.2e-7, err_msg=f"{criterion} {block}")
    assert found.stability.layers == pytest.approx(expected.stability.layers)
    assert found.stability.first_samples == expected.stability.first_samples == 4
    one, other = expected.statistics, found.statistics
    assert (one.names, one.layers) == (other.names, other.layers)
    np.testing.assert_allclose(other.values, one.values, rtol=1e-12)


@pytest.mark.parametrize("mode", ["stream", "gate"])
def test_the_step_of_three_jobs_leaves_what_that_of_one_leaves(tmp_path, mode):
    shared = tmp_path / "results/tiny/_shared"
    ModelFolder(shared / "model/m").facts.write(save_source(tiny_model().float(), tmp_path / "checkpoint"))
    tokens = tiny_tokens(samples=7).to(torch.int32)
    CalibrationFolder(shared / "calibration/c").samples.write({"input_ids": tokens})
    told = GradientsSpec(inputs={"model": "m", "calibration": "c"}, batch_size=2, mode=mode, dtype="float32")
    one, three = (GradientsFolder(shared / f"gradients/{name}") for name in ("one", "three"))
    run("gradients", one.path, told.text())
    divided = told.model_copy(update={"shards": 3})
    for part in range(3):
        run("gradients", three.path, divided.model_copy(update={"part": part}).text())
    assert len([*three.path.iterdir()]) == 3  # no record, no key
    (three.path / "part.1of9.safetensors").touch()  # of a killed run
    run("gradients", three.path, divided.text())
    for file in ("saliency", "first_half"):
        expected, found = (getattr(folder, file).read() for folder in (one, three))
        assert expected and expected.keys() == found.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-12, err_msg=name)
    assert three.statistics.read().layers[1].norm == pytest.approx(one.statistics.read().layers[1].norm, rel=1e-6)
    assert three.stability.read().layers == pytest.approx(one.stability.read().layers, abs=0.02)
    assert three.key.read() == one.key.read()
    assert three.record.read().params == one.record.read().params
    assert three.record.read().tags["shards"] == "3"
    assert not [*three.path.glob("part.*of9*")]
