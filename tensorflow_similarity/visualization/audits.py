"""Plots of the findings of an audit."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity.evaluation import AuditReport
from tensorflow_similarity.visualization.class_names import ClassNames, class_name, shorten
from tensorflow_similarity.visualization.drawing import draw_example, is_image
from tensorflow_similarity.visualization.figures import (
    finish,
    frame,
    give_title,
    new_figure,
    verdict,
)
from tensorflow_similarity.visualization.neighbors_text import viz_neighbors_text
from tensorflow_similarity.visualization.payloads import drawable, text_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["viz_audit"]

_INCHES = (1.5, 2.0)
_CHARACTERS = 17


@dataclasses.dataclass(frozen=True)
class _Row:
    """An example, its caption, and the others beside it, nearest first."""

    position: int
    said: str
    others: np.ndarray
    distances: np.ndarray


def viz_audit(
    report: AuditReport,
    examples: Sequence[Any] | np.ndarray,
    finding: str = "duplicates",
    labels: Any = None,
    reference: Sequence[Any] | np.ndarray | None = None,
    class_names: ClassNames = None,
    count: int = 6,
    others: int = 5,
    cmap: str = "gray",
    show: bool = True,
    folder: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draws the findings of `evaluation.audit`: suspicious examples beside the evidence.

    One row each, the most suspicious first. Near duplicates are grouped in a row; leaks are shown
    beside their copies in the reference, doubtful labels and outliers beside their nearest
    neighbours, hubs beside the nearest examples that have them as a neighbour. Frames tell whether
    an example has the class of the first in its row (green), another one (vermilion), or whether
    that is unknown (grey).

    Args:
        report: The result of `audit`.
        examples: The audited examples `[n]`, in the same order: images, vectors, texts, or
            payloads: paths of images, `{"path": "0.jpg"}`, `{"text": "..."}`.
        finding: `"duplicates"`, `"leaks"`, `"mislabelled"`, `"outliers"` or `"hubs"`.
            Defaults to `"duplicates"`.
        labels: Their class ids or names `[n]`, None where unknown. `"mislabelled"` needs them.
        reference: The examples of the reference. `"leaks"` needs them.
        class_names: Class names: a mapping from ids, or a sequence.
        count: Maximum number of rows. Defaults to 6.
        others: Maximum number of examples beside each. Defaults to 5.
        cmap: matplotlib's colour map for greyscale images. Defaults to `"gray"`.
        show: Whether to show the figure at once, if matplotlib has a display.
            Defaults to True.
        folder: The folder of relative image paths. Defaults to None: the working directory.

    Returns:
        The matplotlib figure. If nothing was found, it says so.

    Raises:
        ImportError: If matplotlib is not installed.
        TypeError: If `report` is not an `AuditReport`.
        ValueError: If lengths differ, there is no such finding, or required labels or a required
            reference are missing.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.evaluation import audit
    from tensorflow_similarity.visualization import viz_audit

    rng = np.random.default_rng(0)
    images = rng.random((40, 8, 8))
    images[7] = images[3]  # a copy
    report = audit(images.reshape(40, 64), distance="euclidean")
    figure = viz_audit(report, images, "duplicates", show=False)
    ```
    """
    if not isinstance(report, AuditReport):
        raise TypeError(
            f"`report` must be what evaluation.audit returns. Received: {type(report).__name__}."
        )
    if finding not in _ROWS:
        raise ValueError(f"`finding` must be one of {list(_ROWS)}. Received: {finding!r}.")
    if len(examples) != report.count:
        raise ValueError(
            f"`examples` must be those that were audited: expected {report.count}. "
            f"Received: {len(examples)}."
        )
    if finding == "mislabelled" and labels is None:
        raise ValueError("`labels` must be given for the finding 'mislabelled'. Received: None.")
    if finding == "leaks" and reference is None:
        raise ValueError("`reference` must be given for the finding 'leaks'. Received: None.")
    shown: list[Any] = [None] * report.count
    if labels is not None:
        known = targets.get(labels, "labels", report.count)
        names = targets.shown_labels(known).tolist()
        shown = [name if there else None for name, there in zip(names, known.known, strict=True)]
    most, beside = checks.count(count, "count"), checks.count(others, "others")
    what, make = _ROWS[finding]
    rows, total = make(report, most, class_names)
    if not rows:
        figure = new_figure((5, 1), show)
        figure.text(0.5, 0.5, f"No {what} in {report.count:,} examples.", ha="center", va="center")
        return finish(figure, show)
    gallery = reference if finding == "leaks" and reference is not None else examples
    theirs = [None] * len(gallery) if finding == "leaks" else shown
    if finding == "leaks" and len(gallery) <= int(max(row.others.max() for row in rows)):
        raise ValueError(
            "`reference` must be the examples that were audited against. "
            f"Received: {len(gallery)}, and a leak from position "
            f"{int(max(row.others.max() for row in rows))}."
        )
    title = f"{what[0].upper()}{what[1:]}: {total:,} in {report.count:,} examples"
    first = [drawable(examples[row.position], folder) for row in rows]
    found = [
        [
            _Other(place, theirs[place], float(distance), drawable(gallery[place], folder))
            for place, distance in zip(
                row.others[:beside].tolist(), row.distances[:beside].tolist(), strict=True
            )
        ]
        for row in rows
    ]
    if not is_image(array := np.asarray(first[0])) and array.dtype.kind not in "biuf":
        lines = [
            f"{row.position}: {text_of(text)} ({row.said})"
            for row, text in zip(rows, first, strict=True)
        ]
        own = [shown[row.position] for row in rows]
        return viz_neighbors_text(lines, found, own, class_names, show=show)
    width, height = _INCHES
    columns = 1 + max(len(row) for row in found)
    figure = new_figure((width * columns, height * len(rows) + 0.4), show)
    give_title(figure, title)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, row in enumerate(rows):
        label = shown[row.position]
        head = _named(row.position, label, class_names)
        draw_example(axes[line, 0], first[line], cmap)
        axes[line, 0].set_title(
            f"{head}\n{row.said}", fontsize=8, fontweight="bold", parse_math=False
        )
        for axis, other in zip(axes[line, 1:], found[line], strict=False):
            color = verdict(other.label, label)
            draw_example(axis, other.data, cmap)
            frame(axis, color)
            head = _named(other.position, other.label, class_names)
            near = f"{other.distance:.3g}" if np.isfinite(other.distance) else "by way of others"
            axis.set_title(f"{head}\n{near}", fontsize=8, color=color, parse_math=False)
        for axis in axes[line, 1 + len(found[line]) :]:
            axis.set_axis_off()
    return finish(figure, show)


