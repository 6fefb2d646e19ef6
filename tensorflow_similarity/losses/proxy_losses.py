"""Losses on proxies of classes, computed from cosines to the classes."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import keras
from keras import ops

from tensorflow_similarity import distances
from tensorflow_similarity._checks import count
from tensorflow_similarity._types import Shape, Tensor
from tensorflow_similarity.distances.gradients import WithGradient, slope_of, with_gradient
from tensorflow_similarity.losses.arguments import (
    checked_class_id,
    checked_number,
    checked_positive,
)
from tensorflow_similarity.losses.base import PerExampleLoss, wide_float
from tensorflow_similarity.losses.labels import (
    check_class_range,
    class_ids,
    invalid_numbers,
    refuse_in_graph,
)
from tensorflow_similarity.losses.masked import (
    entries,
    log_one_plus_sum_exp,
    log_shares,
    number_of,
    with_entries,
)

__all__ = [
    "ArcFaceLoss",
    "CosFaceLoss",
    "NormalizedSoftmaxLoss",
    "P2SGradLoss",
    "ProxyAnchorLoss",
    "ProxyLoss",
    "ProxyNCALoss",
    "SoftTripleLoss",
    "SphereFaceLoss",
    "SubCenterArcFaceLoss",
]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ProxyLoss(PerExampleLoss):
    """Base of losses that compare embeddings with proxies of classes.

    Proxies are trainable vectors that represent classes. They are the weights of a layer,
    `tensorflow_similarity.layers.ProxyHead`, whose output, the cosines between embeddings
    and proxies, is the input of these losses. A subclass writes `class_losses`.

    Args:
        name: Name of the loss.
        reduction: As in Keras: `"sum_over_batch_size"` (the default), `"sum"`,
            `"mean"`, `"mean_with_sample_weight"` or None.
        dtype: Accepted as in Keras. Half precision is computed in float32, and float64 in
            float64.
        ignore_class: A class id for examples of unknown class: the loss is that of the
            batch without them. None: every id is a class.
        across_replicas: Under a `tf.distribute` strategy, or in processes of
            `torch.distributed`: whether the loss covers the whole batch (the default), or only
            the replica's own part.

    It is called with:

    - `y_true`: integer class ids from 0 to `classes - 1`, `[batch]` or
      `[batch, 1]`. Batches may have any composition, even a single class or a single
      example.
    - `y_pred`: cosines `[batch, classes]`, or `[batch, classes, centers]` if
      classes have several proxies each; the nearest counts, unless a loss says
      otherwise.
    - `sample_weight`: optional `[batch]`.

    An id outside of 0 to `classes - 1` raises an error; within `fit`, TensorFlow's
    `InvalidArgumentError`. XLA-compiled code cannot raise: there the loss of the example
    is NaN, which shows in the training log, with a zero gradient, so that weights are not
    affected.

    Raises:
        ValueError, TypeError: If labels are one-hot, floats, strings or out of
            range, or shapes do not match.

    Example:

    ```python
    import keras
    from tensorflow_similarity.losses import ProxyLoss

    @keras.saving.register_keras_serializable(package="mine")
    class PullOnlyProxyLoss(ProxyLoss):
        '''The cosine distance of each example to its class.'''

        def class_losses(self, cosines, targets):
            return 1 - keras.ops.sum(keras.ops.where(targets, cosines, 0), axis=1)

    PullOnlyProxyLoss()([0, 1], [[0.5, 0.1], [0.2, 0.9]])  # (0.5 + 0.1) / 2
    ```
    """

    options: ClassVar[tuple[str, ...]] = ("reduction", "dtype", "ignore_class", "across_replicas")
    on_proxies = True

    def classes_of(self, shape: Shape) -> int | None:
        return shape[1] if len(shape) > 1 else None

    #: Whether the loss of an example depends on the others of its batch.
    compares_examples: bool = False
    #: The distance between embeddings, which the index follows.
    distance: distances.Distance = distances.CosineDistance()

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
        *,
        ignore_class: int | None = None,
        across_replicas: bool = True,
    ) -> None:
        super().__init__(
            name=name, reduction=reduction, dtype=dtype, across_replicas=across_replicas
        )
        self.ignore_class = checked_class_id(ignore_class, "ignore_class")

    def class_losses(self, cosines: Tensor, targets: Any) -> Tensor:
        """The loss of each example, `[batch]`.

        Args:
            cosines: Float `[batch, classes]`.
            targets: Bool `[batch, classes]`, each example's own class. Examples without one
                must not count; their cosines are -1e4.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `class_losses`.")

    def own_losses(self, cosines: Tensor, own: Tensor) -> Tensor:
        """`class_losses`, where each example's own class is given by its number.

        Args:
            cosines: Float `[batch, classes]`.
            own: int32 `[batch]`; -1 for examples that do not count.
        """
        classes = ops.arange(ops.shape(cosines)[1], dtype="int32")
        return self.class_losses(cosines, ops.equal(own[:, None], classes[None, :]))

    def to_classes(self, cosines: Tensor) -> Tensor:
        """Cosines to classes, from those to their centers, `[batch, classes, centers]`."""
        return with_gradient(_nearest, _centers_first(cosines))

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each example of a batch: `[batch]`."""
        if len(y_pred.shape) == 3:
            y_pred = self.to_classes(y_pred)
        replicas = self.replicas()
        if not self.compares_examples or replicas.count == 1:
            return self._losses(y_true, y_pred)
        row = ops.cast(ops.zeros_like(y_true), "int32") + replicas.number()
        owner = replicas.gather(row)
        begin = ops.sum(ops.cast(owner < replicas.number(), "int32"))
        losses = self._losses(replicas.gather(y_true), replicas.gather(y_pred))
        return ops.take(losses, begin + ops.arange(ops.shape(y_true)[0], dtype="int32"), axis=0)

    def _losses(self, labels: Tensor, cosines: Tensor) -> Tensor:
        classes = ops.cast(ops.shape(cosines)[1], labels.dtype)
        known = ops.logical_and(labels >= 0, labels < classes)
        counted = self.counted(labels)
        usable = known if counted is None else ops.logical_and(known, counted)
        own = ops.cast(ops.where(usable, labels, -1), "int32")
        if counted is None:
            losses = self.own_losses(cosines, own)
        else:
            losses = self.own_losses(ops.where(counted[:, None], cosines, -1e4), own)
            losses = ops.where(counted, losses, 0)
            known = ops.logical_or(known, ops.logical_not(counted))
        refuse_in_graph(
            known, labels, "`y_true` must be class ids from 0 to classes - 1, those of the head."
        )
        return ops.where(known, losses, float("nan"))

    def marked(self, losses: Any, y_true: Any, y_pred: Any, counted: Any = None) -> Tensor:
        if len(y_pred.shape) == 3:
            y_pred = _centers_first(y_pred)
        return super().marked(losses, y_true, y_pred, counted)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        y_pred = self.checked_predictions(y_pred)
        shape = tuple(y_pred.shape)
        check_class_range(y_true, shape[1] if len(shape) > 1 else None, self.ignore_class)
        return super().__call__(y_true, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments, as JSON-serialisable values."""
        return {**super().get_config(), "ignore_class": self.ignore_class}

    def checked_predictions(self, y_pred: Any) -> Tensor:
        """Cosines as a float32 tensor, or float64 if they are float64.

        Raises:
            ValueError: If they are not `[batch, classes]` or
                `[batch, classes, centers]`.
        """
        y_pred = wide_float(y_pred)
        if len(y_pred.shape) not in (2, 3):
            raise ValueError(
                "`y_pred` must be cosines of shape [batch, classes] or [batch, classes, centers] "
                f"for {type(self).__name__}, as layers.ProxyHead makes them. Received: shape "
                f"{tuple(y_pred.shape)}."
            )
        return y_pred

    def checked_labels(self, y_true: Any, batch: Any) -> Any:
        """Class ids as a tensor of int64 `[batch]`."""
        return class_ids(y_true, batch, self)

    def invalid_labels(self, y_true: Any) -> Tensor | None:
        return invalid_numbers(y_true)


