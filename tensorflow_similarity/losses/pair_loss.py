"""Losses that are means over pairs of the whole batch, and not over queries."""

from __future__ import annotations

from typing import Any

from tensorflow_similarity.losses.masked import mean_over_pairs
from tensorflow_similarity.losses.metric_loss import MetricLoss
from tensorflow_similarity.mining.rows import Rows

__all__ = ["PairLoss"]


class PairLoss(MetricLoss):
    """Base of the losses that are means over pairs.

    A subclass writes `pair_sums`. A query's sum is scaled so that the mean over
    the queries is the mean over the pairs of the batch: a query with many pairs
    weighs more than one with few.
    """

    def pair_sums(self, rows: Rows) -> tuple[tuple[Any, Any], ...]:
        """The terms of the loss: for each, sums over pairs, and the number of pairs.

        Args:
            rows: Distances and pairs of some queries.

        Returns:
            For each term `(sums [queries], pairs [queries])`. The loss is the
            sum of the terms' means.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `pair_sums`.")

    def query_losses(
        self,
        query_labels: Any,
        queries: Any,
        key_labels: Any,
        keys: Any,
        queries_are_keys: bool = False,
    ) -> Any:
        terms = self.map_rows(
            self.pair_sums, query_labels, queries, key_labels, keys, queries_are_keys
        )
        counted = self.counted(query_labels)
        return sum(mean_over_pairs(sums, pairs, counted) for sums, pairs in terms)
