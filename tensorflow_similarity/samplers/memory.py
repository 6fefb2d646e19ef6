"""Balanced batches of data in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.samplers._inputs import as_arrays, number_of_examples, take
from tensorflow_similarity.samplers._labels import read_labels, read_weights
from tensorflow_similarity.samplers.balanced import BalancedDraws
from tensorflow_similarity.samplers.class_choice import ClassChoice
from tensorflow_similarity.samplers.loading import load_examples
from tensorflow_similarity.samplers.padding import Padding
from tensorflow_similarity.samplers.sampler import Sampler

__all__ = ["MultiShotMemorySampler"]


class MultiShotMemorySampler(Sampler):
    """Class-balanced batches of arrays: several examples of each of several classes.

    Losses on pairs and triplets need batches in which examples share a class with
    others. Each batch has `classes_per_batch` classes, drawn without replacement, and
    `examples_per_class_per_batch` examples of each.

    Batch `i` of epoch `e` depends only on the seed, `i` and `e`, not on the worker that
    makes it. `SimilarityModel.fit` sets the epoch, also in resumed runs; with a plain
    `keras.Model`, see `FollowEpochs`.

    Args:
        x: The examples: an array `[n, ...]`, or a tuple or dict of arrays for
            models with several inputs. A list is one array. Arrays may hold text, or
            sequences of different lengths (a list or object array of arrays), which are
            padded, see `padding`. A DataFrame is one array if all of its columns are
            numeric, else a dict of its columns.
        y: The labels to draw by: class ids or class names, `[n]` or `[n, 1]`, with None
            for an unknown class, which is never drawn; or `Targets` of classes, several
            labels, probabilities or a hierarchy. For models with several outputs, a dict
            or tuple of labels and auxiliary targets; `label_output` tells which entry
            holds the labels. In batches, class names are integers (see `class_names`), a
            hierarchy is its finest level, and several labels are rows `[labels]`.
        classes_per_batch: Number of classes in a batch. Defaults to 2.
        examples_per_class_per_batch: Examples of each class in a batch. Defaults
            to 2. Classes with fewer examples repeat them, with one warning.
        steps_per_epoch: Batches in an epoch. Defaults to 1000.
        class_list: Ids or names of classes to draw from. Defaults to `None`: all.
        total_examples_per_class: Use at most this many examples of each class, a
            random choice that depends on the seed. Defaults to `None`: all.
        augmenter: Augments a batch before it is returned: a Keras layer or model, called
            on `x` with `training=True`, or a function `(x, y) -> (x, y)`, which may also
            return `(x, y, sample_weight)` or a dict `{"x": x, "y": y}`. A function with
            a parameter `seed` gets an integer unique to the batch; otherwise its
            randomness does not follow `seed`. One with a parameter `sample_weight` gets
            the weights. Defaults to `None`.
        seed: Integer. Defaults to `None`: a random seed, stored in the attribute `seed`.
        class_choice: How the classes of a batch are chosen, such as `HierarchicalClasses` or
            `HardClasses`. Defaults to `None`: uniformly at random.
        load_example_fn: Loads an example from an element of `x`, such as a path or a row
            number; called for each example of a batch. Defaults to `None`: the elements
            are the examples.
        sample_weight: Weights of the examples `[n]`, or a dict or tuple of these like `y`.
            Batches are then `(x, y, sample_weight)`. Defaults to `None`.
        label_output: Where `y` is a dict or tuple, the key or position of the entry to draw
            by. Defaults to `None`: the entry that is `Targets`, or else the only one that can
            be class ids or names.
        ignore_class: A class id or name that stands for an unknown class. Defaults to
            `None`.
        padding: How to pad sequences of different lengths, see `Padding`.
            Defaults to `None`: with 0, to the longest of the batch.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Attributes:
        class_list: int64 array, the class ids drawn from, sorted.
        class_names: The names of classes 0, 1, 2, … if labels are names (sorted, or in the
            order of `Targets`), else None.
        output_names: Class names of auxiliary targets that are names: key -> names.
        num_examples: The number of examples drawn from.
        batch_size: Examples in a batch, before augmentation.
        epoch: The current epoch, counted from 0.
        seed: The seed in use.

    Raises:
        KeyError: If `label_output` names no entry of `y`.
        TypeError: If labels are neither ids nor names nor `Targets`, or a function cannot be
            called.
        ValueError: If lengths differ, labels are one-hot, it is not clear which entry of `y`
            holds the classes, `class_list` has classes that do not occur, or there are
            fewer classes than `classes_per_batch`.

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
        x: object,
        y: object,
        classes_per_batch: int = 2,
        examples_per_class_per_batch: int = 2,
        steps_per_epoch: int = 1000,
        class_list: ArrayLike | None = None,
        total_examples_per_class: int | None = None,
        augmenter: Callable[..., Any] | None = None,
        seed: int | None = None,
        class_choice: ClassChoice | None = None,
        load_example_fn: Callable[[Any], Any] | None = None,
        *,
        sample_weight: Any = None,
        label_output: int | str | None = None,
        ignore_class: object = None,
        padding: Padding | None = None,
        **kwargs: Any,
    ) -> None:
        if load_example_fn is not None and not callable(load_example_fn):
            raise TypeError(
                "`load_example_fn` must be a function of one element of x. "
                f"Received: {load_example_fn!r}."
            )
        self._x = as_arrays(x, any_objects=load_example_fn is not None)
        self._load = load_example_fn
        self._load_padding = padding
        first = keras.tree.flatten(self._x)[0]
        labels = read_labels(y, "y", len(first) if first.ndim else None, label_output, ignore_class)
        number_of_examples(self._x, labels=labels.length)
        self._y, self.output_names = labels.values, labels.output_names
        self._weight = read_weights(sample_weight, labels.length)
        draws = BalancedDraws(
            labels,
            classes_per_batch=checks.count(classes_per_batch, "classes_per_batch"),
            examples_per_class=checks.count(
                examples_per_class_per_batch, "examples_per_class_per_batch"
            ),
            class_list=class_list,
            total_examples_per_class=total_examples_per_class,
            seed=seed,
            class_choice=class_choice,
        )
        super().__init__(draws, steps_per_epoch, augmenter, padding, **kwargs)

    def take(self, positions: np.ndarray) -> tuple[Any, ...]:
        """Fetches examples, without augmenting them.

        Args:
            positions: int64 `[n]`, positions among all examples.

        Returns:
            `(x, y)`, or `(x, y, sample_weight)` if there are weights, for these examples in
            this order.
        """
        x, y = take((self._x, self._y), positions)
        if self._load is not None:
            x = load_examples(self._load, x, self._load_padding)
        return (x, y) if self._weight is None else (x, y, take(self._weight, positions))