def _centers_first(cosines: Tensor) -> Tensor:
    """`[batch, classes, centers]` -> `[batch, centers, classes]`.

    A pass along classes is several times as fast as one along a few centers. `ProxyHead` turns its
    cosines the other way last, so that a graph holds neither.
    """
    return ops.transpose(cosines, (0, 2, 1))


def _nearest(cosines: Tensor) -> WithGradient:
    """The largest over centers, `[batch, centers, classes]` -> `[batch, classes]`."""
    largest = ops.max(cosines, axis=1)

    def gradient(cosines: Tensor, largest: Tensor, upstream: Tensor) -> Tensor:
        # Center by center: TensorFlow is slow where a middle axis is broadcast.
        nearest = [
            ops.cast(ops.equal(center, largest), cosines.dtype)
            for center in ops.unstack(cosines, axis=1)
        ]
        share = upstream / sum(nearest)
        return ops.stack([each * share for each in nearest], axis=1)

    return largest, (cosines, largest), gradient


class SoftmaxProxyLoss(ProxyLoss):
    """Base of losses with a softmax over classes.

    `loss = -log(exp(scale * t) / (exp(scale * t) + sum over other classes j of
    exp(scale * cos_j)))`, where t is the cosine to the own class, or what a subclass makes of it
    in `own_class`.
    """

    scale: float

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # A formula of one's own, in a subclass, is the one that counts.
        if "class_losses" in cls.__dict__ and "own_losses" not in cls.__dict__:
            cls.own_losses = ProxyLoss.own_losses  # type: ignore[method-assign]

    def own_class(self, cosines: Tensor) -> Tensor:
        """The cosines to the own classes with their handicap, from the true ones, `[batch]`."""
        return cosines

    def class_losses(self, cosines: Tensor, targets: Any) -> Tensor:
        classes = ops.arange(ops.shape(cosines)[1], dtype="int32")
        own = ops.sum(ops.where(targets, classes[None, :], 0), axis=1)  # of one in each row
        return SoftmaxProxyLoss.own_losses(self, cosines, ops.cast(own, "int32"))

    def own_losses(self, cosines: Tensor, own: Tensor) -> Tensor:
        # Which class is taken of examples without one is the same: they do not count.
        own = ops.maximum(own, 0)

        def cross_entropy(cosines: Tensor, own: Tensor) -> WithGradient:
            taken = entries(cosines, own)
            logit = self.own_class(taken)
            handicapped = logit is not taken
            logits = with_entries(cosines, own, logit) if handicapped else cosines
            top, rest, shares = log_shares(self.scale * logits)

            def gradient(shares: Tensor, taken: Tensor, own: Tensor, upstream: Tensor) -> Tensor:
                slope = self.scale * upstream
                slopes = shares * slope[:, None]
                of_own = entries(slopes, own) - slope
                if handicapped:
                    of_own = of_own * slope_of(self.own_class, taken)
                return with_entries(slopes, own, of_own)

            return rest + (top - self.scale * logit), (shares, taken, own), gradient

        return with_gradient(cross_entropy, cosines, own)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class NormalizedSoftmaxLoss(SoftmaxProxyLoss):
    """Normalised softmax: cross entropy over cosines to proxies, at a temperature.

    For cosines c_j and own class y,
    `loss = -log(exp(c_y / temperature) / sum over classes j of exp(c_j / temperature))`.

    Args:
        temperature: The temperature. Low values let the softmax become confident; with
            orthogonal proxies, the minimum of the loss for n classes at temperature T is
            about `n exp(-1 / T)`.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes]` from `layers.ProxyHead`.

    Recommended: as the first proxy loss to try, since it has no margin that could make
    training hard.

    Relations: `CosFaceLoss` without a margin, `ProxyNCALoss` with
    `softmax_scale = 1 / (2 temperature)`.

    Example:

    ```python
    from tensorflow_similarity.losses import NormalizedSoftmaxLoss

    NormalizedSoftmaxLoss()([0], [[0.5, 0.5]])  # log(2)
    ```

    Reference:
        Zhai and Wu, *Classification is a Strong Baseline for Deep Metric
        Learning*, BMVC 2019, https://arxiv.org/abs/1811.12649
    """

    def __init__(
        self, temperature: float = 0.05, name: str = "normalized_softmax_loss", **options: Any
    ) -> None:
        super().__init__(name=name, **options)
        self.temperature = checked_positive(temperature, "temperature")
        self.scale = 1 / self.temperature

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ProxyNCALoss(SoftmaxProxyLoss):
    """Proxy-NCA: softmax over negative squared distances to proxies, on the unit sphere.

    With d_j the Euclidean distance to the proxy of class j, both of length 1, and
    own class y,
    `loss = -log(exp(-softmax_scale d_y^2) / sum over classes j of
    exp(-softmax_scale d_j^2))`. As d^2 = 2 - 2 cos, it is a function of cosines.

    The own class is in the sum, as in Proxy-NCA++ and in pytorch-metric-learning;
    the paper leaves it out, which makes the loss unbounded below.

    Args:
        softmax_scale: Factor of the squared distances. The default is the authors', who
            scale embeddings and proxies to length 3, and that of Proxy-NCA++
            (temperature 1/9); pytorch-metric-learning's is 1.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes]` from `layers.ProxyHead`.

    Relations: `NormalizedSoftmaxLoss` with
    `temperature = 1 / (2 softmax_scale)`.

    Example:

    ```python
    from tensorflow_similarity.losses import ProxyNCALoss

    ProxyNCALoss()([0], [[0.5, 0.5]])  # log(2)
    ```

    Reference:
        Movshovitz-Attias et al., *No Fuss Distance Metric Learning using
        Proxies*, ICCV 2017, https://arxiv.org/abs/1703.07464; Teh et al.,
        *ProxyNCA++*, ECCV 2020, https://arxiv.org/abs/2004.01113
    """

    def __init__(
        self, softmax_scale: float = 9.0, name: str = "proxy_nca_loss", **options: Any
    ) -> None:
        super().__init__(name=name, **options)
        self.softmax_scale = checked_positive(softmax_scale, "softmax_scale")
        self.scale = 2 * self.softmax_scale

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "softmax_scale": self.softmax_scale}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ArcFaceLoss(SoftmaxProxyLoss):
    """ArcFace: softmax over cosines to proxies, with an angular margin for the own class.

    With θ the angle to the proxy of the own class and c_j the cosines to others,
    `loss = -log(exp(scale t) / (exp(scale t) + sum over other classes j of
    exp(scale c_j)))`, where `t = cos(θ + margin)`.

    Beyond `θ + margin = π`, where the cosine would rise again,
    `t = cos(θ) - margin sin(margin)`, which keeps falling, as in the authors'
    code and in pytorch-metric-learning; at that angle t steps from -1 to
    `-cos(margin) - margin sin(margin)`. No arc cosine is taken, and gradients are
    finite at θ = 0 and θ = π.

    Args:
        margin: The margin, an angle in radians, at least 0 and below π. The
            default is the paper's, 28.6 degrees; for m degrees pass
            `math.radians(m)`.
        scale: Factor of the cosines in the softmax.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes]` from `layers.ProxyHead`, or `[batch, classes, centers]`,
    see `SubCenterArcFaceLoss`.

    Recommended: fixed classes with many examples of each, as for faces. For retrieval
    of unseen classes with a small network, compare with `NormalizedSoftmaxLoss`, which
    is easier to train from scratch.

    Relations: `CosFaceLoss` has its margin on the cosine, `SphereFaceLoss` multiplies
    the angle.

    Example:

    ```python
    from tensorflow_similarity.losses import ArcFaceLoss

    ArcFaceLoss(margin=0.0)([0], [[0.5, 0.5]])  # log(2)
    ```

    Reference:
        Deng et al., *ArcFace: Additive Angular Margin Loss for Deep Face
        Recognition*, CVPR 2019, https://arxiv.org/abs/1801.07698
    """

    def __init__(
        self,
        margin: float = 0.5,
        scale: float = 64.0,
        name: str = "arcface_loss",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.margin = checked_number(margin, "margin")
        if not 0 <= self.margin < math.pi:
            raise ValueError(
                "`margin` must be an angle in radians, at least 0 and below pi. Received: "
                f"{margin!r}. For degrees pass math.radians(margin)."
            )
        self.scale = checked_positive(scale, "scale")

    def own_class(self, cosines: Tensor) -> Tensor:
        # 1 - c^2, where c may have been rounded beyond 1. The root has no
        # gradient at 0; there the embedding's, through the cosine, is 0 too.
        squares = (1 - cosines) * (1 + cosines)
        inside = squares > 0
        sines = ops.where(inside, ops.sqrt(ops.where(inside, squares, 1)), 0)
        turned = cosines * math.cos(self.margin) - sines * math.sin(self.margin)
        beyond = cosines - self.margin * math.sin(self.margin)
        return ops.where(cosines >= math.cos(math.pi - self.margin), turned, beyond)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin, "scale": self.scale}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SubCenterArcFaceLoss(ArcFaceLoss):
    """Sub-center ArcFace: each class has several proxies, of which the nearest counts.

    The loss is that of `ArcFaceLoss`, on the largest of the cosines to the
    proxies of each class, so a class may consist of clusters, and mislabelled examples
    gather around a proxy of their own instead of distorting the class.

    Args:
        margin: The margin, an angle in radians, see `ArcFaceLoss`.
        scale: Factor of the cosines in the softmax.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes, centers]` from `layers.ProxyHead(classes, centers=3)`.

    Recommended: 3 centers per class, for noisy labels.

    Relations: `ArcFaceLoss` takes the same input; this class requires several centers.

    Example:

    ```python
    from tensorflow_similarity.losses import SubCenterArcFaceLoss

    loss = SubCenterArcFaceLoss(margin=0.0)
    loss([0], [[[-0.9, 0.5], [0.5, -0.2]]])  # log(2)
    ```

    Reference:
        Deng et al., *Sub-center ArcFace: Boosting Face Recognition by
        Large-scale Noisy Web Faces*, ECCV 2020,
        https://www.ecva.net/papers/eccv_2020/papers_ECCV/papers/123560715.pdf
    """

    def __init__(
        self,
        margin: float = 0.5,
        scale: float = 64.0,
        name: str = "sub_center_arcface_loss",
        **options: Any,
    ) -> None:
        super().__init__(margin=margin, scale=scale, name=name, **options)

    def checked_predictions(self, y_pred: Any) -> Tensor:
        return several_centers(super().checked_predictions(y_pred), type(self).__name__)


