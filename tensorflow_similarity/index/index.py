"""The index: records with ids that can be added, deleted, updated and searched."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tensorflow_similarity.index import persistence
from tensorflow_similarity.index.arguments import check_batch, check_changes, check_ids
from tensorflow_similarity.index.durable import IndexFolder
from tensorflow_similarity.index.persistence import SavedIndex
from tensorflow_similarity.index.reading import IndexReading
from tensorflow_similarity.index.settings import Settings

__all__ = ["Index"]


class Index(IndexReading):
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
        search: `"exact"`; `"nmslib"` (HNSW graphs, approximate); or `"auto"`:
            exact while that takes milliseconds (up to 33 million numbers), and
            a graph beyond, once lookups have cost as much as building one
            does. Engines that do not know a distance leave it to exact search.
            `"milvus"` is another kind of index, whose records live in a database:
            a `MilvusIndex`, which takes other arguments.
        target_recall: The share of the true 10 nearest that an approximate
            engine shall find. Its effort is chosen for that on a sample of the
            records, and what it reached is shown by `summary`.
        search_params: Parameters of the engine, by its own names. For nmslib:
            `M`, `efConstruction`, `post`, `indexThreadQty`, and `ef`, which
            then is not chosen.
        background: Whether graphs are built by a thread of their own, while
            lookups go on without. Else the lookup that finds one due builds it.
            Likewise for snapshots, where there is a `path`.
        storage: How embeddings are kept: `"float32"`, as they come; `"float16"`, half
            the bytes and 11 bits of each number; or `"int8"`, a quarter, each number
            rounded to 1/127 of the largest of its row. Distances are the true ones
            to what is kept, which is also what `get` returns. Engines with a graph
            hold their own copy in their own way.
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

    def __new__(cls, *args: Any, **kwargs: Any) -> Index:
        search = kwargs.get("search", args[2] if len(args) > 2 else None)
        if cls is Index and isinstance(search, str) and search == "milvus":
            from tensorflow_similarity.index.milvus import MilvusIndex

            return super().__new__(MilvusIndex)
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

    # -- Changes ----------------------------------------------------------------------------

    def add(
        self, embeddings: Any, labels: Any = None, data: Any = None, ids: Any = None
    ) -> np.ndarray:
        """Adds records. They are found as soon as this returns.

        Args:
            embeddings: Finite numbers `[n, embedding_size]`.
            labels: Class ids `[n]` or `[n, 1]`, of any integer dtype; or None. In a
                list, None stands for a record without a label.
            data: The payload: an array whose first axis is the record (rows
                of images, say), or a list with one JSON value per record, which
                comes back as JSON has it (tuples as lists, keys as strings).
                The first payload decides which of the two an index holds.
            ids: Ids `[n]`, distinct, not negative and not in use; None to have
                them assigned, in increasing order, and none ever twice.

        Returns:
            The ids, int64 `[n]`.

        Raises:
            TypeError: If embeddings, labels, ids or payload have the wrong type.
            ValueError: If a shape or length is wrong, a number is not finite,
                or an id is in use. Nothing has been added then.
        """
        batch = check_batch(self.embedding_size, embeddings, labels, data, ids)
        with self._changing():
            return self._live.add(batch, assign=ids is None)

    def upsert(self, ids: Any, embeddings: Any, labels: Any = None, data: Any = None) -> np.ndarray:
        """Adds records, in place of those with the same ids, which they replace wholly.

        Args:
            ids: Ids `[n]`, distinct and not negative; in use or not.
            embeddings: As for `add`.
            labels: As for `add`.
            data: As for `add`.

        Returns:
            The ids, int64 `[n]`.

        Raises:
            TypeError: As `add`.
            ValueError: As `add`. Nothing has changed then.
        """
        batch = check_batch(self.embedding_size, embeddings, labels, data, ids)
        with self._changing():
            self._live.upsert(batch)
        return batch.ids

    def update(
        self, ids: Any, embeddings: Any = None, labels: Any = None, data: Any = None
    ) -> None:
        """Changes what is given of some records, and keeps the rest of them.

        Args:
            ids: Ids `[n]` in use.
            embeddings: As for `add`, or None to keep them.
            labels: Likewise.
            data: Likewise.

        Raises:
            KeyError: If an id is not in use. Nothing has changed then.
            TypeError: As `add`.
            ValueError: As `add`.
        """
        ids = check_ids(ids)
        changes = check_changes(self.embedding_size, ids, embeddings, labels, data)
        with self._changing():
            self._live.update(ids, changes)

    def delete(self, ids: Any) -> None:
        """Deletes records. They are not found any more when this returns.

        Their bytes leave memory and saved files with `compact`, at the latest.

        Args:
            ids: Ids `[n]` in use, or one id.

        Raises:
            KeyError: If an id is not in use. Nothing has been deleted then.
            TypeError: If the ids are not integers.
            ValueError: If an id is there twice.
        """
        ids = check_ids(ids)
        with self._changing():
            self._live.delete(ids)

    def clear(self) -> None:
        """Deletes all records. Ids that were assigned are not assigned again."""
        with self._changing():
            self._live.clear()

    def compact(self) -> None:
        """Drops deleted records from memory, and builds the engine's graph anew.

        Lookups become as fast as they can be, and what was deleted is gone.
        Changes by other threads go on meanwhile.
        """
        self._live.compact()
        if self._folder is not None:
            self._folder.fold()

    # -- Outside ----------------------------------------------------------------------------

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
            ValueError: If there is no path, and the index lives in no folder.
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

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Around each change: notes go to the journal first, and it may be folded after."""
        if self._folder is None:
            yield
            return
        self._folder.tell()
        yield
        self._folder.fold_if_due()
