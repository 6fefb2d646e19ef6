"""Training on batches whose activations do not fit memory (`micro_batch_size`).

    python benchmarks/large_batch.py                       # small images, some minutes
    python benchmarks/large_batch.py --batches 256 --network resnet50 --image 64
    python benchmarks/large_batch.py --batches 32768 --network resnet50 --image 64 \\
        --no-plain --steps 1
    python benchmarks/large_batch.py --json out.json

For each batch size: CPU seconds of a training step (which other work beside changes little) and
peak memory of the whole process, with its data, of the plain step and of the step in parts. Every
case runs in a process of its own, so that its peak is its own. A plain step that needs more than
`--limit` GiB is given up. With one step, its seconds have the tracing of the graph in them.
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
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def network(name: str, image: int) -> tuple[Any, Any]:
    import keras

    inputs = keras.Input((image, image, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    if name == "resnet50":
        x = keras.applications.ResNet50(weights=None, include_top=False, pooling="avg")(x)
    else:
        for filters in (32, 64, 128):
            x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(x)
            x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
    return inputs, keras.layers.Dense(64)(x)


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """One case, in this process."""
    import numpy as np

    from tensorflow_similarity.losses import SupConLoss
    from tensorflow_similarity.models import SimilarityModel

    batch, image = case["batch"], case["image"]
    limit = int(case["limit"] * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit + 2**34, limit + 2**34))
    x = np.random.default_rng(0).integers(0, 256, (batch, image, image, 3), dtype=np.uint8)
    y = np.arange(batch) // 4
    model = SimilarityModel(*network(case["network"], image))
    model.compile(
        "sgd",
        SupConLoss(block_size=1024),
        micro_batch_size=case["size"],
        jit_compile=False,
    )
    seconds = []
    for _ in range(case["steps"]):
        start = time.process_time()
        loss = float(np.asarray(model.train_on_batch(x, y)).ravel()[0])
        seconds.append(time.process_time() - start)
    return {
        **case,
        "seconds": statistics.median(seconds[1:] or seconds),
        "gib": peak_gib(),
        "loss": loss,
    }


def run(case: dict[str, Any]) -> dict[str, Any] | None:
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if done.returncode == 0 and lines else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--batches", nargs="+", type=int, default=[256, 1024, 4096])
    parser.add_argument("--size", type=int, default=64, help="examples in a part")
    parser.add_argument("--image", type=int, default=32)
    parser.add_argument("--network", choices=["small", "resnet50"], default="small")
    parser.add_argument("--steps", type=int, default=4, help="the first traces the graph")
    parser.add_argument("--no-plain", action="store_true", help="the step in parts alone")
    parser.add_argument("--limit", type=float, default=12.0, help="GiB of the plain step")
    parser.add_argument("--json", metavar="PATH", help="write the figures there, too")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(json.loads(arguments.case))))
        return
    rows = []
    print(f"{arguments.network}, images {arguments.image} x {arguments.image}, SupConLoss")
    print(f"{'batch':>7} {'plain s':>9} {'GiB':>6}   {'in parts s':>10} {'GiB':>6}   time")
    for batch in arguments.batches:
        case = {
            "batch": batch,
            "image": arguments.image,
            "network": arguments.network,
            "steps": arguments.steps,
            "limit": arguments.limit,
        }
        plain = None if arguments.no_plain else run({**case, "size": None})
        parts = run({**case, "size": arguments.size})
        rows.append({"plain": plain, "parts": parts})
        left = (
            f"{plain['seconds']:9.2f} {plain['gib']:6.2f}"
            if plain
            else f"{'-' if arguments.no_plain else 'too large':>16}"
        )
        right = f"{parts['seconds']:10.2f} {parts['gib']:6.2f}" if parts else f"{'failed':>17}"
        ratio = f"{parts['seconds'] / plain['seconds']:.2f}x" if plain and parts else ""
        print(f"{batch:7d} {left}   {right}   {ratio}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
