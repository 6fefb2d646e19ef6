"""Converts the labels that `fit` and `evaluate` take to numbers: names, None and `Targets`.

Keras passes neither text nor objects to a loss, and reads the class ids of `class_weight` as 32-bit
integers.
"""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.losses import MetricLoss
from tensorflow_similarity.losses.base import PerExampleLoss
from tensorflow_similarity.mining import pairs
from tensorflow_similarity.models.batches import is_dataset
from tensorflow_similarity.samplers._epochs import EpochDataset
from tensorflow_similarity.targets import Targets

__all__ = [
    "WatchedWeights",
    "compares_classes",
    "hashed_names",
    "ids_of_names",
    "losses_by_output",
    "losses_of_classes",
    "losses_on_pairs",
    "with_numbers",
]

#: The kinds of `Targets` that `fit` takes: those with a row for each example.
_KINDS = ("classes", "multi_hot", "soft", "hierarchy", "pairs")


def with_numbers(model: Any, given: dict[str, Any]) -> None:
    """Replaces names, None and `Targets` among the arguments of `fit` or `evaluate` by numbers.

    Class weights of names, and of ids of more than 32 bits, become weights of examples.

    Args:
        model: A compiled model.
        given: Arguments by name, changed in place: `x`, `y`, `validation_data`, `class_weight`,
            `sample_weight`, `validation_split`.

    Raises:
        ValueError: As `ids_of_names`; or if `class_weight` has no class of the labels.
    """
    data, weights = given.get("x"), given.get("class_weight")
    if is_dataset(data):
        given["x"], left = _numbered_data(model, data, weights)
        if weights is not None:
            given["class_weight"] = left
    elif "y" in given:
        y = given["y"]
        given["y"] = model.numbers_of_labels(y)
        by_example = _weights_of_examples(model, y, given["y"], weights)
        if by_example is not None and given.get("sample_weight") is None:
            # Keras does not apply class weights to validation data.
            ends = len(by_example) * (1 - (given.get("validation_split") or 0.0))
            by_example[int(np.floor(ends)) :] = 1.0
            given["sample_weight"] = by_example
            del given["class_weight"]
        if isinstance(given.get("sample_weight"), list):
            given["sample_weight"] = _array_of(given["sample_weight"])
    validation = given.get("validation_data")
    if isinstance(validation, (tuple, list)) and len(validation) > 1:
        x, y, *others = validation
        given["validation_data"] = (x, model.numbers_of_labels(y), *others)
    elif validation is not None and is_dataset(validation):
        given["validation_data"] = _numbered_data(model, validation, None)[0]


def ids_of_names(model: keras.Model, y: object) -> Any:
    """Converts class names, None or `Targets` to arrays of numbers, which Keras accepts.

    The id of a name is a hash of it, the same in every batch, process and memory.

    Args:
        model: A compiled model.
        y: What `fit` was given: labels, or a dict or list of them for the outputs.

    Raises:
        ValueError: If a loss takes the numbers of a head's classes, some names are None and the
            loss has no `ignore_class`, or it does not take names or the kind of `Targets`.
    """
    losses = losses_by_output(model)
    if None in losses:
        return _ids_of_names(losses[None], y)
    if isinstance(y, Mapping):
        return {
            key: _ids_of_names(losses.get(key), labels, f"y[{key!r}]") for key, labels in y.items()
        }
    if isinstance(y, (list, tuple)) and len(y) == len(losses):
        both = enumerate(zip(losses.values(), y, strict=True))
        return type(y)([_ids_of_names(loss, labels, f"y[{i}]") for i, (loss, labels) in both])
    if isinstance(y, Targets) or _may_hold_names(_host_text(y)):
        raise ValueError(
            f"`y` must be a dict with labels for each of the outputs {list(losses)}. Received: "
            "one for all."
        )
    return y


def hashed_names(y: Any, name: str = "y") -> Any:
    """Names as 63-bit ids of the same shape; anything but text is returned unchanged."""
    y = _host_text(y)
    if not _may_hold_names(y, one_value=False):
        return y
    array = np.asarray(y)
    found = targets.get(array.reshape(-1), name)
    if not found.known.all():
        raise ValueError(f"`{name}` must have no None. Received: one.")
    return _hashed(found).reshape(array.shape)


