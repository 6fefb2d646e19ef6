"""Graphs in the file of an index, and the rows that they walk over.

A graph that walks over the rows of the index is saved without them. When it is
loaded it gets those of the file, or of the index: the same ones, if they still lie
there as they did when it was built.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from tensorflow_similarity.index.archive import Archive
from tensorflow_similarity.index.columns import Chained, RowArray, lies_in_file
from tensorflow_similarity.index.engines.files import temporary_folder
from tensorflow_similarity.index.file_errors import CorruptIndexError
from tensorflow_similarity.index.folding import Folding
from tensorflow_similarity.index.search import Graph, State
from tensorflow_similarity.index.vectors import EncodedRows

__all__ = ["graph_sections", "held_once", "read_graph", "rows_to_keep"]

# Rows that are dead stay in the file for the sake of a graph if they are not more than this.
_DEAD_SHARE = 1 / 8


def rows_to_keep(state: State) -> np.ndarray | None:
    """The rows to write; None for all.

    Those that are alive. But where a graph walks over the first rows, all of
    these: one that is loaded can then do so in the file, or in the memory of the
    index, without a copy.
    """
    rows, graph = state.rows, state.graph
    if not rows.dead:
        return None
    kept = rows.live
    if (
        graph is not None
        and graph.engine.shared is not None
        and not isinstance(rows.vectors, EncodedRows)
        and rows.dead <= _DEAD_SHARE * rows.live_count
        and _are_first(graph.rows)
    ):
        kept = kept | (np.arange(len(rows)) < graph.covered)
    return np.flatnonzero(kept)


def graph_sections(
    graph: Graph,
) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Iterator[bytes]]]:
    """What there is to write of a graph: its part of the manifest, its arrays, its files."""
    engine = graph.engine
    about = {
        "engine": engine.name,
        "params": engine.params,
        "effort": engine.effort,
        "covered": graph.covered,
        "shared": engine.shared is not None,
    }
    arrays = {"graph.rows": graph.rows}
    if engine.shared is not None:
        # Rows that it leads through, of records that are gone.
        arrays["graph.gone"] = engine.shared[graph.rows < 0]
    return about, arrays, {"graph.file": engine.content()}


def read_graph(archive: Archive, folding: Folding, vectors: RowArray) -> Graph | None:
    """The graph of a file; None, with a warning, where its engine is not installed.

    Args:
        archive: The file.
        folding: Knows the engines.
        vectors: The rows of the file.
    """
    saved = archive.meta["graph"]
    if folding.new_engine() is None:
        raise CorruptIndexError(f"{archive.path!r} has a graph, and names no engine.")
    engine = folding.saved_engine(saved.get("engine"), saved.get("params"))
    if engine is None:
        warnings.warn(
            f"{archive.path!r} has a graph of the engine {saved['engine']!r}, which is not "
            "installed here. All is found without it, by exact search, until another graph pays.",
            stacklevel=4,
        )
        return None
    rows = archive.array("graph.rows")
    shared = [_built_of(archive, rows, vectors)] if saved.get("shared") else []
    with temporary_folder() as folder:
        file = os.path.join(folder, "graph")
        archive.extract("graph.file", file)
        engine.load(file, *shared)
    engine.effort = saved["effort"]
    return Graph(engine, rows, saved["covered"])


def _built_of(archive: Archive, rows: np.ndarray, vectors: RowArray) -> np.ndarray:
    """The rows that a graph was built of: as they lie there, if none is gone."""
    if _are_first(rows):
        return vectors[: len(rows)]
    built, there = np.empty((len(rows), vectors.shape[1]), np.float32), rows >= 0
    built[there] = vectors[rows[there]]
    built[~there] = archive.array("graph.gone")
    return built


def _are_first(rows: np.ndarray) -> bool:
    return bool((rows == np.arange(len(rows))).all())


def held_once(vectors: RowArray, graph: Graph) -> RowArray:
    """The rows in memory where the engine wants them, if it has the same ones there."""
    shared = graph.engine.shared
    if shared is None or not isinstance(vectors, np.ndarray) or lies_in_file(vectors):
        return vectors
    if np.may_share_memory(shared, vectors) or not _are_first(graph.rows):
        return vectors
    return Chained(shared, vectors[len(shared) :].copy())
