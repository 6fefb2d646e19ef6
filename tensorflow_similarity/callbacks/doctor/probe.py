"""Batches of training data to examine a model with, drawn as `fit` draws them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity.callbacks.labelled_examples import LabelledExamples
from tensorflow_similarity.models.batches import Batches, one_class_batches
from tensorflow_similarity.models.embedding import Embedder
from tensorflow_similarity.targets import Targets

__all__ = ["Probe"]


class Probe:
    """An endless supply of batches of the training data.

    Datasets and samplers are read in their own order, again and again. Arrays are
    shuffled like `fit(shuffle=True)`, or read in order like `fit(shuffle=False)`.

    Args:
        x: Arrays, or anything that yields batches `(x, y)` again each time.
        y: Class ids or names, for arrays.
        batch_size: Examples in a batch, for arrays.
        seed: Seed of the shuffling.
        shuffle: Whether arrays are shuffled.

    Raises:
        TypeError: If labels are neither ids nor names.
        ValueError: If `x` can be iterated only once, labels are missing, or not one per
            example.
    """

    def __init__(
        self, x: object, y: object, batch_size: int, seed: int, shuffle: bool = True
    ) -> None:
        self._examples = LabelledExamples(x, y, "x", "y", ignore_class=-1)
        self._batch_size, self._shuffle = batch_size, shuffle
        self._rng = checks.rng(seed)
        self._stream: Iterator[tuple[Any, Any, np.ndarray]] | None = None

    @property
    def sorted_by_class(self) -> bool:
        """Whether batches of arrays, taken in their order, are mostly of one class."""
        labels = self._examples.labels
        return labels is not None and one_class_batches(labels.ids, self._batch_size) >= 0.5

    def next(self, embedder: Embedder) -> tuple[Any, Targets, np.ndarray]:
        """Returns inputs, labels and positions of the examples, in the arrays or in dataset order.

        Raises:
            TypeError: If labels are neither ids nor names.
            ValueError: If there are no labels.
        """
        if self._stream is None:
            self._stream = self._batches(
                embedder.batches(self._examples.x, self._examples.labels, self._batch_size)
            )
        inputs, y, places = next(self._stream)
        labels = embedder.labels_of(y, len(places))
        if labels is None:
            raise ValueError(
                "`y` must hold the class id of each example, or its name, or `x` yield (x, y). "
                "Received: neither."
            )
        return inputs, targets.get(labels, "y", len(places), ignore_class=-1), places

    def _batches(self, batches: Batches) -> Iterator[Any]:
        if batches.examples is None:
            while True:
                start = 0
                for inputs, y in batches:
                    count = int(keras.tree.flatten(inputs)[0].shape[0])
                    yield inputs, y, np.arange(start, start + count)
                    start += count
                if not start:
                    raise ValueError("`x` must yield at least one batch. Received: none.")
        while True:
            order = np.arange(batches.examples)
            if self._shuffle:
                order = self._rng.permutation(batches.examples)
            size = min(self._batch_size, len(order))
            for begin in range(0, len(order) - size + 1, size):
                places = np.sort(order[begin : begin + size])
                yield *batches.take(places), places
