"""Balanced batches of a TensorFlow Datasets data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from tensorflow_similarity._extras import missing
from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.samplers.class_choice import ClassChoice
from tensorflow_similarity.samplers.loading import columns
from tensorflow_similarity.samplers.memory import MultiShotMemorySampler

__all__ = ["TFDatasetMultiShotMemorySampler"]


class TFDatasetMultiShotMemorySampler(MultiShotMemorySampler):
    """Class-balanced batches of a data set from TensorFlow Datasets.

    Loads the data set into memory (downloading it the first time) and draws from it like
    `MultiShotMemorySampler`. Needs the extra `tfds`. For example:
    `TFDatasetMultiShotMemorySampler("mnist", classes_per_batch=10, splits="train")`.

    Args:
        dataset_name: The name in the catalogue of TensorFlow Datasets, or a builder.
        classes_per_batch: Number of classes in a batch. Defaults to 2.
        x_key: The feature with the example. Defaults to `"image"`.
        y_key: The feature with the class id or class name. Defaults to `"label"`.
        splits: One split or several. Defaults to `("train", "test")`.
        examples_per_class_per_batch: Examples of each class in a batch. Defaults
            to 2. Classes with fewer examples repeat them, with one warning.
        steps_per_epoch: Batches in an epoch. Defaults to 1000.
        class_list: Ids or names of classes to draw from; only these are kept in memory. Defaults
            to `None`: all.
        total_examples_per_class: Use at most this many examples of each class, a
            random choice that depends on the seed. Defaults to `None`: all.
        preprocess_fn: A function `(x, y) -> (x, y)` of one example, such as one that
            brings images to one size. Defaults to `None`.
        augmenter: As for `MultiShotMemorySampler`. Defaults to `None`.
        seed: Integer. Defaults to `None`: a random seed, stored in the attribute `seed`.
        class_choice: How the classes of a batch are chosen, such as `HierarchicalClasses`.
            Defaults to `None`: uniformly at random.
        data_dir: Where the data are, or are downloaded to. Defaults to `None`: where
            TensorFlow Datasets has them.
        verbose: 0 for silence, 1 for a progress bar. Defaults to 1.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Raises:
        ImportError: If TensorFlow Datasets is not installed.
        ValueError: If there is no such feature, or examples differ in more than length.
    """

    @explains_arguments("TFDatasetMultiShotMemorySampler")
    def __init__(
        self,
        dataset_name: str,
        classes_per_batch: int = 2,
        x_key: str = "image",
        y_key: str = "label",
        splits: str | Sequence[str] = ("train", "test"),
        examples_per_class_per_batch: int = 2,
        steps_per_epoch: int = 1000,
        class_list: ArrayLike | None = None,
        total_examples_per_class: int | None = None,
        preprocess_fn: Callable[[Any, Any], tuple[Any, Any]] | None = None,
        augmenter: Callable[..., Any] | None = None,
        seed: int | None = None,
        class_choice: ClassChoice | None = None,
        data_dir: str | None = None,
        verbose: int = 1,
        **kwargs: Any,
    ) -> None:
        kept = (
            None
            if class_list is None
            else {_plain(label) for label in np.asarray(class_list).ravel()}
        )
        xs: list[Any] = []
        ys: list[Any] = []
        for split in [splits] if isinstance(splits, str) else splits:
            for example in _examples(dataset_name, split, data_dir, verbose):
                missing = {x_key, y_key} - set(example)
                if missing:
                    raise ValueError(
                        "`x_key` and `y_key` must name features of the data set. Received: "
                        f"{sorted(missing)}; there are {sorted(example)}."
                    )
                x, y = example[x_key], example[y_key]
                if preprocess_fn is not None:
                    x, y = preprocess_fn(x, y)
                label = _plain(y)
                if kept is None or label in kept:
                    xs.append(x)
                    ys.append(label)
        if not xs:
            raise ValueError("`class_list` must have classes of the data set. Received: none.")
        super().__init__(
            columns(xs),
            ys,
            classes_per_batch=classes_per_batch,
            examples_per_class_per_batch=examples_per_class_per_batch,
            steps_per_epoch=steps_per_epoch,
            class_list=class_list,
            total_examples_per_class=total_examples_per_class,
            augmenter=augmenter,
            seed=seed,
            class_choice=class_choice,
            **kwargs,
        )


def _plain(label: ArrayLike) -> Any:
    """A label as a Python value: an integer or a string."""
    label = label.item() if hasattr(label, "item") else label
    return label.decode() if isinstance(label, bytes) else label


def _examples(dataset_name: str, split: str, data_dir: str | None, verbose: int) -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise missing("TFDatasetMultiShotMemorySampler", "TensorFlow Datasets", "tfds") from error
    if isinstance(dataset_name, str):
        ds = tfds.load(dataset_name, split=split, data_dir=data_dir)
    else:
        dataset_name.download_and_prepare()
        ds = dataset_name.as_dataset(split=split)
    return tqdm(tfds.as_numpy(ds), desc=f"Reading {split}", unit="example", disable=not verbose)
