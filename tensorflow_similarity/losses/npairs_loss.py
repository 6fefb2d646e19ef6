"""N-pairs losses, for class ids and for several labels an example."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.labels import multi_hot
from tensorflow_similarity.losses.masked import cross_entropy
from tensorflow_similarity.losses.pairwise_values import PairwiseValuesLoss
from tensorflow_similarity.mining.rows import Rows

__all__ = ["NpairsLoss", "NpairsMultilabelLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class NpairsLoss(PairwiseValuesLoss):
    """N-pairs loss: the cross entropy of a query's similarities and its positives.

    For query i, `-mean over positives j of log(exp(s_ij) / sum_k exp(s_ik))`.

    With `distance=None`, the default, `y_pred` **is** the similarity matrix
    `[batch, batch]` between anchors and positives, `tf.matmul(a, b,
    transpose_b=True)`, as in TensorFlow Addons; positives are all entries of the
    row's class, the diagonal included. With a distance, `y_pred` is embeddings,
    the similarity is the negative distance (so `"inner_product"` gives the paper's),
    and a query is not paired with itself. A query without a positive has loss 0.

    Args:
        distance: Distance between embeddings, by name or object; None if
            `y_pred` holds similarities.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]` or `[batch, 1]`; `y_pred` the
    similarity matrix `[batch, batch]` or, with a distance, embeddings
    `[batch, dim]`.

    Recommended: embeddings that are not normalised, kept small by a regulariser;
    similarities of unit vectors are too close together for a softmax.

    Example:

    ```python
    from tensorflow_similarity.losses import NpairsLoss

    NpairsLoss()([0, 1], [[0.0, 0.0], [0.0, 0.0]])  # log(2)
    NpairsLoss(distance="inner_product")([0, 0, 1], [[1.0], [1.0], [1.0]])  # 2 log(2) / 3
    ```

    Reference:
        Sohn, *Improved Deep Metric Learning with Multi-class N-pair Loss
        Objective*, NIPS 2016,
        http://www.nec-labs.com/uploads/images/Department-Images/MediaAnalytics/papers/nips16_npairmetriclearning.pdf
    """

    def __init__(
        self, distance: Any = None, name: str | None = "npairs_loss", **kwargs: Any
    ) -> None:
        super().__init__(distance=distance, name=name or "npairs_loss", **kwargs)

    def row_loss(self, rows: Rows) -> Any:
        candidates = ops.logical_or(rows.positives, rows.negatives)
        return cross_entropy(-rows.distances, rows.positive_weights(), candidates)

    def values_loss(self, y_true: Any, y_pred: Any) -> Any:
        weights = y_true if len(y_true.shape) == 2 else y_true[:, None] == y_true[None, :]
        weights = ops.cast(weights, y_pred.dtype)
        return cross_entropy(y_pred, weights, ops.ones_like(y_pred, dtype="bool"))

    def checked_values(self, y_pred: Any) -> Any:
        shape = tuple(y_pred.shape)
        square = len(shape) == 2 and (None in shape or shape[0] == shape[1])
        if not square:
            raise ValueError(
                f"{type(self).__name__}(distance=None) takes `y_pred` = a similarity matrix of "
                f"shape [batch, batch]. Received: shape {shape}. If these are embeddings pass a "
                f'distance, e.g. {type(self).__name__}(distance="inner_product").'
            )
        return y_pred


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class NpairsMultilabelLoss(NpairsLoss):
    """N-pairs loss for examples with several labels each.

    As `NpairsLoss`, where the target of a pair is the number of labels that its
    two examples share, divided by the sum over the row. An example that shares
    no label with any other has loss 0.

    Args:
        distance: Distance between embeddings, by name or object; None if
            `y_pred` holds similarities.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` multi-hot labels `[batch, classes]`; `y_pred` the similarity
    matrix `[batch, batch]` or, with a distance, embeddings `[batch, dim]`.

    Example:

    ```python
    from tensorflow_similarity.losses import NpairsMultilabelLoss

    loss = NpairsMultilabelLoss()
    loss([[1, 0, 1], [0, 1, 1]], [[0.0, 0.0], [0.0, 0.0]])  # log(2)
    ```

    Reference:
        Sohn, *Improved Deep Metric Learning with Multi-class N-pair Loss
        Objective*, NIPS 2016; the extension to several labels is that of
        TensorFlow Addons.
    """

    def __init__(
        self,
        distance: Any = None,
        name: str | None = "npairs_multilabel_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name or "npairs_multilabel_loss", **kwargs)

    def checked_labels(self, y_true: Any, batch: Any) -> Any:
        labels = multi_hot(y_true, batch)
        return ops.matmul(labels, ops.transpose(labels))
