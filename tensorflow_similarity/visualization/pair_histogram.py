"""Histograms of the distances of same-class and different-class pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances, targets
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.evaluation.pairs import labelled_pairs, paired_distances
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


def pair_histogram(
    embeddings: ArrayLike,
    labels: TargetsLike,
    distance: DistanceLike = "cosine",
    cutpoint: Any = None,
    bins: int = 60,
    max_pairs: int = 200_000,
    seed: int = 0,
    title: str = "Distances of pairs",
    show: bool = True,
) -> Figure:
    """Draws histograms of the distances of same-class pairs and of different-class pairs.

    Both histograms have area 1, since there are many more different-class pairs. With a cut
    point, the legend shows the fraction of each kind that it accepts: the true and false
    accept rates.

    `distance_histogram` shows the neighbours found by a lookup; this one shows all pairs.

    Args:
        embeddings: `[n, dim]`.
        labels: Class ids or names, `[n]`; None where the class is unknown.
        distance: A name, an object or a function: see `distances.get`. Defaults to
            `"cosine"`.
        cutpoint: A distance to mark: pairs at or below it count as the same. Or a mapping
            from names to distances, or a calibration, or one of its cut points, as
            `distance_histogram` takes them. Defaults to None.
        bins: Number of bars over the range. Defaults to 60.
        max_pairs: If there are more pairs than this, at most this many of either kind are
            sampled at random. Defaults to 200,000.
        seed: Seed of that draw. Defaults to 0.
        title: Title of the figure.
        show: Whether to show the figure at once, if matplotlib has a display.
            Defaults to True.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If lengths differ, or there are no pairs of one of the kinds.
        TypeError: If `labels` are neither class ids nor names.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.visualization import pair_histogram

    labels = np.arange(60) % 3
    embeddings = np.eye(3)[labels] + 0.3 * np.random.default_rng(0).normal(size=(60, 3))
    figure = pair_histogram(embeddings, labels, cutpoint=0.3, show=False)
    ```
    """
    resolved = distances.get(distance)
    x = checks.embeddings(embeddings)
    classes = targets.get(labels, "labels", len(x))
    x, ids = x[classes.known], classes.ids[classes.known]
    checks.count(bins, "bins")
    a, b, same = labelled_pairs(ids, checks.count(max_pairs, "max_pairs"), checks.rng(seed))
    values = paired_distances(resolved, x, a, b)
    low, high = float(values.min()), float(values.max())
    marked = cutpoints_of(cutpoint)
    for _, threshold in marked:
        low, high = min(low, threshold), max(high, threshold)
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)

    figure = new_figure((7, 4), show)
    axis = figure.subplots()
    for mask, name, color in ((same, "one class", SAME), (~same, "two classes", OTHER)):
        label = f"{name} ({mask.sum():,} pairs)"
        if marked:
            accepted = [f"{(values[mask] <= threshold).mean():.1%}" for _, threshold in marked]
            label += f": {', '.join(accepted)} accepted"
        axis.hist(values[mask], edges.tolist(), density=True, alpha=0.6, color=color, label=label)
    draw_cutpoints(axis, marked)
    axis.set(xlabel="distance", ylabel="share of its kind")
    axis.set_yticks([])
    give_title(figure, title)
    give_legend(figure, axis)
    return finish(figure, show)
