"""Time and memory of the losses, value and gradient, as ratios within one run.

The yardstick is the matrix products alone: one forward (queries x keys) and two
backward, of the same shape, timed in turn with the loss in the same process.

    python benchmarks/losses.py                 # the mined losses at batch 4096
    python benchmarks/losses.py --all           # every loss, batches 256, 1024, 4096
    python benchmarks/losses.py --huge          # batch 32,768 in blocks
    python benchmarks/losses.py --json out.json # the same figures for machines

Every case runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

DIM = 128
#: name -> (batch, examples a class (None: 10 classes in all), loss, arguments, aim)
MINED = {
    "TripletLoss, 4 a class": (4096, 4, "TripletLoss", {}, (3.0, 2.0)),
    "TripletSemiHardLoss, 4 a class": (4096, 4, "TripletSemiHardLoss", {}, (3.0, 2.0)),
    "TripletLoss, 10 classes": (4096, None, "TripletLoss", {}, (15.0, 2.0)),
    "TripletSemiHardLoss, 10 classes": (4096, None, "TripletSemiHardLoss", {}, (15.0, 2.0)),
}
#: No losses themselves, or the same computation as another.
BASES = (
    "MetricLoss",
    "MinedLoss",
    "NpairsMultilabelLoss",
    "StatisticsLoss",
)
HUGE = {
    f"{name}, batch 32,768, block_size 1024": (
        32768,
        4,
        name,
        {"block_size": 1024},
        (None, 4.0),
    )
    for name in ("TripletLoss", "TripletSemiHardLoss")
}


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(batch: int, per_class: int | None, loss_name: str, arguments: dict) -> dict:
    """Times one loss against the matrix products, in this process."""
    import numpy as np
    import tensorflow as tf

    import tensorflow_similarity.losses as losses

    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, DIM)).astype("float32")
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = np.arange(batch) % 10 if per_class is None else np.arange(batch) // per_class
    x, y = tf.constant(x), tf.constant(y)

    @tf.function
    def products(x: tf.Tensor) -> tf.Tensor:
        rows = min(batch, 4096)
        total = tf.zeros((), x.dtype)
        for begin in range(0, batch, rows):  # As large as fits comfortably.
            q = x[begin : begin + rows]
            a = tf.matmul(q, x, transpose_b=True)
            total += tf.reduce_sum(tf.matmul(a, x)) + tf.reduce_sum(
                tf.matmul(a, q, transpose_a=True)
            )
        return total

    loss = getattr(losses, loss_name)(**arguments)

    @tf.function
    def value_and_gradient(x: tf.Tensor, y: tf.Tensor) -> tuple:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(y, x)
        return value, tf.convert_to_tensor(tape.gradient(value, x))

    tf.reduce_sum(tf.matmul(x[:64], x, transpose_b=True)).numpy()
    bare = _peak_gib()
    value_and_gradient(x, y)
    peak = _peak_gib() - bare
    products(x)
    runs = 3 if batch > 10_000 else 9
    own, yardstick = [], []
    # On one thread, its own seconds: they say the same on a busy machine.
    clock = time.process_time if "OMP_NUM_THREADS" in os.environ else time.perf_counter
    for _ in range(runs):
        for seconds, run in (
            (yardstick, lambda: products(x).numpy()),
            (own, lambda: value_and_gradient(x, y)[1].numpy()),
        ):
            begin = clock()
            run()
            seconds.append(clock() - begin)
    return {
        "seconds": statistics.median(own),
        "products_seconds": statistics.median(yardstick),
        "ratio": statistics.median(a / b for a, b in zip(own, yardstick, strict=True)),
        "best_ratio": min(own) / min(yardstick),
        "peak_gib": peak,
        "own": own,
        "yardstick": yardstick,
    }


def every_loss() -> dict:
    """All public losses that form pairs of embeddings, at three batch sizes."""
    import tensorflow_similarity.losses as losses

    cases = {}
    for batch in (256, 1024, 4096):
        for name in losses.__all__:
            if name in BASES:
                continue
            arguments = {}
            if name in ("ContrastiveLoss", "NpairsLoss"):
                arguments = {"distance": "euclidean"}
            cases[f"{name}, batch {batch}"] = (batch, 4, name, arguments, (None, None))
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--all", action="store_true", help="every loss at three batch sizes")
    parser.add_argument("--huge", action="store_true", help="batch 32,768 in blocks")
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print("RESULT " + json.dumps(measure(*json.loads(options.case))))
        return

    cases = dict(every_loss() if options.all else HUGE if options.huge else MINED)
    print(f"value and gradient, float32, dim {DIM}, {os.cpu_count()} cores; x: times the products")
    print(f"{'case':48} {'ms':>9} {'products':>9} {'x':>6} {'aim':>5} {'GiB':>6} {'aim':>5}")
    figures = {}
    for name, (*case, (aim_ratio, aim_memory)) in cases.items():
        command = [sys.executable, __file__, "--case", json.dumps(case)]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        output = subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True
        ).stdout
        figure = json.loads(output.split("RESULT ")[1])
        figures[name] = figure
        print(
            f"{name:48} {figure['seconds'] * 1e3:9.1f} {figure['products_seconds'] * 1e3:9.1f} "
            f"{figure['ratio']:6.2f} {aim_ratio or '':>5} {figure['peak_gib']:6.2f} "
            f"{aim_memory or '':>5}",
            flush=True,
        )
    if options.json:
        with open(options.json, "w") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
