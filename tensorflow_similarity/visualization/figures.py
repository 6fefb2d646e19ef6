"""Making and showing matplotlib figures."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._extras import missing
from tensorflow_similarity._types import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's, told apart by colour-blind readers and on light and dark grounds.
SAME = "#009E73"
OTHER = "#D55E00"
NEUTRAL = "#8a8a8a"

# At the sizes of titles and legends, in matplotlib's own font.
_INCHES_PER_TITLE_CHARACTER = 0.1
_INCHES_PER_LEGEND_CHARACTER = 0.09

_DRAWS_TO_FILES = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}


def new_figure(size: tuple[float, float], show: bool) -> Figure:
    """Makes a figure of `size` inches.

    Only figures to be shown are registered with pyplot, which keeps all its figures alive.
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
    """Shows the figure if matplotlib has a display, and returns it."""
    if show:
        from matplotlib import pyplot as plt

        if plt.get_backend().lower() not in _DRAWS_TO_FILES:
            plt.show()
    return figure


def give_title(figure: Figure, title: str | None) -> None:
    """Writes a title over the full width of a figure, wrapped to several lines if needed.

    None and an empty string mean no title.

    Raises:
        TypeError: If the title is not a string.
    """
    if title is None or not checks.text(title, "title"):
        return
    across = max(int(figure.get_figwidth() / _INCHES_PER_TITLE_CHARACTER), 8)
    lines = [line for part in title.split("\n") for line in textwrap.wrap(part, across) or [""]]
    figure.suptitle("\n".join(lines), fontsize=12, parse_math=False)


def give_legend(figure: Figure, axis: Axes) -> None:
    """Puts the legend below the axis, where it covers nothing."""
    labels = axis.get_legend_handles_labels()[1]
    longest = max(map(len, labels), default=0)
    fitting = int(figure.get_figwidth() / (_INCHES_PER_LEGEND_CHARACTER * (longest + 6)))
    columns = max(1, min(len(labels), fitting))
    below = -0.6 / figure.get_figheight()  # of the ticks and their label
    axis.legend(
        loc="upper center", bbox_to_anchor=(0.5, below), ncols=columns, frameon=False, fontsize=9
    )


def cutpoints_of(given: object) -> list[tuple[str, float]]:
    """Names and distances of cut points.

    Args:
        given: None, a distance, a mapping from names to distances, a cut point of a
            calibration (`calibration.cutpoints["strict"]`), or a calibration, for all of its.
    """
    if given is None:
        return []
    found = getattr(given, "cutpoints", given)
    if isinstance(found, Mapping) and "distance" in found and "name" in found:
        found = {found["name"]: found}
    if not isinstance(found, Mapping):
        if isinstance(found, (bool, str)) or not np.isscalar(found):
            raise TypeError(
                "`cutpoint` must be a distance, a mapping from names to distances, or a "
                f"calibration. Received: {given!r}."
            )
        return [("cut point", float(found))]  # type: ignore[arg-type]
    return [
        (str(name), float(point["distance"] if isinstance(point, Mapping) else point))
        for name, point in found.items()
    ]


def draw_cutpoints(axis: Axes, cutpoints: list[tuple[str, float]]) -> None:
    """Marks cut points by labelled lines."""
    styles = itertools.cycle(["--", ":", "-.", (0, (1, 3))])
    for (name, distance), style in zip(cutpoints, styles, strict=False):
        label = f"{name} {distance:.3g}"
        axis.axvline(distance, color=NEUTRAL, linestyle=style, linewidth=1.8, label=label)


def frame(axis: Axes, color: str) -> None:
    """Draws a thick frame of that colour around an axis."""
    for spine in axis.spines.values():
        spine.set(edgecolor=color, linewidth=2.5)


def verdict(label: ArrayLike, query_label: Any) -> str:
    """The colour of a neighbour: same class as the query, another class, or unknown."""
    if label is None or query_label is None:
        return NEUTRAL
    theirs, own = (
        set(each) if isinstance(each, tuple | set | frozenset) else {each}
        for each in (label, query_label)
    )
    return SAME if theirs & own else OTHER
