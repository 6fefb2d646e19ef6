"""Part of a data set, by class."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tensorflow_similarity.samplers.balanced import BalancedDraws
from tensorflow_similarity.samplers.memory import arrays

__all__ = ["select_examples"]


def select_examples(
    x: Any,
    y: Any,
    class_list: Any = None,
    num_examples_per_class: int | None = None,
    seed: int | None = None,
) -> tuple[Any, Any]:
    """Selects examples of some classes, and at most so many of each.

    Args:
        x: An array `[n, ...]`, or a tuple or dict of arrays.
        y: Integer class ids, `[n]` or `[n, 1]`.
        class_list: The classes. Defaults to `None`: all.
        num_examples_per_class: At most so many of each class, chosen at random.
            Defaults to `None`: all.
        seed: Integer. Defaults to `None`: a new one.

    Returns:
        `(x, y)`, in the order of the data.

    Raises:
        TypeError: If the labels are not integers.
        ValueError: If lengths differ, or `class_list` has ids that do not occur.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.samplers import select_examples

    x, y = np.arange(9), np.array([0, 1, 2, 0, 1, 2, 0, 1, 2])
    select_examples(x, y, class_list=[0, 2])[0]  # [0, 2, 3, 5, 6, 8]
    ```
    """
    x, y = arrays(x), np.asarray(y)
    draws = BalancedDraws(y, 1, 1, class_list, num_examples_per_class, seed)
    for array in keras.tree.flatten(x):
        if array.ndim == 0 or len(array) != len(y):
            raise ValueError(
                "`x` and `y` must hold the same number of examples. Received: an array of "
                f"shape {array.shape} in x, and {len(y)} labels in y."
            )
    return keras.tree.map_structure(lambda array: array[draws.positions], (x, y))
