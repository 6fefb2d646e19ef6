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
            records, and the graph is built again with more links where no effort
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
            rounded to 1/127 of the largest of its row. Where embeddings share an offset,
            or dimensions differ in scale, what is rounded is the difference to their
            middle, in units of each dimension's spread. Distances are the true ones
            to what is kept, which is also what `get` returns. The first lookup estimates
            how many of the true neighbours are lost by that, and warns once where more
            are than `target_recall` allows; `measure_recall` tells at any time. Engines
            with a graph hold what they search in their own way.
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
        """Numbers in an embedding."""
        return self._backend.embedding_size

    @property
    def distance(self) -> distances.Distance:
        """The distance."""
        return self._backend.distance

    @property
    def search(self) -> Any:
        """What was asked for: `"auto"`, `"exact"`, an engine's name or an engine."""
        return self._backend.search

    @property
    def storage(self) -> str:
        """How embeddings are kept: `"float32"`, `"float16"` or `"int8"`."""
        return self._backend.storage

    @property
    def engine(self) -> str:
        """What lookups use now: `"exact"`, or the name of the engine that has a graph."""
        return self._backend.engine

    @property
    def recall(self) -> MeasuredRecall | None:
        """What the engine was last measured to find; None for exact search."""
        return self._backend.recall

    @property
    def calibration(self) -> Any:
        """What decides on matches from distances; None until the index is calibrated."""
        return self._backend.calibration

    @calibration.setter
    def calibration(self, calibration: Any) -> None:
        self._backend.calibration = calibration

    @property
    def notes(self) -> dict[str, Any]:
        """Notes that are saved with the index, any JSON by name; yours to change.

        They are kept as JSON has them (tuples as lists, keys as strings). Where the
        index lives in a folder, a note is there as soon as it is set. To change a
        part of one, set it again: what is changed within is only written with the
        next change.

        A `SimilarityModel` keeps in them which weights made the records, an index its
        class names.
        """
        return self._backend.notes

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The class names of the records, where labels were names; None where they are ids.

        They are saved with the index, in the note `"class_names_of_labels"`. A name whose
        records were deleted stays.
        """
        return self._classes.names

    @property
    def ids(self) -> np.ndarray:
        """The ids of all records, in increasing order: int64 `[n]`."""
        return self._backend.ids()

    def __len__(self) -> int:
        return self._backend.count()

    def __contains__(self, id: object) -> bool:
        if isinstance(id, bool) or not isinstance(id, int | np.integer) or not 0 <= id < 2**63:
            return False
        return bool(self._backend.known(np.array([id], np.int64))[0])

    def has(self, ids: Any) -> np.ndarray:
        """Which ids are in use.

        Args:
            ids: Ids `[n]`, or one id.

        Returns:
            bool `[n]`.
        """
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
        """The nearest records of each query: k of them, or all within a distance.

        Args:
            queries: Finite numbers `[q, embedding_size]`.
            k: How many; 5 if neither this nor `max_distance` is given. If there are
                fewer, columns are padded: id -1, label -1, distance inf.
            filter: Which records may be returned: a mapping of conditions, all of which
                must hold, or a function of the payload of one record that returns a
                bool. Conditions are on `"labels"` (a class id or name, or several, of which
                a record with several labels must have one), on
                `"ids"` (likewise), and on
                keys of the payload, `"price"` or `"shop.city"`: a value to be equal to, or
                a mapping of operators, `{"lt": 20}`: `eq`, `ne`, `lt`, `le`, `gt`,
                `ge`, `in`, `not_in`, `exists`. No comparison holds for records without
                the key. `"and"` and `"or"` take a list of filters, `"not"` takes one;
                `"data"` takes a mapping of conditions on keys of any name, or the
                function. A list of filters, or None, has one for each query.
            max_distance: The distance that records may have at most. Without `k`, all
                of them are returned, as `NeighborsWithin`.
            distinct: Returns the nearest record only of each label (`"label"`), of each
                value under a key of the payload (its name), or of each value that a
                function of the payload gives. Records without a label, or without that
                key, are left out. There are k wherever that many exist.
            exclude: For each query, a list of ids that are not returned for it, in use
                or not.
            offset: How many of the nearest to leave out: the next page.
            rerank: A function that puts the nearest in another order. It takes the
                queries and their `Neighbors`, and gives a number for each of these,
                the smallest for the best. Distances stay those of the index.
            rerank_top: How many of the nearest, at least k, it is given.

        Returns:
            The `Neighbors`: `.ids`, `.distances`, `.labels`, `[q, k]` each;
            `neighbors[i]` is a list of `Lookup`. `NeighborsWithin` for a `max_distance`
            without `k`.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If a query has another size or is not finite, k < 1, or k is so
                large that padding alone would fill memory, or larger than Milvus gives.
        """
        queries = check_embeddings(queries, "queries", self.embedding_size)
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
            None if exclude is None else check_exclude(exclude, len(queries)),
            None if distinct is None else check_distinct(distinct),
            limit,
        )
        found = self._backend.nearest(queries, wanted, groups)
        if not len(found.source):
            return Neighbors.none(len(queries), k, self.class_names)
        neighbors = Neighbors.of_rows(found.source, found.rows, found.distances, self.class_names)
        return neighbors if rerank is None else reranked(queries, neighbors, rerank, k)

    def _where(self, filter: Filter | None) -> Condition | None:
        return None if filter is None else parse(filter, self._classes)

    def _groups(self, filter: Any, count: int) -> list[Group]:
        """Queries by their filter, which may be one for all, or a list of one for each."""
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

        They are found as lookups find: exactly, or by the graph of an engine where
        there is one, which may miss some; their distances are true ones.

        Args:
            max_distance: The distance; pairs at it are within.
            filter: Which records to look at, as for `lookup`.

        Returns:
            `Pairs`, which gives them in blocks of columns as they are found:
            memory stays bounded.

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
        """Groups of records that pairs within a distance connect, directly or by way of others.

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
        """The records with these ids, in this order, or those that a filter lets through.

        Args:
            ids: Ids `[n]` in use, or one id. The same id may be there twice.
            filter: As for `lookup`, in place of ids. Records come in the order of ids.

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
            chosen = self._backend.at(check_ids(ids, distinct=False))
        else:
            chosen = self._backend.where(self._where(filter))
        return chosen.source.records(chosen.rows).named(self.class_names)

    def count(self, filter: Filter | None = None) -> int:
        """How many records a filter lets through.

        Args:
            filter: As for `lookup`; None for all.
        """
        return self._backend.count(self._where(filter))

    def measure_recall(self, queries: Any = None, k: int = 10) -> MeasuredRecall | None:
        """Measures what share of the true nearest lookups find.

        What is missed is what the engine misses, and, where `storage` is not
        `"float32"`, what is lost in storing. The latter is estimated: the records
        are taken to be anywhere that is stored as they are. Warns where less is found
        than the `target_recall`, which happens as records come and go.

        Args:
            queries: Embeddings to look up `[q, embedding_size]`; None for a
                sample of the records.
            k: Neighbours to look for.

        Returns:
            What was measured; None while search is exact, in what was added, and in Milvus,
            where what is exact is not known.
        """
        if queries is not None:
            queries = check_embeddings(queries, "queries", self.embedding_size)
        return self._backend.measure_recall(queries, checks.count(k, "k"))

    def stats(self) -> dict[str, Any]:
        """What `summary` shows, by name."""
        return self._backend.stats()

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Prints what the index holds and how it searches.

        Args:
            print_fn: Takes the text.
        """
        print_fn(_results.text(self.stats()))

    def to_data_frame(self, num_records: int | None = None) -> Any:
        """The records as a pandas data frame, in the order of their ids.

        Args:
            num_records: How many; None for all.

        Returns:
            A `pandas.DataFrame` with `id` as its index and the columns `label`
            (nullable integers), `embedding` and `data`.

        Raises:
            ImportError: If pandas is not installed.
        """
        chosen = self._backend.where(None, num_records)
        return _results.data_frame(chosen.source.records(chosen.rows), self.class_names)

    # -- Changes ----------------------------------------------------------------------------

    def add(
        self, embeddings: Any, labels: Any = None, data: Any = None, ids: Any = None
    ) -> np.ndarray:
        """Adds records. They are found as soon as this returns.

        Args:
            embeddings: Finite numbers `[n, embedding_size]`.
            labels: Class ids `[n]` or `[n, 1]`, of any integer dtype, or class names,
                which are kept with the index and come back in lookups; or None. In a
                list, None stands for a record without a label, as −1 does, which
                `get` and `lookup` give for it. Or several labels of each record:
                `Targets.multi_hot`, `Targets.label_sets` or a list of sets. All answers of
                the index then have tuples of labels, and one label is a set of one.
            data: The payload: an array whose first axis is the record (rows
                of images, say), or a list with one JSON value per record, which
                comes back as JSON has it (tuples as lists, keys as strings); a pandas
                data frame is a dict of its columns for each row. The first payload
                decides which of the two an index holds.
            ids: Ids `[n]`, distinct, not negative and not in use; None to have
                them assigned, in increasing order, and none ever twice.

        Returns:
            The ids, int64 `[n]`.

        Raises:
            TypeError: If embeddings, labels, ids or payload have the wrong type, or labels
                are names where those of the index are ids, or the other way round, or several
                for each record where those of the index have one.
            ValueError: If a shape or length is wrong, a number is not finite,
                or an id is in use. Nothing has been added then.
        """
        batch = self._batch(embeddings, labels, data, ids)
        return self._backend.add(batch, assign=ids is None)

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
        batch = self._batch(embeddings, labels, data, check_ids(ids))
        self._backend.upsert(batch)
        return batch.ids

    def _batch(self, embeddings: Any, labels: Any, data: Any, ids: Any) -> Batch:
        size, encode = self.embedding_size, self._classes.encode
        return check_batch(size, embeddings, labels, data, ids, encode)

    def update(
        self,
        ids: Any = None,
        embeddings: Any = None,
        labels: Any = None,
        data: Any = None,
        *,
        filter: Filter | None = None,
    ) -> None:
        """Changes what is given of some records, and keeps the rest of them.

        Args:
            ids: Ids `[n]` in use.
            embeddings: As for `add`, or None to keep them.
            labels: Likewise; with a filter, also one class id for all.
            data: Likewise; with a filter, also one JSON object for all.
            filter: As for `lookup`, in place of ids: all that it lets through.

        Raises:
            KeyError: If an id is not in use. Nothing has changed then.
            TypeError: As `add`; or if both or neither of `ids` and `filter` are given.
            ValueError: As `add`.
        """
        refuse_both(ids, filter)
        size, encode = self.embedding_size, self._classes.encode

        def changes(chosen: np.ndarray) -> dict[str, Any]:
            own = (labels, data) if filter is None else for_all(labels, data, len(chosen))
            return check_changes(size, chosen, embeddings, *own, encode)

        ids = None if ids is None else check_ids(ids)
        self._backend.update(ids, self._where(filter), changes)

    def delete(self, ids: Any = None, *, filter: Filter | None = None) -> None:
        """Deletes records. They are not found any more when this returns.

        Their bytes leave memory and saved files with `compact`, at the latest.

        Args:
            ids: Ids `[n]` in use, or one id.
            filter: As for `lookup`, in place of ids: all that it lets through.

        Raises:
            KeyError: If an id is not in use. Nothing has been deleted then.
            TypeError: If the ids are not integers, or if both or neither of `ids` and
                `filter` are given.
            ValueError: If an id is there twice.
        """
        refuse_both(ids, filter)
        self._backend.delete(None if ids is None else check_ids(ids), self._where(filter))

    def clear(self) -> None:
        """Deletes all records. Ids that were assigned are not assigned again."""
        self._backend.clear()

    def compact(self) -> None:
        """Drops deleted records from memory, and builds the engine's graph again.

        Lookups become as fast as they can be, and what was deleted is gone.
        Changes by other threads go on meanwhile. Milvus is told to merge what it has written,
        which it also does by itself.
        """
        self._backend.compact()

    # -- Outside ----------------------------------------------------------------------------

    @property
    def path(self) -> str | None:
        """The folder that the index lives in; None if it lives in memory only."""
        return self._backend.path

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Writes the index, its graph and its calibration to one file.

        Whatever happens meanwhile, `path` holds the old index or the new one,
        whole. Changes by other threads during the save are not in the file.

        Args:
            path: The file, which is replaced if it exists. None for an index that
                lives in a folder: a snapshot is written there, which makes opening it
                fast. In Milvus, which has everything, nothing is to be done.

        Raises:
            OSError: If it cannot be written. What was there is still there.
            ValueError: If there is no path, and the index lives in no folder, or
                in one that another process opened, of which this one is a copy.
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
                checksums and that they are finite. None: unless `mmap`. All else is
                verified always.
            trust_graph: Whether the graph of an engine is read. None: after what searches
                follow in it was checked, for faiss' HNSW, nmslib and usearch; those of other
                engines are read as they are, by their libraries. True: without a check,
                for your own files. False: not at all, for files of strangers; it is built
                again when that pays, and everything is found without.

        Raises:
            FileNotFoundError: If there is none.
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
        """Opens the index that lives in a folder, as it was made with `Index(path=…)`.

        Every change is there that had returned before the process ended, however
        it ended. What it was writing when it died is dropped, with a warning.

        Args:
            path: The folder.
            mmap: Whether embeddings and payload stay on the disk, see `load`.
            fsync: See `Index`.
            repair: Whether to give up all changes after one that is damaged, in
                place of an error.
            trust_graph: See `load`.
            read_only: Whether to look only, in any number of processes, while another one
                may have it open to change it. The index is as it was after one of its
                changes; `refresh` brings it to the newest.

        Raises:
            CorruptIndexError: If it is damaged, or not such a folder (a ValueError).
            FileNotFoundError: If there is none.
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
        """Brings an index that was opened with `read_only=True` to the newest change.

        Lookups may run meanwhile: each sees the index after one of its changes.

        Returns:
            Whether something has changed. False for all others, which are always new.

        Raises:
            CorruptIndexError: If what came since is damaged (a ValueError).
            FileNotFoundError: If the folder is gone.
        """
        return self._backend.refresh()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy has the same records, graph, notes and calibration, in memory."""
        return _restored, (self._backend.content(),)

    def close(self) -> None:
        """Ends an index that lives in a folder, so that it can be opened elsewhere.

        It can still be read, and no longer be changed. Also done at the end of a
        `with` block, and when the index is let go. Does nothing for others.
        """
        self._backend.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, for JSON; neither records nor path are in it."""
        return self._backend.get_config()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Index:
        """An empty index with that config, in memory."""
        return cls(**config)


def _restored(content: bytes) -> Index:
    """An index of the content of its file, as `pickle` and `copy` have it."""
    with temporary_folder() as folder:
        file = os.path.join(folder, "index")
        with open(file, "wb") as out:
            out.write(content)
        # Whoever unpickles trusts the one who pickled.
        return Index.load(file, trust_graph=True)
