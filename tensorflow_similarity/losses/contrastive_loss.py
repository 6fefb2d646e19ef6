"""Contrastive loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.labels import binary_labels
from tensorflow_similarity.losses.masked import masked_sum, mean_over_pairs
from tensorflow_similarity.losses.metric_loss import checked_number
from tensorflow_similarity.losses.pairwise_values import PairwiseValuesLoss
from tensorflow_similarity.losses.triplet_loss import strategy_config
from tensorflow_similarity.mining.rows import Rows
from tensorflow_similarity.mining.strategies import get_negative, get_positive

__all__ = ["ContrastiveLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ContrastiveLoss(PairwiseValuesLoss):
    """Contrastive loss: alike pairs are pulled together, others pushed to a margin.

    A pair at distance d costs `y d^p + (1 - y) max(0, margin - d)^p`, where y is
    1 for a pair that is alike, and the power p is 2 unless you say otherwise.

    With `distance=None`, the default, `y_pred` **is** the distances `[batch]` and
    `y_true` is binary, as in TensorFlow Addons. With a distance, `y_pred` is
    embeddings and `y_true` class ids, and the loss forms the pairs itself: the
    loss is the mean cost of the mined positive pairs plus the mean cost of the
    mined negative pairs that are nearer than the margin, over the batch. So few
    positives weigh as much as many negatives, and negatives that are far already
    do not dilute the others. Per query, the sums are scaled so that the mean over
    the batch is this value.

    Args:
        margin: Negatives at least so far cost nothing, in units of the distance.
        distance: Distance between embeddings, by name or object; None if
            `y_pred` holds distances.
        positive_mining_strategy: `"all"` (the default), `"hard"`, `"easy"` or a
            `MiningStrategy`. Used with embeddings.
        negative_mining_strategy: `"all"` (the default), `"hard"`, `"semi-hard"`
            (beyond the farthest kept positive), `"easy"` or a `MiningStrategy`.
        name: Name of the loss.
        power: 2 as in the paper, or 1, with which pairs near their goal are pulled
            and pushed as hard as all others.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs, with `distance=None`: `y_true` `[batch]` or `[batch, 1]`, bool,
    integer or float, 1 where the pair is alike; `y_pred` distances `[batch]` or
    `[batch, 1]`. With a distance: `y_true` integer class ids `[batch]`, `y_pred`
    embeddings `[batch, dim]`.

    Recommended: `distance="euclidean"` on normalised embeddings. For few classes
    with many examples keep `power=2`; for many classes with few examples, as in
    recognising unseen classes, `power=1` learns faster.

    Relations: with `power=1` and `distance="euclidean"` it is
    pytorch-metric-learning's `ContrastiveLoss()` on normalised embeddings.

    Example:

    ```python
    from tensorflow_similarity.losses import ContrastiveLoss

    ContrastiveLoss()([1, 0], [0.5, 0.2])  # (0.25 + 0.64) / 2
    ContrastiveLoss(distance="euclidean")([0, 0, 1], [[0.0], [0.5], [9.0]])  # 0.25
    ```

    Reference:
        Hadsell et al., *Dimensionality Reduction by Learning an Invariant
        Mapping*, CVPR 2006,
        http://yann.lecun.com/exdb/publis/pdf/hadsell-chopra-lecun-06.pdf
    """

    def __init__(
        self,
        margin: float = 1.0,
        distance: Any = None,
        positive_mining_strategy: Any = "all",
        negative_mining_strategy: Any = "all",
        name: str = "contrastive_loss",
        *,
        power: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        if power not in (1, 2):
            raise ValueError(f"`power` must be 1 or 2. Received: {power!r}.")
        self.power = int(power)
        self.margin = checked_number(margin, "margin")
        self.positive_mining_strategy = get_positive(positive_mining_strategy)
        self.negative_mining_strategy = get_negative(negative_mining_strategy)

    def _cost(self, excess: Any) -> Any:
        return ops.square(excess) if self.power == 2 else excess

    def _push(self, distances: Any) -> Any:
        return self._cost(ops.relu(self.margin - distances))

    def query_losses(
        self,
        query_labels: Any,
        queries: Any,
        key_labels: Any,
        keys: Any,
        queries_are_keys: bool = False,
    ) -> Any:
        pull, pulled, push, pushed = self.map_rows(
            self._sums, query_labels, queries, key_labels, keys, queries_are_keys
        )
        counted = self.counted(query_labels)
        return mean_over_pairs(pull, pulled, counted) + mean_over_pairs(push, pushed, counted)

    def _sums(self, rows: Rows) -> tuple[Any, Any, Any, Any]:
        """Costs and numbers of each query's pulled and pushed pairs."""
        distances, positives, negatives, *_ = rows
        constant = ops.stop_gradient(distances)
        no_threshold = ops.zeros_like(constant[:, 0])
        pulled = self.positive_mining_strategy.keep(constant, positives, no_threshold)
        farthest = ops.max(ops.where(pulled, constant, -float("inf")), axis=1)
        pushed = self.negative_mining_strategy.keep(constant, negatives, farthest)
        pushed = ops.logical_and(pushed, constant < self.margin)
        # Distances that are not pulled may be large: not even their square is formed.
        pull = self._cost(ops.where(pulled, distances, 0))
        return (
            masked_sum(pull, pulled),
            masked_sum(ops.ones_like(pull), pulled),
            masked_sum(self._push(distances), pushed),
            masked_sum(ops.ones_like(pull), pushed),
        )

    def values_loss(self, y_true: Any, y_pred: Any) -> Any:
        alike = ops.cast(y_true, y_pred.dtype)
        return alike * self._cost(y_pred) + (1 - alike) * self._push(y_pred)

    def checked_values(self, y_pred: Any) -> Any:
        shape = tuple(y_pred.shape)
        if len(shape) == 2 and shape[1] == 1:
            return y_pred[:, 0]
        if len(shape) != 1:
            raise ValueError(
                "ContrastiveLoss(distance=None) takes `y_pred` = distances of shape [batch]. "
                f"Received: shape {shape}. If these are embeddings pass a distance, e.g. "
                'ContrastiveLoss(distance="cosine").'
            )
        return y_pred

    def checked_labels(self, y_true: Any, batch: Any) -> Any:
        if self.distance is None:
            return binary_labels(y_true, batch)
        return super().checked_labels(y_true, batch)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "margin": self.margin,
            "power": self.power,
            "positive_mining_strategy": strategy_config(self.positive_mining_strategy, "positive"),
            "negative_mining_strategy": strategy_config(self.negative_mining_strategy, "negative"),
        }
