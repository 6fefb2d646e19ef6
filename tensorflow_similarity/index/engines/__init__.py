"""Search engines: one file each, all with the same protocol.

Packages provide engines through entry points of the group `tensorflow_similarity.engines`.
"""

from __future__ import annotations

import importlib.metadata
import warnings
from typing import Any

from tensorflow_similarity.index.engines.base import Engine
from tensorflow_similarity.index.engines.faiss import (
    FaissHnswEngine,
    FaissIvfEngine,
    FaissPqEngine,
)
from tensorflow_similarity.index.engines.nmslib import NmslibEngine
from tensorflow_similarity.index.engines.prefix import PrefixEngine
from tensorflow_similarity.index.engines.scann import ScannEngine
from tensorflow_similarity.index.engines.usearch import UsearchEngine

__all__ = ["Engine", "get", "installed", "names", "register"]

_ENGINES: dict[str, type[Engine]] = {
    engine.name: engine
    for engine in (
        FaissHnswEngine,
        FaissIvfEngine,
        FaissPqEngine,
        NmslibEngine,
        PrefixEngine,
        ScannEngine,
        UsearchEngine,
    )
}
_ENTRY_POINTS = "tensorflow_similarity.engines"
_loaded: set[str] = set()


def names() -> list[str]:
    """What `search` may be: `"auto"`, `"exact"` and all approximate engines."""
    return ["auto", "exact", *sorted(_ENGINES)]


def get(search: Any) -> type[Engine] | None:
    """The engine that `search` names: None for `"exact"`.

    `"auto"` gives the engine that is always installed, as it needs no extra.

    Raises:
        TypeError: If `search` is not a string.
        ValueError: If no engine has that name.
    """
    if not isinstance(search, str):
        raise TypeError(f"`search` must be one of {names()}. Received: {search!r}.")
    if search not in names():
        _load_entry_points()
    if search not in names():
        advice = ' "linear" of TensorFlow Similarity is "exact".' if search == "linear" else ""
        raise ValueError(
            f"Unknown `search`. Expected one of {names()}. Received: {search!r}.{advice}"
        )
    if search == "exact":
        return None
    if search == "auto":
        return next(e for e in _ENGINES.values() if e.extra is None and e.automatic)
    return _ENGINES[search]


def installed(distance: str) -> list[type[Engine]]:
    """The engines that are installed and support the space of the distance."""
    _load_entry_points()
    return [
        engine
        for engine in _ENGINES.values()
        if distance in engine.distances and engine.installed()
    ]


def register(engine: type[Engine]) -> type[Engine]:
    """Registers an engine by its `name`, as a value of `search=`. May be used as a decorator.

    Args:
        engine: A subclass of `Engine`. A class that is defined again, as in a
            notebook, replaces itself.

    Returns:
        The engine.

    Raises:
        TypeError: If it is not a subclass of `Engine`.
        ValueError: If the name is taken by another engine.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.index import Engine, Index, register

    @register
    class EverythingEngine(Engine):
        '''Gives every row for every query: the index finds the nearest among them.'''

        name = "everything"
        distances = frozenset(["cosine", "euclidean"])

        def build(self, vectors):
            self._rows = len(vectors)

        def search(self, queries, k):
            return np.tile(np.arange(self._rows), (len(queries), 1))

        def content(self):
            yield str(self._rows).encode()

        def load(self, path):
            with open(path) as file:
                self._rows = int(file.read())

    Index(8, "cosine", search="everything").search  # 'everything'
    ```
    """
    if not (isinstance(engine, type) and issubclass(engine, Engine)):
        raise TypeError(f"`engine` must be a subclass of Engine. Received: {engine!r}.")
    known = _ENGINES.get(engine.name)
    other = known is not None and _origin(known) != _origin(engine)
    if other or engine.name in ("auto", "exact"):
        raise ValueError(f"`engine.name` must not be one of {names()}. Received: {engine.name!r}.")
    _ENGINES[engine.name] = engine
    return engine


def _origin(engine: type[Engine]) -> tuple[str, str]:
    return engine.__module__, engine.__qualname__


def _load_entry_points() -> None:
    """Registers the engines of installed packages; warns of those that cannot be loaded."""
    for entry in importlib.metadata.entry_points(group=_ENTRY_POINTS):
        if entry.value in _loaded:
            continue
        _loaded.add(entry.value)
        try:
            register(entry.load())
        except Exception as error:
            warnings.warn(
                f"The search engine {entry.name!r} of an installed package cannot be loaded: "
                f"{type(error).__name__}: {error}",
                stacklevel=2,
            )
