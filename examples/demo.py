"""The whole line on real images: train, index, look up, calibrate, evaluate, save, reload.

python examples/demo.py --data mnist|digits|fashion [--out out]
"""

from __future__ import annotations

import quiet  # noqa: F401

# isort: split

import argparse
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np

import datasets
from tensorflow_similarity.evaluation import evaluate
from tensorflow_similarity.index import Neighbors
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import MultiShotMemorySampler
from tensorflow_similarity.visualization import (
    confusion_matrix,
    distance_histogram,
    viz_neighbors_grid,
)

EPOCHS, STEPS = 8, 100
PRECISION = {"mnist": 0.995, "digits": 0.995, "fashion": 0.95}  # asked of the strict threshold
METRICS = ("precision@1", "r_precision", "map@r")


def make_model(shape: tuple[int, ...]) -> SimilarityModel:
    """A small CNN that ends on the unit sphere."""
    inputs = keras.Input(shape)
    x = keras.layers.Conv2D(32, 3, padding="same", activation="relu")(inputs)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(64, 3, padding="same", activation="relu")(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(128, activation="relu")(x)
    return SimilarityModel(inputs, L2Embedding(64)(x), name="demo")


def title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def train(model: SimilarityModel, data: datasets.Dataset) -> None:
    sampler = MultiShotMemorySampler(
        data.x_train,
        data.y_train,
        classes_per_batch=8,
        examples_per_class_per_batch=8,
        steps_per_epoch=STEPS,
        seed=0,
    )
    model.compile("adam", loss=TripletLoss(distance="cosine", margin=0.2))
    print(f"{model.count_params():,} weights, {EPOCHS * STEPS} batches of {sampler.batch_size}")
    start = time.perf_counter()

    def progress(epoch: int, logs: dict[str, float]) -> None:
        seconds = time.perf_counter() - start
        print(
            f"  epoch {epoch + 1} of {EPOCHS}: loss {logs['loss']:.3f}, {seconds:.0f} s", flush=True
        )

    shown = keras.callbacks.LambdaCallback(on_epoch_end=progress)
    model.fit(sampler, epochs=EPOCHS, verbose=0, callbacks=[shown])


def look_up(model: SimilarityModel, data: datasets.Dataset) -> Neighbors:
    start = time.perf_counter()
    neighbors = model.lookup(data.x_test, k=5, verbose=0)
    seconds = time.perf_counter() - start
    print(f"{len(neighbors):,} queries in {model.index_size():,} records: {seconds:.2f} s")
    print(f"the first test image, of class {data.class_names[data.y_test[0]]}:")
    for lookup in neighbors[0]:
        name = data.class_names[lookup.label]
        print(f"  {lookup.rank}. {name:12} distance {lookup.distance:.4f}  record {lookup.id}")
    return neighbors


def calibrate(model: SimilarityModel, data: datasets.Dataset) -> None:
    targets = {"strict": {"precision": PRECISION[data.name]}}
    print(model.calibrate(data.x_val, data.y_val, thresholds_targets=targets, verbose=0))
    print("on the test images:")
    for name, answers in model.match(data.x_test, cutpoint="all").items():
        answered = answers != -1
        right = np.mean(answers[answered] == data.y_test[answered])
        print(f"  {name:8} answers {answered.mean():.1%} of the queries, {right:.1%} of them right")


def compare(embeddings: dict[str, list[np.ndarray]], data: datasets.Dataset) -> None:
    print(f"{'':18}" + "".join(f"{name:>24}" for name in METRICS))
    for name, (queries, gallery) in embeddings.items():
        result = evaluate(queries, data.y_test, gallery, data.y_train, metrics=METRICS)
        print(f"{name:18}", end="")
        for metric in METRICS:
            low, high = result.interval(metric)
            print(f"{result[metric]:9.3f} ({low:.3f}–{high:.3f})", end="")
        print()
    print("in brackets: 95 % confidence intervals")


def reload(model: SimilarityModel, data: datasets.Dataset, before: Neighbors, out: Path) -> bool:
    """Whether the saved model finds the same in a fresh process."""
    path, queries, found = out / f"{data.name}.keras", out / "queries.npy", out / "found.npz"
    model.save(path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, with weights, index, images and thresholds")
    np.save(queries, data.x_test)
    script = Path(__file__).with_name("lookup_saved.py")
    subprocess.run([sys.executable, script, path, queries, found], check=True)
    with np.load(found) as after:
        columns = ("ids", "distances", "labels")
        same = all(np.array_equal(after[name], getattr(before, name)) for name in columns)
    print(f"lookups in the fresh process are {'identical' if same else 'DIFFERENT'}")
    return same


def draw(model: SimilarityModel, data: datasets.Dataset, neighbors: Neighbors, out: Path) -> None:
    """Draws right and wrong neighbours, and what the strict threshold does."""
    right = neighbors.labels[:, 0] == data.y_test
    good = [np.flatnonzero(right & (data.y_test == label))[0] for label in range(5)]
    shown = np.concatenate([good, np.flatnonzero(~right)[:3]])
    cutpoint = model.vector_index.calibration.distance("strict")
    answers = model.match(data.x_test, cutpoint="strict")
    figures = {
        "neighbors": viz_neighbors_grid(
            data.x_test[shown],
            neighbors[shown],
            data.y_test[shown],
            class_names=data.class_names,
            show=False,
        ),
        "histogram": distance_histogram(neighbors, data.y_test, cutpoint, show=False),
        "confusion": confusion_matrix(
            y_true=data.y_test, y_pred=answers, class_names=data.class_names, show=False
        )[0],
    }
    for name, figure in figures.items():
        path = out / f"{data.name}-{name}.png"
        figure.savefig(path)
        print(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", choices=datasets.NAMES, default="mnist")
    parser.add_argument("--out", type=Path, default=Path("out"))
    options = parser.parse_args()
    started = time.perf_counter()
    options.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)

    data = datasets.load(options.data)
    print(data)
    model = make_model(data.x_train.shape[1:])
    images = data.x_test, data.x_train
    embeddings = {
        "raw pixels": [x.reshape(len(x), -1) for x in images],
        "untrained network": [model.predict(x, verbose=0) for x in images],
    }

    title("Train")
    train(model, data)
    embeddings["trained network"] = [model.predict(x, verbose=0) for x in images]

    title("Index the training images, and look up the test images")
    model.index(data.x_train, data.y_train, data=data.x_train, verbose=0)
    neighbors = look_up(model, data)

    title("Calibrate and match")
    calibrate(model, data)

    title("Evaluate: test images search the training images")
    compare(embeddings, data)

    title("Save, and reload in a fresh process")
    same = reload(model, data, neighbors, options.out)

    title("Pictures")
    draw(model, data, neighbors, options.out)
    print(f"\nAll of it took {time.perf_counter() - started:.0f} s.")
    if not same:
        sys.exit("The reloaded model found something else.")


if __name__ == "__main__":
    main()
