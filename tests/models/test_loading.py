"""What `dtype: auto` is, on every processor, and the switch that lets the suite run as on another one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from prunescope.models import loading
from prunescope.models.loading import SHORT, attend_backwards, calibration_dtype, compute_dtype, native_bfloat16
from tiny import FAMILIES, tiny_model, tiny_tokens


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bfloat16_where_a_gpu_computes_in_it(monkeypatch, native, dtype):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation)
    assert compute_dtype("auto", torch.device("cuda")) == dtype
    assert compute_dtype("auto", torch.device("cpu")) == torch.float32


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_calibration_is_in_bfloat16_also_where_a_cpu_computes_in_it(monkeypatch, native, dtype):
    cpu = torch.device("cpu")
    monkeypatch.setattr(loading, "default_device", lambda: cpu)
    monkeypatch.setattr(loading, "native_bfloat16", lambda: native)
    assert compute_dtype(calibration_dtype("auto"), cpu) == dtype
    assert calibration_dtype("float32") == "float32"


def test_bfloat16_is_native_only_with_instructions(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    assert not native_bfloat16()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": True})
    assert native_bfloat16()


@pytest.mark.parametrize("native", ["1", "0"])
def test_the_suite_can_run_as_on_another_processor(native):
    folders = [str(Path(__file__).parents[1] / "processor"), *sys.path]
    environment = {"PYTHONPATH": os.pathsep.join(folders), "PRUNESCOPE_TEST_NATIVE_BFLOAT16": native}
    code = "from prunescope.models.loading import native_bfloat16; print(int(native_bfloat16()))"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True)
    assert done.stdout.strip() == native, done.stderr


@pytest.mark.parametrize(
    ("dtype", "tokens", "attention"),
    [(torch.bfloat16, SHORT, "eager"), (torch.bfloat16, SHORT + 1, "sdpa"), (torch.float32, SHORT, "sdpa")],
)
def test_attention_with_its_gradient_is_plain_where_that_is_quicker(dtype, tokens, attention):
    model = tiny_model().to(dtype)
    attend_backwards(model, tokens)
    assert model.config._attn_implementation == attention


@pytest.mark.parametrize("sliding_window", [None, 5])
@pytest.mark.parametrize("family", FAMILIES)
def test_plain_attention_computes_the_same(family, sliding_window):
    model = tiny_model(family, sliding_window=sliding_window)
    fused = model(tiny_tokens()).logits
    model.set_attn_implementation("eager")
    # The softmax of plain attention is taken in float32, whatever the model computes in.
    torch.testing.assert_close(model(tiny_tokens()).logits, fused, atol=1e-4, rtol=1e-4)
