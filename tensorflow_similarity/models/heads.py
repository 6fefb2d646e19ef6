"""Finds the embedding of a model that ends in a head for training."""

from __future__ import annotations

from typing import Any

import keras

from tensorflow_similarity.layers import MarginHead, ProxyHead

__all__ = ["embedding_below_head"]


def embedding_below_head(model: Any) -> str | None:
    """The name of the output or layer that a head at the end of a model reads.

    A head is a `ProxyHead` or a `MarginHead`.

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


def _input_of_head(tensor: Any) -> Any:
    """The tensor that a head made `tensor` of; None if it was made otherwise."""
    operation, node, _ = tensor._keras_history
    if not isinstance(operation, (ProxyHead, MarginHead)):
        return None
    return operation._inbound_nodes[node].input_tensors[0]


def _name(model: Any, tensor: Any) -> str | None:
    if isinstance(model.output, dict):
        for name, output in model.output.items():
            if output is tensor:
                return name
    operation = tensor._keras_history.operation
    names = {layer.name for layer in model.layers}
    return operation.name if operation.name in names else None
