"""Batches of training data to examine a model with, like those that it is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from tensorflow_similarity.callbacks.labelled_examples import check_repeatable
from tensorflow_similarity.models.batches import Batches
from tensorflow_similarity.models.embedding import Embedder

__all__ = ["Probe"]


class Probe:
    """An endless supply of batches of the training data.

    Batches of datasets and samplers come in their order, over and over; those of
    arrays are drawn at random, as `fit` shuffles.

    Args:
        x: Arrays, or anything that yields batches `(x, y)` again each time.
        y: Class ids, for arrays.
        batch_size: Examples in a batch, for arrays.
        seed: Of the draws.

    Raises:
        ValueError: If `x` can be gone through once only.
    """

    def __init__(self, x: Any, y: Any, batch_size: int, seed: int) -> None:
        check_repeatable(x, "x")
        self._x, self._y, self._batch_size = x, y, batch_size
        self._rng = np.random.default_rng(seed)
        self._stream: Iterator[tuple[Any, Any]] | None = None

    def next(self, embedder: Embedder) -> tuple[Any, np.ndarray, np.ndarray | None]:
        """Inputs, class ids, and, for arrays, the places of the examples.

        Raises:
            ValueError: If there are no labels.
        """
        if self._stream is None:
            self._stream = self._batches(embedder.batches(self._x, self._y, self._batch_size))
        inputs, y, places = next(self._stream)  # type: ignore[misc]
        first = keras.tree.flatten(inputs)[0]
        labels = embedder.class_ids(y, int(first.shape[0]))
        if labels is None:
            raise ValueError(
                "`y` must hold the class id of each example, or `x` yield (x, y). "
                "Received: neither."
            )
        return inputs, labels, places

    def _batches(self, batches: Batches) -> Iterator[Any]:
        if batches.examples is None:
            while True:
                empty = True
                for inputs, y in batches:
                    empty = False
                    yield inputs, y, None
                if empty:
                    raise ValueError("`x` must yield at least one batch. Received: none.")
        while True:
            order = self._rng.permutation(batches.examples)
            size = min(self._batch_size, len(order))
            for begin in range(0, len(order) - size + 1, size):
                places = np.sort(order[begin : begin + size])
                yield *batches.take(places), places
