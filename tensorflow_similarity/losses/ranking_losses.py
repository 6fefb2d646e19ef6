"""Smooth surrogates of retrieval metrics, and losses on the order of distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tensorflow_similarity._checks import count
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.losses.arguments import checked_cosine, checked_positive
from tensorflow_similarity.losses.comparison import Comparison
from tensorflow_similarity.losses.masked import any_pair, mean_over_pairs, number_of, with_slope
from tensorflow_similarity.losses.metric_loss import MetricLoss, StatisticsLoss
from tensorflow_similarity.mining.pairs import Pairs
from tensorflow_similarity.mining.sorting import on_tensorflow_cpu

__all__ = [
    "FastAPLoss",
    "HistogramLoss",
    "PNPLoss",
    "RecallAtKSurrogateLoss",
    "SmoothAPLoss",
    "soft_histograms",
    "sum_over_ranks",
]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class FastAPLoss(MetricLoss):
    """FastAP: average precision of a query's ranking, from a histogram of its distances.

    `loss = 1 - sum over nodes j of h+(j) H+(j) / H(j) / |P(a)|`,

    where h+ is the soft histogram of the distances to the positives, and H+ and
    H are the cumulative histograms of the positives and of all. A query without a
    positive, or without a negative, has loss 0.

    Args:
        distance: The cosine distance, whose values are bounded.
        num_bins: Number of bins of the histogram over distances from 0 to 2.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: large batches, for meaningful rankings; the paper uses 256 and more, from
    pairs of categories that are hard to tell apart.

    Recommended: 10 bins; more make the gradient sparse.

    Relations: the same objective as `SmoothAPLoss`, in one pass over the distances instead
    of one per positive. On unit vectors, the cosine distance is half the squared Euclidean
    distance that others bin from 0 to 4, so the bins are the same.

    Raises:
        ValueError: If the distance is not the cosine distance.

    Example:

    ```python
    from tensorflow_similarity.losses import FastAPLoss

    loss = FastAPLoss(num_bins=2)
    loss([0, 0, 1], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])  # (0.5 + 0.5 + 0) / 3
    ```

    Reference:
        Cakir et al., *Deep Metric Learning to Rank*, CVPR 2019,
        https://openaccess.thecvf.com/content_CVPR_2019/papers/Cakir_Deep_Metric_Learning_to_Rank_CVPR_2019_paper.pdf
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        num_bins: int = 10,
        name: str = "fastap_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=checked_cosine(distance, type(self)), name=name, **options)
        self.num_bins = count(num_bins, "num_bins")

    def row_loss(self, pairs: Pairs) -> Tensor:
        distances, positives, negatives, *_ = pairs
        alike, other = soft_histograms(distances, positives, negatives, self.num_bins, 2.0)
        cumulated = ops.cumsum(alike, axis=1)
        every = ops.cumsum(alike + other, axis=1)
        some = every > 0
        precision = ops.where(some, cumulated / ops.where(some, every, 1), 0)
        number = number_of(positives, distances.dtype)
        average = ops.sum(alike * precision, axis=1) / ops.maximum(number, 1)
        both = ops.logical_and(any_pair(positives), any_pair(negatives))
        return ops.where(both, 1 - average, 0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_bins": self.num_bins}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class HistogramLoss(StatisticsLoss):
    """Histogram loss: the probability that a random negative pair is nearer than a positive one.

    `loss = sum over nodes r of h-(r) * sum over q >= r of h+(q)`,

    with the soft histograms h+ and h-, each of sum 1, of the distances of all
    positive and of all negative pairs of the batch. It has no margin and
    hardly any parameter. Per query, the sum over its negatives is scaled so that the mean
    over the batch is this value. A batch without a positive pair, or without a
    negative, has loss 0.

    Args:
        distance: The cosine distance, whose values are bounded.
        num_bins: Number of bins of the histograms over distances from 0 to 2.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: large batches, to estimate two distributions from their pairs: 256
    examples in the paper.

    Recommended: 100 bins; the result hardly depends on them.

    Relations: other losses compare pairs of one query; this compares any two pairs, and so
    favours one threshold for all queries.

    Raises:
        ValueError: If the distance is not the cosine distance.

    Example:

    ```python
    from tensorflow_similarity.losses import HistogramLoss

    loss = HistogramLoss(num_bins=2)
    loss([0, 0, 1], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])  # 1.0
    ```

    Reference:
        Ustinova and Lempitsky, *Learning Deep Embeddings with Histogram Loss*,
        NIPS 2016, https://arxiv.org/abs/1611.00822
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        num_bins: int = 100,
        name: str = "histogram_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=checked_cosine(distance, type(self)), name=name, **options)
        self.num_bins = count(num_bins, "num_bins")

    def statistics(self, pairs: Pairs) -> Any:
        """For each query: histograms of its positives and negatives, and number of negatives."""
        distances, positives, negatives, *_ = pairs
        return (
            *soft_histograms(distances, positives, negatives, self.num_bins, 2.0),
            number_of(negatives, distances.dtype),
        )

    def value(self, statistics: Any, comparison: Comparison) -> Any:
        positive, negative, pairs = statistics
        # The fraction of positive pairs at a node or beyond.
        nodes = ops.sum(positive, axis=0)
        beyond = ops.flip(ops.cumsum(ops.flip(nodes, axis=0), axis=0), axis=0)
        total = ops.sum(nodes)
        beyond = beyond / ops.where(total > 0, total, 1)
        sums = ops.sum(negative * beyond[None, :], axis=1)
        return mean_over_pairs(sums, pairs, comparison.counted)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_bins": self.num_bins}


def soft_histograms(
    values: Tensor, first: Tensor, second: Tensor, bins: int, maximum: float
) -> tuple[Any, Any]:
    """Histograms of two parts of each row, each value shared between the two nodes around it.

    The nodes are at `0, maximum / bins, ..., maximum`. Values beyond the ends, which are
    due to rounding, count as the ends.

    Args:
        values: Float `[rows, keys]`.
        first: Bool `[rows, keys]`, the values that are counted in the first histogram.
        second: Bool `[rows, keys]`, those of the second: none is counted in both.
        bins: The number of intervals.
        maximum: The last node.

    Returns:
        Two histograms, `[rows, bins + 1]`; a row's entries add up to its number of values.
    """
    place = ops.clip(values * (bins / maximum), 0, bins)
    below = ops.minimum(ops.floor(ops.stop_gradient(place)), bins - 1)
    share = place - below
    kept = ops.cast(ops.logical_or(first, second), place.dtype)
    # The nodes of the second histogram stand behind those of the first.
    below = ops.cast(below, "int32") + ops.where(first, 0, bins + 1)

    def histogram(share: Tensor) -> Any:
        def grad(*arguments: Any, upstream: Any = None) -> Any:
            # A value that moves up takes from the node below and gives to the one above.
            (upstream,) = arguments if upstream is None else (upstream,)
            slope = upstream[:, 1:] - upstream[:, :-1]
            return ops.take_along_axis(slope, below, axis=1) * kept

        return _sums_at_nodes(below, share, kept, 2 * bins + 1), grad

    # JAX's own gradients may hold nothing of what is traced around them, such as `below`.
    plain = keras.backend.backend() != "tensorflow"
    both = histogram(share)[0] if plain else ops.custom_gradient(histogram)(share)
    return both[:, : bins + 1], both[:, bins + 1 :]


def _sums_at_nodes(below: Any, share: Tensor, kept: Any, bins: int) -> Tensor:
    """The histogram, without its gradient: `[rows, bins + 1]`."""
    if on_tensorflow_cpu():  # Whose scatter takes ten times as long as NumPy's count.
        import tensorflow as tf

        sums = tf.numpy_function(
            lambda below, share, kept: _numpy_sums(below, share, kept, bins),
            [below, share, kept],
            share.dtype,
            stateful=False,
        )
        return tf.ensure_shape(sums, (below.shape[0], bins + 1))
    rows = ops.shape(below)[0]
    # NaN is at no node: it goes to some node, and makes it NaN.
    below = ops.clip(below, 0, bins - 1)
    index = below + ops.arange(rows, dtype="int32")[:, None] * (bins + 1)
    index = ops.concatenate([index, index + 1], axis=1)
    weights = ops.concatenate([(1 - share) * kept, share * kept], axis=1)
    index, weights = ops.reshape(index, (-1,)), ops.reshape(weights, (-1,))
    if keras.backend.backend() == "torch":
        # Keras' `scatter` goes through the values one by one, its `segment_sum` is in float32.
        import torch

        sums = torch.zeros(rows * (bins + 1), dtype=weights.dtype, device=weights.device)
        sums = sums.index_add(0, index, weights)
    else:
        sums = ops.segment_sum(weights, index, num_segments=rows * (bins + 1))
    return ops.reshape(sums, (rows, bins + 1))


def _numpy_sums(below: np.ndarray, share: np.ndarray, kept: np.ndarray, bins: int) -> np.ndarray:
    rows = len(below)
    # NaN is at no node: it goes to the first, and makes it NaN.
    below = np.clip(below, 0, bins - 1)
    index = (below + np.arange(rows, dtype=np.int32)[:, None] * (bins + 1)).ravel()
    size = rows * (bins + 1)
    moved = share * kept
    up = np.bincount(index, moved.ravel(), size)
    every = np.bincount(index, kept.ravel(), size)
    sums = every - up
    # No value is below the last node but the last: nothing is moved across rows.
    sums[1:] += up[:-1]
    return sums.reshape(rows, bins + 1).astype(share.dtype)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SmoothAPLoss(MetricLoss):
    """Smooth-AP: average precision of a query's ranking, with sigmoids in place of steps.

    `loss = 1 - mean over p of rank+(p) / rank(p)`, with the soft ranks
    `1 + sum over k != p of sigmoid((d(a, p) - d(a, k)) / T)`, k being the other
    positives in rank+, and all other examples in rank. A query without a
    positive, or without a negative, has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        temperature: T, above 0, in units of the distance.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`. Classes may have different numbers of examples.

    Requirements: large batches, for meaningful rankings: 256 and more. The time grows with
    the number of positives per query; 4 to 8 examples of each class are usual.

    Recommended: the cosine distance and a temperature of 0.01.

    Relations: `FastAPLoss` estimates ranks by a histogram; `RecallAtKSurrogateLoss` targets
    the first ranks only. The query itself is excluded from its ranking; in the authors'
    code it is included, always first.

    Example:

    ```python
    from tensorflow_similarity.losses import SmoothAPLoss

    loss = SmoothAPLoss()
    loss([0, 0, 1], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])  # (0.5 + 0.5 + 0) / 3
    ```

    Reference:
        Brown et al., *Smooth-AP: Smoothing the Path Towards Large-Scale Image
        Retrieval*, ECCV 2020, https://arxiv.org/abs/2007.12163
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        temperature: float = 0.01,
        name: str = "smooth_ap_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        self.temperature = checked_positive(temperature, "temperature")

    def row_loss(self, pairs: Pairs) -> Tensor:
        def precision(rank: Any, rank_among: Any) -> tuple[Any, Any, Any]:
            return rank_among / rank, -rank_among / ops.square(rank), 1 / rank

        number = ops.maximum(number_of(pairs.positives, pairs.distances.dtype), 1)
        average = sum_over_ranks(pairs, self.temperature, precision) / number
        both = ops.logical_and(any_pair(pairs.positives), any_pair(pairs.negatives))
        return ops.where(both, 1 - average, 0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


_VARIANTS = ("O", "Ds", "Dq", "Iu", "Ib")


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class PNPLoss(MetricLoss):
    """Penalising negatives before positives: the number of negatives ranked before each positive.

    `loss = mean over p of f(N(p))`, with the soft number of negatives before it
    `N(p) = sum over n of sigmoid((d(a, p) - d(a, n)) / T)` and, by variant,

    - `"O"`: `f = N`
    - `"Ds"`: `f = log(1 + N)`
    - `"Dq"`: `f = 1 - (1 + N)^-alpha`
    - `"Iu"`: `f = (1 + N) log(1 + N)`
    - `"Ib"`: `f = (b N - log(1 + b N)) / b^2`

    The D variants give less weight to positives preceded by many negatives, the I variants
    more. A query without a positive, or without a negative, has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        variant: One of the above.
        alpha: Parameter of the variant `"Dq"`, above 0.
        b: Parameter of the variant `"Ib"`, above 0.
        temperature: T, above 0, in units of the distance.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings `[batch, dim]`.

    Requirements: large batches, for meaningful rankings.

    Recommended: the variant `"Dq"`, which ignores hopeless positives, such as mislabelled
    examples.

    Relations: `SmoothAPLoss` also considers the order among positives. In
    pytorch-metric-learning, a query is also a positive of itself.

    Raises:
        ValueError: If there is no such variant.

    Example:

    ```python
    from tensorflow_similarity.losses import PNPLoss

    loss = PNPLoss(variant="O")
    loss([0, 0, 1], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])  # (1 + 1/2 + 0) / 3
    ```

    Reference:
        Li et al., *Rethinking the Optimization of Average Precision: Only Penalizing Negative
        Instances before Positive Ones is Enough*, AAAI 2022, https://arxiv.org/abs/2102.04640
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        variant: str = "Dq",
        alpha: float = 1.0,
        b: float = 2.0,
        temperature: float = 0.01,
        name: str = "pnp_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        if variant not in _VARIANTS:
            raise ValueError(f"`variant` must be one of {list(_VARIANTS)}. Received: {variant!r}.")
        self.variant = variant
        self.alpha = checked_positive(alpha, "alpha")
        self.b = checked_positive(b, "b")
        self.temperature = checked_positive(temperature, "temperature")

    def row_loss(self, pairs: Pairs) -> Tensor:
        def penalty(rank: Any, rank_among: Any) -> tuple[Any, Any, Any]:
            before = ops.maximum(rank - rank_among, 0)
            value, slope = self._penalty(before)
            return value, slope, -slope

        number = ops.maximum(number_of(pairs.positives, pairs.distances.dtype), 1)
        mean = sum_over_ranks(pairs, self.temperature, penalty) / number
        both = ops.logical_and(any_pair(pairs.positives), any_pair(pairs.negatives))
        return ops.where(both, mean, 0)

    def _penalty(self, before: Any) -> tuple[Any, Any]:
        """f(N), and its derivative."""
        if self.variant == "Ds":
            return ops.log1p(before), 1 / (1 + before)
        if self.variant == "Dq":
            power = ops.power(1 + before, -self.alpha)
            return 1 - power, self.alpha * power / (1 + before)
        if self.variant == "Iu":
            logarithm = ops.log1p(before)
            return (1 + before) * logarithm, 1 + logarithm
        if self.variant == "Ib":
            scaled = self.b * before
            return (scaled - ops.log1p(scaled)) / self.b**2, before / (1 + scaled)
        return before, ops.ones_like(before)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "variant": self.variant,
            "alpha": self.alpha,
            "b": self.b,
            "temperature": self.temperature,
        }


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class RecallAtKSurrogateLoss(MetricLoss):
    """Recall@k surrogate: the number of positives among the first k, with sigmoids as steps.

    `loss = 1 - mean over k of sum over p of sigmoid((k - rank(p)) / T1) / min(k, |P(a)|)`,
    with the soft rank `1 + sum over j != p of sigmoid((d(a, p) - d(a, j)) / T2)`
    among all other examples. A query without a positive, or without a negative,
    has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        k_vals: The values of k, integers of at least 1.
        k_temperature: T1, above 0, in ranks.
        temperature: T2, above 0, in units of the distance.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`. Classes may have different numbers of examples.

    Requirements: large batches; the paper uses 4000. See `block_size`.

    Recommended: the cosine distance and the defaults, which are the paper's.

    Relations: `SmoothAPLoss` has the same soft ranks, and considers all ranks. The sigmoid
    is 1/2 at its step, so a perfect ranking does not quite have loss 0.

    Raises:
        ValueError: If there is no k.

    Example:

    ```python
    from tensorflow_similarity.losses import RecallAtKSurrogateLoss

    loss = RecallAtKSurrogateLoss(k_vals=[1])
    loss([0, 0, 1], [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])  # (0.5 + 0.5 + 0) / 3
    ```

    Reference:
        Patel et al., *Recall@k Surrogate Loss with Large Batches and Similarity
        Mixup*, CVPR 2022, https://arxiv.org/abs/2108.11179
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        k_vals: Sequence[int] = (1, 2, 4, 8, 16),
        k_temperature: float = 1.0,
        temperature: float = 0.01,
        name: str = "recall_at_k_surrogate_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        self.k_vals = tuple(count(k, "k_vals") for k in k_vals)
        if not self.k_vals:
            raise ValueError("`k_vals` must hold at least one k. Received: none.")
        self.k_temperature = checked_positive(k_temperature, "k_temperature")
        self.temperature = checked_positive(temperature, "temperature")

    def row_loss(self, pairs: Pairs) -> Tensor:
        number = ops.maximum(number_of(pairs.positives, pairs.distances.dtype), 1)

        def recall(rank: Any, rank_among: Any) -> tuple[Any, Any, Any]:
            value, slope = ops.zeros_like(rank), ops.zeros_like(rank)
            for k in self.k_vals:
                within = ops.sigmoid((k - rank) / self.k_temperature)
                share = within / ops.minimum(k, number)
                value = value + share
                slope = slope - share * (1 - within) / self.k_temperature
            return value, slope, ops.zeros_like(rank)

        average = sum_over_ranks(pairs, self.temperature, recall) / len(self.k_vals)
        both = ops.logical_and(any_pair(pairs.positives), any_pair(pairs.negatives))
        return ops.where(both, 1 - average, 0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "k_vals": list(self.k_vals),
            "k_temperature": self.k_temperature,
            "temperature": self.temperature,
        }