def _ids_of_names(loss: Any, y: Any, name: str = "y") -> Any:
    if np.ma.isMaskedArray(y):
        checks.refuse_partial(y, name)
    y = _array_of(_host_text(y))
    explicit = isinstance(y, Targets)
    if not explicit and not _may_hold_names(y):
        return y
    if not isinstance(loss, PerExampleLoss) and not explicit:
        _refuse_text(loss, y, name)
        return y
    found = targets.get(y, name, kinds=_KINDS)
    if found.kind != "classes":
        return _rows_of(loss, found)
    if found.class_names is None and found.known.all():
        return found.ids if explicit else y
    if found.class_names is not None and not compares_classes(loss):
        _refuse_text(loss, found.class_names, name)
    ids = _hashed(found)
    if found.known.all():
        return ids
    parts = loss.parts() if isinstance(loss, PerExampleLoss) else ()
    ignored = {part.ignore_class for part in parts if len(part.parts()) == 1}
    unknown = ignored.pop() if len(ignored) == 1 else None
    if unknown is None:
        raise ValueError(
            f"`{name}` holds None, for a class that is not known. Give the loss an id for that: "
            f"{_name_of(loss)}(ignore_class=-1)."
        )
    return np.where(found.known, ids, unknown)


def _refuse_text(loss: Any, y: Any, name: str) -> None:
    """Raises if there are names, and the loss needs class numbers or takes no classes."""
    values = np.asarray(y).reshape(-1)
    text = next((str(each) for each in values.tolist() if isinstance(each, (str, bytes))), None)
    if text is None:
        return
    received = f"Received: names, such as {text!r}."
    if loss is None:
        raise ValueError(f"`{name}` must be numbers for this model. {received}")
    numbered = getattr(loss, "on_proxies", False) or getattr(loss, "numbers_classes", False)
    if isinstance(loss, PerExampleLoss) and not numbered:
        raise ValueError(f"`{name}` must be the labels that {_name_of(loss)} takes. {received}")
    raise ValueError(
        f"`{name}` must be class ids for {_name_of(loss)}. {received} Its classes have numbers: "
        "names, y = np.unique(y, return_inverse=True); keep the names."
    )


def _host_text(y: Any) -> Any:
    """Text in a tensor of TensorFlow as an array."""
    if keras.backend.backend() == "tensorflow" and keras.ops.is_tensor(y):
        is_text = keras.backend.standardize_dtype(y.dtype) == "string"
        return y.numpy() if is_text and hasattr(y, "numpy") else y
    return y


def _array_of(values: Any) -> Any:
    """A list of numbers as an array, which Keras accepts; anything else is returned unchanged."""
    numbers = (int, float, np.number, np.bool_)
    if isinstance(values, list) and values and all(isinstance(v, numbers) for v in values):
        return np.asarray(values)
    return values


def _name_of(loss: object) -> str:
    return loss if isinstance(loss, str) else type(loss).__name__


def _hashed(classes: Targets) -> np.ndarray:
    """Class ids, or hashes of the class names if there are names."""
    if classes.class_names is None:
        return classes.ids
    hashes = np.array([_hash(name) for name in classes.class_names], np.int64)
    return hashes[np.where(classes.known, classes.ids, 0)] if len(hashes) else classes.ids


#: The values of `relevance` with which a loss takes each kind of `Targets`.
_TAKEN = {
    "hierarchy": (pairs.hierarchy,),
    "multi_hot": (pairs.multi_hot, pairs.jaccard),
    "soft": (pairs.multi_hot, pairs.jaccard),
}


_ROWS = (pairs.hierarchy, pairs.multi_hot, pairs.jaccard)


