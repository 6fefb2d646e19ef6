"""The data of records: rows of an array, or JSON values, stored in columns."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity.index._columns import Column, RowArray, roomy_empty, taken
from tensorflow_similarity.index._errors import CorruptIndexError

__all__ = ["ArrayPayload", "JsonPayload", "Payload", "parse_payload"]

_NULL = b"null"
# Bytes of JSON copied, or read, at a time.
_TEXT_BYTES = 1 << 20
# Texts are read together where no more than so many times their bytes are read.
_DENSE = 4
# Values held at a time where one after the other is looked at: so few that Python does not
# begin to collect garbage among them, which takes as long as reading them.
_FEW = 256
_SCAN: Callable[[str, int], tuple[Any, int]] = vars(json.JSONDecoder())["scan_once"]


@dataclasses.dataclass(frozen=True)
class ArrayPayload:
    """One array row per record, `values[i]`; absent where `present[i]` is False."""

    values: RowArray
    present: np.ndarray

    kind = "array"

    def __len__(self) -> int:
        return len(self.values)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.present.nbytes

    def get(self, rows: np.ndarray) -> list[Any]:
        """The values of the rows: an array (or a scalar) each, None where absent."""
        values, present = self.values[rows], self.present[rows]
        return [value if there else None for value, there in zip(values, present, strict=True)]

    def each(self, rows: np.ndarray) -> Iterator[Any]:
        """The values of the rows one after the other; no more than a few are held."""
        return _each(self, rows)

    def columnar(self, rows: np.ndarray) -> np.ndarray | list[Any]:
        """The values of the rows as one array, or a list where some are absent."""
        return self.values[rows] if bool(self.present[rows].all()) else self.get(rows)

    def take(self, rows: np.ndarray) -> ArrayPayload:
        """The payload of only these rows."""
        return ArrayPayload(taken(self.values, rows), self.present[rows])


@dataclasses.dataclass(frozen=True)
class JsonPayload:
    """One JSON text per record: `text[ends[i - 1]:ends[i]]`, in ASCII."""

    text: RowArray  # uint8
    ends: np.ndarray  # int64

    kind = "json"

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def nbytes(self) -> int:
        return self.text.nbytes + self.ends.nbytes

    def _bounds(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the texts of the rows begin and end."""
        return np.where(rows > 0, self.ends[np.maximum(rows - 1, 0)], 0), self.ends[rows]

    def texts(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The texts of the rows: bytes that hold them, where each begins, and its length."""
        starts, ends = self._bounds(rows)
        lengths = ends - starts
        first, last = int(starts.min()), int(ends.max())
        if last - first <= _DENSE * int(lengths.sum()):
            return self.text[first:last], starts - first, lengths
        chosen = self.take(rows)
        return chosen.text[:], chosen.ends - lengths, lengths

    def get(self, rows: np.ndarray) -> list[Any]:
        """The values of the rows; None where absent (or null)."""
        starts, ends = self._bounds(rows)
        found: list[Any] = []
        try:
            for first, last in _parts(ends - starts):
                found += _values(*self.texts(rows[first:last]))
        except (RecursionError, ValueError) as error:  # only text from files is unchecked
            raise CorruptIndexError(
                f"The payload of records is no JSON ({error}): the file that the index was read "
                "from holds what no index writes. Restore it from a copy, or build it again."
            ) from error
        return found

    columnar = get

    def each(self, rows: np.ndarray) -> Iterator[Any]:
        """The values of the rows one after the other; no more than a few are held."""
        return _each(self, rows)

    def take(self, rows: np.ndarray, there: np.ndarray | None = None) -> JsonPayload:
        """The payload of only these rows; absent, not null, where not `there`."""
        starts, ends = self._bounds(rows)
        lengths = ends - starts if there is None else np.where(there, ends - starts, 0)
        new_ends = np.cumsum(lengths)
        text = roomy_empty((int(new_ends[-1]) if len(rows) else 0,), np.uint8)
        # Byte i of the new text comes from i + shift of its row. Some rows at a time, as
        # positions take eight times the room of bytes.
        shift = starts - (new_ends - lengths)
        for first, last in _parts(lengths):
            begin, stop = int(new_ends[first] - lengths[first]), int(new_ends[last - 1])
            positions = np.repeat(shift[first:last], lengths[first:last])
            positions += np.arange(begin, stop)
            text[begin:stop] = self.text[positions]
        return JsonPayload(text, new_ends)


def _each(data: ArrayPayload | JsonPayload, rows: np.ndarray) -> Iterator[Any]:
    for start in range(0, len(rows), _FEW):
        yield from data.get(rows[start : start + _FEW])


def _parts(lengths: np.ndarray) -> Iterator[tuple[int, int]]:
    """Texts of such lengths, so many bytes at a time: the first, and the one after the last."""
    ends, first = np.cumsum(lengths), 0
    while first < len(ends):
        begin = int(ends[first] - lengths[first])
        last = max(int(np.searchsorted(ends, begin + _TEXT_BYTES, "right")), first + 1)
        yield first, last
        first = last


def _values(text: np.ndarray, begins: np.ndarray, lengths: np.ndarray) -> list[Any]:
    """The values that texts stand for."""
    bounds = zip(begins.tolist(), (begins + lengths).tolist(), strict=True)
    whole = text.tobytes()
    if not whole.isascii():  # no index writes it
        return [json.loads(whole[begin:end]) for begin, end in bounds]
    # As `json.loads`, which takes twice the time for texts as short as these.
    characters, found = whole.decode("ascii"), []
    for begin, end in bounds:
        own = characters[begin:end]
        try:
            value, stop = _SCAN(own, 0)
        except StopIteration:
            stop = -1
        found.append(value if stop == len(own) else json.loads(own))
    return found


# A batch to be added, and what is stored, have the same form.
PayloadRows = ArrayPayload | JsonPayload


def _refuse_same_names(names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"`data` must have columns of different names. Received: {names}.")


def _rows_of_table(table: Any) -> list[dict[str, Any]]:
    """The rows of a table of pandas, PyArrow or Polars, by column name; None where missing."""
    rows: list[dict[str, Any]]
    if hasattr(table, "to_pylist"):
        _refuse_same_names(list(table.schema.names))
        rows = table.to_pylist()
    elif hasattr(table, "to_dicts"):
        rows = table.to_dicts()
    else:
        rows = _rows_of_frame(table)
    return rows


def _rows_of_frame(table: Any) -> list[dict[str, Any]]:
    """The rows of a pandas data frame."""
    names = [str(name) for name in table.columns]
    _refuse_same_names(names)
    columns = [_values_of_column(table.iloc[:, place]) for place in range(len(names))]
    found = zip(*columns, strict=True) if columns else [()] * len(table)
    return [dict(zip(names, row, strict=True)) for row in found]


def _values_of_column(column: Any) -> list[Any]:
    """The values of a pandas column, times as text; None where one is missing."""
    values = column.astype(str) if column.dtype.kind in "mM" else column
    missing = np.asarray(column.isna()).tolist()
    # tolist() makes Python's numbers of NumPy's.
    return [None if none else value for value, none in zip(values.tolist(), missing, strict=True)]


def parse_payload(data: object, length: int) -> PayloadRows | None:
    """Parses the argument `data`.

    Args:
        data: An array or tensor `[length, ...]` (array rows), a list of arrays
            of one shape (likewise), a list or an array of strings or objects
            (JSON values), a table of pandas, PyArrow or Polars (a dict of its columns for each
            row), or None.
        length: The number of records.

    Raises:
        TypeError: If a value is neither.
        ValueError: If the length differs.
    """
    if data is None:
        return None
    checks.refuse_partial(data, "data")
    if hasattr(data, "columns") and hasattr(data, "__array__"):
        data = _rows_of_table(data)
    elif hasattr(data, "isna") and hasattr(data, "dtype") and data.dtype.kind == "O":
        data = _values_of_column(data)
    if hasattr(data, "__array__"):
        values: Any = checks.host_array(data, "data")
        # Text and objects have no fixed width, so they are stored as JSON.
        if values.ndim and values.dtype.kind in "OUT":
            values = values.tolist()
    elif isinstance(data, list | tuple):
        values = list(data)
        if values and all(hasattr(value, "__array__") for value in values):
            shapes = {np.shape(value) for value in values}
            if len(shapes) > 1:
                raise ValueError(
                    "`data` must hold arrays of one shape. Received: shapes "
                    f"{sorted(shapes)[:5]}. Pad them, or pass file names instead."
                )
            values = np.stack([checks.host_array(value, "data") for value in values])
    else:
        raise TypeError(
            "`data` must be an array whose first axis is the record, or a list with one JSON "
            f"value per record. Received: {type(data).__name__}."
        )
    received = len(values) if isinstance(values, list) or values.ndim else 0
    if received != length:
        raise ValueError(
            f"`data` must hold one value per record: expected {length}. Received: {received}."
        )
    if isinstance(values, list):
        return _of_texts(_dump(values))
    if values.dtype.kind == "V" and values.dtype.names is None:
        values = values.astype(np.float32)  # bfloat16, which the file format does not support
    if values.dtype.kind not in "biufcmM":
        raise TypeError(
            "`data` must be an array of numbers, booleans or times, or a list of JSON values. "
            f"Received: an array of dtype {values.dtype}."
        )
    return ArrayPayload(values, np.ones(length, bool))


def _dump(values: list[Any]) -> list[bytes]:
    texts = []
    for place, value in enumerate(values):
        try:
            text = json.dumps(value, allow_nan=False, separators=(",", ":"), default=_scalar)
        except (TypeError, ValueError, RecursionError) as error:
            reason = str(error)
            if isinstance(error, ValueError) and "float" in reason:
                reason = "NaN or infinity, which JSON does not have: write None"
            raise TypeError(
                f"`data` must hold JSON values (None, bool, int, float, str, list, dict) or rows "
                f"of one array. Received at {place}: {type(value).__name__} ({reason})."
            ) from error
        texts.append(text.encode())
    return texts


def _scalar(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def _of_texts(texts: list[bytes]) -> JsonPayload:
    lengths = np.fromiter((len(text) for text in texts), np.int64, len(texts))
    return JsonPayload(np.frombuffer(b"".join(texts), np.uint8), np.cumsum(lengths))


class Payload:
    """The growing payload of an index. The first batch decides on its kind."""

    def __init__(self, rows: PayloadRows | None = None, length: int = 0) -> None:
        self._length = length
        self._kind: str | None = None if rows is None else rows.kind
        if isinstance(rows, ArrayPayload):
            self._columns = [Column(rows.values[:], roomy=True), Column(rows.present)]
        elif isinstance(rows, JsonPayload):
            self._columns = [Column(rows.text[:], roomy=True), Column(rows.ends)]
        else:
            self._columns = []

    def check(self, batch: PayloadRows | None) -> None:
        """Raises if `batch` is incompatible with the stored payload."""
        if batch is None or self._kind is None:
            return
        if batch.kind != self._kind:
            raise TypeError(
                f"`data` must be of one kind in an index, and it holds {self._described()}. "
                f"Received: {_KINDS[batch.kind]}."
            )
        if isinstance(batch, ArrayPayload):
            stored, new = self._columns[0], batch.values[:]
            fits = np.can_cast(new.dtype, stored.dtype, "safe")
            if new.shape[1:] != stored.row_shape or not fits:
                raise ValueError(
                    f"`data` must match what the index holds, {self._described()}. "
                    f"Received: rows of shape {new.shape[1:]} and dtype {new.dtype}."
                )

    def append(self, start: int, batch: PayloadRows | None, count: int) -> None:
        """Stores a checked batch for the rows from `start` on; None means no data."""
        self._truncate(start)
        self._length = start + count
        if batch is not None and self._kind is None:
            self._begin(batch, start)
        if self._kind == "array":
            values, present = self._columns
            if isinstance(batch, ArrayPayload):
                values.append(batch.values[:])
                present.append(batch.present)
            else:
                values.append(np.zeros((count, *values.row_shape), values.dtype))
                present.append(np.zeros(count, bool))
        elif self._kind == "json":
            rows = batch if isinstance(batch, JsonPayload) else _of_texts([_NULL] * count)
            text, ends = self._columns
            ends.append(rows.ends + len(text))
            text.append(rows.text[:])

    def view(self) -> PayloadRows | None:
        """A snapshot of all rows."""
        if self._kind is None:
            return None
        first, second = (column.view() for column in self._columns)
        return ArrayPayload(first, second) if self._kind == "array" else JsonPayload(first, second)

    def _begin(self, batch: PayloadRows, absent: int) -> None:
        self._kind = batch.kind
        if isinstance(batch, ArrayPayload):
            shape, dtype = batch.values.shape[1:], batch.values[:0].dtype
            # Zeros that are never written use no memory.
            self._columns = [
                Column(np.zeros((absent, *shape), dtype), roomy=True),
                Column(np.zeros(absent, bool)),
            ]
        else:
            rows = _of_texts([_NULL] * absent)
            self._columns = [Column(rows.text[:], roomy=True), Column(rows.ends)]

    def _truncate(self, length: int) -> None:
        if self._kind == "array":
            for column in self._columns:
                column.truncate(length)
        elif self._kind == "json":
            text, ends = self._columns
            ends.truncate(length)
            text.truncate(int(ends.view()[-1]) if length else 0)

    def _described(self) -> str:
        if self._kind == "array":
            values = self._columns[0]
            return f"array rows of shape {values.row_shape} and dtype {values.dtype}"
        return _KINDS["json"]


_KINDS = {"array": "array rows", "json": "JSON values"}
