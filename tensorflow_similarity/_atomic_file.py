"""Files that are replaced as a whole, or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import time
import uuid
from collections.abc import Iterator

__all__ = ["fsync_folder", "replacing"]

# A file that a killed process left behind; a living one writes on.
_STALE_SECONDS = 3600.0


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], extension: str = "") -> Iterator[str]:
    """Gives the name of a file to write, which then takes the place of `path`.

    If the block raises, or the process is killed in it, what was at `path` is as
    it was. The file lies in the same folder meanwhile, since a rename is atomic
    only within a file system.

    Args:
        path: The file to replace. If it is a link, what it points to is replaced.
        extension: What the name must end in, for writers that insist.
    """
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    _remove_leftovers(folder, name, extension)
    temporary = os.path.join(folder, f".{name}.{uuid.uuid4().hex}.tmp{extension}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):
            os.chmod(temporary, os.stat(path).st_mode & 0o777)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise
    fsync_folder(folder)


def fsync_folder(folder: str) -> None:
    """Forces a folder to the disk: a new name is there only when its folder is."""
    if hasattr(os, "O_DIRECTORY"):
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _remove_leftovers(folder: str, name: str, extension: str) -> None:
    pattern = os.path.join(glob.escape(folder), f".{glob.escape(name)}.*.tmp{extension}")
    for leftover in glob.glob(pattern):
        with contextlib.suppress(OSError):
            if time.time() - os.stat(leftover).st_mtime > _STALE_SECONDS:
                os.remove(leftover)
