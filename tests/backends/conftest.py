"""The tests of this folder are for JAX and torch: `make test-jax`, `make test-torch`.

These run what is quick; `make test-backends` runs the slow ones too, on both.
"""

import os
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items):
    """Skips them on TensorFlow, which all other tests are for."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        skip = pytest.mark.skip(reason="for KERAS_BACKEND=jax and torch: make test-backends")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(skip)
