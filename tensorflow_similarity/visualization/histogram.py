"""How well distance separates right neighbours from wrong ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity.visualization.figures import NEUTRAL, OTHER, SAME, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHARE_IN_RANGE = 0.99


def distance_histogram(
    neighbors: Any,
    query_labels: Any,
    cutpoint: float | None = None,
    bins: int = 50,
    title: str = "Distance to the neighbours",
    show: bool = True,
) -> Figure:
    """Draws the distances of neighbours with the query's class, and of the others.

    The less the two overlap, the better one threshold tells them apart. The
    farthest hundredth is counted in the last bars.

    Args:
        neighbors: A `Neighbors`, as `model.lookup(x)` returns: its `distances` and
            `labels` `[q, k]` are drawn, padding and records without a label left out.
        query_labels: The queries' class ids, `[q]`.
        cutpoint: A distance to mark, such as the threshold of a calibrated cut
            point. Defaults to None.
        bins: Number of bars over the range. Defaults to 50.
        title: Title of the figure.
        show: Whether to show the figure at once, where matplotlib has a screen.
            Defaults to True.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the lengths differ, or no neighbour is left to draw.
        TypeError: If `query_labels` are neither class ids nor names.
    """
    distances = np.asarray(neighbors.distances)
    same, known, _ = targets.lookup_labels(neighbors.labels, query_labels, "neighbors.labels")
    drawn = np.isfinite(distances) & known
    if not drawn.any():
        raise ValueError(
            "`neighbors` must hold at least one labelled record. Received: none. "
            "Pass labels when the records are added: model.index(x, y)."
        )
    low, end = distances[drawn].min(), distances[drawn].max()
    # A few far neighbours would squeeze all others into the first bars.
    high = np.quantile(distances[drawn], _SHARE_IN_RANGE, method="higher")
    if cutpoint is not None:
        high = max(high, min(cutpoint, end))
    edges = np.linspace(low, high if high > low else low + 1, checks.count(bins, "bins") + 1)

    figure = new_figure((7, 4), show)
    axis = figure.subplots()
    for mask, name, color in ((same, "same class", SAME), (~same, "another class", OTHER)):
        values = distances[drawn & mask]
        axis.hist(
            np.minimum(values, edges[-1]),
            edges.tolist(),
            alpha=0.6,
            color=color,
            label=f"{name} ({len(values):,})",
        )
    if cutpoint is not None:
        axis.axvline(cutpoint, color=NEUTRAL, linestyle="--", label=f"cut point {cutpoint:.3g}")
    beyond = " (last bars: and beyond)" if end > edges[-1] else ""
    axis.set(title=title, xlabel=f"distance{beyond}", ylabel="neighbours")
    axis.legend()
    return finish(figure, show)
