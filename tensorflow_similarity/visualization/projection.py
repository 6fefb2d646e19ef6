"""Projections of embeddings to the plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._extras import missing
from tensorflow_similarity._types import ArrayLike

METHODS = ("pca", "tsne", "umap")

Method = str | Callable[[np.ndarray], Any]


def project(
    embeddings: ArrayLike, method: Method = "pca", dimensions: int = 2, seed: int = 0
) -> np.ndarray:
    """Projects embeddings to a plane, or to another number of dimensions, for plots.

    No projection preserves all distances. PCA is linear: points far apart in the plot are
    far apart, but points near each other may not be near. t-SNE and UMAP keep neighbours
    together, but sizes of clusters and distances between them mean little.

    Args:
        embeddings: `[n, dim]`.
        method: `"pca"` (with NumPy alone), `"tsne"` (needs scikit-learn), `"umap"` (needs
            umap-learn), or any function from `[n, dim]` to `[n, dimensions]`. t-SNE and
            UMAP use cosine distances. Defaults to `"pca"`.
        dimensions: Size of the result. Defaults to 2.
        seed: Seed of t-SNE and UMAP. Defaults to 0.

    Returns:
        float32 `[n, dimensions]`. The axes of PCA come in decreasing order of variance,
        each with the sign that makes its largest value positive.

    Raises:
        ImportError: If the package that the method needs is not installed.
        ValueError: If the method is unknown, or a function gives another shape.

    Example:

    ```python
    from tensorflow_similarity.visualization import project

    project([[0.0, 0.0, 5.0], [1.0, 0.0, 5.0], [2.0, 1.0, 5.0]]).shape  # (3, 2)
    ```
    """
    x = checks.embeddings(embeddings)
    checks.count(dimensions, "dimensions")
    if not callable(method):
        checks.choice(method, "method", METHODS, "a function")
    if callable(method):
        found = np.asarray(method(x), np.float32)
    elif method == "pca":
        found = _pca(x, dimensions)
    elif method == "tsne":
        found = _tsne(x, dimensions, seed)
    else:
        found = _umap(x, dimensions, seed)
    if found.shape != (len(x), dimensions):
        raise ValueError(
            f"`method` must give an array {(len(x), dimensions)}. Received: {found.shape}."
        )
    return found.astype(np.float32)


def _pca(x: np.ndarray, dimensions: int) -> np.ndarray:
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    # Of the small matrix [dim, dim], whatever the number of examples.
    _, axes = np.linalg.eigh(centred.T @ centred)
    found = centred @ axes[:, ::-1][:, :dimensions]
    largest = np.argmax(np.abs(found), axis=0)
    found *= np.where(found[largest, np.arange(found.shape[1])] < 0, -1, 1)
    # An embedding of fewer dimensions than the plane lies on a line of it.
    return np.pad(found, ((0, 0), (0, dimensions - found.shape[1])))


def _tsne(x: np.ndarray, dimensions: int, seed: int) -> np.ndarray:
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise missing('method="tsne"', "scikit-learn", "evaluation") from error
    perplexity = min(30.0, max(1.0, (len(x) - 1) / 3))
    tsne = TSNE(dimensions, perplexity=perplexity, metric="cosine", random_state=seed)
    return tsne.fit_transform(x)


def _umap(x: np.ndarray, dimensions: int, seed: int) -> np.ndarray:
    try:
        from umap import UMAP
    except ImportError as error:
        raise missing('method="umap"', "umap-learn", "umap") from error
    # One job: with a seed UMAP allows no more, and would warn.
    return UMAP(
        n_components=dimensions, metric="cosine", random_state=seed, n_jobs=1
    ).fit_transform(x)
