"""SimCLR loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.distances.cosine import unit_rows
from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.masked import masked_logsumexp
from tensorflow_similarity.losses.two_view_loss import TwoViewLoss

__all__ = ["SimCLRLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SimCLRLoss(TwoViewLoss):
    """SimCLR: each view must find its other view among all views of the batch.

    `loss_i = -log(exp(s(a_i, b_i) / T) / (sum over j of exp(s(a_i, b_j) / T)
    + sum over j != i of exp(s(a_i, a_j) / T)))`, and the same with a and b
    exchanged, added. s is the cosine similarity.

    Args:
        temperature: T, above 0.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype`, as in Keras.

    Inputs: the embeddings of two views, `[batch, dim]` each.

    Requirements: large batches: all others are the negatives.

    Recommended: a projector of two or three layers before it, left off
    afterwards; temperatures from 0.05 to 0.5.

    Relations: `NTXentLoss` on the two views one after the other, with the
    example's number as its class, is half of it.

    Example:

    ```python
    from tensorflow_similarity.losses import SimCLRLoss

    views = [[1.0, 0.0], [0.0, 1.0]]
    SimCLRLoss(temperature=1.0)(views, views)  # 2 * 0.551445
    ```

    Reference:
        Chen et al., *A Simple Framework for Contrastive Learning of Visual
        Representations*, ICML 2020, https://arxiv.org/abs/2002.05709
    """

    def __init__(
        self,
        temperature: float = 0.05,
        name: str = "simclr_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.temperature = checked_positive(temperature, "temperature")

    def call(self, za: Any, zb: Any) -> Any:
        za, zb = unit_rows(za), unit_rows(zb)
        across = ops.matmul(za, ops.transpose(zb)) / self.temperature
        same = ops.sum(za * zb, axis=-1) / self.temperature
        place = ops.arange(ops.shape(za)[0])
        others = place[:, None] != place[None, :]

        def one_way(view: Any, across: Any) -> Any:
            within = ops.matmul(view, ops.transpose(view)) / self.temperature
            every = ops.concatenate([across, within], axis=1)
            counted = ops.concatenate([ops.ones_like(others), others], axis=1)
            return masked_logsumexp(every, counted) - same

        return one_way(za, across) + one_way(zb, ops.transpose(across))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
