"""One example, drawn on an axis."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CHARACTERS_ACROSS = 16
_TEXT_LINES = 9


def is_image(array: np.ndarray) -> bool:
    """Whether an array has the shape and the type of an image."""
    numeric = array.dtype.kind in "biuf"
    return numeric and (array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (1, 3, 4)))


def image_values(array: np.ndarray) -> np.ndarray:
    """An image as matplotlib takes it: `[h, w]`, or colours in [0, 1] or [0, 255]."""
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.ndim == 2 or array.dtype.kind != "f":
        return array
    return np.clip(array / 255 if array.max(initial=0) > 1 else array, 0, 1)


def draw_example(axis: Axes, example: object, cmap: str = "gray") -> None:
    """Draws an image, a vector as a line, or anything else as text."""
    axis.set_xticks([])
    axis.set_yticks([])
    array = np.asarray(example)
    if is_image(array):
        axis.imshow(image_values(array), cmap=cmap)
    elif array.dtype.kind in "biuf" and array.ndim == 1:
        axis.plot(array, linewidth=1)
    else:
        lines = textwrap.wrap(
            str(example), _CHARACTERS_ACROSS, max_lines=_TEXT_LINES, placeholder=" …"
        )
        axis.text(
            0.5,
            0.5,
            "\n".join(lines),
            ha="center",
            va="center",
            fontsize=7,
            transform=axis.transAxes,
            parse_math=False,
        )
