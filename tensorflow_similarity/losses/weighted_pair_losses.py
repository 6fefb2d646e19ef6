"""Losses that weight the pairs of a query by difficulty."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._blocks import map_row_blocks
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.losses.arguments import checked_number, checked_positive
from tensorflow_similarity.losses.comparison import Comparison
from tensorflow_similarity.losses.masked import (
    log_add_exp,
    log_one_plus_sum_exp,
    masked_logsumexp,
    masked_sum,
    mean_over_pairs,
    number_of,
)
from tensorflow_similarity.losses.metric_loss import MetricLoss, StatisticsLoss
from tensorflow_similarity.mining.miners import Miner, MultiSimilarityMiner, StrategyMiner
from tensorflow_similarity.mining.pairs import Pairs
from tensorflow_similarity.mining.strategies import MiningStrategy
from tensorflow_similarity.mining.triplet_sums import class_slots

__all__ = [
    "CircleLoss",
    "GeneralizedLiftedStructLoss",
    "LiftedStructLoss",
    "MultiSimilarityLoss",
    "RankedListLoss",
]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MultiSimilarityLoss(MetricLoss):
    """Multi-similarity loss: pairs weighted by their own and by their neighbours' similarity.

    `loss = log(1 + sum over p of exp(alpha (d(a, p) + s))) / alpha
    + log(1 + sum over n of exp(-beta (d(a, n) + s))) / beta`, `s = lmda - center`,

    over the mined pairs: positives farther than the nearest negative minus `epsilon`, and
    negatives nearer than the farthest positive plus `epsilon`. With the cosine distance and
    `center=1` this is the paper's loss, whose threshold on the similarity is `lmda`. A
    query without a positive, or without a negative, keeps no pair and has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        alpha: The weight of hard positives against others, above 0.
        beta: The weight of hard negatives against others, above 0.
        epsilon: Tolerance of the mining of hard pairs. None uses all pairs; then a query
            without a positive is still pushed away from its negatives.
        lmda: The threshold between positives and negatives, as a similarity.
        center: The distance at which the similarity is 0.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: several examples of each class in a batch, since the weighting needs many
    pairs.

    Recommended: the defaults with the cosine distance. For distances on another
    scale, set `center` to a typical distance, and `alpha`, `beta` to its inverse.

    Relations: `LiftedStructLoss` weights negatives only; `CircleLoss` weights each pair by
    its own distance, and has one threshold for both kinds.

    Example:

    ```python
    from tensorflow_similarity.losses import MultiSimilarityLoss

    loss = MultiSimilarityLoss(distance="euclidean", alpha=1.0, beta=1.0, lmda=1.0)
    loss([0, 0, 1], [[0.0], [1.0], [0.5]])  # (1.787337 + 1.787337 + 0) / 3
    ```

    Reference:
        Wang et al., *Multi-Similarity Loss with General Pair Weighting for Deep
        Metric Learning*, CVPR 2019, https://arxiv.org/abs/1904.06627
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        alpha: float = 2.0,
        beta: float = 40.0,
        epsilon: float | None = 0.1,
        lmda: float = 0.5,
        center: float = 1.0,
        name: str = "multi_similarity_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        self.alpha = checked_positive(alpha, "alpha")
        self.beta = checked_positive(beta, "beta")
        self.epsilon = None if epsilon is None else checked_number(epsilon, "epsilon")
        self.lmda = checked_number(lmda, "lmda")
        self.center = checked_number(center, "center")

    def miners(self) -> tuple[Miner, ...]:
        if self.epsilon is None:
            return super().miners()
        return (*super().miners(), MultiSimilarityMiner(self.epsilon))

    def row_loss(self, pairs: Pairs) -> Tensor:
        shifted = pairs.distances + (self.lmda - self.center)
        pull = log_one_plus_sum_exp(shifted, pairs.positives, self.alpha)
        push = log_one_plus_sum_exp(shifted, pairs.negatives, -self.beta)
        return pull / self.alpha + push / self.beta

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "beta": self.beta,
            "epsilon": self.epsilon,
            "lmda": self.lmda,
            "center": self.center,
        }


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class CircleLoss(MetricLoss):
    """Circle loss: each pair is weighted by how far it is from its optimum.

    `loss = log(1 + sum over p of exp(gamma w_p (d(a, p) - m))
    * sum over n of exp(gamma w_n (1 - m - d(a, n))))`, with
    `w_p = max(0, d(a, p) + m)` and `w_n = max(0, 1 + m - d(a, n))`,

    where the weights are constants to the gradient. With the cosine distance
    this is the paper's joint form. A query without a positive, or without a
    negative, has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        gamma: The scale of the similarities, above 0.
        margin: The relaxation m: positives should be nearer than m, negatives
            farther than 1 - m.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: batches with at least two classes, and two examples of a class.

    Recommended: the cosine distance, with `gamma` of 80 and `margin` of 0.4 for
    retrieval, 256 and 0.25 for faces.

    Relations: with all weights 1 it is the softmax form of the triplet loss over
    all pairs. TensorFlow Similarity added one logarithm for the positives to one
    for the negatives, and differentiated the weights: its values differ.

    Example:

    ```python
    from tensorflow_similarity.losses import CircleLoss

    CircleLoss(gamma=1.0)([0, 0, 1], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # 2 * 0.545893 / 3
    ```

    Reference:
        Sun et al., *Circle Loss: A Unified Perspective of Pair Similarity
        Optimization*, CVPR 2020, https://arxiv.org/abs/2002.10857
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        gamma: float = 80.0,
        margin: float = 0.4,
        name: str = "circle_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        self.gamma = checked_positive(gamma, "gamma")
        self.margin = checked_number(margin, "margin")

    def row_loss(self, pairs: Pairs) -> Tensor:
        distances, positives, negatives, *_ = pairs
        constant = ops.stop_gradient(distances)
        pull = ops.relu(constant + self.margin) * (distances - self.margin)
        push = ops.relu(1 + self.margin - constant) * (1 - self.margin - distances)
        # An empty sum makes the product 0, so its logarithm is very low.
        return ops.softplus(
            masked_logsumexp(pull, positives, self.gamma)
            + masked_logsumexp(push, negatives, self.gamma)
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma, "margin": self.margin}


# Up to so many positives a query, their distances are computed again from the embeddings.
_FEW = 8


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class LiftedStructLoss(StatisticsLoss):
    """Lifted structured loss: each positive pair against all negatives of both examples.

    For a positive pair (i, j), with N(i) the negatives of i,

    `J = log(sum over n in N(i) of exp(margin - d(i, n))
    + sum over n in N(j) of exp(margin - d(j, n))) + d(i, j)`,

    and `loss = sum over unordered pairs of max(0, J)^2 / (2 pairs)`. Per query,
    the sum over its pairs is scaled so that the mean over the batch is this
    value. A batch without a positive pair, or without a negative, has loss 0.

    Args:
        margin: The margin, in units of the distance.
        distance: Distance between embeddings, by name or object.
        positive_mining_strategy: Which of a query's positive pairs count:
            `"all"` (the default, the paper's), `"hard"`, `"easy"` or a
            `MiningStrategy`.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`. If keys other than the queries are given, a key's negatives
    are taken from the queries.

    Example:

    ```python
    from tensorflow_similarity.losses import LiftedStructLoss

    LiftedStructLoss()([0, 0, 1], [[0.0], [1.0], [1.0]])  # (1 + log(1 + e))**2 / 2 = 2.6757
    ```

    Reference:
        Oh Song et al., *Deep Metric Learning via Lifted Structured Feature
        Embedding*, CVPR 2016, https://arxiv.org/abs/1511.06452
    """

    def __init__(
        self,
        margin: float = 1.0,
        distance: DistanceLike | None = "euclidean",
        positive_mining_strategy: str | MiningStrategy = "all",
        name: str | None = "lifted_struct_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name or "lifted_struct_loss", **options)
        self.margin = checked_number(margin, "margin")
        self._miner = StrategyMiner(positive_mining_strategy)
        self.positive_mining_strategy = self._miner.positive_mining_strategy

    def miners(self) -> tuple[Miner, ...]:
        return super().miners() if self._miner.keeps_all else (*super().miners(), self._miner)

    def statistics(self, pairs: Pairs) -> Any:
        """`log sum over n of exp(margin - d(i, n))` over the negatives of each query."""
        return self.margin + masked_logsumexp(pairs.distances, pairs.negatives, -1)

    def value(self, statistics: Any, comparison: Comparison) -> Any:
        key_pushes = statistics
        if not comparison.keys_are_batch:
            key_pushes = comparison.swapped().map(self.statistics)
        pushes = comparison.own(statistics), key_pushes
        if self.all_of_a_class():
            term = self._by_class(comparison, *pushes)
        else:
            term = comparison.map(self._sums, pushes[:1], pushes[1:])
        sums, pairs = comparison.gather(term)
        return mean_over_pairs(sums, pairs, comparison.counted) / 2

    def _by_class(self, comparison: Comparison, push: Tensor, key_push: Tensor) -> tuple[Any, Any]:
        """Sums and numbers of pairs: of few positives a query without another matrix."""
        queries, keys = comparison.queries, comparison.keys
        slots = class_slots(queries.labels, keys.labels, comparison.positions, keys.known)
        count = slots.count
        if queries.known is not None:
            count = ops.where(queries.known, count, 0)
        few = ops.max(count, initial=0) <= _FEW
        positive, exists = slots._replace(count=count).take(0, _FEW)
        sums = map_row_blocks(
            self._few,
            (self.embeddings(queries.outputs), push, positive, exists),
            (self.embeddings(keys.outputs), key_push),
            self.block_size,
        )
        if self.block_size is None:
            sums = ops.cond(
                few,
                lambda: sums,
                lambda: comparison.map(self._sums, (push,), (key_push,))[0],
            )
        else:
            # XLA refuses the gradient of a branch with a loop over blocks: each block branches.
            sums = comparison.map(self._few_or_many, (sums, push), (key_push, few))
        return sums, ops.cast(count, sums.dtype)

    def _few(
        self,
        queries: Tensor,
        push: Tensor,
        positive: Tensor,
        exists: Any,
        keys: Tensor,
        key_push: Tensor,
    ) -> Tensor:
        """Sums over few positives, from their embeddings."""
        distances = self._distance().paired(queries[:, None, :], ops.take(keys, positive, axis=0))
        cost = log_add_exp(push[:, None], ops.take(key_push, positive, axis=0)) + distances
        cost = ops.square(ops.relu(ops.where(exists, cost, 0)))
        return masked_sum(cost, exists)

    def _few_or_many(
        self, pairs: Pairs, sums: Tensor, push: Tensor, key_push: Tensor, few: Any
    ) -> Tensor:
        return ops.cond(few, lambda: sums, lambda: self._sums(pairs, push, key_push)[0])

    def _sums(self, pairs: Pairs, push: Tensor, key_push: Tensor) -> tuple[Any, Any]:
        cost = log_add_exp(push[:, None], key_push[None, :]) + pairs.distances
        cost = ops.square(ops.relu(ops.where(pairs.positives, cost, 0)))
        return masked_sum(cost, pairs.positives), number_of(pairs.positives, cost.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "margin": self.margin,
            "positive_mining_strategy": self._miner.get_config()["positive_mining_strategy"],
        }


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class GeneralizedLiftedStructLoss(MetricLoss):
    """Lifted structured loss of a query: all its positives against all its negatives.

    `loss = max(0, log(sum over p of exp(d(a, p) - pos_margin))
    + log(sum over n of exp(neg_margin - d(a, n))))`.

    A query without a positive, or without a negative, has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        neg_margin: Margin of the negatives, in units of the distance.
        pos_margin: Margin of the positives, in units of the distance.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: batches with at least two classes, and two examples of a class.

    Recommended: unnormalised embeddings. On unit vectors the terms of the two sums hardly
    differ, and the loss stays near its initial value.

    Relations: `LiftedStructLoss` has one term per positive pair; this has one per query, in
    which far positives and near negatives weigh most: a smooth `TripletHardLoss`.

    Example:

    ```python
    from tensorflow_similarity.losses import GeneralizedLiftedStructLoss

    GeneralizedLiftedStructLoss()([0, 0, 1], [[0.0], [1.0], [1.5]])  # (0.5 + 1.5) / 3
    ```

    Reference:
        Hermans et al., *In Defense of the Triplet Loss for Person
        Re-Identification*, 2017, https://arxiv.org/abs/1703.07737
    """

    def __init__(
        self,
        distance: DistanceLike | None = "euclidean",
        neg_margin: float = 1.0,
        pos_margin: float = 0.0,
        name: str = "generalized_lifted_struct_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        self.neg_margin = checked_number(neg_margin, "neg_margin")
        self.pos_margin = checked_number(pos_margin, "pos_margin")

    def row_loss(self, pairs: Pairs) -> Tensor:
        pull = masked_logsumexp(pairs.distances, pairs.positives) - self.pos_margin
        push = masked_logsumexp(pairs.distances, pairs.negatives, -1) + self.neg_margin
        return ops.relu(pull + push)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "neg_margin": self.neg_margin,
            "pos_margin": self.pos_margin,
        }


def _weighted_mean(excess: Any, mask: Tensor, temperature: float) -> Tensor:
    """Mean over the entries where `mask`, weighed by `exp(temperature * excess)`; else 0."""
    logits = ops.where(mask, temperature * ops.stop_gradient(excess), -float("inf"))
    top = ops.max(logits, axis=1, keepdims=True)
    weights = ops.exp(logits - ops.where(ops.isfinite(top), top, 0))
    total = ops.sum(weights, axis=1)
    return masked_sum(weights * ops.where(mask, excess, 0), mask) / ops.where(total > 0, total, 1)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class RankedListLoss(MetricLoss):
    """Ranked list loss: positives within a ball around the query, negatives outside a larger one.

    `loss = (1 - imbalance) * mean over hard p of (d(a, p) - (alpha - margin))
    + imbalance * weighted mean over hard n of (alpha - d(a, n))`.

    Hard are the positives beyond `alpha - margin` and the negatives within
    `alpha`. Each mean is weighted by `exp(T * violation)`; the weights are
    constants to the gradient. A query without a positive is still pushed away from its
    negatives, and vice versa.

    Args:
        distance: Distance between embeddings, by name or object.
        margin: The width between the two balls, in units of the distance.
        Tn: The temperature T of the negatives: how strongly hard ones are weighted.
        imbalance: The weight of the negatives, from 0 to 1.
        alpha: The radius of the larger ball; None for `1 + margin / 2`.
        Tp: The temperature T of the positives. 0, as in the paper, weights all equally.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`, normalised for the default radius.

    Requirements: batches with at least two classes, and two examples of one.

    Recommended: the defaults on unit vectors, which are the paper's simpler variant.

    Relations: `MarginLoss` has the same two boundaries, and weights all pairs equally.

    Raises:
        ValueError: If `imbalance` is not between 0 and 1.

    Example:

    ```python
    from tensorflow_similarity.losses import RankedListLoss

    RankedListLoss()([0, 0, 1], [[0.0], [1.0], [2.0]])  # (0.1 + 0.2 + 0.1) / 3
    ```

    Reference:
        Wang et al., *Ranked List Loss for Deep Metric Learning*, CVPR 2019,
        https://arxiv.org/abs/1903.03238
    """

    def __init__(
        self,
        distance: DistanceLike | None = "euclidean",
        margin: float = 0.4,
        Tn: float = 10.0,
        imbalance: float = 0.5,
        alpha: float | None = None,
        Tp: float = 0.0,
        name: str = "ranked_list_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        self.margin = checked_number(margin, "margin")
        self.Tn = checked_number(Tn, "Tn")
        self.imbalance = checked_number(imbalance, "imbalance")
        if not 0 <= self.imbalance <= 1:
            raise ValueError(f"`imbalance` must be from 0 to 1. Received: {imbalance!r}.")
        self.alpha = 1 + self.margin / 2 if alpha is None else checked_number(alpha, "alpha")
        self.Tp = checked_number(Tp, "Tp")

    def row_loss(self, pairs: Pairs) -> Tensor:
        far = pairs.distances - (self.alpha - self.margin)
        near = self.alpha - pairs.distances
        pull = _weighted_mean(far, ops.logical_and(pairs.positives, far > 0), self.Tp)
        push = _weighted_mean(near, ops.logical_and(pairs.negatives, near > 0), self.Tn)
        return (1 - self.imbalance) * pull + self.imbalance * push

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "margin": self.margin,
            "Tn": self.Tn,
            "imbalance": self.imbalance,
            "alpha": self.alpha,
            "Tp": self.Tp,
        }
