"""Colours of classes, as distinguishable as their number allows."""

from __future__ import annotations

import colorsys

# Okabe and Ito's, but for black and yellow, which do not show on every ground.
_FEW = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A8A8A")
# Up to ten: those of Tableau, told apart by name ("the brown one").
_TEN = (
    "#1f77b4",
    "#ff7f0e",
    "#2ca02c",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#17becf",
)
_LIGHTNESS = (0.45, 0.65, 0.55)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def class_colors(count: int) -> list[str]:
    """Hex colours of `count` classes, readable on light and on dark grounds.

    Up to seven can also be distinguished by colour-blind readers. Beyond ten, hues go round
    the colour circle with alternating lightness, so that neighbouring hues differ in
    lightness too.
    """
    if count <= len(_FEW):
        return list(_FEW[:count])
    if count <= len(_TEN):
        return list(_TEN[:count])
    colors = []
    for i in range(count):
        lightness = _LIGHTNESS[i % len(_LIGHTNESS)]
        red, green, blue = colorsys.hls_to_rgb(i / count, lightness, 0.75)
        colors.append(f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}")
    return colors


def class_markers(count: int) -> list[str]:
    """The markers of `count` classes: dots, unless there are too many for colours alone."""
    if count <= 10:
        return ["o"] * count
    return [_MARKERS[i % len(_MARKERS)] for i in range(count)]
