"""Exports a model with its index as a TensorFlow SavedModel, for TensorFlow Serving and others.

This module needs TensorFlow, and Keras on its TensorFlow backend: a SavedModel is
a TensorFlow graph. It is imported when something is exported.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.calibration import Calibration
from tensorflow_similarity.distances import Distance
from tensorflow_similarity.index import Index
from tensorflow_similarity.models.binding import IndexBinding
from tensorflow_similarity.models.graph_search import GraphSearch, graph_search
from tensorflow_similarity.targets import Targets

__all__ = ["export_serving"]

# Operations that call back into the Python process in which they were traced.
_PYTHON = {"EagerPyFunc", "PyFunc", "PyFuncStateless"}


def export_serving(
    model: keras.Model,
    binding: IndexBinding,
    filepath: str | os.PathLike[str],
    k: int,
    cutpoint: str | None,
    preprocess: Callable[[Any], Any] | None,
    input_signature: Any,
    max_bytes: int,
    overwrite: bool,
) -> None:
    """Writes the SavedModel: see `SimilarityModel.export_serving`."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "`export_serving` needs the TensorFlow backend of Keras. Running on: "
            f"{keras.backend.backend()}. Save the model, and load it with KERAS_BACKEND=tensorflow "
            "to export it: weights, index and calibration come with it; or serve the file with "
            "`tfsim serve`, which runs on any backend."
        )
    k = checks.count(k, "k")
    path = os.fspath(filepath)
    if os.path.exists(path) and not overwrite:
        raise FileExistsError(f"`filepath` exists: {path!r}. Pass overwrite=True to replace it.")
    index = binding.require_records()
    _check_size(index, max_bytes)
    binding.warn_if_stale()
    calibration = index.calibration if cutpoint is not None else None
    records = _Records(index)
    _check_distance(index.distance, records.search, index.embedding_size)
    specs = _input_specs(model.towers()[0], input_signature, preprocess)
    names = _names(specs)
    flat = [
        tf.TensorSpec(spec.shape, spec.dtype, name)
        for spec, name in zip(keras.tree.flatten(specs), names, strict=True)
    ]

    def embed(inputs: tuple[Any, ...]) -> Any:
        x = keras.tree.pack_sequence_as(specs, list(inputs))
        embeddings = binding.embedder.forward(x if preprocess is None else preprocess(x))
        return tf.debugging.check_numerics(
            tf.cast(embeddings, tf.float32), "The embeddings must be finite. Received: NaN or inf."
        )

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default", lambda *x: records.lookup(embed(x), tf.constant(k)), flat
    )
    archive.add_endpoint(
        "lookup_k",
        lambda *x: records.lookup(embed(x[:-1]), x[-1]),
        [*flat, tf.TensorSpec([], tf.int32, _other_than(names, "k"))],
    )
    if calibration is not None and cutpoint is not None:
        decide = _Decision(calibration, cutpoint, records.class_names)

        def match(*x: Any) -> dict[str, Any]:
            found = decide(*records.columns(embed(x), tf.constant(decide.k)))
            return found | {"labels": records.shown(found["labels"])}

        archive.add_endpoint("match", match, flat)
    _write(archive, path)


