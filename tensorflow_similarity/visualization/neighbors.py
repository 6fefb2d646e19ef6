"""Queries beside their nearest neighbours."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity.visualization.class_names import (
    ClassNames,
    class_labels,
    class_name,
    shorten,
)
from tensorflow_similarity.visualization.drawing import draw_example
from tensorflow_similarity.visualization.figures import finish, frame, new_figure, verdict
from tensorflow_similarity.visualization.payloads import drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES_PER_EXAMPLE = (1.5, 2.0)
_TITLE_CHARACTERS = 17


@explains_arguments("viz_neighbors_imgs")
def viz_neighbors_imgs(
    example: object,
    label: int | str | None,
    neighbors: Iterable[Any],
    class_names: ClassNames = None,
    fig_size: tuple[float, float] | None = None,
    cmap: str = "gray",
    show: bool = True,
    folder: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draws a query and its neighbours in a row, nearest first.

    The frame of a neighbour tells whether it has the class of the query (green), another
    one (vermilion), or whether that is unknown (grey).

    Args:
        example: The query: an image `[h, w]`, `[h, w, 1]`, `[h, w, 3]` or
            `[h, w, 4]`, floats in [0, 1] or integers in [0, 255] where it has
            colours. A path of an image is loaded, another string is written out, a vector
            is drawn as a line.
        label: The query's class id or class name, or None if it is not known.
        neighbors: The `Lookup`s of the query, as in `model.lookup(x)[0]` or
            `model.single_lookup(x)`. Their `data` are drawn, so the payloads must
            have been stored: `model.index(x, y, data=x)`. Images that payloads name, such as
            `"0.jpg"`, `{"path": "0.jpg"}` or `{"file": "0.jpg"}`, are loaded.
        class_names: Class names: a mapping from ids, or a sequence.
            Defaults to None: ids are shown.
        fig_size: Width and height in inches. Defaults to None: as needed
            for the examples.
        cmap: matplotlib's colour map for greyscale images. Defaults to
            `"gray"`.
        show: Whether to show the figure at once, if matplotlib has a display.
            Defaults to True. With False nothing is shown, and the figure is not
            kept by pyplot.
        folder: The folder of relative image paths. Defaults to None: the working directory.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If a neighbour has no data.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.index import Index
    from tensorflow_similarity.visualization import viz_neighbors_imgs

    images = np.random.default_rng(0).random((10, 8, 8))
    index = Index(embedding_size=64, distance="cosine")
    index.add(images.reshape(10, 64), labels=np.arange(10) % 2, data=images)
    neighbors = index.lookup(images[:1].reshape(1, 64), k=4)
    figure = viz_neighbors_imgs(images[0], 0, neighbors[0], show=False)
    figure.savefig("neighbors.png")
    ```
    """
    return viz_neighbors_grid(
        [example],
        [list(neighbors)],
        None if label is None else [label],
        class_names=class_names,
        fig_size=fig_size,
        cmap=cmap,
        show=show,
        folder=folder,
    )


@explains_arguments("viz_neighbors_grid")
def viz_neighbors_grid(
    examples: Sequence[Any] | np.ndarray,
    neighbors: Iterable[Iterable[Any]],
    labels: Any = None,
    class_names: ClassNames = None,
    fig_size: tuple[float, float] | None = None,
    cmap: str = "gray",
    show: bool = True,
    folder: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draws several queries, one per row, each with its neighbours.

    Args:
        examples: The queries, as `viz_neighbors_imgs` takes them.
        neighbors: The `Lookup`s of each query: the `Neighbors` that
            `model.lookup(examples)` returns, or a list of lists.
        labels: The queries' class ids or class names, or None if they are not known.
        class_names: Class names: a mapping from ids, or a sequence.
        fig_size: Width and height in inches. Defaults to None: as needed
            for the examples.
        cmap: matplotlib's colour map for greyscale images. Defaults to
            `"gray"`.
        show: Whether to show the figure at once, if matplotlib has a display.
            Defaults to True.
        folder: The folder of relative image paths. Defaults to None: the working directory.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the lengths differ, or a neighbour has no data.

    Warns:
        UserWarning: If an image named by a payload does not exist.
    """
    return draw_grid(
        [drawable(example, folder) for example in examples],
        [[_with_image(lookup, folder) for lookup in row] for row in neighbors],
        labels,
        class_names,
        lambda axis, example, query, color: draw_example(axis, example, cmap),
        fig_size,
        _INCHES_PER_EXAMPLE,
        show,
    )


def draw_grid(
    examples: Sequence[Any] | np.ndarray,
    neighbors: Iterable[Iterable[Any]],
    labels: Any,
    class_names: ClassNames,
    draw: Callable[[Axes, Any, Any, str | None], None],
    fig_size: tuple[float, float] | None,
    inches: tuple[float, float],
    show: bool,
) -> Figure:
    """Draws rows of examples with `draw(axis, example, query, color)`.

    `query` and `color` are None where the example is the query itself.
    """
    rows, labels = checked_rows(examples, neighbors, labels)
    columns = 1 + max((len(row) for row in rows), default=0)
    width, height = inches
    figure = new_figure(fig_size or (width * columns, height * len(rows)), show)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    characters = int(_TITLE_CHARACTERS * width / _INCHES_PER_EXAMPLE[0])

    def head(name: str, second: str) -> str:
        return f"{shorten(name, characters)}\n{shorten(second, characters)}".rstrip()

    for i, row in enumerate(rows):
        label = None if labels is None else labels[i]
        draw(axes[i, 0], examples[i], None, None)
        name = "" if label is None else class_name(label, class_names)
        axes[i, 0].set_title(head("query", name), fontsize=9, fontweight="bold", parse_math=False)
        for axis, lookup in zip(axes[i, 1:], row, strict=False):
            color = verdict(lookup.label, label)
            draw(axis, lookup.data, examples[i], color)
            frame(axis, color)
            name = "no label" if lookup.label is None else class_name(lookup.label, class_names)
            axis.set_title(
                head(name, f"{lookup.distance:.3g}"), fontsize=9, color=color, parse_math=False
            )
        for axis in axes[i, 1 + len(row) :]:
            axis.set_axis_off()
    return finish(figure, show)


@dataclasses.dataclass(frozen=True)
class _Drawn:
    """The parts of a lookup that are drawn."""

    label: int | str | None
    distance: float
    data: object


def _with_image(lookup: Any, folder: str | os.PathLike[str] | None) -> _Drawn:
    return _Drawn(lookup.label, lookup.distance, drawable(lookup.data, folder))


def checked_rows(
    examples: Any, neighbors: Iterable[Iterable[Any]], labels: Any
) -> tuple[list[list[Any]], list[Any] | None]:
    """The lookups of each query, checked to have data to draw, and the queries' classes."""
    rows = [list(row) for row in neighbors]
    if len(rows) != len(examples) or not rows:
        raise ValueError(
            "`neighbors` must hold the lookups of each of the `examples`, at least of one. "
            f"Received: {len(examples)} examples and {len(rows)} rows of lookups."
        )
    if labels is not None and len(labels) != len(rows):
        raise ValueError(
            "`labels` must hold one class id per example. "
            f"Received: {len(labels)} for {len(rows)} examples."
        )
    if any(lookup.data is None for row in rows for lookup in row):
        raise ValueError(
            "`neighbors` have no data to draw. "
            "Store them with the records: model.index(x, y, data=x), or index.add(..., data=x)."
        )
    return rows, None if labels is None else class_labels(labels).tolist()
