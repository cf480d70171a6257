"""Two experiments on disk: an ordinary one, and one whose layers 2 to 4 have almost no gradient."""

from pathlib import Path

import numpy as np
import pytest

from diagnosis_data import LAYERS, write_experiment
from prunescope.config.sections import Diagnosis


@pytest.fixture
def thresholds() -> Diagnosis:
    return Diagnosis()


@pytest.fixture
def ordinary_profile() -> np.ndarray:
    layer = np.arange(LAYERS)
    return 1.0 + 0.9 * np.exp(-layer / 3) + 0.25 * np.sin(layer * 1.7)


@pytest.fixture
def extreme_profile(ordinary_profile) -> np.ndarray:
    profile = ordinary_profile.copy()
    profile[2:5] *= [1 / 1500, 1 / 900, 1 / 700]
    return profile


@pytest.fixture
def ordinary(tmp_path, ordinary_profile) -> Path:
    return write_experiment(tmp_path, "taylor_T1_tau0_20_wiki", ordinary_profile)


@pytest.fixture
def extreme(tmp_path, extreme_profile) -> Path:
    return write_experiment(tmp_path, "taylor_T0_20_wiki_max60", extreme_profile)
