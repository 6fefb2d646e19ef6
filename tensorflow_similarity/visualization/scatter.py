"""Embeddings as points in a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.targets import TargetsLike
from tensorflow_similarity.visualization.class_names import ClassNames, classes_in, shorten
from tensorflow_similarity.visualization.colors import class_colors, class_markers
from tensorflow_similarity.visualization.figures import finish, new_figure
from tensorflow_similarity.visualization.projection import Method, project

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_IN_LEGEND = 40
_LEGEND_ROWS = 20


@explains_arguments("viz_embeddings")
def viz_embeddings(
    embeddings: ArrayLike,
    labels: TargetsLike,
    class_names: ClassNames = None,
    method: Method = "pca",
    title: str | None = None,
    axis: Axes | None = None,
    legend: bool | None = None,
    show: bool = True,
) -> Figure:
    """Draws embeddings as points in the plane, coloured by class.

    Args:
        embeddings: `[n, dim]`.
        labels: Class ids or names, `[n]`; None where the class is unknown.
        class_names: Class names, as a mapping from ids or as a sequence.
        method: `"pca"`, `"tsne"`, `"umap"` or a function: see `project`. Defaults to
            `"pca"`.
        title: Title of the plot. Defaults to None: the method.
        axis: matplotlib's axis to draw on, to put several plots into one figure.
            Defaults to None: a figure of its own.
        legend: Whether to list the classes. Defaults to None: up to 40 of them, in a
            figure of its own.
        show: Whether to show the figure at once, where matplotlib has a screen.
            Defaults to True. A figure whose `axis` was given is left to its owner.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib, or what the method needs, is not installed.
        ValueError: If lengths differ or the method is unknown.
        TypeError: If `labels` are neither class ids nor class names.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.visualization import viz_embeddings

    labels = np.arange(60) % 3
    embeddings = np.eye(3)[labels] + 0.3 * np.random.default_rng(0).normal(size=(60, 3))
    figure = viz_embeddings(embeddings, labels, ["cat", "dog", "owl"], show=False)
    ```
    """
    points = project(embeddings, method)
    if axis is not None and not hasattr(axis, "scatter"):
        raise TypeError(f"`axis` must be axes of matplotlib. Received: {axis!r}.")
    if legend is not None:
        legend = checks.flag(legend, "legend")
    classes, places = classes_in(labels, "labels", len(points), class_names)
    own = axis is None
    listed = (own and len(classes) <= _MOST_IN_LEGEND) if legend is None else legend
    if axis is None:
        columns = -(-len(classes) // _LEGEND_ROWS) if listed else 0
        figure: Any = new_figure((5.5 + 1.3 * columns, 5.0), show)
        axis = figure.subplots()
    else:
        figure = axis.figure
    size = float(np.clip(15_000 / max(len(points), 1), 6, 30))
    styles = zip(classes, class_colors(len(classes)), class_markers(len(classes)), strict=True)
    for place, (label, color, marker) in enumerate(styles):
        x, y = points[places == place].T
        name = shorten(label, 16)
        axis.scatter(x, y, s=size, color=color, marker=marker, alpha=0.7, linewidths=0, label=name)
    low, high = points.min(axis=0), points.max(axis=0)
    half = 0.53 * (float((high - low).max()) or 1.0)
    middle = (low + high) / 2
    axis.set(xlim=middle[0] + [-half, half], ylim=middle[1] + [-half, half])
    axis.set_aspect("equal")
    axis.set_xticks([])
    axis.set_yticks([])
    named = method if isinstance(method, str) else getattr(method, "__name__", "projection")
    axis.set_title(named if title is None else title, fontsize=10, parse_math=False)
    if listed:
        entries = axis.legend(
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            fontsize=8,
            frameon=False,
            markerscale=max(1.0, (20 / size) ** 0.5),
            ncols=-(-len(classes) // _LEGEND_ROWS),
        )
        for handle in filter(None, entries.legend_handles):
            handle.set_alpha(1)
    return finish(figure, show) if own else figure
