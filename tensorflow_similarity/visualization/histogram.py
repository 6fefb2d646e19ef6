"""How well distance separates right neighbours from wrong ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity import checks
from tensorflow_similarity.visualization.figures import NEUTRAL, OTHER, SAME, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def distance_histogram(
    neighbors: Any,
    query_labels: Any,
    cutpoint: float | None = None,
    bins: int = 50,
    title: str = "Distance to the neighbours",
    show: bool = True,
) -> Figure:
    """Draws the distances of neighbours with the query's class, and of the others.

    The less the two overlap, the better one threshold tells them apart.

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
        TypeError: If `query_labels` are not integer class ids.
    """
    distances = np.asarray(neighbors.distances)
    labels = np.asarray(neighbors.labels)
    truth = checks.class_ids(query_labels, "query_labels", length=len(distances))
    # −1 stands for padding and for records without a label.
    drawn = np.isfinite(distances) & (labels != -1)
    if not drawn.any():
        raise ValueError(
            "`neighbors` must hold at least one labelled record. Received: none. "
            "Pass labels when the records are added: model.index(x, y)."
        )
    same = labels == truth[:, None]
    edges = np.linspace(0, 1, checks.count(bins, "bins") + 1)
    low, high = distances[drawn].min(), distances[drawn].max()
    edges = low + edges * (high - low if high > low else 1)

    figure = new_figure((7, 4), show)
    axis = figure.subplots()
    for mask, name, color in ((same, "same class", SAME), (~same, "another class", OTHER)):
        values = distances[drawn & mask]
        axis.hist(values, edges, alpha=0.6, color=color, label=f"{name} ({len(values):,})")
    if cutpoint is not None:
        axis.axvline(cutpoint, color=NEUTRAL, linestyle="--", label=f"cut point {cutpoint:.3g}")
    axis.set(title=title, xlabel="distance", ylabel="neighbours")
    axis.legend()
    return finish(figure, show)
