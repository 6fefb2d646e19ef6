"""Positive-negative loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.triplet_loss import TripletLoss

__all__ = ["PNLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class PNLoss(TripletLoss):
    """Triplet loss that pushes the negative from the query and from its positive.

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
        margin: The margin, in units of the distance. None is another way to ask
            for the soft margin.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs and requirements are those of `TripletLoss`.

    Recommended: semi-hard negatives, as for `TripletLoss`.

    Relations: what pytorch-metric-learning calls `swap=True`, with mined
    triplets.

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
        distance: Any = "cosine",
        positive_mining_strategy: Any = "hard",
        negative_mining_strategy: Any = "semi-hard",
        soft_margin: bool = False,
        margin: float | None = 1.0,
        name: str = "pn_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            distance=distance,
            positive_mining_strategy=positive_mining_strategy,
            negative_mining_strategy=negative_mining_strategy,
            soft_margin=soft_margin,
            margin=margin,
            name=name,
            **kwargs,
        )

    def _gap(self, queries: Any, positives: Any, negatives: Any) -> Any:
        paired = self._distance().paired
        far = ops.minimum(paired(queries, negatives), paired(positives, negatives))
        return paired(queries, positives) - far
