"""Confusion matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.visualization.class_names import ClassNames, class_name, shorten
from tensorflow_similarity.visualization.figures import finish, give_title, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_CLASSES_WITH_NUMBERS = 20
_MOST_TICKS = 40
_NAME_CHARACTERS = 24


@explains_arguments("confusion_matrix")
def confusion_matrix(
    y_pred: ArrayLike,
    y_true: ArrayLike,
    normalize: bool = True,
    class_names: ClassNames = None,
    title: str = "Confusion matrix",
    cmap: str = "Blues",
    show: bool = True,
) -> tuple[Figure, np.ndarray]:
    """Draws a confusion matrix: true classes in rows, predicted classes in columns.

    Pass the first two arguments by name, since scikit-learn has them in the other order. By
    position they are predicted and true classes, as in TensorFlow Similarity.

    Args:
        y_pred: Predicted class ids, `[n]`, such as `model.match(x)` returns for one cut
            point. The id −1, which `match` returns for no match, gets its own column,
            "no match".
        y_true: True class ids, `[n]`.
        normalize: Whether to divide each row by its sum. Defaults to True.
        class_names: Class names: a mapping from ids, or a sequence. Defaults to
            None: the ids themselves are written.
        title: Title of the figure. Defaults to `"Confusion matrix"`.
        cmap: matplotlib's colour map. Defaults to `"Blues"`.
        show: Whether to show the figure at once, if matplotlib has a display.
            Defaults to True.

    Returns:
        The matplotlib figure, and the matrix it shows: float64 fractions if `normalize`, else
        int64 counts. Rows and columns are the class ids that occur
        in either argument, in increasing order; "no match" has no row unless it is
        also a true id.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the arguments are empty or their lengths differ.
        TypeError: If they are neither class ids nor names.

    Example:

    ```python
    from tensorflow_similarity.visualization import confusion_matrix

    figure, matrix = confusion_matrix(
        y_true=[0, 1, 0, 1], y_pred=[0, 1, 1, -1], show=False
    )
    ```
    """
    normalize, cmap = checks.flag(normalize, "normalize"), checks.text(cmap, "cmap")
    classes = targets.get(y_true, "y_true", ignore_class=-1)
    given = targets.get(y_pred, "y_pred", len(classes), ignore_class=-1)
    classes, given = targets.align(classes, given, ("y_true", "y_pred"))
    truth, answers = classes.ids, given.ids
    if not len(truth):
        raise ValueError("`y_true` must hold at least one class id. Received: none.")
    columns, positions = np.unique(np.concatenate([truth, answers]), return_inverse=True)
    counts = np.zeros((len(columns), len(columns)), np.int64)
    np.add.at(counts, (positions[: len(truth)], positions[len(truth) :]), 1)
    shown = ["none" if i is None else i for i in classes.decode(columns).tolist()]
    names = [shorten(class_name(i, class_names), _NAME_CHARACTERS) for i in shown]
    row_names = names
    if columns[0] == -1 and -1 not in truth:
        counts, row_names = counts[1:], names[1:]
        names = ["no match", *names[1:]]
    matrix = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) if normalize else counts

    side = float(np.clip(1.5 + 0.45 * len(columns), 4, 14))
    figure = new_figure((side + 1, side), show)
    axis = figure.subplots()
    image = axis.imshow(matrix, cmap=cmap, vmin=0, vmax=1 if normalize else None)
    figure.colorbar(image, ax=axis, shrink=0.8)
    step = -(-len(columns) // _MOST_TICKS)
    tilt = 45 if max(map(len, names)) > 3 else 0
    alignment = "right" if tilt else "center"
    axis.set_xticks(
        range(0, len(names), step),
        names[::step],
        rotation=tilt,
        ha=alignment,
        rotation_mode="anchor" if tilt else None,
        parse_math=False,
    )
    axis.set_yticks(range(0, len(row_names), step), row_names[::step], parse_math=False)
    axis.tick_params(labelsize=8)
    axis.set(xlabel="answered", ylabel="true")
    give_title(figure, title)
    if len(columns) <= _MOST_CLASSES_WITH_NUMBERS:
        middle = matrix.max() / 2
        for (row, column), value in np.ndenumerate(matrix):
            if value:
                axis.text(
                    column,
                    row,
                    f"{value:.2f}" if normalize else str(value),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if value > middle else "black",
                )
    return finish(figure, show), matrix
