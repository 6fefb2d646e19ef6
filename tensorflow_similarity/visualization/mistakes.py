"""The queries that are wrong most surely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity.visualization.class_names import ClassNames
from tensorflow_similarity.visualization.drawing import is_image
from tensorflow_similarity.visualization.figures import finish, new_figure
from tensorflow_similarity.visualization.neighbors import viz_neighbors_grid
from tensorflow_similarity.visualization.neighbors_signals import viz_neighbors_signals
from tensorflow_similarity.visualization.neighbors_text import viz_neighbors_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def worst_mistakes(
    examples: Sequence[Any] | np.ndarray,
    neighbors: Any,
    example_classes: Any,
    count: int = 8,
    class_mapping: ClassNames = None,
    show: bool = True,
) -> tuple[Figure, np.ndarray]:
    """Draws the queries whose nearest neighbour is wrong, and nearest.

    The nearer a wrong neighbour is, the less a threshold helps: these are the
    examples to look at first. Often they are labelled wrongly.

    Args:
        examples: The queries: images, signals or texts.
        neighbors: The `Neighbors` that `model.lookup(examples)` returns, of records
            that were stored with `data=`.
        example_classes: The queries' class ids, `[queries]`.
        count: How many are drawn at most. Defaults to 8.
        class_mapping: Class names, as a mapping from ids or as a sequence.
        show: Whether to show the figure at once, where matplotlib has a screen.
            Defaults to True.

    Returns:
        The matplotlib figure, and the positions of *all* mistakes among the
        queries, int64, the worst first.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If lengths differ, or a neighbour has no data.
        TypeError: If `example_classes` are not integer class ids.

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
    classes = targets.get(example_classes, "example_classes", len(examples))
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
    drawn = [examples[i] for i in worst]
    draw = _drawer(drawn[0])
    figure = draw(
        drawn,
        [neighbors[int(i)] for i in worst],
        truth[worst],
        class_mapping=class_mapping,
        show=show,
    )
    return figure, wrong


def _drawer(example: Any) -> Callable[..., Figure]:
    array = np.asarray(example)
    if is_image(array):
        return viz_neighbors_grid
    return viz_neighbors_signals if array.dtype.kind in "biuf" else viz_neighbors_text
