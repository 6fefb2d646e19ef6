"""Balanced batches of examples in TFRecord files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import _old_names
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.samplers._inputs import as_arrays, is_text, to_host
from tensorflow_similarity.samplers._labels import read_labels
from tensorflow_similarity.samplers._regrouping import rows_at_a_time
from tensorflow_similarity.samplers.balanced import BalancedDraws
from tensorflow_similarity.samplers.class_choice import ClassChoice
from tensorflow_similarity.samplers.loading import stack
from tensorflow_similarity.samplers.padding import Padding
from tensorflow_similarity.samplers.sampler import Sampler
from tensorflow_similarity.samplers.stream import balanced_stream, of_chunks
from tensorflow_similarity.samplers.tfrecord_files import Shards, tfrecord_parser
from tensorflow_similarity.targets import Targets, TargetsLike

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["MultiShotTFRecordSampler", "TFRecordDatasetSampler"]

# Records whose labels are read at a time.
_READ = 4096


def _shard_paths(shard_path: str | os.PathLike[str], shard_suffix: str) -> list[str]:
    paths = sorted(str(path) for path in Path(shard_path).glob(shard_suffix))
    if not paths:
        raise ValueError(
            f"`shard_path` must be a folder with files {shard_suffix!r}. "
            f"Received: {str(shard_path)!r}, which has none."
        )
    return paths


class MultiShotTFRecordSampler(Sampler):
    """Class-balanced batches of TFRecord files, drawn like those of `MultiShotMemorySampler`.

    Records are read by position, so batches are exactly balanced and reproducible whatever
    the order of the records. The files are read once at the start, for the labels; memory
    holds positions and labels, 32 bytes per example. For compressed or remote files, see
    `TFRecordDatasetSampler`.

    Args:
        shard_path: The folder.
        deserialization_fn: A TensorFlow function that turns a serialized record into
            `(x, y)` or `(x, y, sample_weight)`. Defaults to `None`: records are parsed as
            `write_tfrecords` wrote them.
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
        label_key: The feature that holds the class id, an int64, or the class name, bytes.
            Defaults to `"y"`. Batches hold ids in place of names, see `class_names`.
        shard_suffix: Which files to read. Defaults to `"*.tfrec"`.
        ignore_class: A class id or name that stands for an unknown class. Defaults to `None`.
        padding: How to pad sequences of different lengths, see `Padding`. Defaults
            to `None`: `Padding()` for what `write_tfrecords` wrote.
        **kwargs: `workers` and `max_queue_size` of `keras.utils.PyDataset`. Workers are
            threads: TensorFlow does not survive a fork.

    Raises:
        ValueError: If there are no such files, one is compressed or truncated, a record has
            no such label, or there are fewer classes than `classes_per_batch`.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.samplers import MultiShotTFRecordSampler, write_tfrecords

    write_tfrecords("shards", np.random.rand(60, 4), np.arange(60) % 6, examples_per_shard=20)
    sampler = MultiShotTFRecordSampler("shards", classes_per_batch=3, seed=0)
    sampler[0][0].shape  # (6, 4)
    ```
    """

    def __init__(
        self,
        shard_path: str | os.PathLike[str],
        deserialization_fn: Callable[[Any], tuple[Any, Any]] | None = None,
        classes_per_batch: int = 2,
        examples_per_class_per_batch: int = 2,
        steps_per_epoch: int = 1000,
        class_list: ArrayLike | None = None,
        total_examples_per_class: int | None = None,
        augmenter: Callable[..., Any] | None = None,
        seed: int | None = None,
        class_choice: ClassChoice | None = None,
        label_key: str = "y",
        shard_suffix: str = "*.tfrec",
        *,
        ignore_class: object = None,
        padding: Padding | None = None,
        **kwargs: Any,
    ) -> None:
        paths = _shard_paths(shard_path, shard_suffix)
        parse: Any = tfrecord_parser(shard_path) if deserialization_fn is None else None
        self._parse = parse
        self._deserialize = deserialization_fn
        self._load_padding = padding
        self._shards = Shards(paths)
        labels: TargetsLike = _labels(self._shards, label_key)
        if parse is not None and (parse.class_names is not None or parse.unknown is not None):
            labels = Targets.classes(labels, parse.class_names, parse.unknown)
        known = read_labels(labels, f"the feature {label_key!r}", ignore_class=ignore_class)
        self._ids = known.values
        draws = BalancedDraws(
            known,
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
            `(x, y)` or `(x, y, sample_weight)`, for these examples in this order.
        """
        import tensorflow as tf

        records = self._shards.read(positions)
        with tf.device("CPU"):
            if self._parse is not None:
                x, y = self._parse(tf.constant(records, tf.string))
                return as_arrays(x), y.numpy()
            examples = [self._deserialize(tf.constant(record)) for record in records]  # type: ignore[misc]
        examples = [keras.tree.map_structure(to_host, example) for example in examples]
        x, y, *weight = stack(examples, self._load_padding)
        # Names are numbered; anything else is left as it was parsed.
        return (x, self._ids[positions] if is_text(y) else y, *weight)


def _labels(shards: Shards, label_key: str) -> np.ndarray:
    import tensorflow as tf

    parts = []
    for begin in range(0, len(shards), _READ):
        records = shards.read(np.arange(begin, min(begin + _READ, len(shards))))
        errors = []
        for dtype in (tf.int64, tf.string):
            feature = {label_key: tf.io.FixedLenFeature([], dtype)}
            try:
                parts.append(tf.io.parse_example(records, feature)[label_key].numpy())
                break
            except tf.errors.InvalidArgumentError as error:
                errors.append(error)
        else:
            raise ValueError(
                "`label_key` must name a feature of every record, the class id (int64) or the "
                f"class name (bytes). Received: {label_key!r}. ({errors[0].message})"
            ) from errors[0]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


@_old_names.explains_arguments("TFRecordDatasetSampler")
def TFRecordDatasetSampler(  # noqa: N802 (TensorFlow Similarity's name)
    shard_path: str | os.PathLike[str],
    deserialization_fn: Callable[[Any], tuple[Any, Any]] | None = None,
    example_per_class: int = 2,
    batch_size: int = 32,
    shards_per_cycle: int | None = None,
    compression: str | None = None,
    parallelism: int = -1,
    prefetch_size: int | None = None,
    shard_suffix: str = "*.tfrec",
    num_repeat: int = -1,
    shuffle_buffer: int = 1024,
    label_output: int | str | None = None,
    seed: int = 0,
    *,
    class_names: Sequence[str] | None = None,
    ignore_class: object = None,
) -> tf.data.Dataset:
    """Balanced batches of TFRecord files that are read sequentially.

    For files that are compressed or remote. A batch has `batch_size //
    example_per_class` different classes, see `balanced_stream`. Records may be in any
    order, but a class should not have a shard of its own unless several shards are read
    at a time. For local, uncompressed files, `MultiShotTFRecordSampler` draws
    better batches.

    Args:
        shard_path: The folder.
        deserialization_fn: A TensorFlow function that turns a serialized record into `(x, y)`.
            Defaults to `None`: records are parsed as `write_tfrecords` wrote them.
        example_per_class: Examples of each class in a batch. Defaults to 2.
        batch_size: Examples in a batch, a multiple of `example_per_class`. Defaults to 32.
        shards_per_cycle: Files read at a time. Defaults to `None`: all, but at most 64.
        compression: `"GZIP"`, `"ZLIB"` or `None`, the default.
        parallelism: Records parsed at a time. Defaults to -1: TensorFlow decides.
        prefetch_size: Batches made ahead. Defaults to `None`: TensorFlow decides.
        shard_suffix: Which files to read. Defaults to `"*.tfrec"`.
        num_repeat: How often to read all files. Defaults to -1: endlessly.
        shuffle_buffer: Size of the shuffle buffer, in serialized records. Defaults to 1024.
        label_output: Where y is a dict or tuple, the key or position of the class id.
            Defaults to `None`.
        seed: Seed of the order of files and records. Defaults to 0.
        class_names: The names of classes 0, 1, 2, …, where `deserialization_fn` returns names
            as labels. Defaults to `None`.
        ignore_class: A class id or name that stands for an unknown class: such examples are
            left out. Defaults to `None`: what `write_tfrecords` wrote for None.

    Returns:
        A `tf.data.Dataset` of batches `(x, y)`.

    Raises:
        ValueError: If there are no such files, or `batch_size` is not a multiple of
            `example_per_class`.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.samplers import TFRecordDatasetSampler, write_tfrecords

    write_tfrecords("shards", np.random.rand(60, 4), np.arange(60) % 6, compression="GZIP")
    batches = TFRecordDatasetSampler(
        "shards", example_per_class=3, batch_size=9, compression="GZIP"
    )
    x, y = next(iter(batches))  # 9 examples: 3 classes, 3 times each
    ```
    """
    import tensorflow as tf

    each = checks.count(example_per_class, "example_per_class")
    if checks.count(batch_size, "batch_size") % each:
        raise ValueError(
            "`batch_size` must be a multiple of `example_per_class`. Received: "
            f"{batch_size} and {each}."
        )
    paths = _shard_paths(shard_path, shard_suffix)
    cycle = min(len(paths), 64 if shards_per_cycle is None else shards_per_cycle)
    parse: Any = deserialization_fn
    if parse is None:
        parse = tfrecord_parser(shard_path)
        ignore_class = parse.unknown if ignore_class is None else ignore_class
    ds = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths), seed=seed)
    ds = ds.repeat(num_repeat)
    ds = ds.interleave(
        lambda path: tf.data.TFRecordDataset(path, compression_type=compression),
        cycle_length=checks.count(cycle, "shards_per_cycle"),
        block_length=each,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    ds = ds.shuffle(checks.count(shuffle_buffer, "shuffle_buffer"), seed=seed)
    count = batch_size // each
    if deserialization_fn is None and parse.of_one_shape:
        # Many records are parsed at once, in a fraction of the time of one by one.
        rows = rows_at_a_time(ds.map(parse).element_spec, batch_size)
        chunks = ds.batch(rows).map(parse, num_parallel_calls=parallelism, deterministic=True)
        batches = of_chunks(chunks, rows, count, each, ignore_class=ignore_class)
    else:
        ds = ds.map(parse, num_parallel_calls=parallelism, deterministic=True)
        batches = balanced_stream(
            ds, count, each, label_output, class_names=class_names, ignore_class=ignore_class
        )
    return batches if prefetch_size is None else batches.prefetch(prefetch_size)
