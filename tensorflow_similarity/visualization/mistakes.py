"""The worst mistakes of a lookup."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity.targets import TargetsLike
from tensorflow_similarity.visualization.class_names import ClassNames
from tensorflow_similarity.visualization.drawing import is_image
from tensorflow_similarity.visualization.figures import finish, new_figure
from tensorflow_similarity.visualization.neighbors import viz_neighbors_grid
from tensorflow_similarity.visualization.neighbors_signals import viz_neighbors_signals
from tensorflow_similarity.visualization.neighbors_text import viz_neighbors_text
from tensorflow_similarity.visualization.payloads import drawable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@explains_arguments("worst_mistakes")
def worst_mistakes(
    examples: Sequence[Any] | np.ndarray,
    neighbors: Any,
    labels: TargetsLike,
    class_names: ClassNames = None,
    count: int = 8,
    show: bool = True,
    folder: str | os.PathLike[str] | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draws the queries with the nearest wrong neighbours.

    The nearer a wrong neighbour, the less a threshold helps, so look at these examples
    first. Often they are mislabelled.

    Args:
        examples: The queries: images, signals or texts.
        neighbors: The `Neighbors` that `model.lookup(examples)` returns, of records
            that were stored with `data=`.
        labels: The queries' class ids or class names, `[queries]`.
        class_names: Class names: a mapping from ids, or a sequence. A whole number is
            taken for `count`, which was the fourth argument.
        count: Maximum number of queries drawn. Defaults to 8.
        show: Whether to show the figure at once, if matplotlib has a display.
            Defaults to True.
        folder: The folder of relative image paths. Defaults to None: the working directory.

    Returns:
        The matplotlib figure, and the positions of *all* mistakes among the
        queries, int64, the worst first.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If lengths differ, or a neighbour has no data.
        TypeError: If `labels` are not class ids or class names.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.index import Index
    from tensorflow_similarity.visualization import worst_mistakes

    images = np.random.default_rng(0).random((20, 8, 8))
    labels = np.arange(20) % 2
    index = Index(embedding_size=64, distance="cosine")
    index.add(images[:10].reshape(10, 64), labels=labels[:10], data=images[:10])
    neighbors = index.lookup(images[10:].reshape(10, 64), k=3)
    figure, wrong = worst_mistakes(images[10:], neighbors, labels[10:], count=2, show=False)
    ```
    """
    if isinstance(class_names, (int, np.integer)):
        class_names, count = None, int(class_names)
    classes = targets.get(labels, "labels", len(examples))
    truth = targets.shown_labels(classes)
    checks.count(count, "count")
    if len(neighbors.labels) != len(truth):
        raise ValueError(
            "`neighbors` must hold the lookups of each of the `examples`. "
            f"Received: {len(truth)} examples and {len(neighbors.labels)} rows of lookups."
        )
    right, known, _ = targets.lookup_labels(neighbors.labels, classes, "neighbors.labels")
    (wrong,) = np.nonzero(known[:, 0] & ~right[:, 0])
    distances = np.asarray(neighbors.distances)[wrong, 0]
    wrong = wrong[np.argsort(distances, kind="stable")]
    if not len(wrong):
        figure = new_figure((5, 1), show)
        figure.text(0.5, 0.5, f"No mistakes in {len(truth):,} queries.", ha="center", va="center")
        return finish(figure, show), wrong
    worst = wrong[:count]
    drawn = [drawable(examples[i], folder) for i in worst]
    draw = _drawer(drawn[0])
    options = {"folder": folder} if draw is viz_neighbors_grid else {}
    found = [neighbors[int(i)] for i in worst]
    figure = draw(drawn, found, truth[worst], class_names, show=show, **options)
    return figure, wrong


def _drawer(example: object) -> Callable[..., Figure]:
    array = np.asarray(example)
    if is_image(array):
        return viz_neighbors_grid
    return viz_neighbors_signals if array.dtype.kind in "biuf" else viz_neighbors_text
