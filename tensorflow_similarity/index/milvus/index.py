"""The index whose records live in Milvus."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tensorflow_similarity.index._answers import for_all, refuse_both
from tensorflow_similarity.index._arguments import (
    check_batch,
    check_changes,
    check_ids,
)
from tensorflow_similarity.index._filters import Filter
from tensorflow_similarity.index._index import Index
from tensorflow_similarity.index._payload import PayloadRows
from tensorflow_similarity.index._records import Batch
from tensorflow_similarity.index.milvus import payloads
from tensorflow_similarity.index.milvus.opening import checked_config, open_collection
from tensorflow_similarity.index.milvus.reading import MilvusReading

__all__ = ["MilvusIndex"]

# Assigned ids are reserved this many at a time.
_IDS = 4096


class MilvusIndex(MilvusReading, search="milvus"):
    """An `Index` whose records live in Milvus, with all that belongs to them.

    `Index(..., search="milvus", uri=...)` makes one. The same program works on
    a file beside it (`uri="index.db"`, Milvus Lite, for trying it out) and on
    a cluster (`uri="http://host:19530"`). What an `Index` does, this one does,
    but for what follows. It needs `pip install "keras-similarity[milvus]"`.

    - Every change is in Milvus when its method returns, and is there when the
      program has ended. `MilvusIndex.open(uri)` attaches to what is there.
      Programs may share a collection on a cluster. A file is for one process.
    - Milvus ranks; distances are then computed here, true ones, from the
      embeddings that it sends along. Which of several records at equal
      distance are among the k nearest is up to Milvus.
    - The distance is cosine, Euclidean, squared Euclidean or inner product.
    - A payload takes at most 64 KB a record as JSON (arrays a third more than
      their bytes). Filters are the same, but for functions: in their place, `"data"`
      takes an expression of Milvus, a string such as `'data["year"] > 2000'`. A
      comparison with a value of another kind (a string with a number), or with
      null, and its opposite both do not hold here. One filter serves all queries.
    - k, with what is excluded or not distinct before, is at most 16,384, as is what
      is found within a distance; a warning tells where answers are missing for that.
      `pairs` and `groups` read all records first.
    - Writing is done in batches, each of them repeated if it fails for a
      reason that passes. If `add` fails midway, some batches may be there:
      `upsert` with the same ids mends it. For writing a lot, `upsert` is also
      faster than `add` with ids, which asks first whether they are in use.
    - `notes` and `calibration` are read when the index is opened, and written
      when they are set. What other programs set later is not seen, but for class
      names that they add. Two programs should not add new ones at the same moment.

    Args:
        embedding_size: Numbers in an embedding.
        distance: One of the distances above.
        search: `"milvus"`.
        search_params: `index_type` of Milvus, and parameters of building and of
            searching it, by Milvus' names: `M`, `efConstruction`, `ef`, `nlist`,
            `nprobe` and so on. Defaults to `None`: `FLAT`, which is exact, in a
            file, and on a server `AUTOINDEX`, which Milvus chooses.
        uri: The file, with a name that ends in `.db`, or the address of the server.
        collection: The name of the collection. If it is there, it is opened, and
            its embedding size and distance must be those given here. Of `search_params`,
            those of building too; those of searching may differ from program to program,
            and what is not given is as the collection was made with. Beside it is another
            collection, of that name and `_about`.
        token: `"user:password"` or a key, where the server wants one.
        attempts: How often a call to Milvus is made before its error is raised, where it is one
            that passes: the server is away, is starting, or limits the rate. Pauses between
            them double, from 0.2 to 20 seconds: 10 attempts wait for one and a half
            minutes, in which a server restarts.
        consistency: What a lookup sees. `"Strong"`: all that was written before it, by any
            program; it waits for that. `"Session"`: all that this program wrote.
            `"Bounded"`: what was written some seconds ago, and what came since perhaps;
            it does not wait, and is several times as fast. `"Eventually"`: what is at hand.
        verbose: 0 for silence, 1 for a progress bar when writing takes long.
        client: A `pymilvus.MilvusClient` of one's own, in place of `uri` and `token`.

    Raises:
        ImportError: If pymilvus is not installed.
        IndexLockedError: If the file is open in another process (an OSError).
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range or names nothing known, or the
            collection holds embeddings of another size or distance, or was built
            with other parameters.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.index import Index, MilvusIndex

    index = Index(embedding_size=2, distance="euclidean", search="milvus", uri="index.db")
    index.add([[0.0, 0.0], [3.0, 4.0]], labels=[7, 8], data=[{"year": 1999}, {"year": 2024}])
    index.lookup([[0.0, 1.0]], k=2).labels  # [[7, 8]]
    index.lookup([[0.0, 1.0]], k=1, filter={"data": 'data["year"] > 2000'}).labels  # [[8]]
    index.close()
    MilvusIndex.open("index.db")  # MilvusIndex(2 records, ...), in any other program
    ```
    """

    def __init__(
        self,
        embedding_size: int,
        distance: Any = "cosine",
        search: str = "milvus",
        search_params: Mapping[str, Any] | None = None,
        *,
        uri: str | None = None,
        collection: str = "records",
        token: str = "",
        attempts: int = 10,
        consistency: str = "Strong",
        verbose: int = 1,
        client: Any = None,
    ) -> None:
        if search != "milvus":
            raise ValueError(f"`search` must be 'milvus' in a MilvusIndex. Received: {search!r}.")
        config = checked_config(embedding_size, distance, search_params)
        opened = open_collection(config, uri, collection, token, attempts, client, consistency)
        self._hold_collection(opened, verbose)

    @classmethod
    def open(  # type: ignore[override]
        cls,
        uri: str | None = None,
        collection: str = "records",
        *,
        token: str = "",
        attempts: int = 10,
        consistency: str = "Strong",
        verbose: int = 1,
        client: Any = None,
    ) -> MilvusIndex:
        """Attaches to an index that is in Milvus.

        Args:
            uri: As in the constructor.
            collection: As in the constructor.
            token: As in the constructor.
            attempts: As in the constructor.
            consistency: As in the constructor.
            verbose: As in the constructor.
            client: As in the constructor.

        Raises:
            CollectionNotFoundError: If there is no such collection (a ValueError).
            FileNotFoundError: If the file does not exist.
            IndexLockedError: If it is open in another process (an OSError).
            ValueError: If this package did not make the collection.
        """
        index: Any = cls.__new__(cls)
        opened = open_collection(None, uri, collection, token, attempts, client, consistency)
        index._hold_collection(opened, verbose)
        return index

    # -- Changes ----------------------------------------------------------------------------

    def add(
        self, embeddings: Any, labels: Any = None, data: Any = None, ids: Any = None
    ) -> np.ndarray:
        batch = check_batch(self._size, embeddings, labels, data, ids, self._encode)
        with self._writing:
            if ids is None:
                batch = Batch(
                    self._assigned(len(batch)),
                    batch.vectors,
                    batch.labels,
                    batch.has_label,
                    batch.data,
                )
            elif (known := self._opened.records.known(batch.ids)).any():
                raise ValueError(
                    "`ids` must not be in use; `upsert` replaces records. Received, in use: "
                    f"{batch.ids[known][:5].tolist()}."
                )
            self._write(batch)
        return batch.ids

    def upsert(self, ids: Any, embeddings: Any, labels: Any = None, data: Any = None) -> np.ndarray:
        batch = check_batch(self._size, embeddings, labels, data, check_ids(ids), self._encode)
        with self._writing:
            self._write(batch)
        return batch.ids

    def update(
        self,
        ids: Any = None,
        embeddings: Any = None,
        labels: Any = None,
        data: Any = None,
        *,
        filter: Filter | None = None,
    ) -> None:
        refuse_both(ids, filter)
        with self._writing:
            if filter is None:
                ids = check_ids(ids)
            else:
                ids = self._ids_where(filter)
                labels, data = for_all(labels, data, len(ids))
            changes = check_changes(self._size, ids, embeddings, labels, data, self._encode)
            kept = self._rows(ids)
            now = {
                "ids": kept.ids,
                "vectors": kept.vectors,
                "labels": kept.labels,
                "has_label": kept.has_label,
                "data": kept.data,
            }
            self._write(Batch(**now | changes))

    def delete(self, ids: Any = None, *, filter: Filter | None = None) -> None:
        refuse_both(ids, filter)
        with self._writing:
            if filter is None:
                ids = check_ids(ids)
                self._require(ids, self._opened.records.known(ids))
            else:
                ids = self._ids_where(filter)
            self._opened.records.delete(ids)

    def clear(self) -> None:
        with self._writing:
            self._opened.records.drop()
            self._opened.records.create()
            self._kind = None
            self._opened.about.write("payload", None)

    def compact(self) -> None:
        """Tells Milvus to merge what it has written, which it also does by itself."""
        self._opened.call("flush", collection_name=self._opened.name)
        self._opened.call("compact", collection_name=self._opened.name)

    def _write(self, batch: Batch) -> None:
        if not len(batch):
            return
        objects = self._encoded(batch.data, len(batch))
        if (last := int(batch.ids.max()) + 1) > max(self._counted, self._end):
            # Another program may have counted further meanwhile: never back.
            self._counted = max(self._counted, self._opened.about.next_id())
            if last > self._counted:
                self._opened.about.count_from(last)
                self._counted = last
        columns = zip(
            batch.ids.tolist(),
            np.asarray(batch.vectors[:]),
            batch.labels.tolist(),
            batch.has_label.tolist(),
            objects,
            strict=True,
        )
        rows = (
            {"id": id_, "vector": vector, "label": label if known else None, "data": item}
            for id_, vector, label, known, item in columns
        )
        self._opened.records.upsert(rows, len(batch), self._verbose)

    def _encoded(self, data: PayloadRows | None, count: int) -> list[dict[str, Any] | None]:
        """A payload as that of the index is stored; the first decides how."""
        if data is None:
            return payloads.encoded(None, count)
        if self._kind is None:
            self._kind = self._opened.about.read("payload")  # another program may have been first
        kind = self._kind or payloads.kind_of(data)
        objects = payloads.encoded(payloads.of_kind(data, kind), count)
        if self._kind is None:
            self._opened.about.write("payload", kind)
            self._kind = kind
        return objects

    def _assigned(self, count: int) -> np.ndarray:
        """Ids that were never assigned before."""
        while True:
            if self._end - self._next < count:
                self._next = self._opened.about.reserve(max(count, _IDS))
                self._end = self._counted = self._next + max(count, _IDS)
            first, self._next = self._next, self._next + count
            if not self._opened.records.count(f"id >= {first} and id < {first + count}"):
                return np.arange(first, first + count)

    # -- Outside ----------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Writes a copy of the index to a file, which `Index.load` reads into memory.

        Args:
            path: The file, which is replaced if it exists. None: nothing is to be done,
                as Milvus has everything.

        Raises:
            OSError: If it cannot be written. What was there is still there.
        """
        if path is not None:
            copy = Index(self._size, self._distance)
            records = self.get(self.ids)
            copy.notes.update(self._notes)
            copy.add(records.embeddings, records.labels, records.data, records.ids)
            copy.calibration = self._calibration
            copy.save(path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        mmap: bool = False,
        verify: bool | None = None,
        trust_graph: bool | None = None,
    ) -> Index:
        """Reads an index from a file, into memory and not into Milvus: see `Index.load`."""
        return Index.load(path, mmap, verify, trust_graph)

    def refresh(self) -> bool:
        """False: records are read from Milvus with each lookup."""
        return False

    def __reduce__(self) -> tuple[Any, ...]:
        """Refuses copies: a connection is no one else's.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            "A MilvusIndex cannot be copied or pickled. Attach to its records where they are "
            f"needed: MilvusIndex.open({self._opened.uri!r}, {self._opened.name!r})."
        )

    def close(self) -> None:
        """Ends the connection. The index cannot be used any more; a file is free for others.

        A second call does nothing.
        """
        self._opened.end()

    def get_config(self) -> dict[str, Any]:
        return {
            "embedding_size": self._size,
            "distance": self._distance.name,
            "search": "milvus",
            "search_params": dict(self._opened.search_params),
            "uri": self._opened.uri,
            "collection": self._opened.name,
        }
