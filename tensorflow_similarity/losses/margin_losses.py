"""Losses that keep each pair on its side of a margin."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._checks import count
from tensorflow_similarity._types import Shape, Tensor
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.losses.arguments import checked_number
from tensorflow_similarity.losses.comparison import Comparison
from tensorflow_similarity.losses.labels import (
    binary_labels,
    check_class_range,
    invalid_binary,
    refuse_in_graph,
)
from tensorflow_similarity.losses.masked import (
    masked_sum,
    mean_over_pairs,
    number_of,
    pull_and_push,
)
from tensorflow_similarity.losses.metric_loss import PairwiseValuesLoss, StatisticsLoss
from tensorflow_similarity.mining.miners import Miner, StrategyMiner
from tensorflow_similarity.mining.pairs import Pairs
from tensorflow_similarity.mining.strategies import MiningStrategy

__all__ = [
    "ContrastiveLoss",
    "IntraPairVarianceLoss",
    "MarginLoss",
    "SNRContrastiveLoss",
    "ThresholdConsistentMarginLoss",
]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ContrastiveLoss(PairwiseValuesLoss, StatisticsLoss):
    """Contrastive loss: pulls positive pairs together, and pushes others beyond a margin.

    A pair at distance d costs `y d^p + (1 - y) max(0, margin - d)^p`, where y is
    1 for a positive pair, and the power p is 2 by default.

    With `distance=None`, the default, `y_pred` **is** the distances `[batch]` and
    `y_true` is binary, as in TensorFlow Addons. With a distance, `y_pred` is
    embeddings and `y_true` class ids, and the loss forms the pairs itself: the
    loss is the mean cost of the mined positive pairs plus the mean cost of the
    mined negative pairs that are nearer than the margin, over the batch. So few
    positives weigh as much as many negatives, and negatives that are far away do
    not dilute the others. Per query, the sums are scaled so that the mean over
    the batch is this value.

    Args:
        margin: Distance from which negatives cost nothing.
        distance: Distance between embeddings, by name or object; None if
            `y_pred` holds distances.
        positive_mining_strategy: `"all"` (the default), `"hard"`, `"easy"` or a
            `MiningStrategy`. Used with embeddings.
        negative_mining_strategy: `"all"` (the default), `"hard"`, `"semi-hard"`
            (beyond the farthest kept positive), `"easy"` or a `MiningStrategy`.
        name: Name of the loss.
        power: 2 as in the paper, or 1, with which pairs near their goal are pulled
            and pushed as hard as all others.
        **options: The options of every loss.

    Inputs, with `distance=None`: `y_true` `[batch]` or `[batch, 1]`, bool,
    integer or float, 1 where the pair is positive; `y_pred` distances `[batch]` or
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
        distance: DistanceLike | None = None,
        positive_mining_strategy: str | MiningStrategy = "all",
        negative_mining_strategy: str | MiningStrategy = "all",
        name: str = "contrastive_loss",
        *,
        power: int = 2,
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        if power not in (1, 2):
            raise ValueError(f"`power` must be 1 or 2. Received: {power!r}.")
        self.power = int(power)
        self.margin = checked_number(margin, "margin")
        self._miner = StrategyMiner(positive_mining_strategy, negative_mining_strategy)
        self.positive_mining_strategy = self._miner.positive_mining_strategy
        self.negative_mining_strategy = self._miner.negative_mining_strategy

    def miners(self) -> tuple[Miner, ...]:
        return super().miners() if self._miner.keeps_all else (*super().miners(), self._miner)

    def _cost(self, excess: Any) -> Tensor:
        return ops.square(excess) if self.power == 2 else excess

    def _push(self, distances: Tensor) -> Tensor:
        return self._cost(ops.relu(self.margin - distances))

    def statistics(self, pairs: Pairs) -> Any:
        distances, positives, negatives, *_ = pairs
        return pull_and_push(distances, positives, negatives, None, self.margin, self.power)

    def values_loss(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        positive = ops.cast(y_true, y_pred.dtype)
        return positive * self._cost(y_pred) + (1 - positive) * self._push(y_pred)

    def checked_values(self, y_pred: Any) -> Tensor:
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

    def invalid_labels(self, y_true: Any) -> Tensor | None:
        if self.distance is None:
            return invalid_binary(y_true)
        return super().invalid_labels(y_true)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "margin": self.margin,
            "power": self.power,
            **self._miner.get_config(),
        }


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SNRContrastiveLoss(StatisticsLoss):
    """Contrastive loss on signal-to-noise ratios: the noise of a pair is its distance.

    `loss = mean over pairs (a, p) of max(0, d(a, p) - pos_margin)
    + mean over pairs (a, n) of max(0, neg_margin - d(a, n))`, with
    `d(a, b) = var(a - b) / var(a)`,

    where means are over the pairs whose term is above 0. Per query, the sums are scaled so
    that the mean over the batch is this value. A query without a positive is still pushed
    away from its negatives, and vice versa.

    Args:
        distance: Distance between embeddings, by name or object.
        pos_margin: Distance up to which positives cost nothing.
        neg_margin: Distance from which negatives cost nothing.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: batches with at least two classes, and two examples of one.

    Recommended: unnormalised embeddings, with a small penalty on their mean over the
    features (the paper's regulariser, an activity regulariser of the last layer), since
    the distance ignores a common offset.

    Relations: the terms of `ContrastiveLoss` without the square, on another
    distance; with `distance="euclidean"` the contrastive loss of
    pytorch-metric-learning.

    Example:

    ```python
    from tensorflow_similarity.losses import SNRContrastiveLoss

    SNRContrastiveLoss()([0, 0, 1], [[1.0, -1.0], [2.0, -2.0], [-1.0, 1.0]])  # 0.625
    ```

    Reference:
        Yuan et al., *Signal-to-Noise Ratio: A Robust Distance Metric for Deep
        Metric Learning*, CVPR 2019, https://arxiv.org/abs/1904.02616
    """

    def __init__(
        self,
        distance: DistanceLike | None = "snr",
        pos_margin: float = 0.0,
        neg_margin: float = 1.0,
        name: str = "snr_contrastive_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        self.pos_margin = checked_number(pos_margin, "pos_margin")
        self.neg_margin = checked_number(neg_margin, "neg_margin")

    def statistics(self, pairs: Pairs) -> Any:
        distances, positives, negatives, *_ = pairs
        return pull_and_push(distances, positives, negatives, self.pos_margin, self.neg_margin)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pos_margin": self.pos_margin,
            "neg_margin": self.neg_margin,
        }


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MarginLoss(StatisticsLoss):
    """Margin-based loss: keeps pairs on their side of a boundary.

    `loss = sum over triplets (a, p, n) of max(0, d(a, p) - beta + margin)
    + max(0, beta - d(a, n) + margin)`, divided by the number of terms above 0.

    It covers all triplets of the batch, without materialising them, so a query's positives
    together weigh as much as its negatives. Per query, the sum is
    scaled so that the mean over the batch is this value. A query without a
    positive, or without a negative, has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        margin: Distance that pairs should keep from the boundary.
        beta: The boundary, in units of the distance. None: the boundary is trained, and
            appended to the embeddings in `y_pred` by `layers.MarginHead`. (A variable in
            a loss would be neither trained nor saved.)
        name: Name of the loss.
        classes: The number of boundaries in `y_pred`, with `beta=None`: 1, or one for
            each class. Class ids are 0 to `classes - 1` then.
        nu: The weight of the boundary itself in the loss, which keeps it small.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`, normalised for the default boundary.

    Requirements: batches with at least two classes, and two examples of a class.

    Recommended: `beta` of 1.2 and `margin` of 0.2 with the Euclidean distance of
    unit vectors, in which random vectors are about 1.4 apart; in the paper negatives
    are sampled, `mining="distance_weighted"`.

    Relations: like `ContrastiveLoss`, with a margin for the positives too and without the
    square.

    Example:

    ```python
    from tensorflow_similarity.losses import MarginLoss

    loss = MarginLoss(beta=1.0, margin=0.5)
    loss([0, 0, 1], [[0.0], [1.0], [2.5]])  # 0.5
    ```

    Reference:
        Wu et al., *Sampling Matters in Deep Embedding Learning*, ICCV 2017,
        https://arxiv.org/abs/1706.07567
    """

    def __init__(
        self,
        distance: DistanceLike | None = "euclidean",
        margin: float = 0.2,
        beta: float | None = 1.2,
        name: str = "margin_loss",
        *,
        classes: int = 1,
        nu: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        self.margin = checked_number(margin, "margin")
        self.beta = None if beta is None else checked_number(beta, "beta")
        self.classes = count(classes, "classes")
        self.numbers_classes = self.classes > 1
        self.reads_head = self.beta is None
        self.nu = checked_number(nu, "nu")
        if self.beta is not None and self.classes > 1:
            raise ValueError(
                "`classes` is the number of trained boundaries: leave it out with a fixed one. "
                f"Received: classes={classes} with beta={beta!r}."
            )
        if self.numbers_classes and self.relevance is not None:
            raise ValueError(
                "`relevance` must be left out with a boundary for each class: labels must be class "
                f"ids. Received: classes={classes}."
            )

    def bind(self, head: object) -> None:
        if not self.reads_head:
            super().bind(head)
            return
        classes = getattr(head, "boundary_classes", None)
        if classes != self.classes:
            raise ValueError(
                f"`loss` takes {self.classes} boundaries from behind the embedding: the output "
                f"must be that of layers.MarginHead({self.classes}). Received: "
                f"{'a MarginHead of ' + str(classes) if classes else 'no MarginHead'}, with "
                f"{self!r}."
            )

    def classes_of(self, shape: Shape) -> int | None:
        return self.classes if self.numbers_classes else None

    def embeddings(self, outputs: Tensor) -> Tensor:
        return outputs[:, : -self.classes] if self.beta is None else outputs

    def statistics(self, pairs: Pairs) -> Any:
        distances, positives, negatives, *_ = pairs
        boundaries = self._boundaries(pairs)
        limits = (boundaries[:, None] + margin for margin in (-self.margin, self.margin))
        (pull, pulled), (push, pushed) = pull_and_push(distances, positives, negatives, *limits)
        # A positive pair occurs in as many triplets as there are negatives.
        triplets = number_of(negatives, distances.dtype), number_of(positives, distances.dtype)
        sums = triplets[0] * pull + triplets[1] * push
        return sums, triplets[0] * pulled + triplets[1] * pushed, boundaries

    def value(self, statistics: Any, comparison: Comparison) -> Any:
        sums, terms, boundaries = statistics
        losses = mean_over_pairs(sums, terms, comparison.counted)
        return losses + self.nu * ops.where(terms > 0, boundaries, 0)

    def _boundaries(self, pairs: Pairs) -> Tensor:
        """The boundary of each query, `[queries]`."""
        if self.beta is not None:
            return ops.zeros_like(pairs.outputs[:, 0]) + self.beta
        boundaries, labels = pairs.outputs[:, -self.classes :], pairs.labels
        if self.classes == 1:
            return boundaries[:, 0]
        own = ops.equal(labels[:, None], ops.arange(self.classes, dtype=labels.dtype)[None, :])
        known = ops.any(own, axis=1)
        counted = self.counted(labels)
        valid = known if counted is None else ops.logical_or(known, ops.logical_not(counted))
        refuse_in_graph(
            valid, labels, "`y_true` must be class ids from 0 to classes - 1, those of the head."
        )
        # Where errors cannot be raised, as in XLA, an unknown class gives NaN.
        return ops.where(valid, ops.sum(ops.where(own, boundaries, 0), axis=1), float("nan"))

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        if self.numbers_classes:
            check_class_range(y_true, self.classes, self.ignore_class)
        return super().__call__(y_true, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "margin": self.margin,
            "beta": self.beta,
            "classes": self.classes,
            "nu": self.nu,
        }


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class IntraPairVarianceLoss(StatisticsLoss):
    """Penalizes the variance of distances among positive pairs, and among negative pairs.

    With `s = 1 - d`, and m+ and m- the means of s over all positive and all
    negative pairs of the batch,

    `loss = mean over pairs (a, p) of max(0, (1 - pos_eps) m+ - s(a, p))^2
    + mean over pairs (a, n) of max(0, s(a, n) - (1 + neg_eps) m-)^2`.

    Per query, the sums are scaled so that the mean over the batch is this value.

    Args:
        distance: Distance between embeddings, by name or object. The
            similarity is 1 minus the distance.
        pos_eps: Tolerated shortfall of a positive pair, as a fraction of the mean.
        neg_eps: Tolerated excess of a negative pair, as a fraction of the mean.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: several pairs of each kind in a batch: with one pair, its
    variance is 0.

    Recommended: never alone, since it does not compare positives with negatives. Add it to
    another loss, such as `TupletMarginLoss`, at half the weight.

    Relations: the regulariser of the tuplet margin loss's paper.

    Example:

    ```python
    from tensorflow_similarity.losses import IntraPairVarianceLoss, TupletMarginLoss

    labels, embeddings = [0, 0, 0], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    variance = IntraPairVarianceLoss(pos_eps=0.0)(labels, embeddings)  # 2 / 27
    total = TupletMarginLoss()(labels, embeddings) + 0.5 * variance
    ```

    Reference:
        Yu and Tao, *Deep Metric Learning with Tuplet Margin Loss*, ICCV 2019,
        https://openaccess.thecvf.com/content_ICCV_2019/papers/Yu_Deep_Metric_Learning_With_Tuplet_Margin_Loss_ICCV_2019_paper.pdf
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        pos_eps: float = 0.01,
        neg_eps: float = 0.01,
        name: str = "intra_pair_variance_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        self.pos_eps = checked_number(pos_eps, "pos_eps")
        self.neg_eps = checked_number(neg_eps, "neg_eps")

    def statistics(self, pairs: Pairs) -> Any:
        similarities = 1 - pairs.distances
        return tuple(
            (masked_sum(similarities, mask), number_of(mask, similarities.dtype))
            for mask in (pairs.positives, pairs.negatives)
        )

    def losses(self, comparison: Comparison) -> Tensor:
        return super().losses(comparison.with_pairs())

    def value(self, statistics: Any, comparison: Comparison) -> Any:
        means = [ops.sum(sums) / ops.maximum(ops.sum(n), 1) for sums, n in statistics]
        limits = (1 - self.pos_eps) * means[0], (1 + self.neg_eps) * means[1]
        costs = comparison.gather(comparison.map(self._costs, shared=limits))
        return sum(
            mean_over_pairs(cost, number, comparison.counted)
            for cost, (_, number) in zip(costs, statistics, strict=True)
        )

    def _costs(self, pairs: Pairs, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        # Of similarities it is the negatives that should be below a limit.
        push, pull = pull_and_push(
            1 - pairs.distances, pairs.negatives, pairs.positives, high, low, power=2
        )
        return pull[0], push[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pos_eps": self.pos_eps, "neg_eps": self.neg_eps}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ThresholdConsistentMarginLoss(StatisticsLoss):
    """Threshold-consistent margins: only pairs on the wrong side of a fixed similarity count.

    With `s = 1 - d`,

    `loss = positive_weight * mean over pairs (a, p) with s < positive_margin of
    (positive_margin - s) + negative_weight * mean over pairs (a, n) with s > negative_margin
    of (s - negative_margin)`.

    It encourages one threshold for all classes. Per query, the sums are scaled so that the
    mean over the batch is this value; a mean over no pairs is 0.

    Args:
        distance: Distance between embeddings, by name or object. The similarity is 1 minus
            the distance.
        positive_margin: Minimum similarity of positive pairs.
        negative_margin: Maximum similarity of negative pairs.
        positive_weight: The weight of the positive pairs.
        negative_weight: The weight of the negative pairs.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings `[batch, dim]`.

    Recommended: added to another loss, see `WeightedSumLoss`, if one threshold is used to
    accept matches (`calibrate`).

    Relations: `ContrastiveLoss` with power 1 averages over all pairs.

    Example:

    ```python
    from tensorflow_similarity.losses import ThresholdConsistentMarginLoss

    loss = ThresholdConsistentMarginLoss(positive_margin=0.9, negative_margin=0.5)
    loss([0, 0, 1], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])  # (0.9 - 0) + (1 - 0.5)
    ```

    Reference:
        Zhang et al., *Threshold-Consistent Margin Loss for Open-World Deep Metric Learning*,
        ICLR 2024, https://arxiv.org/abs/2307.04047
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        positive_margin: float = 0.9,
        negative_margin: float = 0.5,
        positive_weight: float = 1.0,
        negative_weight: float = 1.0,
        name: str = "threshold_consistent_margin_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        self.positive_margin = checked_number(positive_margin, "positive_margin")
        self.negative_margin = checked_number(negative_margin, "negative_margin")
        self.positive_weight = checked_number(positive_weight, "positive_weight")
        self.negative_weight = checked_number(negative_weight, "negative_weight")

    def statistics(self, pairs: Pairs) -> Any:
        # Of similarities it is the negatives that should be below a limit.
        (push, pushed), (pull, pulled) = pull_and_push(
            1 - pairs.distances,
            pairs.negatives,
            pairs.positives,
            self.negative_margin,
            self.positive_margin,
        )
        return (self.positive_weight * pull, pulled), (self.negative_weight * push, pushed)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "positive_margin": self.positive_margin,
            "negative_margin": self.negative_margin,
            "positive_weight": self.positive_weight,
            "negative_weight": self.negative_weight,
        }
