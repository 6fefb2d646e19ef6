"""Balanced batches of data that is in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity.samplers.balanced import BalancedDraws
from tensorflow_similarity.samplers.class_choice import ClassChoice
from tensorflow_similarity.samplers.loading import load_examples
from tensorflow_similarity.samplers.sampler import Sampler

__all__ = ["MultiShotMemorySampler"]


class MultiShotMemorySampler(Sampler):
    """Batches with several examples of each of their classes, from arrays.

    Losses on pairs and triplets need batches in which examples have others of
    their class. Each batch here has `classes_per_batch` classes, drawn without
    replacement, and `examples_per_class_per_batch` examples of each.

    Batch `i` of epoch `e` depends on the seed, `i` and `e` only: it is the same
    whichever worker makes it. `on_epoch_end` counts the epochs; Keras calls it
    after each, and once before the first.

    Args:
        x: The examples: an array `[n, ...]`, or a tuple or dict of arrays for
            models with several inputs. A list is one array.
        y: Integer class ids, `[n]` or `[n, 1]`.
        classes_per_batch: Classes in a batch. Defaults to 2.
        examples_per_class_per_batch: Examples of each class in a batch. Defaults
            to 2. Classes that have fewer repeat them, and a warning says so once.
        steps_per_epoch: Batches in an epoch. Defaults to 1000.
        class_list: Class ids to draw from. Defaults to `None`: all.
        total_examples_per_class: Use at most so many examples of each class,
            chosen at random from the seed. Defaults to `None`: all.
        augmenter: What to do with a batch before it is returned: a Keras layer
            or model, called on `x` with `training=True`, or a function
            `(x, y) -> (x, y)`. One that takes `seed` too gets an integer that is the
            batch's own; the randomness of any other is not governed by `seed`.
            Defaults to `None`.
        seed: Integer. Defaults to `None`: a new one, kept in the attribute `seed`.
        class_choice: Which classes make up a batch, such as `HierarchicalClasses` or
            `HardClasses`. Defaults to `None`: any, all of them equally likely.
        load_example_fn: What makes an example of an element of `x`, such as a path or
            a row number; called for each example of a batch. Defaults to `None`: the
            elements are the examples.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Attributes:
        class_list: int64 array, the class ids drawn from, sorted.
        num_examples: The number of examples drawn from.
        batch_size: Examples in a batch, before augmentation.
        epoch: The epoch whose batches are made now, from 0.
        seed: The seed in use.

    Raises:
        TypeError: If the labels are not integers, or a function cannot be called.
        ValueError: If lengths differ, labels are one-hot, `class_list` has ids
            that do not occur, or there are fewer classes than `classes_per_batch`.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.samplers import MultiShotMemorySampler

    x, y = np.random.rand(100, 8), np.repeat(np.arange(10), 10)
    sampler = MultiShotMemorySampler(
        x, y, classes_per_batch=4, examples_per_class_per_batch=3, steps_per_epoch=50, seed=7
    )
    batch_x, batch_y = sampler[0]  # shapes (12, 8) and (12,)
    ```
    """

    @explains_arguments("MultiShotMemorySampler")
    def __init__(
        self,
        x: Any,
        y: Any,
        classes_per_batch: int = 2,
        examples_per_class_per_batch: int = 2,
        steps_per_epoch: int = 1000,
        class_list: Any = None,
        total_examples_per_class: int | None = None,
        augmenter: Callable[..., Any] | None = None,
        seed: int | None = None,
        class_choice: ClassChoice | None = None,
        load_example_fn: Callable[[Any], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        checks.class_ids(y, "y")
        if load_example_fn is not None and not callable(load_example_fn):
            raise TypeError(
                "`load_example_fn` must be a function of one element of x. "
                f"Received: {load_example_fn!r}."
            )
        self._x, self._y = arrays(x), np.asarray(y)
        self._load = load_example_fn
        for array in keras.tree.flatten(self._x):
            if array.ndim == 0 or len(array) != len(self._y):
                raise ValueError(
                    "`x` and `y` must hold the same number of examples. Received: an array of "
                    f"shape {array.shape} in x, and {len(self._y)} labels in y."
                )
        draws = BalancedDraws(
            self._y,
            classes_per_batch=checks.count(classes_per_batch, "classes_per_batch"),
            examples_per_class=checks.count(
                examples_per_class_per_batch, "examples_per_class_per_batch"
            ),
            class_list=class_list,
            total_examples_per_class=total_examples_per_class,
            seed=seed,
            class_choice=class_choice,
        )
        super().__init__(draws, steps_per_epoch, augmenter, **kwargs)

    def take(self, positions: np.ndarray) -> tuple[Any, Any]:
        """Fetches examples, without augmenting them.

        Args:
            positions: int64 `[n]`, which of all examples.

        Returns:
            `(x, y)`, of n examples in that order.
        """
        x, y = keras.tree.map_structure(lambda array: array[positions], (self._x, self._y))
        return (x if self._load is None else load_examples(self._load, x)), y


def arrays(x: Any) -> Any:
    """`x` with its leaves as NumPy arrays: views where possible, never a gather."""
    if isinstance(x, dict):
        return {name: np.asarray(value) for name, value in x.items()}
    if isinstance(x, tuple):
        return tuple(np.asarray(value) for value in x)
    return np.asarray(x)
