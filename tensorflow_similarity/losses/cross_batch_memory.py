"""Cross-batch memory: a loss with embeddings of past batches as keys."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity import distances
from tensorflow_similarity._checks import count
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.layers.memory_bank import MemoryBank
from tensorflow_similarity.losses import phase
from tensorflow_similarity.losses.arguments import checked_flag
from tensorflow_similarity.losses.base import PerExampleLoss, no_losses
from tensorflow_similarity.losses.comparison import Comparison, Examples
from tensorflow_similarity.losses.labels import to_tensor
from tensorflow_similarity.losses.metric_loss import checked_metric_loss

__all__ = ["CrossBatchMemory"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class CrossBatchMemory(PerExampleLoss):
    """Any loss on embeddings, with the embeddings of past batches as further keys (XBM).

    In training, the batch enters the memory and the oldest embeddings leave it. The queries
    are the batch; the keys are the memory, which is the batch followed by earlier batches.
    The loss of the batch against the memory is added to the loss within the batch.
    Gradients only flow through the batch, as queries and as keys. Evaluation neither reads
    nor writes the memory: validation losses are those of the wrapped loss, comparable with
    models trained without a memory.

    Shapes are fixed from the first step on, so nothing is retraced; empty slots of the
    memory are neither positive nor negative. The memory is saved with the model.

    Args:
        loss: The loss, any `MetricLoss` that takes class ids and embeddings.
        memory_size: Number of embeddings to compare with, including the batch, as in
            TensorFlow Similarity and pytorch-metric-learning.
        warmup_steps: Training steps before the memory is filled, while embeddings still
            change too fast for old ones to be useful.
        example_ids: Whether labels are `[batch, 2]`, class ids and example ids, see below.
        name: Name of the loss.
        batch_loss: Whether the loss of the batch alone is added, as in the paper. That
            keeps small networks from collapsing while the memory is out of date.
            False gives the loss against the memory alone, as in TensorFlow Similarity
            and pytorch-metric-learning. The two are the same while the memory is empty.

    Inputs: those of `loss`: `y_true` integer class ids `[batch]`, `y_pred`
    embeddings `[batch, dim]`. The reduction is that of `loss`.

    **An example that returns** while its earlier embedding is in the memory would be its own,
    easy positive, since a loss sees labels but not which example it is. Keep the memory
    smaller than the number of examples between two visits (the data set, less a few batches,
    if an epoch has no repetitions); or pass `example_ids=True` and labels with two columns,
    `np.stack([y, np.arange(len(y))], axis=1)`: then old embeddings of an example are ignored
    while the batch has a new one.

    **Where it works:** in `SimilarityModel.compile(loss=…)`, which tells the loss whether it is
    called in training or evaluation. A plain `keras.Model` does not, and the loss raises an
    error. In a custom loop, pass `training=True` to the call.

    Recommended: a memory of some thousands, and some hundreds of `warmup_steps` for networks
    trained from scratch, whose first embeddings are soon outdated and which may otherwise
    collapse.

    Relations: `XBM` of TensorFlow Similarity, and `CrossBatchMemory` of
    pytorch-metric-learning, where the gradient only flows through the queries. If the
    oldest batch fits only in part, they keep its last rows, not the first.

    Raises:
        TypeError: If `loss` is not a `MetricLoss`.
        ValueError: If `loss` takes pairwise values, labels are not class ids, or it
            is not known whether this is training.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.layers import L2Embedding
    from tensorflow_similarity.losses import CrossBatchMemory, MultiSimilarityLoss
    from tensorflow_similarity.models import SimilarityModel

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    y = np.tile(np.arange(4), 16)

    inputs = keras.Input((8,))
    model = SimilarityModel(inputs, L2Embedding(3)(inputs))
    loss = CrossBatchMemory(MultiSimilarityLoss(), memory_size=48)
    model.compile("adam", loss=loss)
    model.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    int(loss.memory.filled)  # 48
    ```

    Reference:
        Wang et al., *Cross-Batch Memory for Embedding Learning*, CVPR 2020,
        https://arxiv.org/abs/1912.06798
    """

    remembers = True

    def __init__(
        self,
        loss: Any,
        memory_size: int,
        warmup_steps: int = 0,
        example_ids: bool = False,
        name: str = "cross_batch_memory",
        *,
        batch_loss: bool = True,
    ) -> None:
        loss = checked_metric_loss(loss)
        if loss.distance is None:
            raise ValueError(
                "`loss` must form pairs of embeddings itself. Received: "
                f"{type(loss).__name__} with distance=None, which takes pairwise values; give it "
                'a distance, e.g. distance="cosine".'
            )
        if loss.relevance is not None:
            raise ValueError(
                "`loss` must take class ids: a memory keeps no other labels. Received: "
                f"{type(loss).__name__} with relevance={loss.relevance!r}."
            )
        if loss.numbers_classes:
            raise ValueError(
                "`loss` must not number the classes of a head: a memory gives them other ids. "
                f"Received: {loss!r}."
            )
        super().__init__(name=name, reduction=loss.reduction)
        self.loss = loss
        self.reads_head = loss.reads_head
        self.across_replicas = loss.across_replicas
        self.memory_size = count(memory_size, "memory_size")
        self.warmup_steps = count(warmup_steps, "warmup_steps", minimum=0)
        self.example_ids = checked_flag(example_ids, "example_ids")
        self.batch_loss = checked_flag(batch_loss, "batch_loss")
        # Keras saves the layers of `model.loss`, though not the variables of a loss.
        self.memory = MemoryBank(self.memory_size, name=f"{name}_bank")

    @property
    def distance(self) -> distances.Distance | None:
        """The distance of the wrapped loss."""
        return self.loss.distance

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, training: bool | None = None
    ) -> Tensor:
        if training is None:
            training = self._told_training()
        with keras.name_scope(self.name):
            y_pred = self.checked_predictions(y_pred)
            labels, examples = self.checked_labels(y_true, y_pred.shape[0])
            if self.lacks_examples(y_pred):
                return self.reduced(no_losses(y_pred))
            self.memory.build_for(y_pred)
            batch = self.loss.compare(labels, y_pred)
            losses = self.loss.losses(batch) if self.batch_loss or not training else 0
            if training:
                examples = None if examples is None else batch.replicas.gather(examples)
                losses = losses + self._against_memory(batch, examples)
                everything = batch.batch
                self.memory.add(everything.outputs, everything.labels, examples, self.warmup_steps)
            counted = self.loss.counted(labels)
            losses = self.marked(losses, y_true, y_pred, counted)
            return self.reduced(losses, sample_weight, counted)

    def invalid_labels(self, y_true: Any) -> Tensor | None:
        return self.loss.invalid_labels(to_tensor(y_true)[:, 0] if self.example_ids else y_true)

    def unusable(self, y_pred: Any) -> Tensor:
        return self.loss.unusable(y_pred)

    def _against_memory(self, batch: Comparison, examples: Any) -> Tensor:
        """The loss of each example of the batch against the batch and the memory: `[batch]`."""
        memory, every = self.memory, batch.batch
        # The memory with this batch in front, so that the number of keys is constant.
        batch_size = ops.shape(every.outputs)[0]
        room = self.memory_size - batch_size
        room = max(room, 0) if isinstance(room, int) else ops.maximum(room, 0)
        labels, remembered, old = (
            ops.convert_to_tensor(x)[:room]
            for x in (memory.labels, memory.embeddings, memory.examples)
        )
        known = ops.arange(ops.shape(labels)[0], dtype="int32") < ops.cast(memory.filled, "int32")
        if examples is not None:
            again = ops.any(ops.equal(old[:, None], examples[None, :]), axis=1)
            known = ops.logical_and(known, ops.logical_not(again))
        some = ops.any(known)
        counted = self.loss.counted(labels)
        if counted is not None:
            known = ops.logical_and(known, counted)
        remembered = ops.stop_gradient(ops.cast(remembered, every.outputs.dtype))
        # One batch that overflowed would make those after it NaN, until the memory forgets it.
        overflowed = ops.any(self.unusable(remembered), axis=1)
        known = ops.logical_and(known, ops.logical_not(overflowed))
        losses = self.loss.losses(batch.with_keys(Examples.of(labels, remembered, known)))
        # The loss within the batch is already included.
        return ops.where(some, losses, 0) if self.batch_loss else losses

    def _told_training(self) -> bool:
        told = phase.current()
        if told is None:
            raise ValueError(
                "`training` must say whether CrossBatchMemory is to remember this batch. Received: "
                "None. Compile a SimilarityModel with it, which says so (keras.Model does not); "
                "or pass training=True or False to the call."
            )
        if any(called is self for called in told.called):
            raise ValueError(
                "`loss` must be another CrossBatchMemory for each output of a model. Received: "
                f"the same one, {self.name!r}, for several."
            )
        told.called.append(self)
        return told.training

    def bind(self, head: object) -> None:
        self.loss.bind(head)

    def parts(self) -> tuple[PerExampleLoss, ...]:
        return (self, *self.loss.parts())

    def checked_predictions(self, y_pred: Any) -> Tensor:
        """Embeddings, as the wrapped loss checks them."""
        return self.loss.checked_predictions(y_pred)

    def checked_labels(self, y_true: Any, batch: Any) -> tuple[Any, Any]:
        """Class ids and example ids, int64 `[batch]` each; the latter may be None."""
        examples = None
        if self.example_ids:
            y_true = to_tensor(y_true)
            if len(y_true.shape) != 2 or y_true.shape[1] != 2:
                raise ValueError(
                    "`y_true` must have shape [batch, 2] with example_ids=True: class ids, and "
                    f"ids of the examples. Received: shape {tuple(y_true.shape)}."
                )
            examples = self.loss.checked_labels(y_true[:, 1], batch)
            y_true = y_true[:, 0]
        labels = self.loss.checked_labels(y_true, batch)
        return labels, examples

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal loss, with an empty memory; JSON-able."""
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "memory_size": self.memory_size,
            "warmup_steps": self.warmup_steps,
            "example_ids": self.example_ids,
            "name": self.name,
            "batch_loss": self.batch_loss,
        }

    def __repr__(self) -> str:
        return (
            f"CrossBatchMemory({self.loss!r}, memory_size={self.memory_size}, "
            f"warmup_steps={self.warmup_steps}, example_ids={self.example_ids}, "
            f"batch_loss={self.batch_loss})"
        )
