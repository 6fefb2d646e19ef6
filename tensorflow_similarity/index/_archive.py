"""One file that holds arrays and files, checksummed and written atomically.

Layout: a header of 64 bytes, then sections at multiples of 64 bytes (so that
they can be mapped into memory), then a JSON manifest that says what they are.
Nothing in it is executed or unpickled. Every byte is covered by a checksum.
"""

from __future__ import annotations

import dataclasses
import json
import math
import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from tensorflow_similarity._atomic_file import replacing
from tensorflow_similarity._extras import upgrade
from tensorflow_similarity.index._columns import RowArray, aligned_empty, roomy_empty
from tensorflow_similarity.index._errors import CorruptIndexError, NewerIndexError

__all__ = ["Archive", "write_archive"]

_MAGIC = b"TFSIMIDX"
# 2 may hold embeddings in fewer bytes, and says which engine made its graph. 3 may hold a
# graph without its rows, and rows that are dead. 4 has frames for embeddings in fewer bytes,
# and is written where there are some. 5 has several labels per record, likewise.
_VERSION = 5
_ONE_LABEL_EACH = 4
_FRAMELESS = 3
_ALIGNMENT = 64
# Magic, version, manifest's offset, size and checksum, size of the file. All
# versions begin like this, or older programs could not tell that one is newer.
_HEADER = struct.Struct("<8sIQQIQ")
_CHECKSUM = struct.Struct("<I")
_CHUNK = 1 << 24


def write_archive(
    path: str,
    meta: Mapping[str, Any],
    arrays: Mapping[str, RowArray],
    files: Mapping[str, Iterator[bytes]],
) -> None:
    """Writes an archive in place of `path`, which is the old or the new file at any time.

    Args:
        path: Where to.
        meta: Anything JSON.
        arrays: Arrays, or what gives arrays for slices, by name.
        files: The content of files to include, in pieces, by name.

    Raises:
        OSError: If it cannot be written. What was at `path` is still there.
    """
    with replacing(path) as temporary, open(temporary, "xb") as file:
        file.write(bytes(_ALIGNMENT))
        sections = {}
        for name, array in arrays.items():
            sections[name] = {
                **_write_section(file, _chunks_of_array(array)),
                "dtype": array[:0].dtype.str,
                "shape": array.shape,
            }
        for name, content in files.items():
            sections[name] = _write_section(file, content)
        manifest = json.dumps({"meta": meta, "sections": sections}).encode()
        offset = file.tell()
        file.write(manifest)
        head = _HEADER.pack(
            _MAGIC, _version(arrays), offset, len(manifest), zlib.crc32(manifest), file.tell()
        ).ljust(_ALIGNMENT - _CHECKSUM.size, b"\0")
        file.seek(0)
        file.write(head + _CHECKSUM.pack(zlib.crc32(head)))


def _version(arrays: Mapping[str, RowArray]) -> int:
    """The oldest format that can express the content, so that older versions can read it."""
    if "labels.ends" in arrays:
        return _VERSION
    return _ONE_LABEL_EACH if "vectors.frames" in arrays else _FRAMELESS


@dataclasses.dataclass(frozen=True)
class _Section:
    offset: int
    size: int
    checksum: int
    dtype: str | None = None
    shape: tuple[int, ...] | None = None


