"""A forward pass in parts, so that a batch may be larger than memory holds (gradient caching).

Losses on pairs need the embeddings of the whole batch at once, but not the activations of
the network that made them. Here a batch is embedded a few examples at a time, without keeping
activations; the loss gives its gradient at the embeddings; and in the backward pass each part
runs again, with that gradient. Value and gradient are those of the plain step, up to rounding.

The three modules beside this one do this for one backend each, and are imported only there.

Reference:
    Gao et al., *Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup*,
    RepL4NLP 2021, https://arxiv.org/abs/2101.06983
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask

__all__ = ["call_in_parts"]


def call_in_parts(model: keras.Model, forward: Callable[[Any], Any], x: object, size: int) -> Any:
    """`forward(x)` for training, `size` examples at a time; the gradient computes it again.

    State that a forward pass changes, such as the moving averages of a batch normalisation,
    changes once for each part. Random numbers of `keras.random` are the same both times.

    Args:
        model: The model, whose variables `forward` uses.
        forward: Maps inputs `[n, ...]` to outputs `[n, ...]`, a tensor or a structure of them.
        x: Inputs `[batch, ...]`, a tensor or a structure of them.
        size: Examples in a part.

    Returns:
        What `forward(x)` returns.

    Raises:
        ValueError: If an output has not one row for each example.
    """
    given = keras.tree.flatten(x)
    # Optional inputs may be None.
    flat = [each for each in given if each is not None]
    batch = flat[0].shape[0]
    if batch is not None and batch <= size:
        return forward(x)

    def of_flat(parts: Sequence[Any]) -> Any:
        left = iter(parts)
        full = [None if each is None else next(left) for each in given]
        outputs = forward(keras.tree.pack_sequence_as(x, full))
        masks = _masks(outputs)
        _check_rows((outputs, masks), parts[0].shape[0])
        return outputs, masks

    name = f"{__name__}.{keras.backend.backend()}"
    outputs, masks = importlib.import_module(name).call_in_parts(model, of_flat, flat, size)
    for position, output in enumerate(keras.tree.flatten(outputs)):
        if str(position) in masks:
            set_keras_mask(output, masks[str(position)])
    return outputs


def _masks(outputs: Any) -> dict[str, Any]:
    """The masks of outputs, by position: Keras' losses read them off the tensors."""
    masks = [get_keras_mask(output) for output in keras.tree.flatten(outputs)]
    return {str(position): mask for position, mask in enumerate(masks) if mask is not None}


def _check_rows(outputs: Any, rows: int | None) -> None:
    for output in keras.tree.flatten(outputs):
        shape = tuple(output.shape)
        if not shape or (rows is not None and shape[0] not in (None, rows)):
            raise ValueError(
                "`micro_batch_size` needs outputs with one row for each example, [batch, ...]. "
                f"Received: a model with an output of shape {shape} for a part of {rows} examples."
            )
