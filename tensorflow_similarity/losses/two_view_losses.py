"""Losses on two views of the same examples, row by row."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from tensorflow_similarity import distances
from tensorflow_similarity._checks import count
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.distances.cosine import unit_rows
from tensorflow_similarity.losses.arguments import (
    checked_flag,
    checked_number,
    checked_positive,
)
from tensorflow_similarity.losses.base import PerExampleLoss, wide_float
from tensorflow_similarity.losses.labels import refuse_in_graph, to_tensor, values_of
from tensorflow_similarity.losses.masked import masked_logsumexp
from tensorflow_similarity.losses.replicas import ALONE, Replicas

__all__ = [
    "BarlowTwinsLoss",
    "DINOLoss",
    "DecoupledContrastiveLoss",
    "InfoNCELoss",
    "MultiNegativesRankLoss",
    "SigmoidContrastiveLoss",
    "SimCLRLoss",
    "SimSiamLoss",
    "TwoViewLoss",
    "VICRegLoss",
]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class TwoViewLoss(PerExampleLoss):
    """Base of losses on two views of the same examples, row by row, without labels.

    A subclass writes `call(za, zb)`, which returns one loss per example. The loss is called
    with the embeddings of one view as `y_true` and of the other as `y_pred`, `[batch, dim]`
    each; both get gradients. It is computed in float32 at least, and in float64 if both are
    float64. Under a distribution strategy, `call` gets the views of the whole batch on each
    replica.

    Args:
        name: Name of the loss.
        **options: The options of every loss.

    Raises:
        ValueError: If they are not `[batch, dim]`, or not of one shape.

    Example:

    ```python
    import keras
    from tensorflow_similarity.losses import TwoViewLoss

    @keras.saving.register_keras_serializable(package="mine")
    class InvarianceLoss(TwoViewLoss):
        '''The squared distance of the two views.'''

        def call(self, za, zb):
            return keras.ops.sum(keras.ops.square(za - zb), axis=1)

    InvarianceLoss()([[0.0, 0.0], [1.0, 1.0]], [[3.0, 4.0], [1.0, 1.0]])  # 12.5
    ```
    """

    takes_views = True
    #: Whether both sides must have the same embedding size.
    one_size: ClassVar[bool] = True
    #: The argument of `ContrastiveModel` without which embeddings collapse: nothing in the loss
    #: keeps those of different examples apart.
    required: ClassVar[str | None] = None

    def __init__(self, name: str | None = None, **options: Any) -> None:
        super().__init__(name=name, **options)

    def checked_predictions(self, y_pred: Any) -> Tensor:
        return _checked_view(y_pred, "y_pred", self)

    def checked_labels(self, y_true: Any, batch: Any) -> Any:
        return _checked_view(y_true, "y_true", self)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        shapes = tuple(getattr(y_true, "shape", ())), tuple(getattr(y_pred, "shape", ()))
        known = all(len(shape) == 2 for shape in shapes)
        compared = 2 if self.one_size else 1
        if known and any(
            None not in sizes and len(set(sizes)) > 1
            for sizes in list(zip(*shapes, strict=True))[:compared]
        ):
            raise ValueError(
                f"{type(self).__name__} takes two views of the same examples, "
                f"{'of one shape [batch, dim]' if self.one_size else '[batch, ...] each'}. "
                f"Received: shapes {shapes[0]} and {shapes[1]}."
            )
        replicas = self.replicas()
        if replicas.count == 1:
            return super().__call__(y_true, y_pred, sample_weight)
        with keras.name_scope(self.name):
            y_pred = self.checked_predictions(y_pred)
            y_true = self.checked_labels(y_true, y_pred.shape[0])
            n = ops.shape(y_pred)[0]
            number = replicas.number()
            owner = replicas.gather(ops.zeros((n,), dtype="int32") + number)
            begin = ops.sum(ops.cast(owner < number, "int32"))
            losses = self.call(replicas.gather(y_true), replicas.gather(y_pred))
            losses = ops.take(losses, begin + ops.arange(n, dtype="int32"), axis=0)
            return self.reduced(losses, sample_weight)


def _checked_view(z: Tensor, name: str, loss: Any) -> Tensor:
    if z is None:
        raise ValueError(
            f"`{name}` must be the embeddings of a view, [batch, dim]: {type(loss).__name__} takes "
            "two views and no labels. Received: None. To train on two views with `fit`, use "
            "ContrastiveModel; on pairs, DualEncoder."
        )
    z = wide_float(z, name)
    if len(z.shape) != 2:
        raise ValueError(
            f"`{name}` must be the embeddings of a view, [batch, dim], for "
            f"{type(loss).__name__}, which takes two views and no labels. "
            f"Received: shape {tuple(z.shape)}."
        )
    return z


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SimCLRLoss(TwoViewLoss):
    """SimCLR: each view must identify its other view among all views in the batch.

    `loss_i = -log(exp(s(a_i, b_i) / T) / (sum over j of exp(s(a_i, b_j) / T)
    + sum over j != i of exp(s(a_i, a_j) / T)))`, and the same with a and b
    exchanged, added. s is the cosine similarity.

    Args:
        temperature: T, above 0.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: the embeddings of two views, `[batch, dim]` each.

    Requirements: large batches, since all other views are the negatives.

    Recommended: a projector of two or three layers before the loss, dropped after
    training; temperatures from 0.05 to 0.5.

    Relations: `NTXentLoss` on the concatenated views, with the position of the example
    as its class, gives half this value.

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
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.temperature = checked_positive(temperature, "temperature")

    def call(self, za: Tensor, zb: Tensor) -> Tensor:
        za, zb = unit_rows(za), unit_rows(zb)
        across = ops.matmul(za, ops.transpose(zb)) / self.temperature
        same = ops.sum(za * zb, axis=-1) / self.temperature
        place = ops.arange(ops.shape(za)[0])
        others = ops.not_equal(place[:, None], place[None, :])

        def one_way(view: Any, across: Any) -> Tensor:
            within = ops.matmul(view, ops.transpose(view)) / self.temperature
            every = ops.concatenate([across, within], axis=1)
            counted = ops.concatenate([ops.ones_like(others), others], axis=1)
            return masked_logsumexp(every, counted) - same

        return one_way(za, across) + one_way(zb, ops.transpose(across))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class DecoupledContrastiveLoss(TwoViewLoss):
    """Decoupled contrastive learning: SimCLR's loss without the positive in its denominator.

    `loss_i = -w_i s(a_i, b_i) / T + log(sum over j != i of exp(s(a_i, b_j) / T)
    + exp(s(a_i, a_j) / T))`, and the same with a and b exchanged, added. s is the cosine
    similarity; w_i is 1, or with `sigma` falls where the views are similar:
    `2 - n exp(s(a_i, b_i) / sigma) / sum over j of exp(s(a_j, b_j) / sigma)`.

    Args:
        temperature: T, above 0.
        sigma: The width of the weights, above 0. Defaults to `None`: all are 1.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: the embeddings of two views, `[batch, dim]` each.

    Requirements: batches of at least 2 examples; a single example has loss 0.

    Recommended: small batches, of 32 and more, in which SimCLR's gradient vanishes for easy
    pairs; a temperature of 0.1 and, with weights, a sigma of 0.5.

    Relations: `SimCLRLoss` has the positive in the denominator.

    Example:

    ```python
    from tensorflow_similarity.losses import DecoupledContrastiveLoss

    views = [[1.0, 0.0], [0.0, 1.0]]
    DecoupledContrastiveLoss(temperature=1.0)(views, views)  # 2 * (log(2) - 1)
    ```

    Reference:
        Yeh et al., *Decoupled Contrastive Learning*, ECCV 2022,
        https://arxiv.org/abs/2110.06848
    """

    def __init__(
        self,
        temperature: float = 0.1,
        sigma: float | None = None,
        name: str = "decoupled_contrastive_loss",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.temperature = checked_positive(temperature, "temperature")
        self.sigma = None if sigma is None else checked_positive(sigma, "sigma")

    def call(self, za: Tensor, zb: Tensor) -> Tensor:
        za, zb = unit_rows(za), unit_rows(zb)
        across = ops.matmul(za, ops.transpose(zb)) / self.temperature
        same = ops.sum(za * zb, axis=-1)
        row = ops.arange(ops.shape(za)[0])
        others = row[:, None] != row[None, :]
        pull = same / self.temperature
        if self.sigma is not None:
            n = ops.cast(ops.shape(za)[0], same.dtype)
            pull = pull * (2 - n * ops.softmax(ops.stop_gradient(same) / self.sigma))

        def one_way(view: Any, across: Any) -> Tensor:
            within = ops.matmul(view, ops.transpose(view)) / self.temperature
            every = ops.concatenate([across, within], axis=1)
            return masked_logsumexp(every, ops.concatenate([others, others], axis=1)) - pull

        both = one_way(za, across) + one_way(zb, ops.transpose(across))
        return ops.where(ops.any(others, axis=1), both, 0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature, "sigma": self.sigma}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SigmoidContrastiveLoss(TwoViewLoss):
    """SigLIP: classifies each pair of a batch on its own, as belonging together or not.

    `loss_i = sum over j of softplus(-z_ij (scale s(a_i, b_j) + bias))`, where z is 1 for j = i
    and -1 elsewhere, and s is the cosine similarity.

    Unlike in a softmax, no term depends on the other pairs of the batch, so small batches train
    well too.

    Args:
        scale: The scale of the similarities, above 0.
        bias: Added to the scaled similarities. Since nearly all pairs do not belong together,
            training starts with a bias far below 0.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: the embeddings of two views, or of queries and candidates, `[batch, dim]` each; row
    i of one belongs to row i of the other, and to no other.

    Recommended: the defaults, with which training starts in the paper.

    Relations: `MultiNegativesRankLoss` is the softmax over the same similarities.

    Example:

    ```python
    from tensorflow_similarity.losses import SigmoidContrastiveLoss

    pairs = [[1.0, 0.0], [0.0, 1.0]]
    SigmoidContrastiveLoss(scale=1.0, bias=0.0)(pairs, pairs)  # log(1 + 1 / e) + log(2)
    ```

    Reference:
        Zhai et al., *Sigmoid Loss for Language Image Pre-Training*, ICCV 2023,
        https://arxiv.org/abs/2303.15343
    """

    def __init__(
        self,
        scale: float = 10.0,
        bias: float = -10.0,
        name: str = "sigmoid_contrastive_loss",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.scale = checked_positive(scale, "scale")
        self.bias = checked_number(bias, "bias")

    def call(self, za: Tensor, zb: Tensor) -> Tensor:
        scores = self.scale * ops.matmul(unit_rows(za), ops.transpose(unit_rows(zb))) + self.bias
        row = ops.arange(ops.shape(za)[0])
        own = row[:, None] == row[None, :]
        return ops.sum(ops.softplus(ops.where(own, -scores, scores)), axis=1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "bias": self.bias}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MultiNegativesRankLoss(TwoViewLoss):
    """Multiple negatives ranking: each query must identify its own candidate in the batch.

    `loss_i = -log(exp(-scale d(a_i, b_i)) / sum over j of exp(-scale d(a_i, b_j)))`.

    For pairs that belong together, such as a question and its answer, without explicit
    negatives: the candidates of the other queries serve as negatives.

    Args:
        distance: Distance between embeddings, by name or object. The default, the
            inner product, is the negated similarity.
        scale: The scale of the similarities, above 0.
        name: Name of the loss.
        symmetric: Whether each candidate must also identify its query: the loss is then the mean
            of both directions, as in CLIP.
        **options: The options of every loss.

    Inputs: query embeddings and candidate embeddings, `[batch, dim]` each; row i of one
    belongs to row i of the other, and to no other. `ranking` also takes ids that identify
    duplicates, explicit negatives, and a correction for popular candidates;
    `tensorflow_similarity.models.DualEncoder` calls it.

    Requirements: large batches; without ids, also no duplicates, since a candidate that
    answers two queries of a batch is pushed away from one of them.

    Recommended: `distance="cosine"`, or normalized embeddings, with a scale of 20; or
    unnormalized embeddings with a scale of 1.

    Relations: `MultipleNegativesRankingLoss` of sentence-transformers, and the retrieval task of
    keras-rs. `SimCLRLoss` also uses the other queries as negatives. For class ids, see
    `NpairsLoss`.

    Example:

    ```python
    from tensorflow_similarity.losses import MultiNegativesRankLoss

    pairs = [[1.0, 0.0], [0.0, 1.0]]
    MultiNegativesRankLoss(scale=1.0)(pairs, pairs)  # 0.313262
    ```

    Reference:
        Henderson et al., *Efficient Natural Language Response Suggestion for Smart
        Reply*, 2017, https://arxiv.org/abs/1705.00652; Radford et al., *Learning Transferable
        Visual Models From Natural Language Supervision*, ICML 2021,
        https://arxiv.org/abs/2103.00020
    """

    ranks = True

    def __init__(
        self,
        distance: DistanceLike = "inner_product",
        scale: float = 20.0,
        name: str = "multi_negatives_rank_loss",
        symmetric: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.distance = distances.get(distance)
        self.scale = checked_positive(scale, "scale")
        self.symmetric = checked_flag(symmetric, "symmetric")

    def call(self, za: Tensor, zb: Tensor) -> Tensor:
        return self.losses(za, zb, ALONE)

    def ranking(
        self,
        queries: Tensor,
        candidates: Tensor,
        *,
        ids: Any = None,
        sampling_probability: Any = None,
        negatives: Tensor | None = None,
        negative_ids: Any = None,
        scale: float | Tensor | None = None,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """The loss of queries and their candidates, with ids, negatives and sampling probabilities.

        Args:
            queries: `[batch, dim]`.
            candidates: `[batch, dim]`; row i belongs to query i.
            ids: Integers `[batch]`, the id of each candidate. Another candidate with the same id
                is not a negative (an accidental hit). Defaults to `None`: all are different.
            sampling_probability: Floats `[batch]`, the probability of each candidate to be in
                a batch. Its logarithm is subtracted from the scores, since popular candidates
                are negatives more often (log-q correction). Defaults to `None`.
            negatives: Embeddings of further negatives, `[n, dim]` or `[batch, n, dim]`, for
                all queries. Defaults to `None`.
            negative_ids: Integers `[n]` or `[batch, n]`, their ids; requires `ids`. Defaults to
                `None`.
            scale: A scalar that replaces the scale of the loss, such as the output of
                `tensorflow_similarity.layers.Temperature`. Defaults to `None`.
            sample_weight: Weights of the queries, `[batch]`. Defaults to `None`.

        Returns:
            The loss, reduced like any Keras loss.

        Raises:
            ValueError: If shapes do not match.

        Example:

        ```python
        from tensorflow_similarity.losses import MultiNegativesRankLoss

        pairs = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
        loss = MultiNegativesRankLoss(scale=1.0)
        loss.ranking(pairs, pairs, ids=[7, 7, 8])  # 7 twice: no negatives of each other
        ```
        """
        queries, candidates = wide_float(queries, "queries"), wide_float(candidates, "candidates")
        known = [tuple(x.shape) for x in (queries, candidates)]
        if any(len(shape) != 2 for shape in known) or known[0][1] != known[1][1]:
            raise ValueError(
                "`queries` and `candidates` must be embeddings [batch, dim]. Received: shapes "
                f"{known[0]} and {known[1]}."
            )
        if None not in (known[0][0], known[1][0]) and known[0][0] != known[1][0]:
            raise ValueError(
                "`queries` and `candidates` must have one row for each pair. Received: shapes "
                f"{known[0]} and {known[1]}."
            )
        if negative_ids is not None and (negatives is None or ids is None):
            raise ValueError(
                "`negative_ids` go with `negatives` and `ids`. Received: "
                f"negatives={'None' if negatives is None else 'given'}, "
                f"ids={'None' if ids is None else 'given'}."
            )
        if negatives is not None:
            negatives = ops.reshape(wide_float(negatives, "negatives"), (-1, known[1][1]))
        with keras.name_scope(self.name):
            losses = self.losses(
                queries,
                candidates,
                self.replicas(),
                _column(ids, "ids", "int"),
                _column(sampling_probability, "sampling_probability", "float"),
                negatives,
                _column(negative_ids, "negative_ids", "int"),
                self.scale if scale is None else scale,
            )
            return self.reduced(losses, sample_weight)

    def losses(
        self,
        queries: Tensor,
        candidates: Tensor,
        replicas: Replicas,
        ids: Any = None,
        probability: Any = None,
        negatives: Tensor | None = None,
        negative_ids: Any = None,
        scale: float | Tensor | None = None,
    ) -> Tensor:
        """The loss of each query of a replica, `[batch]`; see `ranking`."""
        scale = self.scale if scale is None else scale
        rows = ops.arange(ops.shape(queries)[0], dtype="int32")
        positions, every = rows, candidates
        every_ids, every_probability = ids, probability
        if replicas.count > 1:
            owner = replicas.gather(ops.zeros_like(rows) + replicas.number())
            positions = rows + ops.sum(ops.cast(owner < replicas.number(), "int32"))
            every = replicas.gather(candidates)
            every_ids = None if ids is None else replicas.gather(ids)
            every_probability = None if probability is None else replicas.gather(probability)
            if negatives is not None:
                negatives = replicas.gather(negatives)
                negative_ids = None if negative_ids is None else replicas.gather(negative_ids)
        columns = ops.arange(ops.shape(every)[0], dtype="int32")
        own = ops.equal(positions[:, None], columns[None, :])
        counted = _counted(own, ids, every_ids)

        def scores(queries: Tensor, candidates: Tensor) -> Tensor:
            return -ops.cast(scale, queries.dtype) * self.distance(queries, candidates)

        similarities = scores(queries, every)
        if every_probability is not None:
            similarities = similarities - _log(every_probability, similarities)[None, :]
        one_way = _own_of(similarities, own)
        if negatives is None:
            all_scores, all_counted = similarities, counted
        else:
            more = scores(queries, negatives)
            wanted = ops.ones_like(more, dtype="bool")
            if negative_ids is not None:
                wanted = ops.not_equal(ids[:, None], negative_ids[None, :])
            all_scores = ops.concatenate([similarities, more], axis=1)
            all_counted = ops.concatenate([counted, wanted], axis=1)
        one_way = masked_logsumexp(all_scores, all_counted) - one_way
        if not self.symmetric:
            return one_way
        # The candidates of this replica against all queries.
        every_query = replicas.gather(queries)
        back = ops.transpose(scores(every_query, candidates))
        return (one_way + masked_logsumexp(back, counted) - _own_of(back, own)) / 2

    def get_config(self) -> dict[str, Any]:
        config = {
            **super().get_config(),
            "distance": keras.saving.serialize_keras_object(self.distance),
            "scale": self.scale,
        }
        return {**config, "symmetric": True} if self.symmetric else config


# As in keras-rs: probabilities below are taken for this one.
_LEAST_PROBABILITY = 1e-6


def _log(probability: Any, like: Any) -> Tensor:
    clipped = ops.clip(ops.cast(probability, like.dtype), _LEAST_PROBABILITY, 1)
    return ops.stop_gradient(ops.log(clipped))


def _own_of(scores: Tensor, own: Tensor) -> Tensor:
    return ops.sum(ops.where(own, scores, 0), axis=1)


def _counted(own: Tensor, ids: Any, every_ids: Any) -> Tensor:
    """Candidates in the softmax: the query's own, and those with a different id."""
    if ids is None:
        return ops.ones_like(own, dtype="bool")
    return ops.logical_or(own, ops.not_equal(ids[:, None], every_ids[None, :]))


def _column(values: Tensor, name: str, kind: str) -> Tensor:
    if values is None:
        return None
    values = to_tensor(values, name) if kind == "int" else ops.convert_to_tensor(values)
    dtype = keras.backend.standardize_dtype(values.dtype)
    if kind not in dtype:
        advice = "Number them on the host, e.g. by np.unique(ids, return_inverse=True)[1]."
        raise TypeError(
            f"`{name}` must be {'integers' if kind == 'int' else 'floats'}. Received: dtype "
            f"{dtype}.{' ' + advice if kind == 'int' else ''}"
        )
    if kind == "float":
        _check_probability(values, name)
    return ops.reshape(values, (-1,))


def _check_probability(values: Tensor, name: str) -> None:
    valid = ops.logical_and(values >= 0, values <= 1)
    message = (
        f"`{name}` must be probabilities, from 0 to 1: of counts, counts / counts.sum(); of "
        "logarithms, np.exp(logarithms)."
    )
    known = values_of(valid)
    if known is None:
        refuse_in_graph(ops.reshape(valid, (-1,)), values, message)
    elif not known.all():
        raise ValueError(f"{message} Received: {np.asarray(values_of(values))[~known][0]}.")


_TYPES = ("negative_cosine_sim", "cosine_distance", "angular_distance")
# The angle has an infinite slope in the cosine at 0 and at 180 degrees.
_LARGEST_COSINE = 1 - 1e-6


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SimSiamLoss(TwoViewLoss):
    """SimSiam: the prediction from one view must point in the direction of the other's projection.

    `loss_i = f(cos(projector_i, predictor_i)) / 2 + margin`, where f is `-c`,
    `1 - c` or `arccos(c) / pi`. It has no negatives.

    Args:
        projection_type: f: `"negative_cosine_sim"`, `"cosine_distance"` or
            `"angular_distance"`. The first two have the same gradient.
        margin: A constant added to the loss; it does not affect the gradient.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: the projector's output for one view and the predictor's for the
    other, `[batch, dim]` each. As in the paper, stop the gradient of the
    projector's output (`keras.ops.stop_gradient`), without which the embeddings
    collapse; and add the loss with the views exchanged.

    Recommended: no regulariser on the predictor, and a constant learning rate for it.

    Relations: `BarlowTwinsLoss` and `VICRegLoss` need no stopped gradient.

    Raises:
        ValueError: If `projection_type` is not one of these.

    Example:

    ```python
    import keras
    from tensorflow_similarity.losses import SimSiamLoss

    loss = SimSiamLoss(projection_type="cosine_distance", margin=0.0)
    projection, prediction = keras.ops.ones((2, 3)), keras.ops.zeros((2, 3))
    loss(keras.ops.stop_gradient(projection), prediction)  # 0.5
    ```

    Reference:
        Chen and He, *Exploring Simple Siamese Representation Learning*, CVPR
        2021, https://arxiv.org/abs/2011.10566
    """

    required = "predictor"

    def __init__(
        self,
        projection_type: str = "negative_cosine_sim",
        margin: float = 0.001,
        name: str = "simsiam_loss",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        if projection_type not in _TYPES:
            raise ValueError(
                f"`projection_type` must be one of {list(_TYPES)}. Received: {projection_type!r}."
            )
        self.projection_type = projection_type
        self.margin = checked_number(margin, "margin")

    def call(self, za: Tensor, zb: Tensor) -> Tensor:
        cosine = ops.sum(unit_rows(za) * unit_rows(zb), axis=-1)
        if self.projection_type == "negative_cosine_sim":
            value = -cosine
        elif self.projection_type == "cosine_distance":
            value = 1 - cosine
        else:
            cosine = ops.clip(cosine, -_LARGEST_COSINE, _LARGEST_COSINE)
            value = ops.arccos(cosine) / math.pi
        return value / 2 + self.margin

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "projection_type": self.projection_type,
            "margin": self.margin,
        }


_SMALLEST_VARIANCE = 1e-20


def _standardised(z: Tensor) -> Tensor:
    """Standardises features to mean 0 and variance 1; constant features become 0."""
    z = centred(z)
    variance = ops.mean(ops.square(z), axis=0, keepdims=True)
    varies = variance > _SMALLEST_VARIANCE
    return ops.where(varies, z * ops.rsqrt(ops.where(varies, variance, 1)), 0)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class BarlowTwinsLoss(TwoViewLoss):
    """Barlow twins: features agree between two views, and different features are uncorrelated.

    With C the cross-correlation of the features of both views over the batch,

    `loss = sum over f of (1 - C_ff)^2 + lambda_ * sum over f != g of C_fg^2 + margin`.

    It is one value for the batch, assigned to each example.

    Args:
        lambda_: The weight of the second term.
        margin: A constant added to the loss; it does not affect the gradient.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: the embeddings of two views, `[batch, dim]` each, not normalised.

    Requirements: batches large enough to estimate correlations, 128 and more.
    `sample_weight` weighs the value, not the examples in it.

    Recommended: a wide projector before the loss; more features are better.

    Relations: `VICRegLoss` bounds variance and covariance of each view separately.
    TensorFlow Similarity's name, `Barlow`, works too.

    Example:

    ```python
    from tensorflow_similarity.losses import BarlowTwinsLoss

    views = [[1.0, 1.0], [-1.0, -1.0]]
    BarlowTwinsLoss(lambda_=0.5)(views, views)  # 1.0
    ```

    Reference:
        Zbontar et al., *Barlow Twins: Self-Supervised Learning via Redundancy
        Reduction*, ICML 2021, https://arxiv.org/abs/2103.03230
    """

    def __init__(
        self,
        lambda_: float = 5e-3,
        margin: float = 1e-12,
        name: str = "barlow_twins_loss",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.lambda_ = checked_number(lambda_, "lambda_")
        self.margin = checked_number(margin, "margin")

    def call(self, za: Tensor, zb: Tensor) -> Tensor:
        za, zb = _standardised(za), _standardised(zb)
        correlation = ops.matmul(ops.transpose(za), zb) / batch_size_of(za)
        agreement = ops.sum(ops.square(1 - ops.diagonal(correlation)))
        value = agreement + self.lambda_ * off_diagonal_squares(correlation) + self.margin
        return value * ops.ones_like(za[:, 0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "lambda_": self.lambda_, "margin": self.margin}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class VICRegLoss(TwoViewLoss):
    """VICReg: views agree, every feature varies, and no two features vary together.

    `loss_i = lambda_ * mean over f of (a_if - b_if)^2 + mu * (v(a) + v(b)) / 2
    + nu * (c(a) + c(b))`, with
    `v(z) = mean over f of max(0, 1 - sqrt(var(z_f) + std_const))` and
    `c(z) = sum over f != g of cov(z)_fg^2 / dim`.

    The second and third term are one value for the batch, assigned to each example. The variance
    is divided by the batch size, the covariance by one less.

    Args:
        std_const: Added to the variance, above 0.
        lambda_: The weight of the invariance.
        mu: The weight of the variance.
        nu: The weight of the covariance.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: the embeddings of two views, `[batch, dim]` each, not normalised.

    Requirements: batches large enough to estimate covariances, 128 and more.

    Recommended: a wide projector before the loss, and the defaults, which are the paper's.

    Relations: `BarlowTwinsLoss` correlates the two views with each other.
    pytorch-metric-learning divides the variance, too, by one less than the batch size.
    TensorFlow Similarity's name, `VicReg`, works too.

    Example:

    ```python
    from tensorflow_similarity.losses import VICRegLoss

    views = [[2.0, 0.0], [-2.0, 0.0]]
    VICRegLoss()(views, views)  # 12.375
    ```

    Reference:
        Bardes et al., *VICReg: Variance-Invariance-Covariance Regularization for
        Self-Supervised Learning*, ICLR 2022, https://arxiv.org/abs/2105.04906
    """

    def __init__(
        self,
        std_const: float = 1e-4,
        lambda_: float = 25.0,
        mu: float = 25.0,
        nu: float = 1.0,
        name: str = "vicreg_loss",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.std_const = checked_positive(std_const, "std_const")
        self.lambda_ = checked_number(lambda_, "lambda_")
        self.mu = checked_number(mu, "mu")
        self.nu = checked_number(nu, "nu")

    def call(self, za: Tensor, zb: Tensor) -> Tensor:
        invariance = ops.mean(ops.square(za - zb), axis=1)
        za, zb = centred(za), centred(zb)
        variance = (self._variance_loss(za) + self._variance_loss(zb)) / 2
        covariance = _covariance_loss(za) + _covariance_loss(zb)
        return self.lambda_ * invariance + self.mu * variance + self.nu * covariance

    def _variance_loss(self, z: Tensor) -> Tensor:
        deviation = ops.sqrt(ops.mean(ops.square(z), axis=0) + self.std_const)
        return ops.mean(ops.relu(1 - deviation))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "std_const": self.std_const,
            "lambda_": self.lambda_,
            "mu": self.mu,
            "nu": self.nu,
        }


def _covariance_loss(z: Tensor) -> Tensor:
    covariance = ops.matmul(ops.transpose(z), z) / ops.maximum(batch_size_of(z) - 1, 1)
    return off_diagonal_squares(covariance) / z.shape[1]


def batch_size_of(z: Tensor) -> Tensor:
    """The number of rows, in the dtype of z."""
    return ops.sum(ops.ones_like(z[:, 0]))


def centred(z: Tensor) -> Tensor:
    """`z` minus the mean of each feature over the batch."""
    return z - ops.mean(z, axis=0, keepdims=True)


def off_diagonal_squares(matrix: Tensor) -> Tensor:
    """The sum of squares of the off-diagonal entries of a square matrix."""
    # The difference of the two sums would cancel where the diagonal is large.
    off = 1 - ops.eye(ops.shape(matrix)[0], dtype=matrix.dtype)
    return ops.sum(ops.square(matrix * off))


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class InfoNCELoss(TwoViewLoss):
    """InfoNCE: each query must identify its key among all keys in the batch, as in MoCo v3.

    `loss_i = -log(exp(s(q_i, k_i) / T) / sum over j of exp(s(q_i, k_j) / T))`, with s the
    cosine similarity. It has one direction only; views of the same side are not compared.

    Args:
        temperature: T, above 0.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: the keys as `y_true` and the queries as `y_pred`, `[batch, dim]` each. In MoCo
    the keys come from a momentum encoder, see
    `tensorflow_similarity.models.ContrastiveModel`.

    Requirements: large batches, since all other keys are the negatives.

    Relations: `SimCLRLoss` has both directions, and also compares views of the same side.

    Example:

    ```python
    from tensorflow_similarity.losses import InfoNCELoss

    views = [[1.0, 0.0], [0.0, 1.0]]
    InfoNCELoss(temperature=1.0)(views, views)  # log(1 + exp(-1)) = 0.313262
    ```

    Reference:
        van den Oord et al., *Representation Learning with Contrastive Predictive Coding*, 2018,
        https://arxiv.org/abs/1807.03748; Chen et al., *An Empirical Study of Training
        Self-Supervised Vision Transformers*, ICCV 2021, https://arxiv.org/abs/2104.02057
    """

    def __init__(
        self,
        temperature: float = 0.2,
        name: str = "info_nce_loss",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.temperature = checked_positive(temperature, "temperature")

    def call(self, za: Tensor, zb: Tensor) -> Tensor:
        keys, queries = unit_rows(za), unit_rows(zb)
        scores = ops.matmul(queries, ops.transpose(keys)) / self.temperature
        own = ops.sum(queries * keys, axis=-1) / self.temperature
        return ops.logsumexp(scores, axis=1) - own

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class DINOLoss(TwoViewLoss):
    """DINO: the student's output for one view must match the teacher's for the other.

    `loss_i = -sum over c of t_ic log softmax(student_i / T_s)_c`. The targets t are the softmax of
    `teacher / T_t`, balanced over the batch by Sinkhorn-Knopp iterations: every output is then used
    equally often, which prevents collapse to one output. (DINO itself subtracts a moving mean;
    this is the form of DINOv2, which needs no state.)

    Args:
        student_temperature: T_s, above 0.
        teacher_temperature: T_t, above 0 and below T_s, so that targets are sharper.
        iterations: Number of Sinkhorn-Knopp iterations; at least 1.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: the outputs of the teacher as `y_true` and of the student as `y_pred`,
    `[batch, outputs]` each. The teacher gets no gradient.

    Requirements: a teacher that is a moving average of the student, see `momentum` of
    `tensorflow_similarity.models.ContrastiveModel`; batches of more than a few examples.

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

    required = "momentum"

    def __init__(
        self,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        iterations: int = 3,
        name: str = "dino_loss",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.student_temperature = checked_positive(student_temperature, "student_temperature")
        self.teacher_temperature = checked_positive(teacher_temperature, "teacher_temperature")
        self.iterations = count(iterations, "iterations")

    def call(self, za: Tensor, zb: Tensor) -> Tensor:
        targets = self._balanced(ops.stop_gradient(za) / self.teacher_temperature)
        return -ops.sum(targets * ops.log_softmax(zb / self.student_temperature, axis=-1), axis=-1)

    def _balanced(self, scores: Tensor) -> Tensor:
        """Scales rows to sum 1 and columns to about equal sums, in log space for large scores."""
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
