"""The index: records with ids that can be added, deleted, updated and searched."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, overload

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances
from tensorflow_similarity.index import _results, _snapshot
from tensorflow_similarity.index._answers import (
    Distinct,
    Wanted,
    check_depth,
    check_distinct,
    check_exclude,
    for_all,
    refuse_both,
    refuse_with_all,
    reranked,
)
from tensorflow_similarity.index._arguments import (
    Settings,
    check_batch,
    check_changes,
    check_embeddings,
    check_ids,
)
from tensorflow_similarity.index._backend import Backend, Group
from tensorflow_similarity.index._class_names import ClassNames
from tensorflow_similarity.index._conditions import Condition, Filter, identity, parse
from tensorflow_similarity.index._folder import IndexFolder
from tensorflow_similarity.index._folder_reader import FolderReader
from tensorflow_similarity.index._graphs import MeasuredRecall
from tensorflow_similarity.index._in_memory import InMemory, Nowhere
from tensorflow_similarity.index._keys import keys_in, packed, read_keys, with_ids
from tensorflow_similarity.index._records import Batch, Records
from tensorflow_similarity.index._results import Neighbors
from tensorflow_similarity.index._snapshot import Contents
from tensorflow_similarity.index._within import (
    Groups,
    NeighborsWithin,
    Pairs,
    check_distance,
    groups_of,
)
from tensorflow_similarity.index.engines.files import temporary_folder

__all__ = ["Index"]

_Made = TypeVar("_Made", bound="Index")


class Index:
    """A nearest-neighbour index whose records can be added, changed and deleted at any time.

    A record has an id, an embedding, and optionally a label and a payload. It can be found
    once `add` has returned, and no longer once `delete` has returned. Distances are exact,
    computed by direct difference whatever the engine; records at equal distance are ordered
    by id.

    Lookups may run in any number of threads, also while another thread changes the index:
    each sees a consistent snapshot.

    Args:
        embedding_size: Dimension of the embeddings.
        distance: Any distance that `distances.get` takes.
        search: `"exact"`; an approximate engine: `"nmslib"` (HNSW graphs), or, as an
            extra of the same name, `"faiss"` (HNSW graphs), `"faiss_ivf"` (inverted
            lists; extra `faiss`), `"faiss_pq"` (inverted lists of short codes; extra
            `faiss`), `"scann"` or `"usearch"` (HNSW graphs); `"prefix"`, which searches the
            first dimensions and compares the nearest with all of them; or `"auto"`:
            exact while that takes milliseconds (up to 33 million numbers); beyond, once
            lookups have cost as much as building a graph takes, the installed engine that
            is fastest on a sample of the records. Distances that an engine does not
            support are searched exactly. `"milvus"` makes a `MilvusIndex`, whose records
            are in a database and which takes other arguments.
        target_recall: Recall of the 10 nearest records that an approximate engine should
            reach. Its search effort is tuned to that on a sample of the records; if no
            effort suffices, the graph is built again with more links. `summary` shows the
            recall reached.
        search_params: Parameters of the engine, to use instead of tuned ones. For HNSW
            graphs: `M`, `efConstruction` and `ef`; for faiss and usearch also
            `dtype`, for nmslib `post` and `indexThreadQty`. For `"faiss_ivf"`: `nlist`
            and `nprobe`. For `"faiss_pq"` also `dimensions_per_block` and `rescore`. For
            `"prefix"`: `prefix` and `rescore`. For `"scann"`: `num_leaves`,
            `num_leaves_to_search`, `reordering_num_neighbors`, `dimensions_per_block`.
        background: Whether graphs are built in a background thread while lookups continue
            without one. If False, a lookup builds the graph when it is due. The same
            holds for snapshots, with a `path`.
        storage: How embeddings are stored: `"float32"`, unchanged; `"float16"`, with half
            the memory and 11 bits per number; or `"int8"`, with a quarter, each number
            rounded to 1/127 of the largest in its row. If embeddings share an offset, or
            dimensions differ in scale, they are centred and scaled by dimension before
            rounding. Distances are exact for the stored embeddings, which `get` returns
            too. The first lookup estimates how many true neighbours are lost by rounding,
            and warns once if that exceeds what `target_recall` allows; `measure_recall`
            measures it at any time. Engines with a graph store their own copy in their
            own way.
        path: A folder for the index, created if missing. An index that is already there is
            opened: its embedding size, distance and storage must equal those given here,
            while the search settings given here apply. Every change is written to a
            journal before the method returns, so that it survives the death of the
            process (`kill -9`, out of memory) without `save`. Only one index at a time
            can have a folder open. None keeps the index in memory, to be saved by `save`.
        fsync: Whether each change is also flushed to disk before its method returns, so
            that it survives a power failure or system crash too, if the disk honours
            flushes. Each flush costs a millisecond or so: change records in batches. If
            False, such a failure may lose changes that the system had not written yet (by
            default Linux writes within half a minute), and `open` may need `repair=True`
            afterwards.
        uri: For `search="milvus"`: the file or server, see `MilvusIndex`.
        collection: For `search="milvus"`: the name of the collection.

    Raises:
        CorruptIndexError: If the index at `path` is damaged (a ValueError).
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

    #: Index classes with their own storage, by the `search` that selects them; self-registered.
    _kinds: ClassVar[dict[str, type[Index]]] = {}

    def __init_subclass__(cls, search: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if search is not None:
            Index._kinds[search] = cls

    def __new__(
        cls,
        embedding_size: int | None = None,
        distance: Any = None,
        search: Any = None,
        *_: Any,
        **__: Any,
    ) -> Index:
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
            self._hold(InMemory(Nowhere(Contents.empty(settings))))
        else:
            self._hold(InMemory(IndexFolder(path, fsync, settings)))

    def _hold(self, backend: Backend) -> None:
        self._backend, self._classes = backend, ClassNames(backend)

    @classmethod
    def _of(cls: type[_Made], backend: Backend) -> _Made:
        """An index with that backend, as the constructor would make it."""
        made = object.__new__(cls)
        made._hold(backend)
        return made

    # -- What it is -------------------------------------------------------------------------

    @property
    def embedding_size(self) -> int:
        """Dimension of the embeddings."""
        return self._backend.embedding_size

    @property
    def distance(self) -> distances.Distance:
        """The distance."""
        return self._backend.distance

    @property
    def search(self) -> Any:
        """The requested search: `"auto"`, `"exact"`, the name of an engine, or an engine."""
        return self._backend.search

    @property
    def storage(self) -> str:
        """How embeddings are stored: `"float32"`, `"float16"` or `"int8"`."""
        return self._backend.storage

    @property
    def engine(self) -> str:
        """The search in use: `"exact"`, or the name of the engine with a graph."""
        return self._backend.engine

    @property
    def recall(self) -> MeasuredRecall | None:
        """The last measured recall of the engine; None for exact search."""
        return self._backend.recall

    @property
    def calibration(self) -> Any:
        """The calibration that decides on matches; None until the index is calibrated."""
        return self._backend.calibration

    @calibration.setter
    def calibration(self, calibration: Any) -> None:
        self._backend.calibration = calibration

    @property
    def notes(self) -> dict[str, Any]:
        """Metadata of your own that is saved with the index: name -> any JSON value.

        Values are stored as JSON (tuples become lists, keys strings). For an index in a
        folder, a note is stored as soon as it is set. To change part of a value, set the note
        again: a change within a value is only written with the next change of the index.

        A `SimilarityModel` records here which weights made the records, and an index its
        class names.
        """
        return self._backend.notes

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The class names of the records if labels are names; None if they are ids.

        They are saved with the index, in the note `"class_names_of_labels"`. A name whose
        records were deleted stays.
        """
        return self._classes.names

    @property
    def ids(self) -> np.ndarray:
        """The ids of all records, in increasing order: int64 `[n]`."""
        return self._backend.ids()

    @property
    def keys(self) -> np.ndarray | None:
        """The keys of all records, in the order of their ids: strings `[n]` in an array of objects.

        None where records were added without: their ids are integers then.
        """
        if not self._backend.keyed():
            return None
        chosen = self._backend.where(None)
        kept = chosen.source.keys
        return None if kept is None else keys_in(kept, chosen.rows)

    def ids_of(self, keys: Any) -> np.ndarray:
        """The ids that the index gave to records with keys.

        Args:
            keys: Strings `[n]`, or one.

        Returns:
            int64 `[n]`; -1 for a key that is not in use.

        Raises:
            TypeError: If they are not strings, or the records have no keys.
        """
        found = read_keys(keys, "keys")
        if found is None:
            raise TypeError(f"`keys` must be strings. Received: {keys!r}.")
        return self._ids_of(found)

    def keys_of(self, ids: Any) -> np.ndarray:
        """The keys of records, by the ids that the index gave them.

        Args:
            ids: Ids `[n]` in use, or one, such as those of `pairs`.

        Returns:
            Strings `[n]` in an array of objects.

        Raises:
            KeyError: If an id is not in use.
            TypeError: If they are not integers, or the records have no keys.
        """
        chosen = self._backend.at(self._chosen(ids, distinct=False))
        kept = chosen.source.keys
        if kept is None:
            raise TypeError(
                "`ids` must be those of records with keys. Received: ids of an index whose "
                "records have none."
            )
        return keys_in(kept, chosen.rows)

    def _ids_of(self, keys: list[str], name: str = "ids") -> np.ndarray:
        found = self._backend.ids_of(packed(keys))
        if (found < 0).all() and not self._backend.keyed() and len(self):
            raise TypeError(
                f"`{name}` must be integers, as the records of this index have no keys. Received: "
                f"strings, such as {keys[0]!r}."
            )
        return found

    def _chosen(self, ids: Any, distinct: bool = True) -> np.ndarray:
        """The ids of what a user passes as ids: ids or keys, all of them in use if keys."""
        keys = read_keys(ids, distinct=distinct)
        if keys is None:
            return check_ids(ids, distinct=distinct)
        found = self._ids_of(keys)
        if (found < 0).any():
            unknown = [key for key, id_ in zip(keys, found.tolist(), strict=True) if id_ < 0]
            raise KeyError(
                f"`ids` must be in use. Received, unknown: {unknown[:5]}"
                f"{' and more' if len(unknown) > 5 else ''}."
            )
        return found

    def __len__(self) -> int:
        return self._backend.count()

    def __contains__(self, id: object) -> bool:
        if isinstance(id, str):
            return bool(id and self._backend.keyed() and self.has(id)[0])
        if isinstance(id, bool) or not isinstance(id, int | np.integer) or not 0 <= id < 2**63:
            return False
        return bool(self._backend.known(np.array([id], np.int64))[0])

    def has(self, ids: Any) -> np.ndarray:
        """Which ids are in use.

        Args:
            ids: Ids or keys `[n]`, or one.

        Returns:
            bool `[n]`.
        """
        keys = read_keys(ids)
        if keys is not None:
            return self._ids_of(keys) >= 0
        return self._backend.known(check_ids(ids, distinct=False))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self)} records, embedding_size={self.embedding_size}, "
            f"distance={self.distance.name!r}, search={self.search!r})"
        )

    # -- Searching --------------------------------------------------------------------------

    @overload
    def lookup(
        self,
        queries: Any,
        k: int | None = ...,
        filter: Filter | Sequence[Filter | None] | None = ...,
        *,
        max_distance: None = ...,
        distinct: Distinct | None = ...,
        exclude: Any = ...,
        offset: int = ...,
        rerank: Callable[..., Any] | None = ...,
        rerank_top: int = ...,
    ) -> Neighbors: ...

    @overload
    def lookup(
        self,
        queries: Any,
        k: int,
        filter: Filter | Sequence[Filter | None] | None = ...,
        *,
        max_distance: float,
        distinct: Distinct | None = ...,
        exclude: Any = ...,
        offset: int = ...,
        rerank: Callable[..., Any] | None = ...,
        rerank_top: int = ...,
    ) -> Neighbors: ...

    @overload
    def lookup(
        self,
        queries: Any,
        k: None = ...,
        filter: Filter | None = ...,
        *,
        max_distance: float,
    ) -> NeighborsWithin: ...

    def lookup(
        self,
        queries: Any,
        k: int | None = None,
        filter: Filter | Sequence[Filter | None] | None = None,
        *,
        max_distance: float | None = None,
        distinct: Distinct | None = None,
        exclude: Any = None,
        offset: int = 0,
        rerank: Callable[..., Any] | None = None,
        rerank_top: int = 100,
    ) -> Neighbors | NeighborsWithin:
        """Finds the nearest records of each query: the k nearest, or all within a distance.

        Args:
            queries: Finite numbers `[q, embedding_size]`.
            k: Number of records; 5 if neither this nor `max_distance` is given. If there
                are fewer, arrays are padded with id -1, label -1 and distance inf.
            filter: Which records may be returned: a mapping of conditions, all of which
                must hold, or a function of the payload of one record that returns a
                bool. Conditions are on `"labels"` (a class id or name, or several, of which
                a record with several labels must have one), on
                `"ids"` (likewise, or keys), and on
                keys of the payload, `"price"` or `"shop.city"`: a value to be equal to, or
                a mapping of operators, `{"lt": 20}`: `eq`, `ne`, `lt`, `le`, `gt`,
                `ge`, `in`, `not_in`, `exists`. No comparison holds for records without
                the key. `"and"` and `"or"` take a list of filters, `"not"` takes one;
                `"data"` takes a mapping of conditions on keys of any name, or the
                function. A list has one filter, or None, for each query.
            max_distance: The largest distance of a record. Without `k`, all records within
                it are returned, as `NeighborsWithin`.
            distinct: Returns only the nearest record of each label (`"label"`), of each
                value of a key of the payload (its name), or of each value of a function
                of the payload. Records without a label, or without that key, are left
                out. Returns k records if that many exist.
            exclude: For each query, a list of ids or keys to leave out; they need not exist.
            offset: Number of nearest records to skip, for the next page.
            rerank: A function that reorders the nearest records. It takes the queries and
                their `Neighbors`, and returns a number for each neighbour, smallest for
                the best. Distances remain those of the index.
            rerank_top: Number of nearest records, at least k, given to `rerank`.

        Returns:
            The `Neighbors`: `.ids`, `.distances`, `.labels`, `[q, k]` each;
            `neighbors[i]` is a list of `Lookup`. `NeighborsWithin` for a `max_distance`
            without `k`.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If a query has the wrong size or is not finite, k < 1, or k is so large
                that padding alone would fill memory, or above the limit of Milvus.
        """
        queries = self._embeddings(queries, "queries")
        limit = None if max_distance is None else check_distance(max_distance)
        whole = k is None and limit is not None
        if whole:
            refuse_with_all(distinct=distinct, exclude=exclude, offset=offset, rerank=rerank)
        k, offset, depth = check_depth(5 if k is None else k, offset, rerank, rerank_top)
        self._backend.check_k(k, offset, len(queries))
        groups = self._groups(filter, len(queries))
        if whole and limit is not None:
            if len(groups) > 1:
                raise TypeError("`filter` must be one for all queries where `k` is not given.")
            near = self._backend.within(queries, limit, groups[0][1])
            columns = near.offsets, near.rows, near.distances
            return NeighborsWithin(near.source, *columns, self.class_names)
        wanted = Wanted(
            depth,
            offset,
            None if exclude is None else check_exclude(exclude, len(queries), self._ids_of),
            None if distinct is None else check_distinct(distinct),
            limit,
        )
        found = self._backend.nearest(queries, wanted, groups)
        if not len(found.source):
            return Neighbors.none(len(queries), k, self.class_names)
        neighbors = Neighbors.of_rows(found.source, found.rows, found.distances, self.class_names)
        return neighbors if rerank is None else reranked(queries, neighbors, rerank, k)

    def _where(self, filter: Filter | None) -> Condition | None:
        return None if filter is None else parse(with_ids(filter, self._ids_of), self._classes)

    def _groups(self, filter: Any, count: int) -> list[Group]:
        """Groups queries by filter, which may be one for all or a list with one for each."""
        if not isinstance(filter, list | tuple):
            return [(None, self._where(filter))]
        if len(filter) != count:
            raise ValueError(
                "`filter` must be one for all queries, or a list of one for each: expected "
                f"{count}. Received: {len(filter)}."
            )
        conditions = [self._where(each) for each in filter]
        same: dict[Any, list[int]] = {}
        for place, each in enumerate(conditions):
            same.setdefault(None if each is None else identity(each), []).append(place)
        return [(np.array(own), conditions[own[0]]) for own in same.values()] or [(None, None)]

    def pairs(self, max_distance: float, filter: Filter | None = None) -> Pairs:
        """All pairs of records within a distance of each other, such as near duplicates.

        The search is exact, or uses the graph of an engine if there is one, which may miss
        some pairs. Distances are exact.

        Args:
            max_distance: The largest distance, inclusive.
            filter: Which records to compare, as for `lookup`.

        Returns:
            `Pairs`, which yields blocks of columns as they are found, in bounded memory.

        Raises:
            TypeError: If the distance is not a number.
            ValueError: If it is NaN.

        Example:

        ```python
        from tensorflow_similarity.index import Index

        index = Index(embedding_size=2, distance="euclidean")
        index.add([[0.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
        index.pairs(max_distance=1.5).columns()
        # (array([0]), array([1]), array([1.], dtype=float32))
        ```
        """
        limit = check_distance(max_distance)
        state, allowed = self._backend.snapshot(self._where(filter))
        return Pairs(state, limit, allowed)

    def groups(self, max_distance: float, filter: Filter | None = None) -> Groups:
        """Groups of records connected by pairs within a distance, directly or through others.

        Args:
            max_distance: As for `pairs`.
            filter: Likewise.

        Returns:
            The `Groups` of two or more records, the largest first.

        Raises:
            TypeError: As `pairs`.
            ValueError: As `pairs`.

        Example:

        ```python
        from tensorflow_similarity.index import Index

        index = Index(embedding_size=1, distance="euclidean")
        index.add([[0.0], [1.0], [2.0], [9.0]])
        groups = index.groups(max_distance=1)
        groups[0]  # array([0, 1, 2])
        index.delete(groups.duplicates)  # one of each group is left
        ```
        """
        return groups_of(self.pairs(max_distance, filter))

    def get(self, ids: Any = None, *, filter: Filter | None = None) -> Records:
        """Returns the records with these ids, in this order, or those that pass a filter.

        Args:
            ids: Existing ids or keys `[n]`, or one; one may be repeated.
            filter: As for `lookup`, instead of ids. Records are returned in the order of ids.

        Raises:
            KeyError: If an id is not in use.
            TypeError: If both or neither are given.

        Example:

        ```python
        from tensorflow_similarity.index import Index

        index = Index(embedding_size=1, distance="euclidean")
        index.add([[0.0], [1.0], [2.0]], labels=[3, 4, 4], data=[{"price": p} for p in (5, 9, 7)])
        index.get(filter={"labels": 4}).ids  # array([1, 2])
        index.count({"price": {"lt": 8}})  # 2
        index.update(filter={"price": {"ge": 9}}, labels=5)
        index.delete(filter={"labels": [3, 5]})
        index.ids  # array([2])
        ```
        """
        refuse_both(ids, filter)
        if filter is None:
            chosen = self._backend.at(self._chosen(ids, distinct=False))
        else:
            chosen = self._backend.where(self._where(filter))
        return chosen.source.records(chosen.rows).named(self.class_names)

    def count(self, filter: Filter | None = None) -> int:
        """The number of records that pass a filter.

        Args:
            filter: As for `lookup`; None for all.
        """
        return self._backend.count(self._where(filter))

    def measure_recall(self, queries: Any = None, k: int = 10) -> MeasuredRecall | None:
        """Measures the recall of lookups: the fraction of true nearest records that they find.

        Neighbours are missed by the engine and, unless `storage` is `"float32"`, through
        rounding. The latter is estimated, by placing the records anywhere that rounds to the
        stored values. Warns if recall is below `target_recall`, which happens as records come
        and go.

        Args:
            queries: Embeddings to look up `[q, embedding_size]`; None for a
                sample of the records.
            k: Number of neighbours to look up.

        Returns:
            The measured recall; None while search is exact on unrounded records, and for
            Milvus, which has no exact result to compare with.
        """
        if queries is not None:
            queries = self._embeddings(queries, "queries")
        return self._backend.measure_recall(queries, checks.count(k, "k"))

    def stats(self) -> dict[str, Any]:
        """The figures that `summary` shows, by name."""
        return self._backend.stats()

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Prints the contents and search settings of the index.

        Args:
            print_fn: A function that gets the text.
        """
        print_fn(_results.text(self.stats()))

    def to_data_frame(self, num_records: int | None = None) -> Any:
        """The records as a pandas data frame, in the order of their ids.

        Args:
            num_records: Number of records; None for all.

        Returns:
            A `pandas.DataFrame` with `id` as its index and the columns `label`
            (nullable integers), `embedding` and `data`.

        Raises:
            ImportError: If pandas is not installed.
            TypeError: If the number is none.
            ValueError: If it is negative.
        """
        if num_records is not None:
            num_records = checks.count(num_records, "num_records", minimum=0)
        chosen = self._backend.where(None, num_records)
        return _results.data_frame(chosen.source.records(chosen.rows), self.class_names)

    # -- Changes ----------------------------------------------------------------------------

    def add(
        self, embeddings: Any, labels: Any = None, data: Any = None, ids: Any = None
    ) -> np.ndarray:
        """Adds records. They can be found as soon as this returns.

        Args:
            embeddings: Finite numbers `[n, embedding_size]`.
            labels: Class ids `[n]` or `[n, 1]`, of any integer dtype, or class names,
                which are stored in the index and returned by lookups; or None. In a
                list, None or −1 stands for a record without a label; `get` and `lookup`
                return −1 for it. Or several labels of each record:
                `Targets.multi_hot`, `Targets.label_sets` or a list of sets. All results of
                the index then have tuples of labels, and a single label is a set of one.
            data: The payload: an array whose first axis is the record (rows
                of images, say), or a list with one JSON value per record, which
                is returned as JSON (tuples as lists, keys as strings); a table of
                pandas, PyArrow or Polars counts as a dict of its columns for each row. The
                first payload decides which of the two kinds an index holds.
            ids: Ids `[n]`, distinct, not negative and not in use; None to assign
                increasing ids that were never used before. Or keys, distinct strings `[n]`
                that are not in use: each is stored with its record, whose id is assigned, and
                stands for it wherever an index takes ids; results include it. Either all
                records of an index have keys, or none.

        Returns:
            The ids, int64 `[n]`.

        Raises:
            TypeError: If embeddings, labels, ids or payload have the wrong type, or labels
                are names where those of the index are ids, or the other way round, or several
                for each record where those of the index have one.
            ValueError: If a shape or length is wrong, a number is not finite,
                or an id is in use. Then nothing is added.
        """
        batch = self._batch(embeddings, labels, data, ids)
        return self._backend.add(batch, assign=ids is None or batch.keys is not None)

    def upsert(self, ids: Any, embeddings: Any, labels: Any = None, data: Any = None) -> np.ndarray:
        """Adds records, replacing existing ones with the same ids as a whole.

        Args:
            ids: Ids `[n]`, distinct and not negative; in use or not. Or keys, likewise.
            embeddings: As for `add`.
            labels: As for `add`.
            data: As for `add`.

        Returns:
            The ids, int64 `[n]`.

        Raises:
            TypeError: As `add`.
            ValueError: As `add`. Then nothing is changed.
        """
        if ids is None:
            raise TypeError("`ids` must be integers or strings. Received: None.")
        return self._backend.upsert(self._batch(embeddings, labels, data, ids))

    def _batch(self, embeddings: Any, labels: Any, data: Any, ids: Any) -> Batch:
        vectors = self._embeddings(embeddings, "embeddings")
        return check_batch(vectors, labels, data, ids, self._classes.encode)

    def _embeddings(self, values: Any, name: str) -> np.ndarray:
        return check_embeddings(values, name, self.embedding_size, self.distance)

    def update(
        self,
        ids: Any = None,
        embeddings: Any = None,
        labels: Any = None,
        data: Any = None,
        *,
        filter: Filter | None = None,
    ) -> None:
        """Changes the given parts of records, and keeps the others.

        Args:
            ids: Ids or keys `[n]` in use.
            embeddings: As for `add`, or None to keep them.
            labels: Likewise; with a filter, also one class id for all.
            data: Likewise; with a filter, also one JSON object for all.
            filter: As for `lookup`, instead of ids: all records that pass.

        Raises:
            KeyError: If an id is not in use. Then nothing is changed.
            TypeError: As `add`; or if both or neither of `ids` and `filter` are given.
            ValueError: As `add`.
        """
        refuse_both(ids, filter)
        vectors = None if embeddings is None else self._embeddings(embeddings, "embeddings")

        def changes(chosen: np.ndarray) -> dict[str, Any]:
            own = (labels, data) if filter is None else for_all(labels, data, len(chosen))
            return check_changes(chosen, vectors, *own, self._classes.encode)

        ids = None if ids is None else self._chosen(ids)
        self._backend.update(ids, self._where(filter), changes)

    def delete(self, ids: Any = None, *, filter: Filter | None = None) -> None:
        """Deletes records. They can no longer be found once this returns.

        Their bytes are removed from memory and from later files by `compact`, at the latest.

        Args:
            ids: Ids or keys `[n]` in use, or one.
            filter: As for `lookup`, instead of ids: all records that pass.

        Raises:
            KeyError: If an id is not in use. Then nothing is deleted.
            TypeError: If the ids are not integers, or if both or neither of `ids` and
                `filter` are given.
            ValueError: If an id is repeated.
        """
        refuse_both(ids, filter)
        self._backend.delete(None if ids is None else self._chosen(ids), self._where(filter))

    def clear(self) -> None:
        """Deletes all records. Assigned ids are not used again."""
        self._backend.clear()

    def compact(self) -> None:
        """Drops deleted records from memory, and builds the engine's graph again.

        Afterwards lookups are as fast as possible. Other threads can change the index
        meanwhile. For Milvus, requests a compaction, which it also does by itself.
        """
        self._backend.compact()

    # -- Outside ----------------------------------------------------------------------------

    @property
    def path(self) -> str | None:
        """The folder of the index; None if it is in memory only."""
        return self._backend.path

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Writes the index, its graph and its calibration to one file.

        The write is atomic: on any failure, `path` holds the complete old file. Changes by
        other threads during the save are not in the file.

        Args:
            path: The file, which is replaced if it exists. None for an index in a folder:
                writes a snapshot there, which makes opening it fast. For Milvus, which
                stores everything itself, None does nothing.

        Raises:
            OSError: If the file cannot be written. An existing file is unchanged.
            ValueError: If there is no path and the index is not in a folder, or is a copy
                of an index whose folder another process has open.
        """
        self._backend.save(None if path is None else checks.file_name(path))

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        mmap: bool = False,
        verify: bool | None = None,
        trust_graph: bool | None = None,
    ) -> Index:
        """Loads an index written by `save`. It answers lookups like the saved one.

        Args:
            path: The file.
            mmap: Whether to memory-map embeddings and payload: loading them then takes no
                time and no memory, and processes that load the same file share pages. New
                records are held in memory. The file may be replaced (as `save` does) or
                removed meanwhile, but must not be modified in place. A graph is read into
                memory if its engine needs that.
            verify: Whether to read embeddings and payload once, to verify their checksums
                and that they are finite. None: unless `mmap`. Everything else is always
                verified.
            trust_graph: Whether to read the graph of an engine. None: yes, after checking
                the links that searches follow, for faiss' HNSW, nmslib and usearch; graphs
                of other engines are read unchecked by their libraries. True: yes, without
                a check, for your own files. False: no, for untrusted files; the graph is
                built again when that pays off, and search is exact until then.

        Raises:
            FileNotFoundError: If there is no such file.
            CorruptIndexError: If it is not an index, truncated or damaged (a ValueError).
            NewerIndexError: If a newer version of the package wrote it (a ValueError).
        """
        path = checks.file_name(path)
        found = _snapshot.load(path, mmap=mmap, verify=verify, trust_graph=trust_graph)
        return cls._of(InMemory(Nowhere(found)))

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        mmap: bool = False,
        fsync: bool = False,
        repair: bool = False,
        trust_graph: bool | None = None,
        read_only: bool = False,
    ) -> Index:
        """Opens the index in a folder, which was made with `Index(path=…)`.

        It has every change whose method returned before the process ended, however it
        ended. A change that was being written at that moment is dropped, with a warning.

        Args:
            path: The folder.
            mmap: Whether to memory-map embeddings and payload, see `load`.
            fsync: See `Index`.
            repair: Whether to discard a damaged change and all later ones, instead of raising
                an error.
            trust_graph: See `load`.
            read_only: Whether to open it for reading only, in any number of processes, while
                another one may have it open for writing. The index is a consistent
                snapshot; `refresh` brings it up to date.

        Raises:
            CorruptIndexError: If it is damaged, or not such a folder (a ValueError).
            FileNotFoundError: If there is no index.
            IndexLockedError: If it is open already, here or in another process (an
                OSError).
            NewerIndexError: If a newer version of the package wrote it (a ValueError).
        """
        if read_only:
            if repair or fsync:
                raise ValueError(
                    "`repair` and `fsync` are for those who write. Received: read_only=True, "
                    f"repair={repair!r}, fsync={fsync!r}."
                )
            return cls._of(InMemory(FolderReader(path, mmap, trust_graph)))
        folder = IndexFolder(path, fsync, mmap=mmap, repair=repair, trust_graph=trust_graph)
        return cls._of(InMemory(folder))

    def refresh(self) -> bool:
        """Brings an index opened with `read_only=True` up to date.

        Lookups may run meanwhile, each on a consistent snapshot.

        Returns:
            Whether anything has changed; always False for other indexes, which are up to date.

        Raises:
            CorruptIndexError: If newer changes are damaged (a ValueError).
            FileNotFoundError: If the folder is gone.
        """
        return self._backend.refresh()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies records, graph, notes and calibration; the copy is in memory."""
        return _restored, (self._backend.content(),)

    def close(self) -> None:
        """Closes an index in a folder, so that it can be opened elsewhere.

        It can still be read, but no longer changed. Called at the end of a `with` block, and
        when the index is garbage-collected. Does nothing for other indexes.
        """
        self._backend.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, for JSON, without records and path."""
        return self._backend.get_config()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Index:
        """An empty index with that config, in memory."""
        return cls(**config)


def _restored(content: bytes) -> Index:
    """Rebuilds an index from its pickled state."""
    with temporary_folder() as folder:
        file = os.path.join(folder, "index")
        with open(file, "wb") as out:
            out.write(content)
        # Unpickling implies trust in the source.
        return Index.load(file, trust_graph=True)
