"""Finds the embedding of a model that ends in a head for training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from tensorflow_similarity.layers import CompatibleHead, MarginHead, PartialProxyHead, ProxyHead
from tensorflow_similarity.losses import (
    CompatibleLoss,
    CrossBatchMemory,
    MarginLoss,
    MetricLoss,
    PartialProxyLoss,
    ProxyLoss,
)
from tensorflow_similarity.losses.base import PerExampleLoss, parts_of
from tensorflow_similarity.losses.labels import check_class_range

__all__ = [
    "bind_partial_heads",
    "check_compatible_heads",
    "check_margin_heads",
    "check_targets",
    "embedding_below_head",
    "refuse_two_views",
]


def embedding_below_head(model: keras.Model) -> str | None:
    """The name of the output or layer that a head at the end of a model reads.

    A head is a `ProxyHead`, a `MarginHead` or a `CompatibleHead`.

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


def check_margin_heads(model: keras.Model, loss: object) -> None:
    """Checks that boundaries go where a loss takes them for that, and nowhere else.

    Args:
        model: A model; only functional ones can be checked.
        loss: What is given to `compile`.

    Raises:
        ValueError: If a `MarginLoss(beta=None)` is not on a `MarginHead` of as many
            classes, or another loss on embeddings is on one.
    """
    for place, name, tensor in _outputs(model):
        own = _of_output(loss, place, name)
        own = own.loss if isinstance(own, CrossBatchMemory) else own
        head = tensor._keras_history.operation
        classes = head.classes if isinstance(head, MarginHead) else None
        if isinstance(own, MarginLoss) and own.beta is None:
            if classes != own.classes:
                raise ValueError(
                    f"`loss` takes {own.classes} boundaries from behind the embedding: the output "
                    f"must be that of layers.MarginHead({own.classes}). Received: "
                    f"{'a MarginHead of ' + str(classes) if classes else 'no MarginHead'}, with "
                    f"{own!r}."
                )
        elif classes is not None and isinstance(own, MetricLoss):
            raise ValueError(
                "`loss` must be MarginLoss(beta=None) for an output of layers.MarginHead, whose "
                f"last columns are boundaries and no embedding. Received: {own!r}."
            )


def check_compatible_heads(model: keras.Model, loss: object) -> None:
    """Checks that the older model below a `CompatibleHead` is frozen, and its loss in place.

    Args:
        model: A model; only functional ones can be checked.
        loss: What is given to `compile`.

    Raises:
        ValueError: If weights of the older model would be trained, or one of head and loss is
            without the other.
    """
    for place, name, tensor in _outputs(model):
        own = _of_output(loss, place, name)
        compares = any(isinstance(one, CompatibleLoss) for one in parts_of(own))
        operation, node, _ = tensor._keras_history
        headed = isinstance(operation, CompatibleHead)
        if compares != headed and isinstance(own, PerExampleLoss):
            raise ValueError(
                "CompatibleLoss and the output of layers.CompatibleHead()([new, old]) belong "
                f"together. Received: {own!r} on "
                f"{'a CompatibleHead' if headed else 'an output of another layer'}."
            )
        if not headed:
            continue
        _, old = operation._inbound_nodes[node].input_tensors
        trained = keras.Model(model.inputs, old).trainable_weights
        if trained:
            raise ValueError(
                "The older model of a CompatibleHead must be frozen: set old.trainable = False, "
                "and make its output by old(inputs, training=False). Received: trainable weights "
                f"{[weight.path for weight in trained[:3]]}."
            )


def bind_partial_heads(model: Any, loss: Any) -> None:
    """Gives each `PartialProxyLoss` the head at its output.

    Args:
        model: A model; only functional ones have heads at their outputs.
        loss: What is given to `compile`.

    Raises:
        ValueError: If one of head and loss is without the other.
    """
    heads: list[PartialProxyLoss] = []
    for place, name, tensor in _outputs(model):
        own = _of_output(loss, place, name)
        head = tensor._keras_history.operation
        partial = isinstance(own, PartialProxyLoss)
        if isinstance(own, PerExampleLoss) and partial != isinstance(head, PartialProxyHead):
            raise ValueError(
                "PartialProxyLoss and an output of layers.PartialProxyHead belong together. "
                f"Received: {own!r} on an output of {type(head).__name__}."
            )
        if partial:
            if any(own is other for other in heads):
                raise ValueError(
                    "`loss` must be another PartialProxyLoss for each output. Received: the same "
                    f"one, {own.name!r}, for several."
                )
            heads.append(own)
            own.bind(head)


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
        if isinstance(own, ProxyLoss):
            check_class_range(target, tensor.shape[1], own.ignore_class)
        elif isinstance(own, PartialProxyLoss):
            check_class_range(target, own.head.classes, own.ignore_class)
        elif isinstance(own, MarginLoss) and own.numbers_classes:
            check_class_range(target, own.classes, own.ignore_class)
        if isinstance(own, PerExampleLoss) and isinstance(target, np.ndarray):
            own.checked_labels(target, None)


def _outputs(model: keras.Model) -> Iterator[tuple[int, str, Any]]:
    """Place, name and tensor of each output of a functional model; nothing of others."""
    outputs = getattr(model, "outputs", None)
    if outputs:
        names = list(model.output) if isinstance(model.output, dict) else model.output_names
        yield from zip(range(len(names)), names, outputs, strict=True)


def _of_output(given: object, place: int, name: str) -> Any:
    """What belongs to an output: of a dict by its name, of a list by its place, or all."""
    if isinstance(given, dict):
        return given.get(name)
    if isinstance(given, (list, tuple)):
        return given[place] if place < len(given) else None
    return given


def _input_of_head(tensor: Any) -> Any:
    """The tensor that a head made `tensor` of; None if it was made otherwise."""
    operation, node, _ = tensor._keras_history
    if not isinstance(operation, (ProxyHead, MarginHead, CompatibleHead)):
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
