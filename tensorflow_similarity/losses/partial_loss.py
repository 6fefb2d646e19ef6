"""Losses on the proxies of very many classes, of which each batch sees a sample."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity import distances
from tensorflow_similarity._checks import count
from tensorflow_similarity._types import Shape, Tensor
from tensorflow_similarity.distances.cosine import unit_rows
from tensorflow_similarity.layers.partial_proxy_head import PartialProxyHead
from tensorflow_similarity.losses.base import LossAroundAnother, embedding_rows, given_loss
from tensorflow_similarity.losses.labels import check_class_range, refuse_in_graph
from tensorflow_similarity.losses.proxy_losses import SoftmaxProxyLoss
from tensorflow_similarity.mining.miners import numbers_from

__all__ = ["PartialProxyLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class PartialProxyLoss(LossAroundAnother):
    """A softmax over very many classes, taken over those of the batch and a sample of the others.

    The loss within, on the proxies of the classes in the batch and of `num_negatives` others.
    A step then costs as much as these, whatever the number of classes.

    Each class is as likely to be in the sample as any other, and none is in it twice. The sample
    is hashed from the labels of the batch, as a loss cannot keep the state of a generator: it
    changes from step to step where batches are shuffled, and is the same whenever the same
    examples come together, as in validation. Where `num_negatives` is the number of classes or
    more, the loss is that of all.

    Args:
        loss: A softmax over cosines with one proxy for each class: `NormalizedSoftmaxLoss()`,
            `ArcFaceLoss()`, `CosFaceLoss()` or `SphereFaceLoss()`.
        num_negatives: How many classes are drawn.
        seed: Integer; another one gives another sample.
        name: Name of the loss.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` what `layers.PartialProxyHead` makes,
    `[batch, dim]`. The reduction is that of `loss`.

    Requirements: the last layer of the model is a `PartialProxyHead`, and the model a
    `SimilarityModel`, whose `compile` gives the loss its head.

    Recommended: plain SGD, whose step touches the rows of the sample alone on TensorFlow; Adam
    and momentum move all rows in each step.

    Raises:
        TypeError: If `loss` is no softmax over proxies.
        ValueError: If it takes several proxies a class, or no head was given to it.

    Example:

    ```python
    import keras
    from tensorflow_similarity.layers import L2Embedding, PartialProxyHead
    from tensorflow_similarity.losses import ArcFaceLoss, PartialProxyLoss
    from tensorflow_similarity.models import SimilarityModel

    inputs = keras.Input((8,))
    outputs = PartialProxyHead(classes=10_000)(L2Embedding(4)(inputs))
    model = SimilarityModel(inputs, outputs)
    model.compile("sgd", loss=PartialProxyLoss(ArcFaceLoss(), num_negatives=1024))
    ```

    Reference:
        An et al., *Partial FC: Training 10 Million Identities on a Single Machine*, ICCV
        Workshops 2021, https://arxiv.org/abs/2010.05222
    """

    on_proxies = True
    samples_classes = True
    #: The distance of the embedding below the proxies, which an index follows.
    distance: distances.Distance = distances.CosineDistance()

    def __init__(
        self,
        loss: Any,
        num_negatives: int = 8192,
        seed: int = 0,
        name: str = "partial_proxy_loss",
    ) -> None:
        expected = "a softmax over cosines to proxies, such as ArcFaceLoss()"
        loss = given_loss(loss, SoftmaxProxyLoss, expected)
        loss.checked_predictions([[0.0, 0.0]])  # refuses one proxy a class where several must be
        super().__init__(name=name, reduction=loss.reduction, across_replicas=loss.across_replicas)
        self.loss = loss
        self.num_negatives = count(num_negatives, "num_negatives")
        self.seed = count(seed, "seed", minimum=0)
        self.ignore_class = loss.ignore_class
        self._head: PartialProxyHead | None = None

    def bind(self, head: object) -> None:
        """Says which layer has the proxies; `SimilarityModel.compile` does so.

        Args:
            head: The layer.

        Raises:
            ValueError: If it is no `PartialProxyHead`.
        """
        if not isinstance(head, PartialProxyHead):
            raise ValueError(
                "PartialProxyLoss and an output of layers.PartialProxyHead belong together. "
                f"Received: {self!r} on an output of {type(head).__name__}."
            )
        self._head = head

    def classes_of(self, shape: Shape) -> int | None:
        return self.head.classes

    @property
    def head(self) -> PartialProxyHead:
        """The layer that has the proxies."""
        if self._head is None:
            raise ValueError(
                "PartialProxyLoss has no proxies yet: end a SimilarityModel in "
                "layers.PartialProxyHead(classes), and give the loss to its compile()."
            )
        return self._head

    def checked_predictions(self, y_pred: Any) -> Tensor:
        """Embeddings as a tensor of float32, or float64 if they are that.

        Raises:
            ValueError: If they are not `[batch, dim]`.
        """
        return embedding_rows(y_pred, ", as layers.PartialProxyHead makes them")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        check_class_range(y_true, self.head.classes, self.ignore_class)
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each example of a batch: `[batch]`."""
        labels, counted = y_true, self.counted(y_true)
        known = ops.logical_and(labels >= 0, labels < self.head.classes)
        usable = known if counted is None else ops.logical_and(known, counted)
        labels = ops.cast(ops.where(usable, labels, 0), "int32")
        replicas = self.replicas()
        ids, valid = self.candidates(replicas.gather(labels), replicas.gather(usable))
        targets = ops.logical_and(labels[:, None] == ids[None, :], usable[:, None])
        targets = ops.logical_and(targets, valid[None, :])
        cosines = ops.matmul(unit_rows(y_pred), ops.transpose(self.head.proxies_of(ids)))
        # What is there already, or belongs to nobody, is as far as no class can be.
        cosines = ops.where(ops.logical_and(valid[None, :], usable[:, None]), cosines, -1e4)
        losses = self.loss.class_losses(cosines, targets)
        if counted is not None:
            losses = ops.where(counted, losses, 0)
            known = ops.logical_or(known, ops.logical_not(counted))
        refuse_in_graph(
            known, y_true, "`y_true` must be class ids from 0 to classes - 1, those of the head."
        )
        return ops.where(known, losses, float("nan"))

    def candidates(self, labels: Tensor, usable: Tensor) -> tuple[Any, ...]:
        """The classes that a batch is compared with.

        Args:
            labels: int32 `[batch]` of all replicas, what the sample is hashed from.
            usable: Bool `[batch]`, whose label is one.

        Returns:
            Class ids `[n]`, and which of them count, bool `[n]`.
        """
        classes = self.head.classes
        if self.num_negatives >= classes:
            ids = ops.arange(classes, dtype="int32")
            return ids, ops.ones_like(ids, dtype="bool")
        same = ops.logical_and(labels[:, None] == labels[None, :], usable[:, None])
        row = ops.arange(ops.shape(labels)[0], dtype="int32")
        again = ops.any(ops.logical_and(same, row[:, None] < row[None, :]), axis=0)
        first = ops.logical_and(usable, ops.logical_not(again))
        # One of each stretch of classes, beginning anywhere: none comes twice.
        length = classes // self.num_negatives
        place = ops.arange(self.num_negatives, dtype="int32")
        numbers = numbers_from(labels, self.num_negatives + 1, self.seed)
        begin = ops.mod(numbers[0], classes)
        drawn = place * length + ops.mod(numbers[1:], length)
        # The sum may be beyond what 32 bits hold; the difference is not.
        drawn = ops.where(drawn >= classes - begin, drawn - (classes - begin), drawn + begin)
        present = ops.logical_and(drawn[:, None] == labels[None, :], usable[None, :])
        ids = ops.concatenate([labels, drawn])
        return ids, ops.concatenate([first, ops.logical_not(ops.any(present, axis=1))])

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal loss; JSON-able."""
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "num_negatives": self.num_negatives,
            "seed": self.seed,
            "name": self.name,
        }

    def __repr__(self) -> str:
        return f"PartialProxyLoss({self.loss!r}, num_negatives={self.num_negatives})"
