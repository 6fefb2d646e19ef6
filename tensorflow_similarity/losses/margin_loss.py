"""Margin-based loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._blocks import map_row_blocks
from tensorflow_similarity._checks import count
from tensorflow_similarity.losses.class_range import assert_in_graph, check_range
from tensorflow_similarity.losses.masked import masked_sum, mean_over_pairs, number_of
from tensorflow_similarity.losses.metric_loss import MetricLoss, checked_number, query_places
from tensorflow_similarity.mining.rows import Rows

__all__ = ["MarginLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MarginLoss(MetricLoss):
    """Margin-based loss: pairs are held on their side of a boundary.

    `loss = sum over triplets (a, p, n) of max(0, d(a, p) - beta + margin)
    + max(0, beta - d(a, n) + margin)`, divided by the number of terms above 0.

    It takes every triplet of the batch, so a query's positives together weigh
    as much as its negatives; no triplet is ever formed. Per query, the sum is
    scaled so that the mean over the batch is this value. A query without a
    positive, or without a negative, has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        margin: How far from the boundary a pair should be, in units of the
            distance.
        beta: The boundary, in units of the distance. None: it is trained, and comes
            behind the embeddings in `y_pred`, as `layers.MarginHead` makes it. (A
            variable in a loss would be neither trained nor saved.)
        name: Name of the loss.
        classes: The number of boundaries in `y_pred`, with `beta=None`: 1, or one for
            each class. Class ids are 0 to `classes - 1` then.
        nu: The weight of the boundary itself in the loss, which holds it back.
        **kwargs: `block_size`, `mining`, `reduction` …, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`, normalised for the default boundary.

    Requirements: at least two examples of a class, and two classes, in a batch.

    Recommended: `beta` of 1.2 and `margin` of 0.2 with the Euclidean distance of
    unit vectors, in which random vectors are about 1.4 apart; in the paper negatives
    are sampled, `mining="distance_weighted"`.

    Relations: `ContrastiveLoss` with a margin for the positives too, and without
    the square.

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
        distance: Any = "euclidean",
        margin: float = 0.2,
        beta: float | None = 1.2,
        name: str = "margin_loss",
        *,
        classes: int = 1,
        nu: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        self.margin = checked_number(margin, "margin")
        self.beta = None if beta is None else checked_number(beta, "beta")
        self.classes = count(classes, "classes")
        self.numbers_classes = self.classes > 1
        self.nu = checked_number(nu, "nu")
        if self.beta is not None and self.classes > 1:
            raise ValueError(
                "`classes` is the number of trained boundaries: leave it out with a fixed one. "
                f"Received: classes={classes} with beta={beta!r}."
            )

    def query_losses(
        self,
        query_labels: Any,
        queries: Any,
        key_labels: Any,
        keys: Any,
        queries_are_keys: bool = False,
    ) -> Any:
        boundaries = ops.zeros_like(queries[:, 0]) + (self.beta or 0.0)
        if self.beta is None:
            boundaries = self._boundaries(query_labels, queries)
            queries, keys = (x[:, : -self.classes] for x in (queries, keys))

        def sums(labels: Any, q: Any, place: Any, boundary: Any, *shared: Any) -> tuple[Any, Any]:
            return self._sums(self.rows(labels, q, place, *shared), boundary)

        costs, terms = map_row_blocks(
            sums,
            (query_labels, queries, query_places(queries, queries_are_keys), boundaries),
            (key_labels, keys),
            self.block_size,
        )
        losses = mean_over_pairs(costs, terms, self.counted(query_labels))
        return losses + self.nu * ops.where(terms > 0, boundaries, 0)

    def _boundaries(self, labels: Any, queries: Any) -> Any:
        """The boundary of each query, `[queries]`."""
        boundaries = queries[:, -self.classes :]
        if self.classes == 1:
            return boundaries[:, 0]
        if self.relevance is not None or len(labels.shape) != 1:
            raise ValueError(
                "`y_true` must be class ids for MarginLoss with a boundary for each class. "
                f"Received: shape {tuple(labels.shape)}."
            )
        own = labels[:, None] == ops.arange(self.classes, dtype=labels.dtype)[None, :]
        known = ops.any(own, axis=1)
        counted = self.counted(labels)
        assert_in_graph(
            known if counted is None else ops.logical_or(known, ops.logical_not(counted)),
            labels,
            self.classes,
        )
        # Where nothing can be raised, as in XLA, an unknown class shows as NaN.
        boundary = ops.sum(ops.where(own, boundaries, 0), axis=1)
        missing = float("nan") if counted is None else ops.where(counted, float("nan"), 0)
        return ops.where(known, boundary, missing)

    def _sums(self, rows: Rows, boundaries: Any) -> tuple[Any, Any]:
        """The costs of each query's triplets, and how many of their terms are above 0."""
        distances, positives, negatives, *_ = rows
        pull = ops.relu(distances - boundaries[:, None] + self.margin)
        push = ops.relu(boundaries[:, None] - distances + self.margin)
        # A positive pair is in as many triplets as there are negatives.
        triplets = number_of(negatives, distances.dtype), number_of(positives, distances.dtype)
        sums = triplets[0] * masked_sum(pull, positives) + triplets[1] * masked_sum(push, negatives)
        pulled = number_of(ops.logical_and(positives, pull > 0), distances.dtype)
        pushed = number_of(ops.logical_and(negatives, push > 0), distances.dtype)
        return sums, triplets[0] * pulled + triplets[1] * pushed

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if self.numbers_classes:
            check_range(y_true, self.classes, self.ignore_class)
        return super().__call__(y_true, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "margin": self.margin,
            "beta": self.beta,
            "classes": self.classes,
            "nu": self.nu,
        }
