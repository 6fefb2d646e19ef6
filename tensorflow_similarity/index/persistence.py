"""An index as a file, and back."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity.index.archive import Archive, CorruptIndexError, write_archive
from tensorflow_similarity.index.live import LiveRecords
from tensorflow_similarity.index.payload import ArrayPayload, JsonPayload, PayloadRows
from tensorflow_similarity.index.records import Batch, Store
from tensorflow_similarity.index.search import Graph
from tensorflow_similarity.index.tuning import MeasuredRecall

if TYPE_CHECKING:
    from tensorflow_similarity.index.index import Index

__all__ = ["load", "save"]

# Memory set aside at loading, so that the first `add` need not copy everything.
_ROOM = 1.5


def save(index: Index, path: str | os.PathLike[str]) -> None:
    """Writes an index to a file, atomically. Deleted records are not in it."""
    path = os.fspath(path)
    if os.path.isdir(path):
        raise IsADirectoryError(
            f"`path` must be the name of a file. Received: the folder {path!r}. Use e.g. "
            f"{os.path.join(path, 'index.tfsim')!r}."
        )
    live = index._live
    state, recall, next_id = live.state, live.recall, live.next_id
    batch, graph = state.rows.compacted(), state.graph
    arrays = {
        "ids": batch.ids,
        "labels": batch.labels,
        "has_label": batch.has_label,
        "vectors": batch.vectors,
    }
    if isinstance(batch.data, ArrayPayload):
        arrays |= {"data.values": batch.data.values, "data.present": batch.data.present}
    elif isinstance(batch.data, JsonPayload):
        arrays |= {"data.text": batch.data.text, "data.ends": batch.data.ends}
    calibration = None if index.calibration is None else index.calibration.get_config()
    meta: dict[str, Any] = {
        "config": index.get_config(),
        "next_id": next_id,
        "calibration": calibration,
        "notes": index.notes,
        "recall": None if recall is None else recall.get_config(),
        "graph": None,
    }
    files = {}
    if graph is not None:
        if state.rows.dead:
            graph = graph.moved(np.flatnonzero(state.rows.live))
        meta["graph"] = {"effort": graph.engine.effort, "covered": graph.covered}
        arrays["graph.rows"] = graph.rows
        files["graph.file"] = graph.engine.content()
    write_archive(path, meta, arrays, files)


def load(cls: type[Index], path: str | os.PathLike[str]) -> Index:
    """Reads an index from a file: all of it, or an error."""
    with Archive(os.fspath(path)) as archive:
        meta = archive.meta
        index = cls.from_config(meta["config"])
        batch = Batch(
            archive.array("ids"),
            archive.array("vectors"),
            archive.array("labels"),
            archive.array("has_label"),
            _payload(archive),
        )
        live = LiveRecords(Store.of(batch), index.distance, index._folding, meta["next_id"])
        if meta["graph"] is not None:
            engine = index._folding.new_engine()
            if engine is None:
                raise CorruptIndexError(f"{path!r} has a graph, and names no engine.")
            with tempfile.TemporaryDirectory(prefix="tfsim_", ignore_cleanup_errors=True) as folder:
                file = os.path.join(folder, "graph")
                archive.extract("graph.file", file)
                rows = archive.array("graph.rows")
                engine.load(file)
            engine.effort = meta["graph"]["effort"]
            recall = meta["recall"] and MeasuredRecall(**meta["recall"])
            live.adopt(live.state, Graph(engine, rows, meta["graph"]["covered"]), recall)
        index._live = live
        index.notes = meta["notes"]
        if meta["calibration"] is not None:
            # Calibration knows of indexes, so it is not imported above.
            from tensorflow_similarity.calibration import Calibration

            index.calibration = Calibration.from_config(meta["calibration"])
    return index


def _payload(archive: Archive) -> PayloadRows | None:
    if "data.values" in archive:
        return ArrayPayload(archive.array("data.values"), archive.array("data.present"))
    if "data.text" in archive:
        return JsonPayload(archive.array("data.text"), archive.array("data.ends"))
    return None
