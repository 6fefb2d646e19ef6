"""Semi-hard triplet loss over every positive pair."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._blocks import MINING_ROWS, map_row_blocks
from tensorflow_similarity.losses.masked import mean_over_pairs
from tensorflow_similarity.losses.metric_loss import checked_number, query_places
from tensorflow_similarity.losses.mined_loss import MinedLoss
from tensorflow_similarity.losses.triplet_loss import addons_distance
from tensorflow_similarity.mining.rows import Rows
from tensorflow_similarity.mining.selection import at, nearest_beyond
from tensorflow_similarity.mining.semi_hard import semi_hard_hinge
from tensorflow_similarity.mining.slots import Slots, class_slots, relevance_slots

__all__ = ["TripletSemiHardLoss"]

# Up to so many positives a query, each takes its own pass over the row.
_FEW = 8


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class TripletSemiHardLoss(MinedLoss):
    """Triplet loss over every positive pair, each with its semi-hard negative.

    `loss = sum over (a, p) of max(0, margin + d(a, p) - d(a, n*)) / pairs`, over
    all ordered pairs (a, p) of one class, where n* is the negative of a with the
    smallest d(a, n) strictly greater than d(a, p) or, if there is none, the one
    with the largest d(a, n). Pairs of loss 0 are counted. Per query, the sum is
    scaled so that the mean over the batch is this value.

    The value and gradient are those of TensorFlow Addons in O(batch^2) memory
    (there it is O(batch^3)); a batch without a positive pair has loss 0 (there
    it is NaN).

    Args:
        margin: The margin, in units of the distance.
        distance: Distance between embeddings, by name or object. The squared
            Euclidean distance is that of the paper and of TensorFlow Addons up
            to 0.10; for 0.11 and later pass `"euclidean"`.
        name: Name of the loss.
        distance_metric: Another spelling of `distance`, from later versions of
            TensorFlow Addons: `"L2"`, `"squared-L2"`, `"angular"` or a function.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`, by custom L2-normalised.

    Requirements: at least two examples of a class, and two classes, in a batch.

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
        distance: Any = "squared_euclidean",
        name: str | None = "triplet_semihard_loss",
        distance_metric: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            distance=distance if distance_metric is None else addons_distance(distance_metric),
            name=name or "triplet_semihard_loss",
            **kwargs,
        )
        self.margin = checked_number(margin, "margin")

    def query_losses(
        self,
        query_labels: Any,
        queries: Any,
        key_labels: Any,
        keys: Any,
        queries_are_keys: bool = False,
    ) -> Any:
        places = query_places(queries, queries_are_keys)
        if not self.all_of_a_class(query_labels):
            sums, pairs = map_row_blocks(
                self._sums_by_masks,
                (query_labels, queries, places),
                (key_labels, keys),
                self.block_size,
            )
            return mean_over_pairs(sums, pairs, self.counted(query_labels))
        slots = class_slots(query_labels, key_labels, places)
        counted = self.counted(query_labels)
        if counted is not None:
            slots = slots._replace(count=ops.where(counted, slots.count, 0))
        sums = map_row_blocks(
            self._sums_by_class,
            (query_labels, queries, places, slots.first, slots.count, slots.own),
            (key_labels, keys, slots.order),
            self.block_size,
        )
        return mean_over_pairs(sums, slots.count, counted)

    def _sums_by_class(
        self,
        labels: Any,
        queries: Any,
        places: Any,
        first: Any,
        count: Any,
        own: Any,
        key_labels: Any,
        keys: Any,
        order: Any,
    ) -> Any:
        slots = Slots(order, first, count, own)
        block = (labels, queries, places, key_labels, keys)
        few = ops.max(count) <= _FEW
        positive, exists = slots.take(0, _FEW)
        negative, complete = ops.cond(
            few,
            lambda: self._mine_few(positive, exists, *block),
            lambda: (ops.zeros_like(positive), ops.zeros_like(exists)),
        )
        # Outside of the branch, where it costs little even if it is not needed:
        # TensorFlow warns of a branch whose gradient keeps integers.
        sums = self._few(positive, negative, complete, queries, keys)
        return ops.cond(few, lambda: sums, lambda: self._many(slots, self.rows(*block)))

    def _sums_by_masks(self, *block: Any) -> tuple[Any, Any]:
        rows = self.rows(*block)
        slots = relevance_slots(rows.positives)
        return self._many(slots, rows), ops.cast(slots.count, rows.distances.dtype)

    def _mine_few(
        self,
        positive: Any,
        exists: Any,
        labels: Any,
        queries: Any,
        places: Any,
        key_labels: Any,
        keys: Any,
    ) -> tuple[Any, Any]:
        """The negative of each of few positives, by a pass over the row for each."""

        def mine(labels: Any, q: Any, place: Any, positive: Any, exists: Any, *shared: Any) -> Any:
            rows = self.rows(labels, q, place, *shared)
            near = ops.take_along_axis(rows.distances, positive, axis=1)
            most = ops.max(ops.sum(ops.cast(exists, "int32"), axis=1))
            negative = nearest_beyond(rows.distances, rows.negatives, near, most)
            return negative, ops.logical_and(exists, at(rows.negatives, negative[:, 0])[:, None])

        return map_row_blocks(
            mine,
            (labels, ops.stop_gradient(queries), places, positive, exists),
            (key_labels, ops.stop_gradient(keys)),
            MINING_ROWS,
            recompute=False,
        )

    def _few(self, positive: Any, negative: Any, complete: Any, queries: Any, keys: Any) -> Any:
        """Sums over few positives, whose gradient is sparse."""

        def selected(place: Any) -> Any:
            return self._distance().paired(queries[:, None, :], ops.take(keys, place, axis=0))

        gap = ops.where(complete, selected(positive) - selected(negative), 0)
        return ops.sum(ops.where(complete, ops.relu(gap + self.margin), 0), axis=1)

    def _many(self, slots: Slots, rows: Rows) -> Any:
        """Sums over many positives: a sort of each row, and a dense gradient."""
        distances = ops.stop_gradient(rows.distances)
        value, derivative = semi_hard_hinge(distances, rows.negatives, slots, self.margin)
        linear = ops.sum(ops.stop_gradient(derivative) * rows.distances, axis=1)
        return ops.stop_gradient(value) + (linear - ops.stop_gradient(linear))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin}
