"""Checks of graphs in files, before a native library walks over them.

The libraries follow what a file says without a look: a link to a row that is not
there reads, or runs, past the end of memory. So all that a search follows is checked
first: sizes against the size of the file, and links, levels and keys against the rows.
What a file cannot do then is crash; it can still find the wrong neighbours.
"""

from __future__ import annotations

import os
import struct

import numpy as np

__all__ = ["check_faiss", "check_nmslib", "check_usearch", "require"]

# Rows looked at together.
_BLOCK = 1 << 14


def require(condition: bool, what: str) -> None:
    """Raises if a condition on a graph does not hold.

    Raises:
        ValueError: If the condition does not hold.
    """
    if not condition:
        raise ValueError(f"its graph is damaged: {what}")


# 1 for the optimised form, rows, then bytes of a row, where its links and its vector begin, the
# levels, where searches enter, links of a row on a level and on the lowest, and what kind of
# distance and search.
_NMSLIB = struct.Struct("<IIQQQIIQQIQ")
_NMSLIB_DISTANCES = range(1, 6)
_NMSLIB_SEARCHES = (3, 4)  # those of the optimised form
_NMSLIB_OBJECT = 16  # bytes before the vector: id, label, bytes of the vector
_INT = 4


def check_nmslib(path: str, rows: int, dim: int) -> None:
    """Checks an HNSW graph that nmslib saved without its data.

    Args:
        path: The file.
        rows: The rows that it must be of.
        dim: Numbers in each.

    Raises:
        ValueError: If it is another, or not whole.
    """
    content = _mapped(path, _NMSLIB.size)
    optimised, count, size, links, vector, top, entry, most, most_lowest, kind, way = (
        _NMSLIB.unpack(content[: _NMSLIB.size].tobytes())
    )
    require(kind in _NMSLIB_DISTANCES and way in _NMSLIB_SEARCHES, "it is of another kind")
    require(optimised == 1, "it is of another kind")
    require(count == rows, f"it is of {count} rows, and should be of {rows}")
    require(entry < rows, "searches enter at no row of it")
    require(0 < most < 1 << 16 and 0 < most_lowest < 1 << 16, "rows have no number of links")
    require(vector == 0 and links == _NMSLIB_OBJECT + _INT * dim, "its vectors have another size")
    require(size == links + _INT * (1 + most_lowest), "its rows have another size")
    end = _NMSLIB.size + rows * size
    require(end <= len(content), "it is truncated")
    lowest = content[_NMSLIB.size : end].reshape(rows, size)
    for start in range(0, rows, _BLOCK):
        block = lowest[start : start + _BLOCK]
        head = _words(block[:, :_NMSLIB_OBJECT])
        require(bool((head[:, 0] < rows).all()), "it names rows that it does not have")
        sizes_fit = (head[:, 2] == _INT * dim) & (head[:, 3] == 0)
        require(bool(sizes_fit.all()), "its vectors have another size")
        _check_links(_words(block[:, links:]), most_lowest, rows)
    # Above the lowest: for each row the bytes of its links on all levels, and these.
    require((len(content) - end) % _INT == 0, "it is truncated")
    rest = np.frombuffer(content, "<u4", offset=end) if end < len(content) else np.empty(0, "<u4")
    levels = np.zeros(rows, np.int64)
    width, place, row = 1 + most, 0, 0
    above: list[tuple[int, int]] = []
    filled = np.flatnonzero(rest)
    while row < rows:
        at = int(np.searchsorted(filled, place))
        begin = int(filled[at]) if at < len(filled) else len(rest)
        row += begin - place  # rows without links
        if row >= rows:
            place += rows - (row - (begin - place))
            break
        require(begin < len(rest), "it is truncated")
        words, over = divmod(int(rest[begin]), _INT)
        require(not over and words % width == 0, "links have another size")
        require(begin + 1 + words <= len(rest), "it is truncated")
        levels[row] = words // width
        above.append((row, begin + 1))
        place, row = begin + 1 + words, row + 1
    require(place == len(rest), "its end is not where it says")
    require(int(levels.max(initial=0)) == top == levels[entry], "its levels do not fit")
    for owner, begin in above:
        for level in range(1, int(levels[owner]) + 1):
            own = rest[begin + (level - 1) * width : begin + level * width][None]
            _check_links(own, most, rows)
            linked = own[0, 1 : 1 + int(own[0, 0])].astype(np.int64)
            require(bool((levels[linked] >= level).all()), "links lead to a level too high")


# "usearch", its version, kinds of metric, number, key and slot, and how many rows; the rest is 0.
_USEARCH_HEAD = struct.Struct("<7s3H4B3QB")
_USEARCH_HEAD_SIZE = 64
# Rows, links of a row on a level and on the lowest, levels, where searches enter.
_USEARCH_GRAPH = struct.Struct("<5Q")
_USEARCH_NODE = 10  # bytes before the links: key, level
_USEARCH_KINDS = (14, 15)  # keys of 64 bits, and slots of 32


