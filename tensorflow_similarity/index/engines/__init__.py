"""Search engines: one file each, behind one protocol."""

from __future__ import annotations

from typing import Any

from tensorflow_similarity.index.engines.base import Engine
from tensorflow_similarity.index.engines.faiss import FaissHnswEngine, FaissIvfEngine
from tensorflow_similarity.index.engines.nmslib import NmslibEngine
from tensorflow_similarity.index.engines.scann import ScannEngine
from tensorflow_similarity.index.engines.usearch import UsearchEngine

__all__ = ["Engine", "get", "installed", "names", "register"]

_ENGINES: dict[str, type[Engine]] = {
    engine.name: engine
    for engine in (FaissHnswEngine, FaissIvfEngine, NmslibEngine, ScannEngine, UsearchEngine)
}


def names() -> list[str]:
    """What `search` may be: `"auto"`, `"exact"` and all approximate engines."""
    return ["auto", "exact", *sorted(_ENGINES)]


def get(search: Any) -> type[Engine] | None:
    """The engine that `search` names: None for `"exact"`, nmslib for `"auto"`.

    Raises:
        TypeError: If `search` is not a string.
        ValueError: If no engine has that name.
    """
    if not isinstance(search, str):
        raise TypeError(f"`search` must be one of {names()}. Received: {search!r}.")
    if search not in names():
        raise ValueError(f"Unknown `search`. Expected one of {names()}. Received: {search!r}.")
    if search == "exact":
        return None
    return _ENGINES["nmslib" if search == "auto" else search]


def installed(distance: str) -> list[type[Engine]]:
    """The engines whose library is there, and that know the distance."""
    return [
        engine
        for engine in _ENGINES.values()
        if distance in engine.distances and engine.installed()
    ]


def register(engine: type[Engine]) -> type[Engine]:
    """Makes an engine known by its `name`. May be used as a decorator.

    Raises:
        TypeError: If it is not a subclass of `Engine`.
        ValueError: If the name is taken by another engine.
    """
    if not (isinstance(engine, type) and issubclass(engine, Engine)):
        raise TypeError(f"`engine` must be a subclass of Engine. Received: {engine!r}.")
    if engine.name in names() and _ENGINES.get(engine.name) is not engine:
        raise ValueError(f"`engine.name` must not be one of {names()}. Received: {engine.name!r}.")
    _ENGINES[engine.name] = engine
    return engine
