"""On several replicas a loss is that of the whole batch: value and gradient of one device."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
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


OTHERS = 29  # losses on proxies, two views, and around another loss
FEW = 4 * 3 + 3  # those that stand for all, with parts of one size, and plainly


@pytest.mark.parametrize(
    ("replicas", "count"), [(2, len(ON_CLASSES) + OTHERS + FEW + 1), (3, 4 + OTHERS + FEW + 1)]
)
def test_every_loss_is_that_of_one_device(replicas, count):
    """Also where replicas have parts of different sizes, and with weights, blocks and unknowns.

    On three replicas, those on embeddings and class ids are the few that stand for all.
    """
    check("losses", replicas, count)


@pytest.mark.parametrize(("replicas", "count"), [(2, 24), (3, 10)])
def test_fit_under_a_strategy_trains_as_one_device(replicas, count):
    """With proxies, a memory, metrics, labels of any kind, weights, parts that differ or are empty.

    The weights, and what is logged of training and validation. Also a batch at a time, and with
    the batches of workers; a model that was made elsewhere is refused.
    """
    check("fit", replicas, count)


def test_two_workers_on_loopback_train_as_one_process(tmp_path):
    """`MultiWorkerMirroredStrategy`: weights, memory, metric, index, evaluation, a saved model."""
    program = Path(__file__).with_name("workers_program.py")
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("localhost", 0))
        addresses = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    running = []
    for rank in (0, 1, None):
        env = dict(os.environ)
        if rank is not None:
            task = {"type": "worker", "index": rank}
            env["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        command = [sys.executable, program, tmp_path / f"{rank}.npz"]
        running.append(subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True))
    try:
        for process in running:
            _, errors = process.communicate(timeout=400)
            assert process.returncode == 0, errors[-3000:]
    finally:
        for process in running:
            process.kill()
            process.wait()
            process.stderr.close()
    alone, *workers = (np.load(tmp_path / f"{rank}.npz") for rank in (None, 0, 1))
    for worker in workers:
        assert worker.files == alone.files
        for name in alone.files:
            np.testing.assert_allclose(worker[name], alone[name], atol=1e-4)
