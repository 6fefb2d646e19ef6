"""Behavior shared by all losses: types, weights, reduction, replicas, options."""

from __future__ import annotations

import difflib
import inspect
import re
from typing import Any, ClassVar, TypeVar

import keras
from keras import ops

from tensorflow_similarity._class_numbers import number_of_id
from tensorflow_similarity._old_names import removed_argument
from tensorflow_similarity._types import Shape, Tensor
from tensorflow_similarity.distances.base import real_numbers
from tensorflow_similarity.losses.arguments import checked_flag, checked_text
from tensorflow_similarity.losses.replicas import ALONE, Replicas, current_replicas

__all__ = [
    "LossAroundAnother",
    "PerExampleLoss",
    "checked_weights",
    "embedding_rows",
    "given_loss",
    "memory_variables",
    "no_losses",
    "parts_of",
    "wide_float",
]

_Loss = TypeVar("_Loss", bound="PerExampleLoss")

#: The arguments shared by losses, as documented in their docstrings.
_OPTIONS = {
    "block_size": "Queries computed at a time: the same value and gradient in less memory. None "
    "(the default) computes all at once.",
    "reduction": '`"sum_over_batch_size"` (the default), `"sum"`, `"mean"`, '
    '`"mean_with_sample_weight"` or None, as in Keras; or `"mean_over_nonzero"`, the mean over the '
    "examples whose loss is above 0.",
    "dtype": "Accepted as in Keras. Computed in float32 at least, and in float64 for float64 "
    "embeddings.",
    "mining": "Which pairs count: a name, a `Miner` or a function, see `mining.get_miner`. None "
    "(the default): all pairs.",
    "ignore_class": "A class id of examples whose class is unknown, which are left out. None (the "
    "default): every id is a class.",
    "relevance": "How labels say which pairs are positive, where they are not class ids: "
    '`"multi_hot"`, `"jaccard"`, `"matrix"` or a function, see `mining.get_relevance`.',
    "across_replicas": "Whether the batch is that of all replicas where several compute it (the "
    "default), or each replica compares its own part alone.",
}


class _Reduction(keras.losses.Loss):
    """Keras' reduction and weighting, applied to precomputed values."""

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        return y_pred