def several_centers(y_pred: Tensor, loss: str) -> Tensor:
    """Returns cosines `[batch, classes, centers]`, or an error that tells how to get them."""
    if len(y_pred.shape) != 3:
        raise ValueError(
            f"`y_pred` must be cosines of shape [batch, classes, centers] for {loss}: give the "
            f"ProxyHead several centers, e.g. ProxyHead(classes, centers=3). Received: shape "
            f"{tuple(y_pred.shape)}."
        )
    return y_pred


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class CosFaceLoss(SoftmaxProxyLoss):
    """CosFace: softmax over cosines to proxies, with a cosine margin for the own class.

    For cosines c_j and own class y,
    `loss = -log(exp(scale (c_y - margin)) / (exp(scale (c_y - margin))
    + sum over other classes j of exp(scale c_j)))`.

    Args:
        margin: The margin, a difference of cosines.
        scale: Factor of the cosines in the softmax.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes]` from `layers.ProxyHead`.

    Relations: `NormalizedSoftmaxLoss` with a margin; additive margin softmax
    (AM-softmax) is the same.

    Example:

    ```python
    from tensorflow_similarity.losses import CosFaceLoss

    CosFaceLoss(margin=0.35)([0], [[0.6, 0.25]])  # log(2)
    ```

    Reference:
        Wang et al., *CosFace: Large Margin Cosine Loss for Deep Face
        Recognition*, CVPR 2018, https://arxiv.org/abs/1801.09414
    """

    def __init__(
        self,
        margin: float = 0.35,
        scale: float = 64.0,
        name: str = "cosface_loss",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.margin = checked_number(margin, "margin")
        self.scale = checked_positive(scale, "scale")

    def own_class(self, cosines: Tensor) -> Tensor:
        return cosines - self.margin

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin, "scale": self.scale}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SphereFaceLoss(SoftmaxProxyLoss):
    """SphereFace: softmax over cosines to proxies, with a multiple of the own class's angle.

    With θ the angle to the proxy of the own class and c_j the cosines to others,
    `loss = -log(exp(scale t) / (exp(scale t) + sum over other classes j of
    exp(scale c_j)))`, where `t = (-1)^k cos(margin θ) - 2 k` for
    `k π <= margin θ <= (k + 1) π`: it falls from 1 at θ = 0 to
    `1 - 2 margin` at θ = π. The cosine of the multiple is formed as a
    polynomial of the cosine, so gradients are finite everywhere.

    Args:
        margin: Positive integer, the factor of the angle.
        scale: Factor of the cosines in the softmax. The paper and
            pytorch-metric-learning use the length of each embedding instead;
            embeddings have length 1 here.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes]` from `layers.ProxyHead`.

    Recommended: `ArcFaceLoss` or `CosFaceLoss`, which superseded it and are
    easier to train.

    Example:

    ```python
    from tensorflow_similarity.losses import SphereFaceLoss

    SphereFaceLoss(margin=1)([0], [[0.5, 0.5]])  # log(2)
    ```

    Reference:
        Liu et al., *SphereFace: Deep Hypersphere Embedding for Face
        Recognition*, CVPR 2017, https://arxiv.org/abs/1704.08063
    """

    def __init__(
        self,
        margin: int = 4,
        scale: float = 30.0,
        name: str = "sphereface_loss",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.margin = count(margin, "margin")
        self.scale = checked_positive(scale, "scale")

    def own_class(self, cosines: Tensor) -> Tensor:
        before, multiple = ops.ones_like(cosines), cosines
        for _ in range(self.margin - 1):  # Chebyshev: cos of 2θ, 3θ …
            before, multiple = multiple, 2 * cosines * multiple - before
        k = ops.zeros_like(cosines)
        for j in range(1, self.margin):
            k = k + ops.cast(cosines < math.cos(j * math.pi / self.margin), k.dtype)
        sign = 1 - 2 * ops.mod(k, 2)
        return sign * multiple - 2 * k

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin, "scale": self.scale}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SoftTripleLoss(SoftmaxProxyLoss):
    """SoftTriple: softmax over classes with several centers each, softly assigned.

    With c_jk the cosine to center k of class j, the similarity to the class is
    `s_j = sum over k of softmax_k(c_jk / gamma) c_jk`, and for the own class y
    `loss = -log(exp(scale (s_y - margin)) / (exp(scale (s_y - margin))
    + sum over other classes j of exp(scale s_j)))`.

    Args:
        scale: Factor of the similarities (λ in the paper, `la` in
            pytorch-metric-learning).
        gamma: Temperature of the assignment to centers; near 0, only the nearest center
            counts.
        margin: The margin, a difference of cosines.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes, centers]` from `layers.ProxyHead(classes, centers=10)`.

    Recommended: 10 centers per class, more than there are clusters. The paper's
    regulariser, which merges centers, is not part of the loss.

    Relations: with one center it would be `CosFaceLoss`. As gamma approaches 0, it becomes
    `CosFaceLoss` on the nearest center.

    Example:

    ```python
    from tensorflow_similarity.losses import SoftTripleLoss

    loss = SoftTripleLoss(margin=0.0)
    loss([0], [[[0.5, 0.5], [0.5, 0.5]]])  # log(2)
    ```

    Reference:
        Qian et al., *SoftTriple Loss: Deep Metric Learning Without Triplet
        Sampling*, ICCV 2019, https://arxiv.org/abs/1909.05235
    """

    def __init__(
        self,
        scale: float = 20.0,
        gamma: float = 0.1,
        margin: float = 0.01,
        name: str = "soft_triple_loss",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.scale = checked_positive(scale, "scale")
        self.gamma = checked_positive(gamma, "gamma")
        self.margin = checked_number(margin, "margin")

    def to_classes(self, cosines: Tensor) -> Tensor:
        return with_gradient(self._softly_assigned, _centers_first(cosines))

    def _softly_assigned(self, cosines: Tensor) -> WithGradient:
        """Similarities `[batch, classes]`, from `[batch, centers, classes]`."""
        top = ops.stop_gradient(ops.max(cosines, axis=1, keepdims=True))
        powers = ops.exp((cosines - top) / self.gamma)
        total = ops.sum(powers, axis=1)
        means = ops.sum(powers * cosines, axis=1) / total

        def gradient(
            cosines: Tensor, powers: Tensor, total: Tensor, means: Tensor, upstream: Tensor
        ) -> Tensor:
            slope = (upstream / (self.gamma * total))[:, None]
            return powers * slope * (cosines - (means - self.gamma)[:, None])

        return means, (cosines, powers, total, means), gradient

    def own_class(self, cosines: Tensor) -> Tensor:
        return cosines - self.margin

    def checked_predictions(self, y_pred: Any) -> Tensor:
        return several_centers(super().checked_predictions(y_pred), type(self).__name__)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "gamma": self.gamma,
            "margin": self.margin,
        }


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ProxyAnchorLoss(ProxyLoss):
    """Proxy-Anchor: each proxy pulls hard examples of its class and pushes hard ones of others.

    With c(x, p) the cosine of example x and proxy p,

    `loss = mean over classes p in the batch of
    log(1 + sum over x in p of exp(-alpha (c(x, p) - margin)))
    + mean over all classes p of
    log(1 + sum over x not in p of exp(alpha (c(x, p) + margin)))`.

    Per example, the first term of a class is divided equally among its examples,
    and the second mean is the same for all, scaled so that the mean over the
    batch is this value. `sample_weight` weighs these shares.

    Args:
        margin: The margin, a difference of cosines.
        alpha: How strongly harder examples are weighted.
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes]` from `layers.ProxyHead`.

    Recommended: large batches with several examples of each class, and
    `ProxyHead(…, learning_rate_multiplier=100)` on a pretrained network.

    Relations: unlike `ProxyNCALoss`, it compares the examples of a batch with
    each other, through the proxies.

    Example:

    ```python
    from tensorflow_similarity.losses import ProxyAnchorLoss

    loss = ProxyAnchorLoss(margin=0.0, alpha=1.0)
    loss([0, 1], [[0.0, 0.0], [0.0, 0.0]])  # 2 log(2)
    ```

    Reference:
        Kim et al., *Proxy Anchor Loss for Deep Metric Learning*, CVPR 2020,
        https://arxiv.org/abs/2003.13911
    """

    compares_examples = True

    def __init__(
        self,
        margin: float = 0.1,
        alpha: float = 32.0,
        name: str = "proxy_anchor_loss",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.margin = checked_number(margin, "margin")
        self.alpha = checked_positive(alpha, "alpha")

    def class_losses(self, cosines: Tensor, targets: Any) -> Tensor:
        # From here on, a row is a proxy against the examples of the batch.
        rows, members = ops.transpose(cosines), ops.transpose(targets)
        pull = log_one_plus_sum_exp(rows - self.margin, members, -self.alpha)
        push = log_one_plus_sum_exp(rows + self.margin, ops.logical_not(members), self.alpha)
        size = number_of(members, cosines.dtype)
        present = ops.sum(ops.cast(size > 0, cosines.dtype))
        batch = ops.sum(ops.cast(ops.any(targets, axis=1), cosines.dtype))
        share = pull * batch / ops.maximum(size * present, 1)
        return ops.sum(ops.where(targets, share[None, :], 0), axis=1) + ops.mean(push)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin, "alpha": self.alpha}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class P2SGradLoss(ProxyLoss):
    """P2SGrad: the cosine to the own class should be 1, and that to every other class 0.

    `loss = (1 - c_y)^2 + sum over other classes j of c_j^2`.

    Its gradient grows with the remaining angle, and there is no scale or margin to tune.

    Args:
        name: Name of the loss.
        **options: The options of every loss.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines `[batch, classes]` from
    `layers.ProxyHead`.

    Recommended: for verification with one threshold, for example of speakers.

    Relations: `P2SGradLoss` of pytorch-metric-learning is the mean over all entries, so this value
    divided by the number of classes.

    Example:

    ```python
    from tensorflow_similarity.losses import P2SGradLoss

    P2SGradLoss()([0, 1], [[0.5, 0.5], [0.0, 1.0]])  # (0.25 + 0.25 + 0) / 2
    ```

    Reference:
        Zhang et al., *P2SGrad: Refined Gradients for Optimizing Deep Face Models*, CVPR 2019,
        https://arxiv.org/abs/1905.02479; Wang and Yamagishi, *A Comparative Study on Recent
        Neural Spoofing Countermeasures*, Interspeech 2021, https://arxiv.org/abs/2103.11326
    """

    def __init__(self, name: str = "p2s_grad_loss", **options: Any) -> None:
        super().__init__(name=name, **options)

    def class_losses(self, cosines: Tensor, targets: Any) -> Tensor:
        return ops.sum(ops.square(cosines - ops.cast(targets, cosines.dtype)), axis=1)