def check_usearch(path: str, rows: int, dim: int, number: int, with_rows: bool) -> None:
    """Checks a graph that usearch saved.

    Args:
        path: The file.
        rows: The rows that it must be of.
        dim: Numbers in each.
        number: Bytes of a number.
        with_rows: Whether the rows are in the file too.

    Raises:
        ValueError: If it is another, or not whole.
    """
    content = _mapped(path, _USEARCH_HEAD_SIZE + _USEARCH_GRAPH.size)
    place = 0
    if with_rows:
        shape = tuple(content[:8].view("<u4").tolist())
        require(shape == (rows, dim * number), "its vectors have another size")
        place = 8 + rows * dim * number
        require(place + _USEARCH_HEAD_SIZE + _USEARCH_GRAPH.size <= len(content), "it is truncated")
    head = _USEARCH_HEAD.unpack(content[place : place + _USEARCH_HEAD.size].tobytes())
    require(head[0] == b"usearch", "it is of another kind")
    require(head[6:8] == _USEARCH_KINDS, "its keys are of another kind")
    require(head[8:] == (rows, 0, dim, 0), f"it is of {head[8]} rows of {head[10]} numbers")
    place += _USEARCH_HEAD_SIZE
    count, most, most_lowest, top, entry = _USEARCH_GRAPH.unpack(
        content[place : place + _USEARCH_GRAPH.size].tobytes()
    )
    place += _USEARCH_GRAPH.size
    require(count == rows, f"it is of {count} rows, and should be of {rows}")
    require(0 < most < 1 << 16 and 0 < most_lowest < 1 << 16, "rows have no number of links")
    require(entry < rows, "searches enter at no row of it")
    require(place + 2 * rows <= len(content), "it is truncated")
    levels = content[place : place + 2 * rows].copy().view("<i2").astype(np.int64)
    place += 2 * rows
    require(bool((levels >= 0).all()), "levels are below 0")
    require(int(levels.max(initial=0)) == top == levels[entry], "its levels do not fit")
    lowest, higher = _USEARCH_NODE + _INT * (1 + most_lowest), _INT * (1 + most)
    ends = place + np.cumsum(lowest + higher * levels)
    require(int(ends[-1]) == len(content), "its end is not where it says")
    begins = ends - (lowest + higher * levels)
    for start in range(0, rows, _BLOCK):
        at = begins[start : start + _BLOCK]
        block = content[at[:, None] + np.arange(lowest)]
        keys = block[:, :8].copy().view("<u8")[:, 0]
        require(bool((keys == np.arange(start, start + len(at))).all()), "its keys are no rows")
        own = block[:, 8:10].copy().view("<i2")[:, 0]
        require(bool((own == levels[start : start + _BLOCK]).all()), "its levels do not fit")
        _check_links(_words(block[:, _USEARCH_NODE:]), most_lowest, rows)
    for level in range(1, int(levels.max(initial=0)) + 1):
        owners = np.flatnonzero(levels >= level)
        for start in range(0, len(owners), _BLOCK):
            at = begins[owners[start : start + _BLOCK]] + lowest + (level - 1) * higher
            own = _words(content[at[:, None] + np.arange(higher)])
            _check_links(own, most, rows)
            linked = own[:, 1:][np.arange(most) < own[:, :1]].astype(np.int64)
            require(bool((levels[linked] >= level).all()), "links lead to a level too high")


# faiss: what it is, numbers in a row, rows, two of no meaning, whether it is trained, its metric.
_FAISS = struct.Struct("<4siqqqBi")
_FAISS_GRAPHS = (b"IHNf", b"IHNs")
# Bytes of an element of the lists of a graph, and how many more there are of single numbers.
_FAISS_LISTS, _FAISS_REST = (8, 4, 4, 8, 4), 5 * _INT
# What comes before the lists of rows: nothing, or how they are quantised.
_FAISS_ROWS = {
    b"null": None,
    b"IxF2": (0, (4,)),
    b"IxFI": (0, (4,)),
    b"IxSQ": (28, (4, 1)),
}


def check_faiss(path: str, rows: int, dim: int) -> None:
    """Checks the sizes in a file of faiss' HNSW, which makes room for them before it reads.

    Args:
        path: The file.
        rows: The rows that it must be of.
        dim: Numbers in each.

    Raises:
        ValueError: If it is another, or not whole.
    """
    content = _mapped(path, _FAISS.size)
    name, width, count, *_ = _FAISS.unpack(content[: _FAISS.size].tobytes())
    require(name in _FAISS_GRAPHS, "it is of another kind")
    require((count, width) == (rows, dim), f"it is of {count} rows of {width} numbers")
    place = _passed(content, _FAISS.size, _FAISS_LISTS) + _FAISS_REST
    require(place + len(name) <= len(content), "it is truncated")
    name = content[place : place + len(name)].tobytes()
    require(name in _FAISS_ROWS, "its rows are of another kind")
    lists = _FAISS_ROWS[name]
    if lists is not None:
        require(place + _FAISS.size <= len(content), "it is truncated")
        _, width, count, *_ = _FAISS.unpack(content[place : place + _FAISS.size].tobytes())
        require((count, width) == (rows, dim), f"it is of {count} rows of {width} numbers")
        _passed(content, place + _FAISS.size + lists[0], lists[1])


def _passed(content: np.ndarray, place: int, elements: tuple[int, ...]) -> int:
    """The position after lists that start with their lengths."""
    for size in elements:
        require(place + 8 <= len(content), "it is truncated")
        place += 8 + size * int(content[place : place + 8].copy().view("<u8")[0])
        require(place <= len(content), "it has lists that are longer than itself")
    return place


def _mapped(path: str, least: int) -> np.ndarray:
    require(os.path.getsize(path) >= least, "it is truncated")
    return np.memmap(path, np.uint8, "r")


def _words(block: np.ndarray) -> np.ndarray:
    """Rows of bytes as unsigned 32-bit integers."""
    return np.ascontiguousarray(block).view("<u4")


def _check_links(words: np.ndarray, most: int, rows: int) -> None:
    """Checks rows of a number of links, and the links: `[n, 1 + most]`."""
    counts = words[:, :1]
    require(bool((counts <= most).all()), "rows have more links than they may")
    beyond = (words[:, 1:] >= rows) & (np.arange(most) < counts)
    require(not beyond.any(), "links lead to rows that it does not have")
