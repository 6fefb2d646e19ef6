"""Making and showing matplotlib figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tensorflow_similarity._extras import missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's, told apart by colour-blind readers and on light and dark grounds.
SAME = "#009E73"
OTHER = "#D55E00"
NEUTRAL = "#8a8a8a"

_DRAWS_TO_FILES = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}


def new_figure(size: tuple[float, float], show: bool) -> Figure:
    """Makes a figure of `size` inches.

    Only a figure that will be shown is handed to pyplot, which keeps every
    figure it knows alive.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing("Drawing", "matplotlib", "viz") from error
    if not show:
        return Figure(figsize=size, layout="constrained")
    from matplotlib import pyplot as plt

    return plt.figure(figsize=size, layout="constrained")


def finish(figure: Figure, show: bool) -> Figure:
    """Shows the figure where matplotlib has a screen, and returns it."""
    if show:
        from matplotlib import pyplot as plt

        if plt.get_backend().lower() not in _DRAWS_TO_FILES:
            plt.show()
    return figure


def frame(axis: Axes, color: str) -> None:
    """Gives an axis a strong frame of that colour."""
    for spine in axis.spines.values():
        spine.set(edgecolor=color, linewidth=2.5)


def verdict(label: int | None, query_label: int | None) -> str:
    """The colour of a neighbour: its class is the query's, another, or one is not known."""
    if label is None or query_label is None:
        return NEUTRAL
    return SAME if label == query_label else OTHER
