"""Functions of matrices whose gradient is cheaper than that of their steps.

A batch that is compared with itself is both sides of a product. With G the gradient of its
result, that of the batch is `G x + G^T x`: one product of `G + G^T` with x, and not two.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tensorflow_similarity._types import Tensor

__all__ = [
    "WithGradient",
    "chosen",
    "lengths_among",
    "negative_products",
    "products",
    "slope_of",
    "squares",
    "squares_among",
    "with_gradient",
]

#: A value (or several), the tensors that its gradient needs, and a function from these and the
#: gradient of each value to that of each input.
WithGradient = tuple[Any, tuple[Any, ...], Callable[..., Any]]


def with_gradient(function: Callable[..., WithGradient], *inputs: Tensor) -> Any:
    """The value of `function(*inputs)`, with the gradient that it returns beside the value.

    JAX differentiates the steps of the value, to the same gradient, which XLA makes as quick. So
    does PyTorch where it compiles, transforms a function, or asks for a gradient's gradient.

    Args:
        function: Maps tensors to their value, or a tuple of them; to the tensors that the gradient
            needs; and to a function `(*needed, *gradients of the values) -> gradient`, or a tuple
            of them if there are several inputs of floats. Neither may hold other tensors, which
            would be kept where blocks are computed again.
        *inputs: The tensors, floats before masks and integers.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        return _in_torch(function, inputs)
    if backend != "tensorflow":
        return function(*inputs)[0]
    import tensorflow as tf

    floats = [x for x in inputs if keras.backend.is_float_dtype(x.dtype)]
    others = inputs[len(floats) :]

    def call(*floats: Any) -> Any:
        # In the graph of this step, which may be that of a branch in a loop: the gradient cannot
        # reach what is outside of it.
        here = (tf.identity(x) for x in others)
        values, needed, gradient = function(*floats, *here)
        return values, functools.partial(gradient, *needed)

    return tf.custom_gradient(call)(*floats)


def _in_torch(function: Callable[..., WithGradient], inputs: tuple[Any, ...]) -> Any:
    import torch

    transformed = getattr(torch._C, "_are_functorch_transforms_active", lambda: False)
    if (
        not torch.is_grad_enabled()
        or not any(isinstance(x, torch.Tensor) and x.requires_grad for x in inputs)
        or torch.compiler.is_compiling()
        or transformed()
    ):
        return function(*inputs)[0]
    return _torch_function().apply(function, *inputs)


@functools.cache
def _torch_function() -> Any:
    import torch

    class Written(torch.autograd.Function):  # type: ignore[misc]
        """One step to PyTorch: the steps within are not recorded."""

        @staticmethod
        def forward(ctx: Any, function: Any, *inputs: Any) -> Any:
            values, needed, ctx.gradient = function(*inputs)
            ctx.function, ctx.inputs = function, len(inputs)
            # Saved as PyTorch wants it, what is needed can be recomputed instead of kept.
            ctx.save_for_backward(*inputs, *needed)
            return values

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            saved = ctx.saved_tensors
            inputs = saved[: ctx.inputs]
            if not torch.is_grad_enabled():
                found = ctx.gradient(*saved[ctx.inputs :], *upstream)
                found = found if isinstance(found, tuple) else (found,)
                return None, *found, *(None,) * (len(inputs) - len(found))
            # The gradient itself will be differentiated: by the steps of the value.
            values = ctx.function(*inputs)[0]
            values = values if isinstance(values, tuple) else (values,)
            slopes = [
                (value, slope)
                for value, slope in zip(values, upstream, strict=True)
                if value.requires_grad
            ]
            found = iter(
                torch.autograd.grad(
                    [value for value, _ in slopes],
                    [x for x in inputs if x.requires_grad],
                    [slope for _, slope in slopes],
                    create_graph=True,
                    allow_unused=True,
                )
            )
            return None, *(next(found) if x.requires_grad else None for x in inputs)

    return Written


def chosen(values: Tensor, mask: Tensor, otherwise: float = 0.0) -> Tensor:
    """`values` where `mask`, and a number elsewhere, whatever they are there.

    Args:
        values: Float, of a shape that can be broadcast to that of the mask.
        mask: Bool `[rows, keys]`.
        otherwise: The number.
    """
    if keras.backend.backend() != "torch":
        return ops.where(mask, values, otherwise)
    import torch

    given, where = torch.as_tensor(values), torch.as_tensor(mask)
    if not given.is_cpu or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return torch.where(where, given, otherwise)
    # PyTorch chooses number by number, which takes ten times as long where a mask cannot be
    # foreseen. Where nothing is recorded, it is a choice of bits.
    bits = torch.int64 if given.dtype == torch.float64 else torch.int32
    kept = where.view(torch.int8).neg().to(bits)
    if not otherwise:
        return kept.bitwise_and_(given.view(bits)).view(given.dtype)
    other = torch.tensor(otherwise, dtype=given.dtype).view(bits)
    kept = kept.bitwise_and_(given.view(bits).bitwise_xor(other)).bitwise_xor_(other)
    return kept.view(given.dtype)


