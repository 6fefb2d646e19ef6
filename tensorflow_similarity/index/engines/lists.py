"""Shared by engines that divide the rows into lists."""

from __future__ import annotations

import math

from tensorflow_similarity.index.engines.base import Engine

__all__ = ["ListsEngine"]

_STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)


class ListsEngine(Engine):
    """Base of the engines that read, for a query, the lists whose centres are nearest.

    The effort is how many. All of them find everything, or nearly so.
    """

    _size: int
    _lists: int

    def _know(self, size: int, lists: int) -> None:
        """Records the numbers of rows and lists, once they are known."""
        self._size, self._lists = size, lists
        self.efforts = (*(step for step in _STEPS if step < lists), lists)
        self.effort = self.fixed_effort or self.effort or 1

    def _lists_for(self, k: int) -> int:
        """How many lists to read: enough to hold k rows, or there would be too few answers."""
        enough = math.ceil(2 * k * self._lists / self._size)
        return min(max(self.effort, enough), self._lists)
