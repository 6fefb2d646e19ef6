"""What an index tells about itself."""

from __future__ import annotations

from typing import Any

from tensorflow_similarity._extras import missing
from tensorflow_similarity.index.live import LiveRecords
from tensorflow_similarity.index.records import Rows
from tensorflow_similarity.index.settings import Settings

__all__ = ["data_frame", "stats", "text"]


def stats(settings: Settings, live: LiveRecords, calibrated: bool) -> dict[str, Any]:
    """Figures about an index, by name."""
    state, recall = live.state, live.recall
    rows, graph = state.rows, state.graph
    labels = rows.labels[rows.live & rows.has_label]
    arrays: list[Any] = [rows.ids, rows.vectors, rows.labels, rows.has_label, rows.live]
    result: dict[str, Any] = {
        "records": rows.live_count,
        "deleted": rows.dead,
        "embedding_size": settings.embedding_size,
        "distance": settings.distance.name,
        "search": settings.search,
        "engine": "exact" if graph is None else graph.engine.name,
        "labelled": len(labels),
        "classes": len(set(labels.tolist())),
        "data": None if rows.data is None else rows.data.kind,
        "bytes": sum(array.nbytes for array in arrays)
        + (0 if rows.data is None else rows.data.nbytes),
        "calibrated": calibrated,
    }
    if graph is not None:
        result["scanned"] = int(rows.live[graph.covered :].sum())
        result["effort"] = graph.engine.effort
        result["params"] = dict(graph.engine.params)
    if recall is not None:
        result["recall"] = recall.recall
        result["recall_at"] = recall.k
        result["recall_records"] = recall.records
        result["microseconds_per_query"] = recall.seconds * 1e6
        if recall.latency is not None:
            result["microseconds_alone"] = recall.latency * 1e6
    return result


def text(of: dict[str, Any]) -> str:
    """The figures of `stats`, for people."""
    lines = [
        (
            "records",
            f"{of['records']:,}" + (f" (and {of['deleted']:,} deleted)" * (of["deleted"] > 0)),
        ),
        ("labels", f"{of['labelled']:,} records in {of['classes']:,} classes"),
        ("data", of["data"] or "none"),
        ("embeddings", f"{of['embedding_size']} numbers, {of['distance']} distance"),
        ("memory", f"{of['bytes'] / 2**20:,.1f} MiB of records"),
        (
            "search",
            of["search"] if of["search"] == of["engine"] else f"{of['search']}: {of['engine']}",
        ),
    ]
    if "effort" in of:
        params = "".join(f"{name} {value}, " for name, value in of["params"].items())
        beside = f"{of['scanned']:,} records scanned beside it"
        lines.append(("graph", f"{params}effort {of['effort']}, {beside}"))
    if "recall" in of:
        found = f"{of['recall']:.1%} of the true {of['recall_at']} nearest"
        cost = f"{of['microseconds_per_query']:.0f} µs a query"
        if "microseconds_alone" in of:
            cost += f" in a batch and {of['microseconds_alone']:.0f} µs alone"
        lines.append(("recall", f"{found}, {cost}, measured at {of['recall_records']:,} records"))
    lines.append(("calibrated", "yes" if of["calibrated"] else "no"))
    return "\n".join(["Index", *(f"  {name + ':':<12} {value}" for name, value in lines)])


def data_frame(rows: Rows, num_records: int | None) -> Any:
    """The first records as a pandas data frame."""
    try:
        import pandas as pd
    except ImportError as error:
        raise missing("`to_data_frame`", "pandas", "pandas") from error
    records = rows.records(rows.live_rows[:num_records])
    labels = pd.array(records.labels, dtype="Int64")
    labels[~records.has_label] = pd.NA
    data = [None] * len(records) if records.data is None else list(records.data)
    return pd.DataFrame(
        {
            "label": labels,
            "embedding": pd.Series(list(records.embeddings), dtype=object, index=records.ids),
            "data": pd.Series(data, dtype=object, index=records.ids),
        },
        index=pd.Index(records.ids, name="id"),
    )
