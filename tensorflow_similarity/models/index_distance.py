"""Derives the distance of the index and the embedding output from the loss."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from tensorflow_similarity import distances
from tensorflow_similarity.distances.base import DistanceLike

__all__ = ["distance_and_output"]


def distance_and_output(
    loss: object,
    distance: DistanceLike = "auto",
    embedding_output: int | str | None = None,
    names: list[str] | None = None,
) -> tuple[distances.Distance, int | str | None]:
    """Determines the distance of the index and the output with the embeddings.

    Args:
        loss: What `compile` was given: a loss, a dict or list of them, or None.
        distance: A distance, or `"auto"` for that of the loss.
        embedding_output: The user's choice, or None for the output whose loss has
            a distance.
        names: The names of the model's outputs, or None if unknown.

    Returns:
        `(distance, embedding_output)`; the latter is None for a model with one output.

    Raises:
        ValueError: If they cannot be told.
    """
    by_output = _losses_by_output(loss)
    metric = {key: found for key, found in by_output.items() if _distance(found) is not None}
    several = len(by_output) > 1 if names is None else len(names) > 1
    if embedding_output is None and several:
        if len(metric) != 1 or None in metric:
            raise ValueError(
                "`embedding_output` must say which output of the model to index, as not exactly "
                f"one of them has a loss with a distance. Received: None; outputs are "
                f"{names or list(by_output)}."
            )
        (embedding_output,) = metric
    if embedding_output is None and any(_is_on_proxies(each) for each in by_output.values()):
        raise ValueError(
            f"loss={loss!r} takes cosines to proxies. End the model in a proxy head: "
            "`outputs = ProxyHead(classes)(embedding)`, with ProxyHead of "
            "tensorflow_similarity.layers; the embedding below it is indexed. Or name the "
            "embedding: `embedding_output` must say which output or layer it is. Received: None."
        )
    if distance != "auto":
        return distances.get(distance), embedding_output

    candidates = list(metric.values())
    own = _of_output(by_output, embedding_output, names)
    if own is not None and _expects_pairwise_values(own):
        candidates = []
    elif own is not None and _distance(own) is not None:
        candidates = [own]
    found = {distances.get(_distance(candidate)) for candidate in candidates}
    if len(found) == 1:
        return found.pop(), embedding_output
    raise ValueError(_advice(loss, list(by_output.values()), found))


def _losses_by_output(loss: object) -> dict[Any, Any]:
    if isinstance(loss, dict):
        return dict(loss)
    if isinstance(loss, (list, tuple)):
        return dict(enumerate(loss))
    return {None: loss}


def _of_output(by_output: dict[Any, Any], output: Any, names: list[str] | None) -> Any:
    """The loss of an output, whether each is known by its name or by its place."""
    if len(by_output) == 1:
        return next(iter(by_output.values()))
    if output in by_output:
        return by_output[output]
    if names and isinstance(output, int) and -len(names) <= output < len(names):
        return by_output.get(names[output])
    if names and output in names:
        return by_output.get(names.index(output))
    return None


def _instance(loss: object) -> Any:
    return loss() if inspect.isclass(loss) and issubclass(loss, keras.losses.Loss) else loss


def _distance(loss: object) -> Any:
    return getattr(_instance(loss), "distance", None)


def _is_on_proxies(loss: object) -> bool:
    return getattr(_instance(loss), "on_proxies", False)


def _expects_pairwise_values(loss: object) -> bool:
    loss = _instance(loss)
    return hasattr(loss, "distance") and loss.distance is None


def _advice(loss: object, losses: list[Any], found: set[Any]) -> str:
    if len(found) > 1:
        return (
            "`distance` cannot follow the losses, as they have different ones: "
            f"{sorted(each.name for each in found)}. Pass distance= to compile."
        )
    for each in losses:
        if _expects_pairwise_values(each):
            name = type(_instance(each)).__name__
            return (
                f"`loss` must take embeddings. Received: {name} with distance=None, which expects "
                f"y_pred to hold pairwise values. Give it a distance, e.g. {name}(distance="
                "'cosine'); or, if it is meant so, pass distance= to compile for the index."
            )
    return (
        "`loss` must have a distance, which the index then follows, as the losses of "
        f"tensorflow_similarity have. Received: loss={loss!r}. Pass distance= to compile, e.g. "
        "distance='cosine', to index with any loss."
    )