@dataclasses.dataclass(frozen=True)
class _Other:
    """An example beside a suspicious one, as a lookup is drawn."""

    position: int
    label: Any
    distance: float
    data: Any


def _named(position: int, label: Any, names: ClassNames) -> str:
    name = "" if label is None else f" {class_name(label, names)}"
    return shorten(f"{position}{name}", _CHARACTERS)


_Made = tuple[list[_Row], int]


def _of_copies(position: int, others: np.ndarray, distances: np.ndarray) -> _Row:
    order = np.argsort(distances, kind="stable")
    said = f"{len(others)} {'copy' if len(others) == 1 else 'copies'}"
    return _Row(position, said, others[order], distances[order])


def _duplicates(report: AuditReport, most: int, names: ClassNames) -> _Made:
    """A row for each group, those of the nearest pairs first; distances are those to its first."""
    first, second, distances = report.duplicates
    group = np.full(report.count, -1)
    group[report.groups.ids] = report.groups.group
    _, start = np.unique(group[first], return_index=True)
    rows = []
    for number in group[first[np.sort(start)]][:most].tolist():
        own = report.groups[number]
        # Connected by way of others: farther than the limit.
        far = dict.fromkeys(own[1:].tolist(), np.inf)
        mine = first == own[0]
        far |= zip(second[mine].tolist(), distances[mine].tolist(), strict=True)
        rows.append(_of_copies(int(own[0]), own[1:], np.array([far[i] for i in own[1:].tolist()])))
    return rows, len(report.groups.duplicates)


def _leaks(report: AuditReport, most: int, names: ClassNames) -> _Made:
    first, second, distances = report.leaks
    _, start = np.unique(first, return_index=True)
    rows = [
        _of_copies(position, second[first == position], distances[first == position])
        for position in first[np.sort(start)][:most].tolist()
    ]
    return rows, len(start)


def _beside_neighbors(report: AuditReport, positions: np.ndarray, said: list[str]) -> list[_Row]:
    near, distances = report.neighbors
    rows = []
    for position, text in zip(positions.tolist(), said, strict=True):
        there = near[position] >= 0
        rows.append(_Row(position, text, near[position][there], distances[position][there]))
    return rows


def _mislabelled(report: AuditReport, most: int, names: ClassNames) -> _Made:
    positions, _, theirs, shares = report.mislabelled
    said = [
        shorten(f"{share:.0%} {class_name(label, names)}", _CHARACTERS)
        for label, share in zip(theirs[:most].tolist(), shares[:most].tolist(), strict=True)
    ]
    return _beside_neighbors(report, positions[:most], said), len(positions)


def _outliers(report: AuditReport, most: int, names: ClassNames) -> _Made:
    positions, ratios = report.outliers
    said = [f"{ratio:.3g} × as far" for ratio in ratios[:most].tolist()]
    return _beside_neighbors(report, positions[:most], said), len(positions)


def _hubs(report: AuditReport, most: int, names: ClassNames) -> _Made:
    positions, counts = report.hubs
    near, distances = report.neighbors
    rows = []
    for position, number in zip(positions[:most].tolist(), counts[:most].tolist(), strict=True):
        owners, places = np.nonzero(near == position)
        order = np.argsort(distances[owners, places], kind="stable")
        said = f"near {number:,}"
        rows.append(_Row(position, said, owners[order], distances[owners, places][order]))
    return rows, len(positions)


# What findings are called, and the rows that show them.
_ROWS: dict[str, tuple[str, Callable[[AuditReport, int, ClassNames], _Made]]] = {
    "duplicates": ("near duplicates", _duplicates),
    "leaks": ("leaks", _leaks),
    "mislabelled": ("doubtful labels", _mislabelled),
    "outliers": ("outliers", _outliers),
    "hubs": ("hubs", _hubs),
}
