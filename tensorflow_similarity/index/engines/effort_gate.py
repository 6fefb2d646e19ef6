"""Searches with different efforts in a graph that has a single effort setting."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["EffortGate"]


class EffortGate:
    """Lets searches with the same effort run together, while others wait.

    Some libraries keep `ef` as a setting of the whole graph: changed under a
    running search it would change what that search finds. It is also lost
    whenever a graph is loaded, so a new gate knows of none.

    Args:
        apply: Sets the effort of the graph.
    """

    def __init__(self, apply: Callable[[int], object]) -> None:
        self._apply = apply
        self._condition = threading.Condition()
        self._effort: int | None = None
        self._running = 0
        self._waiting = 0

    def enter(self, effort: int) -> None:
        """Waits until the graph has this effort; `leave` must follow."""
        with self._condition:
            # Who comes after one that waits for another effort waits too, or a
            # stream of equal searches would never let the other in.
            while self._running and (self._effort != effort or self._waiting):
                self._waiting += 1
                self._condition.wait()
                self._waiting -= 1
            if self._effort != effort:
                self._apply(effort)
                self._effort = effort
            self._running += 1

    def leave(self) -> None:
        """Ends a search."""
        with self._condition:
            self._running -= 1
            if not self._running:
                self._condition.notify_all()
