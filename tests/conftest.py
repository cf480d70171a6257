"""Fixtures that every test may use; nothing here reaches a hub."""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent))
# The code of pruned checkpoints, loaded with trust_remote_code, leaves no trace.
os.environ["HF_MODULES_CACHE"] = (modules := tempfile.TemporaryDirectory()).name

import torch

# Tiny models are slower with more threads, and test workers share the cores.
torch.set_num_threads(1)
