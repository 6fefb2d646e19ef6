"""Makes every test run the same way: on the CPU, from fixed seeds, quietly."""

from __future__ import annotations

import os
import sys

# Read by TensorFlow when it is first imported, hence before anything else here.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
from hypothesis import HealthCheck, settings

# A first example may trace or compile a graph, which no deadline survives.
settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Seeds Python, NumPy and the backend before each test."""
    # Imported here, for the process that only hands out tests to others needs no TensorFlow.
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _keras_state():
    """Leaves no dtype policy or float type behind for the next test."""
    import keras

    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    yield
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx(floatx)


@pytest.fixture(autouse=True)
def _engines():
    """Leaves no search engine behind that a test registered: `search="auto"` would try it."""
    module = sys.modules.get("tensorflow_similarity.index.engines")
    before = None if module is None else dict(module._ENGINES)
    yield
    if module is not None:
        module._ENGINES.clear()
        module._ENGINES.update(before)
