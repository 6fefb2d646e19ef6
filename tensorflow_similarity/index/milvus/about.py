"""Settings and notes of an index in Milvus, kept in a small collection of texts."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Collection, Mapping
from typing import Any

from tensorflow_similarity.index._metadata import Notes
from tensorflow_similarity.index.milvus.connection import Connection

__all__ = ["AboutCollection", "notes_in"]

# A text field holds 65,535 bytes; ASCII is written.
_PART = 60_000
# Longer than any write takes. See `reserve`.
_SETTLE = 0.05


class AboutCollection:
    """JSON values by name, of any length.

    Milvus has collections of records with vectors and nothing else. So these
    are records too, each a part of a text, whose vectors mean nothing.

    Args:
        call: The connection.
        records: The name of the collection with the records.
    """

    def __init__(self, call: Connection, records: str) -> None:
        self._call, self._name = call, f"{records}_about"
        self._writer, self._writes = uuid.uuid4().hex, 0

    def exists(self) -> bool:
        """Whether it exists."""
        return bool(self._call("has_collection", collection_name=self._name))

    def create(self) -> None:
        """Creates it, empty."""
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("name", DataType.VARCHAR, max_length=256, is_primary=True)
        schema.add_field("text", DataType.VARCHAR, max_length=65_535)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
        indexes = MilvusClient.prepare_index_params()
        indexes.add_index("vector", index_type="FLAT", metric_type="L2")
        self._call(
            "create_collection",
            collection_name=self._name,
            schema=schema,
            index_params=indexes,
            consistency_level="Strong",
        )

    def open(self) -> None:
        """Prepares an existing one for use."""
        self._call("load_collection", collection_name=self._name)

    def drop(self) -> None:
        """Removes it."""
        self._call("drop_collection", collection_name=self._name)

    def read(self, name: str, default: Any = None) -> Any:
        """A value.

        Raises:
            ValueError: If it is damaged.
        """
        head = self._texts([name])
        if not head:
            return default
        about = json.loads(head[name])
        names = [f"{name}/{about['digest']}/{part}" for part in range(about["parts"])]
        texts = self._texts(names)
        text = "".join(texts.get(part, "") for part in names)
        if _digest(text) != about["digest"]:
            raise ValueError(f"{name!r} in the collection {self._name!r} of Milvus is damaged.")
        return json.loads(text)

    def write(self, name: str, value: Any) -> None:
        """Stores a value, replacing the previous one."""
        text = json.dumps(value)
        digest, old = _digest(text), self._texts([name])
        parts = [text[start : start + _PART] for start in range(0, len(text), _PART)]
        # The parts first, so that concurrent readers find either the old value or the new one.
        for part, piece in enumerate(parts):
            self._put(f"{name}/{digest}/{part}", piece)
        self._put(name, json.dumps({"digest": digest, "parts": len(parts)}))
        if old:
            about = json.loads(old[name])
            if about["digest"] != digest:
                gone = [f"{name}/{about['digest']}/{part}" for part in range(about["parts"])]
                self._call("delete", collection_name=self._name, ids=gone)

    def reserve(self, count: int) -> int:
        """Reserves this many ids, and returns the first of them.

        Milvus has no counter and no comparison with exchange. So a writer says
        what it takes, waits until another that had read the same counter must have
        said so too, and takes it if it was the last to speak (Fischer's algorithm).
        """
        while True:
            first = self._counter().get("next", 0)
            mine = self.count_from(first + count)
            time.sleep(_SETTLE)
            if self._counter().get("by") == mine:
                return int(first)

    def count_from(self, first: int) -> str:
        """Records that ids are assigned from here on; returns the name of that entry."""
        self._writes += 1
        mine = f"{self._writer}/{self._writes}"
        self._put("next_id", json.dumps({"next": first, "by": mine}))
        return mine

    def next_id(self) -> int:
        """The next id to be assigned."""
        return int(self._counter().get("next", 0))

    def _counter(self) -> dict[str, Any]:
        found = self._texts(["next_id"])
        return json.loads(found["next_id"]) if found else {}

    def _put(self, name: str, text: str) -> None:
        row = {"name": name, "text": text, "vector": [0.0, 0.0]}
        self._call("upsert", collection_name=self._name, data=[row])

    def _texts(self, names: list[str]) -> dict[str, str]:
        rows = self._call(
            "query",
            collection_name=self._name,
            filter=f"name in {json.dumps(names)}",
            output_fields=["name", "text"],
        )
        return {row["name"]: row["text"] for row in rows}


def notes_in(about: AboutCollection) -> Notes:
    """The notes stored in Milvus; each change is written at once."""

    def change(new: Mapping[Any, Any], gone: Collection[str]) -> None:
        with notes.lock:
            after = notes.after(new, gone)
            about.write("notes", after)
            notes.become(after)

    notes = Notes(change, threading.RLock())
    notes.become(about.read("notes", {}))
    return notes


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
