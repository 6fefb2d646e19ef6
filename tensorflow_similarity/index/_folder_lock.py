"""A lock on a folder, released when the process that holds it ends, even by a crash."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import weakref

from tensorflow_similarity.index._errors import IndexLockedError

__all__ = ["FolderLock", "told_in"]

_NAME = "lock"
# Error codes when another process has the lock; the last one is Windows'.
_HELD = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}


class FolderLock:
    """Holds a folder for this process.

    Args:
        folder: An existing folder.

    Raises:
        IndexLockedError: If another process, or another index of this one, holds it.
        OSError: If it cannot be locked at all.
    """

    def __init__(self, folder: str) -> None:
        self._process = os.getpid()
        #: The last journal that there was, and where it ended if it was closed, else -1; None
        #: where that is not known.
        self.told: tuple[int, int] | None = None
        self._descriptor = os.open(os.path.join(folder, _NAME), os.O_RDWR | os.O_CREAT, 0o666)
        _locks.add(self)
        try:
            _lock(self._descriptor)
        except OSError as error:
            if error.errno not in _HELD:
                self.forget()
                raise OSError(
                    error.errno,
                    f"{folder!r} cannot be locked: its file system gives no locks ({error}). Put "
                    "the index into a folder on another, such as a local disk.",
                ) from error
            # Windows does not let a locked byte be read; the number is only advice.
            holder = _holder(self._descriptor)
            self.forget()
            raise IndexLockedError(
                f"{folder!r} is open in {holder}. One index at a time may write there: `close` "
                "the other, or let its process end."
            ) from error
        self.told = _told(self._descriptor)

    def tell(self, journal: int, end: int = -1) -> None:
        """Records which journal is the last one, and its length once it is closed.

        What is missing of it later was not lost by a process that died.
        """
        if self._descriptor < 0 or os.getpid() != self._process:
            return
        with contextlib.suppress(OSError):  # a full disk
            text = f"{os.getpid()} {journal} {end}".encode()
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, text)
            if end >= 0:
                os.fsync(self._descriptor)

    def release(self) -> None:
        """Releases the lock. A forked process only forgets it."""
        if self._descriptor >= 0 and os.getpid() == self._process:
            with contextlib.suppress(OSError):
                _unlock(self._descriptor)
        self.forget()

    def forget(self) -> None:
        """Closes the descriptor; the lock stays with processes that hold another one.

        A lock is held while any descriptor of it is open: a copy of the process
        that kept its own would hold it when the process itself has died.
        """
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


_locks: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_locks):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _holder(descriptor: int) -> str:
    try:
        number = int(os.read(descriptor, 64).split()[0])
    except (OSError, ValueError, IndexError):
        return "another process"
    return "this process" if number == os.getpid() else f"process {number}"


def told_in(folder: str) -> tuple[int, int] | None:
    """What the lock file of a folder says, read without locking; None if it says nothing."""
    try:
        descriptor = os.open(os.path.join(folder, _NAME), os.O_RDONLY)
    except OSError:
        return None
    try:
        return _told(descriptor)
    finally:
        os.close(descriptor)


def _told(descriptor: int) -> tuple[int, int] | None:
    """What `FolderLock.tell` wrote; None for new locks and those of older versions."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        _, journal, end = (int(part) for part in os.read(descriptor, 64).split())
    except (OSError, ValueError):
        return None
    return journal, end


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
