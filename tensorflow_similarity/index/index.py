"""The index: records with ids that can be added, deleted, updated and searched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from tensorflow_similarity.index import persistence
from tensorflow_similarity.index.changing import IndexChanging
from tensorflow_similarity.index.durable import IndexFolder
from tensorflow_similarity.index.persistence import SavedIndex
from tensorflow_similarity.index.settings import Settings

__all__ = ["Index"]


class Index(IndexChanging):
    """Finds the records nearest to a query, and lets records come and go.

    A record has an id, an embedding, and optionally a label and a payload. It
    is found from the moment `add` returns, and no longer from the moment
    `delete` returns. All distances are true ones, computed by direct difference
    whatever the engine; records at equal distance come in the order of their
    ids.

    Lookups may run in any number of threads, also while another thread changes
    the index: each sees the index as it was at one moment.

    Args:
        embedding_size: Numbers in an embedding.
        distance: Any that `distances.get` takes.
        search: `"exact"`; an approximate engine: `"nmslib"` (HNSW graphs), or, as an
            extra of the same name, `"faiss"` (HNSW graphs), `"faiss_ivf"` (inverted
            lists; extra `faiss`), `"scann"` or `"usearch"` (HNSW graphs); or `"auto"`:
            exact while that takes milliseconds (up to 33 million numbers), and
            beyond, once lookups have cost as much as building takes, the engine
            that is quickest on a part of the records, of those that are installed.
            Engines that do not know a distance leave it to exact search.
            `"milvus"` is another kind of index, whose records live in a database:
            a `MilvusIndex`, which takes other arguments.
        target_recall: The share of the true 10 nearest that an approximate
            engine shall find. Its effort is chosen for that on a sample of the
            records, and the graph is built anew with more links where no effort
            reaches it. What it reached is shown by `summary`.
        search_params: Parameters of the engine, which then are not chosen. For HNSW
            graphs: `M`, `efConstruction` and `ef`; for faiss and usearch also
            `dtype`, for nmslib `post` and `indexThreadQty`. For `"faiss_ivf"`: `nlist`
            and `nprobe`. For `"scann"`: `num_leaves`, `num_leaves_to_search`,
            `reordering_num_neighbors`, `dimensions_per_block`.
        background: Whether graphs are built by a thread of their own, while
            lookups go on without. Else the lookup that finds one due builds it.
            Likewise for snapshots, where there is a `path`.
        storage: How embeddings are kept: `"float32"`, as they come; `"float16"`, half
            the bytes and 11 bits of each number; or `"int8"`, a quarter, each number
            rounded to 1/127 of the largest of its row. Distances are the true ones
            to what is kept, which is also what `get` returns. Engines with a graph
            hold what they search in their own way.
        path: A folder for the index to live in, made if it is missing. What was
            there is opened: its embedding size, distance and storage must be those
            given here; how it is searched is as given here. Every change is written
            to a journal there before the method returns, so that it survives
            the death of the process (`kill -9`, out of memory) without `save`.
            One index at a time may have a folder open. None to live in memory,
            and be kept by `save`.
        fsync: Whether each change is also forced to the disk before its method
            returns. It then survives a failure of power or of the system too, as
            far as the disk does what it says, and costs at least one write of
            the disk (a millisecond or so): change records in batches. If False,
            such a failure may lose the changes that the system had not written
            yet (by default Linux writes within half a minute), and `open` may
            need `repair=True` afterwards.
        uri: For `search="milvus"`: the file or the server, see `MilvusIndex`.
        collection: For `search="milvus"`: the name of the collection.

    Raises:
        CorruptIndexError: If what is at `path` is damaged (a ValueError).
        ImportError: If the engine's library is not installed.
        IndexLockedError: If it is open already, here or in another process (an OSError).
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range or names nothing known.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.index import Index

    index = Index(embedding_size=2, distance="euclidean")
    ids = index.add([[0.0, 0.0], [3.0, 4.0]], labels=[7, 8], data=["origin", "far"])
    neighbors = index.lookup([[0.0, 1.0]], k=2)
    neighbors.labels  # array([[7, 8]])
    neighbors[0][0].data  # 'origin'
    ```
    """

    #: Kinds of index of their own, by the `search` that asks for one; each enters itself.
    _kinds: ClassVar[dict[str, type[Index]]] = {}

    def __init_subclass__(cls, search: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if search is not None:
            Index._kinds[search] = cls

    def __new__(cls, *args: Any, **kwargs: Any) -> Index:
        search = kwargs.get("search", args[2] if len(args) > 2 else None)
        if cls is Index and isinstance(search, str):
            cls = Index._kinds.get(search, cls)
        return super().__new__(cls)

    def __init__(
        self,
        embedding_size: int,
        distance: Any = "cosine",
        search: Any = "auto",
        target_recall: float = 0.95,
        search_params: Mapping[str, Any] | None = None,
        background: bool = False,
        storage: str = "float32",
        path: str | os.PathLike[str] | None = None,
        fsync: bool = False,
        uri: str | None = None,
        collection: str | None = None,
    ) -> None:
        if uri is not None or collection is not None:
            raise ValueError(
                "`uri` and `collection` are for search='milvus'. Received: "
                f"uri={uri!r}, collection={collection!r}, search={search!r}."
            )
        settings = Settings(
            embedding_size, distance, search, target_recall, search_params, background, storage
        )
        if path is None:
            self._hold(SavedIndex.empty(settings), None)
        else:
            folder = IndexFolder(path, fsync, settings)
            self._hold(folder.index, folder)

    def _hold(self, index: SavedIndex, folder: IndexFolder | None) -> None:
        self._settings, self._live, self._about = index.settings, index.live, index.about
        self._folder = folder

    @classmethod
    def _of(cls, index: SavedIndex, folder: IndexFolder | None) -> Index:
        made = cls.__new__(cls)
        made._hold(index, folder)
        return made

    @property
    def path(self) -> str | None:
        """The folder that the index lives in; None if it lives in memory only."""
        return None if self._folder is None else self._folder.path

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Writes the index, its graph and its calibration to one file.

        Whatever happens meanwhile, `path` holds the old index or the new one,
        whole. Changes by other threads during the save are not in the file.

        Args:
            path: The file, which is replaced if it exists. None for an index that
                lives in a folder: its journal is folded into a snapshot, which
                makes opening it fast.

        Raises:
            OSError: If it cannot be written. What was there is still there.
            ValueError: If there is no path, and the index lives in no folder, or
                in one that another process opened, of which this one is a copy.
        """
        if path is not None:
            persistence.save(path, SavedIndex(self._settings, self._live, self._about))
        elif self._folder is not None:
            self._folder.fold()
        else:
            raise ValueError("`path` must be given, as the index lives in no folder.")

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], mmap: bool = False, verify: bool | None = None
    ) -> Index:
        """Reads what `save` wrote. The index answers as the one that was saved did.

        Args:
            path: The file.
            mmap: Whether embeddings and payload stay in the file, and are read when
                they are looked at: loading takes no time and no memory for them,
                and processes that load the same file share what they read. What
                is added is held in memory. The file may be replaced (as `save`
                does) or removed meanwhile, but not be written into. A graph is
                read, wherever its engine cannot do without.
            verify: Whether embeddings and payload are read once, to verify their
                checksums. None: unless `mmap`. All else is verified always.

        Raises:
            FileNotFoundError: If there is none.
            CorruptIndexError: If it is not an index, truncated or damaged (a ValueError).
            NewerIndexError: If a newer version of the package wrote it (a ValueError).
        """
        return cls._of(persistence.load(path, mmap=mmap, verify=verify), None)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        mmap: bool = False,
        fsync: bool = False,
        repair: bool = False,
    ) -> Index:
        """Opens the index that lives in a folder, as it was made with `Index(path=…)`.

        Every change is there that had returned before the process ended, however
        it ended. What it was writing when it died is dropped, with a warning.

        Args:
            path: The folder.
            mmap: Whether embeddings and payload stay on the disk, see `load`.
            fsync: See `Index`.
            repair: Whether to give up all changes after one that is damaged, in
                place of an error.

        Raises:
            CorruptIndexError: If it is damaged, or not such a folder (a ValueError).
            FileNotFoundError: If there is none.
            IndexLockedError: If it is open already, here or in another process (an
                OSError).
            NewerIndexError: If a newer version of the package wrote it (a ValueError).
        """
        folder = IndexFolder(path, fsync, mmap=mmap, repair=repair)
        return cls._of(folder.index, folder)

    def close(self) -> None:
        """Ends an index that lives in a folder, so that it can be opened elsewhere.

        It can still be read, and no longer be changed. Also done at the end of a
        `with` block, and when the index is let go. Does nothing for others.
        """
        if self._folder is not None:
            self._folder.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, for JSON; neither records nor path are in it."""
        return self._settings.get_config()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Index:
        """An empty index with that config, in memory."""
        return cls(**config)