def _rows_of(loss: object, found: Targets) -> np.ndarray:
    """Converts labels other than classes to the rows that losses take."""
    for part in losses_on_pairs(loss):
        if found.kind == "pairs":
            fits, advice = part.distance is None, "Pairs that are given are for SiameseModel."
        else:
            taken = _TAKEN[found.kind]
            # It is up to a custom function what it takes.
            fits = part.relevance not in (None, pairs.matrix, *_ROWS) or part.relevance in taken
            advice = f'Make it {_name_of(part)}(relevance="{pairs.relevance_config(taken[0])}").'
        if not fits:
            if found.kind == "hierarchy":
                advice += " Or train on the finest level alone: y.level(-1)."
            raise ValueError(
                f"`y` must be labels that {_name_of(part)} takes. Received: {found!r}. {advice}"
            )
    if found.kind == "pairs":
        return found.same  # type: ignore[attr-defined]
    if found.kind == "hierarchy":
        columns = found.columns  # type: ignore[attr-defined]
        ids = np.stack([_hashed(column) for column in columns], axis=1)
        known = np.stack([column.known for column in columns], axis=1)
        return np.where(np.logical_and.accumulate(known, axis=1), ids, -1)
    if not found.known.all():
        raise ValueError(
            f"`y` must say the labels of every example. Received: {found!r}. Leave the others out: "
            "x[y.known], y.take(y.known)."
        )
    return found.matrix.astype(np.float32)  # type: ignore[attr-defined]


def _may_hold_names(y: object, one_value: bool = True) -> bool:
    """Whether labels may be names; `one_value` requires one value per example."""
    if y is None or keras.ops.is_tensor(y) or isinstance(y, (Mapping, str, bytes)):
        return False
    try:
        array = np.asarray(y)
    except (TypeError, ValueError):
        return False
    fits = array.ndim > 0 and (not one_value or array.size == len(array))
    return fits and array.dtype.kind in "USTO"


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def losses_by_output(model: keras.Model) -> dict[Any, Any]:
    """The losses of a model by output, or under None if there is only one."""
    loss = getattr(model, "loss", None)
    losses = dict(enumerate(loss)) if isinstance(loss, (list, tuple)) else loss
    return dict(losses) if isinstance(losses, Mapping) else {None: losses}


def losses_on_pairs(loss: object) -> list[MetricLoss]:
    """The pair losses that a loss consists of: itself, or those it wraps."""
    parts = loss.parts() if isinstance(loss, PerExampleLoss) else ()
    return [part for part in parts if isinstance(part, MetricLoss)]


def compares_classes(loss: object) -> bool:
    """Whether a loss compares embeddings by class, and only the equality of ids matters."""
    parts = losses_on_pairs(loss)
    return bool(parts) and all(
        part.distance is not None
        and part.relevance is None
        and not part.numbers_classes
        and type(part).embeddings is MetricLoss.embeddings
        for part in parts
    )


def losses_of_classes(model: keras.Model) -> dict[Any, Any]:
    """The losses that compare embeddings by class, by output."""
    return {key: loss for key, loss in losses_by_output(model).items() if compares_classes(loss)}


# Weights of classes ---------------------------------------------------------------------------


class WatchedWeights(dict[Any, float]):
    """`class_weight`, which notes the labels that it is asked for with `get`.

    The package and Keras read weights by `get`, so that after an epoch this knows which classes
    no batch held. A table that Keras makes of all weights (for `tf.data` with ids) asks for none.

    Attributes:
        asked: The labels that were asked for.
        is_complete: Whether all labels are noted here: other processes note for themselves.
    """

    def __init__(self, weights: Mapping[Any, float]) -> None:
        super().__init__(weights)
        self.asked: set[Any] = set()
        self.is_complete = True

    def get(self, key: Any, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)

    def warn_of_unused(self, where: str) -> None:
        """Warns if there are weights of classes that were not asked for, and of others that were.

        Args:
            where: The labels that were there, to say in the message.
        """
        unused = [key for key in self if key not in self.asked]
        if not unused or not self.asked or not self.is_complete:
            return
        there = sorted(self.asked - set(self), key=str) or sorted(self.asked, key=str)
        warnings.warn(
            f"`class_weight` has weights without effect, of classes that are not {where}: "
            f"{str(unused[:5])[1:-1]}. Classes that are there, such as {str(there[:5])[1:-1]}, "
            "have weight 1 unless `class_weight` names them.",
            stacklevel=levels_to_the_caller("keras."),
        )


