"""A model and its index in one `.keras` file, replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from tensorflow_similarity.index import Index
from tensorflow_similarity.models.binding import IndexBinding

__all__ = ["read_assets", "replacing", "write_assets"]

_VERSION = 1
_ABOUT = "similarity.json"
_INDEX = "similarity.index"


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """Gives a path to write to; the file then takes the place of `path` in one step.

    If the block raises, what was at `path` is left as it was. The file lies in
    the same folder meanwhile, since only within a file system is a rename atomic.
    """
    target = Path(os.path.realpath(path))  # a link stays one
    temporary = target.with_name(f".{target.stem}-{uuid.uuid4().hex}{target.suffix}")
    try:
        yield str(temporary)
        if target.exists():
            shutil.copymode(target, temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_assets(folder: str, binding: IndexBinding) -> None:
    """Writes the index, and what ties it to the model, into the assets of a `.keras` file."""
    if binding.index is None:
        return
    binding.index.save(os.path.join(folder, _INDEX))
    about = {
        "version": _VERSION,
        "embedding_output": binding.embedding_output,
        "made_with": binding.made_with,
    }
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
    index = Index.load(os.path.join(folder, _INDEX))
    if binding.embedding_output != about["embedding_output"]:
        binding.embedding_output = about["embedding_output"]
        binding.forget_traces()
    binding.adopt(index, about["made_with"])
