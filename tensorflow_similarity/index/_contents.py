"""What the files of an index may hold: checked before any of it is used.

Checksums tell damage from what was written. What was written may still be wrong: by a
forger, or by a defect. Everything that is read is therefore checked for what the rest of
the index takes for granted: types, shapes, lengths, ranges, finite numbers, distinct ids.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tensorflow_similarity.index._errors import CorruptIndexError, IndexFileError
from tensorflow_similarity.index._journal import FRAMES
from tensorflow_similarity.index._keys import keys_in, packed
from tensorflow_similarity.index._payload import JsonPayload
from tensorflow_similarity.index._vectors import STORAGES, EncodedRows

__all__ = [
    "LIVE",
    "all_distinct",
    "check_columns",
    "check_config",
    "check_meta",
    "naming",
    "required",
]

#: The name of the column of which rows are alive.
LIVE = "live"
#: Numbers in an embedding are no larger, or their squares leave float32.
_LARGEST = 1e17
# Rows looked at together.
_BLOCK = 1 << 16
_GREATEST_CODE = {"float16": 65_504.0, "int8": 128.0}
_PAYLOADS = {("data.values", "data.present"), ("data.text", "data.ends"), ()}
#: The columns in place of labels, where records have several.
_SEVERAL = ("labels.values", "labels.ends")
_KEYS = {("keys.text", "keys.ends"), ()}
# What Python raises on values of other types or shapes than expected.
_SURPRISES = (
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Turns errors caused by the contents of a file into a `CorruptIndexError` with its name."""
    try:
        yield
    except IndexFileError:
        raise
    except _SURPRISES as error:
        reason = str(error.args[0] if error.args else "").strip() or "no more is known"
        raise CorruptIndexError(
            f"{path!r} cannot be loaded: its checksums are right, and its contents are not "
            f"({type(error).__name__}: {reason}). Restore it from a copy, or build the index again."
        ) from error


def required(condition: bool, what: str) -> None:
    """Raises if a condition on the contents does not hold.

    Raises:
        ValueError: If the condition does not hold.
    """
    if not condition:
        raise ValueError(what)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: object, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63


def check_config(config: Any) -> None:
    """Checks the settings of an index as a file holds them.

    Raises:
        ValueError: If they are no settings.
    """
    required(isinstance(config, Mapping), "`config` is no mapping")
    required(_whole(config.get("embedding_size"), 1), "`embedding_size` is no number of numbers")
    distance = config.get("distance")
    required(
        isinstance(distance, str) or (isinstance(distance, Mapping) and "class_name" in distance),
        "`distance` is neither a name nor the config of a distance",
    )
    required(isinstance(config.get("search"), str), "`search` is no name")
    recall = config.get("target_recall")
    required(_number(recall) and 0 < recall <= 1, "`target_recall` is not in (0, 1]")
    required(isinstance(config.get("search_params", {}), Mapping), "`search_params` is no mapping")
    required(isinstance(config.get("background", False), bool), "`background` is not True or False")
    required(config.get("storage", "float32") in STORAGES, "`storage` is of another kind")
    known = {"embedding_size", "distance", "search", "target_recall", "search_params"}
    unknown = sorted(map(str, set(config) - known - {"background", "storage"}))
    required(not unknown, f"`config` has unknown settings: {unknown[:5]}")


def check_meta(meta: Any, rows: int) -> None:
    """Checks the metadata of records and graph in a file.

    Args:
        meta: What it says.
        rows: The rows that it has.

    Raises:
        ValueError: If something is of another type, or out of range.
    """
    required(_whole(meta.get("next_id")) or meta.get("next_id") == 2**63, "`next_id` is no id")
    notes = meta.get("notes")
    required(isinstance(notes, Mapping), "`notes` is no mapping")
    recall, graph = meta.get("recall"), meta.get("graph")
    if recall is not None:
        required(isinstance(recall, Mapping), "`recall` is no mapping")
        for name in ("recall", "seconds"):
            required(_number(recall.get(name)), f"`recall` has no number {name!r}")
        for name in ("k", "queries", "effort", "records"):
            required(_whole(recall.get(name)), f"`recall` has no count {name!r}")
        latency = recall.get("latency")
        required(latency is None or _number(latency), "the latency of `recall` is no number")
    if graph is not None:
        required(isinstance(graph, Mapping), "`graph` is no mapping")
        required(isinstance(graph.get("engine"), str | None), "the engine of `graph` is no name")
        required(isinstance(graph.get("params"), Mapping | None), "parameters are no mapping")
        required(_whole(graph.get("effort")) and graph["effort"] < 2**31, "its effort is no count")
        covered = graph.get("covered")
        required(_whole(covered) and covered <= rows, "`graph` covers rows that are not there")


