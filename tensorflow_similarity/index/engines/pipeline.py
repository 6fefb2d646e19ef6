"""Work on several cores, by threads that live no longer than it: a fork loses none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_parallel", "one_ahead"]

_T = TypeVar("_T")
_S = TypeVar("_S")
# Fewer items than this take less time than to start threads.
_FEW = 8
# Asked once: the system reads a file to tell.
_CORES = os.cpu_count() or 1


def in_parallel(function: Callable[[_S], _T], items: Sequence[_S]) -> list[_T]:
    """The function of each item, by as many threads as there are cores if there are many.

    For functions that leave the interpreter to others most of the time.
    """
    if len(items) < _FEW or _CORES == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(_CORES, len(items) // 2), thread_name_prefix="index-rank") as pool:
        return list(pool.map(function, items))


def one_ahead(items: Iterator[_T]) -> Iterator[_T]:
    """The same items, each made by another thread while the one before it is used.

    For steps that leave the interpreter to others: products of matrices run on
    all cores, and what is done with them on one.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="index-scan") as pool:
        upcoming = pool.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = pool.submit(next, items, None)
            yield item
