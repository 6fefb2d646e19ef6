"""The base of the losses on proxies: cosines to classes in, one loss per example out."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from tensorflow_similarity import distances
from tensorflow_similarity.losses.class_range import assert_in_graph, check_range
from tensorflow_similarity.losses.labels import checked_class_id, class_ids_or_relevance
from tensorflow_similarity.losses.per_example_loss import PerExampleLoss, wide_float
from tensorflow_similarity.mining.rows import is_relevance

__all__ = ["ProxyLoss", "SoftmaxProxyLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ProxyLoss(PerExampleLoss):
    """Base of the losses that compare embeddings with proxies of classes.

    Proxies are trainable vectors that stand for classes. They live in a layer,
    `tensorflow_similarity.layers.ProxyHead`, whose output, cosines between
    embeddings and proxies, is what these losses take. A subclass writes
    `class_losses`.

    Args:
        name: Name of the loss.
        reduction: As in Keras: `"sum_over_batch_size"` (the default), `"sum"`,
            `"mean"`, `"mean_with_sample_weight"` or None.
        dtype: Accepted as in Keras. Half precision is computed in float32 all
            the same, and float64 in float64.

        ignore_class: A class id for examples of which nothing is known: the loss
            is that of the batch without them. None: every id is a class.

    Calling it takes:

    - `y_true`: integer class ids from 0 to `classes - 1`, `[batch]` or
      `[batch, 1]`. Batches of any composition will do, also one of a single
      class, or a single example.
    - `y_pred`: cosines `[batch, classes]`, or `[batch, classes, centers]` where
      classes have several proxies each; of these the nearest counts, unless a
      loss says otherwise.
    - `sample_weight`: optional `[batch]`.

    An id outside of 0 to `classes - 1` raises an error; within `fit` that is
    TensorFlow's `InvalidArgumentError`. Code that XLA compiled cannot raise one:
    there the example's loss is NaN, which shows in the training log, with a
    gradient of zero, which leaves the weights whole.

    Raises:
        ValueError, TypeError: If labels are one-hot, floats, strings or out of
            range, or shapes do not fit.

    Example:

    ```python
    import keras
    from tensorflow_similarity.losses import ProxyLoss

    @keras.saving.register_keras_serializable(package="mine")
    class PullOnlyProxyLoss(ProxyLoss):
        '''The cosine distance of each example to its class.'''

        def class_losses(self, cosines, targets):
            return 1 - keras.ops.sum(keras.ops.where(targets, cosines, 0), axis=1)

    PullOnlyProxyLoss()([0, 1], [[0.5, 0.1], [0.2, 0.9]])  # (0.5 + 0.1) / 2
    ```
    """

    #: The distance of the embedding below the proxies, which an index follows.
    distance: distances.Distance = distances.CosineDistance()

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
        *,
        ignore_class: int | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.ignore_class = checked_class_id(ignore_class, "ignore_class")

    def class_losses(self, cosines: Any, targets: Any) -> Any:
        """The loss of each example, `[batch]`.

        Args:
            cosines: Float `[batch, classes]`.
            targets: Bool `[batch, classes]`, each example's own class. Examples
                without one are not to count; their cosines are -1e4.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `class_losses`.")

    def to_classes(self, cosines: Any) -> Any:
        """Cosines to classes from those to their centers, `[batch, classes, centers]`."""
        return ops.max(cosines, axis=2)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each example of a batch: `[batch]`."""
        if len(y_pred.shape) == 3:
            y_pred = self.to_classes(y_pred)
        classes = ops.arange(ops.shape(y_pred)[1], dtype="int64")
        targets = ops.equal(y_true[:, None], classes[None, :])
        known = ops.any(targets, axis=1)
        counted = self.counted(y_true)
        if counted is None:
            losses = self.class_losses(y_pred, targets)
        else:
            targets = ops.logical_and(targets, counted[:, None])
            losses = self.class_losses(ops.where(counted[:, None], y_pred, -1e4), targets)
            losses = ops.where(counted, losses, 0)
            known = ops.logical_or(known, ops.logical_not(counted))
        assert_in_graph(known, y_true, ops.shape(y_pred)[1])
        return ops.where(known, losses, float("nan"))

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        shape = tuple(y_pred.shape if hasattr(y_pred, "shape") else np.shape(y_pred))
        check_range(y_true, shape[1] if len(shape) > 1 else None, self.ignore_class)
        return super().__call__(y_true, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal loss; JSON-able."""
        return {**super().get_config(), "ignore_class": self.ignore_class}

    def checked_predictions(self, y_pred: Any) -> Any:
        """Cosines as a tensor of float32, or float64 if they are that.

        Raises:
            ValueError: If they are not `[batch, classes]` or
                `[batch, classes, centers]`.
        """
        y_pred = wide_float(y_pred)
        if len(y_pred.shape) not in (2, 3):
            raise ValueError(
                "`y_pred` must be cosines of shape [batch, classes] or [batch, classes, centers] "
                f"for {type(self).__name__}, as layers.ProxyHead makes them. Received: shape "
                f"{tuple(y_pred.shape)}."
            )
        return y_pred

    def checked_labels(self, y_true: Any, batch: Any) -> Any:
        """Class ids as a tensor of int64 `[batch]`."""
        labels = class_ids_or_relevance(y_true, batch)
        if is_relevance(labels):
            raise ValueError(
                "`y_true` must be integer class ids of shape [batch] or [batch, 1] for "
                f"{type(self).__name__}. Received: shape {tuple(labels.shape)}."
            )
        return labels


class SoftmaxProxyLoss(ProxyLoss):
    """Base of the losses that are a softmax over classes, with a handicap for the own one.

    `loss = -log(exp(scale * t) / (exp(scale * t) + sum over other classes j of
    exp(scale * cos_j)))`, where t is what a subclass makes of the cosine to the
    own class, `own_class`.
    """

    scale: float

    def own_class(self, cosines: Any) -> Any:
        """What the cosines to the own classes, `[batch]`, are taken for."""
        return cosines

    def class_losses(self, cosines: Any, targets: Any) -> Any:
        own = ops.sum(ops.where(targets, cosines, 0), axis=1)
        own = self.own_class(own)
        logits = self.scale * ops.where(targets, own[:, None], cosines)
        return ops.logsumexp(logits, axis=1) - self.scale * own