class Archive:
    """Reads an archive. A context manager.

    Args:
        path: The file.

    Raises:
        CorruptIndexError: If it is no archive, truncated or damaged.
        NewerIndexError: If it has a newer format.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = open(path, "rb")  # noqa: SIM115 - closed by __exit__
        self._mapping: mmap.mmap | None = None  # must outlive the file, as must the arrays in it
        try:
            self.meta, self._sections = self._open()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[str]:
        """The names of all arrays and files in it."""
        return iter(self._sections)

    def size(self, name: str) -> int:
        """The size in bytes of the array or file with a name."""
        return self._sections[name].size

    def array(self, name: str, roomy: bool = False) -> np.ndarray:
        """Reads an array and verifies it.

        Args:
            name: Its name.
            roomy: Whether it may lie in a file, if it is large.
        """
        section, dtype, shape = self._described(name)
        array = (roomy_empty if roomy else aligned_empty)(shape, dtype)
        content = array.reshape(-1).view(np.uint8)
        self._file.seek(section.offset)
        checksum = 0
        for start in range(0, section.size, _CHUNK):
            part = content[start : start + _CHUNK].data
            if self._file.readinto(part) != len(part):
                raise self._corrupt("it is truncated")
            checksum = zlib.crc32(part, checksum)
        self._verify(name, section, checksum)
        return array

    def mapped(self, name: str, verify: bool) -> np.ndarray:
        """A memory-mapped array, read from the file when it is accessed."""
        section, dtype, shape = self._described(name)
        if not section.size:
            return np.empty(shape, dtype)
        if self._mapping is None:
            # Copy-on-write: other libraries require arrays that are writable.
            self._mapping = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY)
        if verify:
            self._file.seek(section.offset)
            self._verify(name, section, self._checksum(section.size))
        count = math.prod(shape)
        return np.frombuffer(self._mapping, dtype, count, section.offset).reshape(shape)

    def _described(self, name: str) -> tuple[_Section, np.dtype, tuple[int, ...]]:
        section = self._section(name)
        try:
            dtype, shape = np.dtype(section.dtype), tuple(section.shape or ())
        except TypeError as error:
            raise self._corrupt(f"{name!r} has a type that is not understood") from error
        if section.dtype is None or dtype.hasobject:
            raise self._corrupt(f"{name!r} holds Python objects, or nothing that is known")
        if math.prod(shape) * dtype.itemsize != section.size:
            raise self._corrupt(f"the size of {name!r} is wrong")
        return section, dtype, shape

    def _section(self, name: str) -> _Section:
        if name not in self._sections:
            raise self._corrupt(f"{name!r} is missing")
        return self._sections[name]

    def _checksum(self, size: int) -> int:
        checksum = 0
        while size:
            part = self._file.read(min(size, _CHUNK))
            if not part:
                raise self._corrupt("it is truncated")
            checksum = zlib.crc32(part, checksum)
            size -= len(part)
        return checksum

    def extract(self, name: str, path: str) -> None:
        """Writes an included file to `path`, and verifies it."""
        section = self._section(name)
        self._file.seek(section.offset)
        checksum, left = 0, section.size
        with open(path, "wb") as out:
            while left:
                part = self._file.read(min(left, _CHUNK))
                if not part:
                    raise self._corrupt("it is truncated")
                checksum = zlib.crc32(part, checksum)
                out.write(part)
                left -= len(part)
        self._verify(name, section, checksum)

    def _open(self) -> tuple[dict[str, Any], dict[str, _Section]]:
        head = self._file.read(_ALIGNMENT)
        if not head.startswith(_MAGIC):
            raise self._corrupt("it is not an index, or its beginning is damaged")
        if len(head) < _ALIGNMENT:
            raise self._corrupt("it is truncated")
        (checksum,) = _CHECKSUM.unpack(head[-_CHECKSUM.size :])
        if zlib.crc32(head[: -_CHECKSUM.size]) != checksum:
            raise self._corrupt("its header is damaged")
        _, version, offset, size, checksum, total = _HEADER.unpack_from(head)
        if version > _VERSION:
            raise NewerIndexError(
                f"{self.path!r} has format {version}, which a newer tensorflow_similarity wrote; "
                f"this one reads up to {_VERSION}. Upgrade with "
                f"`{upgrade()}`."
            )
        actual = os.fstat(self._file.fileno()).st_size
        if actual != total:
            raise self._corrupt(
                f"it should have {total} bytes and has {actual}: it is truncated"
                if actual < total
                else f"{actual - total} bytes were appended"
            )
        self._file.seek(offset)
        manifest = self._file.read(size)
        if zlib.crc32(manifest) != checksum:
            raise self._corrupt("its manifest is damaged")
        try:
            content = json.loads(manifest)
            sections = {name: _Section(**section) for name, section in content["sections"].items()}
            meta = dict(content["meta"])
            for name, section in sections.items():
                self._check_section(name, section, offset)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            if isinstance(error, CorruptIndexError):
                raise
            raise self._corrupt(f"its manifest is not understood ({error})") from error
        return meta, sections

    def _check_section(self, name: str, section: _Section, end: int) -> None:
        """Checks declared sizes against the file, before memory is allocated."""
        numbers = [section.offset, section.size, section.checksum, *(section.shape or ())]
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers)
        if not whole or section.offset + section.size > end or section.offset < _ALIGNMENT:
            raise self._corrupt(f"{name!r} is said to lie where the file has no room for it")

    def _verify(self, name: str, section: _Section, checksum: int) -> None:
        padding = self._file.read(-section.size % _ALIGNMENT)
        if zlib.crc32(padding, checksum) != section.checksum:
            raise self._corrupt(f"the checksum of {name!r} does not match its content")

    def _corrupt(self, reason: str) -> CorruptIndexError:
        return CorruptIndexError(
            f"{self.path!r} cannot be loaded: {reason}. Restore it from a copy, or build the "
            "index again."
        )


def _write_section(file: BinaryIO, chunks: Iterator[Any]) -> dict[str, Any]:
    offset, size, checksum = file.tell(), 0, 0
    for chunk in chunks:
        file.write(chunk)
        checksum = zlib.crc32(chunk, checksum)
        size += len(chunk)
    padding = bytes(-size % _ALIGNMENT)
    file.write(padding)
    return {"offset": offset, "size": size, "checksum": zlib.crc32(padding, checksum)}


def _chunks_of_array(array: RowArray) -> Iterator[memoryview]:
    each = math.prod(array.shape[1:]) * array[:0].dtype.itemsize
    step = max(1, _CHUNK // max(each, 1))
    for start in range(0, len(array), step):
        rows = np.ascontiguousarray(array[start : start + step])
        yield rows.reshape(-1).view(np.uint8).data
