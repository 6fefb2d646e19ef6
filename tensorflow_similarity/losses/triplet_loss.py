"""Triplet losses on one mined positive and one mined negative."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.metric_loss import checked_number
from tensorflow_similarity.losses.mined_loss import MinedLoss
from tensorflow_similarity.mining.rows import Rows
from tensorflow_similarity.mining.selection import at
from tensorflow_similarity.mining.strategies import All, get_negative, get_positive

__all__ = ["TripletHardLoss", "TripletLoss", "triplet_margin"]


def triplet_margin(gap: Any, margin: float | None) -> Any:
    """`max(0, gap + margin)`, or the soft margin `log(1 + exp(gap))` where margin is None."""
    return ops.softplus(gap) if margin is None else ops.relu(gap + margin)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class TripletLoss(MinedLoss):
    """Triplet loss with online mining: one positive and one negative a query.

    `loss = max(0, d(a, p) - d(a, n) + margin)`, or with a soft margin
    `log(1 + exp(d(a, p) - d(a, n)))`, where the mining strategies choose p and n
    for each query a among the batch. A query without a positive, or without a
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
        margin: The margin, in units of the distance. None is another way to ask
            for the soft margin.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`. They need not be normalised for the cosine distance.

    Requirements: at least two examples of a class, and two classes, in a batch;
    see `tensorflow_similarity.samplers.MultiShotMemorySampler`.

    Recommended: keep semi-hard negatives. Hard positives with hard negatives
    collapse small networks to a point early in training.

    Raises:
        ValueError: If a strategy has no such name, or a margin is given with
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
        distance: Any = "cosine",
        positive_mining_strategy: Any = "hard",
        negative_mining_strategy: Any = "semi-hard",
        soft_margin: bool = False,
        margin: float | None = 1.0,
        name: str = "triplet_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        if soft_margin and margin not in (None, 1.0):
            raise ValueError(
                "`margin` is not used when `soft_margin=True`: leave it out, or set "
                f"soft_margin=False. Received: margin={margin!r}."
            )
        self.soft_margin = bool(soft_margin) or margin is None
        self.margin = None if self.soft_margin else checked_number(margin, "margin")
        self.positive_mining_strategy = get_positive(positive_mining_strategy)
        self.negative_mining_strategy = get_negative(negative_mining_strategy)
        for side in ("positive", "negative"):
            if isinstance(getattr(self, f"{side}_mining_strategy"), All):
                raise ValueError(
                    f"Invalid {side} mining strategy. TripletLoss looks at one {side} a query: "
                    f"`{side}_mining_strategy` must be 'easy', 'hard'"
                    f"{', semi-hard' if side == 'negative' else ''} or a MiningStrategy that picks "
                    "one. Received: 'all'. TripletSemiHardLoss looks at all positives, "
                    "TripletAllLoss at all of both."
                )

    def select(self, rows: Rows) -> Any:
        distances, positives, negatives, *_ = rows
        no_threshold = ops.zeros_like(distances[:, 0])
        positive = self.positive_mining_strategy.pick(distances, positives, no_threshold)
        thresholds = at(distances, positive)
        negative = self.negative_mining_strategy.pick(distances, negatives, thresholds)
        complete = ops.logical_and(at(positives, positive), at(negatives, negative))
        return {"positive": positive, "negative": negative, "complete": complete}

    def selected_loss(self, queries: Any, keys: Any, selection: Any) -> Any:
        positives, negatives = (
            ops.take(keys, selection[side], axis=0) for side in ("positive", "negative")
        )
        # Incomplete triplets are emptied before the margin, so that no value of
        # theirs, however large, reaches the gradient.
        complete = selection["complete"]
        gap = ops.where(complete, self._gap(queries, positives, negatives), 0)
        return ops.where(complete, triplet_margin(gap, self.margin), 0)

    def _gap(self, queries: Any, positives: Any, negatives: Any) -> Any:
        """How much farther the positive is than the negative: embeddings in, `[queries]` out."""
        paired = self._distance().paired
        return paired(queries, positives) - paired(queries, negatives)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "positive_mining_strategy": strategy_config(self.positive_mining_strategy, "positive"),
            "negative_mining_strategy": strategy_config(self.negative_mining_strategy, "negative"),
            "soft_margin": self.soft_margin,
            "margin": self.margin,
        }


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class TripletHardLoss(TripletLoss):
    """Batch-hard triplet loss: each query's farthest positive and nearest negative.

    `loss = max(0, max_p d(a, p) - min_n d(a, n) + margin)`, or
    `log(1 + exp(max_p d(a, p) - min_n d(a, n)))` when soft. It is `TripletLoss`
    with both strategies `"hard"`, under the name and with the defaults that it
    has in TensorFlow Addons.

    Args:
        margin: The margin, in units of the distance.
        soft: Whether to use the soft margin.
        distance: Distance between embeddings, by name or object.
        name: Name of the loss.
        distance_metric: Another spelling of `distance`, from later versions of
            TensorFlow Addons: `"L2"`, `"squared-L2"`, `"angular"` or a function.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs and requirements are those of `TripletLoss`.

    Recommended: it takes a well-initialised network, a small learning rate or
    many classes a batch; a small network collapses to a point.

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
        distance: Any = "euclidean",
        name: str = "triplet_hard_loss",
        distance_metric: Any = None,
        **kwargs: Any,
    ) -> None:
        self.soft = bool(soft)
        super().__init__(
            distance=distance if distance_metric is None else addons_distance(distance_metric),
            positive_mining_strategy="hard",
            negative_mining_strategy="hard",
            margin=None if soft else margin,
            name=name or "triplet_hard_loss",
            **kwargs,
        )
        self.margin_argument = checked_number(margin, "margin")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for key in ("positive_mining_strategy", "negative_mining_strategy", "soft_margin"):
            del config[key]
        return {**config, "margin": self.margin_argument, "soft": self.soft}


def strategy_config(strategy: Any, side: str) -> Any:
    """A strategy's name where it has one, else its serialised form."""
    by_name = {"positive": get_positive, "negative": get_negative}[side]
    for name in ("easy", "hard", "all", "semi-hard"):
        if (side, name) != ("positive", "semi-hard") and by_name(name) == strategy:
            return name
    return keras.saving.serialize_keras_object(strategy)


def addons_distance(distance_metric: Any) -> Any:
    """The `distance_metric` of later TensorFlow Addons as a distance.

    There `"angular"` is the cosine distance.
    """
    if isinstance(distance_metric, str) and distance_metric.lower() == "angular":
        return "cosine"
    return distance_metric
