"""An index as a file, and back.

Graphs in the file of an index, and the rows that they walk over.

A graph that walks over the rows of the index is saved without them. When it is
loaded it gets those of the file, or of the index: the same ones, if they still lie
there as they did when it was built.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.distances import product_of
from tensorflow_similarity.index._archive import Archive, write_archive
from tensorflow_similarity.index._arguments import Settings
from tensorflow_similarity.index._columns import (
    LARGEST_IN_MEMORY,
    Chained,
    Chosen,
    RowArray,
    lies_in_file,
)
from tensorflow_similarity.index._contents import (
    LIVE,
    all_distinct,
    check_columns,
    check_config,
    check_meta,
    naming,
    required,
)
from tensorflow_similarity.index._errors import (
    CorruptIndexError,
    IndexFileError,
    advice_on_folder,
)
from tensorflow_similarity.index._graphs import Folding, MeasuredRecall, tune
from tensorflow_similarity.index._journal import FRAMES, arrays_of, columns_of
from tensorflow_similarity.index._memory import LiveRecords, RecordsNow
from tensorflow_similarity.index._metadata import About
from tensorflow_similarity.index._payload import ArrayPayload, JsonPayload
from tensorflow_similarity.index._records import Batch, Rows, Store
from tensorflow_similarity.index._search import Graph, State, transformed
from tensorflow_similarity.index._vectors import EncodedRows
from tensorflow_similarity.index.engines.base import Engine
from tensorflow_similarity.index.engines.files import temporary_folder

__all__ = [
    "Contents",
    "graph_sections",
    "held_once",
    "load",
    "read_graph",
    "rows_to_keep",
    "save",
]

# At most this many deleted rows stay in the file so that its graph remains valid.
_DEAD_SHARE = 1 / 8


def rows_to_keep(state: State) -> np.ndarray | None:
    """The rows to write; None for all rows.

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
    """What to write for a graph: its part of the manifest, its arrays, its files."""
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
    return about, arrays, {"graph.file": _content_of(engine)}


def _content_of(engine: Engine) -> Iterator[bytes]:
    """What an engine writes; any error of its library becomes an OSError."""
    try:
        yield from engine.content()
    except OSError:
        raise
    except Exception as error:
        raise OSError(
            f"The graph of the engine {engine.name!r} could not be written: "
            f"{str(error).strip() or type(error).__name__}"
        ) from error


def read_graph(
    archive: Archive, folding: Folding, vectors: RowArray, dim: int, trust_graph: bool | None
) -> Graph | None:
    """The graph in a file; None, with a warning, if its engine is not installed.

    Args:
        archive: The file.
        folding: Knows the engines.
        vectors: The rows of the file.
        dim: Numbers in a row as the engine takes it.
        trust_graph: Whether its engine need not look at it first.
    """
    saved = archive.meta["graph"]
    if folding.new_engine() is None:
        raise CorruptIndexError(f"{archive.path!r} has a graph, and names no engine.")
    engine = folding.saved_engine(saved.get("engine"), saved.get("params"))
    if engine is None:
        warnings.warn(
            f"{archive.path!r} has a graph of the engine {saved['engine']!r}, which is not "
            "installed here. All is found without it, by exact search, until another graph pays.",
            stacklevel=levels_to_the_caller(),
        )
        return None
    rows = archive.array("graph.rows")
    required(rows.ndim == 1 and rows.dtype == np.int64 and len(rows) > 0, "its graph has no rows")
    there = rows[rows >= 0]
    required(bool((rows >= -1).all()) and bool((rows < len(vectors)).all()), "rows of its graph")
    required(all_distinct(there), "rows of its graph are there twice")
    shared = [_built_of(archive, rows, vectors)] if saved.get("shared") else []
    with temporary_folder() as folder:
        file = os.path.join(folder, "graph")
        archive.extract("graph.file", file)
        if not trust_graph:
            engine.check(file, len(rows), dim)
        try:
            engine.load(file, *shared)
        except MemoryError as error:  # of what is declared in it
            raise ValueError("its graph asks for more memory than there is") from error
    engine.effort = saved["effort"]
    return Graph(engine, rows, saved["covered"])


