"""A folder that an index lives in: snapshots, and the changes since.

`snapshot.N` holds the index as it was when `journal.N` was started. Snapshots are
written atomically; until one is complete, the previous snapshot and all journals since
hold the same state. So the folder is valid at any moment, and files older than the
newest snapshot can be removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._atomic_file import fsync_folder
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.index import _snapshot
from tensorflow_similarity.index._arguments import Settings
from tensorflow_similarity.index._contents import check_columns, naming, required
from tensorflow_similarity.index._errors import CorruptIndexError, advice_on_folder
from tensorflow_similarity.index._folder_lock import FolderLock
from tensorflow_similarity.index._journal import (
    HEADER_SIZE,
    Change,
    Journal,
    JournalReader,
    damaged,
    opened_elsewhere,
)
from tensorflow_similarity.index._memory import RecordsNow
from tensorflow_similarity.index._snapshot import Contents

__all__ = ["FolderFiles", "IndexFolder", "entries", "require_folder"]

_FILE = re.compile(r"(snapshot|journal)\.(\d+)")
# A snapshot is written when the journal is larger than the previous snapshot and than
# this size. Snapshots then at most double what is written, and what is read on opening.
_SMALLEST_JOURNAL = 1 << 24


class FolderFiles:
    """The files in the folder of an index, for its writer and its readers."""

    path: str
    _number: int
    _told_by_lock: tuple[int, int] | None = None

    def _file(self, kind: str, number: int) -> str:
        return os.path.join(self.path, f"{kind}.{number}")

    def _files(self) -> tuple[list[int], list[int]]:
        """The numbers of snapshots and of journals, increasing."""
        found: dict[str, list[int]] = {"snapshot": [], "journal": []}
        for name in os.listdir(self.path):
            match = _FILE.fullmatch(name)
            if match:
                found[match[1]].append(int(match[2]))
        return sorted(found["snapshot"]), sorted(found["journal"])

    def _refuse_missing(self, journals: list[int]) -> None:
        """Raises if a journal is missing, or lacks even its header."""
        last, _ = self._told_by_lock or (self._number, -1)
        expected = range(self._number, max([self._number, last, *journals]) + 1)
        for number in expected:
            if number not in journals:
                raise damaged(self._file("journal", number), "it is missing")
        own = self._file("journal", self._number)
        if os.path.getsize(own) < HEADER_SIZE:
            # A journal is started before its snapshot is written.
            raise damaged(own, "its beginning is missing")

    def _refuse_cut(self, number: int, end: int) -> None:
        """Raises if a journal has fewer complete changes than when it was closed."""
        last, closed = self._told_by_lock or (0, -1)
        if number == last and end < closed:
            raise damaged(
                self._file("journal", number),
                f"{closed} bytes of changes were whole when it was closed, and {end} are: it was "
                "cut",
            )

    def _make(self, index: Contents, about: Any, arrays: Any, number: int) -> None:
        """Applies a change from a journal."""
        try:
            if about["name"] == "about":
                index.about.read(about)
            else:
                _check_change(about["name"], arrays, index.settings)
                index.live.replay(Change.of_entry(about, arrays))
        except _UNFIT as error:
            raise CorruptIndexError(
                f"The journal {number} of {self.path!r} does not fit what came before it: "
                f"{error} Restore the folder from a copy."
            ) from error


class IndexFolder(FolderFiles):
    """Opens or creates the index in a folder, and records its changes there.

    Args:
        path: The folder.
        fsync: Whether each change is forced to the disk.
        settings: What the index is to be; None for what it was.
        mmap: Whether embeddings and payload are left in the snapshot, and read from there.
        repair: Whether all changes after a damaged one are given up.
        trust_graph: See `Index.load`.

    Raises:
        CorruptIndexError: If it holds no index, or a damaged one.
        FileNotFoundError: If there is no index and no settings to begin one.
        IndexLockedError: If it is open already.
        OSError: If its file system gives no locks.
        ValueError: If what it holds does not fit the settings.

    Attributes:
        contents: What was found in it, or begun.
        when_built: Writes a snapshot, which holds the graph, as long as the folder is open.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fsync: bool = False,
        settings: Settings | None = None,
        mmap: bool = False,
        repair: bool = False,
        trust_graph: bool | None = None,
    ) -> None:
        self.path = os.path.abspath(checks.file_name(path))
        self._fsync = checks.flag(fsync, "fsync")
        checks.flag(repair, "repair")
        self._snapshotting = threading.Lock()
        self._closed = False
        self._process = os.getpid()
        self._retry_size = 0
        require_folder(self.path, begin=settings is not None)
        if fsync:
            _fsync_ancestors(self.path)
        self._lock = FolderLock(self.path)
        self._told_by_lock = self._lock.told
        try:
            self.contents = self._open(settings, mmap, repair, trust_graph)
        except BaseException:
            self._lock.release()
            raise
        self._told = _text(self.contents.about.get_config())
        self.contents.about.kept_by(self)
        snapshot = weakref.WeakMethod(self.snapshot_or_warn)
        # A background build must not keep the folder open.
        self.when_built: Callable[[], None] = lambda: (snapshot() or _nothing)()
        weakref.finalize(self, self._lock.release)

    def _open(
        self, settings: Settings | None, mmap: bool, repair: bool, trust_graph: bool | None
    ) -> Contents:
        snapshots, journals = self._files()
        if not snapshots:
            # A process that died while starting a journal leaves one without changes.
            begun = journals == [1] and os.path.getsize(self._file("journal", 1)) <= HEADER_SIZE
            if settings is None or (journals and not begun):
                raise CorruptIndexError(f"{self.path!r} holds no index, or not all of one.")
            index = Contents.empty(settings)
            number = self._number = 1
            # Before its snapshot, so that a snapshot without its journal is always damage.
            last = Journal(self._file("journal", 1), self._fsync)
            self._write(1, index, index.live.now())
        else:
            self._number = max(snapshots)
            snapshot = self._file("snapshot", self._number)
            index = _snapshot.load(snapshot, settings, mmap, kept=True, trust_graph=trust_graph)
            journals = [n for n in journals if n >= self._number]
            if not repair:
                self._refuse_missing(journals)
            number, last = self._replay(index, journals, repair)
            self._remove_older()
            self._remove_half_written()
        self._last = number
        self._lock.tell(number)
        self._snapshot_size = os.path.getsize(self._file("snapshot", self._number))
        index.live.continue_in(last)
        return index

    def _replay(self, index: Contents, numbers: list[int], repair: bool) -> tuple[int, Journal]:
        """Applies the changes of the journals; returns the last journal and its number."""
        number, end = self._number, 0
        for expected, number in enumerate(numbers, self._number):
            if number != expected:  # seen only by a repair
                self._give_up(numbers, number)
                number = expected
                end = 0
                break
            reader = JournalReader(self._file("journal", number), repair)
            for about, arrays in entries(reader, self._file("journal", number)):
                self._make(index, about, arrays, number)
            end = reader.end
            if not repair:
                self._refuse_cut(number, end)
            if not reader.torn:
                continue
            if number != numbers[-1] and not repair:
                raise CorruptIndexError(
                    f"The journal {number} of {self.path!r} is truncated, and another follows it. "
                    "Restore the folder from a copy, or give up all changes from there on with "
                    "`Index.open(path, repair=True)`."
                )
            warnings.warn(
                f"The last {reader.torn} bytes of the journal of {self.path!r} are no whole "
                "change: the process that wrote them died before it had made it. They are dropped.",
                stacklevel=levels_to_the_caller(),
            )
            self._give_up(numbers, number + 1)
            break
        return number, Journal(self._file("journal", number), self._fsync, end)

    def _give_up(self, numbers: list[int], first: int) -> None:
        """Removes the journals from a number on."""
        for later in numbers:
            if later >= first:
                os.remove(self._file("journal", later))

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Wraps each change: writes notes before it, and a snapshot after it if one is due."""
        self.tell()
        yield
        self.snapshot_if_due()

    def compact(self) -> None:
        """Drops deleted records, builds the graph again, and writes a snapshot."""
        self.contents.live.compact()
        self.save()

    def refresh(self) -> bool:
        """Returns False: there are no changes by others."""
        return False

    def tell(self) -> None:
        """Writes notes and calibration to the journal, if they changed."""
        about = self.contents.about
        with about.lock:
            self.tell_of(about.get_config())

    def tell_of(self, about: Mapping[str, Any]) -> None:
        """Writes new notes and calibration; called under the lock of `About`."""
        text = _text(about)
        if text != self._told:
            self.contents.live.note({"name": "about", **about})
            self._told = text

    def snapshot_if_due(self) -> None:
        """Writes a snapshot if one is due."""
        if not self._own:
            return
        journal = self.contents.live.journal
        least = max(_SMALLEST_JOURNAL, self._snapshot_size, self._retry_size)
        if journal is None or journal.end <= least or self._snapshotting.locked():
            return
        if self.contents.settings.background:
            try:
                threading.Thread(target=self.snapshot_or_warn, name="index-snapshot").start()
                return
            except RuntimeError:  # no more threads can be started
                pass
        self.snapshot_or_warn()

    def snapshot_or_warn(self) -> None:
        """Writes a snapshot automatically; a failure only warns."""
        if not self._own:
            return
        try:
            self.save()
        except Exception as error:
            # Any error: the change that led here has been made.
            journal = self.contents.live.journal
            self._retry_size = 2 * (journal.end if journal else 0)
            warnings.warn(
                f"No snapshot of the index could be written to {self.path!r}: "
                f"{str(error) or type(error).__name__}. Its "
                "changes are in its journal, which goes on.",
                stacklevel=levels_to_the_caller(),
            )

    def save(self) -> None:
        """Writes a snapshot of the index, and starts a new journal. Changes may go on meanwhile.

        Raises:
            OSError: If it cannot be written. What was there is still good.
            ValueError: If this is a copy of the process that opened the folder, and
                would take its journal away from it.
        """
        if not self._own:
            raise opened_elsewhere()
        with self._snapshotting:
            if self._closed:
                return
            live = self.contents.live
            number = max([self._number, *self._files()[1]]) + 1
            journal = Journal(self._file("journal", number), self._fsync)
            self._last = number
            self._lock.tell(number)
            now, former = live.continue_in(journal)
            if former is not None:
                former.close()
            self.tell()
            self._write(number, self.contents, now)
            self._number, self._retry_size = number, 0
            self._snapshot_size = os.path.getsize(self._file("snapshot", number))
            self._remove_older()

    def close(self) -> None:
        """Closes the journal, and unlocks the folder.

        In a copy of the process that opened it, nothing of that one's changes.
        """
        if not self._own:
            # In a forked process, locks may be held forever by threads that were not copied.
            self._closed = True
            if self.contents.live.journal is not None:
                self.contents.live.journal.close()
            self._lock.release()
            return
        with self._snapshotting, contextlib.ExitStack() as ending:
            if not self._closed:
                self._closed = True
                ending.callback(self._lock.release)
                ending.callback(self._end_journal)
                self.tell()

    def _end_journal(self) -> None:
        self.contents.live.close()
        journal = self.contents.live.journal
        if journal is not None:
            self._lock.tell(self._last, journal.end)

    @property
    def _own(self) -> bool:
        return os.getpid() == self._process

    def _write(self, number: int, index: Contents, now: RecordsNow) -> None:
        _snapshot.save(self._file("snapshot", number), index, now)

    def _remove_older(self) -> None:
        for kind, numbers in zip(("snapshot", "journal"), self._files(), strict=True):
            for number in numbers:
                if number < self._number:
                    with contextlib.suppress(OSError):
                        os.remove(self._file(kind, number))

    def _remove_half_written(self) -> None:
        """Removes partial files of a process that died. The folder must be locked."""
        for name in os.listdir(self.path):
            if name.startswith(".snapshot.") and name.endswith(".tmp"):
                with contextlib.suppress(OSError):
                    os.remove(os.path.join(self.path, name))


# Errors of changes that are invalid, or belong to other records.
_UNFIT = (ArithmeticError, AttributeError, IndexError, LookupError, TypeError, ValueError)


def entries(reader: JournalReader, path: str) -> Iterator[Any]:
    """The entries of a journal; anything else in it is reported as damage."""
    found = iter(reader)
    while True:
        with naming(path):
            entry = next(found, None)
        if entry is None:
            return
        yield entry


def _check_change(name: str, arrays: Mapping[str, Any], settings: Settings) -> None:
    """Checks that a change is one that `add`, `update` and the other methods accept.

    Raises:
        ValueError: If it does not.
    """
    if name == "clear":
        required(not arrays, "there are columns")
        return
    # A moved record is stored in the form of the index, a new one as it was given.
    storage = settings.storage if "vectors.scales" in arrays else "float32"
    check_columns(arrays, settings.embedding_size, storage, whole=name in ("add", "upsert"))


def _text(about: Mapping[str, Any]) -> str:
    return json.dumps(about, sort_keys=True)


def _nothing() -> None:
    """Stands in for a callback after the folder was closed."""


def require_folder(path: str, begin: bool) -> None:
    """Raises if a path is not the folder of an index; creates it if allowed."""
    if os.path.isdir(path):
        # Checked before locking, which would leave a lock file in an unrelated folder.
        if not begin and not any(_FILE.fullmatch(name) for name in os.listdir(path)):
            raise CorruptIndexError(f"{path!r} holds no index.{advice_on_folder(path)}")
        return
    if os.path.exists(path):
        raise NotADirectoryError(
            f"`path` must be a folder, which the index has for itself. Received: the file {path!r}."
            " `Index.load` reads a file that `save` wrote."
        )
    if not begin:
        raise FileNotFoundError(
            f"There is no index at {path!r}. `Index(embedding_size, path=path)` begins one."
        )
    os.makedirs(path)


def _fsync_ancestors(path: str) -> None:
    """Syncs the directory entries that lead to a folder to disk."""
    while True:
        with contextlib.suppress(OSError):  # which this process has no permission to read
            fsync_folder(path)
        parent = os.path.dirname(path)
        if parent == path:
            return
        path = parent
