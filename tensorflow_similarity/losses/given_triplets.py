"""A loss on triplets that are given, row by row."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity import distances
from tensorflow_similarity._checks import choice
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.losses.arguments import checked_flag, checked_number
from tensorflow_similarity.losses.base import PerExampleLoss, wide_float
from tensorflow_similarity.losses.triplet_losses import triplet_margin

__all__ = ["TripletMarginLoss"]

_LAYOUTS = ("columns", "interleaved", "blocks")
_IN_BATCH = ("hard", "all")


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class TripletMarginLoss(PerExampleLoss):
    """Triplet loss on ready-made triplets: an anchor, its positive and its negative in each row.

    `loss = max(0, d(a, p) - d(a, n) + margin)`, or with `margin=None` the soft margin
    `log(1 + exp(d(a, p) - d(a, n)))`, averaged over the anchors. No class ids are needed, and
    nothing is mined: for triplets that the loss makes of class ids see `TripletLoss`.

    With `in_batch_negatives`, the positives and negatives of the other anchors in the batch are
    negatives of an anchor, too: `"hard"` takes the nearest of all for d(a, n), `"all"` the mean
    loss over all. Leave it out where the same example may be the positive of several anchors.

    Args:
        margin: The margin, in units of the distance; None for the soft margin.
        distance: Distance between embeddings, by name or object.
        in_batch_negatives: None (the default), `"hard"` or `"all"`.
        swap: Whether the distance of a negative is that to the anchor or to the positive,
            whichever is smaller, as in `PNLoss`.
        layout: How `y_pred` holds the triplets: `"columns"` (the default), a triplet in each
            row; `"interleaved"`, rows a, p, n, a, p, n, …; or `"blocks"`, all anchors, then all
            positives, then all negatives.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_pred`, for `"columns"`: `[batch, 3, dim]` (`keras.ops.stack([a, p, n], axis=1)`);
    `[batch, 2 + k, dim]` for k negatives each, whose mean loss is taken (k may be 0 with
    `in_batch_negatives`); or `[batch, 3 * dim]` (`keras.layers.Concatenate()([a, p, n])`). For the
    other layouts: `[3 * batch, dim]`.
    `y_true` is of no use and may be anything. `sample_weight` is that of the anchors, `[batch]`.

    Recommended: `SiameseModel`, which trains one network on triplets as they are; `DualEncoder`,
    which trains a query and a candidate tower.

    Relations: `torch.nn.TripletMarginLoss`, and the `TripletLoss` of sentence-transformers.

    Raises:
        ValueError: If an argument is none of these, or `y_pred` is of another shape.

    Example:

    ```python
    from tensorflow_similarity.losses import TripletMarginLoss

    loss = TripletMarginLoss(margin=1.0)
    triplets = [[[0.0], [1.0], [3.0]], [[0.0], [2.0], [1.0]]]
    loss([0, 0], triplets)  # (0 + 2) / 2
    TripletMarginLoss(in_batch_negatives="hard")([0, 0], triplets)  # (1 + 2) / 2
    ```

    Reference:
        Balntas et al., *Learning local feature descriptors with triplets and shallow
        convolutional neural networks*, BMVC 2016,
        https://www.bmva-archive.org.uk/bmvc/2016/papers/paper119/
    """

    takes_triplets = True

    def __init__(
        self,
        margin: float | None = 1.0,
        distance: DistanceLike = "euclidean",
        in_batch_negatives: str | None = None,
        swap: bool = False,
        layout: str = "columns",
        name: str = "triplet_margin_loss",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.margin = None if margin is None else checked_number(margin, "margin")
        self.distance = distances.get(distance)
        if in_batch_negatives is not None:
            choice(in_batch_negatives, "in_batch_negatives", _IN_BATCH, "None")
        choice(layout, "layout", _LAYOUTS)
        self.in_batch_negatives, self.layout = in_batch_negatives, layout
        self.swap = checked_flag(swap, "swap")

    def checked_predictions(self, y_pred: Any) -> Tensor:
        """Triplets as a tensor `[batch, 2 + negatives, dim]`."""
        y_pred = wide_float(y_pred)
        shape = tuple(y_pred.shape)
        if self.layout == "columns":
            fewest = 3 if self.in_batch_negatives is None else 2
            if len(shape) == 3 and (shape[1] is None or shape[1] >= fewest):
                return y_pred
            if len(shape) == 2 and shape[1] is not None and shape[1] % 3 == 0:
                return ops.reshape(y_pred, (-1, 3, shape[1] // 3))
            expected = (
                "[batch, 3, dim] or [batch, 3 * dim]: the embeddings of an anchor, a positive and "
                "a negative in each row, e.g. keras.ops.stack([a, p, n], axis=1)"
            )
        else:
            if len(shape) == 2 and (shape[0] is None or shape[0] % 3 == 0):
                if self.layout == "interleaved":
                    return ops.reshape(y_pred, (-1, 3, shape[1]))
                return ops.transpose(ops.reshape(y_pred, (3, -1, shape[1])), (1, 0, 2))
            expected = f"[3 * batch, dim] with layout={self.layout!r}"
        raise ValueError(
            f"`y_pred` must have shape {expected} for TripletMarginLoss. Received: shape {shape}. "
            "For embeddings with class ids use TripletLoss."
        )

    def checked_labels(self, y_true: Any, batch: Any) -> Any:
        """Nothing: rows say themselves what belongs together."""
        return ops.zeros((0,), dtype="int32")

    def counted(self, labels: Tensor) -> Tensor | None:
        return None

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each anchor, `[batch]`."""
        anchors, positives = y_pred[:, 0], y_pred[:, 1]
        near = self.distance.paired(anchors, positives)[:, None]
        own = near[:, :0]  # pairs, whose negatives are all in the batch
        if y_pred.shape[1] != 2:
            own = self._own(anchors, positives, y_pred[:, 2:])
        if self.in_batch_negatives is None:
            return ops.mean(triplet_margin(near - own, self.margin), axis=1)
        far, counts = self._in_batch(anchors, positives, y_pred[:, 2:])
        far = ops.concatenate([own, far], axis=1)
        counts = ops.concatenate([ops.ones_like(own), counts], axis=1)
        if self.in_batch_negatives == "hard":
            top = ops.max(ops.stop_gradient(far), axis=1, keepdims=True)
            nearest = ops.min(ops.where(counts > 0, far, top), axis=1)
            losses = triplet_margin(near[:, 0] - nearest, self.margin)
            # One anchor alone may have no negative.
            return ops.where(ops.max(counts, axis=1) > 0, losses, 0)
        terms = triplet_margin(ops.where(counts > 0, near - far, 0), self.margin)
        return ops.sum(terms * counts, axis=1) / ops.maximum(ops.sum(counts, axis=1), 1)

    def _own(self, anchors: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Distances of the given negatives, `[batch, negatives]`."""
        number, dim = ops.shape(negatives)[1], negatives.shape[2]
        flat = ops.reshape(negatives, (-1, dim))

        def to(queries: Tensor) -> Tensor:
            every = ops.reshape(ops.repeat(queries, number, axis=0), (-1, dim))
            return ops.reshape(self.distance.paired(every, flat), (-1, number))

        far = to(anchors)
        return ops.minimum(far, to(positives)) if self.swap else far

    def _in_batch(self, anchors: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Any, Any]:
        """Distances of the positives and negatives of other rows, and which are of others."""
        replicas = self.replicas()
        rows = ops.arange(ops.shape(anchors)[0], dtype="int32")
        owner = replicas.gather(ops.zeros_like(rows) + replicas.number())
        own = rows + ops.sum(ops.cast(owner < replicas.number(), "int32"))
        keys = replicas.gather(positives)
        row_of_key = of = ops.arange(ops.shape(keys)[0], dtype="int32")
        if negatives.shape[1] != 0:
            number, dim = ops.shape(negatives)[1], negatives.shape[2]
            flat = ops.reshape(replicas.gather(negatives), (-1, dim))
            row_of_key = ops.concatenate([of, ops.repeat(of, number, axis=0)], axis=0)
            keys = ops.concatenate([keys, flat], axis=0)
        far = self.distance(anchors, keys)
        if self.swap:
            far = ops.minimum(far, self.distance(positives, keys))
        others = ops.not_equal(row_of_key[None, :], own[:, None])
        return far, ops.cast(others, far.dtype)

    def get_config(self) -> dict[str, Any]:
        by_name = self.distance.name in distances.names() and type(self.distance) is type(
            distances.get(self.distance.name)
        )
        return {
            **super().get_config(),
            "margin": self.margin,
            "distance": self.distance.name
            if by_name
            else keras.saving.serialize_keras_object(self.distance),
            "in_batch_negatives": self.in_batch_negatives,
            "swap": self.swap,
            "layout": self.layout,
        }
