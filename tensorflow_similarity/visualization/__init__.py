"""Plots of lookups, matches, distances and embeddings (extra `viz`).

Figures are matplotlib's, which is imported when something is drawn, not before; `projector`
makes a page to explore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tensorflow_similarity import _old_names
from tensorflow_similarity.visualization.audits import viz_audit
from tensorflow_similarity.visualization.confusion import confusion_matrix
from tensorflow_similarity.visualization.curves import training_curves
from tensorflow_similarity.visualization.histogram import distance_histogram
from tensorflow_similarity.visualization.mistakes import worst_mistakes
from tensorflow_similarity.visualization.neighbors import viz_neighbors_grid, viz_neighbors_imgs
from tensorflow_similarity.visualization.neighbors_signals import viz_neighbors_signals
from tensorflow_similarity.visualization.neighbors_text import viz_neighbors_text
from tensorflow_similarity.visualization.pair_histogram import pair_histogram
from tensorflow_similarity.visualization.projection import project
from tensorflow_similarity.visualization.projector import ProjectorPage, projector
from tensorflow_similarity.visualization.scatter import viz_embeddings
from tensorflow_similarity.visualization.verification import verification_curves

viz_neigbors_imgs = viz_neighbors_imgs  # as TensorFlow Similarity spelt it

__all__ = [
    "ProjectorPage",
    "confusion_matrix",
    "distance_histogram",
    "pair_histogram",
    "project",
    "projector",
    "training_curves",
    "verification_curves",
    "viz_audit",
    "viz_embeddings",
    "viz_neigbors_imgs",
    "viz_neighbors_grid",
    "viz_neighbors_imgs",
    "viz_neighbors_signals",
    "viz_neighbors_text",
    "worst_mistakes",
]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # A type checker is to know the names of today only.
    __getattr__ = _old_names.of(__name__)
