"""Time and memory of evaluate(), as ratios within one run.

The yardstick is what any exact evaluation has to do: the matrix product of all
queries with all keys, in blocks, and the selection of the R nearest of each row.
Of three ways to select (tf.math.top_k, numpy.argpartition, numpy.partition by
two threads) the fastest counts. The yardstick computes no metric at all.

    python benchmarks/evaluation.py              # 60,000 x 60,000 at dim 64
    python benchmarks/evaluation.py --n 20000    # quicker
    python benchmarks/evaluation.py --json out.json

    python benchmarks/evaluation.py --peer /path/to/venv/bin/python

The last times pytorch-metric-learning's AccuracyCalculator on the same arrays, in an
environment of its own (pip install torch pytorch-metric-learning faiss-cpu scikit-learn),
and compares the values. Above the aim means: less than 3 times as fast, or other values.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

METRICS = ["precision@1", "r_precision", "map@r"]
BLOCK = 512
SAMPLE = 8  # Of so many blocks the yardstick takes one, and multiplies.
LIMITS = {"time": 2.0, "gib": 2.0}
FASTER = 3.0  # Than the peer.
PEER = {
    "precision@1": "precision_at_1",
    "r_precision": "r_precision",
    "map@r": "mean_average_precision_at_r",
}


def data(n: int, dim: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=n)
    centres = rng.normal(size=(classes, dim)).astype(np.float32)
    x = centres[labels] + 1.5 * rng.normal(size=(n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True), labels


def yardstick(x: np.ndarray, depth: int) -> dict[str, float]:
    """Seconds of the product, and of each selection, scaled to all rows."""
    import tensorflow as tf

    keys = tf.constant(x)
    product = tf.function(lambda q: tf.matmul(q, keys, transpose_b=True))  # Unit rows: cosine.
    n = len(x)
    work = np.empty((BLOCK, n), np.float32)

    def by_partition(block: np.ndarray) -> None:
        with ThreadPoolExecutor(2) as pool:
            halves = [slice(0, BLOCK // 2), slice(BLOCK // 2, BLOCK)]

            def half(rows: slice) -> None:
                work[rows] = block[rows]
                work[rows].partition(n - depth, axis=1)

            list(pool.map(half, halves))

    selections = {
        "top_k": lambda block: tf.math.top_k(block, depth, sorted=False).values.numpy(),
        "argpartition": lambda block: np.argpartition(np.asarray(block), n - depth, axis=1),
        "partition": lambda block: by_partition(np.asarray(block)),
    }
    product(tf.constant(x[:BLOCK]))
    seconds = dict.fromkeys(["product", *selections], 0.0)
    taken = 0
    for begin in range(0, len(x) - BLOCK + 1, BLOCK * SAMPLE):
        start = time.perf_counter()
        block = product(tf.constant(x[begin : begin + BLOCK]))
        block.numpy()
        seconds["product"] += time.perf_counter() - start
        for name, select in selections.items():
            start = time.perf_counter()
            select(block)
            seconds[name] += time.perf_counter() - start
        taken += BLOCK
    return {name: value * len(x) / taken for name, value in seconds.items()}


def measure(n: int, dim: int, classes: int, repeats: int) -> dict:
    from tensorflow_similarity.evaluation import evaluate

    x, y = data(n, dim, classes)
    evaluate(x[:1000], y[:1000], metrics=METRICS)  # Loads everything.
    depth = min(int(np.bincount(y).max()), n - 1)
    runs = []
    for _ in range(repeats):
        scale = yardstick(x, depth)
        start = time.perf_counter()
        result = evaluate(x, y, metrics=METRICS)
        seconds = time.perf_counter() - start
        bare = scale["product"] + min(v for k, v in scale.items() if k != "product")
        runs.append({"ratio": seconds / bare, "seconds": seconds, "bare": bare, **scale})
    runs.sort(key=lambda run: run["ratio"])
    return {**runs[len(runs) // 2], "depth": depth, "values": dict(result)}


def measure_alone(n: int, dim: int, classes: int, repeats: int) -> dict:
    """Seconds of each evaluation, and its values."""
    from tensorflow_similarity.evaluation import evaluate

    x, y = data(n, dim, classes)
    evaluate(x[:1000], y[:1000], metrics=METRICS)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        values = evaluate(x, y, metrics=METRICS)
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "values": dict(values)}


def measure_memory(n: int, dim: int, classes: int) -> dict:
    """Peak memory above what the libraries and the data take."""
    from tensorflow_similarity.evaluation import evaluate

    x, y = data(n, dim, classes)
    evaluate(x[:1000], y[:1000], metrics=METRICS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    evaluate(x, y, metrics=METRICS)
    return {"gib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20}


def measure_peer(n: int, dim: int, classes: int, repeats: int) -> dict:
    """Seconds of AccuracyCalculator, the median, and its values."""
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    calculator = AccuracyCalculator(include=tuple(PEER.values()), k="max_bin_count")

    def run(x: np.ndarray, y: np.ndarray) -> dict:
        return calculator.get_accuracy(torch.from_numpy(x), torch.from_numpy(y))

    x, y = data(n, dim, classes)
    run(x[:1000], y[:1000])
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        values = run(x, y)
        seconds.append(time.perf_counter() - start)
    return {
        "peer": sorted(seconds)[len(seconds) // 2],
        "peer values": {ours: float(values[theirs]) for ours, theirs in PEER.items()},
    }


def in_child(task: str, *arguments: int, python: str = sys.executable) -> dict:
    command = [python, __file__, "--task", task, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=60_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 600, 12_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", default=None, metavar="PYTHON")
    parser.add_argument("--json", default=None)
    parser.add_argument("--task", nargs="+", default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        tasks = {
            "time": measure,
            "alone": measure_alone,
            "memory": measure_memory,
            "peer": measure_peer,
        }
        print(json.dumps(tasks[args.task[0]](*map(int, args.task[1:]))))
        return
    print(f"evaluate() of {args.n:,} x {args.n:,} at dim {args.dim}: {', '.join(METRICS)}")
    print("seconds; the ratio is evaluate() / (product + fastest selection)\n")
    header = ["classes", "R", "product", "selection", "evaluate", "ratio", "GiB above data"]
    print(
        "  ".join(f"{title:>10}" for title in [*header, *(["times as fast"] if args.peer else [])])
    )
    results = []
    for classes in args.classes:
        row = in_child("time", args.n, args.dim, classes, args.repeats)
        row |= in_child("memory", args.n, args.dim, classes)
        cells = [row["product"], row["bare"] - row["product"], row["seconds"], row["ratio"]]
        line = [f"{classes:>10}", f"{row['depth']:>10}"]
        line += [f"{value:>10.2f}" for value in [*cells, row["gib"]]]
        off = 0.0
        if args.peer:
            row |= in_child(
                "peer", args.n, args.dim, classes, min(args.repeats, 2), python=args.peer
            )
            row["faster"] = row["peer"] / row["seconds"]
            off = max(abs(row["values"][m] - row["peer values"][m]) for m in PEER)
            line.append(f"{row['faster']:>13.1f}")
        missed = [
            name
            for name, value in (("time", row["ratio"]), ("gib", row["gib"]))
            if value > LIMITS[name]
        ]
        notes = [f"above the aim of {LIMITS[m]} ({m})" for m in missed]
        if args.peer and row["faster"] < FASTER:
            notes.append(f"below the aim of {FASTER} times the peer")
        if off > 1e-4:
            notes.append(f"values differ from the peer's by {off:.1e}")
        print("  ".join(line), *notes, sep="  ")
        results.append({"classes": classes, **row})
    if not args.peer:
        print("\nNot compared with pytorch-metric-learning: pass --peer.")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
