"""How often `TrainingDoctor` is wrong: false alarms on sound training, and faults that it misses.

Trains three networks with two losses on eight data sets that need no download: once as it should
be, and once with each of five faults. Prints the table of docs/training.md:

    python benchmarks/doctor.py [data set …]

Fashion-MNIST comes with Debian's package `dataset-fashion-mnist`.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import keras
import numpy as np

from tensorflow_similarity import SimilarityModel
from tensorflow_similarity.callbacks import TrainingDoctor
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import MultiSimilarityLoss, TripletHardLoss, TripletLoss
from tensorflow_similarity.samplers import MultiShotMemorySampler

HERE = Path(__file__).parent
SETS = ("digits", "mnist", "fashion", "glyphs", "cancer", "wine", "blobs", "overlap")
NETWORKS = ("one layer", "three layers", "convolutions")
LOSSES = {
    "triplet": lambda: TripletLoss(distance="cosine", margin=0.2),  # as in README.md
    "multi-similarity": lambda: MultiSimilarityLoss(),
}
STEPS, EVERY = 180, 15


def load(name: str) -> tuple[np.ndarray, np.ndarray, list[str] | None]:
    """Examples, float32; class ids; names of classes, where there are some."""
    if name in ("digits", "mnist", "fashion"):
        sys.path.insert(0, str(HERE.parent / "examples"))
        import datasets

        data = datasets.load(name)
        return data.x_train[:4000], data.y_train[:4000], list(data.class_names)
    if name == "glyphs":  # 40 characters, 40 renderings of each
        file = np.load(HERE / "data" / "glyphs.npz")
        images = file["images"].astype("float32")[..., None] / 255
        few = file["labels"] < 40
        return images[few], file["labels"][few].astype("int64"), None
    if name in ("cancer", "wine"):
        from sklearn import datasets as sets

        data = sets.load_breast_cancer() if name == "cancer" else sets.load_wine()
        x = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
        return x.astype("float32"), data.target.astype("int64"), list(data.target_names)
    rng = np.random.default_rng(0)
    y = np.arange(2000) % 10
    centres = rng.normal(size=(10, 20))
    if name == "overlap":  # four classes are twins of others, nearly
        centres[6:] = centres[:4] + 0.35 * rng.normal(size=(4, 20))
    return (centres[y] + 0.6 * rng.normal(size=(2000, 20))).astype("float32"), y, None


def noisy(y: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Labels, with this share of them replaced by another class."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(y)) < share
    classes = int(y.max()) + 1
    return np.where(wrong, (y + rng.integers(1, classes, len(y))) % classes, y)


def build(network: str, shape: tuple, loss, rate: float = 1e-3) -> SimilarityModel:
    """A compiled model."""
    inputs = keras.Input(shape)
    h = inputs
    if network == "convolutions" and len(shape) == 3:
        for filters in (16, 32):
            h = keras.layers.Conv2D(filters, 3, 2, "same", activation="relu")(h)
    elif network == "convolutions":  # of what is no image: along the features
        h = keras.layers.Conv1D(16, 3, padding="same", activation="relu")(h[..., None])
    h = keras.layers.Flatten()(h)
    for _ in range(3 if network == "three layers" else 1):
        h = keras.layers.Dense(64, activation="relu")(h)
    model = SimilarityModel(inputs, L2Embedding(32)(h))
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    return model


def batches(x: np.ndarray, y: np.ndarray, seed: int) -> MultiShotMemorySampler:
    """Balanced batches of 64 examples, or nearly so."""
    classes = min(8, len(np.unique(y)))
    return MultiShotMemorySampler(x, y, classes, 64 // classes, steps_per_epoch=STEPS, seed=seed)


def examined(x, y, network, loss, seed, rate=1e-3, data=None):
    """The names of the doctor's findings, and the trained model."""
    keras.utils.set_random_seed(seed)
    model = build(network, x.shape[1:], loss, rate)
    data = batches(x, y, seed) if data is None else data
    doctor = TrainingDoctor(data, freq=EVERY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(data, verbose=0, shuffle=False, callbacks=[doctor])
    return {finding.name for finding in doctor.findings}, model


def spread(model, x):
    """The mean distance of embeddings from their mean."""
    z = model.predict(x[:500], verbose=0)
    return float(np.linalg.norm(z - z.mean(axis=0), axis=1).mean())


class Batches(keras.utils.PyDataset):
    """Batches of chosen rows."""

    def __init__(self, x, y, rows):
        super().__init__()
        self.x, self.y, self.rows = x, y, rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.x[self.rows[i]], self.y[self.rows[i]]


def lonely(x, y, seed):
    """Batches with one example of each class, from classes of two examples each."""
    rng = np.random.default_rng(seed)
    few = np.arange(len(y)) // 2
    rows = [np.sort(rng.permutation(few.max() + 1)[:48] * 2) for _ in range(STEPS)]
    return Batches(x, few, rows)


def uniform(x, y, seed):
    """Batches of one class each."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(y == c) for c in np.unique(y)]
    rows = [rng.choice(members[i % len(members)], 48) for i in range(STEPS)]
    return Batches(x, y, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=SETS, help=f"of {', '.join(SETS)}")
    parser.add_argument("--wrong", nargs="+", type=float, default=(0.1, 0.2), metavar="SHARE")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--seed", type=int, default=1, help="of labels, batches and weights")
    options = parser.parse_args()
    sets, wrong, seed = options.sets or SETS, options.wrong, options.seed
    shown: dict[str, Counter] = {}
    false: list[str] = []
    start = time.perf_counter()

    def note(row, name, found, expected):
        counter = shown.setdefault(row, Counter())
        counter["runs"] += 1
        said = found - {"nothing_active"}  # which is true: the loss is 0
        counter["found"] += expected in found
        counter["other"] += bool(said - {expected})
        print(
            f"{time.perf_counter() - start:6.0f} s  {row:24} {name:40} {sorted(found)}", flush=True
        )
        if said - {expected}:
            false.append(f"{row}: {name}: {sorted(said - {expected})}")

    for name in sets:
        x, y, _ = load(name)
        for network in options.networks:
            for loss, make in LOSSES.items():
                run = f"{name}, {network}, {loss}"
                note("nothing", run, examined(x, y, network, make(), seed)[0], "nothing")
                for share in wrong:
                    found = examined(x, noisy(y, share, seed), network, make(), seed)[0]
                    note(f"{share:.0%} of the labels wrong", run, found, "suspicious_labels")
            run = f"{name}, {network}"
            shuffled = np.random.default_rng(seed).permutation(y)
            found = examined(x, shuffled, network, MultiSimilarityLoss(), seed)[0]
            note("labels shuffled", run, found, "not_learning")
            for row, data, expected in (
                ("no positives", lonely(x, y, seed), "no_positives"),
                ("no negatives", uniform(x, y, seed), "no_negatives"),
            ):
                found = examined(x, y, network, MultiSimilarityLoss(), seed, data=data)[0]
                note(row, run, found, expected)
            keras.utils.set_random_seed(seed)
            before = spread(build(network, x.shape[1:], TripletHardLoss()), x)
            found, model = examined(x, y, network, TripletHardLoss(), seed, rate=0.03)
            collapsed = spread(model, x) < 0.1 * before
            row = "collapsed" if collapsed else "a rate too high, no collapse"
            note(row, run, found, "collapse" if collapsed else "nothing")

    print("\n| what is wrong | runs | found | something else said |\n|---|---|---|---|")
    for row, counter in shown.items():
        found = "" if "nothing" in row or "no collapse" in row else counter["found"]
        print(f"| {row} | {counter['runs']} | {found} | {counter['other']} |")
    print("\nSaid, and not what was wrong:\n  " + "\n  ".join(false or ["nothing"]))


if __name__ == "__main__":
    main()
