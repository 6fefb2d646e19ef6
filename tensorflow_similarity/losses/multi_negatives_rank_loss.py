"""Multiple negatives ranking loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity import distances
from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.masked import cross_entropy
from tensorflow_similarity.losses.two_view_loss import TwoViewLoss

__all__ = ["MultiNegativesRankLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MultiNegativesRankLoss(TwoViewLoss):
    """Multiple negatives ranking: each query must find its own key among those of the batch.

    `loss_i = -log(exp(-scale d(a_i, b_i)) / sum over j of exp(-scale d(a_i, b_j)))`.

    For pairs that belong together, such as a question and its answer, where no
    negative is given: the keys of the others are the negatives.

    Args:
        distance: Distance between embeddings, by name or object. The inner
            product, the default, has the negative distance for its similarity.
        scale: The scale of the similarities, above 0.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype`, as in Keras.

    Inputs: query embeddings and key embeddings, `[batch, dim]` each; row i of one
    belongs to row i of the other, and to no other.

    Requirements: large batches without duplicates: a key that answers two queries
    of a batch is pushed from one of them.

    Recommended: `distance="cosine"`, or normalised embeddings, with a scale
    of 20; or embeddings as they are with a scale of 1.

    Relations: `SimCLRLoss` has the queries of the others for negatives too, and
    both directions. With class ids, see `NpairsLoss`.

    Example:

    ```python
    from tensorflow_similarity.losses import MultiNegativesRankLoss

    pairs = [[1.0, 0.0], [0.0, 1.0]]
    MultiNegativesRankLoss(scale=1.0)(pairs, pairs)  # 0.313262
    ```

    Reference:
        Henderson et al., *Efficient Natural Language Response Suggestion for Smart
        Reply*, 2017, https://arxiv.org/abs/1705.00652
    """

    def __init__(
        self,
        distance: Any = "inner_product",
        scale: float = 20.0,
        name: str = "multi_negatives_rank_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.distance = distances.get(distance)
        self.scale = checked_positive(scale, "scale")

    def call(self, za: Any, zb: Any) -> Any:
        similarities = -self.scale * self.distance(za, zb)
        place = ops.arange(ops.shape(za)[0])
        own = ops.cast(place[:, None] == place[None, :], similarities.dtype)
        return cross_entropy(similarities, own, ops.ones_like(similarities, dtype="bool"))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "distance": keras.saving.serialize_keras_object(self.distance),
            "scale": self.scale,
        }