def check_columns(
    arrays: Mapping[str, Any],
    size: int,
    storage: str | None,
    look: bool = True,
    whole: bool = True,
) -> int:
    """Checks records as arrays, and gives how many there are.

    Args:
        arrays: The arrays, by the names of `arrays_of`.
        size: Numbers in an embedding.
        storage: How embeddings are stored; None where they may be stored in any way.
        look: Whether large arrays are looked into, and not left in their file.
        whole: Whether there must be all columns of records; else any, and `ids`.

    Raises:
        ValueError: If one is missing or unknown, has another type, shape or length, or holds
            what no record has.
    """
    required("ids" in arrays, "there are no ids")
    rows = len(arrays["ids"])
    labels = _SEVERAL if any(name in arrays for name in _SEVERAL) else ("labels",)
    for name, dtype in (("ids", "<i8"), (labels[-1], "<i8"), ("has_label", "|b1"), (LIVE, "|b1")):
        if name in arrays:
            _require_column(name, arrays[name], np.dtype(dtype), (rows,))
        else:
            required(name == LIVE or not whole, f"there is no column {name!r}")
    if labels == _SEVERAL:
        _check_label_sets(arrays, rows)
    known = {"ids", *labels, "has_label", LIVE, "vectors", "vectors.scales", "vectors.frame"}
    payload = tuple(name for name in arrays if name.startswith("data."))
    keys = tuple(name for name in arrays if name.startswith("keys."))
    unknown = sorted(set(arrays) - known - {FRAMES} - set(payload) - set(keys))
    required(not unknown, f"there are unknown columns: {unknown[:5]}")
    required(
        any(sorted(payload) == sorted(each) for each in _PAYLOADS),
        f"there is no payload of {sorted(payload)}",
    )
    required(
        any(sorted(keys) == sorted(each) for each in _KEYS), f"there are no keys of {sorted(keys)}"
    )
    ids = np.asarray(arrays["ids"])
    required(not rows or int(ids.min()) >= 0, "ids are negative")
    required(all_distinct(ids[arrays[LIVE]] if LIVE in arrays else ids), "ids are there twice")
    if "vectors" in arrays:
        _check_vectors(arrays, rows, size, storage, look)
    else:
        required(not whole, "there is no column 'vectors'")
    if payload:
        _check_payload(arrays, rows, look)
    if keys:
        _check_keys(arrays, rows)
    return rows


def all_distinct(values: np.ndarray) -> bool:
    """Whether each of some integers is there once."""
    # Mostly they increase, which needs no sorting; and for many, sorting is faster than sets.
    steps = np.diff(values)
    return bool((steps > 0).all() or (np.diff(np.sort(values)) > 0).all())


def _check_label_sets(arrays: Mapping[str, Any], rows: int) -> None:
    required(all(name in arrays for name in _SEVERAL), "labels are there in part")
    values, ends = np.asarray(arrays["labels.values"]), np.asarray(arrays["labels.ends"])
    _require_column("labels.values", values, np.dtype(np.int64), (len(values),))
    starts = np.append(0, ends)[:-1]
    last = int(ends[-1]) if rows else 0
    required(bool((ends >= starts).all()) and last == len(values), "'labels.ends' does not fit")
    within = np.ones(len(values), bool)
    within[starts[starts < len(values)]] = False  # where a set begins
    increasing = np.diff(values, prepend=0) > 0
    required(bool(increasing[within].all()), "labels of a record are there twice")


