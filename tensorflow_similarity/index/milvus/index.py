"""The index whose records are stored in Milvus."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tensorflow_similarity.index._index import Index
from tensorflow_similarity.index.milvus.backend import InMilvus
from tensorflow_similarity.index.milvus.opening import checked_config, open_collection

__all__ = ["MilvusIndex"]


class MilvusIndex(Index, search="milvus"):
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
      null, and its opposite both do not hold here. In a file, True is also 1.
    - Records have one label each; several are refused.
    - With keys, the id of a record is a number made of its key, the same for all
      programs: two that write a key write one record. A key takes at most 64 KB
      as JSON. Two keys of one number are refused, which among ten million happens
      once in 100,000 collections. Programs that share a collection must agree on whether
      its records have keys. Collections made before there were keys take integers only.
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

    _backend: InMilvus

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
        self._hold(InMilvus(opened, verbose))

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
        opened = open_collection(None, uri, collection, token, attempts, client, consistency)
        return cls._of(InMilvus(opened, verbose))

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

    @property
    def uri(self) -> str | None:
        """The address of Milvus; None if a client was given."""
        return self._backend.uri

    @property
    def collection(self) -> str:
        """The name of the collection."""
        return self._backend.collection
