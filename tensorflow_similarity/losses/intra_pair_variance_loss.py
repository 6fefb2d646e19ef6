"""Intra-pair variance loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._blocks import map_row_blocks
from tensorflow_similarity.losses.masked import masked_sum, mean_over_pairs, number_of
from tensorflow_similarity.losses.metric_loss import MetricLoss, checked_number, query_places

__all__ = ["IntraPairVarianceLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class IntraPairVarianceLoss(MetricLoss):
    """Intra-pair variance loss: positive pairs alike alike, negative pairs unlike alike.

    With `s = 1 - d`, and m+ and m- the means of s over all positive and all
    negative pairs of the batch,

    `loss = mean over pairs (a, p) of max(0, (1 - pos_eps) m+ - s(a, p))^2
    + mean over pairs (a, n) of max(0, s(a, n) - (1 + neg_eps) m-)^2`.

    Per query, the sums are scaled so that the mean over the batch is this value.

    Args:
        distance: Distance between embeddings, by name or object. 1 less the
            distance is taken for the similarity.
        pos_eps: The part of the mean that a positive pair may fall short of it.
        neg_eps: The part of the mean that a negative pair may exceed it by.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: several pairs of each kind in a batch: with one pair, its
    variance is 0.

    Recommended: never alone. It says nothing of positives against negatives: add
    it to another loss, such as `TupletMarginLoss`, at half the weight.

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
        distance: Any = "cosine",
        pos_eps: float = 0.01,
        neg_eps: float = 0.01,
        name: str = "intra_pair_variance_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        self.pos_eps = checked_number(pos_eps, "pos_eps")
        self.neg_eps = checked_number(neg_eps, "neg_eps")

    def query_losses(
        self,
        query_labels: Any,
        queries: Any,
        key_labels: Any,
        keys: Any,
        queries_are_keys: bool = False,
    ) -> Any:
        def pairs(*block: Any) -> tuple[Any, ...]:
            rows = self.rows(*block)
            return 1 - rows.distances, rows.positives, rows.negatives

        def sums(*block: Any) -> Any:
            similarities, positives, negatives = pairs(*block)
            return tuple(
                (masked_sum(similarities, mask), number_of(mask, similarities.dtype))
                for mask in (positives, negatives)
            )

        def costs(
            labels: Any, q: Any, place: Any, k_labels: Any, k: Any, low: Any, high: Any
        ) -> Any:
            similarities, positives, negatives = pairs(labels, q, place, k_labels, k)
            return (
                masked_sum(ops.square(ops.relu(low - similarities)), positives),
                masked_sum(ops.square(ops.relu(similarities - high)), negatives),
            )

        rows = (query_labels, queries, query_places(queries, queries_are_keys))
        (alike, alike_pairs), (other, other_pairs) = map_row_blocks(
            sums, rows, (key_labels, keys), self.block_size
        )
        low = (1 - self.pos_eps) * ops.mean(mean_over_pairs(alike, alike_pairs))
        high = (1 + self.neg_eps) * ops.mean(mean_over_pairs(other, other_pairs))
        pull, push = map_row_blocks(costs, rows, (key_labels, keys, low, high), self.block_size)
        counted = self.counted(query_labels)
        return mean_over_pairs(pull, alike_pairs, counted) + mean_over_pairs(
            push, other_pairs, counted
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pos_eps": self.pos_eps, "neg_eps": self.neg_eps}
