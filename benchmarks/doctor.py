"""How often `TrainingDoctor` is wrong: false alarms on sound training, misses where something is.

Eight data sets that need no download at run time, three networks and two losses, trained as they
should be, and with five things made to go wrong. Prints the tables of docs/training.md:

    python benchmarks/doctor.py [data set …]

Fashion-MNIST comes with Debian's package `dataset-fashion-mnist`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np

from tensorflow_similarity import SimilarityModel
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import (
    MultiSimilarityLoss,
    TripletLoss,
)
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


def noisy(y: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """Labels, of which so many are replaced by another class."""
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


def batches(x: np.ndarray, y: np.ndarray, steps: int = STEPS) -> MultiShotMemorySampler:
    """Balanced batches of 64, or near it."""
    classes = min(8, len(np.unique(y)))
    return MultiShotMemorySampler(x, y, classes, 64 // classes, steps_per_epoch=steps, seed=0)
