"""Losses composed of other losses: on prefixes of the embedding, and weighted sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tensorflow_similarity import distances
from tensorflow_similarity._checks import count
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.cosine import unit_rows
from tensorflow_similarity.losses.arguments import checked_flag, checked_positive
from tensorflow_similarity.losses.base import PerExampleLoss, given_loss, wide_float
from tensorflow_similarity.mining.pairs import labels_of

__all__ = ["MatryoshkaLoss", "WeightedSumLoss"]


class _LossOfLosses(PerExampleLoss):
    """Base of losses that call other losses, each with its own checks, weights and reduction."""

    def __init__(self, parts: Sequence[Any], name: str) -> None:
        super().__init__(name=name, reduction=parts[0].reduction)
        self.across_replicas = all(part.across_replicas for part in parts)
        self.takes_views = parts[0].takes_views
        self.takes_teacher = parts[0].takes_teacher
        self.takes_whole = any(part.takes_whole for part in parts)
        self._calls = tuple(parts)
        ignored = {part.ignore_class for part in self.parts()[1:] if not part.parts()[1:]}
        self.ignore_class = ignored.pop() if len(ignored) == 1 else None

    def bind(self, head: object) -> None:
        for loss in self._calls:
            loss.bind(head)

    def parts(self) -> tuple[PerExampleLoss, ...]:
        return (self, *(part for loss in self._calls for part in loss.parts()))

    @property
    def distance(self) -> distances.Distance | None:
        """The distance of the wrapped loss; of the first, if there are several."""
        return getattr(self._calls[0], "distance", None)

    def checked_predictions(self, y_pred: Any) -> Tensor:
        return self._calls[0].checked_predictions(y_pred)

    def checked_labels(self, y_true: Any, batch: Any) -> Any:
        return self._calls[0].checked_labels(y_true, batch)

    def __repr__(self) -> str:
        return keras.losses.Loss.__repr__(self)


def _checked_part(loss: Any, argument: str) -> PerExampleLoss:
    expected = "a loss of tensorflow_similarity on embeddings, such as TripletLoss()"
    loss = given_loss(loss, PerExampleLoss, expected, argument)
    of_embeddings = getattr(loss, "distance", None) is not None and not loss.on_proxies
    of_embeddings = of_embeddings and not loss.reads_head
    if not loss.takes_views and not of_embeddings:
        raise ValueError(
            f"`{argument}` must compare embeddings. Received: {loss!r}, which takes what a head "
            "makes of them (cosines to proxies, boundaries, or pairwise values)."
        )
    return loss


#: What a loss may take, if not embeddings with class ids.
_INPUTS = {
    "takes_views": "two views",
    "takes_teacher": "the embeddings of a teacher in `y_true`",
    "compares_models": "embeddings of two models, [batch, 2, dim]",
    "takes_triplets": "triplets, [batch, 2 + negatives, dim]",
}


def _inputs_of(loss: PerExampleLoss) -> str | None:
    """What a loss takes; None where a function of the user says what labels are."""
    found = {text for part in loss.parts() for flag, text in _INPUTS.items() if getattr(part, flag)}
    relevance = next(
        (part.relevance for part in loss.parts() if getattr(part, "relevance", None)), None
    )
    labels = labels_of(relevance)
    if labels is None:
        return None
    if relevance is not None:
        found.add(labels)
    if any(getattr(part, "example_ids", False) for part in loss.parts()):
        found.add("class ids and example ids, [batch, 2]")
    return " and ".join(sorted(found)) or "class ids"


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MatryoshkaLoss(_LossOfLosses):
    """Matryoshka representation learning: a loss on several prefixes of the embedding.

    `loss = sum over m of weight_m * loss(y_true, y_pred[:, :size_m])`.

    The first coordinates of the embedding are then an embedding by themselves: truncated to a
    quarter, it takes a quarter of the memory and search time, with little loss in quality.
    `tensorflow_similarity.layers.EmbeddingPrefix` truncates embeddings.

    Args:
        loss: A loss on embeddings, with class ids or two views.
        sizes: The sizes of the prefixes, integers above 0. The largest must equal that of the
            embedding, since coordinates beyond it would not be trained.
        weights: A weight above 0 for each size. Defaults to `None`: 1 each.
        normalize: Whether each prefix is scaled to length 1, for losses whose distance does
            not normalise (the cosine distance does).
        name: Name of the loss.

    Inputs: those of `loss`. The reduction is that of `loss`.

    Recommended: sizes that are powers of 2, from 1/16 of the embedding up.

    Relations: `MatryoshkaLoss` of sentence-transformers.

    Raises:
        TypeError: If `loss` is not a loss, or `sizes` are not integers.
        ValueError: If `loss` takes the output of a head or whole embeddings, or keeps a memory,
            sizes repeat, or the largest is not the size of the embedding.

    Example:

    ```python
    from tensorflow_similarity.losses import MatryoshkaLoss, TripletLoss

    loss = MatryoshkaLoss(TripletLoss("euclidean", margin=1.0), sizes=[1, 2])
    loss([0, 0, 1], [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])  # (2 + 1 + 0) / 3 + 0
    ```

    Reference:
        Kusupati et al., *Matryoshka Representation Learning*, NeurIPS 2022,
        https://arxiv.org/abs/2205.13147
    """

    def __init__(
        self,
        loss: Any,
        sizes: Sequence[int],
        weights: Sequence[float] | None = None,
        normalize: bool = False,
        name: str = "matryoshka_loss",
    ) -> None:
        self.loss = _checked_part(loss, "loss")
        if any(part.remembers for part in self.loss.parts()):
            raise ValueError(
                "`loss` must not be a CrossBatchMemory: it keeps embeddings of one size, and each "
                "prefix has another. Give the model an output `EmbeddingPrefix(size)` for each, "
                f"each with a CrossBatchMemory of its own. Received: {self.loss!r}."
            )
        super().__init__([self.loss], name)
        if isinstance(sizes, str | bytes | Mapping) or not hasattr(sizes, "__len__"):
            raise TypeError(f"`sizes` must be a list of integers. Received: {sizes!r}.")
        if not len(sizes):
            raise ValueError("`sizes` must hold at least one size. Received: none.")
        self.sizes = [count(size, "sizes") for size in sizes]
        if len(set(self.sizes)) < len(self.sizes):
            raise ValueError(f"`sizes` must differ. Received: {list(sizes)}.")
        if self.loss.takes_whole and len(self.sizes) > 1:
            raise ValueError(
                "`loss` must work on prefixes of an embedding. Received: "
                f"{self.loss!r}, which takes whole embeddings. To distill into prefixes use "
                "SimilarityDistillationLoss or RelationalDistillationLoss; in place of a "
                "MatryoshkaLoss, pass the loss it calls."
            )
        self.takes_whole = True  # The largest prefix is the embedding.
        self.weights = _checked_weights(weights, len(self.sizes), "sizes")
        self.normalize = checked_flag(normalize, "normalize")
        self.ranks = self.loss.ranks

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        with keras.name_scope(self.name):
            y_pred = self._whole(y_pred, "y_pred")
            if self.takes_views:
                y_true = self._whole(y_true, "y_true")
            return sum(
                weight
                * self.loss(
                    self._prefix(y_true, size) if self.takes_views else y_true,
                    self._prefix(y_pred, size),
                    sample_weight,
                )
                for size, weight in zip(self.sizes, self.weights, strict=True)
            )

    def ranking(
        self, queries: Any, candidates: Any, *, negatives: Any = None, **known: Any
    ) -> Tensor:
        """Like `MultiNegativesRankLoss.ranking`, if that is the wrapped loss."""
        sides = {
            "queries": self._whole(queries, "queries"),
            "candidates": self._whole(candidates, "candidates"),
        }
        if negatives is not None:
            sides["negatives"] = self._whole(negatives, "negatives")
        return sum(
            weight
            * self.loss.ranking(
                **{name: self._prefix(side, size) for name, side in sides.items()}, **known
            )
            for size, weight in zip(self.sizes, self.weights, strict=True)
        )

    def _whole(self, embeddings: Any, name: str) -> Tensor:
        embeddings = wide_float(embeddings, name)
        dim = embeddings.shape[-1] if len(embeddings.shape) > 1 else None
        if dim != max(self.sizes):
            raise ValueError(
                f"`sizes` must end in the size of the embedding: coordinates behind the largest "
                f"prefix would not be trained. Received: sizes={self.sizes} for `{name}` of "
                f"shape {tuple(embeddings.shape)}."
            )
        return embeddings

    def _prefix(self, embeddings: Any, size: int) -> Tensor:
        prefix = embeddings[..., :size]
        return unit_rows(prefix) if self.normalize else prefix

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments, as JSON-serialisable values."""
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "sizes": self.sizes,
            "weights": self.weights,
            "normalize": self.normalize,
            "name": self.name,
        }

    def __repr__(self) -> str:
        return f"MatryoshkaLoss({self.loss!r}, sizes={self.sizes}, weights={self.weights})"


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class WeightedSumLoss(_LossOfLosses):
    """A weighted sum of losses on one embedding.

    `loss = sum over m of weight_m * loss_m(y_true, y_pred)`.

    Args:
        losses: Losses on embeddings, either all with class ids or all with two views.
        weights: A weight above 0 for each. Defaults to `None`: 1 each.
        name: Name of the loss.

    Inputs: those of the losses, each of which has its own reduction. The index of a model
    follows the distance of the first.

    Relations: `MultipleLosses` of pytorch-metric-learning. Losses on different outputs of a
    model go into `compile(loss=[…], loss_weights=[…])`, as in Keras.

    Raises:
        TypeError: If `losses` are not losses.
        ValueError: If one takes the output of a head, or they do not all take the same labels and
            embeddings: class ids, views, a teacher's embeddings, triplets or several labels.

    Example:

    ```python
    from tensorflow_similarity.losses import (
        IntraPairVarianceLoss,
        MultiSimilarityLoss,
        WeightedSumLoss,
    )

    loss = WeightedSumLoss([MultiSimilarityLoss(), IntraPairVarianceLoss()], weights=[1.0, 0.3])
    loss([0, 0, 1], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    ```
    """

    def __init__(
        self,
        losses: Sequence[Any],
        weights: Sequence[float] | None = None,
        name: str = "weighted_sum_loss",
    ) -> None:
        if not isinstance(losses, (list, tuple)) or not losses:
            raise TypeError(f"`losses` must be a list of losses. Received: {losses!r}.")
        self.losses = [_checked_part(loss, "losses") for loss in losses]
        known = [(inputs, loss) for loss in self.losses if (inputs := _inputs_of(loss)) is not None]
        others = [(inputs, loss) for inputs, loss in known if inputs != known[0][0]]
        if others:
            (taken, first), (other, second) = known[0], others[0]
            raise ValueError(
                "`losses` must all take class ids, or all take two views, or otherwise the same. "
                f"Received: {first!r}, which takes {taken}, and {second!r}, which takes {other}. "
                "Give the model an output for each, in compile(loss=[…])."
            )
        super().__init__(self.losses, name)
        self.weights = _checked_weights(weights, len(self.losses), "losses")

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        with keras.name_scope(self.name):
            return sum(
                weight * loss(y_true, y_pred, sample_weight)
                for loss, weight in zip(self.losses, self.weights, strict=True)
            )

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments, as JSON-serialisable values."""
        return {
            "losses": [keras.saving.serialize_keras_object(loss) for loss in self.losses],
            "weights": self.weights,
            "name": self.name,
        }

    def __repr__(self) -> str:
        return f"WeightedSumLoss({self.losses!r}, weights={self.weights})"


def _checked_weights(weights: Any, number: int, of: str) -> list[float]:
    if weights is None:
        return [1.0] * number
    if isinstance(weights, str | bytes | Mapping) or not hasattr(weights, "__len__"):
        raise TypeError(f"`weights` must be a list of numbers. Received: {weights!r}.")
    if len(weights) != number:
        raise ValueError(
            f"`weights` must have one number for each of `{of}`, {number}. Received: {weights!r}."
        )
    return [checked_positive(weight, "weights") for weight in weights]
