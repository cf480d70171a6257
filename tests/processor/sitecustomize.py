"""Runs at the start of every Python process of the suite: overrides what the processor says about bfloat16.

`PRUNESCOPE_TEST_NATIVE_BFLOAT16=1` makes it native, `0` emulated; `conftest.py` puts this folder on `PYTHONPATH`, so
that the subprocesses of the workflow tests are covered too.
"""

import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder

NATIVE = os.environ.get("PRUNESCOPE_TEST_NATIVE_BFLOAT16")
INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")


class _PatchesTorch(MetaPathFinder):
    """Patches `torch.cpu` when it is imported, so that processes without torch do not pay for it."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != "torch.cpu":
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def execute_and_patch(module) -> None:
            execute(module)
            capabilities = module.get_capabilities
            module.get_capabilities = lambda: capabilities() | dict.fromkeys(INSTRUCTIONS, NATIVE == "1")

        spec.loader.exec_module = execute_and_patch
        return spec


if NATIVE in ("0", "1"):
    sys.meta_path.insert(0, _PatchesTorch())
