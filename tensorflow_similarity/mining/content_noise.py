"""Random numbers for pairs of embeddings, made of the embeddings themselves.

A generator has a state, which a loss has no place for, and would give other
numbers when the backward pass computes a block again. Numbers hashed from what is
in the pair are the same then, in any order and in blocks of any size, and are new
at the next step, because the embeddings are.
"""

from __future__ import annotations

from typing import Any

from keras import ops

__all__ = ["content_noise"]

_BITS = 23  # As many as a float32 holds.


def content_noise(queries: Any, keys: Any, seed: int = 0) -> Any:
    """Uniform random numbers of pairs, float32 `[queries, keys]`, above 0 and below 1.

    Args:
        queries: Embeddings `[queries, dim]`.
        keys: Embeddings `[keys, dim]`.
        seed: Integer; another one gives other numbers.
    """
    mixed = _hash(_hash(_signatures(queries)) + (seed & 0x7FFFFFFF))[:, None]
    mixed = _hash(mixed + _hash(_signatures(keys))[None, :] * 3)
    return (ops.cast(ops.bitwise_and(mixed, 2**_BITS - 1), "float32") + 0.5) / 2**_BITS


def _signatures(embeddings: Any) -> Any:
    """An integer for each row, which depends on its direction: int32 `[rows]`."""
    embeddings = ops.cast(ops.stop_gradient(embeddings), "float32")
    dim = int(embeddings.shape[1])
    scale = ops.max(ops.abs(embeddings), axis=1, keepdims=True)
    whole = ops.cast(embeddings / ops.where(scale > 0, scale, 1) * 2.0**_BITS, "int32")
    # A sum of integers is the same in any order, whatever a compiler makes of it.
    factors = ops.convert_to_tensor([(2 * i + 1) * 40503 for i in range(dim)], dtype="int32")
    return ops.sum(whole * factors, axis=1)


def _hash(x: Any) -> Any:
    """Scatters int32 values over all of int32: a bijection; overflow wraps around."""
    for shift, factor in ((16, 0x7FEB352D), (15, -0x7B935975), (16, 1)):
        # The shift is logical: bits that the sign fills in are cleared.
        high = ops.bitwise_and(ops.bitwise_right_shift(x, shift), (1 << (32 - shift)) - 1)
        x = ops.bitwise_xor(x, high) * factor
    return x
