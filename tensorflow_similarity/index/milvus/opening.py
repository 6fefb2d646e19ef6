"""Opens a collection in Milvus, or creates one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances
from tensorflow_similarity.index.milvus.about import AboutCollection
from tensorflow_similarity.index.milvus.collection import (
    CONSISTENCIES,
    METRICS,
    Collection,
    IndexType,
    Layout,
    layout_of,
)
from tensorflow_similarity.index.milvus.connection import Connection, connect, is_file

__all__ = ["CollectionNotFoundError", "Opened", "checked_config", "open_collection"]


class CollectionNotFoundError(ValueError):
    """There is no such collection in Milvus."""


@dataclasses.dataclass(frozen=True)
class Opened:
    """An index in Milvus: how it is reached, what it was asked to be, what is in it."""

    uri: str | None
    name: str
    call: Connection
    embedding_size: int
    distance: distances.Distance
    search_params: dict[str, Any]
    records: Collection
    about: AboutCollection
    end: Callable[[], None]


def checked_config(
    embedding_size: Any, distance: Any, search_params: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The checked config of an index, as JSON.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If Milvus does not know the distance.
    """
    found = distances.get(distance)
    product = distances.product_of(found)
    by_name = found.name in distances.names() and found == distances.get(found.name)
    if product is None or not product.plain or not by_name:
        raise ValueError(
            f"`distance` must be one that Milvus knows: {sorted(METRICS)}. Received: {distance!r}."
        )
    if not isinstance(search_params, Mapping | None):
        raise TypeError(f"`search_params` must be a dict. Received: {search_params!r}.")
    return {
        "embedding_size": checks.count(embedding_size, "embedding_size"),
        "distance": found.name,
        "search_params": dict(search_params or {}),
    }


def open_collection(
    config: dict[str, Any] | None,
    uri: Any,
    name: str,
    token: str,
    attempts: int,
    client: Any,
    consistency: str = "Strong",
) -> Opened:
    """Connects, and opens or creates a collection.

    Args:
        config: What the index is to be. None: as it is, and it must be there.
        uri: The file or the server.
        name: The name of the collection.
        token: For servers that want one.
        attempts: How often a call is made at most.
        client: A client, in place of `uri` and `token`.
        consistency: What lookups see, one of `CONSISTENCIES`.

    Raises:
        CollectionNotFoundError: If the collection must be there, and is not.
        FileNotFoundError: If a file must be there, and is not.
        ImportError: If pymilvus is not installed.
        IndexLockedError: If the file is open in another process.
        TypeError: If an argument has the wrong type.
        ValueError: If an argument names nothing known, or the collection is not one of this
            package, or not like `config`.
    """
    if not isinstance(name, str):
        raise TypeError(f"`collection` must be a string. Received: {name!r}.")
    if (uri is None) == (client is None):
        raise ValueError(
            "`uri` must say where Milvus is: a file such as 'index.db', or the address of a "
            "server such as 'http://localhost:19530' (or a `client` is given in its place). "
            f"Received: uri={uri!r}, client={client!r}."
        )
    attempts = checks.count(attempts, "attempts")
    if consistency not in CONSISTENCIES:
        raise ValueError(
            f"`consistency` must be one of {list(CONSISTENCIES)}. Received: {consistency!r}."
        )
    file = uri is not None and is_file(uri)
    if config is not None:
        IndexType.of(config["search_params"], file)  # raises before anything is created
    end = _leave_alone
    if client is None:
        client, end = connect(uri, token, must_exist=config is None)
    try:
        return _opened(config, uri, name, file, Connection(client, attempts), end, consistency)
    except BaseException:
        end()
        raise


def _leave_alone() -> None:
    """The caller closes a client it passed in."""


def _opened(
    config: dict[str, Any] | None,
    uri: Any,
    name: str,
    file: bool,
    call: Connection,
    end: Callable[[], None],
    consistency: str,
) -> Opened:
    about = AboutCollection(call, name)
    there = _is_ours(call, about, name)
    if config is None and not there:
        raise CollectionNotFoundError(
            f"`collection` must be in {uri or call.client!r}. Received: {name!r}; there are "
            f"{call('list_collections')}."
        )
    if there:
        about.open()
        config = _fitting(config, about.read("config"), name, file)
    elif config is not None:
        about.create()
        about.write("config", config)
    wanted: dict[str, Any] = config or {}
    distance = distances.get(wanted["distance"])
    size, params = wanted["embedding_size"], wanted["search_params"]
    index_type = IndexType.of(params, file)
    layout = Layout() if file and not there else layout_of(call, name if there else None)
    records = Collection(call, name, size, _metric(distance), index_type, layout, consistency)
    if there:
        records.open()
    else:
        records.create()
    return Opened(uri, name, call, size, distance, params, records, about, end)


def _is_ours(call: Connection, about: AboutCollection, name: str) -> bool:
    """Whether the collection is there.

    Raises:
        ValueError: If it is, and this package did not make it.
    """
    there, known = call("has_collection", collection_name=name), about.exists()
    if there and not known:
        raise ValueError(
            f"`collection` must be one that this package made. Received: {name!r}, which holds "
            "something else. Choose another name."
        )
    if known and not there:
        about.drop()  # left by a program that died between the two steps
    return bool(there)


def _fitting(
    wanted: dict[str, Any] | None, found: dict[str, Any], name: str, file: bool
) -> dict[str, Any]:
    """The config of a collection, which must match the requested one except for the search."""
    if wanted is None:
        return found
    for key in ("embedding_size", "distance"):
        if wanted[key] != found[key]:
            raise ValueError(
                f"`{key}` must be that of the collection {name!r}, {found[key]!r}. Received: "
                f"{wanted[key]!r}. Choose another `collection` to begin an index."
            )
    given, built = wanted["search_params"], IndexType.of(found["search_params"], file)
    search = IndexType.of(given, file).search
    there = {"index_type": built.name, **built.build}
    for key in given.keys() - search.keys():
        if key not in there or given[key] != there[key]:
            raise ValueError(
                f"`search_params` must have the `index_type` and the parameters of building of the "
                f"collection {name!r}, {there}, or leave them out. Received: {given}. Choose "
                "another `collection` to begin an index."
            )
    return {**found, "search_params": {**found["search_params"], **search}}


def _metric(distance: distances.Distance) -> str:
    product = distances.product_of(distance)
    return METRICS[product.space]  # type: ignore[union-attr]  # checked when it was opened
