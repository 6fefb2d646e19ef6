"""Classes and class names in plots."""

from __future__ import annotations

import textwrap

import numpy as np

from tensorflow_similarity import targets
from tensorflow_similarity._class_names import ClassNames, class_name
from tensorflow_similarity.targets import TargetsLike

__all__ = ["ClassNames", "class_labels", "class_name", "classes_in", "shorten"]


def classes_in(
    labels: TargetsLike, name: str, count: int, names: ClassNames
) -> tuple[list[str], np.ndarray]:
    """Names of the classes that occur, and the index of each example's class among them.

    Unknown classes (None, or −1) come last.

    Args:
        labels: Class ids or names `[count]`.
        name: The argument's name, for errors.
        count: The number of examples.
        names: Names of ids.
    """
    found = targets.get(labels, name, count, ignore_class=-1)
    ids, places = np.unique(found.ids[found.known], return_inverse=True)
    shown = [class_name(label, names) for label in found.decode(ids).tolist()]
    positions = np.full(count, len(shown), np.int64)
    positions[found.known] = places.reshape(-1)
    return [*shown, *["unknown"] * bool((~found.known).any())], positions


def class_labels(
    labels: TargetsLike, name: str = "labels", length: int | None = None
) -> np.ndarray:
    """Class ids or class names `[n]`, checked."""
    return targets.shown_labels(targets.get(labels, name, length))


def shorten(text: str, characters: int) -> str:
    """Shortens text to a number of characters, at a word boundary if possible."""
    text = " ".join(text.split())
    if len(text) <= characters:
        return text
    short = textwrap.shorten(text, characters, placeholder="\u00a0…")
    return short if len(short) > 2 else text[: characters - 1] + "…"
