"""The replicas that compute a batch together, each a part of it.

A loss on pairs needs the examples of all replicas: queries are a replica's own rows, keys
those of the whole batch. Gathering is differentiable, and its gradient is the sum of what all
replicas send back. Alone, everything here is the identity.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

__all__ = ["ALONE", "Replicas", "current_replicas"]


class Replicas:
    """One device alone, which is the base of the others.

    Attributes:
        count: How many replicas compute the batch.
        weight: What the part of a replica in a loss is multiplied with. TensorFlow adds
            the gradients of replicas, PyTorch averages them.
    """

    count: int = 1
    weight: float = 1.0

    def gather(self, x: Any) -> Any:
        """The rows of all replicas, in their order: `[n, ...]` -> `[batch, ...]`."""
        return x

    def number(self) -> Any:
        """Which of the replicas this is, an int32 scalar."""
        return ops.zeros((), dtype="int32")

    def totals(self, *values: Any) -> tuple[Any, ...]:
        """The sums of scalars over the replicas, as constants to the gradient."""
        row = ops.stop_gradient(ops.stack(values))[None]
        return tuple(ops.unstack(ops.sum(self.gather(row), axis=0), num=len(values)))

    def gather_structure(self, values: Any) -> Any:
        """`gather` for a structure of floats, in one call."""
        leaves = keras.tree.flatten(values)
        if self.count == 1 or not leaves:
            return values
        # All but the rows are of a known size: histograms, sums and numbers.
        widths = [math.prod(x.shape[1:]) for x in leaves]
        columns = [ops.reshape(x, (-1, w)) for x, w in zip(leaves, widths, strict=True)]
        every = self.gather(ops.concatenate(columns, axis=1))
        parts, begin = [], 0
        for leaf, width in zip(leaves, widths, strict=True):
            part = every[:, begin : begin + width]
            parts.append(ops.reshape(part, (-1, *leaf.shape[1:])))
            begin += width
        return keras.tree.pack_sequence_as(values, parts)


ALONE = Replicas()


class _TensorFlowReplicas(Replicas):
    """The replicas of a `tf.distribute` strategy."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.count = context.num_replicas_in_sync

    def gather(self, x: Any) -> Any:
        import tensorflow as tf

        x = tf.convert_to_tensor(x)
        if x.dtype == tf.bool:
            return tf.cast(self.gather(tf.cast(x, tf.int32)), tf.bool)
        every = self.context.all_gather(x, axis=0)
        if x.dtype.is_floating:
            every = _with_dense_gradient(every)
        return tf.ensure_shape(every, [None, *x.shape[1:]])

    def number(self) -> Any:
        import tensorflow as tf

        return tf.cast(self.context.replica_id_in_sync_group, tf.int32)


def _with_dense_gradient(x: Any) -> Any:
    """The same. Losses that look at some rows send back slices, which cannot be gathered."""
    import tensorflow as tf

    @tf.custom_gradient
    def same(x: Any) -> Any:
        return tf.identity(x), tf.convert_to_tensor

    return same(x)


class _TorchReplicas(Replicas):
    """The processes of `torch.distributed`."""

    def __init__(self, distributed: Any) -> None:
        self.distributed = distributed
        self.count = distributed.get_world_size()
        self.weight = float(self.count)

    def gather(self, x: Any) -> Any:
        return _torch_gather(x, self.distributed)

    def number(self) -> Any:
        return ops.convert_to_tensor(self.distributed.get_rank(), dtype="int32")


def _torch_gather(x: Any, distributed: Any) -> Any:
    import torch

    count, rank = distributed.get_world_size(), distributed.get_rank()
    size = torch.tensor([len(x)], device=x.device)
    sizes = [torch.zeros_like(size) for _ in range(count)]
    distributed.all_gather(sizes, size)
    sizes = [int(s) for s in sizes]
    most = max(sizes)

    class Gather(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: Any) -> Any:
            padded = x.new_zeros((most, *x.shape[1:]))
            padded[: len(x)] = x
            every = [torch.zeros_like(padded) for _ in range(count)]
            distributed.all_gather(every, padded)
            return torch.cat([part[:n] for part, n in zip(every, sizes, strict=True)])

        @staticmethod
        def backward(context: Any, gradient: Any) -> Any:
            gradient = gradient.contiguous()
            distributed.all_reduce(gradient)
            begin = sum(sizes[:rank])
            return gradient[begin : begin + sizes[rank]]

    return Gather.apply(x)


def current_replicas() -> Replicas:
    """The replicas of the step that is under way; `ALONE` where there is one device.

    With JAX a step sees the whole batch, whatever devices it is on.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        if tf.distribute.has_strategy():
            context = tf.distribute.get_replica_context()
            if context is not None and context.num_replicas_in_sync > 1:
                return _TensorFlowReplicas(context)
    elif backend == "torch":
        import torch.distributed as distributed

        together = distributed.is_available() and distributed.is_initialized()
        if together and distributed.get_world_size() > 1:
            return _TorchReplicas(distributed)
    return ALONE
