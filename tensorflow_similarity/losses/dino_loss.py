"""DINO loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._checks import count
from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.two_view_loss import TwoViewLoss

__all__ = ["DINOLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class DINOLoss(TwoViewLoss):
    """DINO: a student must say of one view what a teacher says of the other.

    `loss_i = -sum over c of t_ic log softmax(student_i / T_s)_c`. The targets t are the softmax of
    `teacher / T_t`, balanced over the batch by some steps of Sinkhorn and Knopp: every output is
    then used equally often, which keeps the network from one answer to all. (DINO itself
    subtracts a moving mean; this is the form of DINOv2, which needs no state.)

    Args:
        student_temperature: T_s, above 0.
        teacher_temperature: T_t, above 0 and below T_s, so that targets are sharper.
        iterations: Steps of balancing; at least 1.
        name: Name of the loss.
        reduction: As in Keras.
        dtype: As in Keras.

    Inputs: the teacher's outputs in the place of `y_true`, the student's in that of `y_pred`,
    `[batch, outputs]` each. The teacher's are constants to the gradient.

    Requirements: a teacher that is a moving average of the student, see `momentum` of
    `tensorflow_similarity.models.ContrastiveModel`; batches of more examples than a few.

    Example:

    ```python
    from tensorflow_similarity.losses import DINOLoss

    views = [[1.0, 0.0], [0.0, 1.0]]
    DINOLoss(student_temperature=1.0, teacher_temperature=0.02)(views, views)  # log(1 + exp(-1))
    ```

    Reference:
        Caron et al., *Emerging Properties in Self-Supervised Vision Transformers*, ICCV 2021,
        https://arxiv.org/abs/2104.14294; Oquab et al., *DINOv2*, 2023,
        https://arxiv.org/abs/2304.07193
    """

    def __init__(
        self,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        iterations: int = 3,
        name: str = "dino_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.student_temperature = checked_positive(student_temperature, "student_temperature")
        self.teacher_temperature = checked_positive(teacher_temperature, "teacher_temperature")
        self.iterations = count(iterations, "iterations")

    def call(self, za: Any, zb: Any) -> Any:
        targets = self._balanced(ops.stop_gradient(za) / self.teacher_temperature)
        return -ops.sum(targets * ops.log_softmax(zb / self.student_temperature, axis=-1), axis=-1)

    def _balanced(self, scores: Any) -> Any:
        """Rows that sum to 1, columns of about equal sums; in logarithms, as scores are large."""
        for _ in range(self.iterations):
            scores = scores - ops.logsumexp(scores, axis=0, keepdims=True)
            scores = scores - ops.logsumexp(scores, axis=1, keepdims=True)
        return ops.exp(scores)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "student_temperature": self.student_temperature,
            "teacher_temperature": self.teacher_temperature,
            "iterations": self.iterations,
        }