def _weights_of_examples(
    model: Any, y: Any, ids: Any, weights: Any, whole: bool = True
) -> np.ndarray | None:
    """The class weights of each example, if Keras cannot look them up itself; else None.

    Args:
        model: A compiled model.
        y: Labels, as they were given.
        ids: What `numbers_of_labels` made of them.
        weights: `class_weight`, or None.
        whole: Whether these are all labels: a single batch may lack weighted classes.
    """
    loss = losses_by_output(model).get(None)
    if not isinstance(weights, Mapping) or not isinstance(loss, PerExampleLoss) or ids is None:
        return None
    if not isinstance(y, Targets):
        y = _host_text(y)
    shape = tuple(getattr(ids, "shape", ()))
    if not shape or (len(shape) > 1 and shape[1] != 1):
        raise ValueError(
            "`class_weight` is for labels of one class per example. Received: labels of shape "
            f"{shape}. Pass `sample_weight`."
        )
    known = targets.get(y, "y") if isinstance(y, Targets) or _may_hold_names(y) else None
    names = None if known is None or known.class_names is None else known.decode(known.ids)
    _check_keys(weights, by_name=names is not None)
    if names is not None:
        labels = names.tolist()
    else:
        labels = np.asarray(keras.ops.convert_to_numpy(ids)).reshape(-1).tolist()
    if whole and weights and set(weights).isdisjoint(labels):
        raise ValueError(
            f"`class_weight` must have classes of `y`. Received: {list(weights)[:5]}, none of "
            "which is there."
        )
    by_example = np.array([weights.get(label, 1.0) for label in labels], "float32")
    if whole and isinstance(weights, WatchedWeights):
        weights.warn_of_unused("in `y`")
        weights.is_complete = False  # Nothing is left to report after training.
    if names is None and all(-(2**31) <= number < 2**31 for number in (*weights, *labels)):
        return None  # Keras looks these up itself.
    return by_example


def _check_keys(weights: Mapping[Any, float], by_name: bool) -> None:
    keys = list(weights)
    if any(isinstance(key, str) != by_name for key in keys):
        raise TypeError(
            f"`class_weight` must have class {'names' if by_name else 'ids'} for keys, as `y` "
            f"does. Received: {keys[:5]}."
        )


def _refuse_both() -> None:
    """Raises, as Keras does, if batches have sample weights and `class_weight` is given."""
    raise ValueError(
        "`class_weight` must be None where batches have sample weights. Received: both. Multiply "
        "the sample weights by those of the classes."
    )


# Datasets -------------------------------------------------------------------------------------


def _numbered_data(model: Any, data: Any, weights: Any) -> tuple[Any, Any]:
    """A dataset with numbers in place of names, and the `class_weight` to pass on to Keras."""
    by_name = isinstance(weights, Mapping) and any(isinstance(key, str) for key in weights)
    if isinstance(data, EpochDataset):
        return data, _weights_by_id(data, weights) if by_name else weights
    if hasattr(data, "element_spec") and hasattr(data, "map"):
        return _numbered_tf_data(model, data, weights)

    def numbered(batch: Any) -> Any:
        parts = tuple(batch) if isinstance(batch, list) else batch
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(parts)
        ids = model.numbers_of_labels(y)
        if isinstance(weights, Mapping) and _may_hold_names(_host_text(y)):
            _check_keys(weights, by_name=True)
        by_example = _weights_of_examples(model, y, ids, weights, False) if by_name else None
        if ids is y and by_example is None:
            return batch
        if by_example is not None:
            if sample_weight is not None:
                _refuse_both()
            sample_weight = by_example
        return (x, ids) if sample_weight is None else (x, ids, sample_weight)

    left = None if by_name else weights
    if hasattr(data, "__next__"):
        return (numbered(batch) for batch in data), left
    if isinstance(data, keras.utils.PyDataset):
        first = data[0] if data.num_batches != 0 else None
        if first is None or numbered(first) is first:
            return data, weights
        if by_name and data.use_multiprocessing and isinstance(weights, WatchedWeights):
            weights.is_complete = False
        return _NumberedDataset(data, numbered), left
    if _yields_text(data):
        made = copy.copy(data)
        made.collate_fn = _NumberedCollate(data.collate_fn, numbered)
        if getattr(data, "num_workers", 0) and isinstance(weights, WatchedWeights):
            weights.is_complete = False
        return made, left
    return data, weights


