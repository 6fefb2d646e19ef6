"""On several devices a loss is that of the whole batch: value and gradient of one device."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oracle.loss_cases import ON_CLASSES

pytestmark = pytest.mark.slow
BACKEND = os.environ.get("KERAS_BACKEND")


def check(program, count, **environment):
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name(program)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, *failed = done.stdout.strip().splitlines()
    assert first == f"{count} cases"
    assert not failed, "\n".join(failed)


@pytest.mark.skipif(BACKEND != "jax", reason="for JAX")
@pytest.mark.parametrize("devices", [2, 4])
def test_data_parallel_on_virtual_devices(devices):
    """Every loss; `fit` with memory, metrics and callbacks; batches that devices do not divide."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    check("jax_devices_program.py", len(ON_CLASSES) + 3, XLA_FLAGS=flags)


@pytest.mark.skipif(BACKEND != "torch", reason="for PyTorch")
def test_distributed_data_parallel_in_two_processes():
    """Every loss; a memory and a metric that hold the batches of both; `across_replicas=False`."""
    check("torch_processes_program.py", 2 * len(ON_CLASSES) + 1)
