"""The index of a model, inside the `.keras` file of the model."""

from __future__ import annotations

import contextlib
import contextvars
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorflow_similarity.index import Index, MilvusIndex
from tensorflow_similarity.models.binding import IndexBinding

__all__ = ["read_assets", "trusting", "write_assets"]

_VERSION = 2
_ABOUT = "similarity.json"
_INDEX = "similarity.index"
# Keras passes no arguments to the methods that read the assets of a model.
_TRUST: contextvars.ContextVar[bool | None] = contextvars.ContextVar("trust_graph", default=None)


@contextlib.contextmanager
def trusting(trust_graph: bool | None) -> Iterator[None]:
    """A context in which graphs in `.keras` files are read with this trust: see `Index.load`."""
    before = _TRUST.set(trust_graph)
    try:
        yield
    finally:
        _TRUST.reset(before)


def write_assets(folder: str, binding: IndexBinding) -> None:
    """Writes the index, and its connection to the model, into the assets of a `.keras` file."""
    if binding.index is None:
        return
    about: dict[str, Any] = {"version": 1, "embedding_output": binding.embedding_output}
    if isinstance(binding.index, MilvusIndex):
        # The records stay where they are.
        config = binding.index.get_config()
        about |= {"version": 2, "milvus": {key: config[key] for key in ("uri", "collection")}}
    else:
        binding.index.save(os.path.join(folder, _INDEX))
    Path(folder, _ABOUT).write_text(json.dumps(about))


def read_assets(folder: str, binding: IndexBinding) -> None:
    """Reads what `write_assets` wrote, if it wrote anything.

    Raises:
        ValueError: If it is damaged, or of a newer version.
    """
    try:
        about = json.loads(Path(folder, _ABOUT).read_text())
    except FileNotFoundError:
        return
    if about["version"] > _VERSION:
        raise ValueError(
            f"The index of this model was saved in format {about['version']}, by a newer version "
            f"of tensorflow_similarity; this one reads up to {_VERSION}. Upgrade the package."
        )
    # Those in Milvus are attached to when the user says so: it may be far away, or a file that
    # another process has open.
    away = about.get("milvus")
    index = None if away else Index.load(os.path.join(folder, _INDEX), trust_graph=_TRUST.get())
    if binding.embedding_output != about["embedding_output"]:
        binding.embedding_output = about["embedding_output"]
        binding.forget_traces()
    if index is None:
        binding.leave(away)
    else:
        binding.adopt(index)
