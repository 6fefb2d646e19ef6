"""Selecting examples by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.samplers._inputs import as_arrays, number_of_examples, take
from tensorflow_similarity.samplers._labels import read_labels
from tensorflow_similarity.samplers.balanced import BalancedDraws
from tensorflow_similarity.targets import Targets

__all__ = ["select_examples"]


def select_examples(
    x: object,
    y: Any,
    class_list: ArrayLike | None = None,
    num_examples_per_class: int | None = None,
    seed: int | None = None,
    label_output: int | str | None = None,
) -> tuple[Any, Any]:
    """Selects examples of given classes, at most a given number of each.

    Args:
        x: An array `[n, ...]`, or a tuple or dict of arrays, as for `MultiShotMemorySampler`.
        y: Labels, as for `MultiShotMemorySampler`. Examples of unknown class are left out.
        class_list: The classes, ids or names. Defaults to `None`: all.
        num_examples_per_class: The largest number of each class, chosen at random.
            Defaults to `None`: all.
        seed: Integer. Defaults to `None`: a new one.
        label_output: Where `y` is a dict or tuple, the key or position of the classes.

    Returns:
        `(x, y)`, in the order of the data; labels as they were given, names as names.

    Raises:
        TypeError: If labels are neither ids nor names nor `Targets`.
        ValueError: If lengths differ, or `class_list` has ids that do not occur.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.samplers import select_examples

    x, y = np.arange(9), np.array([0, 1, 2, 0, 1, 2, 0, 1, 2])
    select_examples(x, y, class_list=[0, 2])[0]  # [0, 2, 3, 5, 6, 8]
    ```
    """
    x = as_arrays(x)
    first = keras.tree.flatten(x)[0]
    labels = read_labels(y, "y", len(first) if first.ndim else None, label_output)
    draws = BalancedDraws(labels, 1, 1, class_list, num_examples_per_class, seed)
    number_of_examples(x, labels=labels.length)
    values: Any
    if isinstance(y, Mapping):
        values = {key: _as_given(y[key], labels.values[key], draws.positions) for key in y}
    elif isinstance(labels.values, tuple):
        pairs = zip(y, labels.values, strict=True)
        values = tuple(_as_given(entry, made, draws.positions) for entry, made in pairs)
    else:
        values = _as_given(y, labels.values, draws.positions)
    return take(x, draws.positions), values


def _as_given(entry: object, made: np.ndarray, positions: np.ndarray) -> Any:
    if isinstance(entry, Targets):
        return entry.take(positions)
    given = np.asarray(entry)
    return given[positions] if given.dtype.kind in "USTO" else made[positions]
