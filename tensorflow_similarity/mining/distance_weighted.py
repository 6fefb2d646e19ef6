"""Distance-weighted sampling: negatives of all distances alike."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.mining.content_noise import content_noise
from tensorflow_similarity.mining.miners import Miner
from tensorflow_similarity.mining.rows import Rows
from tensorflow_similarity.mining.sorting import sort_rows

__all__ = ["DistanceWeightedMiner"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class DistanceWeightedMiner(Miner):
    """As many negatives as a query has positives, drawn evenly over the distances.

    Random points on a sphere of many dimensions are nearly all `sqrt(2)` apart, and
    so are negatives that are drawn evenly. Here a negative at distance d is drawn with
    a weight of one over the density of the distances of random points,
    `d^(dim - 2) (1 - d^2 / 4)^((dim - 3) / 2)`. All positives are kept.

    The draw is without replacement, and changes with the embeddings; it depends on
    them, and on `seed`, alone: the same embeddings get the same draw, in any order
    and in blocks of any size.

    Args:
        cutoff: Nearer distances are taken for this one, so that noise is not
            drawn all the time.
        nonzero_loss_cutoff: Negatives at this distance or beyond are not drawn: the
            loss would be 0.
        seed: Integer; another one gives another draw.

    Requirements: normalised embeddings and `distance="euclidean"`.

    Example:

    ```python
    from tensorflow_similarity.losses import MarginLoss
    from tensorflow_similarity.mining import DistanceWeightedMiner

    loss = MarginLoss(mining=DistanceWeightedMiner(cutoff=0.5))
    ```

    Reference:
        Wu et al., *Sampling Matters in Deep Embedding Learning*, ICCV 2017,
        https://arxiv.org/abs/1706.07567
    """

    distances = ("euclidean",)

    def __init__(
        self, cutoff: float = 0.5, nonzero_loss_cutoff: float = 1.4, seed: int = 0
    ) -> None:
        if not 0 < cutoff < 2:
            raise ValueError(f"`cutoff` must be between 0 and 2. Received: {cutoff!r}.")
        self.cutoff = float(cutoff)
        self.nonzero_loss_cutoff = float(nonzero_loss_cutoff)
        self.seed = int(seed)

    def log_weights(self, distances: Any, dim: int) -> Any:
        """The logarithms of the weights, up to a constant: `[queries, keys]`."""
        distances = ops.clip(distances, self.cutoff, 2 - 1e-3)
        towards = (dim - 2) * ops.log(distances)
        across = (dim - 3) / 2 * ops.log1p(-ops.square(distances) / 4)
        return -(towards + across)

    def keep(self, rows: Rows) -> tuple[Any, Any]:
        distances, positives, negatives, *_ = rows
        candidates = ops.logical_and(negatives, distances < self.nonzero_loss_cutoff)
        weights = self.log_weights(distances, int(rows.keys.shape[1]))
        # The largest of weights with Gumbel noise are a draw without replacement.
        uniform = content_noise(rows.queries, rows.keys, self.seed)
        noise = -ops.log(-ops.log(ops.cast(uniform, distances.dtype)))
        drawn = ops.where(candidates, -(weights + noise), float("inf"))
        ordered, _ = sort_rows(drawn)
        wanted = ops.sum(ops.cast(positives, "int32"), axis=1, keepdims=True)
        last = ops.take_along_axis(ordered, ops.maximum(wanted - 1, 0), axis=1)
        chosen = ops.logical_and(drawn <= last, wanted > 0)
        return positives, ops.logical_and(candidates, chosen)

    def get_config(self) -> dict[str, Any]:
        return {
            "cutoff": self.cutoff,
            "nonzero_loss_cutoff": self.nonzero_loss_cutoff,
            "seed": self.seed,
        }