class PerExampleLoss(keras.losses.Loss):
    """Base of losses that keep labels as integers and compute in float32 at least.

    `keras.losses.Loss` casts both arguments to one float type. Here a subclass checks and
    converts each itself, and writes `call`, which returns one loss per example;
    `sample_weight` and `reduction` work as in Keras.

    A subclass whose `__init__` ends in `**options` also takes the arguments in `options`.
    They appear in its signature, and in its docstring in place of the line of `**options`.
    """

    #: Names of the arguments that a subclass takes as `**options`.
    options: ClassVar[tuple[str, ...]] = ("reduction", "dtype", "across_replicas")
    #: Whether `y_true` holds the embeddings of another view instead of labels.
    takes_views: bool = False
    #: Whether `y_true` holds the embeddings of a teacher.
    takes_teacher: bool = False
    #: Whether the embedding must be whole: a prefix is of no use.
    takes_whole: bool = False
    #: Whether `y_pred` is the output of a `ProxyHead`.
    on_proxies: bool = False
    #: Whether `y_pred` holds trained boundaries behind the embedding, those of a `MarginHead`.
    reads_head: bool = False
    #: Whether `y_pred` holds the embeddings of two models, `[batch, 2, dim]`.
    compares_models: bool = False
    #: Whether the loss takes a sample of the classes of a `PartialProxyHead` itself.
    samples_classes: bool = False
    #: Whether `y_pred` is ready-made triplets, `[batch, 2 + negatives, dim]`.
    takes_triplets: bool = False
    #: Whether the loss keeps embeddings of earlier batches, all of one size.
    remembers: bool = False
    #: Whether the loss has `ranking`, which compares queries with candidates.
    ranks: bool = False
    #: Class id of examples that are left out; None if every id is a class.
    ignore_class: int | None = None
    #: Whether the loss covers the batches of all replicas.
    across_replicas: bool = True

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
        *,
        across_replicas: bool = True,
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(
                f"`name` must be a string. Received: {name!r}. Pass the arguments of "
                f"{type(self).__name__} by name."
            )
        if reduction is not None:
            checked_text(reduction, "reduction")
        nonzero = reduction == "mean_over_nonzero"
        super().__init__(name=name, reduction="mean" if nonzero else reduction, dtype=dtype)
        if nonzero:  # Keras has no such reduction; otherwise it behaves like a mean.
            self.reduction = reduction
        self.across_replicas = checked_flag(across_replicas, "across_replicas")

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        # Python's own error would name the class whose `__init__` it is.
        known = inspect.signature(cls.__init__).parameters
        unknown = [name for name in kwargs if name not in known]
        variadic = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
        if unknown and not variadic:
            note = removed_argument(cls.__name__, unknown[0])
            if note is not None:
                raise TypeError(f"`{cls.__name__}` has no argument `{unknown[0]}`: {note}")
            near = difflib.get_close_matches(unknown[0], known, n=1)
            raise TypeError(
                f"{cls.__name__} has no argument {unknown[0]!r}."
                + (f" Did you mean {near[0]!r}?" if near else "")
                + f" Its arguments are: {', '.join(name for name in known if name != 'self')}."
            )
        return super().__new__(cls)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            _expand_options(cls)

    def parts(self) -> tuple[PerExampleLoss, ...]:
        """This loss and the losses it calls, recursively."""
        return (self,)

    def bind(self, head: object) -> None:
        """Takes the layer that makes `y_pred`; `compile` of a functional model calls it.

        Args:
            head: The layer or operation. One with a method `check_loss(loss)` is asked.

        Raises:
            ValueError: If the two do not belong together.
        """
        check = getattr(head, "check_loss", None)
        if check is not None:
            check(self)

    def classes_of(self, shape: Shape) -> int | None:
        """How many classes the ids must be of, 0 to one less; None for any ids.

        Args:
            shape: Of `y_pred`.
        """
        return None

    def checked_predictions(self, y_pred: Any) -> Tensor:
        """Predictions as a float32 tensor, or float64 if they are float64."""
        raise NotImplementedError(f"{type(self).__name__} must implement `checked_predictions`.")

    def checked_labels(self, y_true: Any, batch: Any) -> Any:
        """Labels as a tensor of the type that `call` takes."""
        raise NotImplementedError(f"{type(self).__name__} must implement `checked_labels`.")

    def invalid_labels(self, y_true: Any) -> Tensor | None:
        """Which labels are invalid, bool `[batch]`, if that is only known inside a graph."""
        return None

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        with keras.name_scope(self.name):
            y_pred = self.checked_predictions(y_pred)
            labels = self.checked_labels(y_true, y_pred.shape[0])
            counted = self.counted(labels)
            if self.lacks_examples(y_pred):
                return self.reduced(no_losses(y_pred))
            losses = self.marked(self.call(labels, y_pred), y_true, y_pred, counted)
            return self.reduced(losses, sample_weight, counted)

    def lacks_examples(self, y_pred: Tensor) -> bool:
        """Whether a batch is known to be empty, on all replicas: its loss is 0."""
        return y_pred.shape[0] == 0 and self.replicas().count == 1

    def marked(self, losses: Any, y_true: Any, y_pred: Any, counted: Any = None) -> Tensor:
        """Losses `[batch]`, NaN where an example has an invalid label or unusable predictions.

        A graph cannot refuse labels, and mining passes over distances that are NaN, such as those
        of what overflows half precision, or whose squares overflow float32.

        Args:
            losses: `[batch]`.
            y_true: The labels, as they were given.
            y_pred: The predictions, `[batch, ...]`.
            counted: Which examples count, bool `[batch]`; None for all.
        """
        nan = self.unusable(y_pred)
        if len(nan.shape) > 1:
            nan = ops.any(nan, axis=tuple(range(1, len(nan.shape))))
        if counted is not None:
            nan = ops.logical_and(nan, counted)
        invalid = self.invalid_labels(y_true)
        if invalid is not None:
            nan = ops.logical_or(nan, invalid)
        return ops.where(nan, float("nan"), losses)

    def unusable(self, y_pred: Any) -> Tensor:
        """Where predictions `[batch, ...]` are not finite or cannot be compared: bool, as long."""
        return ops.logical_not(ops.isfinite(y_pred))

    def replicas(self) -> Replicas:
        """The replicas that compute the batch together."""
        return current_replicas() if self.across_replicas else ALONE

    def counted(self, labels: Any) -> Tensor | None:
        """Which examples are included, bool `[batch]`; None for all."""
        if self.ignore_class is None or len(labels.shape) != 1:
            return None
        return ops.not_equal(labels, number_of_id(self.ignore_class))

    def reduced(self, losses: Any, sample_weight: Any = None, counted: Any = None) -> Tensor:
        """Losses `[batch]`, weighted and reduced like in Keras, over the included examples.

        With several replicas, the sum over them (with PyTorch: the mean) is the loss of the
        whole batch.
        """
        if losses.shape == (0,) and self.replicas().count == 1:
            # Keras would return it as it is, unreduced.
            return losses if self.reduction in (None, "none") else ops.sum(losses)
        if sample_weight is not None:
            sample_weight = checked_weights(sample_weight, losses.shape[0])
        if self.reduction == "mean_over_nonzero":
            active = losses != 0
            counted = active if counted is None else ops.logical_and(active, counted)
        replicas = self.replicas()
        if replicas.count > 1:
            return self._reduced_together(losses, sample_weight, counted, replicas)
        if counted is not None:
            counted = ops.cast(counted, losses.dtype)
            if self.reduction in ("sum_over_batch_size", "mean", "mean_over_nonzero"):
                counted = counted / ops.maximum(ops.mean(counted), 1e-30)
            weights = 1.0 if sample_weight is None else ops.cast(sample_weight, losses.dtype)
            sample_weight = weights * counted
        dtype = keras.backend.standardize_dtype(losses.dtype)
        reduction = "mean" if self.reduction == "mean_over_nonzero" else self.reduction
        reduce = _Reduction(reduction=reduction, dtype=dtype)
        return reduce(losses, losses, sample_weight=sample_weight)

    def _reduced_together(
        self, losses: Any, sample_weight: Any, counted: Any, replicas: Replicas
    ) -> Tensor:
        ones = ops.ones_like(losses)
        number = ones if counted is None else ops.cast(counted, losses.dtype)
        weights = number if sample_weight is None else number * ops.cast(sample_weight, ones.dtype)
        losses = losses * weights
        if self.reduction in (None, "none"):
            return losses
        part = ops.sum(losses)
        divisor = ops.sum(weights if self.reduction == "mean_with_sample_weight" else number)
        every, divisor = replicas.totals(part, divisor)
        if self.reduction == "sum":
            divisor = ops.ones_like(divisor)
        some = divisor > 0
        scale = ops.where(some, 1 / ops.where(some, divisor, 1), 0)
        part, every = part * scale * replicas.weight, every * scale * replicas.weight
        # The same value on all replicas, with the gradient of the own part: Keras logs the mean of
        # the values, weighted by the rows of each replica, which differ in a ragged batch.
        every = every / replicas.count
        rest = ops.where(ops.isfinite(part), every - part, every)
        return part + ops.stop_gradient(rest)

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments, as JSON-serialisable values."""
        config = super().get_config()
        # Rarely used arguments are stored only if given.
        return config if self.across_replicas else {**config, "across_replicas": False}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class LossAroundAnother(PerExampleLoss):
    """Base of losses that call another one, `loss`, which says what labels must be."""

    loss: PerExampleLoss

    def checked_labels(self, y_true: Any, batch: Any) -> Any:
        return self.loss.checked_labels(y_true, batch)

    def invalid_labels(self, y_true: Any) -> Tensor | None:
        return self.loss.invalid_labels(y_true)

    def unusable(self, y_pred: Any) -> Tensor:
        return self.loss.unusable(y_pred)

    def counted(self, labels: Any) -> Tensor | None:
        return self.loss.counted(labels)


def parts_of(losses: Any) -> list[Any]:
    """The losses in the argument of `compile`, and those they call, recursively."""
    return [
        part
        for loss in keras.tree.flatten(losses)
        for part in (loss.parts() if isinstance(loss, PerExampleLoss) else (loss,))
    ]


def memory_variables(losses: Any) -> list[Any]:
    """The variables of the memories that losses in the argument of `compile` have."""
    banks = [loss.memory for loss in parts_of(losses) if hasattr(loss, "memory")]
    return [variable for bank in banks for variable in bank.variables]


def given_loss(loss: object, kind: type[_Loss], expected: str, argument: str = "loss") -> _Loss:
    """The loss that another one is to call, given as an object or by its config.

    Args:
        loss: What was passed.
        kind: The class that it must be of.
        expected: What that is, for the error.
        argument: The argument's name, for the error.

    Raises:
        TypeError: If it is none.
    """
    if isinstance(loss, dict):
        loss = keras.saving.deserialize_keras_object(loss)
    if not isinstance(loss, kind):
        raise TypeError(f"`{argument}` must be {expected}. Received: {loss!r}.")
    return loss


def embedding_rows(y_pred: Any, whose: str) -> Tensor:
    """Embeddings `[batch, dim]` as a tensor of float32, or float64 if they are that.

    Args:
        y_pred: The predictions.
        whose: Who takes or makes them, for the error.

    Raises:
        ValueError: If they are not `[batch, dim]`.
    """
    y_pred = wide_float(y_pred)
    if len(y_pred.shape) != 2:
        raise ValueError(
            f"`y_pred` must be embeddings of shape [batch, dim]{whose}. "
            f"Received: shape {tuple(y_pred.shape)}."
        )
    return y_pred


def no_losses(y_pred: Tensor) -> Tensor:
    """The losses of an empty batch, `[0]`, with its gradient of 0."""
    return 0 * ops.sum(y_pred, axis=tuple(range(1, len(y_pred.shape))))


def wide_float(x: Any, name: str = "y_pred") -> Tensor:
    """`x` as a float64 tensor if it is float64, else float32.

    Raises:
        TypeError: If it is masked, sparse or ragged, or holds no real numbers.
    """
    x = real_numbers(x, name)
    if keras.backend.standardize_dtype(x.dtype) == "float64":
        return x
    return ops.cast(x, "float32")


def checked_weights(sample_weight: Any, batch: Any) -> Tensor:
    """Weights of examples, a scalar or `[batch]`.

    Raises:
        TypeError: If they are masked, sparse or ragged, or no real numbers.
        ValueError: If their shape is another.
    """
    weights = real_numbers(sample_weight, "sample_weight")
    shape = tuple(weights.shape)
    scalar_like = all(size == 1 for size in shape)
    per_query = len(shape) in (1, 2) and (batch is None or shape[0] in (None, batch))
    if not scalar_like and not (per_query and (len(shape) == 1 or shape[1] in (None, 1))):
        raise ValueError(
            "`sample_weight` must be a scalar, or hold one weight per example: shape [batch] or "
            f"[batch, 1] with batch={batch}. Received: shape {shape}."
        )
    # Weights in a column would make Keras return a column of losses.
    return ops.reshape(weights, (-1,)) if len(shape) > 1 else weights


def _expand_options(cls: type[PerExampleLoss]) -> None:
    """Expands `**options` in the signature and docstring of a class."""
    own = cls.__dict__["__init__"]
    parameters = list(inspect.signature(own).parameters.values())
    if not parameters or parameters[-1].name != "options":
        return
    own_parameters = parameters[:-1]
    named = {parameter.name for parameter in own_parameters}
    inherited = {
        name: parameter
        for base in reversed(cls.__mro__[1:-1])  # `object` has none
        if "__init__" in base.__dict__
        for name, parameter in inspect.signature(base.__dict__["__init__"]).parameters.items()
    }
    expanded = [name for name in cls.options if name not in named]
    signature = inspect.Signature(
        [
            *own_parameters,
            *(inherited[name].replace(kind=inspect.Parameter.KEYWORD_ONLY) for name in expanded),
        ]
    )
    own.__signature__ = signature
    if cls.__doc__:
        described = "".join(f"        {name}: {_OPTIONS[name]}\n" for name in expanded)
        cls.__doc__ = re.sub(
            r"^        \*\*options:.*\n(?:            .*\n)*",
            lambda match: described,
            cls.__doc__,
            flags=re.MULTILINE,
        )
