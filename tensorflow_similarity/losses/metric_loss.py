"""Bases of losses on embeddings, as functions of queries against keys."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from tensorflow_similarity import distances
from tensorflow_similarity._checks import count
from tensorflow_similarity._old_names import explains_arguments
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.losses.arguments import checked_class_id, checked_number
from tensorflow_similarity.losses.base import PerExampleLoss, embedding_rows, given_loss, wide_float
from tensorflow_similarity.losses.comparison import Comparison, Examples, PairSettings
from tensorflow_similarity.losses.labels import (
    class_ids,
    invalid_numbers,
    relevance_labels,
    to_tensor,
)
from tensorflow_similarity.losses.masked import mean_over_pairs
from tensorflow_similarity.losses.replicas import ALONE
from tensorflow_similarity.mining.miners import Miner, get_miner
from tensorflow_similarity.mining.pairs import Pairs, get_relevance, relevance_config

__all__ = [
    "MetricLoss",
    "MinedLoss",
    "PairwiseValuesLoss",
    "StatisticsLoss",
    "checked_metric_loss",
    "checked_number",
]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MetricLoss(PerExampleLoss):
    """Base of losses on embeddings.

    A subclass writes `row_loss`, the formula for some queries against all keys. The base
    provides: class ids compared as integers, mathematics in float32 at least,
    `sample_weight` and `reduction`, mining, blocks in bounded memory, the keys of other
    replicas and of a `CrossBatchMemory`, serialisation, and the errors. For a formula on a
    statistic of the whole batch see `StatisticsLoss`.

    Args:
        distance: The distance between embeddings: a name, a `Distance` or a function, see
            `tensorflow_similarity.distances.get`. None if the loss takes pairwise values
            instead of embeddings.
        block_size: Number of queries computed at a time. Value and gradient are the same;
            memory holds `block_size` rows of the distance matrix, which the gradient
            recomputes. None computes all rows at once.
        reduction: As in Keras: `"sum_over_batch_size"` (the default), `"sum"`, `"mean"`,
            `"mean_with_sample_weight"` or None; or `"mean_over_nonzero"`: the mean over the
            examples whose loss is not 0, which does not fade as more examples are learned.
        name: Name of the loss.
        dtype: Accepted as in Keras. Half precision is computed in float32, and float64
            embeddings in float64.
        mining: Selects the pairs that the loss uses, among those given by the labels: a name,
            a `Miner` or a function, see `tensorflow_similarity.mining.get_miner`. It gets the
            distances computed by the loss. None, the default, keeps all pairs.
        ignore_class: A class id for examples of unknown class: the loss is that of the batch
            without them. None: every id is a class.
        relevance: How labels other than class ids determine which pairs are positive:
            `"multi_hot"`, `"jaccard"`, `"matrix"` or a function, see
            `tensorflow_similarity.mining.get_relevance`.
        across_replicas: Under a `tf.distribute` strategy, or in processes of
            `torch.distributed`: whether a replica compares its examples with those of all
            replicas (the default), so that value and gradient equal those of one device on
            the whole batch, or only with its own.

    It is called with:

    - `y_true`: integer class ids, `[batch]` or `[batch, 1]`, of any integer dtype and size.
      (Whole numbers below 2**24 in a float dtype are accepted as class ids, with a warning.)
      With `relevance`, the labels it takes, `[batch, ...]`; with
      `relevance="matrix"` a bool or float matrix `[batch, batch]`, above 0 for positive
      pairs, and NaN for unknown ones.
    - `y_pred`: embeddings `[batch, dim]`.
    - `sample_weight`: optional `[batch]`, the weights of the queries.

    Raises:
        ValueError, TypeError: If labels are one-hot, fractions or strings, or their number is
            not that of the embeddings.

    Example:

    ```python
    import keras
    from tensorflow_similarity.losses import MetricLoss

    @keras.saving.register_keras_serializable(package="mine")
    class PullOnlyLoss(MetricLoss):
        '''The mean distance of each query's positives.'''

        def row_loss(self, pairs):
            positive = keras.ops.cast(pairs.positives, pairs.distances.dtype)
            total = keras.ops.sum(pairs.distances * positive, axis=1)
            return total / keras.ops.maximum(keras.ops.sum(positive, axis=1), 1)

    loss = PullOnlyLoss(distance="euclidean")
    loss([1, 1, 2], [[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]])  # (5 + 5 + 0) / 3
    ```
    """

    options: ClassVar[tuple[str, ...]] = (
        "block_size",
        "reduction",
        "dtype",
        "mining",
        "ignore_class",
        "relevance",
        "across_replicas",
    )
    #: The arguments among `mining`, `ignore_class` and `relevance` usable without a distance.
    of_values: ClassVar[tuple[str, ...]] = ()
    #: Whether class ids must be those of a head, rather than any integers.
    numbers_classes: bool = False

    @explains_arguments("MetricLoss")
    def __init__(
        self,
        distance: DistanceLike | None = "cosine",
        block_size: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        *,
        mining: Any = None,
        ignore_class: int | None = None,
        relevance: Any = None,
        across_replicas: bool = True,
    ) -> None:
        super().__init__(
            name=name, reduction=reduction, dtype=dtype, across_replicas=across_replicas
        )
        self.distance = None if distance is None else distances.get(distance)
        self.block_size = None if block_size is None else count(block_size, "block_size")
        self.ignore_class = checked_class_id(ignore_class, "ignore_class")
        self.mining = get_miner(mining)
        self.relevance = get_relevance(relevance)
        self._check_choice_of_pairs()

    def _check_choice_of_pairs(self) -> None:
        chosen = {
            "mining": self.mining,
            "ignore_class": self.ignore_class,
            "relevance": self.relevance,
        }
        given = [f"{name}={value!r}" for name, value in chosen.items() if value is not None]
        beside = [text for text in given if text.split("=")[0] not in self.of_values]
        if self.distance is None and beside:
            raise ValueError(
                f"`distance` must be given where the loss chooses pairs of embeddings. Received: "
                f"distance=None with {', '.join(beside)}."
            )
        if self.relevance is not None and self.ignore_class is not None:
            raise ValueError(
                "`ignore_class` is a class id, and with `relevance` labels are none: return NaN "
                f"for pairs that are not known. Received: {', '.join(given)}."
            )
        possible = None if self.mining is None else self.mining.distances
        product = None if self.distance is None else distances.product_of(self.distance)
        space = product.space if product is not None and product.plain else None
        if possible is not None and space not in possible:
            raise ValueError(
                f"`distance` must be one of {list(possible)} for {self.mining!r}. Received: "
                f"{self.distance!r}."
            )

    def row_loss(self, pairs: Pairs) -> Tensor:
        """The loss of some queries, `[queries]`, against all keys.

        A query that lacks the pairs the loss needs gets exactly 0.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `row_loss`.")

    def losses(self, comparison: Comparison) -> Tensor:
        """The loss of each query of a comparison, `[queries]`."""
        return comparison.map(self.row_loss)

    def miners(self) -> tuple[Miner, ...]:
        """The miners that select pairs, applied in turn."""
        return () if self.mining is None else (self.mining,)

    def embeddings(self, outputs: Tensor) -> Tensor:
        """The embeddings in the model's output: here, all of it."""
        return outputs

    def compare(self, labels: Tensor, outputs: Tensor) -> Comparison:
        """Compares a batch with itself, and with the parts of other replicas.

        Args:
            labels: As `checked_labels` returns them.
            outputs: As `checked_predictions` returns them.
        """
        batch = Examples.of(labels, outputs, self.counted(labels))
        return Comparison.of_batch(self._pair_settings(), batch, self.replicas())

    def _pair_settings(self) -> PairSettings:
        return PairSettings(
            self._distance(), self.relevance, self.miners(), self.block_size, self.embeddings
        )

    def query_losses(
        self,
        query_labels: Tensor,
        queries: Tensor,
        key_labels: Tensor,
        keys: Tensor,
        queries_are_keys: bool = False,
    ) -> Tensor:
        """The loss of each query against keys of any origin: a memory, another tower.

        Args:
            query_labels: Class ids `[queries]`, or what `relevance` takes.
            queries: Embeddings `[queries, dim]`.
            key_labels: Class ids `[keys]`, or what `relevance` takes.
            keys: Embeddings `[keys, dim]`.
            queries_are_keys: Whether the keys begin with the queries, so that query i must not be
                paired with key i.

        Returns:
            Losses `[queries]`.
        """
        query_labels, key_labels = (
            None if labels is None else to_tensor(labels) for labels in (query_labels, key_labels)
        )
        sides = (
            Examples.of(labels, outputs, None if labels is None else self.counted(labels))
            for labels, outputs in ((query_labels, queries), (key_labels, keys))
        )
        rows = ops.arange(ops.shape(queries)[0], dtype="int32")
        positions = rows if queries_are_keys else ops.zeros_like(rows) - 1
        query_side, key_side = sides
        comparison = Comparison(
            self._pair_settings(),
            query_side,
            key_side,
            positions,
            query_side,
            ALONE,
            keys_are_batch=keys is queries,
        )
        return self.losses(comparison)

    def all_of_a_class(self) -> bool:
        """Whether all examples of a query's class are positives, so that no masks are needed."""
        return not self.miners() and self.relevance is None

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each example of a batch against the others: `[batch]`."""
        return self.losses(self.compare(y_true, y_pred))

    def checked_predictions(self, y_pred: Any) -> Tensor:
        """Embeddings as a float32 tensor, or float64 if they are float64.

        Raises:
            ValueError: If they are not `[batch, dim]`.
        """
        return embedding_rows(y_pred, f" for {type(self).__name__} with a distance")

    def checked_labels(self, y_true: Any, batch: Any) -> Any:
        """Labels as a tensor: class ids `[batch]`, or what `relevance` takes."""
        if self.relevance is not None:
            return relevance_labels(y_true, batch, self.relevance)
        return class_ids(y_true, batch, self)

    def invalid_labels(self, y_true: Any) -> Tensor | None:
        return None if self.relevance is not None else invalid_numbers(y_true)

    def unusable(self, y_pred: Any) -> Tensor:
        found = super().unusable(y_pred)
        product = None if self.distance is None else distances.product_of(self.distance)
        if product is None or product.space == "cosine":
            return found
        rows = product.rows(ops.stop_gradient(y_pred), ops)
        # Rows of one length are at most twice as far apart.
        finite = ops.isfinite(ops.sum(ops.square(2 * rows), axis=-1, keepdims=True))
        return ops.logical_or(found, ops.logical_not(finite))

    def _distance(self) -> distances.Distance:
        if self.distance is None:
            raise ValueError(
                f"{type(self).__name__}(distance=None) takes pairwise values; to form pairs of "
                'embeddings pass a distance, e.g. distance="cosine".'
            )
        return self.distance

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments, as JSON-serialisable values."""
        distance = self.distance
        by_name = distance is None or type(distance) is type(_by_name(distance.name))
        return {
            **super().get_config(),
            "distance": getattr(distance, "name", None)
            if by_name
            else keras.saving.serialize_keras_object(distance),
            "block_size": self.block_size,
            "mining": None
            if self.mining is None
            else keras.saving.serialize_keras_object(self.mining),
            "ignore_class": self.ignore_class,
            "relevance": relevance_config(self.relevance),
        }

    def __repr__(self) -> str:
        config = {**self.get_config(), "distance": self.distance, "mining": self.mining}
        # Rarely used arguments are shown only if given.
        for name in ("mining", "relevance", "ignore_class"):
            if config[name] is None:
                del config[name]
        arguments = ", ".join(f"{key}={value!r}" for key, value in config.items())
        return f"{type(self).__name__}({arguments})"


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class StatisticsLoss(MetricLoss):
    """Base of losses on a statistic of the whole batch, such as a mean over its pairs.

    A subclass writes `statistics`, computed by rows, and `value`, computed from the statistics
    of all rows; the base handles blocks, memory and replicas. Without its own `value`, the loss
    is a sum of means over pairs: `statistics` then returns sums and numbers of pairs.

    Args:
        distance: As for `MetricLoss`.
        name: As for `MetricLoss`.
        **options: As for `MetricLoss`.

    Example:

    ```python
    import keras
    from keras import ops
    from tensorflow_similarity.losses import StatisticsLoss

    @keras.saving.register_keras_serializable(package="mine")
    class SeparationLoss(StatisticsLoss):
        '''How much farther positives are than negatives, on average over the batch.'''

        def statistics(self, pairs):
            return tuple(
                (ops.sum(ops.where(mask, sign * pairs.distances, 0), axis=1),
                 ops.sum(ops.cast(mask, "float32"), axis=1))
                for sign, mask in ((1, pairs.positives), (-1, pairs.negatives))
            )

    loss = SeparationLoss(distance="euclidean")
    loss([1, 1, 2], [[0.0], [1.0], [4.0]])  # 1 - (4 + 3) / 2
    ```
    """

    def __init__(
        self, distance: DistanceLike | None = "cosine", name: str | None = None, **options: Any
    ) -> None:
        super().__init__(distance=distance, name=name, **options)
        if self.reduction == "mean_over_nonzero":
            raise ValueError(
                f"`reduction` must be one of Keras' for {type(self).__name__}, whose value is that "
                "of the batch as a whole. Received: 'mean_over_nonzero'."
            )

    def statistics(self, pairs: Pairs) -> Any:
        """The statistics of some queries against all keys.

        Returns:
            An array `[queries, ...]`, or a structure of them, of floats. For a mean over
            pairs, a tuple of terms `(sums [queries], pairs [queries])`.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `statistics`.")

    def value(self, statistics: Any, comparison: Comparison) -> Any:
        """The loss of each query of the whole batch, `[batch]`.

        Args:
            statistics: The results of `statistics` for the queries of all blocks and replicas.
            comparison: The queries and keys, for a second pass over the pairs
                (`comparison.map`), and for `comparison.counted`, the queries included in
                means.
        """
        counted = comparison.counted
        return sum(mean_over_pairs(sums, pairs, counted) for sums, pairs in statistics)

    def losses(self, comparison: Comparison) -> Tensor:
        statistics = comparison.gather(comparison.map(self.statistics))
        return comparison.own(self.value(statistics, comparison))


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MinedLoss(MetricLoss):
    """Base of losses that select keys for each query and use only these.

    Mining computes all distances, a block of rows at a time and without a gradient. The
    distances of the selected pairs are then recomputed exactly from their embeddings, so the
    gradient only costs as much as these pairs, not another matrix product.

    A subclass writes `select` and `selected_loss`.
    """

    def select(self, pairs: Pairs) -> Any:
        """Selects keys for each query.

        Args:
            pairs: Some queries against all keys.

        Returns:
            A structure of arrays `[queries, ...]` for `selected_loss`: rows of keys, and
            masks of those that count.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `select`.")

    def selected_loss(self, queries: Tensor, keys: Tensor, selection: Any) -> Tensor:
        """The loss of each query `[queries]` from what `select` returned."""
        raise NotImplementedError(f"{type(self).__name__} must implement `selected_loss`.")

    def losses(self, comparison: Comparison) -> Tensor:
        selection = comparison.mine(self.select)
        queries, keys = (
            self.embeddings(side.outputs) for side in (comparison.queries, comparison.keys)
        )
        return self.selected_loss(queries, keys, selection)


