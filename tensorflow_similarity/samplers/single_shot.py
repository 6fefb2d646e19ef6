"""Batches with several views of each example, for data without labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity.samplers._inputs import as_arrays, number_of_examples, take
from tensorflow_similarity.samplers.balanced import BalancedDraws
from tensorflow_similarity.samplers.loading import load_examples
from tensorflow_similarity.samplers.padding import Padding
from tensorflow_similarity.samplers.sampler import Sampler

__all__ = ["SingleShotMemorySampler"]


class SingleShotMemorySampler(Sampler):
    """Batches with several augmented views of each example; needs no labels.

    Every example is a class of its own, whose id is its position. The augmenter is called
    on the batch once per view, and the views are concatenated: with two views, the first
    half of a batch is one view of its examples, the second half the other, in the same
    order. `keras.ops.split(embeddings, 2)` gives
    the two arguments of losses such as `SimCLRLoss`; losses on class ids, such as
    `NTXentLoss`, take the batch as it is.

    Args:
        x: The examples: an array `[n, ...]`, or a tuple or dict of arrays; of numbers, text
            or sequences of different lengths, as for `MultiShotMemorySampler`.
        augmenter: Makes a view of a batch: a Keras layer or model, called on `x` with
            `training=True`, or a function `(x, y) -> (x, y)` that keeps the number of
            examples. A function with a parameter `seed` gets an integer unique to the view.
        examples_per_batch: Number of different examples in a batch.
        num_augmentations_per_example: Number of views of each. Defaults to 2.
        steps_per_epoch: Batches in an epoch. Defaults to 1000.
        seed: Integer. Defaults to `None`: a random seed, stored in the attribute `seed`.
        load_example_fn: Loads an example from an element of `x`, such as a path.
            Defaults to `None`: the elements are the examples.
        padding: How to pad sequences of different lengths, see `Padding`.
            Defaults to `None`: with 0, to the longest of the batch.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Attributes:
        num_augmentations_per_example: Number of views of each example.
        num_examples: The number of examples drawn from.
        batch_size: Examples in a batch, before augmentation.
        epoch: The current epoch, counted from 0.
        seed: The seed in use.

    Raises:
        TypeError: If `augmenter` cannot be called.
        ValueError: If there are fewer examples than `examples_per_batch`.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.samplers import SingleShotMemorySampler

    views = SingleShotMemorySampler(
        np.random.rand(50, 8), keras.layers.GaussianNoise(0.1), examples_per_batch=16, seed=0
    )
    x, y = views[0]  # shapes (32, 8) and (32,)
    np.array_equal(y[:16], y[16:])  # True
    ```
    """

    @explains_arguments("SingleShotMemorySampler")
    def __init__(
        self,
        x: object,
        augmenter: Callable[..., Any],
        examples_per_batch: int,
        num_augmentations_per_example: int = 2,
        steps_per_epoch: int = 1000,
        seed: int | None = None,
        load_example_fn: Callable[[Any], Any] | None = None,
        *,
        padding: Padding | None = None,
        **kwargs: Any,
    ) -> None:
        if augmenter is None:
            raise TypeError("`augmenter` must make the views. Received: None.")
        self._x = as_arrays(x, any_objects=load_example_fn is not None)
        self._load, self._load_padding = load_example_fn, padding
        number = number_of_examples(self._x)
        if checks.count(examples_per_batch, "examples_per_batch") > number:
            raise ValueError(
                "`examples_per_batch` must not exceed the number of examples. Received: "
                f"examples_per_batch={examples_per_batch}, and {number} examples."
            )
        self.num_augmentations_per_example = checks.count(
            num_augmentations_per_example, "num_augmentations_per_example"
        )
        draws = BalancedDraws(np.arange(number), examples_per_batch, 1, seed=seed)
        super().__init__(draws, steps_per_epoch, augmenter, padding, **kwargs)

    def take(self, positions: np.ndarray) -> tuple[Any, Any]:
        """Fetches examples, without augmenting them.

        Args:
            positions: int64 `[n]`, positions among all examples.

        Returns:
            `(x, y)` for these examples in this order; y are the positions.
        """
        x = take(self._x, positions)
        if self._load is not None:
            x = load_examples(self._load, x, self._load_padding)
        return x, positions

    def _augmented(
        self, x: object, y: Any, weight: object, epoch: int, index: int
    ) -> tuple[Any, Any, Any]:
        views = []
        for view in range(self.num_augmentations_per_example):
            seed = (self.seed, epoch, index, view)
            made = self._augment(x, y, weight, seed)  # type: ignore[misc]
            if len(made[1]) != len(y):
                raise ValueError(
                    "`augmenter` must keep the number of examples: it is called once for each "
                    f"view. Received: {len(made[1])} of {len(y)}."
                )
            views.append(made)
        x, y = (
            keras.tree.map_structure(lambda *parts: np.concatenate(parts), *parts)
            for parts in ([view[side] for view in views] for side in (0, 1))
        )
        weights = [view[2] for view in views if view[2] is not None]
        return x, y, np.concatenate(weights) if weights else None
