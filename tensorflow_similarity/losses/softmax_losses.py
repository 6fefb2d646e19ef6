"""Losses on a softmax over a query's similarities: positives against all keys or negatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tensorflow_similarity._blocks import map_row_blocks
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.losses.arguments import (
    checked_cosine,
    checked_number,
    checked_positive,
)
from tensorflow_similarity.losses.masked import (
    EMPTY,
    any_pair,
    cross_entropy,
    masked_logsumexp,
    masked_sum,
    number_of,
)
from tensorflow_similarity.losses.metric_loss import (
    MetricLoss,
    PairwiseValuesLoss,
    StatisticsLoss,
)
from tensorflow_similarity.mining.pairs import Pairs

__all__ = [
    "AngularLoss",
    "NCALoss",
    "NTXentLoss",
    "NpairsLoss",
    "NpairsMultilabelLoss",
    "SoftNearestNeighborLoss",
    "SupConLoss",
    "TupletMarginLoss",
]


def _targets(pairs: Pairs) -> Tensor:
    """Target weights of the positive pairs: equal, or by relevance."""
    return pairs.positives if pairs.relevance is None else pairs.positive_weights()


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SupConLoss(MetricLoss):
    """Supervised contrastive loss: the cross entropy of a softmax over all others.

    `loss = -mean over p of log(exp(-d(a, p) / T) / sum over k of exp(-d(a, k) / T))`,
    where p are the positives of a and k all other examples: the variant that the
    paper calls `out`. With graded relevance, the mean is weighted by the grades. A query
    without a positive has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        temperature: T, above 0.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: several examples of each class in a batch, and large batches, which
    provide the negatives.

    Recommended: the cosine distance and a temperature of 0.05 to 0.2.

    Relations: `NTXentLoss` leaves the other positives out of the denominator.
    `NpairsLoss(distance=...)` is this loss with `T = 1`.

    Example:

    ```python
    from tensorflow_similarity.losses import SupConLoss

    loss = SupConLoss(temperature=1.0)
    loss([0, 0, 1], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # 2 * 0.313262 / 3
    ```

    Reference:
        Khosla et al., *Supervised Contrastive Learning*, NeurIPS 2020,
        https://arxiv.org/abs/2004.11362
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        temperature: float = 0.1,
        name: str = "supcon_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        self.temperature = checked_positive(temperature, "temperature")

    def row_loss(self, pairs: Pairs) -> Tensor:
        candidates = ops.logical_or(pairs.positives, pairs.negatives)
        scale = -1 / self.temperature
        return cross_entropy(pairs.distances, _targets(pairs), candidates, scale)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class NTXentLoss(StatisticsLoss):
    """Cross entropy of each positive pair against the query's negatives (InfoNCE).

    `loss = mean over pairs (a, p) of -log(exp(-d(a, p) / T) / (exp(-d(a, p) / T)
    + sum over n of exp(-d(a, n) / T)))`.

    Other positives of a are not in the denominator. Per query, the sum over its
    pairs is scaled so that the mean over the batch is the mean over all ordered
    positive pairs. A query without a positive, or without a negative, has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        temperature: T, above 0.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`. For self-supervised learning, concatenate two views of a
    batch, with the position of the example as its class.

    Requirements: batches with many classes, and at least two examples of a class.

    Recommended: the cosine distance and a temperature of 0.05 to 0.5.

    Relations: with one positive per query it equals `SupConLoss`; on two views,
    `SimCLRLoss`, which adds the two directions instead of averaging them.

    Example:

    ```python
    from tensorflow_similarity.losses import NTXentLoss

    loss = NTXentLoss(temperature=1.0)
    loss([0, 0, 1], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # 0.313262
    ```

    Reference:
        van den Oord et al., *Representation Learning with Contrastive Predictive
        Coding*, 2018, https://arxiv.org/abs/1807.03748; Chen et al., *A Simple
        Framework for Contrastive Learning*, ICML 2020,
        https://arxiv.org/abs/2002.05709
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        temperature: float = 0.07,
        name: str = "ntxent_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        self.temperature = checked_positive(temperature, "temperature")

    def statistics(self, pairs: Pairs) -> Any:
        similarities = pairs.distances * (-1 / self.temperature)
        pushes = masked_logsumexp(similarities, pairs.negatives)
        costs = ops.softplus(pushes[:, None] - similarities)
        return ((masked_sum(costs, pairs.positives), number_of(pairs.positives, costs.dtype)),)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class NpairsLoss(PairwiseValuesLoss):
    """N-pairs loss: cross entropy between a query's similarities and its positives.

    For query i, `-mean over positives j of log(exp(s_ij) / sum_k exp(s_ik))`.

    With `distance=None`, the default, `y_pred` **is** the similarity matrix
    `[batch, batch]` between anchors and positives, `tf.matmul(a, b,
    transpose_b=True)`, as in TensorFlow Addons; positives are all entries of the
    row's class, including the diagonal. With a distance, `y_pred` is embeddings,
    the similarity is the negative distance (so `"inner_product"` gives the paper's),
    and a query is not paired with itself. A query without a positive has loss 0.

    Args:
        distance: Distance between embeddings, by name or object; None if
            `y_pred` holds similarities.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]` or `[batch, 1]`; `y_pred` the
    similarity matrix `[batch, batch]` or, with a distance, embeddings
    `[batch, dim]`.

    Recommended: unnormalised embeddings, kept small by a regulariser; similarities of unit
    vectors are too close together for a softmax.

    Example:

    ```python
    from tensorflow_similarity.losses import NpairsLoss

    NpairsLoss()([0, 1], [[0.0, 0.0], [0.0, 0.0]])  # log(2)
    NpairsLoss(distance="inner_product")([0, 0, 1], [[1.0], [1.0], [1.0]])  # 2 log(2) / 3
    ```

    Reference:
        Sohn, *Improved Deep Metric Learning with Multi-class N-pair Loss
        Objective*, NIPS 2016,
        http://www.nec-labs.com/uploads/images/Department-Images/MediaAnalytics/papers/nips16_npairmetriclearning.pdf
    """

    of_values = ("relevance",)

    def __init__(
        self, distance: DistanceLike | None = None, name: str | None = "npairs_loss", **options: Any
    ) -> None:
        super().__init__(distance=distance, name=name or "npairs_loss", **options)

    def row_loss(self, pairs: Pairs) -> Tensor:
        candidates = ops.logical_or(pairs.positives, pairs.negatives)
        return cross_entropy(pairs.distances, _targets(pairs), candidates, -1)

    def values_loss(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if self.relevance is None:
            weights = ops.equal(y_true[:, None], y_true[None, :])
        else:
            weights = ops.cast(self.relevance(y_true, y_true), y_pred.dtype)
        return cross_entropy(y_pred, weights, None)

    def checked_values(self, y_pred: Any) -> Tensor:
        shape = tuple(y_pred.shape)
        square = len(shape) == 2 and (None in shape or shape[0] == shape[1])
        if not square:
            raise ValueError(
                f"{type(self).__name__}(distance=None) takes `y_pred` = a similarity matrix of "
                f"shape [batch, batch]. Received: shape {shape}. If these are embeddings pass a "
                f'distance, e.g. {type(self).__name__}(distance="inner_product").'
            )
        return y_pred


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class NpairsMultilabelLoss(NpairsLoss):
    """N-pairs loss for examples with several labels each.

    Like `NpairsLoss`, but the target of a pair is the number of labels that its examples
    share, divided by the sum over the row. An example that shares no label with any
    other has loss 0.

    Args:
        distance: Distance between embeddings, by name or object; None if
            `y_pred` holds similarities.
        name: Name of the loss.
        relevance: How labels determine the relevance of pairs: `"multi_hot"`, the number of
            labels that two examples share (the default), `"jaccard"`, or a function, see
            `mining.get_relevance`.
        **options: The options of every loss.

    Inputs: `y_true` multi-hot labels `[batch, classes]`; `y_pred` the similarity
    matrix `[batch, batch]` or, with a distance, embeddings `[batch, dim]`.

    Example:

    ```python
    from tensorflow_similarity.losses import NpairsMultilabelLoss

    loss = NpairsMultilabelLoss()
    loss([[1, 0, 1], [0, 1, 1]], [[0.0, 0.0], [0.0, 0.0]])  # log(2)
    ```

    Reference:
        Sohn, *Improved Deep Metric Learning with Multi-class N-pair Loss
        Objective*, NIPS 2016; the extension to several labels is from
        TensorFlow Addons.
    """

    def __init__(
        self,
        distance: DistanceLike | None = None,
        name: str | None = "npairs_multilabel_loss",
        *,
        relevance: Any = "multi_hot",
        **options: Any,
    ) -> None:
        super().__init__(
            distance=distance,
            name=name or "npairs_multilabel_loss",
            relevance=relevance or "multi_hot",  # None in files of earlier versions.
            **options,
        )


def _neighbor_log_loss(pairs: Pairs, scale: float) -> Tensor:
    """`-log(sum over p of exp(scale d) / sum over all of exp(scale d))`; 0 without a positive."""
    positive = masked_logsumexp(pairs.distances, pairs.positives, scale)
    candidates = ops.logical_or(pairs.positives, pairs.negatives)
    every = masked_logsumexp(pairs.distances, candidates, scale)
    both = ops.logical_and(any_pair(pairs.positives), any_pair(pairs.negatives))
    return ops.where(both, every - positive, 0)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SoftNearestNeighborLoss(MetricLoss):
    """Soft nearest neighbour loss: a random near neighbour should be of the query's class.

    `loss = -log(sum over p of exp(-d(a, p) / T) / sum over k of exp(-d(a, k) / T))`,
    where p are the positives of a and k all other examples. A query without a
    positive has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        temperature: T, above 0. With a smaller T, fewer neighbours count.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: batches with at least two classes, and two examples of a class.

    Recommended: a temperature near the typical distance; with unit vectors, from
    0.05 to 1. One near positive suffices, so classes may form several clusters.

    Relations: `NCALoss` is the same with the scale `1 / T`. `SupConLoss` takes the mean of
    logarithms instead of the logarithm of the sum, and so pulls at every positive.

    Example:

    ```python
    from tensorflow_similarity.losses import SoftNearestNeighborLoss

    SoftNearestNeighborLoss()([0, 0, 1], [[0.0], [1.0], [1.0]])  # (log(2) + 1.313262) / 3
    ```

    Reference:
        Frosst et al., *Analyzing and Improving Representations with the Soft
        Nearest Neighbor Loss*, ICML 2019, https://arxiv.org/abs/1902.01889
    """

    def __init__(
        self,
        distance: DistanceLike | None = "squared_euclidean",
        temperature: float = 1.0,
        name: str = "soft_nearest_neighbor_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        self.temperature = checked_positive(temperature, "temperature")

    def row_loss(self, pairs: Pairs) -> Tensor:
        return _neighbor_log_loss(pairs, -1 / self.temperature)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class NCALoss(MetricLoss):
    """Neighbourhood components analysis: a random neighbour should have the query's class.

    `loss = -log(sum over p of exp(-s d(a, p)) / sum over k of exp(-s d(a, k)))`,
    with the scale s: the paper's objective for the log probability that the neighbour of a
    is of its class. A query without a positive has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        softmax_scale: s, above 0.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: batches with at least two classes, and two examples of a class.

    Recommended: for unit vectors, a larger scale than the default: 8 to 30.

    Relations: `SoftNearestNeighborLoss` with `temperature = 1 / softmax_scale`.

    Example:

    ```python
    from tensorflow_similarity.losses import NCALoss

    NCALoss()([0, 0, 1], [[0.0], [1.0], [1.0]])  # (log(2) + 1.313262) / 3
    ```

    Reference:
        Goldberger et al., *Neighbourhood Components Analysis*, NIPS 2004,
        https://www.cs.toronto.edu/~hinton/absps/nca.pdf
    """

    def __init__(
        self,
        distance: DistanceLike | None = "squared_euclidean",
        softmax_scale: float = 1.0,
        name: str = "nca_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        self.softmax_scale = checked_positive(softmax_scale, "softmax_scale")

    def row_loss(self, pairs: Pairs) -> Tensor:
        return _neighbor_log_loss(pairs, -self.softmax_scale)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "softmax_scale": self.softmax_scale}


# The sine has an infinite slope in the cosine at angle 0: below 1e-3 radians it
# is taken to be linear there.
_SMALLEST_SINE = 1e-3


def _sine(distances: Tensor) -> Tensor:
    """The sine of the angle at a cosine distance."""
    square = ops.relu(distances * (2 - distances))
    steep = square < _SMALLEST_SINE**2
    return ops.where(steep, square / _SMALLEST_SINE, ops.sqrt(ops.where(steep, 1, square)))


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class TupletMarginLoss(StatisticsLoss):
    """Tuplet margin loss: each positive against all negatives, with slack in its angle.

    `loss = mean over pairs (a, p) of log(1 + sum over n of
    exp(scale (cos(a, n) - cos(angle(a, p) - margin))))`.

    The margin gives positives slack: same-class pairs nearer than the margin are not
    pulled further. Per query, the sum over its pairs is scaled so
    that the mean over the batch is the mean over all ordered positive pairs. A
    query without a positive, or without a negative, has loss 0.

    Args:
        distance: The cosine distance, since the loss is a function of angles.
        margin: The slack, in degrees.
        scale: The scale of the cosines, above 0.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: batches with at least two classes, and two examples of a class.

    Recommended: the defaults; with the intra-pair variance term,
    `IntraPairVarianceLoss`, at half its weight, as in the paper.

    Relations: with `margin=0` it is `NTXentLoss` with `temperature = 1 / scale`.

    Raises:
        ValueError: If the distance is not the cosine distance.

    Example:

    ```python
    from tensorflow_similarity.losses import TupletMarginLoss

    loss = TupletMarginLoss(margin=0.0, scale=1.0)
    loss([0, 0, 1], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])  # (1.313262 + 0.693147) / 2
    ```

    Reference:
        Yu and Tao, *Deep Metric Learning with Tuplet Margin Loss*, ICCV 2019,
        https://openaccess.thecvf.com/content_ICCV_2019/papers/Yu_Deep_Metric_Learning_With_Tuplet_Margin_Loss_ICCV_2019_paper.pdf
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        margin: float = 5.73,
        scale: float = 64.0,
        name: str = "tuplet_margin_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=checked_cosine(distance, type(self)), name=name, **options)
        self.margin = checked_number(margin, "margin")
        self.scale = checked_positive(scale, "scale")

    def statistics(self, pairs: Pairs) -> Any:
        distances, positives, negatives, *_ = pairs
        cosines = 1 - distances
        # cos(angle - margin), from the cosine and the sine of the angle.
        margin = math.radians(self.margin)
        slack = math.cos(margin) * cosines + math.sin(margin) * _sine(distances)
        pushes = masked_logsumexp(cosines, negatives, self.scale)
        costs = ops.softplus(pushes[:, None] - self.scale * slack)
        return ((masked_sum(costs, positives), number_of(positives, costs.dtype)),)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin, "scale": self.scale}


# Up to so many positives a query, each takes its own pass: the product of all takes as long as 30.
_FEW = 4, 8


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class AngularLoss(StatisticsLoss):
    """Angular loss: the angle at the negative, in the triangle with a positive pair.

    `loss = mean over pairs (a, p) of log(1 + sum over n of
    exp(4 t (cos(a, n) + cos(p, n)) - 2 (1 + t) cos(a, p)))`, `t = tan(alpha)^2`.

    Per query, the sum over its pairs is scaled so that the mean over the batch is
    the mean over all ordered positive pairs. The sum over n is a product of
    matrices, so triplets are not materialised. A query without a positive, or without
    a negative, has loss 0.

    Args:
        distance: The cosine distance, since the loss is a function of angles.
        alpha: The bound on the angle, in degrees, above 0 and at most 60.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: batches with at least two classes, and two examples of a class.

    Recommended: 36 to 55 degrees. The paper adds it to `NpairsLoss` at twice the
    weight.

    Relations: triplet losses compare two sides of the triangle; the angle here does not
    depend on the scale, and moves all three corners.

    Raises:
        ValueError: If the distance is not the cosine distance, or `alpha` is out of range.

    Example:

    ```python
    from tensorflow_similarity.losses import AngularLoss

    loss = AngularLoss(alpha=45)
    loss([0, 0, 1], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # 0.018150
    ```

    Reference:
        Wang et al., *Deep Metric Learning with Angular Loss*, ICCV 2017,
        https://arxiv.org/abs/1708.01682
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        alpha: float = 40.0,
        name: str = "angular_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=checked_cosine(distance, type(self)), name=name, **options)
        self.alpha = checked_positive(alpha, "alpha")
        if self.alpha > 60:  # Beyond, the exponentials leave what float32 holds.
            raise ValueError(f"`alpha` must be at most 60 degrees. Received: {alpha!r}.")

    def statistics(self, pairs: Pairs) -> Any:
        # exp(4 t (cos(a, n) - 1)), which is at most 1.
        query_pushes = ops.where(pairs.negatives, self._pushes(pairs.distances), 0)
        number = number_of(pairs.positives, pairs.distances.dtype)
        if self.block_size is not None:
            # XLA refuses the gradient of a branch with a loop over blocks.
            return ((self._sums_over_all(pairs, query_pushes), number),)
        most = ops.max(number, initial=0)
        among_keys = pairs.distances
        if pairs.queries is not pairs.keys:
            among_keys = self._distance()(pairs.keys, pairs.keys)
        key_pushes = self._pushes(among_keys)

        def few(most: int) -> Callable[[], Any]:
            return lambda: self._sums_over_few(pairs, query_pushes, key_pushes, most)

        sums = ops.cond(
            most <= _FEW[0],
            few(_FEW[0]),
            lambda: ops.cond(
                most <= _FEW[1],
                few(_FEW[1]),
                lambda: self._sums_over_all(pairs, query_pushes),
            ),
        )
        return ((sums, number),)

    def _pushes(self, distances: Tensor) -> Tensor:
        return ops.exp(-4 * self._tangent() * distances)

    def _tangent(self) -> float:
        return math.tan(math.radians(self.alpha)) ** 2

    def _costs(self, total: Any, distances: Tensor, exists: Any) -> Tensor:
        """The cost of positive pairs, from their sums over negatives; 0 where there is none."""
        t = self._tangent()
        some = ops.logical_and(exists, total > 0)
        push = ops.where(some, ops.log(ops.where(some, total, 1)) + 8 * t, EMPTY)
        costs = ops.softplus(push - 2 * (1 + t) * (1 - distances))
        return masked_sum(costs, exists)

    def _sums_over_few(self, pairs: Pairs, query_pushes: Any, key_pushes: Any, most: int) -> Tensor:
        """By a pass over the rows of both ends for each positive, of which a query has `most`."""
        keys = ops.shape(pairs.positives)[1]
        flags = ops.cast(pairs.positives, "float32")
        # There may be fewer keys than positives are looked for.
        flags = ops.pad(flags, ((0, 0), (0, most)))
        found, place = ops.top_k(flags, most)
        place = ops.minimum(ops.cast(place, "int32"), keys - 1)
        totals = [
            ops.sum(query_pushes * ops.take(key_pushes, place[:, i], axis=0), axis=1)
            for i in range(most)
        ]
        near = ops.take_along_axis(pairs.distances, place, axis=1)
        return self._costs(ops.stack(totals, axis=1), near, found > 0)

    def _sums_over_all(self, pairs: Pairs, query_pushes: Any) -> Tensor:
        """By a product of matrices, whatever the number of positives."""

        def pushes(p: Tensor, keys: Tensor, query_pushes: Any) -> Tensor:
            """`sum over n` of every query for some keys p: `[keys, queries]`."""
            return ops.matmul(self._pushes(self._distance()(p, keys)), ops.transpose(query_pushes))

        total = map_row_blocks(pushes, (pairs.keys,), (pairs.keys, query_pushes), self.block_size)
        return self._costs(ops.transpose(total), pairs.distances, pairs.positives)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}