class _Records(tf.Module):
    """The current records of an index, searched in the graph."""

    def __init__(self, index: Index) -> None:
        super().__init__()
        records = index.get(index.ids)
        self.search: GraphSearch = graph_search(index.distance, records.embeddings)
        # One more at the end, for padding.
        self.ids = _variable(np.append(records.ids, -1))
        self.keys = None
        if records.keys is not None:
            texts = [key.encode("utf-8", "surrogatepass") for key in records.keys.tolist()]
            self.keys = _variable(np.array([*texts, b""], object))
        if any(isinstance(label, tuple) for label in records.labels):
            raise TypeError(
                "The records of the index must have one label each to be exported. Received: "
                "records with several."
            )
        classes = targets.get(records.labels, "labels", ignore_class=-1)
        if index.class_names is not None and not classes.known.any():
            classes = Targets.classes([None] * len(records), index.class_names)
        # The graph computes with ids; its answers have names.
        self.class_names = classes.class_names
        self.labels = _variable(np.append(classes.ids, -1))
        self.has_label = _variable(np.append(classes.known, False))

    def lookup(self, queries: Tensor, k: Any) -> dict[str, Any]:
        """What a lookup returns, in columns."""
        positions, distances = self._nearest(queries, k)
        keys = {} if self.keys is None else {"keys": tf.gather(self.keys, positions)}
        return keys | {
            "ids": tf.gather(self.ids, positions),
            "distances": distances,
            "labels": self.shown(tf.gather(self.labels, positions)),
        }

    def shown(self, labels: Tensor) -> Any:
        """Class ids, −1 for none; or class names, an empty string for none."""
        if self.class_names is None:
            return labels
        none = len(self.class_names)
        texts = tf.constant([*self.class_names, ""])
        return tf.gather(texts, tf.where(labels < 0, tf.cast(none, labels.dtype), labels))

    def columns(self, queries: Tensor, k: Any) -> tuple[Any, Any]:
        """Distances, inf where there is no label, and labels."""
        positions, distances = self._nearest(queries, k)
        known = tf.gather(self.has_label, positions)
        return tf.where(known, distances, np.inf), tf.gather(self.labels, positions)

    def _nearest(self, queries: Tensor, k: Any) -> tuple[Any, Any]:
        message = "`k` must be at least 1."
        with tf.control_dependencies([tf.debugging.assert_positive(k, message)]):
            positions, distances = self.search(queries, tf.identity(k))
        padding = [[0, 0], [0, k - tf.shape(positions)[1]]]
        return (
            tf.pad(positions, padding, constant_values=self.ids.shape[0] - 1),
            tf.pad(distances, padding, constant_values=np.inf),
        )


class _Decision:
    """A cutpoint of a calibration in the graph: which class a query matches, if any."""

    def __init__(
        self, calibration: Calibration, cutpoint: str, class_names: tuple[str, ...] | None = None
    ) -> None:
        rules = {"match_nearest": _nearest, "match_majority_vote": _majority}
        if calibration.matcher not in rules:
            raise ValueError(
                f"The calibration's matcher cannot be exported. Expected one of {sorted(rules)}. "
                f"Received: {calibration.matcher!r}. Pass cutpoint=None to export lookups only."
            )
        self.k = calibration.k
        self._rule = rules[calibration.matcher]
        self._common = calibration.distance(cutpoint)
        own = calibration.per_class.get(cutpoint, {})
        if class_names is not None:
            places = {name: place for place, name in enumerate(class_names)}
            own = {places[name]: limit for name, limit in own.items() if name in places}
        self._classes = np.array(sorted(own), np.int64)
        limits = [own[place] for place in self._classes.tolist()]
        self._limits = np.array([-np.inf if d is None else d for d in limits], np.float64)

    def __call__(self, distances: Tensor, labels: Tensor) -> dict[str, Any]:
        matched, values = self._rule(distances, labels)
        accepted = tf.cast(values, tf.float64) <= self._limit(matched)
        return {"labels": tf.where(accepted, matched, -1), "distances": values}

    def _limit(self, labels: Tensor) -> Any:
        common = tf.constant(self._common, tf.float64)
        if not len(self._classes):
            return common
        place = tf.minimum(tf.searchsorted(self._classes, labels), len(self._classes) - 1)
        own = tf.gather(tf.constant(self._limits, tf.float64), place)
        known = tf.equal(tf.gather(tf.constant(self._classes), place), labels)
        return tf.where(known, own, common)


def _nearest(distances: Tensor, labels: Tensor) -> tuple[Any, Any]:
    """As `MatchNearest`."""
    return _column(labels, _first_of(tf.math.is_finite(distances)), distances)


def _majority(distances: Tensor, labels: Tensor) -> tuple[Any, Any]:
    """As `MatchMajorityVote`."""
    present = tf.math.is_finite(distances)
    same = tf.equal(labels[:, :, None], labels[:, None, :]) & present[:, None, :]
    winner = tf.argmax(tf.reduce_sum(tf.cast(same, tf.int32), axis=2), axis=1)
    number = tf.reduce_sum(tf.cast(present, tf.float32), axis=1)
    total = tf.reduce_sum(tf.where(present, distances, 0), axis=1)
    mean = tf.where(number > 0, tf.math.divide_no_nan(total, number), np.inf)
    return _column(labels, winner, distances)[0], mean


