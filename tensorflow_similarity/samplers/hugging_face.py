"""Balanced batches of a Hugging Face data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.samplers._inputs import as_arrays
from tensorflow_similarity.samplers._labels import read_labels, read_weights
from tensorflow_similarity.samplers.balanced import BalancedDraws
from tensorflow_similarity.samplers.class_choice import ClassChoice
from tensorflow_similarity.samplers.loading import load_examples
from tensorflow_similarity.samplers.padding import Padding
from tensorflow_similarity.samplers.sampler import Sampler
from tensorflow_similarity.targets import Targets

__all__ = ["HuggingFaceSampler"]


class HuggingFaceSampler(Sampler):
    """Class-balanced batches of a Hugging Face `datasets.Dataset`.

    The label columns are read once; examples are fetched batch by batch from the files of the
    data set. Needs the extra `datasets`.

    Args:
        dataset: A `datasets.Dataset`, such as `load_dataset(name, split="train")`. Streams
            (`IterableDataset`) cannot be read by position: see `balanced_stream`.
        x_key: The column with the examples, such as `"text"` or `"image"`; or several columns,
            for batches that are dicts.
        y_key: The column of the classes: ids, names, or a `ClassLabel`, whose names are kept;
            or several columns, for dicts, see `label_output`. Defaults to
            `"label"`.
        classes_per_batch: Number of classes in a batch. Defaults to 2.
        examples_per_class_per_batch: Examples of each class in a batch. Defaults
            to 2. Classes with fewer examples repeat them, with one warning.
        steps_per_epoch: Batches in an epoch. Defaults to 1000.
        class_list: Ids or names of classes to draw from. Defaults to `None`: all.
        total_examples_per_class: Use at most this many examples of each class, a
            random choice that depends on the seed. Defaults to `None`: all.
        augmenter: As for `MultiShotMemorySampler`. Defaults to `None`.
        seed: Integer. Defaults to `None`: a random seed, stored in the attribute `seed`.
        class_choice: How the classes of a batch are chosen, such as `HierarchicalClasses`.
            Defaults to `None`: uniformly at random.
        load_example_fn: Makes an example of a value of the column, such as a PIL image, or of a
            dict of values for several columns. Defaults to `None`: `np.asarray`.
        weight_key: The column of weights. Defaults to `None`.
        label_output: With several columns in `y_key`, the one to draw by. Defaults to
            `None`: the only one that can be class ids or names.
        ignore_class: A class id or name that stands for an unknown class. Defaults to `None`.
        padding: How to pad sequences of different lengths, see `Padding`.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Raises:
        KeyError: If there is no such column.
        TypeError: If `dataset` cannot be read by position.
        ValueError: As for `MultiShotMemorySampler`.

    Example:

    ```python
    import datasets
    from tensorflow_similarity.samplers import HuggingFaceSampler

    records = {"x": [[0.0], [0.1], [1.0], [1.1]], "label": [0, 0, 1, 1]}
    dataset = datasets.Dataset.from_dict(records)
    sampler = HuggingFaceSampler(dataset, "x", steps_per_epoch=10, seed=0)
    x, y = sampler[0]
    assert len(x) == len(y) == 4
    ```
    """

    def __init__(
        self,
        dataset: Any,
        x_key: str | Sequence[str],
        y_key: str | Sequence[str] = "label",
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
        weight_key: str | None = None,
        label_output: str | None = None,
        ignore_class: object = None,
        padding: Padding | None = None,
        **kwargs: Any,
    ) -> None:
        if not hasattr(dataset, "select_columns") or not hasattr(dataset, "__len__"):
            advice = (
                " Take one split of it, e.g. dataset['train']." if isinstance(dataset, dict) else ""
            )
            raise TypeError(
                "`dataset` must be a datasets.Dataset, whose examples have positions. Received: "
                f"{type(dataset).__name__}.{advice}"
            )
        wanted = [*_names(x_key), *_names(y_key), *([] if weight_key is None else [weight_key])]
        unknown = [name for name in wanted if name not in dataset.column_names]
        if unknown:
            raise KeyError(
                f"`x_key` and `y_key` must name columns of the data set, {dataset.column_names}. "
                f"Received: {unknown[0]!r}."
            )
        self._x = dataset.select_columns(_names(x_key))
        self._x_key, self._load, self._load_padding = x_key, load_example_fn, padding
        y = {name: _labels(dataset, name) for name in _names(y_key)}
        labels = read_labels(
            y[y_key] if isinstance(y_key, str) else y, "y", None, label_output, ignore_class
        )
        self._y, self.output_names = labels.values, labels.output_names
        weights = None if weight_key is None else np.asarray(dataset[weight_key][:])
        self._weight = read_weights(weights, labels.length)
        draws = BalancedDraws(
            labels,
            classes_per_batch,
            examples_per_class_per_batch,
            class_list,
            total_examples_per_class,
            seed,
            class_choice,
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
        rows = self._x[positions.tolist()]
        x = rows[self._x_key] if isinstance(self._x_key, str) else rows
        if self._load is not None:
            values = as_arrays(x, any_objects=True)
            x = load_examples(self._load, values, self._load_padding)
        else:
            x = as_arrays(_with_arrays(x))
        y = (
            {name: values[positions] for name, values in self._y.items()}
            if isinstance(self._y, dict)
            else self._y[positions]
        )
        return (x, y) if self._weight is None else (x, y, self._weight[positions])


def _names(key: str | Sequence[str]) -> list[str]:
    return [key] if isinstance(key, str) else list(key)


def _labels(dataset: Any, name: str) -> Any:
    """A column of labels, as names if its feature has names."""
    values = dataset[name][:]
    names = getattr(dataset.features[name], "names", None)
    if names is None:
        return values
    # ClassLabel writes -1 for an unknown class.
    return Targets.classes([None if value == -1 else value for value in values], names=names)


def _with_arrays(x: object) -> Any:
    """Converts values that have an array form, such as PIL images, to arrays."""
    if isinstance(x, dict):
        return {key: _with_arrays(column) for key, column in x.items()}
    if isinstance(x, list) and x and hasattr(x[0], "__array_interface__"):
        return [np.asarray(value) for value in x]
    return x
