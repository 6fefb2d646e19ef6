"""Examples that look as if they belonged to another class than their label says."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

__all__ = ["Suspect", "equal_inputs", "find_suspects"]

# On digits with a tenth of the labels changed, 2 to 10 % of the examples are beyond, nearly
# all of them those with changed labels; with the right labels 0.2 %.
_RATIO = 2.0


@dataclasses.dataclass(frozen=True)
class Suspect:
    """An example whose label may be wrong.

    Attributes:
        label: The label it has.
        looks_like: The class whose examples are nearest.
        ratio: How many times farther its own class is than that one, on average.
        example: The example itself, as the model takes it, without a batch axis.
        position: Its place in the arrays that the doctor was given, or None.
    """

    label: int
    looks_like: int
    ratio: float
    example: Any
    position: int | None = None


def find_suspects(
    inputs: Any, labels: np.ndarray, distances: np.ndarray, places: np.ndarray | None
) -> list[Suspect]:
    """Examples of a batch that are far nearer to another class than to the rest of their own.

    Args:
        inputs: The batch.
        labels: Class ids `[batch]`.
        distances: `[batch, batch]`.
        places: Places of the examples in arrays, or None.
    """
    classes, own = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        return []
    # Counted from the smallest, since inner products may be negative.
    values = distances - distances.min()
    np.fill_diagonal(values, 0)
    members = np.eye(len(classes))[own]
    number = members.sum(axis=0) - members
    means = values @ members / np.maximum(number, 1)
    rows = np.arange(len(labels))
    to_own = np.where(number[rows, own] > 0, means[rows, own], 0)
    # A single example is no class to look like.
    means[:, members.sum(axis=0) < 2] = np.inf
    means[rows, own] = np.inf
    nearest = means.argmin(axis=1)
    to_other = means[rows, nearest]
    found = np.flatnonzero(to_own > _RATIO * np.maximum(to_other, 1e-12))
    return [
        Suspect(
            label=int(labels[i]),
            looks_like=int(classes[nearest[i]]),
            ratio=float(to_own[i] / max(to_other[i], 1e-12)),
            example=keras.tree.map_structure(lambda leaf, i=int(i): np.asarray(leaf[i]), inputs),
            position=None if places is None else int(places[i]),
        )
        for i in found
    ]


def equal_inputs(inputs: Any, labels: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of labels of examples of a batch that are equal, bit for bit, but for the label."""
    leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(inputs)]
    seen: dict[bytes, int] = {}
    found = []
    for i, label in enumerate(labels.tolist()):
        key = b"".join(np.ascontiguousarray(leaf[i]).tobytes() for leaf in leaves)
        other = seen.setdefault(key, label)
        if other != label:
            found.append((other, label))
    return found