def slope_of(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The derivative of an elementwise function at `x`, for a gradient of `with_gradient`.

    Args:
        function: Maps each entry of a tensor by itself.
        x: The tensor.
    """
    if keras.backend.backend() == "torch":
        import torch

        with torch.enable_grad():
            x = ops.stop_gradient(x).requires_grad_()
            values: Any = function(x)
            if not values.requires_grad:  # A constant.
                return torch.zeros_like(x)
            return torch.autograd.grad(values.sum(), x, materialize_grads=True)[0]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        values = function(x)
    return tape.gradient(values, x, unconnected_gradients="zero")


def products(queries: Tensor, keys: Tensor) -> Tensor:
    """`<q, k>` of every query and key, `[n, dim]` and `[m, dim]` -> `[n, m]`."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # The gradient of a transposed matrix would be transposed back, in a pass of its own.
        return tf.matmul(queries, keys, transpose_b=True)
    return ops.matmul(queries, ops.transpose(keys))


def negative_products(queries: Tensor, keys: Tensor) -> Tensor:
    """`-<q, k>` of every query and key, `[n, dim]` and `[m, dim]` -> `[n, m]`."""
    if keys is queries:
        return with_gradient(_negative_products_among, queries)
    return products(-queries, keys)


def lengths_among(x: Tensor, smallest: float) -> Tensor:
    """`||a - b||` of every two rows of a matrix near the origin, `[n, dim]` -> `[n, n]`.

    Args:
        x: The matrix.
        smallest: What lengths are at least; those that are it have no gradient.
    """

    def function(x: Tensor) -> WithGradient:
        lengths = ops.sqrt(ops.maximum(squares(x, x), smallest**2))

        def gradient(x: Tensor, lengths: Tensor, upstream: Tensor) -> Tensor:
            directions = chosen(upstream / lengths, lengths > smallest)
            return _of_differences(x, directions)

        return lengths, (x, lengths), gradient

    return with_gradient(function, x)


def squares_among(x: Tensor) -> Tensor:
    """`||a - b||^2` of every two rows of a matrix near the origin, `[n, dim]` -> `[n, n]`."""
    return with_gradient(_squares_among, x)


def squares(queries: Tensor, keys: Tensor) -> Tensor:
    """`||q - k||^2` of every query and key near the origin, `[n, dim]` and `[m, dim]` -> `[n, m]`.

    `[-2q, |q|^2, 1] . [k, 1, |k|^2]` expands the square inside the product, so that neither
    direction makes a further pass over the matrix.
    """

    def lengths(x: Tensor) -> Tensor:
        return ops.sum(ops.square(x), axis=-1, keepdims=True)

    left = ops.concatenate([-2 * queries, lengths(queries), ops.ones_like(queries[:, :1])], axis=1)
    right = ops.concatenate([keys, ops.ones_like(keys[:, :1]), lengths(keys)], axis=1)
    return ops.matmul(left, ops.transpose(right))


def _negative_products_among(x: Tensor) -> WithGradient:
    def gradient(x: Tensor, upstream: Tensor) -> Tensor:
        return _both_ways(upstream, -x)

    return ops.matmul(-x, ops.transpose(x)), (x,), gradient


def _squares_among(x: Tensor) -> WithGradient:
    def gradient(x: Tensor, upstream: Tensor) -> Tensor:
        return 2 * _of_differences(x, upstream)

    return squares(x, x), (x,), gradient


def _of_differences(x: Tensor, weights: Tensor) -> Tensor:
    """`sum over b of (w(a, b) + w(b, a)) (a - b)`, of each row a."""
    # Sums of what is subtracted, and beside it of the weights.
    ones = ops.ones_like(x[:, :1])
    sums = _both_ways(weights, ops.concatenate([x, ones], axis=1))
    return x * sums[:, -1:] - sums[:, :-1]


# From so many rows on, a transposed matrix takes as long as a product: read across, every number is
# a line of the cache of its own.
_LARGE, _STRIP = 2048, 256


def _both_ways(weights: Tensor, x: Tensor) -> Any:
    """`(G + G^T) x`."""
    rows = weights.shape[0]
    if rows is None or rows < _LARGE:
        return ops.matmul(weights + _turned(weights), x)
    products: list[Any] = []
    for begin in range(0, rows, _STRIP):
        # One after the other, so that there is one strip at a time.
        with _after(products):
            strip = weights[:, begin : begin + _STRIP]
        products.append(ops.matmul(weights[begin : begin + _STRIP] + _turned(strip), x))
    return ops.concatenate(products, axis=0)


def _turned(matrix: Tensor) -> Any:
    turned: Any = ops.transpose(matrix)
    # PyTorch is several times as quick at copying what it reads across.
    return turned.contiguous() if keras.backend.backend() == "torch" else turned


def _after(steps: list[Any]) -> contextlib.AbstractContextManager[Any]:
    """What is done within comes after the last of some steps."""
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    return tf.control_dependencies(steps[-1:])