def _first_of(flags: Any) -> Any:
    return tf.argmax(tf.cast(flags, tf.int32), axis=1)


def _column(labels: Tensor, place: Any, distances: Tensor) -> tuple[Any, Any]:
    return tf.gather(labels, place, batch_dims=1), tf.gather(distances, place, batch_dims=1)


def _variable(values: np.ndarray) -> tf.Variable:
    return tf.Variable(tf.constant(values), trainable=False)


def _check_size(index: Index, max_bytes: int) -> None:
    size = 4 * len(index) * index.embedding_size
    if size > max_bytes:
        raise ValueError(
            f"The index is too large to be searched exactly in a graph: {len(index):,} records of "
            f"{index.embedding_size} numbers take {size:,} bytes, and `max_bytes` is "
            f"{max_bytes:,}. Export the network alone with model.export(path), and serve the "
            "index beside it, or pass a larger `max_bytes`."
        )


def _check_distance(distance: Distance, search: GraphSearch, size: int) -> None:
    """Raises if a distance cannot be computed in a graph."""
    specs = [tf.TensorSpec([None, size], tf.float32), tf.TensorSpec([], tf.int32)]
    try:
        traced = tf.function(search.__call__, specs, autograph=False).get_concrete_function()
    except Exception as error:
        raise ValueError(
            f"The distance of the index cannot be exported: {distance!r} does not work on symbolic "
            "tensors. Write it in keras.ops, or in TensorFlow."
        ) from error
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(node for body in graph.library.function for node in body.node_def)]
    if any(node.op in _PYTHON for node in nodes):
        raise ValueError(
            f"The distance of the index cannot be exported: {distance!r} calls Python, which is "
            "not there where a SavedModel runs. Write it in keras.ops, or in TensorFlow."
        )


def _input_specs(model: keras.Model, input_signature: Any, preprocess: Any) -> Any:
    """What the exported signatures take, in the structure that the model takes."""
    if input_signature is not None:
        return input_signature
    if preprocess is not None:
        raise ValueError(
            "`input_signature` must say what `preprocess` takes, e.g. tf.TensorSpec([None], "
            "tf.string). Received: None."
        )
    if not hasattr(model, "output_names"):
        raise ValueError(
            "`input_signature` must say what a subclassed model takes, e.g. "
            "tf.TensorSpec([None, 28, 28], tf.float32). Received: None."
        )
    return keras.tree.map_structure(
        lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype, _given_name(tensor)), model.input
    )


def _given_name(tensor: Any) -> str | None:
    # Keras numbers the inputs that have no name, through all models of a process; a model that
    # was loaded has the numbers of the process that saved it.
    return None if tensor.name.startswith(("keras_tensor", "input_layer")) else tensor.name


def _names(specs: Any) -> list[str]:
    """What clients call the inputs: the keys of a dict, names that were given, or `inputs`."""
    flat = keras.tree.flatten(specs)
    names = [spec.name or f"inputs_{place}" for place, spec in enumerate(flat)]
    if isinstance(specs, dict):
        keys = keras.tree.pack_sequence_as(specs, list(range(len(flat))))
        names = [key for key, _ in sorted(keys.items(), key=lambda item: item[1])]
    elif len(flat) == 1:
        names = [flat[0].name or "inputs"]
    return names


def _other_than(names: list[str], name: str) -> str:
    while name in names:
        name += "_"
    return name


def _write(archive: Any, path: str) -> None:
    """Writes the archive atomically."""
    if "://" in path:
        archive.write_out(path, verbose=False)
        return
    path = os.path.abspath(path)
    temporary = os.path.join(
        os.path.dirname(path), f".{os.path.basename(path)}.{uuid.uuid4().hex}.tmp"
    )
    try:
        archive.write_out(temporary, verbose=False)
        if os.path.isdir(path):
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