def sum_over_ranks(
    pairs: Pairs, temperature: float, term: Callable[[Any, Any], tuple[Any, Any, Any]]
) -> Tensor:
    """`sum over p of term(rank(p), rank among the positives(p))` of each query.

    The soft rank of p is `1 + sum over k != p of sigmoid((d(a, p) - d(a, k)) / T)`,
    k being all other keys, or the other positives. There are as many comparisons
    as positives times keys: they are made for one positive at a time, and the
    derivative is summed beside the value, so nothing is kept for the gradient.

    Args:
        pairs: Some queries against all keys.
        temperature: T. The smaller, the nearer to the true rank.
        term: Maps both ranks, `[rows]` each, to a value and its two derivatives.

    Returns:
        `[rows]`; 0 where there is no positive.
    """
    distances = ops.stop_gradient(pairs.distances)
    positives = pairs.positives
    others = ops.logical_or(positives, pairs.negatives)
    number = ops.cumsum(ops.cast(positives, "int32"), axis=1)
    most = ops.max(number)

    def step(this_number: Any, total: Any, slope: Any) -> tuple[Any, Any, Any]:
        this = ops.logical_and(positives, ops.equal(number, this_number))
        exists = ops.any(this, axis=1)
        near = ops.sum(ops.where(this, distances, 0), axis=1, keepdims=True)
        ahead = ops.sigmoid((near - distances) / temperature)
        ahead = ops.where(this, 0, ahead)
        rank = 1 + ops.sum(ops.where(others, ahead, 0), axis=1)
        rank_among = 1 + ops.sum(ops.where(positives, ahead, 0), axis=1)
        value, by_rank, by_rank_among = term(rank, rank_among)
        weight = ops.where(others, by_rank[:, None], 0)
        weight = weight + ops.where(positives, by_rank_among[:, None], 0)
        change = weight * ahead * (1 - ahead) / temperature
        change = ops.where(this, ops.sum(change, axis=1, keepdims=True), -change)
        total = total + ops.where(exists, value, 0)
        return this_number + 1, total, slope + ops.where(exists[:, None], change, 0)

    _, total, slope = ops.while_loop(
        lambda this_number, total, slope: this_number <= most,
        step,
        (ops.ones_like(most), ops.zeros_like(distances[:, 0]), ops.zeros_like(distances)),
    )
    return with_slope(total, slope, pairs.distances)
