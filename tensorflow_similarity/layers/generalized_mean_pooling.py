"""Generalised mean pooling (GeM), between average and maximum."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._types import Shape, Tensor

__all__ = ["GeneralizedMeanPooling1D", "GeneralizedMeanPooling2D"]

# Powers closer to 0 than this give the geometric mean to float32 precision.
_GEOMETRIC = 1e-5


class GeneralizedMeanPooling(keras.layers.Layer):
    """Base of generalised mean pooling; subclasses set the number of axes.

    Args:
        p: The power.
        data_format: `"channels_last"`, `"channels_first"` or None.
        keepdims: Whether to keep pooled axes with length 1.
        **kwargs: `name` and `dtype`, as in Keras.
    """

    _pooled = 0
    p: float
    data_format: str
    keepdims: bool

    def __init__(
        self,
        p: float = 3.0,
        data_format: str | None = None,
        keepdims: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(p, bool) or not isinstance(p, numbers.Real) or math.isnan(p):
            raise ValueError(f"`p` must be a number, or math.inf or -math.inf. Received: {p!r}.")
        if data_format not in (None, "channels_last", "channels_first"):
            raise ValueError(
                "`data_format` must be 'channels_last', 'channels_first' or None. "
                f"Received: {data_format!r}."
            )
        self.p = float(p)
        self.data_format = data_format or keras.config.image_data_format()
        self.keepdims = checks.flag(keepdims, "keepdims")
        self.input_spec = keras.layers.InputSpec(ndim=2 + self._pooled)

    @property
    def _axes(self) -> tuple[int, ...]:
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(range(first, first + self._pooled))

    def call(self, inputs: Tensor) -> Tensor:
        return self._pool(inputs, None)

    def _pool(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        # Squares of half precision overflow at 256.
        wide = "float64" if keras.backend.standardize_dtype(inputs.dtype) == "float64" else None
        x = ops.cast(inputs, wide or "float32")
        pooled = _generalized_mean(x, self.p, self._axes, mask)
        if not self.keepdims:
            pooled = ops.squeeze(pooled, self._axes)
        return ops.cast(pooled, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        """As in Keras."""
        kept = [1 if i in self._axes else size for i, size in enumerate(input_shape)]
        if self.keepdims:
            return tuple(kept)
        return tuple(size for i, size in enumerate(kept) if i not in self._axes)

    def get_config(self) -> dict[str, Any]:
        """As in Keras."""
        own = {"p": self.p, "data_format": self.data_format, "keepdims": self.keepdims}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class GeneralizedMeanPooling1D(GeneralizedMeanPooling):
    """Generalised mean pooling (GeM) over steps.

    `m - 1 + mean((x - m + 1) ** p) ** (1 / p)` over the steps, where m is the smallest
    value of the channel in the example. The shift by m makes the powers those of
    numbers of at least 1, whatever the sign of the values.

    p = 1 is the average; a larger p approaches the maximum, which is `math.inf`; p = 0 is
    the geometric mean (of the shifted values), `-math.inf` the minimum. Any p is safe:
    powers are computed through logarithms, in float32 at least, without overflow or loss
    of small values.

    Steps hidden by a Keras mask (such as that of `Embedding(mask_zero=True)`) are ignored;
    an example with no visible step is pooled to zeros.

    Args:
        p: The power. Defaults to 3.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `None`:
            that of the Keras configuration.
        keepdims: Whether to keep the axis of steps with length 1. Defaults to `False`.
        **kwargs: `name` and `dtype`, as in Keras.

    Input shape:
        `[batch, steps, channels]`, or `[batch, channels, steps]` for
        `"channels_first"`.

    Output shape:
        `[batch, channels]`; with `keepdims`, the input shape with 1 step.

    Raises:
        ValueError: If p is not a number, or `data_format` is neither of the two.

    Example:

    ```python
    import keras
    from tensorflow_similarity.layers import GeneralizedMeanPooling1D

    x = keras.ops.convert_to_tensor([[[0.0], [1.0], [2.0]]])
    GeneralizedMeanPooling1D(p=3.0)(x)  # ((1 + 8 + 27) / 3) ** (1 / 3) - 1 = 1.289
    ```

    Reference:
        Radenović, Tolias and Chum, *Fine-tuning CNN Image Retrieval with No Human
        Annotation*, TPAMI 2019, https://arxiv.org/abs/1711.02512
    """

    _pooled = 1

    def __init__(
        self,
        p: float = 3.0,
        data_format: str | None = None,
        keepdims: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(p=p, data_format=data_format, keepdims=keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None:
            mask = ops.expand_dims(mask, 2 if self.data_format == "channels_last" else 1)
        return self._pool(inputs, mask)

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        """Returns None: the output has no steps to mask."""


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class GeneralizedMeanPooling2D(GeneralizedMeanPooling):
    """Generalised mean pooling (GeM) over feature maps.

    `m - 1 + mean((x - m + 1) ** p) ** (1 / p)` over all positions, where m is the smallest
    value of the channel in the example. The shift by m makes the powers those of
    numbers of at least 1, whatever the sign of the values.

    p = 1 is the average; a larger p approaches the maximum, which is `math.inf`; p = 0 is
    the geometric mean (of the shifted values), `-math.inf` the minimum. Any p is safe:
    powers are computed through logarithms, in float32 at least, without overflow or loss
    of small values.

    Args:
        p: The power. Defaults to 3.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `None`:
            that of the Keras configuration.
        keepdims: Whether to keep the spatial axes with length 1. Defaults to `False`.
        **kwargs: `name` and `dtype`, as in Keras.

    Input shape:
        `[batch, height, width, channels]`, or `[batch, channels, height, width]`
        for `"channels_first"`.

    Output shape:
        `[batch, channels]`; with `keepdims`, the input shape with height and width 1.

    Raises:
        ValueError: If p is not a number, or `data_format` is neither of the two.

    Example:

    ```python
    import keras
    from tensorflow_similarity.layers import GeneralizedMeanPooling2D

    maps = keras.random.normal((2, 7, 7, 16))
    GeneralizedMeanPooling2D(p=3.0)(maps).shape  # (2, 16)
    ```

    Reference:
        Radenović, Tolias and Chum, *Fine-tuning CNN Image Retrieval with No Human
        Annotation*, TPAMI 2019, https://arxiv.org/abs/1711.02512
    """

    _pooled = 2


def _generalized_mean(x: Tensor, p: float, axes: tuple[int, ...], mask: Tensor | None) -> Tensor:
    """The generalised mean of values shifted to a minimum of 1, shifted back."""
    if mask is None:

        def mean(values: Tensor) -> Tensor:
            return ops.mean(values, axis=axes, keepdims=True)

        present = None
    else:
        weights = ops.cast(mask, x.dtype)
        number = ops.sum(weights, axis=axes, keepdims=True)
        present = number > 0
        number = ops.maximum(number, 1)
        # A hidden step gets the value of a visible step, or 0 if there is none, which
        # changes neither minimum nor maximum.
        highest = ops.max(ops.where(mask, x, -math.inf), axis=axes, keepdims=True)
        x = ops.where(mask, x, ops.where(present, highest, 0.0))

        def mean(values: Tensor) -> Tensor:
            return ops.sum(values * weights, axis=axes, keepdims=True) / number

    if p == 1:
        pooled = mean(x)
    elif p == math.inf:
        pooled = ops.max(x, axis=axes, keepdims=True)
    else:
        least = ops.min(x, axis=axes, keepdims=True)
        pooled = least if p == -math.inf else least + _above_least(x - least, p, axes, mean)
    return pooled if present is None else ops.where(present, pooled, ops.zeros_like(pooled))


def _above_least(
    excess: Tensor, p: float, axes: tuple[int, ...], mean: Callable[[Tensor], Tensor]
) -> Tensor:
    """`mean((excess + 1) ** p) ** (1 / p) - 1`, for excesses of at least 0."""
    logs = ops.log1p(excess)
    if abs(p) < _GEOMETRIC:
        return ops.expm1(mean(logs))
    # The largest power is factored out before the mean, unless it is small, so that it is 1
    # and the others are less. It can be a constant to the gradient, since the result does not
    # depend on it.
    largest = ops.stop_gradient(ops.max(logs, axis=axes, keepdims=True))
    out = ops.where(p * largest > 1, largest, ops.zeros_like(largest))
    return ops.expm1(out + _log_mean_exp(p * (logs - out), mean) / p)


def _log_mean_exp(x: Tensor, mean: Callable[[Tensor], Tensor]) -> Tensor:
    """`log(mean(exp(x)))` for x of at most 1, one of them near 0: exact near 0 and far from it."""
    near = mean(ops.expm1(x))
    return ops.where(near > -0.5, ops.log1p(ops.maximum(near, -0.5)), ops.log(mean(ops.exp(x))))
