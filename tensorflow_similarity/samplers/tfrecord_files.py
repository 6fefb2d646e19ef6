"""Writing examples to TFRecord files, and reading any of them by position."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._atomic_file import replacing
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.samplers._inputs import as_arrays, is_text

__all__ = ["Shards", "tfrecord_parser", "write_tfrecords"]

_SCHEMA = "schema.json"
# A record is its length, a checksum of that, the data, and a checksum of that.
_HEAD, _TAIL = 12, 4


def write_tfrecords(
    folder: str | os.PathLike[str],
    x: Any,
    y: Any = None,
    examples_per_shard: int = 4096,
    compression: str | None = None,
) -> list[str]:
    """Writes examples to TFRecord files, with a schema that tells how to read them.

    The features are `x`, the bytes of the array, and `y`, the class id. `schema.json`
    beside the shards holds dtype and shape; `tfrecord_parser` and the samplers read it.

    Args:
        folder: The output folder, created if missing. It must not contain shards yet.
        x: An array `[n, ...]` of numbers; text; sequences of different lengths (a list or
            object array of arrays); bytes, such as encoded images, as a list or an array of
            dtype object; or, for data that does not fit in memory, an iterable of batches
            `(x, y)` of these.
        y: Class ids or class names `[n]`, with None for an unknown one. Names are numbered in
            sorted order (new names in later batches follow) and kept in the schema. Defaults
            to `None`: x yields them.
        examples_per_shard: Examples in a file. Defaults to 4096.
        compression: `"GZIP"`, `"ZLIB"` or `None`, the default. Compressed files can
            only be read sequentially, see `TFRecordDatasetSampler`.

    Returns:
        The paths of the shards.

    Raises:
        TypeError: If labels are neither ids nor names, or bytes are in an array of dtype `S`, which
            drops trailing NULs.
        ValueError: If lengths, dtypes or shapes differ, or the folder has shards.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.samplers import MultiShotTFRecordSampler, write_tfrecords

    write_tfrecords("shards", np.random.rand(60, 4), np.arange(60) % 6, examples_per_shard=20)
    sampler = MultiShotTFRecordSampler("shards", classes_per_batch=3, seed=0)
    sampler[0][0].shape  # (6, 4)
    ```
    """
    import tensorflow as tf

    checks.count(examples_per_shard, "examples_per_shard")
    if y is None and hasattr(x, "__array__"):
        raise ValueError("`y` must hold the class id of each example of an array. Received: None.")
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    if any(root.glob("*.tfrec")):
        raise ValueError(f"`folder` must not have shards yet. Received: {str(folder)!r}.")
    batches: Iterable[Any] = x if y is None else [(x, y)]
    schema: dict[str, Any] | None = None
    labels_of: dict[str, Any] = {}
    paths: list[str] = []
    writer, written = None, 0
    try:
        for rows, labels in batches:
            rows = _rows(rows)
            ids = _ids(labels, len(rows), labels_of)
            found = _schema(rows)
            if schema not in (None, found):
                raise ValueError(f"`x` must be of one form. Received: {schema}, then {found}.")
            schema = found
            for row, label in zip(rows, ids.tolist(), strict=True):
                if writer is None or written == examples_per_shard:
                    if writer is not None:
                        writer.close()
                    paths.append(str(root / f"{len(paths):05d}.tfrec"))
                    writer, written = tf.io.TFRecordWriter(paths[-1], compression), 0
                writer.write(_serialized(row, label))
                written += 1
    finally:
        if writer is not None:
            writer.close()
    if schema is None:
        raise ValueError("`x` must have at least one example. Received: none.")
    with replacing(root / _SCHEMA) as temporary:
        Path(temporary).write_text(json.dumps(schema | labels_of | {"format": 1}), encoding="utf-8")
    return paths


def _ids(labels: ArrayLike, length: int, labels_of: dict[str, Any]) -> np.ndarray:
    """Class ids of a batch, -1 for unknown; records names for the schema."""
    array = np.asarray(labels) if hasattr(labels, "dtype") else None
    if array is not None and array.dtype.kind == "b":
        labels = array.astype(np.int8)
    found = targets.get(labels, "y", length=length)
    names = labels_of.get("class_names")
    if (
        "known" in labels_of
        and found.known.any()
        and (found.class_names is None) != (names is None)
    ):
        raise TypeError(
            "`y` must be class ids or class names, not both. Received: one, then other."
        )
    if found.class_names is not None:
        found = found.recode(names or (), "y")
        labels_of["class_names"] = list(found.class_names or ())
    if found.known.any():
        labels_of["known"] = True
    if not found.known.all():
        labels_of["unknown"] = -1
    return found.ids


def _rows(x: object) -> np.ndarray:
    """The examples as an array; text and bytes as bytes, sequences as an object array."""
    rows = as_arrays(x, any_objects=True)
    if isinstance(rows, (dict, tuple)):
        raise TypeError(
            "`x` must be one array. Received: several. Write records of your own, and read them "
            "with `deserialization_fn`."
        )
    if rows.dtype.kind == "U" or (rows.dtype.kind == "O" and is_text(rows)):
        flat = [row.encode() if isinstance(row, str) else row for row in rows.tolist()]
        rows = np.empty(len(flat), object)
        rows[:] = flat
    elif rows.dtype.kind == "O":
        rows = as_arrays(rows)
    return rows


def _schema(rows: np.ndarray) -> dict[str, Any]:
    if rows.dtype.kind == "S":
        raise TypeError(
            "`x` must hold bytes as a list, or as an array of dtype object. Received: dtype "
            f"{rows.dtype}, which does not keep the NULs that bytes end in."
        )
    if rows.dtype.kind == "O" and rows.ndim == 1:
        elements = rows.tolist()
        if all(isinstance(row, bytes) for row in elements):
            return {"dtype": "string", "shape": []}
        if all(isinstance(row, np.ndarray) and row.dtype.kind in "biuf" for row in elements):
            return {"dtype": elements[0].dtype.name, "shape": [-1, *elements[0].shape[1:]]}
    if rows.dtype.kind not in "biuf":
        raise TypeError(
            "`x` must be numbers, text, sequences of numbers, or bytes [n]. Received: an array of "
            f"shape {rows.shape} and dtype {rows.dtype}."
        )
    return {"dtype": rows.dtype.name, "shape": list(rows.shape[1:])}


def _serialized(row: Any, label: int) -> bytes:
    import tensorflow as tf

    data = row if isinstance(row, bytes) else np.asarray(row).astype(row.dtype.newbyteorder("<"))
    values = data if isinstance(data, bytes) else data.tobytes()
    features = {
        "x": tf.train.Feature(bytes_list=tf.train.BytesList(value=[values])),
        "y": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString()


def tfrecord_parser(folder: str | os.PathLike[str]) -> Callable[[Any], tuple[Any, Any]]:
    """Makes a parser for the records in a folder written by `write_tfrecords`.

    Args:
        folder: The folder.

    Returns:
        A function of one serialized record, or of a vector of them, which returns
        `(x, y)` as tensors; x is ragged for a vector of sequences of different lengths. y is
        the class id, -1 for an unknown class; the attribute `class_names` has the names, or
        None.

    Raises:
        ValueError: If the folder has no `schema.json`, or one from a newer version.

    Example:

    ```python
    import numpy as np
    import tensorflow as tf
    from tensorflow_similarity.samplers import tfrecord_parser, write_tfrecords

    paths = write_tfrecords("shards", np.eye(3), [4, 5, 6])
    ds = tf.data.TFRecordDataset(paths).map(tfrecord_parser("shards"))
    [int(y) for x, y in ds]  # [4, 5, 6]
    ```
    """
    path = Path(folder) / _SCHEMA
    if not path.is_file():
        raise ValueError(
            f"`folder` must have a {_SCHEMA}, as write_tfrecords makes it. Received: "
            f"{str(folder)!r}, which has none: pass `deserialization_fn` for records of another "
            "origin."
        )
    schema = json.loads(path.read_text(encoding="utf-8"))
    if schema.get("format") != 1:
        raise ValueError(f"`folder` must be of format 1. Received: {schema.get('format')!r}.")
    return _Parser(
        schema["dtype"], schema["shape"], schema.get("class_names"), schema.get("unknown")
    )


class _Parser:
    """Parses records of `write_tfrecords`; can be pickled, for samplers in worker processes."""

    def __init__(
        self,
        dtype: str,
        shape: list[int],
        class_names: list[str] | None = None,
        unknown: int | None = None,
    ) -> None:
        self._dtype, self._shape = dtype, shape
        self.class_names, self.unknown = class_names, unknown

    @property
    def of_one_shape(self) -> bool:
        """Whether all examples have one shape, and are no sequences of different lengths."""
        return not (self._shape and self._shape[0] == -1)

    def __call__(self, serialized: Any) -> tuple[Any, Any]:
        import tensorflow as tf

        many = len(serialized.shape) == 1
        reader = tf.io.parse_example if many else tf.io.parse_single_example
        features = {
            "x": tf.io.FixedLenFeature([], tf.string),
            "y": tf.io.FixedLenFeature([], tf.int64),
        }
        found = reader(serialized, features)
        x, dtype = found["x"], tf.as_dtype(self._dtype)
        if dtype != tf.string:
            if many and not self.of_one_shape:
                return self._sequences(x, dtype), found["y"]
            x = tf.io.decode_raw(x, tf.uint8 if dtype == tf.bool else dtype)
            x = tf.cast(tf.reshape(x, [-1, *self._shape] if many else self._shape), dtype)
        return x, found["y"]

    def _sequences(self, serialized: Any, dtype: Any) -> Any:
        """Parses sequences of different lengths one by one."""
        import tensorflow as tf

        width = int(np.prod(self._shape[1:], dtype=int)) * dtype.size
        lengths = tf.strings.length(serialized) // width
        every = tf.io.decode_raw(
            tf.strings.reduce_join(serialized), tf.uint8 if dtype == tf.bool else dtype
        )
        steps = tf.cast(tf.reshape(every, [-1, *self._shape[1:]]), dtype)
        return tf.RaggedTensor.from_row_lengths(steps, lengths)


class Shards:
    """Records of uncompressed TFRecord files, by position.

    Args:
        paths: The files.

    Raises:
        ValueError: If a file is not a TFRecord file, or is truncated.
    """

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths
        self._maps: dict[int, Any] = {}
        starts, sizes, files = [], [], []
        for number in range(len(paths)):
            found = list(self._scan(number))
            starts += [start for start, _ in found]
            sizes += [size for _, size in found]
            files += [number] * len(found)
        self._starts, self._sizes, self._files = (
            np.array(values, np.int64) for values in (starts, sizes, files)
        )

    def __len__(self) -> int:
        return len(self._files)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_maps": {}}

    def _map(self, number: int) -> Any:
        # Two threads may both map a file; either map will do.
        if number not in self._maps:
            self._maps[number] = np.memmap(self._paths[number], np.uint8, mode="r")
        return self._maps[number]

    def _scan(self, number: int) -> Iterator[tuple[int, int]]:
        path = self._paths[number]
        if not os.path.getsize(path):
            return
        data = self._map(number)
        place = 0
        while place < len(data):
            size = -1
            if place + _HEAD <= len(data):
                (size,) = struct.unpack("<Q", data[place : place + 8].tobytes())
            end = place + _HEAD + size + _TAIL
            if size < 0 or end > len(data):
                raise ValueError(
                    f"`shard_path` must have uncompressed TFRecord files. Received: {path!r}, "
                    "which is cut off, or compressed: see TFRecordDatasetSampler for such."
                )
            yield place + _HEAD, size
            place = end

    def read(self, positions: np.ndarray) -> list[bytes]:
        """The serialized records at the given positions."""
        return [
            self._map(int(file))[start : start + size].tobytes()
            for file, start, size in zip(
                self._files[positions],
                self._starts[positions].tolist(),
                self._sizes[positions].tolist(),
                strict=True,
            )
        ]
