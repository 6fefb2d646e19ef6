"""Losses on triplets of a query, a positive and a negative."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._blocks import map_row_blocks
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.losses.arguments import addons_distance, checked_flag, checked_number
from tensorflow_similarity.losses.comparison import Comparison
from tensorflow_similarity.losses.masked import number_of, with_slope
from tensorflow_similarity.losses.metric_loss import MinedLoss, StatisticsLoss
from tensorflow_similarity.mining.miners import StrategyMiner
from tensorflow_similarity.mining.pairs import Pairs
from tensorflow_similarity.mining.strategies import All, MiningStrategy, at, nearest_beyond
from tensorflow_similarity.mining.triplet_sums import (
    Slots,
    batch_all_hinge,
    class_slots,
    relevance_slots,
    semi_hard_hinge,
)

__all__ = [
    "PNLoss",
    "TripletAllLoss",
    "TripletHardLoss",
    "TripletLoss",
    "TripletSemiHardLoss",
]


def triplet_margin(gap: Any, margin: float | None) -> Tensor:
    """`max(0, gap + margin)`, or the soft margin `log(1 + exp(gap))` if margin is None."""
    return ops.softplus(gap) if margin is None else ops.relu(gap + margin)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class TripletLoss(MinedLoss):
    """Triplet loss with online mining: one positive and one negative per query.

    `loss = max(0, d(a, p) - d(a, n) + margin)`, or with a soft margin
    `log(1 + exp(d(a, p) - d(a, n)))`, where the mining strategies choose p and n
    in the batch for each query a. A query without a positive, or without a
    negative, has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        positive_mining_strategy: `"hard"` (the farthest positive, the default),
            `"easy"` (the nearest), or a `MiningStrategy`.
        negative_mining_strategy: `"semi-hard"` (the nearest negative strictly
            farther than the positive or, if there is none, the farthest; the
            default), `"hard"` (the nearest), `"easy"` (the farthest), or a
            `MiningStrategy`.
        soft_margin: Whether to use the soft margin.
        margin: The margin, in units of the distance. None also selects the soft
            margin.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`, which need not be normalised for the cosine distance.

    Requirements: batches with at least two classes, and two examples of a class;
    see `tensorflow_similarity.samplers.MultiShotMemorySampler`.

    Recommended: keep semi-hard negatives. Hard positives with hard negatives
    collapse small networks to a point early in training.

    Raises:
        ValueError: If there is no strategy of that name, or a margin is given with
            `soft_margin=True`.

    Example:

    ```python
    from tensorflow_similarity.losses import TripletLoss

    loss = TripletLoss(distance="euclidean", margin=1.0)
    loss([0, 0, 1], [[0.0], [1.0], [3.0]])  # (0 + 0 + 0) / 3
    loss([0, 1, 0], [[0.0], [1.0], [3.0]])  # (3 + 0 + 2) / 3
    ```

    Reference:
        Schroff et al., *FaceNet: A Unified Embedding for Face Recognition and
        Clustering*, CVPR 2015, https://arxiv.org/abs/1503.03832
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        positive_mining_strategy: str | MiningStrategy = "hard",
        negative_mining_strategy: str | MiningStrategy = "semi-hard",
        soft_margin: bool = False,
        margin: float | None = 1.0,
        name: str = "triplet_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        soft_margin = checked_flag(
            soft_margin,
            "soft_margin",
            "In TensorFlow Similarity 0.17 the margin was the fourth argument: pass it by name, "
            f"margin={soft_margin!r}.",
        )
        if soft_margin and margin not in (None, 1.0):
            raise ValueError(
                "`margin` is not used when `soft_margin=True`: leave it out, or set "
                f"soft_margin=False. Received: margin={margin!r}."
            )
        self.soft_margin = soft_margin or margin is None
        self.margin = None if self.soft_margin else checked_number(margin, "margin")
        self._miner = StrategyMiner(positive_mining_strategy, negative_mining_strategy)
        self.positive_mining_strategy = self._miner.positive_mining_strategy
        self.negative_mining_strategy = self._miner.negative_mining_strategy
        semi_hard = ", 'semi-hard'"
        for side in ("positive", "negative"):
            if isinstance(getattr(self, f"{side}_mining_strategy"), All):
                raise ValueError(
                    f"Invalid {side} mining strategy. TripletLoss looks at one {side} a query: "
                    f"`{side}_mining_strategy` must be 'easy', 'hard'"
                    f"{semi_hard if side == 'negative' else ''} or a MiningStrategy that "
                    "picks one. Received: 'all'. TripletSemiHardLoss looks at all positives, "
                    "TripletAllLoss at all of both."
                )

    def select(self, pairs: Pairs) -> Any:
        positive, negative, complete = self._miner.pick(pairs)
        return {"positive": positive, "negative": negative, "complete": complete}

    def selected_loss(self, queries: Tensor, keys: Tensor, selection: Any) -> Tensor:
        positives, negatives = (
            ops.take(keys, selection[side], axis=0) for side in ("positive", "negative")
        )
        # Incomplete triplets are emptied before the margin, so that no value of
        # theirs, however large, reaches the gradient.
        complete = selection["complete"]
        gap = ops.where(complete, self._gap(queries, positives, negatives), 0)
        return ops.where(complete, triplet_margin(gap, self.margin), 0)

    def _gap(self, queries: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Distance to the positive minus distance to the negative, `[queries]`, from embeddings."""
        paired = self._distance().paired
        return paired(queries, positives) - paired(queries, negatives)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self._miner.get_config(),
            "soft_margin": self.soft_margin,
            "margin": self.margin,
        }


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class TripletHardLoss(TripletLoss):
    """Batch-hard triplet loss: each query's farthest positive and nearest negative.

    `loss = max(0, max_p d(a, p) - min_n d(a, n) + margin)`, or
    `log(1 + exp(max_p d(a, p) - min_n d(a, n)))` when soft. It is `TripletLoss`
    with both strategies `"hard"`, with the name and defaults of TensorFlow Addons.

    Args:
        margin: The margin, in units of the distance.
        soft: Whether to use the soft margin.
        distance: Distance between embeddings, by name or object.
        name: Name of the loss.
        distance_metric: Another spelling of `distance`, from later versions of
            TensorFlow Addons: `"L2"`, `"squared-L2"`, `"angular"` or a function.
        **options: The options of every loss.

    Inputs and requirements: as for `TripletLoss`.

    Recommended: a well-initialised network, a small learning rate or many classes per
    batch; small networks collapse to a point.

    Example:

    ```python
    from tensorflow_similarity.losses import TripletHardLoss

    TripletHardLoss()([0, 1, 0], [[0.0], [1.0], [3.0]])  # (3 + 0 + 2) / 3
    ```

    Reference:
        Hermans et al., *In Defense of the Triplet Loss for Person
        Re-Identification*, 2017, https://arxiv.org/abs/1703.07737
    """

    def __init__(
        self,
        margin: float = 1.0,
        soft: bool = False,
        distance: DistanceLike | None = "euclidean",
        name: str = "triplet_hard_loss",
        distance_metric: Any = None,
        **options: Any,
    ) -> None:
        self.soft = checked_flag(soft, "soft", f"For a margin pass it by name, margin={soft!r}.")
        super().__init__(
            distance=distance if distance_metric is None else addons_distance(distance_metric),
            positive_mining_strategy="hard",
            negative_mining_strategy="hard",
            margin=None if soft else margin,
            name=name or "triplet_hard_loss",
            **options,
        )
        self.margin_argument = checked_number(margin, "margin")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for key in ("positive_mining_strategy", "negative_mining_strategy", "soft_margin"):
            del config[key]
        return {**config, "margin": self.margin_argument, "soft": self.soft}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class PNLoss(TripletLoss):
    """Triplet loss that pushes the negative away from both the query and its positive.

    `loss = max(0, d(a, p) - min(d(a, n), d(p, n)) + margin)`, or with a soft
    margin `log(1 + exp(d(a, p) - min(d(a, n), d(p, n))))`; p and n are mined as
    in `TripletLoss`. A query without a positive, or without a negative, has
    loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        positive_mining_strategy: `"hard"` (the default), `"easy"`, or a
            `MiningStrategy`; see `TripletLoss`.
        negative_mining_strategy: `"semi-hard"` (the default), `"hard"`,
            `"easy"`, or a `MiningStrategy`; see `TripletLoss`.
        soft_margin: Whether to use the soft margin.
        margin: The margin, in units of the distance. None also selects the soft
            margin.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs and requirements: as for `TripletLoss`.

    Recommended: semi-hard negatives, as for `TripletLoss`.

    Relations: pytorch-metric-learning calls it `swap=True`, with mined triplets.

    Example:

    ```python
    from tensorflow_similarity.losses import PNLoss

    loss = PNLoss(distance="euclidean", margin=1.0)
    loss([0, 0, 1], [[0.0], [1.0], [1.5]])  # (1.5 + 1.5 + 0) / 3
    ```

    Reference:
        Szubert et al., *Structure-preserving visualisation of high dimensional
        single-cell datasets*, Scientific Reports 2019,
        https://doi.org/10.1038/s41598-019-45301-0
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        positive_mining_strategy: str | MiningStrategy = "hard",
        negative_mining_strategy: str | MiningStrategy = "semi-hard",
        soft_margin: bool = False,
        margin: float | None = 1.0,
        name: str = "pn_loss",
        **options: Any,
    ) -> None:
        super().__init__(
            distance=distance,
            positive_mining_strategy=positive_mining_strategy,
            negative_mining_strategy=negative_mining_strategy,
            soft_margin=soft_margin,
            margin=margin,
            name=name,
            **options,
        )

    def _gap(self, queries: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        paired = self._distance().paired
        far = ops.minimum(paired(queries, negatives), paired(positives, negatives))
        return paired(queries, positives) - far


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class TripletAllLoss(StatisticsLoss):
    """Batch-all triplet loss: every positive against every negative of a query.

    `loss = sum over (a, p, n) of max(0, d(a, p) - d(a, n) + margin)`, divided by
    the number of triplets whose term is above 0.

    Triplets are not materialised: rows are sorted, and cumulative sums give value and
    gradient in O(batch^2) memory. Per query, the sum is scaled so that the
    mean over the batch is this value. A query without a positive, or without a
    negative, has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        margin: The margin, in units of the distance.
        active_only: Whether to divide by the number of triplets above 0. If False, by
            the number of all triplets; the loss then fades as triplets are learned.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: batches with at least two classes, and two examples of a class.

    Recommended: a margin that is small for the distance: 0.05 to 0.2 on unit
    vectors. With a large one all triplets stay active, and hard ones hardly count.

    Relations: `TripletLoss` uses one triplet per query, `TripletSemiHardLoss` one
    negative per pair.

    Example:

    ```python
    from tensorflow_similarity.losses import TripletAllLoss

    loss = TripletAllLoss(distance="euclidean", margin=1.0)
    loss([0, 1, 0], [[0.0], [1.0], [3.0]])  # (3 + 2) / 2
    ```

    Reference:
        Hermans et al., *In Defense of the Triplet Loss for Person
        Re-Identification*, 2017, https://arxiv.org/abs/1703.07737
    """

    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        margin: float = 0.1,
        active_only: bool = True,
        name: str = "triplet_all_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        self.margin = checked_number(margin, "margin")
        self.active_only = checked_flag(
            active_only, "active_only", f"For a margin pass it by name, margin={active_only!r}."
        )

    def statistics(self, pairs: Pairs) -> Any:
        sums, triplets, slope = batch_all_hinge(
            ops.stop_gradient(pairs.distances), pairs.positives, pairs.negatives, self.margin
        )
        if not self.active_only:
            dtype = pairs.distances.dtype
            triplets = number_of(pairs.positives, dtype) * number_of(pairs.negatives, dtype)
        return ((with_slope(sums, slope, pairs.distances), ops.stop_gradient(triplets)),)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "margin": self.margin,
            "active_only": self.active_only,
        }


# With up to this many positives per query, each takes its own pass over the row.
_FEW = 8


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class TripletSemiHardLoss(StatisticsLoss):
    """Triplet loss over all positive pairs, each with its semi-hard negative.

    `loss = sum over (a, p) of max(0, margin + d(a, p) - d(a, n*)) / pairs`, over
    all ordered pairs (a, p) of one class, where n* is the negative of a with the
    smallest d(a, n) strictly greater than d(a, p) or, if there is none, the one
    with the largest d(a, n). Pairs with loss 0 are counted. Per query, the sum is
    scaled so that the mean over the batch is this value.

    Value and gradient equal those of TensorFlow Addons, but in O(batch^2) memory instead
    of O(batch^3); a batch without a positive pair has loss 0 instead of NaN.

    Args:
        margin: The margin, in units of the distance.
        distance: Distance between embeddings, by name or object. The paper
            and TensorFlow Addons up to 0.10 use the squared Euclidean distance; for 0.11
            and later pass `"euclidean"`.
        name: Name of the loss.
        distance_metric: Another spelling of `distance`, from later versions of
            TensorFlow Addons: `"L2"`, `"squared-L2"`, `"angular"` or a function.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`, usually L2-normalised.

    Requirements: batches with at least two classes, and two examples of a class.

    Example:

    ```python
    from tensorflow_similarity.losses import TripletSemiHardLoss

    loss = TripletSemiHardLoss(margin=1.0, distance="euclidean")
    loss([0, 0, 1], [[0.0], [1.0], [1.5]])  # (0.5 + 1.5) / 2
    ```

    Reference:
        Schroff et al., *FaceNet: A Unified Embedding for Face Recognition and
        Clustering*, CVPR 2015, https://arxiv.org/abs/1503.03832
    """

    def __init__(
        self,
        margin: float = 1.0,
        distance: DistanceLike | None = "squared_euclidean",
        name: str | None = "triplet_semihard_loss",
        distance_metric: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            distance=distance if distance_metric is None else addons_distance(distance_metric),
            name=name or "triplet_semihard_loss",
            **options,
        )
        self.margin = checked_number(margin, "margin")

    def statistics(self, pairs: Pairs) -> Any:
        slots = relevance_slots(pairs.positives)
        return ((self._many(slots, pairs), ops.cast(slots.count, pairs.distances.dtype)),)

    def losses(self, comparison: Comparison) -> Tensor:
        if not self.all_of_a_class():
            return super().losses(comparison)
        queries, keys = comparison.queries, comparison.keys
        slots = class_slots(queries.labels, keys.labels, comparison.positions, keys.known)
        if queries.known is not None:
            slots = slots._replace(count=ops.where(queries.known, slots.count, 0))
        few = ops.max(slots.count, initial=0) <= _FEW
        positive, exists = slots.take(0, _FEW)
        negative, complete = ops.cond(
            few,
            lambda: comparison.mine(self._mine_few, (positive, exists)),
            lambda: (ops.zeros_like(positive), ops.zeros_like(exists)),
        )
        # Outside of the branch, where it costs little even if it is not needed:
        # TensorFlow warns of a branch whose gradient keeps integers.
        sums = map_row_blocks(
            self._few,
            (queries.outputs, positive, negative, complete),
            (keys.outputs,),
            self.block_size,
        )
        rows = (slots.first, slots.count, slots.own)
        if self.block_size is None:
            sums = ops.cond(
                few,
                lambda: sums,
                lambda: comparison.map(self._many_of_a_class, rows, (slots.order,)),
            )
        else:
            # XLA refuses the gradient of a branch with a loop over blocks: each block branches.
            sums = comparison.map(self._few_or_many, (sums, *rows), (slots.order, few))
        term = comparison.gather((sums, ops.cast(slots.count, sums.dtype)))
        return comparison.own(self.value((term,), comparison))

    def _many_of_a_class(
        self, pairs: Pairs, first: Tensor, count: Any, own: Tensor, order: Any
    ) -> Tensor:
        return self._many(Slots(order, first, count, own), pairs)

    def _few_or_many(
        self,
        pairs: Pairs,
        sums: Tensor,
        first: Tensor,
        count: Any,
        own: Tensor,
        order: Any,
        few: Any,
    ) -> Tensor:
        return ops.cond(
            few,
            lambda: sums,
            lambda: self._many_of_a_class(pairs, first, count, own, order),
        )

    def _mine_few(self, pairs: Pairs, positive: Tensor, exists: Any) -> tuple[Any, Any]:
        """The negative of each of few positives, by a pass over the row for each."""
        near = ops.take_along_axis(pairs.distances, positive, axis=1)
        most = ops.max(ops.sum(ops.cast(exists, "int32"), axis=1))
        negative = nearest_beyond(pairs.distances, pairs.negatives, near, most)
        return negative, ops.logical_and(exists, at(pairs.negatives, negative[:, 0])[:, None])

    def _few(
        self, queries: Tensor, positive: Tensor, negative: Tensor, complete: Any, keys: Tensor
    ) -> Tensor:
        """Sums over few positives, whose gradient is sparse."""

        def selected(place: Any) -> Tensor:
            return self._distance().paired(queries[:, None, :], ops.take(keys, place, axis=0))

        gap = ops.where(complete, selected(positive) - selected(negative), 0)
        return ops.sum(ops.where(complete, ops.relu(gap + self.margin), 0), axis=1)

    def _many(self, slots: Slots, pairs: Pairs) -> Tensor:
        """Sums over many positives: a sort of each row, and a dense gradient."""
        distances = ops.stop_gradient(pairs.distances)
        value, derivative = semi_hard_hinge(
            distances, pairs.positives, pairs.negatives, slots, self.margin
        )
        return with_slope(value, derivative, pairs.distances)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin}
