"""Reads labels: the classes that samplers draw by, and the `y` of their batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.targets import Targets

__all__ = ["Labels", "class_list_ids", "read_labels", "read_weights"]

# Kinds of targets that give an example one class or several.
_KINDS = ("classes", "multi_hot", "soft")


@dataclasses.dataclass(frozen=True)
class Labels:
    """Labels as samplers use them.

    Attributes:
        positions: int64 `[memberships]`, positions of examples. An example appears once per
            label, and not at all if its class is unknown.
        classes: int64 `[memberships]`, the class of each.
        values: The y of batches: an array `[n, ...]`, or a structure of them.
        class_names: The names of classes 0, 1, 2, …, or None.
        output_names: Class names of auxiliary targets that were given as names.
        length: The number of examples, n.
        several: Whether an example may have several labels.
    """

    positions: np.ndarray
    classes: np.ndarray
    values: Any
    class_names: list[str] | None
    output_names: dict[int | str, list[str]]
    length: int
    several: bool

    @property
    def unknown(self) -> int:
        """The number of examples without a class, which are never drawn."""
        return self.length - len(np.unique(self.positions))


def read_labels(
    y: object,
    name: str = "y",
    length: int | None = None,
    label_output: int | str | None = None,
    ignore_class: object = None,
) -> Labels:
    """Reads labels of any kind.

    Args:
        y: Class ids or names, `Targets`, or a dict or tuple of these and auxiliary targets.
        name: Name of the argument, for errors.
        length: The number of examples, which tells a list of arrays from one array.
        label_output: Where y is a dict or tuple, the key or position of the classes. None: the
            only entry that can hold classes.
        ignore_class: An id or name that stands for an unknown class.

    Raises:
        KeyError: If `label_output` names no entry.
        TypeError: If `y` is of a kind that does not say which class an example is of.
        ValueError: If shapes or lengths do not fit, or it is not clear which entry holds the
            classes.
    """
    entries = _entries(y, length)
    if entries is None:
        if label_output is not None:
            raise ValueError(
                f"`label_output` is for `{name}` that is a dict or tuple. Received: "
                f"label_output={label_output!r} with {type(y).__name__}. Leave it out."
            )
        found, values = _main(y, name, ignore_class)
        return _labels(found, values, {})
    key = _chosen(entries, name, label_output)
    found, value = _main(entries[key], f"{name}[{key!r}]", ignore_class)
    names: dict[int | str, list[str]] = {}
    values = {}
    for other, entry in entries.items():
        if other == key:
            values[other] = value
            continue
        values[other], vocabulary = _auxiliary(entry, f"{name}[{other!r}]", len(found))
        if vocabulary is not None:
            names[other] = vocabulary
    made = values if isinstance(y, Mapping) else tuple(values.values())
    return _labels(found, made, names)


def _labels(found: Targets, values: Any, names: dict[int | str, list[str]]) -> Labels:
    if found.kind == "multi_hot":
        positions, classes = np.nonzero(found.matrix)  # type: ignore[attr-defined]
    elif found.kind == "soft":
        positions = np.arange(len(found))
        classes = found.matrix.argmax(axis=1)  # type: ignore[attr-defined]
    else:
        positions = np.flatnonzero(found.known)
        classes = found.ids[positions]
    return Labels(
        positions.astype(np.int64),
        classes.astype(np.int64),
        values,
        None if found.class_names is None else list(found.class_names),
        names,
        len(found),
        found.kind == "multi_hot",
    )


def _entries(y: Any, length: int | None) -> dict[Any, Any] | None:
    """The entries of a structure of targets; None for a single one."""
    if isinstance(y, Mapping):
        return dict(y)
    several = isinstance(y, tuple) and not hasattr(y, "_fields")
    if isinstance(y, list) and length is not None and len(y) != length:
        several = True
    if several and y and all(_is_column(entry) for entry in y):
        return dict(enumerate(y))
    return None


def _is_column(entry: object) -> bool:
    return isinstance(entry, (list, Targets)) or bool(getattr(entry, "shape", ()))


def _chosen(entries: dict[Any, Any], name: str, label_output: int | str | None) -> Any:
    """The key of the entry that holds the classes."""
    if not entries:
        raise ValueError(f"`{name}` must have an entry that holds the classes. Received: none.")
    if label_output is not None:
        if label_output not in list(entries):
            raise KeyError(
                f"`label_output` must be one of {list(entries)}, the entries of `{name}`. "
                f"Received: {label_output!r}."
            )
        return label_output
    if len(entries) == 1:
        return next(iter(entries))
    explicit = [key for key, entry in entries.items() if isinstance(entry, Targets)]
    if len(explicit) == 1:
        return explicit[0]
    columns = {key: np.asarray(entry) for key, entry in entries.items() if key not in explicit}
    ids = [key for key, column in columns.items() if _holds_ids(column)]
    rivals = [key for key, column in columns.items() if _looks_one_hot(column)]
    same = ids and all(np.array_equal(columns[key], columns[ids[0]]) for key in ids)
    if not explicit and same and not rivals:
        return ids[0]
    raise ValueError(
        f"`label_output` must say which entry of `{name}` holds the classes that batches are "
        f"drawn by. Received: None, with the entries {list(entries)}. Write e.g. "
        f"label_output={next(iter(entries))!r}, or wrap that entry: Targets.classes(...)."
    )


def _holds_ids(column: np.ndarray) -> bool:
    one_value = column.ndim == 1 or (column.ndim == 2 and column.shape[1] == 1)
    return one_value and column.dtype.kind in "iuUSTO"


def _looks_one_hot(column: np.ndarray) -> bool:
    if column.ndim != 2 or column.shape[1] == 1 or column.dtype.kind not in "biuf":
        return False
    return bool(((column == 0) | (column == 1)).all())


def _main(y: object, name: str, ignore_class: object) -> tuple[Targets, Any]:
    """The classes, and the y of batches."""
    if isinstance(y, Targets) and y.kind in ("pairs", "triplets"):
        raise TypeError(
            f"`{name}` must say which class an example is of. Received: {y!r}. Ready-made "
            f"{y.kind} need no classes: see tensorflow_similarity.samplers.RowSampler."
        )
    if isinstance(y, Targets) and y.kind == "relevance":
        raise TypeError(
            f"`{name}` must say which class or labels an example has. Received: {y!r}. Give what "
            "the relevance was made of: class ids, Targets.multi_hot(...) or "
            "Targets.hierarchy(...)."
        )
    plain = y
    if not isinstance(y, Targets):
        if np.ma.isMaskedArray(y):
            checks.refuse_partial(y, name)
        array = None if hasattr(y, "isna") else np.asarray(y) if _is_array(y) else None
        if array is not None and array.dtype.kind == "b":
            plain = array.astype(np.int8)  # Two classes, as losses take them.
    found = targets.get(plain, name, None, ignore_class, kinds=_KINDS)
    if found.kind != "classes":
        return found, found.matrix.astype(np.float32)  # type: ignore[attr-defined]
    if isinstance(y, Targets) and y.kind == "hierarchy":
        return found, y.matrix  # type: ignore[attr-defined]
    if found.class_names is None and found.known.all() and _is_array(y):
        array = np.asarray(y)
        if array.dtype.kind in "iub":
            return found, array  # Their dtype and shape are kept.
    return found, found.ids


def _is_array(y: object) -> bool:
    return hasattr(y, "__array__") and hasattr(y, "dtype")


def _auxiliary(entry: object, name: str, length: int) -> tuple[np.ndarray, list[str] | None]:
    """An auxiliary target as an array of numbers, and the names of its classes if it has any."""
    if not isinstance(entry, Targets):
        array = checks.host_array(entry, name)
        if array.dtype.kind not in "USTO":
            if array.ndim == 0 or len(array) != length:
                raise ValueError(
                    f"`{name}` must have one row per example: expected {length}. Received: "
                    f"array of shape {array.shape}."
                )
            return array, None
    found = targets.get(entry, name, length, kinds=_KINDS)
    names = None if found.class_names is None else list(found.class_names)
    if found.kind != "classes":
        return found.matrix.astype(np.float32), names  # type: ignore[attr-defined]
    if isinstance(entry, Targets) and entry.kind == "hierarchy":
        return entry.matrix, names  # type: ignore[attr-defined]
    return found.ids, names


def class_list_ids(class_list: ArrayLike, class_names: list[str] | None) -> np.ndarray:
    """Ids of classes given by id or by name.

    Raises:
        ValueError: If there is no class of that name.
    """
    found = targets.get(class_list, "class_list")
    if found.class_names is None:
        return found.ids
    if class_names is None:
        raise TypeError(
            "`class_list` must be class ids, as the labels are. Received: names, such as "
            f"{found.class_names[0]!r}."
        )
    unknown = [name for name in found.class_names if name not in class_names]
    if unknown:
        raise ValueError(
            "`class_list` must hold classes that occur in the labels. Received: "
            f"{len(unknown)} unknown names, {unknown[:5]}."
        )
    return found.recode(class_names, "class_list").ids


def read_weights(sample_weight: object, length: int) -> Any:
    """Weights of the examples: floats `[n]`, or a structure of them; None for none.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If their number is not that of the examples, or one is NaN.
    """
    if sample_weight is None:
        return None
    if not isinstance(sample_weight, (Mapping, tuple)):
        return _weights(sample_weight, length)
    return keras.tree.map_structure(lambda leaf: _weights(leaf, length), sample_weight)


def _weights(sample_weight: object, length: int) -> np.ndarray:
    weights = checks.host_array(sample_weight, "sample_weight")
    if weights.ndim == 2 and weights.shape[1] == 1:
        weights = weights[:, 0]
    received = f"Received: array of shape {weights.shape} and dtype {weights.dtype}."
    if weights.dtype.kind not in "iubf":
        raise TypeError(f"`sample_weight` must be numbers, one for each example. {received}")
    if weights.shape != (length,):
        raise ValueError(f"`sample_weight` must have shape [{length}]. {received}")
    if np.isnan(weights).any():
        raise ValueError("`sample_weight` must have no NaN. Received: one. Write 0 to leave out.")
    return weights if weights.dtype.kind == "f" else weights.astype(np.float32)
