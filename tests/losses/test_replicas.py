"""On several replicas a loss is that of the whole batch: value and gradient of one device."""

import subprocess
import sys
from pathlib import Path

import pytest

from oracle.loss_cases import ON_CLASSES

PROGRAM = Path(__file__).with_name("replicas_program.py")
pytestmark = pytest.mark.slow


def check(what, replicas, count):
    done = subprocess.run(
        [sys.executable, PROGRAM, what, str(replicas)],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, *failed = done.stdout.strip().splitlines()
    assert first == f"{count} cases"
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("replicas", [2, 3])
def test_every_loss_is_that_of_one_device(replicas):
    """Also where replicas have parts of different sizes, and with weights, blocks and unknowns."""
    check("losses", replicas, 2 * len(ON_CLASSES))


def test_fit_under_a_strategy_trains_as_one_device():
    """With proxies, a memory and metrics of training, and a ragged last batch."""
    check("fit", 2, 5)