def _built_of(archive: Archive, rows: np.ndarray, vectors: RowArray) -> np.ndarray:
    """The rows that a graph was built from: the stored array itself, if no row was dropped."""
    if _are_first(rows):
        return vectors[: len(rows)]
    built, there = np.empty((len(rows), vectors.shape[1]), np.float32), rows >= 0
    built[there] = vectors[rows[there]]
    gone = archive.array("graph.gone")
    required(gone.dtype == np.float32 and bool(np.isfinite(gone).all()), "rows that are gone")
    built[~there] = gone
    return built


def _are_first(rows: np.ndarray) -> bool:
    return bool((rows == np.arange(len(rows))).all())


def held_once(vectors: RowArray, graph: Graph) -> RowArray:
    """Lets the engine share the rows in memory, if they are the same."""
    shared = graph.engine.shared
    if shared is None or not isinstance(vectors, np.ndarray) or lies_in_file(vectors):
        return vectors
    if np.may_share_memory(shared, vectors) or not _are_first(graph.rows):
        return vectors
    return Chained(shared, vectors[len(shared) :].copy())


@dataclasses.dataclass(frozen=True)
class Contents:
    """Everything that makes up an index.

    Attributes:
        settings: What it was asked to be.
        live: Its records, and the engine's graph.
        about: Its notes and its calibration.
    """

    settings: Settings
    live: LiveRecords
    about: About

    @classmethod
    def empty(cls, settings: Settings) -> Contents:
        """An index without records."""
        store = Store(settings.embedding_size, settings.storage)
        live = LiveRecords(store, settings.distance, settings.folding())
        return cls(settings, live, About())


