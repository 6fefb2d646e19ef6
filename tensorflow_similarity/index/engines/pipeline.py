"""Overlaps two steps of work."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["one_ahead"]

_T = TypeVar("_T")


def one_ahead(items: Iterator[_T]) -> Iterator[_T]:
    """Yields the same items; each is computed in a thread while the previous one is used.

    For steps that leave the interpreter to others: products of matrices run on
    all cores, and what is done with them on one.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="index-scan") as pool:
        upcoming = pool.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = pool.submit(next, items, None)
            yield item
