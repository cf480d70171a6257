"""Fixtures that every test may use; nothing here reaches a hub."""

import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent))

import torch

# Tiny models are slower with more threads, and test workers share the cores.
torch.set_num_threads(1)
