"""Pictures of lookups, matches and distances, drawn with matplotlib (extra `viz`).

matplotlib is imported when something is drawn, not before.
"""

from __future__ import annotations

from tensorflow_similarity.visualization.confusion import confusion_matrix
from tensorflow_similarity.visualization.histogram import distance_histogram
from tensorflow_similarity.visualization.neighbors import viz_neighbors_grid, viz_neighbors_imgs

viz_neigbors_imgs = viz_neighbors_imgs  # as TensorFlow Similarity spelt it

__all__ = [
    "confusion_matrix",
    "distance_histogram",
    "viz_neigbors_imgs",
    "viz_neighbors_grid",
    "viz_neighbors_imgs",
]
