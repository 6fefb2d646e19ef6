"""Time of a sampler's batch and of a single lookup, each beside its bare minimum.

A batch against the gather of the same rows; `single_lookup` against the compiled
forward pass and the lookup of a ready embedding. Everything is timed in turns,
so that a busy machine disturbs all alike; figures are medians.

    python benchmarks/model.py
    python benchmarks/model.py --json out.json
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import MultiShotMemorySampler

# Examples, classes, shape of an example, classes in a batch, examples of each.
BATCHES = [
    (60_000, 10, (28, 28, 1), 8, 4),
    (60_000, 10, (28, 28, 1), 10, 32),
    (60_000, 1_000, (28, 28, 1), 64, 4),
    (500_000, 50_000, (128,), 128, 4),
]
RECORDS = 20_000


def in_turns(calls: dict[str, Callable[[int], Any]], times: int) -> dict[str, float]:
    """Median microseconds of each call."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(times):
        for name, call in calls.items():
            start = time.perf_counter()
            call(i)
            seconds[name].append(time.perf_counter() - start)
    warm = times // 10
    return {name: 1e6 * float(np.median(values[warm:])) for name, values in seconds.items()}


def sampler_batches(times: int) -> list[dict[str, Any]]:
    rows = []
    rng = np.random.default_rng(0)
    for n, classes, shape, per_batch, of_each in BATCHES:
        x, y = rng.random((n, *shape), dtype=np.float32), rng.integers(classes, size=n)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some classes of the last setting are small
            sampler = MultiShotMemorySampler(x, y, per_batch, of_each, times, seed=0)
        # Of another epoch, so that neither finds the rows of the other in the cache.
        positions = [sampler._draws.draw(1, i) for i in range(times)]

        def gather(i: int, x: Any = x, y: Any = y, positions: Any = positions) -> Any:
            return x[positions[i]], y[positions[i]]

        found = in_turns({"gather": gather, "sampler": sampler.__getitem__}, times)
        rows.append(
            {
                "batch": f"{per_batch} x {of_each} of {n:,} in {classes:,} classes, {shape}",
                **found,
                "per_second": 1e6 / found["sampler"],
                "ratio": found["sampler"] / found["gather"],
            }
        )
    return rows


def single_lookup(times: int) -> dict[str, float]:
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(32, 3, activation="relu")(inputs)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(64, 3, activation="relu")(x)
    outputs = L2Embedding(64)(keras.layers.GlobalAveragePooling2D()(x))
    model = SimilarityModel(inputs, outputs)
    model.create_index(distance="cosine")
    rng = np.random.default_rng(0)
    images = rng.random((100, 28, 28, 1), dtype=np.float32)
    model.index(images, verbose=0)
    model.vector_index.add(rng.normal(size=(RECORDS, 64)))
    spec = tf.TensorSpec([1, 28, 28, 1], tf.float32)
    bare = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
    query = model.embed(images[:1], verbose=0)
    return in_turns(
        {
            "bare forward pass": lambda i: bare(tf.convert_to_tensor(images[i % 9 : i % 9 + 1])),
            "lookup of an embedding": lambda i: model.vector_index.lookup(query, k=5),
            "single_lookup": lambda i: model.single_lookup(images[i % 9], k=5),
            "predict, for comparison": lambda i: model.predict(images[:1], verbose=0),
            "model(x), eager": lambda i: model(images[i % 9 : i % 9 + 1], training=False),
        },
        times,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=400)
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    batches, lookup = sampler_batches(options.times), single_lookup(options.times)
    print("A batch of MultiShotMemorySampler")
    for row in batches:
        print(
            f"  {row['batch']:62} {row['sampler']:7.0f} us, {row['per_second']:6.0f} a second, "
            f"{row['ratio']:.2f} x its gather"
        )
    print(f"One query in {RECORDS:,} records")
    for name, value in lookup.items():
        print(f"  {name:24} {value:7.0f} us")
    both = lookup["bare forward pass"] + lookup["lookup of an embedding"]
    print(f"  single_lookup takes {lookup['single_lookup'] / both:.2f} x the first two together")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"batches": batches, "single_lookup": lookup}, file, indent=1)


if __name__ == "__main__":
    main()
