"""Losses that teach a model what another one knows: its embeddings are the labels."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity import distances
from tensorflow_similarity._blocks import map_row_blocks
from tensorflow_similarity._checks import count
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.distances.cosine import unit_rows
from tensorflow_similarity.losses.arguments import checked_number, checked_positive
from tensorflow_similarity.losses.masked import masked_logsumexp
from tensorflow_similarity.losses.two_view_losses import TwoViewLoss

__all__ = [
    "DistillationLoss",
    "EmbeddingDistillationLoss",
    "RelationalDistillationLoss",
    "SimilarityDistillationLoss",
]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class DistillationLoss(TwoViewLoss):
    """Base of the losses whose labels are the embeddings of a teacher.

    A subclass writes `call(teacher, student)`, which returns one loss for each example. The
    teacher gets no gradient.

    Args:
        distance: The distance that the index of the trained model follows.
        name: Name of the loss.
        **options: The options of every loss.

    Calling it takes:

    - `y_true`: the teacher's embeddings of the same examples, `[batch, dim]`.
    - `y_pred`: the student's, `[batch, dim]`; of another size, unless the loss says otherwise.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.layers import L2Embedding
    from tensorflow_similarity.losses import SimilarityDistillationLoss
    from tensorflow_similarity.models import SimilarityModel

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    teacher = x[:, :6]  # teacher.predict(x)

    inputs = keras.Input((8,))
    student = SimilarityModel(inputs, L2Embedding(4)(inputs))
    student.compile("adam", loss=SimilarityDistillationLoss())
    history = student.fit(x, teacher, batch_size=32, verbose=0)
    ```
    """

    takes_views = False
    takes_teacher = True
    one_size = False

    def __init__(
        self, distance: DistanceLike = "cosine", name: str | None = None, **options: Any
    ) -> None:
        super().__init__(name=name, **options)
        self.distance = distances.get(distance)

    def checked_labels(self, y_true: Any, batch: Any) -> Any:
        return ops.stop_gradient(super().checked_labels(y_true, batch))

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments, as JSON-serialisable values."""
        distance = keras.saving.serialize_keras_object(self.distance)
        return {**super().get_config(), "distance": distance}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class EmbeddingDistillationLoss(DistillationLoss):
    """The distance between the student's embedding and the teacher's.

    `loss_i = d(student_i, teacher_i)`.

    The student then lives in the teacher's space: its queries find what the teacher has
    indexed.

    Args:
        distance: The distance, by name or object.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: embeddings of one size, `[batch, dim]` each.

    Recommended: a small student of the same embedding size. With a student of another size,
    see `RelationalDistillationLoss`.

    Relations: backward-compatible training is this loss added to the student's own.

    Example:

    ```python
    from tensorflow_similarity.losses import EmbeddingDistillationLoss

    loss = EmbeddingDistillationLoss("squared_euclidean")
    loss([[0.0, 0.0], [1.0, 0.0]], [[3.0, 4.0], [1.0, 0.0]])  # (25 + 0) / 2
    ```

    Reference:
        Romero et al., *FitNets: Hints for Thin Deep Nets*, ICLR 2015,
        https://arxiv.org/abs/1412.6550
    """

    one_size = True

    takes_whole = True

    def __init__(
        self,
        distance: DistanceLike = "cosine",
        name: str = "embedding_distillation_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance, name, **options)

    def call(self, teacher: Tensor, student: Tensor) -> Tensor:
        return self.distance.paired(student, teacher)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SimilarityDistillationLoss(DistillationLoss):
    """The student ranks the batch with the teacher's probabilities.

    `loss_i = T^2 sum over j != i of p_ij log(p_ij / q_ij)`, where p_i is the softmax of the
    teacher's `-d(t_i, t_j) / T` over the other examples j, and q_i the student's.

    Args:
        distance: The distance in both spaces, by name or object.
        temperature: T, above 0.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: embeddings `[batch, dim]` each; sizes may differ.

    Requirements: batches of at least 3: of two, each has one other, and the loss is 0.

    Recommended: temperatures from 0.05 to 0.2 with the cosine.

    Example:

    ```python
    from tensorflow_similarity.losses import SimilarityDistillationLoss

    teacher = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]
    loss = SimilarityDistillationLoss()
    loss(teacher, teacher)  # 0.0
    ```

    Reference:
        Tejankar et al., *ISD: Self-Supervised Learning by Iterative Similarity Distillation*,
        ICCV 2021, https://arxiv.org/abs/2012.09259; Fang et al., *SEED*, ICLR 2021,
        https://arxiv.org/abs/2101.04731
    """

    def __init__(
        self,
        distance: DistanceLike = "cosine",
        temperature: float = 0.1,
        name: str = "similarity_distillation_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance, name, **options)
        self.temperature = checked_positive(temperature, "temperature")

    def call(self, teacher: Tensor, student: Tensor) -> Tensor:
        rows = ops.arange(ops.shape(student)[0])
        others = rows[:, None] != rows[None, :]

        def log_probabilities(embeddings: Any) -> Tensor:
            scores = -self.distance(embeddings, embeddings) / self.temperature
            return scores - masked_logsumexp(scores, others)[:, None]

        wanted = ops.cast(log_probabilities(teacher), student.dtype)
        # Of a teacher in float64 as much as of the student: one type for all.
        wanted = ops.where(others, wanted, 0)
        found = ops.where(others, log_probabilities(student), 0)
        weights = ops.where(others, ops.exp(wanted), 0)
        return self.temperature**2 * ops.sum(weights * (wanted - found), axis=1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class RelationalDistillationLoss(DistillationLoss):
    """Relational knowledge distillation: distances and angles between examples are the teacher's.

    `loss = w_d mean over i != j of huber(D(s_i, s_j) - D(t_i, t_j)) + w_a mean over i, j, k of
    huber(cos(s_j, s_i, s_k) - cos(t_j, t_i, t_k))`, where D is the Euclidean distance over its
    mean, the cosine is that of the angle at i, and
    `huber(x) = x^2 / 2` up to 1 and `|x| - 1/2` from there.

    Args:
        distance_weight: w_d, at least 0.
        angle_weight: w_a, at least 0. 0 leaves out the angles, whose number is the third
            power of the batch.
        distance: The distance that the index of the trained model follows; the loss itself is
            Euclidean, as in the paper.
        block_size: Angles at so many examples at a time, to the same value and gradient.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: embeddings `[batch, dim]` each; sizes may differ.

    Raises:
        ValueError: If both weights are 0.

    Example:

    ```python
    from tensorflow_similarity.losses import RelationalDistillationLoss

    teacher = [[0.0, 0.0], [3.0, 4.0], [6.0, 0.0]]
    student = [[0.0, 0.0, 0.0], [6.0, 8.0, 0.0], [12.0, 0.0, 0.0]]
    RelationalDistillationLoss()(teacher, student)  # 0.0: the same up to scale
    ```

    Reference:
        Park et al., *Relational Knowledge Distillation*, CVPR 2019,
        https://arxiv.org/abs/1904.05068
    """

    def __init__(
        self,
        distance_weight: float = 1.0,
        angle_weight: float = 2.0,
        distance: DistanceLike = "euclidean",
        block_size: int | None = 32,
        name: str = "relational_distillation_loss",
        **options: Any,
    ) -> None:
        super().__init__(distance, name, **options)
        self.distance_weight = checked_number(distance_weight, "distance_weight")
        self.angle_weight = checked_number(angle_weight, "angle_weight")
        if min(self.distance_weight, self.angle_weight) < 0 or not (
            self.distance_weight or self.angle_weight
        ):
            raise ValueError(
                "`distance_weight` and `angle_weight` must be at least 0, and one above it. "
                f"Received: {distance_weight!r} and {angle_weight!r}."
            )
        self.block_size = None if block_size is None else count(block_size, "block_size")

    def call(self, teacher: Tensor, student: Tensor) -> Tensor:
        teacher = ops.cast(teacher, student.dtype)
        n = ops.cast(ops.shape(student)[0], student.dtype)
        loss = ops.zeros_like(student[:, 0])
        if self.distance_weight:
            difference = _relative_distances(student) - _relative_distances(teacher)
            others = ops.maximum(n - 1, 1)
            loss = loss + self.distance_weight * ops.sum(_huber(difference), axis=1) / others
        if self.angle_weight:
            angles = map_row_blocks(
                _angle_differences, (teacher, student), (teacher, student), self.block_size
            )
            loss = loss + self.angle_weight * angles / (n * n)
        return loss

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "distance_weight": self.distance_weight,
            "angle_weight": self.angle_weight,
            "block_size": self.block_size,
        }


def _relative_distances(x: Tensor) -> Tensor:
    row = ops.arange(ops.shape(x)[0])
    others = row[:, None] != row[None, :]
    distance = ops.where(others, distances.get("euclidean")(x, x), 0)
    mean = ops.sum(distance) / ops.maximum(ops.sum(ops.cast(others, distance.dtype)), 1)
    some = mean > 0
    return ops.where(some, distance / ops.where(some, mean, 1), 0)


def _angle_differences(
    teacher_at: Any, student_at: Any, teacher: Tensor, student: Tensor
) -> Tensor:
    def cosines(at: Tensor, every: Tensor) -> Tensor:
        rays = unit_rows(every[None, :, :] - at[:, None, :])
        return ops.matmul(rays, ops.transpose(rays, (0, 2, 1)))

    difference = cosines(student_at, student) - cosines(teacher_at, teacher)
    return ops.sum(_huber(difference), axis=(1, 2))


def _huber(x: Tensor) -> Tensor:
    size = ops.abs(x)
    inner = ops.minimum(size, 1)
    return inner * (size - inner / 2)
