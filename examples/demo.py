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
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import MultiShotMemorySampler
from tensorflow_similarity.visualization import viz_neighbors_grid

EPOCHS, STEPS = 8, 100
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
    untrained = model.predict(data.x_test, verbose=0), model.predict(data.x_train, verbose=0)

    title("Train")
    sampler = MultiShotMemorySampler(
        data.x_train,
        data.y_train,
        classes_per_batch=8,
        examples_per_class_per_batch=8,
        steps_per_epoch=STEPS,
        seed=0,
    )
    model.compile("adam", loss=TripletLoss(distance="cosine", margin=0.2))
    start = time.perf_counter()
    history = model.fit(sampler, epochs=EPOCHS, verbose=0).history["loss"]
    print(f"{model.count_params():,} weights, {EPOCHS * STEPS} batches of {sampler.batch_size}")
    print("loss by epoch: " + "  ".join(f"{loss:.3f}" for loss in history))
    print(f"{time.perf_counter() - start:.0f} s")

    title("Index and look up")
    model.index(data.x_train, data.y_train, data=data.x_train, verbose=0)
    start = time.perf_counter()
    neighbors = model.lookup(data.x_test, k=5, verbose=0)
    seconds = time.perf_counter() - start
    print(f"{len(neighbors):,} queries in {model.index_size():,} records: {seconds:.2f} s")
    print(f"the first test image, of class {data.class_names[data.y_test[0]]}:")
    for lookup in neighbors[0]:
        name = data.class_names[lookup.label]
        print(f"  {lookup.rank}. {name:12} distance {lookup.distance:.4f}  record {lookup.id}")

    title("Calibrate and match")
    targets = {"precise": {"precision": 0.995}}
    print(model.calibrate(data.x_val, data.y_val, thresholds_targets=targets, verbose=0))
    print("on the test images:")
    for name, answers in model.match(data.x_test, cutpoint="all").items():
        answered = answers != -1
        right = np.mean(answers[answered] == data.y_test[answered])
        print(
            f"  {name:10} answers {answered.mean():.1%} of the queries, {right:.1%} of them right"
        )

    title("Evaluate: test images search the training images")
    raw = [x.reshape(len(x), -1) for x in (data.x_test, data.x_train)]
    trained = model.predict(data.x_test, verbose=0), model.predict(data.x_train, verbose=0)
    print(f"{'':18}" + "".join(f"{name:>26}" for name in METRICS))
    for name, (queries, gallery) in {
        "raw pixels": raw,
        "untrained network": untrained,
        "trained network": trained,
    }.items():
        result = evaluate(queries, data.y_test, gallery, data.y_train, metrics=METRICS)
        cells = (
            f"{result[m]:.3f} ({low:.3f}–{high:.3f})"
            for m in METRICS
            for low, high in [result.interval(m)]
        )
        print(f"{name:18}" + "".join(f"{cell:>26}" for cell in cells))
    print("in brackets: 95 % confidence intervals")

    title("Save, and reload in a fresh process")
    path = options.out / f"{options.data}.keras"
    model.save(path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, with weights, index, images and thresholds")
    queries, found = options.out / "queries.npy", options.out / "found.npz"
    np.save(queries, data.x_test)
    script = Path(__file__).with_name("lookup_saved.py")
    subprocess.run([sys.executable, script, path, queries, found], check=True)
    with np.load(found) as reloaded:
        same = all(
            np.array_equal(reloaded[name], getattr(neighbors, name))
            for name in ("ids", "distances", "labels")
        )
    print(f"lookups in the fresh process are {'identical' if same else 'DIFFERENT'}")

    title("Picture")
    shown = np.concatenate([np.flatnonzero(data.y_test == c)[:1] for c in range(10)])
    figure = viz_neighbors_grid(
        data.x_test[shown],
        [neighbors[i] for i in shown],
        data.y_test[shown],
        class_mapping=data.class_names,
        show=False,
    )
    picture = options.out / f"{options.data}-neighbors.png"
    figure.savefig(picture)
    print(f"{picture}: one query of each class, with its nearest training images")
    print(f"\nAll of it took {time.perf_counter() - started:.0f} s.")
    if not same:
        sys.exit("The reloaded model looked up something else.")


if __name__ == "__main__":
    main()
