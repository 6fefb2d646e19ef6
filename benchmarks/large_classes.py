"""What proxies of very many classes cost in a step, all of them and a sample.

    python benchmarks/large_classes.py
    python benchmarks/large_classes.py --classes 1000000 --heads partial --optimizers sgd

Embeddings of 128, batches of 128, ArcFace. For each case, in a process of its own: seconds of a
training step, the median of five, and peak memory beyond that of the process before it made the
model. A full head that would need more than `--limit` GiB for its cosines is left out.
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
DIM, BATCH, STEPS = 128, 128, 5


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(case: dict[str, Any]) -> dict[str, float]:
    """One case, in this process."""
    import keras
    import numpy as np

    from tensorflow_similarity.layers import PartialProxyHead, ProxyHead
    from tensorflow_similarity.losses import ArcFaceLoss, PartialProxyLoss
    from tensorflow_similarity.models import SimilarityModel

    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS + 2, BATCH, DIM)).astype("float32")
    y = rng.integers(0, case["classes"], (STEPS + 2, BATCH))
    keras.ops.matmul(x[0], x[0].T)  # what the backend itself needs
    before = peak_gib()
    inputs = keras.Input((DIM,))
    embedding = keras.layers.Dense(DIM)(inputs)
    head, loss = ProxyHead, ArcFaceLoss()
    if case["head"] == "partial":
        head, loss = PartialProxyHead, PartialProxyLoss(loss, case["negatives"])
    model = SimilarityModel(inputs, head(case["classes"])(embedding))
    optimizer = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[case["optimizer"]]
    model.compile(optimizer(1e-3), loss, jit_compile=False)
    seconds = []
    for batch, labels in zip(x, y, strict=True):
        begin = time.perf_counter()
        model.train_on_batch(batch, labels)
        seconds.append(time.perf_counter() - begin)
    return {"seconds": statistics.median(seconds[2:]), "gib": peak_gib() - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--classes", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--heads", nargs="*", default=["full", "partial"])
    parser.add_argument("--optimizers", nargs="*", default=["sgd", "adam"])
    parser.add_argument("--negatives", type=int, default=8192)
    parser.add_argument("--limit", type=float, default=0.25)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(json.loads(options.case))))
        return
    print(f"{'classes':>9}  {'head':8} {'optimizer':9} {'s a step':>9} {'GiB':>6}")
    for classes in options.classes:
        for head in options.heads:
            for optimizer in options.optimizers:
                if head == "full" and classes * BATCH * 4 / 2**30 > options.limit:
                    continue
                case = {
                    "classes": classes,
                    "head": head,
                    "optimizer": optimizer,
                    "negatives": options.negatives,
                }
                command = [sys.executable, __file__, "--case", json.dumps(case)]
                result = subprocess.run(command, capture_output=True, text=True, check=False)
                if result.returncode:
                    print(f"{classes:9}  {head:8} {optimizer:9} did not fit or failed", flush=True)
                    continue
                found = json.loads(result.stdout.splitlines()[-1])
                print(
                    f"{classes:9}  {head:8} {optimizer:9} {found['seconds']:9.3f} "
                    f"{found['gib']:6.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
