"""Signals beside their nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity.targets import TargetsLike
from tensorflow_similarity.visualization.class_names import ClassNames
from tensorflow_similarity.visualization.figures import NEUTRAL
from tensorflow_similarity.visualization.neighbors import draw_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES_PER_SIGNAL = (2.2, 1.5)


@explains_arguments("viz_neighbors_signals")
def viz_neighbors_signals(
    examples: Sequence[Any] | np.ndarray,
    neighbors: Iterable[Iterable[Any]],
    labels: TargetsLike | None = None,
    class_names: ClassNames = None,
    fig_size: tuple[float, float] | None = None,
    show: bool = True,
) -> Figure:
    """Draws several signals, one per row, each with its neighbours.

    The query is drawn in grey behind each neighbour, on a common scale per row, to show
    the differences.

    Args:
        examples: The queries: numbers `[queries, time]`, or `[queries, time,
            channels]`, whose channels are drawn as lines of one plot.
        neighbors: The `Lookup`s of each query: the `Neighbors` that
            `model.lookup(examples)` returns, or a list of lists. Their `data` are
            drawn: store signals with `model.index(x, y, data=x)`.
        labels: The queries' class ids or class names, or None if they are not known.
        class_names: Class names: a mapping from ids, or a sequence.
        fig_size: Width and height in inches. Defaults to None: as many as the
            signals take.
        show: Whether to show the figure at once, if matplotlib has a display.
            Defaults to True.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the lengths differ, a neighbour has no data, or something is
            not a signal.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.index import Index
    from tensorflow_similarity.visualization import viz_neighbors_signals

    phase = np.linspace(0, 6, 20)
    signals = np.sin(np.linspace(0, 9, 50) + phase[:, None])
    index = Index(embedding_size=50, distance="euclidean")
    index.add(signals, data=signals)
    figure = viz_neighbors_signals(signals[:2], index.lookup(signals[:2], k=3), show=False)
    ```
    """
    queries = [_signal(example) for example in examples]
    rows = [list(row) for row in neighbors]
    limits = {
        id(query): _limits([query, *(_signal(hit.data) for hit in row if hit.data is not None)])
        for query, row in zip(queries, rows, strict=False)
    }

    def draw(axis: Axes, example: Any, query: Any, color: str | None) -> None:
        axis.set_xticks([])
        axis.set_yticks([])
        if query is None:
            axis.plot(example, linewidth=1.2)
        else:
            axis.plot(query, linewidth=1, color=NEUTRAL, alpha=0.5)
            axis.plot(_signal(example), linewidth=1.2, color=color)
        axis.set_ylim(limits[id(example if query is None else query)])

    return draw_grid(
        queries,
        rows,
        labels,
        class_names,
        draw,
        fig_size,
        _INCHES_PER_SIGNAL,
        show,
    )


def _signal(example: object) -> np.ndarray:
    signal = np.asarray(example)
    if signal.dtype.kind not in "biuf" or signal.ndim not in (1, 2) or not signal.size:
        raise ValueError(
            "Signals must be numbers `[time]` or `[time, channels]`. "
            f"Received: shape {signal.shape}, dtype {signal.dtype}. For images use "
            "`viz_neighbors_grid`, for texts `viz_neighbors_text`."
        )
    return signal


def _limits(signals: list[np.ndarray]) -> tuple[float, float]:
    low = float(min(np.nanmin(signal) for signal in signals))
    high = float(max(np.nanmax(signal) for signal in signals))
    room = 0.08 * (high - low) or 1.0
    return low - room, high + room