class PairwiseValuesLoss(MetricLoss):
    """Base of losses for which `distance=None` means that `y_pred` holds pairwise values.

    A subclass writes the formula for embeddings, `values_loss` for pairwise values, and
    `checked_values` to check these.
    """

    def values_loss(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each example from pairwise values: `[batch]`."""
        raise NotImplementedError(f"{type(self).__name__} must implement `values_loss`.")

    def checked_values(self, y_pred: Any) -> Tensor:
        """Pairwise values in the shape that `values_loss` expects, or a ValueError."""
        raise NotImplementedError(f"{type(self).__name__} must implement `checked_values`.")

    def checked_predictions(self, y_pred: Any) -> Tensor:
        if self.distance is not None:
            return super().checked_predictions(y_pred)
        return self.checked_values(wide_float(y_pred))

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if self.distance is None:
            return self.values_loss(y_true, y_pred)
        return super().call(y_true, y_pred)


def _by_name(name: str) -> Any:
    return distances.get(name) if name in distances.names() else None


def checked_metric_loss(loss: object) -> MetricLoss:
    """The `loss` argument of a loss that calls another one on pairs; its config is read, too.

    Raises:
        TypeError: If it is not a `MetricLoss`.
    """
    expected = "a loss on pairs of embeddings, a MetricLoss such as TripletLoss()"
    return given_loss(loss, MetricLoss, expected)
