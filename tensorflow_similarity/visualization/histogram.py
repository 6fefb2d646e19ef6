"""Histograms of the distances of right and wrong neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity.targets import TargetsLike
from tensorflow_similarity.visualization.figures import (
    OTHER,
    SAME,
    cutpoints_of,
    draw_cutpoints,
    finish,
    give_legend,
    give_title,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHARE_IN_RANGE = 0.99
# Bars this many times lower than the others are invisible.
_HIDDEN = 20


@explains_arguments("distance_histogram")
def distance_histogram(
    neighbors: Any,
    labels: TargetsLike,
    cutpoint: Any = None,
    bins: int = 50,
    title: str = "Distance to the neighbours",
    show: bool = True,
    scale: str = "auto",
) -> Figure:
    """Draws histograms of the distances of neighbours with the query's class, and of others.

    The less they overlap, the better a threshold separates them. The farthest 1 % are
    counted in the last bars.

    Args:
        neighbors: A `Neighbors`, as `model.lookup(x)` returns: its `distances` and
            `labels` `[q, k]` are used, without padding and records without a label.
        labels: The queries' class ids or class names, `[q]`.
        cutpoint: A distance to mark; or a mapping from names to distances; or a calibration,
            for all of its cut points, or one of them, `calibration.cutpoints["optimal"]`.
            Defaults to None.
        bins: Number of bars over the range. Defaults to 50.
        title: Title of the figure.
        show: Whether to show the figure at once, if matplotlib has a display.
            Defaults to True.
        scale: Scale of the counts: `"linear"`, `"log"`, or `"auto"`, which is logarithmic if the
            bars of one kind would be too low to be visible. Defaults to `"auto"`.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the lengths differ, no neighbour is left to draw, or there is no such
            scale.
        TypeError: If `labels` are neither class ids nor class names.
    """
    distances = np.asarray(neighbors.distances)
    if scale not in ("auto", "linear", "log"):
        raise ValueError(f"`scale` must be 'auto', 'linear' or 'log'. Received: {scale!r}.")
    marked = cutpoints_of(cutpoint)
    truth = targets.get(labels, "labels", len(distances), kinds=("classes", "multi_hot"))
    same, known, _ = targets.lookup_labels(neighbors.labels, truth, "neighbors.labels")
    drawn = np.isfinite(distances) & known
    if not drawn.any():
        raise ValueError(
            "`neighbors` must hold at least one labelled record. Received: none. "
            "Pass labels when the records are added: model.index(x, y)."
        )
    low, end = distances[drawn].min(), distances[drawn].max()
    # Otherwise a few far neighbours would squeeze all others into the first bars.
    high = np.quantile(distances[drawn], _SHARE_IN_RANGE, method="higher")
    for _, threshold in marked:
        high = max(high, min(threshold, end))
    edges = np.linspace(low, high if high > low else low + 1, checks.count(bins, "bins") + 1)

    figure = new_figure((7, 4), show)
    axis = figure.subplots()
    peaks = []
    for mask, name, color in ((same, "same class", SAME), (~same, "another class", OTHER)):
        values = distances[drawn & mask]
        bars, _, _ = axis.hist(
            np.minimum(values, edges[-1]),
            edges.tolist(),
            alpha=0.6,
            color=color,
            label=f"{name} ({len(values):,})",
        )
        peaks.append(float(np.max(bars)))
    if scale == "log" or (scale == "auto" and 0 < min(peaks) < max(peaks) / _HIDDEN):
        axis.set_yscale("log")
    draw_cutpoints(axis, marked)
    beyond = " (last bars: and beyond)" if end > edges[-1] else ""
    axis.set(xlabel=f"distance{beyond}", ylabel="neighbours")
    give_title(figure, title)
    give_legend(figure, axis)
    return finish(figure, show)