def _require_column(name: str, array: Any, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    required(
        array.dtype == dtype and array.shape == shape,
        f"{name!r} has shape {array.shape} and dtype {array.dtype}, and should have {shape} and "
        f"{dtype}",
    )


def _check_vectors(
    arrays: Mapping[str, Any], rows: int, size: int, storage: str | None, look: bool
) -> None:
    vectors = arrays["vectors"]
    storage = vectors.dtype.name if storage is None else storage
    required(storage in STORAGES, f"'vectors' has dtype {storage}")
    _require_column("vectors", vectors, np.dtype(STORAGES[storage]), (rows, size))
    scaled = "vectors.scales" in arrays
    required(scaled == (storage != "float32"), "'vectors' and 'vectors.scales' do not fit")
    largest = float(_LARGEST)
    if scaled:
        scales = arrays["vectors.scales"]
        _require_column("vectors.scales", scales, np.dtype(np.float32), (rows,))
        highest = float(scales.max(initial=0))
        # NaN is not at least 0 either.
        required(bool((scales >= 0).all()) and math.isfinite(highest), "scales are no sizes")
    framed, frames = "vectors.frame" in arrays, arrays.get(FRAMES)
    required(framed == (frames is not None) and (scaled or not framed), "frames do not fit")
    if frames is not None:
        known = frames.ndim == 3 and frames.dtype == np.float32
        required(known and frames.shape[1:] == (2, size), "frames have another shape")
        required(bool(np.isfinite(frames).all()) and bool((frames[:, 1] > 0).all()), "no frames")
        _require_column("vectors.frame", arrays["vectors.frame"], np.dtype(np.uint8), (rows,))
        used = int(arrays["vectors.frame"].max(initial=0))
        required(used <= len(frames), "rows are in frames that are not there")
    if not look:
        return
    if storage != "float32":
        # Rounding may take the largest a little further.
        largest *= 1.01
        codes = vectors
        required(storage == "int8" or bool(np.isfinite(codes[:]).all()), "codes are not finite")
        vectors = EncodedRows(codes, scales, arrays.get("vectors.frame"), frames)
        greatest = _GREATEST_CODE[storage]
        if frames is None and highest * greatest <= largest:
            return
    for start in range(0, rows, _BLOCK):
        with np.errstate(over="ignore", invalid="ignore"):
            block = vectors[start : start + _BLOCK]
        if block.size:
            low, high = float(block.min()), float(block.max())
            # NaN is outside any range.
            required(-largest <= low and high <= largest, "embeddings are not finite")


def _check_payload(arrays: Mapping[str, Any], rows: int, look: bool) -> None:
    if "data.values" in arrays:
        values = arrays["data.values"]
        required(values.ndim >= 1 and len(values) == rows, "'data.values' has another length")
        required(values.dtype.kind in "biufcmM", "'data.values' has another type")
        _require_column("data.present", arrays["data.present"], np.dtype(bool), (rows,))
        return
    _check_texts("data", arrays, rows)


def _check_texts(name: str, arrays: Mapping[str, Any], rows: int) -> None:
    text, ends = arrays[f"{name}.text"], arrays[f"{name}.ends"]
    _require_column(f"{name}.ends", ends, np.dtype(np.int64), (rows,))
    _require_column(f"{name}.text", text, np.dtype(np.uint8), (len(text),))
    last = int(ends[-1]) if rows else 0
    grows = not rows or (int(ends[0]) >= 0 and bool((np.diff(ends) >= 0).all()))
    required(grows and last == len(text), f"'{name}.ends' does not fit '{name}.text'")


def _check_keys(arrays: Mapping[str, Any], rows: int) -> None:
    """Checks that keys are strings, unique among the live records."""
    _check_texts("keys", arrays, rows)
    alive = np.flatnonzero(arrays[LIVE]) if LIVE in arrays else np.arange(rows)
    kept = JsonPayload(arrays["keys.text"], arrays["keys.ends"])
    keys = keys_in(kept, alive).tolist()
    required(set(map(type, keys)) <= {str} and all(keys), "keys are no strings")
    required(len(set(keys)) == len(keys), "keys are there twice")
    # Otherwise none of them is found.
    live, again = kept.take(alive), packed(keys)
    as_written = np.array_equal(live.ends, again.ends) and np.array_equal(
        live.text[:], again.text[:]
    )
    required(as_written, "keys are written as no index writes them")
