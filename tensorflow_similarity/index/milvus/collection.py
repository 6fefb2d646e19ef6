"""One collection of Milvus, in the types of NumPy."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from tensorflow_similarity.index.milvus.connection import Connection
from tensorflow_similarity.index.milvus.expressions import one_of

__all__ = [
    "CONSISTENCIES",
    "LONGEST_KEY",
    "METRICS",
    "MOST_ROWS",
    "Collection",
    "IndexType",
    "Layout",
    "layout_of",
]

#: The distances that Milvus ranks by, and its own names for them.
METRICS = {
    "cosine": "COSINE",
    "euclidean": "L2",
    "inner_product": "IP",
    "squared_euclidean": "L2",
}
#: As many neighbours, and as many rows of a query, as Milvus gives.
MOST_ROWS = 16_384
# A message may have 64 MB. What a record takes beside its embedding is not known before.
_BYTES = 1 << 24
_PAYLOAD = 1024
_IDS_AT_ONCE = 1000
# Warns of each iterator over a file that it keeps the time itself.
_ITERATOR_LOG = "pymilvus.client.iterator.query_iterator"
_FIELDS = ["id", "vector", "label", "data"]
# The key of a record as JSON; empty where it has none. Collections of earlier versions lack it.
_KEY = "key"
#: The bytes that a key may take as JSON.
LONGEST_KEY = 65_535
#: What lookups may see, from all to what is at hand.
CONSISTENCIES = ("Strong", "Session", "Bounded", "Eventually")
# Servers before 2.5 have no null. There a field says whether there is a label, and a key of the
# payload that there is none.
_FIRST_WITH_NULL = 2, 5
_HAS_LABEL = "has_label"
_NO_LABEL = -(2**63)
_NO_DATA = "__none__"
_EXISTS = re.compile(r"exists data(?:\[[^\]]*\])+")
_WITHOUT_NULL = (
    ("label is not null", f"{_HAS_LABEL} == true"),
    ("label is null", f"{_HAS_LABEL} == false"),
    ("data is not null", f'not (exists data["{_NO_DATA}"])'),
    ("data is null", f'exists data["{_NO_DATA}"]'),
)

# Parameters of building and of searching. Milvus Lite takes any index type, and then searches
# without where it does not know it, so that they are checked here.
_BUILD = {"M", "efConstruction", "m", "nbits", "nlist", "refine", "refine_type", "sq_type"}
_SEARCH = {"ef", "level", "nprobe", "refine_k", "reorder_k", "search_list"}
_IN_FILES = {"AUTOINDEX", "FLAT", "HNSW", "HNSW_SQ", "IVF_FLAT", "IVF_SQ8"}
_ON_SERVERS = _IN_FILES | {"DISKANN", "HNSW_PQ", "IVF_PQ", "IVF_RABITQ", "SCANN"}


@dataclasses.dataclass(frozen=True)
class IndexType:
    """How Milvus searches.

    Attributes:
        name: The type of its index.
        build: What it is built with.
        search: What it is searched with.
    """

    name: str
    build: dict[str, Any]
    search: dict[str, Any]

    @classmethod
    def of(cls, params: Mapping[str, Any], file: bool) -> IndexType:
        """Reads `search_params`.

        Raises:
            TypeError: If they are not a mapping.
            ValueError: If the type or a parameter is unknown.
        """
        if not isinstance(params, Mapping):
            raise TypeError(f"`search_params` must be a dict. Received: {params!r}.")
        known = _IN_FILES if file else _ON_SERVERS
        name = params.get("index_type", "FLAT" if file else "AUTOINDEX")
        if name not in known:
            raise ValueError(
                f"`search_params['index_type']` must be one of {sorted(known)}"
                f"{' in a file' if file else ''}. Received: {name!r}."
            )
        unknown = set(params) - _BUILD - _SEARCH - {"index_type"}
        if unknown:
            raise ValueError(
                f"`search_params` may hold 'index_type' and {sorted(_BUILD | _SEARCH)}. "
                f"Received: {sorted(unknown)}."
            )
        build = {key: value for key, value in params.items() if key in _BUILD}
        return cls(name, build, {key: value for key, value in params.items() if key in _SEARCH})


@dataclasses.dataclass(frozen=True)
class Layout:
    """The fields of a collection.

    Attributes:
        nullable: Whether they may be null.
        keyed: Whether there is one for keys.
    """

    nullable: bool = True
    keyed: bool = True


class Collection:
    """The records of an index in Milvus. Arguments must be checked already.

    Args:
        call: The connection.
        name: The name of the collection.
        dim: Numbers in an embedding.
        metric: The metric, by Milvus' name.
        index: How it is searched.
        layout: Which fields it has.
        consistency: What searches see.
    """

    def __init__(
        self,
        call: Connection,
        name: str,
        dim: int,
        metric: str,
        index: IndexType,
        layout: Layout,
        consistency: str = "Strong",
    ) -> None:
        self._call, self.name, self._dim = call, name, dim
        self._metric, self._index, self._nullable = metric, index, layout.nullable
        self._fields = [
            *_FIELDS,
            *([] if layout.nullable else [_HAS_LABEL]),
            *([_KEY] if layout.keyed else []),
        ]
        #: Whether records may have keys.
        self.keyed = layout.keyed
        # The collection's own is Strong.
        self._seen = {} if consistency == "Strong" else {"consistency_level": consistency}

    def create(self) -> None:
        """Creates the collection, empty."""
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self._dim)
        if self._nullable:
            schema.add_field("label", DataType.INT64, nullable=True)
            schema.add_field("data", DataType.JSON, nullable=True)
        else:
            schema.add_field("label", DataType.INT64)
            schema.add_field("data", DataType.JSON)
            schema.add_field(_HAS_LABEL, DataType.BOOL)
        if self.keyed:
            schema.add_field(_KEY, DataType.VARCHAR, max_length=LONGEST_KEY)
        indexes = MilvusClient.prepare_index_params()
        indexes.add_index(
            "vector",
            index_type=self._index.name,
            metric_type=self._metric,
            params=self._index.build,
        )
        self._call(
            "create_collection",
            collection_name=self.name,
            schema=schema,
            index_params=indexes,
            consistency_level="Strong",  # what was added is found
        )

    def open(self) -> None:
        """Prepares an existing collection for use."""
        self._call("load_collection", collection_name=self.name)

    def drop(self) -> None:
        """Removes the collection."""
        self._call("drop_collection", collection_name=self.name)

    def upsert(self, rows: Iterator[dict[str, Any]], count: int, verbose: int) -> None:
        """Writes rows in batches."""
        size = max(1, min(MOST_ROWS, _BYTES // (4 * self._dim + _PAYLOAD)))
        with tqdm(
            total=count, desc="Writing", unit="record", delay=0.5, disable=not verbose
        ) as progress:
            while batch := [self._stored(row) for row in itertools.islice(rows, size)]:
                self._call("upsert", collection_name=self.name, data=batch)
                progress.update(len(batch))

    def delete(self, ids: np.ndarray) -> None:
        """Deletes the records with these ids."""
        for part in _parts(ids):
            self._call("delete", collection_name=self.name, ids=part.tolist())

    def count(self, filter: str = "") -> int:
        """How many records there are, of those that the expression holds for."""
        return int(self._query(filter, ["count(*)"])[0]["count(*)"])

    def known(self, ids: np.ndarray) -> np.ndarray:
        """Which of the ids are in use: bool `[n]`."""
        found = [
            row["id"] for part in _parts(ids) for row in self._query(one_of("id", part), ["id"])
        ]
        return np.isin(ids, np.array(found, np.int64))

    def keys(self, ids: np.ndarray) -> dict[int, str]:
        """The keys, as JSON, of those ids that are in use."""
        return {
            row["id"]: row[_KEY]
            for part in _parts(ids)
            for row in self._query(one_of("id", part), ["id", _KEY])
        }

    def holds(self, keyed: bool) -> bool:
        """Whether there is a record with a key, or one without."""
        if not self.keyed:
            return not keyed and bool(self.count())
        return bool(self.count(f'{_KEY} != ""' if keyed else f'{_KEY} == ""'))

    def rows(self, ids: np.ndarray) -> dict[int, dict[str, Any]]:
        """The rows of those ids that are in use."""
        return {
            row["id"]: self._as_given(row)
            for part in _parts(ids, max(1, _BYTES // (4 * self._dim + _PAYLOAD)))
            for row in self._query(one_of("id", part), self._fields)
        }

    def ids(self, filter: str = "") -> np.ndarray:
        """All ids that match the expression, in increasing order."""
        # Pages by the key: what comes and goes meanwhile moves no other record between them.
        with _quiet(_ITERATOR_LOG):
            iterator = self._call(
                "query_iterator",
                collection_name=self.name,
                filter=self._known(filter) or "id >= 0",
                output_fields=["id"],
                batch_size=MOST_ROWS,
            )
        pages: list[list[int]] = []
        try:
            while page := iterator.next():
                pages.append([row["id"] for row in page])
        finally:
            iterator.close()
        return np.sort(np.array([id_ for page in pages for id_ in page], np.int64))

    def search(self, queries: np.ndarray, k: int, filter: str) -> list[list[dict[str, Any]]]:
        """The rows near to each query, in Milvus' order."""
        step = max(1, min(MOST_ROWS, _BYTES // (k * (4 * self._dim + _PAYLOAD))))
        found: list[list[dict[str, Any]]] = []
        for start in range(0, len(queries), step):
            hits = self._call(
                "search",
                collection_name=self.name,
                data=list(queries[start : start + step]),
                filter=self._known(filter),
                limit=k,
                output_fields=self._fields,
                search_params={"metric_type": self._metric, "params": self._index.search},
                **self._seen,
            )
            found += [[self._as_given(hit["entity"]) for hit in row] for row in hits]
        return found

    def _query(self, filter: str, fields: list[str]) -> Any:
        return self._call(
            "query",
            collection_name=self.name,
            filter=self._known(filter),
            output_fields=fields,
        )

    def _known(self, filter: str) -> str:
        """An expression in the syntax of the server's version."""
        known = filter
        if not self._nullable:
            for text, replaced in _WITHOUT_NULL:
                known = known.replace(text, replaced)
            # There, it takes all that follows.
            known = _EXISTS.sub(r"(\g<0>)", known)
        return known

    def _stored(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row as it is stored, where there is no null, or there are no keys."""
        if not self.keyed:
            row = {name: value for name, value in row.items() if name != _KEY}
        if self._nullable:
            return row
        there = row["label"] is not None
        return {
            **row,
            "label": row["label"] if there else _NO_LABEL,
            "data": {_NO_DATA: True} if row["data"] is None else row["data"],
            _HAS_LABEL: there,
        }

    def _as_given(self, row: Any) -> Any:
        """A row as it was before `_stored`."""
        if self._nullable:
            return row
        data = row["data"]
        return {
            **row,
            "label": row["label"] if row[_HAS_LABEL] else None,
            "data": None if isinstance(data, dict) and _NO_DATA in data else data,
        }


def layout_of(call: Connection, name: str | None) -> Layout:
    """The layout of an existing collection, or of new ones on the server.

    Args:
        call: The connection.
        name: The collection; None for a new one.
    """
    if name is not None:
        described = call("describe_collection", collection_name=name)["fields"]
        fields = {field["name"] for field in described}
        return Layout(nullable=_HAS_LABEL not in fields, keyed=_KEY in fields)
    if not hasattr(call.client, "get_server_version"):
        return Layout()
    found = re.match(r"v?(\d+)\.(\d+)", str(call("get_server_version")))
    return Layout(found is None or (int(found[1]), int(found[2])) >= _FIRST_WITH_NULL)


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Suppresses the warnings of a logger."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _parts(ids: np.ndarray, size: int = _IDS_AT_ONCE) -> Iterator[np.ndarray]:
    size = min(size, _IDS_AT_ONCE)
    return (ids[start : start + size] for start in range(0, len(ids), size))
