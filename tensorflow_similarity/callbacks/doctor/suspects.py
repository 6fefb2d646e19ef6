"""Examples that look mislabeled, and equal examples with different labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

__all__ = ["Suspect", "equal_inputs", "find_suspects"]

# On digits with a tenth of the labels changed, 2 to 10 % of the examples exceed this ratio, nearly
# all of them relabeled ones; with correct labels, 0.2 % do.
_RATIO = 2.0


@dataclasses.dataclass(frozen=True)
class Suspect:
    """An example whose label may be wrong.

    Attributes:
        label: Its label, an id or a name.
        looks_like: The class whose examples are nearest on average.
        ratio: Mean distance to its own class, divided by that to the nearest class.
        example: The example itself, as the model takes it, without a batch axis.
        position: Its position in the arrays given to the doctor, or in the order in which
            a dataset yields examples.
    """

    label: int | str
    looks_like: int | str
    ratio: float
    example: object
    position: int


def find_suspects(
    inputs: object,
    labels: np.ndarray,
    distances: np.ndarray,
    places: np.ndarray,
    decode: Callable[[Any], np.ndarray] = np.asarray,
) -> list[Suspect]:
    """Examples of a batch that are far nearer to another class than to the rest of their own.

    Args:
        inputs: The batch.
        labels: Class ids `[batch]`.
        distances: `[batch, batch]`.
        places: Positions of the examples.
        decode: Turns class ids into class names, where there are names.
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
    # A class with a single example does not count as one to look like.
    means[:, members.sum(axis=0) < 2] = np.inf
    means[rows, own] = np.inf
    nearest = means.argmin(axis=1)
    to_other = means[rows, nearest]
    found = np.flatnonzero(to_own > _RATIO * np.maximum(to_other, 1e-12))
    return [
        Suspect(
            label=decode(labels[[i]]).tolist()[0],
            looks_like=decode(classes[nearest[[i]]]).tolist()[0],
            ratio=float(to_own[i] / max(to_other[i], 1e-12)),
            example=keras.tree.map_structure(lambda leaf, i=int(i): np.asarray(leaf[i]), inputs),
            position=int(places[i]),
        )
        for i in found
    ]


def equal_inputs(
    inputs: object, labels: np.ndarray, places: np.ndarray
) -> list[tuple[int, int, int, int]]:
    """Pairs of examples in a batch that are bit-for-bit equal but have different labels.

    Returns:
        For each pair the two labels, then the two positions.
    """
    leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(inputs)]
    seen: dict[bytes, tuple[int, int]] = {}
    found = []
    for i, (label, place) in enumerate(zip(labels.tolist(), places.tolist(), strict=True)):
        key = b"".join(np.ascontiguousarray(leaf[i]).tobytes() for leaf in leaves)
        other, where = seen.setdefault(key, (label, place))
        if other != label:
            found.append((other, label, where, place))
    return found
