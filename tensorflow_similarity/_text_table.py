"""Plain-text tables, for the reprs of results."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["text_table"]

_MOST_DECIMALS = 8
# What float32 makes of a 1 that was computed.
_ROUNDING = 1e-6


def text_table(
    header: Sequence[str], rows: Sequence[Sequence[object]], decimals: int = 4, significant: int = 2
) -> str:
    """Aligns rows under a header: the first column to the left, the others to the right.

    All numbers of a column have as many decimals, so that they can be compared at a glance: at
    least `decimals`, and as many more as the smallest takes to show `significant` digits.
    A threshold of 0.00783 is never written as 0.01, nor a precision of 0.99996 as 1.

    Args:
        header: Column titles.
        rows: Cells; None is written as `-`.
        decimals: Decimals of floats, at least.
        significant: Significant digits of floats, at least. Numbers too small for eight decimals
            are written with an exponent.
    """
    columns = [_column([row[i] for row in rows], decimals, significant) for i in range(len(header))]
    cells = [list(header), *(list(row) for row in zip(*columns, strict=True))]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _column(values: Sequence[object], decimals: int, significant: int) -> list[str]:
    numbers = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value)]
    wanted = [_decimals(number, significant) for number in numbers]
    most = max([decimals, *(count for count in wanted if count <= _MOST_DECIMALS)])

    def cell(value: object) -> str:
        if value is None:
            return "-"
        if not isinstance(value, float):
            return str(value)
        if math.isfinite(value) and _decimals(abs(value), significant) > _MOST_DECIMALS:
            return f"{value:.{max(significant - 1, 0)}e}"
        return f"{value:.{most}f}"

    return [cell(value) for value in values]


def _decimals(number: float, significant: int) -> int:
    """How many decimals show so many significant digits, and a number below 1 as such."""
    if number == 0:
        return 0
    count = significant - 1 - math.floor(math.log10(number))
    if number < 1 - _ROUNDING:
        while float(f"{number:.{max(count, 0)}f}") == 1:
            count += 1
    return max(count, 0)
