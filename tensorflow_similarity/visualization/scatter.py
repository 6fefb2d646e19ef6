"""Scatter plots of embeddings."""

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
        class_names: Class names: a mapping from ids, or a sequence.
        method: `"pca"`, `"tsne"`, `"umap"` or a function: see `project`. Defaults to
            `"pca"`.
        title: Title of the plot. Defaults to None: the method.
        axis: A matplotlib axis to draw on, for several plots in one figure. Defaults to
            None: a new figure.
        legend: Whether to list the classes. Defaults to None: in a new figure, if there
            are at most 40.
        show: Whether to show the figure at once, if matplotlib has a display.
            Defaults to True. With `axis`, the caller shows the figure.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib or a package required by the method is not installed.
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
