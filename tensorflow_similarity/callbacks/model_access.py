"""How callbacks get the embeddings, the distance and the loss of any Keras model."""

from __future__ import annotations

from typing import Any

from tensorflow_similarity import distances
from tensorflow_similarity.distances import Distance
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.losses import CrossBatchMemory, MetricLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.models.embedding import Embedder, output_names
from tensorflow_similarity.models.index_distance import distance_and_output
from tensorflow_similarity.models.jax_batches import synced

__all__ = ["distance_of", "embedder_of", "ignored_class", "loss_on_pairs", "record_embedder_of"]


def embedder_of(model: Any, output: int | str | None = None) -> Embedder:
    """Returns the embedder of a model.

    Args:
        model: A `SimilarityModel`, or another `keras.Model`.
        output: Which output or layer; None for the output a `SimilarityModel` indexes, or
            the only output of another model.
    """
    synced(model)
    if output is None and isinstance(model, SimilarityModel):
        return model._binding.embedder
    return Embedder(model, output)


def record_embedder_of(model: Any, output: int | str | None = None) -> Embedder:
    """Returns the embedder of searched records: the second tower of a model with two towers."""
    synced(model)
    if output is None and isinstance(model, SimilarityModel):
        return model._binding.record_embedder
    return Embedder(model, output)


def distance_of(model: Any, distance: DistanceLike, output: int | str | None = None) -> Distance:
    """The distance to compare a model's embeddings with.

    Args:
        model: The model.
        distance: A distance, or `"auto"` for that of the index or else of the loss.
        output: As for `embedder_of`.

    Raises:
        ValueError: If it is `"auto"` and neither the index nor the loss has one.
    """
    if not (isinstance(distance, str) and distance == "auto"):
        return distances.get(distance)
    if isinstance(model, SimilarityModel) and model._binding.distance is not None:
        return model._binding.distance
    names = output_names(model) if hasattr(model, "output_names") else None
    if not isinstance(model, SimilarityModel):
        return _distance_of_loss(model, output, names)
    return distance_and_output(getattr(model, "loss", None), "auto", output, names)[0]


def _distance_of_loss(model: Any, output: int | str | None, names: Any) -> Distance:
    """The distance of a plain Keras model, whose `compile` takes none: that of its loss."""
    loss = getattr(model, "loss", None)
    try:
        return distance_and_output(loss, "auto", output, names)[0]
    except ValueError as error:
        raise ValueError(
            "`distance` cannot follow the loss: the model is not a SimilarityModel, and its loss "
            f"has no distance. Received: distance='auto', with loss={loss!r}. Pass distance= to "
            "the callback, e.g. distance='cosine'"
            + (
                "; and embedding_output=, as the model has several outputs."
                if names is not None and len(names) > 1 and output is None
                else "."
            )
        ) from error


def loss_on_pairs(model: Any, output: int | str | None = None) -> MetricLoss | None:
    """The loss that compares embeddings of a model with each other by class, or None.

    For a `CrossBatchMemory`, the loss it wraps.

    Args:
        model: A compiled model.
        output: As for `embedder_of`; chooses among several outputs with such a loss.
    """
    on_pairs = {}
    for key, loss in _losses(model).items():
        if getattr(loss, "reads_head", False):
            continue  # It takes more than embeddings.
        if isinstance(loss, MetricLoss) and loss.distance is not None and loss.relevance is None:
            on_pairs[key] = loss
    if len(on_pairs) == 1:
        return next(iter(on_pairs.values()))
    return on_pairs.get(output)


def ignored_class(model: Any, output: int | str | None = None) -> int | None:
    """The class id that the loss of a model ignores, or None.

    Args:
        model: A compiled model.
        output: As for `loss_on_pairs`.
    """
    loss = loss_on_pairs(model, output)
    if loss is not None:
        return loss.ignore_class
    ids = {getattr(loss, "ignore_class", None) for loss in _losses(model).values()} - {None}
    return ids.pop() if len(ids) == 1 else None


def _losses(model: Any) -> dict[Any, Any]:
    """The losses of a model by output, with the loss inside a memory in place of the memory."""
    given = getattr(model, "loss", None)
    losses = given if isinstance(given, dict) else {None: given}
    if isinstance(given, (list, tuple)):
        losses = dict(enumerate(given))
    return {
        key: loss.loss if isinstance(loss, CrossBatchMemory) else loss
        for key, loss in losses.items()
    }
