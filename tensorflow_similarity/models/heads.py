"""Finds the embedding in a model that ends in a head for training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from tensorflow_similarity.losses.base import PerExampleLoss
from tensorflow_similarity.losses.labels import check_class_range

__all__ = [
    "bind_heads",
    "check_targets",
    "embedding_below_head",
    "refuse_two_views",
]


def embedding_below_head(model: keras.Model) -> str | None:
    """The name of the output or layer that feeds the head at the end of a model.

    A head is a layer that says `reads_embedding`, such as a `ProxyHead`.

    Args:
        model: A functional model.

    Returns:
        What to pass as `embedding_output`; None if no output is made by
        such a head.

    Raises:
        ValueError: If several embeddings are below heads, or the one has no name.
    """
    outputs = keras.tree.flatten(model.output)
    tensors = [_input_of_head(tensor) for tensor in outputs]
    below = {id(tensor): tensor for tensor in tensors if tensor is not None}
    if not below:
        return None
    names = [_name(model, tensor) for tensor in below.values()]
    if len(names) > 1 or names[0] is None:
        raise ValueError(
            "`embedding_output` must say what to index: the name of an output or of a layer. "
            f"Received: None, where heads read {len(names)} embeddings, named {names} (None "
            "is not the output of a layer)."
        )
    return names[0]


def bind_heads(model: keras.Model, loss: object) -> None:
    """Tells each loss which layer computes its output, so that both can raise if they do not fit.

    Args:
        model: A model; only functional ones have layers at their outputs.
        loss: What is given to `compile`.

    Raises:
        ValueError: If a head and a loss do not belong together, or a head refuses the model.
    """
    sampling: list[PerExampleLoss] = []
    for place, name, tensor in _outputs(model):
        own = _of_output(loss, place, name)
        head, node, _ = tensor._keras_history
        if isinstance(own, PerExampleLoss):
            if any(own is other for other in sampling):
                raise ValueError(
                    f"`loss` must be another {type(own).__name__} for each output. Received: the "
                    f"same one, {own.name!r}, for several."
                )
            if own.samples_classes:  # of the head that it is bound to
                sampling.append(own)
            own.bind(head)
        check_model = getattr(head, "check_model", None)
        if check_model is not None:
            check_model(model, node)


def check_targets(model: keras.Model, y: object) -> None:
    """Checks labels against the losses and heads of a model, before they reach a compiled step.

    Args:
        model: A compiled model; only functional ones can be checked.
        y: The targets of a batch, as arrays.

    Raises:
        TypeError: If a loss gets labels of another type, such as fractions for class ids.
        ValueError: If a loss on the classes of a head gets an id that is none of them, or
            labels of another shape.
    """
    for place, name, tensor in _outputs(model):
        own, target = (_of_output(each, place, name) for each in (model.loss, y))
        if target is None or keras.tree.is_nested(target):
            continue
        if not isinstance(own, PerExampleLoss):
            continue
        classes = own.classes_of(tensor.shape)
        if classes is not None:
            check_class_range(target, classes, own.ignore_class)
        if isinstance(target, np.ndarray):
            own.checked_labels(target, None)


def _outputs(model: keras.Model) -> Iterator[tuple[int, str, Any]]:
    """Place, name and tensor of each output of a functional model; nothing of others."""
    outputs = getattr(model, "outputs", None)
    if outputs:
        names = list(model.output) if isinstance(model.output, dict) else model.output_names
        yield from zip(range(len(names)), names, outputs, strict=True)


def _of_output(given: object, place: int, name: str) -> Any:
    """The part of a structure that belongs to an output, by its name or position."""
    if isinstance(given, dict):
        return given.get(name)
    if isinstance(given, (list, tuple)):
        return given[place] if place < len(given) else None
    return given


def _input_of_head(tensor: Any) -> Any:
    """The tensor that a head made `tensor` of; None if it was made otherwise."""
    operation, node, _ = tensor._keras_history
    if not getattr(operation, "reads_embedding", False):
        return None
    return operation._inbound_nodes[node].input_tensors[0]


def _name(model: keras.Model, tensor: Any) -> str | None:
    if isinstance(model.output, dict):
        for name, output in model.output.items():
            if output is tensor:
                return name
    operation = tensor._keras_history.operation
    names = {layer.name for layer in model.layers}
    return operation.name if operation.name in names else None


def refuse_two_views(loss: object) -> None:
    """Raises for a loss on two views: `fit(x, y)` would compare embeddings with raw inputs."""
    for one in keras.tree.flatten(loss):
        if getattr(one, "takes_views", False):
            raise ValueError(
                f"loss={one!r} compares the embeddings of two views, and this model embeds x only: "
                "`fit(a, b)` would compare embeddings of a with b as it is. Use DualEncoder for "
                "pairs that belong together, such as questions and answers, or ContrastiveModel "
                "for two views of one example; both are in tensorflow_similarity.models."
            )
