"""Tells cheaply whether a model's weights are still those that made its index."""

from __future__ import annotations

import hashlib
from typing import Any

__all__ = ["WeightsFingerprint"]


class WeightsFingerprint:
    """The digest of a model's weights, computed anew only after they may have changed.

    What is watched is the optimizer's step counter and `touch()`, which costs
    microseconds. Assigning to variables by hand goes unnoticed unless `touch`
    is called.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._touched = 0
        self._seen: tuple[Any, ...] | None = None
        self._digest = ""

    def touch(self) -> None:
        """Says that the weights may have changed in another way than by the optimizer."""
        self._touched += 1

    def digest(self) -> str:
        """The digest of the weights as they are, 32 hexadecimal digits."""
        optimizer = getattr(self._model, "optimizer", None)
        steps = None if optimizer is None else int(optimizer.iterations.numpy())
        seen = (id(optimizer), steps, self._touched)
        if seen != self._seen:
            self._digest = _digest(self._model.weights)
            self._seen = seen
        return self._digest


def _digest(weights: list[Any]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for weight in weights:
        value = weight.numpy()
        digest.update(f"{value.dtype}{value.shape}".encode())
        # A view of bytes: bfloat16 has no buffer protocol of its own.
        digest.update(value.reshape(-1).view("uint8").data if value.size else b"")
    return digest.hexdigest()
