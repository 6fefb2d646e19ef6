"""How a callback gets embeddings and their distance from any Keras model."""

from __future__ import annotations

from typing import Any

from tensorflow_similarity import distances
from tensorflow_similarity.distances import Distance
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.models.embedding import Embedder, output_names
from tensorflow_similarity.models.index_distance import distance_and_output

__all__ = ["distance_of", "embedder_of"]


def embedder_of(model: Any, output: int | str | None = None) -> Embedder:
    """What makes the embeddings of a model.

    Args:
        model: A `SimilarityModel`, or another `keras.Model`.
        output: Which output or layer; None: what a `SimilarityModel` indexes, and
            the only output of another model.
    """
    if output is None and isinstance(model, SimilarityModel):
        return model._binding.embedder
    return Embedder(model, output)


def distance_of(model: Any, distance: Any, output: int | str | None = None) -> Distance:
    """The distance to compare the embeddings of a model with.

    Args:
        model: The model.
        distance: A distance, or `"auto"`: that of the index or of the loss.
        output: As for `embedder_of`.

    Raises:
        ValueError: If it is `"auto"` and neither has one.
    """
    if not (isinstance(distance, str) and distance == "auto"):
        return distances.get(distance)
    if isinstance(model, SimilarityModel) and model._binding.distance is not None:
        return model._binding.distance
    names = output_names(model) if hasattr(model, "output_names") else None
    return distance_and_output(getattr(model, "loss", None), "auto", output, names)[0]