def save(path: str | os.PathLike[str], index: Contents, now: RecordsNow | None = None) -> None:
    """Writes an index to a file, atomically.

    Deleted records are not in it, save for their ids and embeddings where a graph
    leads through these.

    Args:
        path: The file.
        index: The index.
        now: Its records as they were at some moment; None for this one.

    Raises:
        OSError: If it cannot be written. What was there is still there.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        raise IsADirectoryError(
            f"`path` must be the name of a file. Received: the folder {path!r}. Use e.g. "
            f"{os.path.join(path, 'index.tfsim')!r}."
        )
    now = now or index.live.now()
    state, recall = now.state, now.recall
    kept = rows_to_keep(state)
    graph, arrays = state.graph, _arrays(state.rows, kept)
    meta: dict[str, Any] = {
        "config": index.settings.get_config(),
        "next_id": now.next_id,
        **index.about.get_config(),
        "recall": None if recall is None else recall.get_config(),
        "graph": None,
    }
    files: dict[str, Iterator[bytes]] = {}
    if graph is not None:
        graph = graph if kept is None else graph.moved(kept)
        meta["graph"], own, files = graph_sections(graph)
        arrays |= own
    write_archive(path, meta, arrays, files)


def _arrays(rows: Rows, kept: np.ndarray | None) -> dict[str, RowArray]:
    """The rows to keep; rows of large columns are gathered while they are written."""
    columns: dict[str, Any] = {
        field.name: getattr(rows, field.name) for field in dataclasses.fields(Batch)
    }
    if kept is None:
        return arrays_of(columns | {"labels": rows.labels_of()})
    live = rows.live[kept]
    data, keys, sets = columns.pop("data"), columns.pop("keys"), None
    if rows.table is not None:
        del columns["labels"]
        numbers = np.where(live & rows.has_label[kept], rows.labels[kept], -1)
        sets = rows.table.sets.take(numbers)
    arrays: dict[str, RowArray] = {
        name: each if name == FRAMES else Chosen(each, kept)
        for name, each in arrays_of(columns).items()
    }
    for name in ("labels", "has_label") if sets is None else ("has_label",):
        arrays[name] = Chosen(getattr(rows, name), kept, live)
    arrays |= arrays_of({"labels": sets})
    if isinstance(data, ArrayPayload):
        payload = arrays_of({"data": data})
        arrays |= {name: Chosen(each, kept, live) for name, each in payload.items()}
    elif isinstance(data, JsonPayload):
        arrays |= arrays_of({"data": data.take(kept, live)})
    if keys is not None:
        arrays |= arrays_of({"keys": keys.take(kept, live)})
    if not live.all():
        arrays[LIVE] = live
    return arrays


def load(
    path: str | os.PathLike[str],
    settings: Settings | None = None,
    mmap: bool = False,
    verify: bool | None = None,
    kept: bool = False,
    trust_graph: bool | None = None,
) -> Contents:
    """Reads an index from a file: all of it, or an error.

    Args:
        path: The file.
        settings: What the index shall be now; None for what it was.
        mmap: Whether embeddings and payload are left in the file, and read from there.
        verify: Whether they are read once to verify them; None if they are not left there.
        kept: Whether nobody writes into the file. A large payload is then left there in
            any case.
        trust_graph: See `Index.load`.

    Raises:
        ValueError: If the file cannot be read as an index, or does not fit `settings`.
    """
    checks.flag(mmap, "mmap")
    for name, value in (("verify", verify), ("trust_graph", trust_graph)):
        if value is not None:
            checks.flag(value, name)
    if os.path.isdir(path):
        raise IsADirectoryError(
            f"`path` must be a file that `save` wrote. Received: the folder {os.fspath(path)!r}. "
            "An index that lives in a folder is opened with `Index.open`."
            + advice_on_folder(os.fspath(path))
        )
    path = os.fspath(path)
    with Archive(path) as archive:
        meta = archive.meta
        with naming(path):
            check_config(meta["config"])
        try:
            was = Settings(**meta["config"])
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            # A name unknown here may be known elsewhere, such as the engine of another package.
            raise IndexFileError(
                f"{path!r} cannot be loaded here, for its settings: {error}"
            ) from error
        settings = was if settings is None else settings.fitting(was, path)
        verify = not mmap if verify is None else verify
        with naming(path):
            return _read(archive, settings, was, mmap, verify, kept, trust_graph)


def _read(
    archive: Archive,
    settings: Settings,
    was: Settings,
    mmap: bool,
    verify: bool,
    kept: bool,
    trust_graph: bool | None,
) -> Contents:
    """The index in an archive, whose contents are checked."""
    meta = archive.meta
    arrays = {name: _column(archive, name, mmap, verify, kept) for name in _columns(archive)}
    rows = check_columns(arrays, was.embedding_size, was.storage, look=verify)
    check_meta(meta, rows)
    alive = arrays.pop(LIVE, None)
    batch = Batch(**{"data": None, "keys": None, **columns_of(arrays)})
    last = int(batch.ids.max()) if rows else -1
    required(meta["next_id"] > last, "`next_id` is in use")
    folding, graph = settings.folding(), None
    if meta["graph"] is not None and settings.same_engine(was) and trust_graph is not False:
        product = product_of(settings.distance)
        one = np.zeros((1, settings.embedding_size), np.float32)
        dim = one.shape[1] if product is None else transformed(product, one).shape[1]
        graph = read_graph(archive, folding, batch.vectors, dim, trust_graph)
    if graph is not None:
        batch = dataclasses.replace(batch, vectors=held_once(batch.vectors, graph))
    store = Store.of(batch, alive)
    live = LiveRecords(store, settings.distance, folding, meta["next_id"])
    if graph is not None:
        live.adopt(live.state, graph, _recall(meta, live, graph))
    index = Contents(settings, live, About())
    index.about.read(meta)
    return index


def _columns(archive: Archive) -> list[str]:
    return [name for name in archive if not name.startswith("graph.")]


def _column(archive: Archive, name: str, mmap: bool, verify: bool, kept: bool) -> np.ndarray:
    payload = name in ("data.values", "data.text")
    if mmap and (payload or name == "vectors"):
        return archive.mapped(name, verify)
    if kept and payload and archive.size(name) > LARGEST_IN_MEMORY:
        return archive.mapped(name, verify=True)
    return archive.array(name, roomy=payload)


def _recall(meta: dict[str, Any], live: LiveRecords, graph: Graph) -> MeasuredRecall | None:
    if live.folding.target_recall == meta["config"]["target_recall"]:
        return meta["recall"] and MeasuredRecall(**meta["recall"])
    return tune(live.state, graph, live.folding.target_recall)
