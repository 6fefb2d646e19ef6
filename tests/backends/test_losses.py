"""Every loss has the value and the gradient that it has on TensorFlow."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from oracle.loss_cases import CASES

PROGRAM = Path(__file__).with_name("losses_program.py")
# Losses of a difference of nearly equal numbers are not exact to more in float32.
TOLERANCE = 1e-5


def results(backend, path):
    done = subprocess.run(
        [sys.executable, PROGRAM, path],
        env={**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(path) as file:
        return dict(file)


def test_values_and_gradients_are_those_of_tensorflow(tmp_path):
    expected = results("tensorflow", tmp_path / "tensorflow.npz")
    found = results(os.environ["KERAS_BACKEND"], tmp_path / "here.npz")
    assert list(found) == list(expected)
    assert len(found) > 4 * len(CASES)
    failed = []
    for name, value in expected.items():
        scale = max(np.abs(value).max(), 1e-3)
        difference = np.abs(found[name] - value).max() / scale
        if not difference < TOLERANCE:
            failed.append(f"{name} differs by {difference:.1e}")
    assert not failed, "\n".join(failed)
