"""Checks of the arguments of an index, and its checked settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances, targets
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.distances import Distance
from tensorflow_similarity.distances.scale import LARGE, SMALL, check_ranking_scale
from tensorflow_similarity.index import engines
from tensorflow_similarity.index._graphs import Folding
from tensorflow_similarity.index._keys import packed, read_keys
from tensorflow_similarity.index._label_sets import LabelSets
from tensorflow_similarity.index._payload import parse_payload
from tensorflow_similarity.index._records import Batch
from tensorflow_similarity.index._vectors import STORAGES
from tensorflow_similarity.targets import Targets

__all__ = [
    "Settings",
    "check_batch",
    "check_changes",
    "check_embeddings",
    "check_ids",
    "check_k",
    "check_labels",
]

# Places of a lookup without a record, which are padded.
_MOST_PADDING = 1 << 26


def check_embeddings(values: Any, name: str, size: int, distance: Distance) -> np.ndarray:
    """Finite float32 `[n, size]`, small enough for their squares to be finite.

    Warns of numbers so small that their distances vanish.

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If the shape is wrong, or a value is NaN, infinite or huge.
    """
    # A fast path for the usual output of a model. NaN fails the comparison.
    as_it_is = type(values) is np.ndarray and values.dtype == np.float32
    as_it_is = as_it_is and values.flags.c_contiguous and values.shape[1:] == (size,)
    if as_it_is and values.size and SMALL <= max(values.max(), -values.min()) <= LARGE:
        return values
    array = checks.embeddings(values, name, size=size)
    if array.size and max(array.max(), -array.min()) > LARGE:
        raise ValueError(
            f"`{name}` must be at most {LARGE:g} in size, so that distances are finite in "
            f"float32. Received: {np.abs(array).max():g}. Scale them down."
        )
    check_ranking_scale(distance, array, name)
    return array


def check_ids(
    ids: ArrayLike, length: int | None = None, distinct: bool = True, name: str = "ids"
) -> np.ndarray:
    """Ids, int64 `[n]`, not negative; a single id is taken as one.

    Raises:
        TypeError: If they are not integers.
        ValueError: If the shape or length is wrong, or one is negative, or (where
            they are to be distinct) is there twice.
    """
    array = checks.host_array(ids, name)
    # NumPy makes floats or objects of whole numbers that do not fit.
    given = ids if isinstance(ids, list | tuple) else array.flat
    given = given if array.dtype.kind in "fO" else ()
    beyond = [each for each in given if _is_whole(each) and not -(2**63) <= each < 2**63]
    if beyond:
        raise ValueError(
            f"`{name}` must be from 0 to 2**63 - 1. Received: {beyond[0]}. Write others as strings."
        )
    if array.ndim == 0 and array.dtype.kind in "iu":
        array = array[None]
    if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"`{name}` must be below 2**63. Received: {array.max()}.")
    if array.dtype.kind == "b":
        raise TypeError(f"`{name}` must be integers. Received: {ids!r}.")
    if array.dtype.kind in "USTO" and array.size:
        raise TypeError(
            f"`{name}` must be integers of shape [n]. Received: array of shape {array.shape} and "
            f"dtype {array.dtype}. Keys of your own are strings: ids=['a-1', ...]."
        )
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(
            f"`{name}` must be integers of shape [n]. Received: array of shape {array.shape} and "
            f"dtype {array.dtype}. Write {name}.astype('int64') where they are whole numbers."
        )
    if array.ndim > 1 and array.shape[1:] != (1,):
        raise ValueError(
            f"`{name}` must have the shape [n]. Received: shape {array.shape}. Write "
            f"np.unique({name}) for each of them once."
        )
    array = checks.class_ids(array if array.dtype.kind in "iu" else ids, name)
    if length is not None and len(array) != length:
        raise ValueError(
            f"`{name}` must hold one id per record: expected {length}. Received: {len(array)}."
        )
    if len(array) and array.min() < 0:
        raise ValueError(f"`{name}` must not be negative. Received: {array.min()}.")
    if distinct and len(array) > 1 and not bool((np.diff(array) > 0).all()):
        unique, counts = np.unique(array, return_counts=True)
        if len(unique) < len(array):
            raise ValueError(
                f"`{name}` must be distinct. Received more than once: "
                f"{unique[counts > 1][:5].tolist()}."
            )
    return array


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_k(k: int, offset: int, queries: int, records: int) -> None:
    """Checks the number of neighbours to find.

    Raises:
        ValueError: If it is so large that padding alone would fill memory.
    """
    depth = k + offset
    if depth > records and max(queries, 1) * (depth - records) > _MOST_PADDING:
        beyond = f" and offset={offset}" if offset else ""
        raise ValueError(
            f"`k` must not be so far beyond the number of records, {records}: every place without "
            f"one is padded. Received: k={k}{beyond} for {queries} queries. Write k=len(index) for "
            "all."
        )


def check_labels(labels: ArrayLike, length: int) -> Targets | None:
    """Checked labels of records: a class each, by id or by name, or None.

    Args:
        labels: Integer class ids or class names `[n]` or `[n, 1]`; None, −1, or (in a masked
            array) masked for records without one. Or several of each: a list of sets, or
            `Targets`. None for no labels at all.
        length: The number of records.

    Raises:
        TypeError: If a label is neither an id nor a name.
        ValueError: If the shape or the length is wrong.
    """
    if labels is None:
        return None
    if isinstance(labels, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(labels)
        labels = np.array(labels.data, object)
        labels[hidden] = None
    labels = _sets(labels)
    # −1 is how lookups and records represent a missing label.
    several = isinstance(labels, Targets) and labels.kind == "multi_hot"
    ignored = None if several else -1
    found = targets.get(labels, "labels", ignore_class=ignored, kinds=("classes", "multi_hot"))
    if len(found) != length:
        raise ValueError(
            f"`labels` must hold one class id per example: expected {length}. Received: "
            f"{len(found)} labels."
        )
    return found


def _sets(labels: Any) -> Any:
    """Labels as they are; where they are sets, or what records with several give, `Targets`."""
    if isinstance(labels, np.ndarray) and labels.dtype == object and labels.ndim == 1:
        several = any(isinstance(each, tuple) for each in labels)
    else:
        several = isinstance(labels, list | tuple) and any(
            isinstance(each, set | frozenset) for each in labels
        )
    return Targets.label_sets(labels, name="labels") if several else labels


#: Labels as records hold them, of those that were given; see `ClassNames.encode`.
Encode = Callable[["Targets | None", int], tuple[np.ndarray | LabelSets, np.ndarray]]


def check_batch(
    vectors: np.ndarray,
    labels: ArrayLike,
    data: object,
    ids: ArrayLike,
    encode: Encode,
) -> Batch:
    """Whole records of checked embeddings, as `Index.add` takes them; `ids` may be None."""
    classes = check_labels(labels, len(vectors))
    keys = None if ids is None else read_keys(ids, distinct=True)
    given = np.empty(0, np.int64)
    if keys is not None and len(keys) != len(vectors):
        raise ValueError(
            f"`ids` must hold one key per record: expected {len(vectors)}. Received: {len(keys)}."
        )
    if ids is not None and keys is None:
        given = check_ids(ids, len(vectors))
    payload = parse_payload(data, len(vectors))
    # Last, because it may add names to the index: everything else must be valid.
    class_ids, present = encode(classes, len(vectors))
    kept = None if keys is None else packed(keys)
    return Batch(given, vectors, class_ids, present, payload, kept)


def check_changes(
    ids: np.ndarray,
    vectors: np.ndarray | None,
    labels: ArrayLike,
    data: object,
    encode: Encode,
) -> dict[str, Any]:
    """The columns of a `Batch` that `Index.update` replaces; None for those it keeps."""
    changes: dict[str, Any] = {}
    if vectors is not None:
        if len(vectors) != len(ids):
            raise ValueError(
                f"`embeddings` must hold one row per id: expected {len(ids)}. "
                f"Received: {len(vectors)}."
            )
        changes["vectors"] = vectors
    classes = check_labels(labels, len(ids))
    if data is not None:
        changes["data"] = parse_payload(data, len(ids))
    if classes is not None:
        changes["labels"], changes["has_label"] = encode(classes, len(ids))
    return changes


@dataclasses.dataclass(frozen=True)
class Settings:
    """The checked arguments of an index, see `Index`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If one is out of range or names nothing known.
    """

    embedding_size: int
    distance: Any = "cosine"
    search: object = "auto"
    target_recall: float = 0.95
    search_params: Mapping[str, Any] | None = None
    background: bool = False
    storage: str = "float32"

    def __post_init__(self) -> None:
        recall, params = self.target_recall, self.search_params
        size = checks.count(self.embedding_size, "embedding_size")
        distance = distances.get(self.distance)
        recall = checks.number(recall, "target_recall")
        if not 0 < recall <= 1:
            raise ValueError(f"`target_recall` must be in (0, 1]. Received: {recall!r}.")
        if not isinstance(params, Mapping | None):
            raise TypeError(f"`search_params` must be a dict. Received: {params!r}.")
        if params and engines.get(self.search) is None:
            raise ValueError(
                f"`search_params` are those of an engine, and search={self.search!r} has no "
                f"engine. Received: {dict(params)}."
            )
        checks.choice(self.storage, "storage", STORAGES)
        for name, value in (
            ("embedding_size", size),
            ("distance", distance),
            ("target_recall", recall),
            ("search_params", dict(params or {})),
            ("background", checks.flag(self.background, "background")),
        ):
            object.__setattr__(self, name, value)
        self.folding().new_engine()  # raises for wrong parameters now, not at the first lookup

    def folding(self) -> Folding:
        """The policy on when to build a graph, and how."""
        product = distances.product_of(self.distance)
        return Folding(
            engine=engines.get(self.search),
            space=None if product is None else product.space,
            params=dict(self.search_params or {}),
            target_recall=self.target_recall,
            automatic=self.search == "auto",
            background=self.background,
        )

    def fitting(self, was: Settings, path: str) -> Settings:
        """These settings, adapted to an index that was made with others.

        Raises:
            ValueError: If its records do not fit these.
        """
        for name in ("embedding_size", "distance", "storage"):
            wanted, found = getattr(self, name), getattr(was, name)
            if wanted != found:
                raise ValueError(
                    f"`{name}` must be that of the index at {path!r}, {found!r}. "
                    f"Received: {wanted!r}. Pass another `path` to begin an index."
                )
        return self

    def same_engine(self, other: Settings) -> bool:
        """Whether a graph built for one of the two can be used by the other."""
        return (self.search, self.search_params) == (other.search, other.search_params)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for JSON."""
        return {
            "embedding_size": self.embedding_size,
            "distance": _serialized(self.distance),
            "search": self.search,
            "target_recall": self.target_recall,
            "search_params": dict(self.search_params or {}),
            "background": self.background,
            "storage": self.storage,
        }


def _serialized(distance: distances.Distance) -> Any:
    """The name of a distance of this package, the Keras config of any other."""
    if distance.name in distances.names() and distances.get(distance.name) == distance:
        return distance.name
    return keras.saving.serialize_keras_object(distance)
