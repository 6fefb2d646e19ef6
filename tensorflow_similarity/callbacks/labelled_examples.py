"""Examples with class ids that a callback embeds again and again."""

from __future__ import annotations

import hashlib
from typing import Any

import keras
import numpy as np

from tensorflow_similarity.models.embedding import Embedder

__all__ = ["LabelledExamples", "check_repeatable"]


def check_repeatable(x: Any, name: str) -> None:
    """Checks that `x` can be gone through again and again.

    Raises:
        ValueError: If it is a generator, or another iterator.
    """
    if hasattr(x, "__next__"):
        raise ValueError(
            f"`{name}` must give its batches again each time. Received: {type(x).__name__}, "
            "which is used up by the first. Pass arrays, a tf.data.Dataset or a "
            "keras.utils.PyDataset."
        )


class LabelledExamples:
    """Arrays with labels, or anything that yields batches of both.

    Args:
        x: Anything that `predict` takes and that gives its batches again each time.
        y: Class ids, for arrays.
        name: The argument's name, for errors.
        labels_name: That of the labels.

    Raises:
        ValueError: If `x` can be gone through once only.
    """

    def __init__(self, x: Any, y: Any, name: str, labels_name: str) -> None:
        check_repeatable(x, name)
        self.x, self.y = x, y
        self._name, self._labels_name = name, labels_name

    def embed(
        self, embedder: Embedder, batch_size: int | None = None, unique: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings, float32 `[n, dim]`, and class ids, int64 `[n]`.

        Args:
            embedder: What embeds them.
            batch_size: Examples at a time, for arrays.
            unique: Whether an example that a dataset repeats, bit for bit, is to count
                once.

        Raises:
            ValueError: If there are no examples, or no labels.
        """
        batches = embedder.batches(self.x, self.y, batch_size)
        unique = unique and batches.examples is None
        seen: set[bytes] = set()
        parts: list[tuple[np.ndarray, np.ndarray]] = []
        for inputs, ids in batches:
            embeddings = embedder.call(inputs)
            labels = embedder.class_ids(ids, len(embeddings))
            if labels is None:
                raise ValueError(
                    f"`{self._labels_name}` must hold the class id of each example, or "
                    f"`{self._name}` yield (x, y). Received: neither."
                )
            if unique:
                new = _first_seen(inputs, len(embeddings), seen)
                embeddings, labels = embeddings[new], labels[new]
            parts.append((embeddings, labels))
        if not parts:
            raise ValueError(f"`{self._name}` must hold at least one example. Received: none.")
        embeddings, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
        return embeddings, labels


def _first_seen(inputs: Any, count: int, seen: set[bytes]) -> np.ndarray:
    """Places of the examples of a batch that were not seen yet; they are from now on."""
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
