"""How the benchmarks of searching take time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def seconds(function: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def in_turn(functions: dict[str, Callable[[], Any]], times: int) -> dict[str, float]:
    """The median seconds of each, run one after the other, again and again."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(times):
        for name, function in functions.items():
            taken[name].append(seconds(function))
    return {name: statistics.median(values) for name, values in taken.items()}
