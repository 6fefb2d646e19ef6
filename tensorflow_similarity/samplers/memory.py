"""Balanced batches of data that is in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import checks
from tensorflow_similarity.samplers.balanced import BalancedDraws

__all__ = ["MultiShotMemorySampler"]


class MultiShotMemorySampler(keras.utils.PyDataset):
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
            `(x, y) -> (x, y)`. Its own randomness is not governed by `seed`.
            Defaults to `None`.
        seed: Integer. Defaults to `None`: a new one, kept in the attribute `seed`.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Attributes:
        class_list: int64 array, the class ids drawn from, sorted.
        num_examples: The number of examples drawn from.
        batch_size: Examples in a batch, before augmentation.
        epoch: The epoch whose batches are made now, from 0.
        seed: The seed in use.

    Raises:
        TypeError: If the labels are not integers, or `augmenter` cannot be called.
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if augmenter is not None and not callable(augmenter):
            raise TypeError(
                "`augmenter` must be a Keras layer or a function (x, y) -> (x, y). "
                f"Received: {augmenter!r}."
            )
        self.steps_per_epoch = checks.count(steps_per_epoch, "steps_per_epoch")
        self.classes_per_batch = checks.count(classes_per_batch, "classes_per_batch")
        self.examples_per_class_per_batch = checks.count(
            examples_per_class_per_batch, "examples_per_class_per_batch"
        )
        self.augmenter = augmenter
        self.epoch = 0
        checks.class_ids(y, "y")
        self._x, self._y = _arrays(x), np.asarray(y)
        for array in keras.tree.flatten(self._x):
            if array.ndim == 0 or len(array) != len(self._y):
                raise ValueError(
                    "`x` and `y` must hold the same number of examples. Received: an array of "
                    f"shape {array.shape} in x, and {len(self._y)} labels in y."
                )
        self._draws = BalancedDraws(
            self._y,
            classes_per_batch=classes_per_batch,
            examples_per_class=examples_per_class_per_batch,
            class_list=class_list,
            total_examples_per_class=total_examples_per_class,
            seed=seed,
        )

    @property
    def class_list(self) -> np.ndarray:
        """The class ids drawn from, sorted."""
        return self._draws.classes

    @property
    def num_examples(self) -> int:
        """The number of examples drawn from."""
        return len(self._draws.positions)

    @property
    def batch_size(self) -> int:
        """Examples in a batch, before augmentation."""
        return self._draws.batch_size

    @property
    def seed(self) -> int:
        """The seed in use: the same one makes the same batches."""
        return self._draws.seed

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not 0 <= index < self.steps_per_epoch:
            # IndexError also ends a plain `for` loop over the sampler.
            raise IndexError(
                f"The batch must be in [0, {self.steps_per_epoch}). Received: {index}."
            )
        x, y = self._take(self._draws.draw(self.epoch, index))
        if self.augmenter is None:
            return x, y
        if isinstance(self.augmenter, keras.layers.Layer):
            x = self.augmenter(x, training=True)
        else:
            x, y = self.augmenter(x, y)
        return keras.tree.map_structure(keras.ops.convert_to_numpy, (x, y))

    def on_epoch_end(self) -> None:
        """Moves on to the batches of the next epoch."""
        self.epoch += 1

    def get_slice(self, begin: int = 0, size: int | None = None) -> tuple[Any, Any]:
        """Returns some of the examples drawn from, in their order in the data.

        They are not augmented.

        Args:
            begin: The first example, from 0. Defaults to 0.
            size: The number of examples. Defaults to `None` (or -1): all that follow.

        Returns:
            `(x, y)`, of at most `size` examples.

        Raises:
            TypeError: If an argument is not an integer.
            ValueError: If an argument is negative.
        """
        begin = checks.count(begin, "begin", minimum=0)
        end = None if size is None or size == -1 else begin + checks.count(size, "size", minimum=0)
        return self._take(self._draws.positions[begin:end])

    def _take(self, positions: np.ndarray) -> tuple[Any, Any]:
        return keras.tree.map_structure(lambda array: array[positions], (self._x, self._y))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(examples={self.num_examples}, "
            f"classes={len(self.class_list)}, classes_per_batch={self.classes_per_batch}, "
            f"examples_per_class_per_batch={self.examples_per_class_per_batch}, "
            f"steps_per_epoch={self.steps_per_epoch}, seed={self.seed})"
        )


def _arrays(x: Any) -> Any:
    """`x` with its leaves as NumPy arrays: views where possible, never a gather."""
    if isinstance(x, dict):
        return {name: np.asarray(value) for name, value in x.items()}
    if isinstance(x, tuple):
        return tuple(np.asarray(value) for value in x)
    return np.asarray(x)
