"""Losses on the probability that a query's neighbour is one of its class."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.masked import any_pair, masked_logsumexp
from tensorflow_similarity.losses.metric_loss import MetricLoss
from tensorflow_similarity.mining.rows import Rows

__all__ = ["NCALoss", "SoftNearestNeighborLoss", "neighbor_log_loss"]


def neighbor_log_loss(similarities: Any, rows: Rows) -> Any:
    """`-log(sum over p of exp(s) / sum over all of exp(s))`; 0 where there is no positive."""
    alike = masked_logsumexp(similarities, rows.positives)
    every = masked_logsumexp(similarities, ops.logical_or(rows.positives, rows.negatives))
    both = ops.logical_and(any_pair(rows.positives), any_pair(rows.negatives))
    return ops.where(both, every - alike, 0)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SoftNearestNeighborLoss(MetricLoss):
    """Soft nearest neighbour loss: how surely a random near neighbour is alike.

    `loss = -log(sum over p of exp(-d(a, p) / T) / sum over k of exp(-d(a, k) / T))`,
    where p are the positives of a and k all other examples. A query without a
    positive has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        temperature: T, above 0. The smaller, the fewer neighbours count.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: at least two examples of a class, and two classes, in a batch.

    Recommended: a temperature near the typical distance; with unit vectors, from
    0.05 to 1. One near positive is enough: classes may keep several clusters.

    Relations: `NCALoss` is the same with `1 / T` as its scale. `SupConLoss` takes
    the mean of the logarithms where this takes the logarithm of the sum, and so
    pulls at every positive.

    Example:

    ```python
    from tensorflow_similarity.losses import SoftNearestNeighborLoss

    SoftNearestNeighborLoss()([0, 0, 1], [[0.0], [1.0], [1.0]])  # (log(2) + 1.313262) / 3
    ```

    Reference:
        Frosst et al., *Analyzing and Improving Representations with the Soft
        Nearest Neighbor Loss*, ICML 2019, https://arxiv.org/abs/1902.01889
    """

    def __init__(
        self,
        distance: Any = "squared_euclidean",
        temperature: float = 1.0,
        name: str = "soft_nearest_neighbor_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        self.temperature = checked_positive(temperature, "temperature")

    def row_loss(self, rows: Rows) -> Any:
        return neighbor_log_loss(-rows.distances / self.temperature, rows)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class NCALoss(MetricLoss):
    """Neighbourhood components analysis: a stochastic neighbour should be alike.

    `loss = -log(sum over p of exp(-s d(a, p)) / sum over k of exp(-s d(a, k)))`,
    with the scale s: the paper's objective on the logarithm of the probability
    that the neighbour of a is of its class. A query without a positive has
    loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        softmax_scale: s, above 0.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: at least two examples of a class, and two classes, in a batch.

    Recommended: with unit vectors a larger scale than the default, 8 to 30.

    Relations: `SoftNearestNeighborLoss` with `temperature = 1 / softmax_scale`.

    Example:

    ```python
    from tensorflow_similarity.losses import NCALoss

    NCALoss()([0, 0, 1], [[0.0], [1.0], [1.0]])  # (log(2) + 1.313262) / 3
    ```

    Reference:
        Goldberger et al., *Neighbourhood Components Analysis*, NIPS 2004,
        https://www.cs.toronto.edu/~hinton/absps/nca.pdf
    """

    def __init__(
        self,
        distance: Any = "squared_euclidean",
        softmax_scale: float = 1.0,
        name: str = "nca_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        self.softmax_scale = checked_positive(softmax_scale, "softmax_scale")

    def row_loss(self, rows: Rows) -> Any:
        return neighbor_log_loss(-rows.distances * self.softmax_scale, rows)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "softmax_scale": self.softmax_scale}
