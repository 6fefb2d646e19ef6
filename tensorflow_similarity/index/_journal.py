"""A log of changes, each written before it is made, and read back after a crash.

Layout: a header of 16 bytes, then entries. An entry is a header with its size
and checksums, a JSON that says what the change is and what arrays follow, and
the arrays. Nothing in it is executed or unpickled.

Changes of an index as named columns, which journals and files can hold.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import struct
import weakref
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tensorflow_similarity._atomic_file import fsync_folder
from tensorflow_similarity._extras import upgrade
from tensorflow_similarity.index._errors import CorruptIndexError, NewerIndexError
from tensorflow_similarity.index._label_sets import LabelSets
from tensorflow_similarity.index._payload import ArrayPayload, JsonPayload
from tensorflow_similarity.index._records import Batch
from tensorflow_similarity.index._vectors import EncodedRows

__all__ = [
    "FRAMES",
    "HEADER_SIZE",
    "Change",
    "Journal",
    "JournalReader",
    "arrays_of",
    "columns_of",
    "damaged",
    "opened_elsewhere",
]


#: The one array among those of columns that has no row for each record.
FRAMES = "vectors.frames"


@dataclasses.dataclass(frozen=True)
class Change:
    """One change of the records of an index.

    Attributes:
        name: `"add"`, `"upsert"`, `"update"`, `"delete"` or `"clear"`.
        columns: `"ids"`, and any of the other columns of a `Batch`.
    """

    name: str
    columns: Mapping[str, Any]

    @classmethod
    def of_batch(cls, name: str, batch: Batch) -> Change:
        """A change that takes whole records."""
        fields = dataclasses.fields(batch)
        return cls(name, {field.name: getattr(batch, field.name) for field in fields})

    def entry(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The journal entry of this change."""
        return {"name": self.name}, arrays_of(self.columns)

    @classmethod
    def of_entry(cls, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Change:
        """The change in a journal entry."""
        columns = columns_of(arrays)
        if about["name"] in ("add", "upsert"):
            columns = {"data": None, "keys": None, **columns}
        return cls(about["name"], columns)


def arrays_of(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns as arrays: a payload is two of them, and None is none."""
    arrays: dict[str, Any] = {}
    for name, column in columns.items():
        if isinstance(column, ArrayPayload):
            arrays |= {f"{name}.values": column.values, f"{name}.present": column.present}
        elif isinstance(column, JsonPayload):
            arrays |= {f"{name}.text": column.text, f"{name}.ends": column.ends}
        elif isinstance(column, LabelSets):
            arrays |= {f"{name}.values": column.values, f"{name}.ends": column.ends}
        elif isinstance(column, EncodedRows):
            arrays |= {name: column.codes, f"{name}.scales": column.scales}
            if column.frame is not None and column.frames is not None:
                arrays |= {f"{name}.frame": column.frame, FRAMES: column.frames}
        elif column is not None:
            arrays[name] = column
    return arrays


def columns_of(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `arrays_of`."""
    columns: dict[str, Any] = {name: array for name, array in arrays.items() if "." not in name}
    if "data.values" in arrays:
        columns["data"] = ArrayPayload(arrays["data.values"], arrays["data.present"])
    elif "data.text" in arrays:
        columns["data"] = JsonPayload(arrays["data.text"], arrays["data.ends"])
    if "labels.ends" in arrays:
        columns["labels"] = LabelSets(arrays["labels.values"], arrays["labels.ends"])
    if "keys.text" in arrays:
        columns["keys"] = JsonPayload(arrays["keys.text"], arrays["keys.ends"])
    if "vectors.scales" in arrays:
        columns["vectors"] = EncodedRows(
            arrays["vectors"],
            arrays["vectors.scales"],
            arrays.get("vectors.frame"),
            arrays.get(FRAMES),
        )
    return columns


_MAGIC = b"TFSIMJNL"
_VERSION = 1
_HEADER = struct.Struct("<8sII")  # magic, version, checksum of both
#: Bytes of a journal without changes.
HEADER_SIZE = _HEADER.size
_ENTRY_MAGIC = b"\xf5TFS"
# Magic, bytes after this header, their checksum, the length of the JSON; then the
# checksum of these.
_ENTRY = struct.Struct("<4sQII")
_CHECKSUM = struct.Struct("<I")
_ENTRY_SIZE = _ENTRY.size + _CHECKSUM.size
_CHUNK = 1 << 24
# Entries up to here are written by one call.
_SMALL = 1 << 16

Arrays = Mapping[str, np.ndarray]


class Journal:
    """A journal that is open for appending. For one thread at a time.

    Args:
        path: The file; begun if it does not exist, or holds less than a header.
        fsync: Whether each entry is forced to the disk.
        end: Where the last whole entry ends, as a `JournalReader` found it; what
            is beyond is dropped.
    """

    def __init__(self, path: str, fsync: bool, end: int = 0) -> None:
        self.path = path
        self._fsync = fsync
        self._process = os.getpid()
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by `close`
        weakref.finalize(self, self._file.close)
        try:
            if end < _HEADER.size:
                self._begin()
                end = _HEADER.size
            else:
                self._file.truncate(end)
            if fsync:
                os.fsync(self._file.fileno())
        except BaseException:
            self._file.close()
            raise
        self.end = end

    def _begin(self) -> None:
        head = _MAGIC + struct.pack("<I", _VERSION)
        try:
            self._file.truncate(0)
            self._write([head, _CHECKSUM.pack(zlib.crc32(head))])
        except BaseException:
            os.remove(self.path)
            raise
        if self._fsync:  # the name, too
            fsync_folder(os.path.dirname(self.path))

    def append(self, change: Mapping[str, Any], arrays: Arrays) -> None:
        """Writes an entry. Once this returns, the entry survives a crash of the process.

        Raises:
            OSError: If it cannot be written, and then it is not there.
            ValueError: If the journal is closed, or belongs to another process.
        """
        self._require_open()
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        about = {name: [array.dtype.str, array.shape] for name, array in contiguous.items()}
        text = json.dumps({"change": change, "arrays": about}, separators=(",", ":")).encode()
        pieces: list[Any] = [text, *(_bytes(array) for array in contiguous.values())]
        checksum = 0
        for piece in pieces:
            checksum = zlib.crc32(piece, checksum)
        size = sum(len(piece) for piece in pieces)
        head = _ENTRY.pack(_ENTRY_MAGIC, size, checksum, len(text))
        pieces.insert(0, head + _CHECKSUM.pack(zlib.crc32(head)))
        try:
            self._write(pieces)
            if self._fsync:
                os.fsync(self._file.fileno())
        except BaseException:
            self.cut(self.end)
            raise
        self.end += _ENTRY_SIZE + size

    def cut(self, end: int) -> None:
        """Drops the entries from `end` on, complete or not."""
        self.end = end
        try:
            self._file.truncate(end)
        except BaseException:
            # No entry may follow what is in the file now.
            self._file.close()
            raise

    def close(self) -> None:
        """Syncs to disk and closes. A forked process only closes."""
        if not self._file.closed:
            try:
                if os.getpid() == self._process:
                    os.fsync(self._file.fileno())
            finally:
                self._file.close()

    def _require_open(self) -> None:
        if self._file.closed:
            raise ValueError(
                "The index is closed, and does not change any more. Open it again with "
                "`Index.open(path)`."
            )
        if os.getpid() != self._process:
            raise opened_elsewhere()

    def _write(self, pieces: list[Any]) -> None:
        if sum(len(piece) for piece in pieces) <= _SMALL:
            pieces = [b"".join(pieces)]
        for piece in pieces:
            left = memoryview(piece)
            while len(left):
                left = left[self._file.write(left[:_CHUNK]) :]


class JournalReader:
    """Reads the entries of a journal: iterate over it once.

    Attributes:
        end: Where the last whole entry that was read ends.
        torn: Bytes after it, which a process left when it died while writing.
        read_to: Where the entry ends that was given last.

    Args:
        path: The file.
        repair: Whether to stop at a damaged entry though whole ones follow it.
        start: Where an entry begins from which on they are read; 0 for the first.

    Raises:
        CorruptIndexError: If it is no journal, or an entry is damaged that was
            once whole. (While iterating.)
        NewerIndexError: If it has a newer format. (While iterating.)
    """

    def __init__(self, path: str, repair: bool = False, start: int = 0) -> None:
        self._path = path
        self._repair = repair
        self._start = start
        self.read_to = start
        self._size = os.path.getsize(path)
        self.end = 0

    @property
    def torn(self) -> int:
        return self._size - self.end

    def __iter__(self) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
        if self._size < _HEADER.size:  # the process died while creating the file
            self._size = 0
            return
        with open(self._path, "rb") as file:
            try:
                self._check_header(file.read(_HEADER.size))
            except CorruptIndexError:
                if self._repair:
                    return
                raise
            self.end = max(_HEADER.size, self._start)
            file.seek(self.end)
            while self.end < self._size:
                entry = self._entry(file)
                if entry is None:
                    if not self._repair:
                        self._refuse_unless_torn(file)
                    return
                self.read_to = file.tell()
                yield entry
                self.end = self.read_to

    def _check_header(self, head: bytes) -> None:
        magic, version, checksum = _HEADER.unpack(head)
        if magic != _MAGIC or zlib.crc32(head[: -_CHECKSUM.size]) != checksum:
            raise CorruptIndexError(
                f"{self._path!r} cannot be read: it is not a journal, or its beginning is damaged."
            )
        if version > _VERSION:
            raise NewerIndexError(
                f"{self._path!r} has format {version}, which a newer tensorflow_similarity wrote; "
                f"this one reads up to {_VERSION}. Upgrade with "
                f"`{upgrade()}`."
            )

    def _entry(self, file: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """The entry at the file's position; None if it is incomplete."""
        place = file.tell()
        found = _entry_header(file.read(_ENTRY_SIZE))
        if found is None or place + _ENTRY_SIZE + found[0] > self._size:
            return None
        size, checksum, text_size = found
        content = np.empty(size, np.uint8)
        if file.readinto(content.data) != size or zlib.crc32(content.data) != checksum:
            return None
        about = json.loads(content[:text_size].tobytes())
        arrays, start = {}, text_size
        for name, (dtype, shape) in about["arrays"].items():
            kind = np.dtype(dtype)
            stop = start + math.prod(shape) * kind.itemsize
            if kind.hasobject or start > stop or stop > size:
                raise ValueError(f"{name!r} is said to lie where there is no room for it")
            arrays[name] = content[start:stop].view(kind).reshape(shape)
            start = stop
        change = about["change"]
        if not isinstance(change, dict) or not isinstance(change.get("name"), str):
            raise ValueError("a change has no name")
        return change, arrays

    def _refuse_unless_torn(self, file: Any) -> None:
        """Raises unless the file merely ends in an incomplete entry.

        What a dying process wrote last is the beginning of an entry: it is shorter than that
        says, and nothing whole follows it.
        """
        file.seek(self.end)
        head = file.read(_ENTRY_SIZE)
        header = _entry_header(head)
        if len(head) == _ENTRY_SIZE and (
            header is None or self.end + _ENTRY_SIZE + header[0] <= self._size
        ):
            raise damaged(
                self._path,
                f"it is damaged at byte {self.end}, in a change that was whole",
            )
        file.seek(self.end + 1)
        base, rest = self.end + 1, b""
        while True:
            more = file.read(_CHUNK)
            rest += more
            at = rest.find(_ENTRY_MAGIC)
            while at >= 0:
                place = base + at
                file.seek(place)
                if _entry_header(file.read(_ENTRY_SIZE)) is not None:
                    file.seek(place)
                    if self._entry(file) is not None:
                        raise damaged(
                            self._path,
                            f"it is damaged at byte {self.end}, and whole changes follow",
                        )
                at = rest.find(_ENTRY_MAGIC, at + 1)
            if not more:
                return
            base += max(0, len(rest) - len(_ENTRY_MAGIC) + 1)
            rest = rest[-(len(_ENTRY_MAGIC) - 1) :]
            file.seek(base + len(rest))


def damaged(path: str, what: str) -> CorruptIndexError:
    """The error for acknowledged changes that are missing from a journal."""
    return CorruptIndexError(
        f"{path!r} cannot be read: {what}. Restore the folder from a copy, or give up all changes "
        "from there on with `Index.open(path, repair=True)`."
    )


def opened_elsewhere() -> ValueError:
    """The error in a process forked from the one that opened the index."""
    return ValueError(
        "The index was opened by another process, of which this one is a copy. Open an "
        "index in the process that changes it."
    )


def _entry_header(head: bytes) -> tuple[int, int, int] | None:
    """Size, checksum and JSON length; None if it is not the header of an entry."""
    if len(head) < _ENTRY_SIZE:
        return None
    magic, size, checksum, text_size = _ENTRY.unpack_from(head)
    (own,) = _CHECKSUM.unpack(head[_ENTRY.size :])
    if magic != _ENTRY_MAGIC or zlib.crc32(head[: _ENTRY.size]) != own:
        return None
    return size, checksum, text_size


def _bytes(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
