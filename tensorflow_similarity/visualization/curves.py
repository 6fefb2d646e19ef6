"""Training curves: losses and metrics over epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity.visualization.class_names import shorten
from tensorflow_similarity.visualization.figures import OTHER, finish, give_title, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3
_LEAST_SPAN = 0.2
_TRAINING = "#0072B2"
_VALIDATION = "#E69F00"


def training_curves(
    history: Any,
    metrics: Sequence[str] | None = None,
    title: str = "Training",
    show: bool = True,
) -> Figure:
    """Draws the history of `fit`, with one plot per loss or metric.

    `loss` and `val_loss`, and so on, share a plot. An epoch whose value is NaN
    or infinite is marked, and breaks the line.

    Args:
        history: The result of `model.fit`, or its `history`: a mapping from names to one
            number per epoch.
        metrics: The losses and metrics to draw, without `val_`. Defaults to None: all.
        title: Title of the figure. Defaults to `"Training"`.
        show: Whether to show the figure at once, if matplotlib has a display.
            Defaults to True.

    Returns:
        The matplotlib figure.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If `history` neither is nor has a mapping.
        ValueError: If it is empty, or has none of the `metrics`.

    Example:

    ```python
    from tensorflow_similarity.visualization import training_curves

    history = {"loss": [0.9, 0.5, 0.4], "val_loss": [0.9, 0.6, 0.6]}
    figure = training_curves(history, show=False)
    ```
    """
    values = getattr(history, "history", history)
    if not isinstance(values, Mapping):
        raise TypeError(
            "`history` must be what `model.fit` returns, or a mapping from names to lists. "
            f"Received: {type(history).__name__}."
        )
    names = list(dict.fromkeys(name.removeprefix("val_") for name in values))
    if metrics is not None:
        missing = [name for name in metrics if name not in names]
        if missing:
            raise ValueError(f"`history` has no {missing}. It has: {names}.")
        names = list(metrics)
    if not names:
        raise ValueError("`history` must hold at least one loss or metric. Received: none.")

    columns = min(_COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    figure = new_figure((max(5, 4 * columns), 0.4 + 2.8 * rows), show)
    give_title(figure, title)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    epochs = max(len(series) for series in values.values())
    for axis, name in zip(axes, names, strict=False):
        curves = (("training", name, _TRAINING), ("validation", f"val_{name}", _VALIDATION))
        for kind, key, color in curves:
            if key not in values:
                continue
            series = np.asarray(values[key], float)
            x = _epochs(len(series), epochs)
            finite = np.isfinite(series)
            # A line of one point is invisible.
            marker = "o" if len(series) < 20 else None
            axis.plot(
                x,
                np.where(finite, series, np.nan),
                color=color,
                marker=marker,
                markersize=3,
                label=kind,
            )
            for position in x[~finite]:
                axis.axvline(position, color=OTHER, linewidth=1, linestyle=":")
            if not finite.all():
                axis.plot([], [], color=OTHER, linestyle=":", label=f"{kind}: not finite")
        axis.set_title(shorten(name, 40), fontsize=10, parse_math=False)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.25)
        _widen(axis, [values[key] for _, key, _ in curves if key in values])
        if len(axis.lines) > 1:
            axis.legend(fontsize=8)
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    return finish(figure, show)


def _widen(axis: Axes, series: list[Any]) -> None:
    """Makes an axis span at least a fifth of the largest value, so as not to magnify noise."""
    drawn = np.concatenate([np.asarray(each, float) for each in series])
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return
    low, high = float(drawn.min()), float(drawn.max())
    room = _LEAST_SPAN * max(abs(low), abs(high)) - (high - low)
    if room > 0:
        low, high = low - room / 2, high + room / 2
        axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def _epochs(count: int, epochs: int) -> np.ndarray:
    """The epochs of the values; those recorded every few epochs are at the last of them."""
    every = epochs // count if count and epochs % count == 0 else 1
    return np.arange(1, count + 1) * every