def _weights_by_id(sampler: Any, weights: Mapping[Any, float]) -> dict[int, float]:
    """`class_weight` keyed by the ids that a sampler gives to names."""
    names = list(getattr(sampler, "class_names", None) or [])
    missing = [key for key in weights if key not in names]
    if missing:
        raise ValueError(
            f"`class_weight` must have classes of the sampler, {names[:10]}. Received: "
            f"{missing[:5]}."
        )
    return {names.index(key): weight for key, weight in weights.items()}


def _yields_text(loader: Any) -> bool:
    """Whether the labels of a PyTorch `DataLoader` are text, judging by its first example."""
    dataset: Any = getattr(loader, "dataset", None)
    if not hasattr(loader, "collate_fn") or not hasattr(dataset, "__getitem__"):
        return False
    if not hasattr(dataset, "__len__") or not len(dataset):
        return False
    example = dataset[0]
    return isinstance(example, (tuple, list)) and len(example) > 1 and isinstance(example[1], str)


class _NumberedCollate:
    """Collates batches with another function, and replaces names by numbers."""

    def __init__(self, collate: Callable[[Any], Any], numbered: Callable[[Any], Any]) -> None:
        self._collate, self._numbered = collate, numbered

    def __call__(self, examples: Any) -> Any:
        import torch

        x, y, *others = self._collate(examples)
        x, y, *others = self._numbered((x, np.asarray(y), *others))
        rest = [torch.as_tensor(each) for each in others]
        return (x, torch.as_tensor(y), *rest)


def _numbered_tf_data(model: Any, data: Any, weights: Any) -> tuple[Any, Any]:
    import tensorflow as tf

    spec = data.element_spec
    if not isinstance(spec, tuple) or len(spec) < 2:
        return data, weights

    def is_text(leaf: Any) -> bool:
        return getattr(leaf, "dtype", None) == tf.string

    if not any(is_text(leaf) for leaf in keras.tree.flatten(spec[1])):
        return data, weights
    # Raises if the loss does not take names.
    example = keras.tree.map_structure(
        lambda leaf: np.array(["a", "b"]) if is_text(leaf) else np.zeros(2), spec[1]
    )
    model.numbers_of_labels(example)
    by_name = isinstance(weights, Mapping)
    if by_name:
        _check_keys(weights, by_name)
        if len(spec) > 2:
            _refuse_both()

    def of(function: Callable[[Any], np.ndarray], names: Any, dtype: Any) -> Any:
        found = tf.numpy_function(function, [names], dtype)
        found.set_shape(names.shape)
        return found

    def ids(leaf: Any) -> Any:
        return of(hashed_names, leaf, tf.int64) if is_text(leaf) else leaf

    def weight(names: np.ndarray) -> np.ndarray:
        every = [weights.get(name.decode(), 1.0) for name in names.reshape(-1)]
        return np.array(every, "float32").reshape(names.shape)

    def numbered(x: Any, y: Any, *others: Any) -> Any:
        more = (of(weight, y, tf.float32),) if by_name else others
        return (x, keras.tree.map_structure(ids, y), *more)

    return data.map(numbered), None if by_name else weights


class _NumberedDataset(keras.utils.PyDataset):
    """A dataset of batches with numbers in place of names."""

    def __init__(self, data: keras.utils.PyDataset, numbered: Callable[[Any], Any]) -> None:
        super().__init__(
            workers=data.workers,
            use_multiprocessing=data.use_multiprocessing,
            max_queue_size=data.max_queue_size,
        )
        self._data, self._numbered = data, numbered

    @property
    def num_batches(self) -> int | None:
        return self._data.num_batches

    def __getitem__(self, index: int) -> Any:
        return self._numbered(self._data[index])

    def on_epoch_begin(self) -> None:
        self._data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._data.on_epoch_end()
