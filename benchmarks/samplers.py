"""Batches a second of each sampler, alone, against a plain shuffled pipeline on the same data.

The plain pipelines know nothing of classes: `tf.data` shuffles, loads and batches, and
`keras.utils.PyDataset` takes slices of a permutation. What a sampler costs above them is the
price of balanced batches. The last table is of a training step, which the sampler should not
hold up.

    python benchmarks/samplers.py
    python benchmarks/samplers.py --seconds 0.2 --files 60 --json out.json
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import (
    HierarchicalClasses,
    MultiShotFileSampler,
    MultiShotMemorySampler,
    MultiShotTFRecordSampler,
    SingleShotMemorySampler,
    TFDataSampler,
    TFRecordDatasetSampler,
    balanced_stream,
    load_image,
    tfrecord_parser,
    write_tfrecords,
)

CLASSES, PER_BATCH, EACH = 100, 8, 4
SIZE = PER_BATCH * EACH
BALANCED = {"classes_per_batch": PER_BATCH, "examples_per_class_per_batch": EACH}
IMAGE = (64, 64)


class Shuffled(keras.utils.PyDataset):
    """Slices of a permutation: the least that a PyDataset can do."""

    def __init__(self, x: Any, y: Any, load: Any = None) -> None:
        super().__init__()
        self.x, self.y, self.load = x, y, load
        self.order = np.random.default_rng(0).permutation(len(y))

    def __len__(self) -> int:
        return len(self.y) // SIZE

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        part = self.order[index * SIZE : (index + 1) * SIZE]
        x = self.x[part]
        return (x if self.load is None else np.stack([self.load(i) for i in x])), self.y[part]


def endless(dataset: Any) -> Iterator[Any]:
    while True:
        for index in range(len(dataset)):
            yield dataset[index]
        dataset.on_epoch_end()


def rates(makers: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """Batches a second of each, timed in turns so that a busy machine disturbs all alike."""
    iterators = {}
    for name, make in makers.items():
        made = make()
        iterators[name] = iter(made) if isinstance(made, tf.data.Dataset) else endless(made)
        for _ in range(3):
            next(iterators[name])
    counts = dict.fromkeys(makers, 0)
    spent = dict.fromkeys(makers, 0.0)
    for _ in range(5):
        for name, iterator in iterators.items():
            start = time.perf_counter()
            while time.perf_counter() - start < seconds / 5:
                next(iterator)
                counts[name] += 1
            spent[name] += time.perf_counter() - start
    return {name: counts[name] / spent[name] for name in makers}


def in_memory(seconds: float) -> dict[str, float]:
    rng = np.random.default_rng(0)
    x, y = rng.random((30_000, 28, 28, 1), np.float32), rng.integers(CLASSES, size=30_000)
    ds = tf.data.Dataset.from_tensor_slices((x, y))
    kinds = HierarchicalClasses({label: label // 10 for label in range(CLASSES)}, 2)
    makers = {
        "plain tf.data": lambda: ds.shuffle(30_000, seed=0).repeat().batch(SIZE).prefetch(-1),
        "plain PyDataset": lambda: Shuffled(x, y),
        "MultiShotMemorySampler": lambda: MultiShotMemorySampler(x, y, **BALANCED, seed=0),
        "  by category": lambda: MultiShotMemorySampler(
            x, y, **BALANCED, class_choice=kinds, seed=0
        ),
        "SingleShotMemorySampler": lambda: SingleShotMemorySampler(
            x, lambda x, y: (x + 1, y), examples_per_batch=SIZE // 2, seed=0
        ),
        "TFDataSampler": lambda: TFDataSampler(ds, **BALANCED, seed=0),
        "balanced_stream": lambda: balanced_stream(
            ds.shuffle(30_000, seed=0).repeat(), PER_BATCH, EACH
        ),
    }
    return rates(makers, seconds)


class Gathered(keras.utils.PyDataset):
    """The same positions again and again: what it costs to copy a batch, and nothing else."""

    def __init__(self, take: Callable[[np.ndarray], Any], number: int) -> None:
        super().__init__()
        self.take = take
        self.positions = np.random.default_rng(0).integers(number, size=(64, SIZE))

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Any:
        return self.take(self.positions[index])


def kinds(seconds: float) -> dict[str, float]:
    """Each kind of example beside the bare gather of a batch of it."""
    rng, number = np.random.default_rng(0), 30_000
    y = rng.integers(CLASSES, size=number)
    names = np.array([f"class {label:03}" for label in y])
    x = rng.random((number, 28, 28, 1), np.float32)
    texts = np.array([f"a text of some length, number {i}" for i in range(number)])
    sequences = np.empty(number, object)
    sequences[:] = [np.arange(length) for length in rng.integers(5, 60, size=number)]

    def filled(positions: np.ndarray) -> Any:
        rows = sequences[positions]
        made = np.zeros((len(rows), max(map(len, rows))), np.int64)
        for row, steps in zip(made, rows, strict=True):
            row[: len(steps)] = steps
        return made, y[positions]

    def of(x: Any, labels: Any = y, **options: Any) -> Callable[[], Any]:
        return lambda: MultiShotMemorySampler(x, labels, **BALANCED, seed=0, **options)

    makers = {
        "arrays, bare gather": lambda: Gathered(lambda i: (x[i], y[i]), number),
        "arrays": of(x),
        "arrays, class names": of(x, names),
        "arrays, auxiliary, weights": of(
            x, {"a": y, "b": x[:, 0, 0, 0]}, label_output="a", sample_weight=x[:, 1, 1, 0]
        ),
        "text, bare gather": lambda: Gathered(
            lambda i: (tf.constant(texts[i].astype(object)), y[i]), number
        ),
        "text": of(texts),
        "sequences, bare gather": lambda: Gathered(filled, number),
        "sequences": of(sequences),
    }
    return rates(makers, seconds)


def files(folder: Path, number: int, seconds: float) -> dict[str, float]:
    rng = np.random.default_rng(0)
    paths = []
    for i in range(number):
        paths.append(str(folder / f"{i}.jpg"))
        image = rng.integers(0, 255, (8, 8, 3)).astype("float32")
        keras.utils.save_img(paths[-1], np.asarray(tf.image.resize(image, (96, 96))), scale=False)
    labels = np.arange(number) % (number // 8)

    def load(path: Any, label: Any) -> Any:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize(image, IMAGE), label

    ds = tf.data.Dataset.from_tensor_slices((paths, labels))
    one = functools.partial(load_image, target_size=IMAGE, dtype="uint8", interpolation="bilinear")
    makers = {
        "plain tf.data": lambda: ds.shuffle(number, seed=0).repeat().map(load, -1).batch(SIZE),
        "plain PyDataset": lambda: Shuffled(np.array(paths), labels, one),
        "MultiShotFileSampler": lambda: MultiShotFileSampler(
            paths, labels, one, **BALANCED, seed=0
        ),
        "TFDataSampler": lambda: TFDataSampler(ds, **BALANCED, load_fn=load, seed=0),
    }
    return rates(makers, seconds)


def records(folder: Path, seconds: float) -> dict[str, float]:
    rng = np.random.default_rng(0)
    x = rng.random((10_000, 28, 28, 1), np.float32)
    paths = write_tfrecords(folder, x, np.arange(10_000) % CLASSES, examples_per_shard=1000)
    parse = tfrecord_parser(folder)

    def plain() -> Any:
        ds = tf.data.Dataset.from_tensor_slices(paths)
        ds = ds.interleave(tf.data.TFRecordDataset, num_parallel_calls=-1).shuffle(1024).repeat()
        return ds.map(parse, -1).batch(SIZE).prefetch(-1)

    makers = {
        "plain tf.data": plain,
        "MultiShotTFRecordSampler": lambda: MultiShotTFRecordSampler(folder, **BALANCED, seed=0),
        "TFRecordDatasetSampler": lambda: TFRecordDatasetSampler(
            folder, example_per_class=EACH, batch_size=SIZE
        ),
    }
    return rates(makers, seconds)


def training(seconds: float) -> dict[str, float]:
    """Steps a second of a small network: on one batch again and again, and on pipelines."""
    rng = np.random.default_rng(0)
    x, y = rng.random((30_000, 28, 28, 1), np.float32), rng.integers(CLASSES, size=30_000)
    inputs = keras.Input((28, 28, 1))
    maps = keras.layers.Conv2D(16, 3, activation="relu")(inputs)
    outputs = L2Embedding(32)(keras.layers.GlobalAveragePooling2D()(maps))
    model = SimilarityModel(inputs, outputs)
    model.compile("adam", loss=TripletLoss(distance="cosine"))
    steps = max(20, int(seconds * 200))
    sampler = MultiShotMemorySampler(x, y, **BALANCED, steps_per_epoch=steps, seed=0)
    one = sampler[0]
    same = tf.data.Dataset.from_tensors(one).repeat(steps)
    ds = tf.data.Dataset.from_tensor_slices((x, y))
    shuffled = ds.shuffle(30_000, seed=0).repeat().batch(SIZE).take(steps).prefetch(-1)
    balanced = TFDataSampler(ds, **BALANCED, seed=0).take(steps)
    found: dict[str, list[float]] = {}
    for turn in range(4):
        for name, data in [
            ("the same batch", same),
            ("plain tf.data", shuffled),
            ("MultiShotMemorySampler", sampler),
            ("TFDataSampler", balanced),
        ]:
            start = time.perf_counter()
            model.fit(data, shuffle=False, verbose=0)
            if turn:
                found.setdefault(name, []).append(steps / (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="for each sampler")
    parser.add_argument("--files", type=int, default=800, help="images to write")
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = {
            f"arrays, batches of {PER_BATCH} x {EACH} of (28, 28, 1)": in_memory(options.seconds),
            f"kinds of examples, batches of {PER_BATCH} x {EACH}": kinds(options.seconds),
            f"JPEG files, {IMAGE}, no workers": files(folder, options.files, options.seconds),
            "TFRecords of (28, 28, 1)": records(folder / "shards", options.seconds),
            "training steps of a small network": training(options.seconds),
        }
    for title, table in tables.items():
        print(title)
        first = next(iter(table.values()))
        for name, rate in table.items():
            print(f"  {name:26} {rate:8.0f} a second  {rate / first:5.2f} x")
    if options.json:
        Path(options.json).write_text(json.dumps(tables, indent=1))


if __name__ == "__main__":
    main()
