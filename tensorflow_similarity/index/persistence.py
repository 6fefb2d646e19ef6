"""An index as a file, and back."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from typing import Any

import numpy as np

from tensorflow_similarity.index.archive import Archive, CorruptIndexError, write_archive
from tensorflow_similarity.index.live import LiveRecords
from tensorflow_similarity.index.payload import ArrayPayload, JsonPayload, PayloadRows
from tensorflow_similarity.index.records import Batch, Store
from tensorflow_similarity.index.search import Graph
from tensorflow_similarity.index.settings import Settings
from tensorflow_similarity.index.tuning import MeasuredRecall

__all__ = ["SavedIndex", "load", "save"]


@dataclasses.dataclass(frozen=True)
class SavedIndex:
    """What a file holds of an index.

    Attributes:
        settings: What it was asked to be.
        live: Its records, and the engine's graph.
        notes: Its notes.
        calibration: The config of its calibration, or None.
    """

    settings: Settings
    live: LiveRecords
    notes: dict[str, Any]
    calibration: dict[str, Any] | None


def save(path: str | os.PathLike[str], index: SavedIndex) -> None:
    """Writes an index to a file, atomically. Deleted records are not in it."""
    path = os.fspath(path)
    if os.path.isdir(path):
        raise IsADirectoryError(
            f"`path` must be the name of a file. Received: the folder {path!r}. Use e.g. "
            f"{os.path.join(path, 'index.tfsim')!r}."
        )
    live = index.live
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
    meta: dict[str, Any] = {
        "config": index.settings.get_config(),
        "next_id": next_id,
        "calibration": index.calibration,
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


def load(path: str | os.PathLike[str]) -> SavedIndex:
    """Reads an index from a file: all of it, or an error."""
    with Archive(os.fspath(path)) as archive:
        meta = archive.meta
        settings = Settings(**meta["config"])
        batch = Batch(
            archive.array("ids"),
            archive.array("vectors"),
            archive.array("labels"),
            archive.array("has_label"),
            _payload(archive),
        )
        live = LiveRecords(Store.of(batch), settings.distance, settings.folding(), meta["next_id"])
        if meta["graph"] is not None:
            engine = live.folding.new_engine()
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
        return SavedIndex(settings, live, meta["notes"], meta["calibration"])


def _payload(archive: Archive) -> PayloadRows | None:
    if "data.values" in archive:
        return ArrayPayload(archive.array("data.values"), archive.array("data.present"))
    if "data.text" in archive:
        return JsonPayload(archive.array("data.text"), archive.array("data.ends"))
    return None
