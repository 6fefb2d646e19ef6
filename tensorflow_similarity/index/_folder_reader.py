"""Reads the folder of an index while another process may write to it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from tensorflow_similarity import _checks as checks
from tensorflow_similarity.index import _snapshot
from tensorflow_similarity.index._errors import CorruptIndexError
from tensorflow_similarity.index._folder import FolderFiles, entries, require_folder
from tensorflow_similarity.index._folder_lock import told_in
from tensorflow_similarity.index._journal import JournalReader
from tensorflow_similarity.index._snapshot import Contents

__all__ = ["FolderReader"]

# A writer may remove files between a look at the folder and a look into them.
_TRIES, _TRIES_OF_DAMAGED = 20, 3
_PAUSE = 0.05


class FolderReader(FolderFiles):
    """Reads the index in a folder that another process, or this one, may write to meanwhile.

    It takes no lock and writes nothing: any number may read. What it has read is the
    folder as it was after one of its changes.

    Args:
        path: The folder.
        mmap: As for `IndexFolder`.
        trust_graph: See `Index.load`.

    Raises:
        CorruptIndexError: If it holds no index, or a damaged one.
        FileNotFoundError: If there is none.

    Attributes:
        contents: What was found in it; another one where the changes since are in no journal.
    """

    def __init__(
        self, path: str | os.PathLike[str], mmap: bool = False, trust_graph: bool | None = None
    ) -> None:
        self.path = os.path.abspath(checks.file_name(path))
        require_folder(self.path, begin=False)
        self._how = mmap, trust_graph
        self._refreshing = threading.Lock()
        self._place = 0, 0  # of the last change that was read: journal, byte
        self.contents = self._retrying(self._open)

    def refresh(self) -> bool:
        """Reads changes since the last time; returns whether there were any."""
        with self._refreshing:
            before = self._number, self._place
            self._retrying(self._go_on)
            return (self._number, self._place) != before

    def changing(self) -> NoReturn:
        """Refuses a change.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "The index was opened with read_only=True, and cannot be changed. Change it where it "
            "was opened without, and `refresh` here; or open it so, where nobody else has."
        )

    def tell_of(self, about: Mapping[str, Any]) -> None:
        """As `changing`."""
        self.changing()

    def compact(self) -> None:
        """As `changing`."""
        self.changing()

    def save(self) -> None:
        """As `changing`."""
        self.changing()

    def when_built(self) -> None:
        """Nothing: nothing is written."""

    def snapshot_if_due(self) -> None:
        """Nothing: there are no changes."""

    def close(self) -> None:
        """Nothing: nothing is held."""

    def _retrying(self, read: Callable[[], Any]) -> Any:
        """Reads, and retries if a writer interfered."""
        tries = 0
        while True:
            tries += 1
            try:
                return read()
            except CorruptIndexError:  # because a writer undid a failed change
                if tries >= _TRIES_OF_DAMAGED:
                    raise
            except FileNotFoundError:
                if tries >= _TRIES:
                    raise
            time.sleep(_PAUSE)

    def _look(self) -> tuple[list[int], list[int]]:
        """Reads the lock file, then the files, which are then at least as new."""
        self._told_by_lock = told_in(self.path)
        snapshots, journals = self._files()
        if not snapshots:
            raise CorruptIndexError(f"{self.path!r} holds no index, or not all of one.")
        return snapshots, journals

    def _open(self) -> Contents:
        mmap, trust_graph = self._how
        snapshots, journals = self._look()
        self._number = max(snapshots)
        journals = [n for n in journals if n >= self._number]
        self._refuse_missing(journals)
        snapshot = self._file("snapshot", self._number)
        index = _snapshot.load(snapshot, None, mmap, kept=True, trust_graph=trust_graph)
        self._place = self._number, 0
        self._read(index, journals)
        index.about.kept_by(self)
        return index

    def _go_on(self) -> None:
        snapshots, journals = self._look()
        number, end = self._place
        left = [n for n in journals if n >= number]
        at_hand = left[:1] == [number] and os.path.getsize(self._file("journal", number)) >= end
        if not at_hand:
            self.contents = self._open()
            return
        self._number = min(self._number, number)
        self._refuse_missing_from(number, left)
        self._read(self.contents, left)
        self._number = max(n for n in snapshots if n <= self._place[0])

    def _refuse_missing_from(self, number: int, journals: list[int]) -> None:
        kept, self._number = self._number, number
        try:
            self._refuse_missing(journals)
        finally:
            self._number = kept

    def _read(self, index: Contents, journals: list[int]) -> None:
        """Applies the changes after the current position, and advances it with each."""
        for number in journals:
            start = self._place[1] if number == self._place[0] else 0
            reader = JournalReader(self._file("journal", number), start=start)
            for about, arrays in entries(reader, self._file("journal", number)):
                self._make(index, about, arrays, number)
                self._place = number, reader.read_to
            self._place = number, max(reader.end, start)
            self._refuse_cut(number, reader.end)
            if reader.torn:  # a writer is working on it
                return
