"""Labelled examples that a callback embeds repeatedly."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import targets
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.models.batches import Batches, batches_of, is_dataset
from tensorflow_similarity.models.embedding import Embedder
from tensorflow_similarity.targets import Targets, TargetsLike

__all__ = ["LabelledExamples", "check_repeatable"]


def check_repeatable(x: object, name: str) -> None:
    """Checks that `x` can be iterated more than once.

    Raises:
        ValueError: If it is a generator, or another iterator.
    """
    if hasattr(x, "__next__"):
        raise ValueError(
            f"`{name}` must be something that can be iterated again. Received: {type(x).__name__}, "
            "which is exhausted after one pass. Pass arrays, a tf.data.Dataset or a "
            "keras.utils.PyDataset."
        )


class LabelledExamples:
    """Arrays with labels, or anything that yields batches of both.

    Checks at once what does not need the model: the labels of arrays and their number, or the
    first batch of a dataset.

    Args:
        x: Anything that `predict` takes and that can be iterated again.
        y: The labels, for arrays. For a dataset whose labels are neither ids nor names, a
            function that turns them into `Targets`.
        name: Name of the argument `x`, for errors.
        labels_name: Name of the argument `y`, for errors.
        kinds: The kinds of `Targets` that the caller supports.
        ignore_class: A class id or name that stands for an unknown class.

    Raises:
        TypeError: If labels are of another kind.
        ValueError: If `x` can be iterated only once, or labels are missing or not one per
            example.
    """

    def __init__(
        self,
        x: object,
        y: object,
        name: str,
        labels_name: str,
        kinds: Sequence[str] = ("classes",),
        ignore_class: object = None,
    ) -> None:
        check_repeatable(x, name)
        self.x, self.ignore_class = x, ignore_class
        self._name, self._labels_name, self._kinds = name, labels_name, kinds
        #: Labels of arrays; None for a dataset, whose labels are read later.
        self.labels: Targets | None = None
        self._wrap = y if callable(y) and is_dataset(x) else None
        if y is not None and self._wrap is None:
            self.labels = targets.get(y, labels_name, None, ignore_class, kinds)
        #: Kind of the labels; None if only the model can tell.
        self.kind = None if self.labels is None else self.labels.kind
        if not is_dataset(x):
            if self.labels is None:
                raise ValueError(self._missing())
            count = _count(x)
            if count is not None and count != len(self.labels):
                raise ValueError(
                    f"`{labels_name}` must hold one label per example of `{name}`: expected "
                    f"{count}. Received: {len(self.labels)}."
                )
        elif y is None or self._wrap is not None:
            self._check_first_batch()

    def _missing(self) -> str:
        return (
            f"`{self._labels_name}` must hold the class id of each example, or its name, or "
            f"`{self._name}` yield (x, y). Received: neither."
        )

    def _check_first_batch(self) -> None:
        batches = iter(batches_of(self.x))
        try:
            _, y = next(batches)
        except StopIteration:
            raise ValueError(
                f"`{self._name}` must hold at least one example. Received: none."
            ) from None
        if y is None:
            raise ValueError(self._missing())
        # With a target for each output, the model says which one holds the labels.
        if not isinstance(y, (dict, tuple, list)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Said when all of them are read.
                self.kind = self._read(_host(y)).kind

    def _batches(self, embedder: Embedder, batch_size: int | None) -> Batches:
        labels = self._wrap if self.labels is None else self.labels
        return embedder.batches(self.x, labels, batch_size, self._kinds)

    def _read(self, labels: TargetsLike) -> Targets:
        """Turns the labels of a dataset into `Targets`."""
        if self._wrap is not None:
            labels = self._wrap(labels)
        return targets.get(labels, self._labels_name, None, self.ignore_class, self._kinds)

    def try_first_batch(self, embedder: Embedder, batch_size: int | None = None) -> None:
        """Embeds the first batch, so that examples unfit for the model fail before training."""
        for inputs, y in self._batches(embedder, batch_size):
            embedder.labels_of(y, len(embedder.call(inputs)))
            return

    def embed(
        self, embedder: Embedder, batch_size: int | None = None, unique: bool = False
    ) -> tuple[np.ndarray, Targets]:
        """Returns embeddings, float32 `[n, dim]`, and their labels.

        Args:
            embedder: The embedder.
            batch_size: Examples at a time, for arrays.
            unique: Whether to count an example that a dataset repeats, bit for bit, only
                once.

        Raises:
            ValueError: If there are no examples, or no labels.
        """
        batches = self._batches(embedder, batch_size)
        unique = unique and batches.examples is None
        seen: set[bytes] = set()
        parts: list[np.ndarray] = []
        labels: list[Any] = []
        for inputs, y in batches:
            embeddings = embedder.call(inputs)
            found = embedder.labels_of(y, len(embeddings))
            if found is None:
                raise ValueError(self._missing())
            if unique:
                new = _first_seen(inputs, len(embeddings), seen)
                embeddings, found = embeddings[new], found[new]
            parts.append(embeddings)
            labels.append(found)
        if not parts:
            raise ValueError(f"`{self._name}` must hold at least one example. Received: none.")
        known = self.labels
        if known is None:
            known = self._read(np.concatenate(labels))
        return np.concatenate(parts), known


def _host(values: ArrayLike) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(values) if keras.ops.is_tensor(values) else values)


def _count(x: object) -> int | None:
    """The number of examples of arrays; None where only the model can tell."""
    if isinstance(x, (list, tuple)) and any(hasattr(item, "shape") for item in x):
        return None  # One array for each input, or a list of examples.
    leaves = [x] if isinstance(x, (list, tuple)) else keras.tree.flatten(x)
    lengths = {int(np.shape(leaf)[0]) if hasattr(leaf, "shape") else len(leaf) for leaf in leaves}
    return lengths.pop() if len(lengths) == 1 else None


def _first_seen(inputs: object, count: int, seen: set[bytes]) -> np.ndarray:
    """Positions of the examples of a batch that are not in `seen`, to which it adds them."""
    leaves = [
        np.ascontiguousarray(keras.ops.convert_to_numpy(leaf))
        for leaf in keras.tree.flatten(inputs)
    ]
    new = []
    for i in range(count):
        digest = hashlib.blake2b(digest_size=16)
        for leaf in leaves:
            digest.update(leaf[i].tobytes())
        if digest.digest() not in seen:
            seen.add(digest.digest())
            new.append(i)
    return np.asarray(new, np.int64)
