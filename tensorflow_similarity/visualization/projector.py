"""Interactive plots of embeddings, as self-contained HTML pages."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import _old_names
from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.index import Index
from tensorflow_similarity.targets import TargetsLike
from tensorflow_similarity.visualization.class_names import ClassNames, classes_in
from tensorflow_similarity.visualization.colors import class_colors
from tensorflow_similarity.visualization.figures import NEUTRAL
from tensorflow_similarity.visualization.projection import Method, project
from tensorflow_similarity.visualization.thumbnails import sprite_sheets

# Places in the picture are whole numbers, which keeps the file small.
_STEPS = 10_000


class ProjectorPage:
    """A page made by `projector`.

    Notebooks display it. `save` writes it to a file; `html` is its source.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.visualization import projector

    page = projector(np.random.default_rng(0).normal(size=(20, 8)), np.arange(20) % 2)
    page.save("embeddings.html")
    ```
    """

    def __init__(self, html: str, points: int, height: int = 600) -> None:
        self.html = html
        self.height = height
        self._points = points

    def save(self, path: str | Path) -> Path:
        """Writes the page to a file, which any browser opens, without a network."""
        path = Path(path)
        path.write_text(self.html, encoding="utf-8")
        return path

    def __repr__(self) -> str:
        return f"ProjectorPage({self._points:,} points, {len(self.html) / 1e6:.1f} MB)"

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" title="Embeddings" '
            f'style="width: 100%; height: {self.height}px; border: 0"></iframe>'
        )


@explains_arguments("projector")
def projector(
    embeddings: ArrayLike,
    labels: TargetsLike | None = None,
    class_names: ClassNames = None,
    images: Any = None,
    image_size: int = 64,
    tooltips_info: Mapping[str, Sequence[Any]] | None = None,
    pt_size: float = 4.0,
    plot_size: int = 600,
    texts: Sequence[str] | None = None,
    method: Method = "pca",
    neighbors: int = 5,
    distance: DistanceLike = "cosine",
    title: str = "Embeddings",
) -> ProjectorPage:
    """Makes an interactive page that shows embeddings as points in the plane.

    Hovering over a point shows its image or text, its class and other given values. A click
    draws lines to its nearest examples *in the embedding space*, since a plane cannot
    preserve all neighbourhoods. The list of classes shows, hides and highlights them.

    The page is a self-contained HTML file that loads nothing else and follows the reader's
    light or dark setting. It takes about 50 bytes per example, plus thumbnail or text.

    Args:
        embeddings: `[n, dim]`.
        labels: Class ids or class names, `[n]`. Defaults to None: one colour for all.
        class_names: Names of class ids, as a mapping or as a sequence.
        images: Images to show, `[n, h, w]` or `[n, h, w, channels]`. Defaults to None.
        image_size: Longest side of a thumbnail in pixels. Smaller images keep theirs.
            Defaults to 64.
        tooltips_info: Further values to show for each point: a mapping from names to `n` values.
        pt_size: Radius of the points in pixels. Defaults to 4.
        plot_size: Height in pixels in a notebook. Defaults to 600.
        texts: Texts to show, `[n]`. Defaults to None.
        method: `"pca"`, `"tsne"`, `"umap"` or a function: see `project`. Defaults to
            `"pca"`, which needs no other package.
        neighbors: Number of nearest examples shown on a click; 0 for none. They are found by
            exact search, with n × n distances. Defaults to 5.
        distance: The distance between neighbours. Defaults to `"cosine"`.
        title: Title of the page.

    Returns:
        A `ProjectorPage`, to `save` or to display in a notebook.

    Raises:
        ImportError: If a package required by the method or the images is not installed.
        ValueError: If lengths differ, or the method is unknown.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.visualization import projector

    rng = np.random.default_rng(0)
    labels = np.arange(100) % 5
    embeddings = np.eye(5)[labels] + 0.2 * rng.normal(size=(100, 5))
    projector(embeddings, labels, images=rng.random((100, 8, 8))).save("embeddings.html")
    ```
    """
    points = project(embeddings, method)
    n = len(points)
    names, classes = _classes(labels, n, class_names)
    wanted = checks.count(neighbors, "neighbors", minimum=0)
    for name, values in (("images", images), ("texts", texts), *(tooltips_info or {}).items()):
        if values is not None and len(values) != n:
            raise ValueError(
                f"`{name}` must hold one value per example, {n}. Received: {len(values)}."
            )
    x, y, width, height = _places(points)
    sizes = np.bincount(classes, minlength=len(names)).tolist()
    colors = class_colors(len(names)) if labels is not None else [NEUTRAL]
    named = method if isinstance(method, str) else getattr(method, "__name__", "projection")
    data = {
        "title": title,
        "about": f"{n:,} examples, {named}",
        "x": x.tolist(),
        "y": y.tolist(),
        "width": width,
        "height": height,
        "cls": classes.tolist(),
        "classes": [
            {"name": name, "color": color, "count": size}
            for name, color, size in zip(names, colors, sizes, strict=True)
        ],
        "labelled": labels is not None,
        "size": pt_size,
        "texts": None if texts is None else [str(text) for text in texts],
        "info": {
            str(name): [str(value) for value in values]
            for name, values in (tooltips_info or {}).items()
        },
        "sprites": None if images is None else sprite_sheets(images, image_size),
        "neighbors": _nearest(embeddings, distance, min(wanted, n - 1)),
    }
    template = resources.files(__package__).joinpath("projector.html").read_text("utf-8")
    # "<" could end the script that holds the data.
    content = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return ProjectorPage(template.replace("__DATA__", content), n, plot_size)


def _classes(
    labels: TargetsLike | None, n: int, mapping: ClassNames
) -> tuple[list[str], np.ndarray]:
    """Names of the classes that occur, and the index of each example's class."""
    if labels is None:
        return ["all"], np.zeros(n, np.int64)
    return classes_in(labels, "labels", n, mapping)


def _places(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Whole coordinates from the upper left corner, and the width and height they take."""
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).max()) or 1.0
    scaled = np.round((points - low) / side * _STEPS).astype(np.int64)
    width, height = np.maximum(1, np.round((high - low) / side * _STEPS)).astype(int).tolist()
    return scaled[:, 0], height - scaled[:, 1], width, height


def _nearest(embeddings: ArrayLike, distance: DistanceLike, wanted: int) -> list[list[int]] | None:
    """Positions of the nearest others of each example."""
    if wanted < 1:
        return None
    x = checks.embeddings(embeddings)
    index = Index(embedding_size=x.shape[1], distance=distance, search="exact")
    index.add(x, ids=np.arange(len(x)))
    found = index.lookup(x, k=wanted + 1).ids
    # The example itself comes first, unless others are equal to it.
    return [[j for j in row if j != i][:wanted] for i, row in enumerate(found.tolist())]


if not TYPE_CHECKING:  # Names that older libraries had in this module.
    __getattr__ = _old_names.of(__name__)
