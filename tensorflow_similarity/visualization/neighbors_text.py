"""Texts above their nearest neighbours."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity.targets import TargetsLike
from tensorflow_similarity.visualization.class_names import ClassNames, class_name, shorten
from tensorflow_similarity.visualization.figures import finish, new_figure, verdict
from tensorflow_similarity.visualization.neighbors import checked_rows
from tensorflow_similarity.visualization.payloads import text_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# At 9 points in matplotlib's own font: wide enough for most texts, and wrapped in time.
_INCHES_PER_CHARACTER = 0.073
_INCHES_PER_LINE = 0.185
_INCHES_BETWEEN = 0.14
_NAME_CHARACTERS = 24
_MARGIN = 0.12


@explains_arguments("viz_neighbors_text")
def viz_neighbors_text(
    examples: Sequence[Any] | np.ndarray,
    neighbors: Iterable[Iterable[Any]],
    labels: TargetsLike | None = None,
    class_names: ClassNames = None,
    max_characters: int = 240,
    width: float = 9.0,
    show: bool = True,
) -> Figure:
    """Writes queries and, below each, its neighbours with distance and class.

    The bar before a neighbour tells whether it has the class of the query (green),
    has another (vermilion), or whether that is not known (grey).

    Args:
        examples: The queries' texts. Other values are converted by `str`.
        neighbors: The `Lookup`s of each query: the `Neighbors` that
            `model.lookup(examples)` returns, or a list of lists. Their `data` are
            written: store texts with `model.index(x, y, data=texts)`.
        labels: The queries' class ids or class names, or None if they are not known.
        class_names: Class names: a mapping from ids, or a sequence.
        max_characters: Longer texts end in an ellipsis. Defaults to 240.
        width: Width of the figure in inches; its height is what the texts take.
            Defaults to 9.
        show: Whether to show the figure at once, if matplotlib has a display.
            Defaults to True.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the lengths differ, or a neighbour has no data.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.index import Index
    from tensorflow_similarity.visualization import viz_neighbors_text

    index = Index(embedding_size=2, distance="cosine")
    index.add(np.eye(2), labels=[0, 1], data=["where is my parcel", "close my account"])
    neighbors = index.lookup([[1.0, 0.2]], k=2)
    figure = viz_neighbors_text(["parcel not here yet"], neighbors, [0], show=False)
    ```
    """
    rows, classes = checked_rows(examples, neighbors, labels)
    most = checks.count(max_characters, "max_characters")
    names = [
        "" if hit.label is None else shorten(class_name(hit.label, class_names), _NAME_CHARACTERS)
        for row in rows
        for hit in row
    ]
    text_at = _MARGIN + 0.85 + _INCHES_PER_CHARACTER * (max(map(len, names), default=0) + 1)
    characters = int((width - text_at - _MARGIN) / _INCHES_PER_CHARACTER)
    across = int((width - 2 * _MARGIN) / _INCHES_PER_CHARACTER)
    if characters < 20:
        raise ValueError(
            f"`width` must leave room for the texts, such as 9 inches. Received: {width}."
        )

    def lines(text: Any, columns: int) -> list[str]:
        return textwrap.wrap(shorten(str(text), most), columns) or [""]

    blocks = []
    for i, row in enumerate(rows):
        label = None if classes is None else classes[i]
        of_class = "" if label is None else f"   [{class_name(label, class_names)}]"
        # Bold letters are wider.
        query = lines(shorten(str(examples[i]), most) + of_class, int(across * 0.88))
        blocks.append((query, label, [(hit, lines(text_of(hit.data), characters)) for hit in row]))
    count = sum(len(query) + sum(len(text) for _, text in hits) for query, _, hits in blocks)
    height = 2 * _MARGIN + count * _INCHES_PER_LINE + (len(blocks) - 1) * _INCHES_BETWEEN

    figure = new_figure((width, height), show)
    figure.set_layout_engine("none")
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.set_axis_off()
    names_left = iter(names)
    y = _MARGIN
    for query, label, hits in blocks:
        y = _write(axis, _MARGIN, y, query, fontweight="bold")
        for hit, text in hits:
            color = verdict(hit.label, label)
            end = y + _INCHES_PER_LINE * len(text)
            axis.plot([_MARGIN + 0.06] * 2, [y + 0.02, end - 0.03], color=color, linewidth=3)
            _write(axis, _MARGIN + 0.2, y, [f"{hit.distance:.3g}"])
            _write(axis, _MARGIN + 0.8, y, [next(names_left)], color=color)
            y = _write(axis, text_at, y, text)
        y += _INCHES_BETWEEN
    return finish(figure, show)


def _write(axis: Axes, x: float, y: float, lines: list[str], **how: Any) -> float:
    """Writes lines from y downwards, and returns where the next begins."""
    for line in lines:
        axis.text(x, y, line, fontsize=9, va="top", parse_math=False, **how)
        y += _INCHES_PER_LINE
    return y
