"""Losses on a few mined pairs a query: their gradient is sparse."""

from __future__ import annotations

from typing import Any

from keras import ops

from tensorflow_similarity._blocks import MINING_ROWS, map_row_blocks
from tensorflow_similarity.losses.metric_loss import MetricLoss, query_places
from tensorflow_similarity.mining.rows import Rows

__all__ = ["MINING_ROWS", "MinedLoss"]


class MinedLoss(MetricLoss):
    """Base of the losses that select keys for each query and look at these alone.

    Mining looks at all distances, a block of rows at a time, and without a
    gradient. The distances of the selected pairs are then computed again from
    their embeddings, exactly, so the gradient costs as much as the selected
    pairs and not another product of matrices.

    A subclass writes `select` and `selected_loss`.
    """

    def select(self, rows: Rows) -> Any:
        """Selects keys for each query.

        Args:
            rows: Distances and pairs of some queries.

        Returns:
            A structure of arrays `[queries, ...]` for `selected_loss`: places of
            keys, and masks that say which of them count.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `select`.")

    def selected_loss(self, queries: Any, keys: Any, selection: Any) -> Any:
        """The loss of each query `[queries]` from what `select` returned."""
        raise NotImplementedError(f"{type(self).__name__} must implement `selected_loss`.")

    def query_losses(
        self,
        query_labels: Any,
        queries: Any,
        key_labels: Any,
        keys: Any,
        queries_are_keys: bool = False,
    ) -> Any:
        selection = map_row_blocks(
            lambda *block: self.select(self.rows(*block)),
            (query_labels, ops.stop_gradient(queries), query_places(queries, queries_are_keys)),
            (key_labels, ops.stop_gradient(keys)),
            self.block_size or MINING_ROWS,
            recompute=False,
        )
        return self.selected_loss(queries, keys, selection)
