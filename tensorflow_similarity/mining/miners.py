"""Miners, which select pairs for a loss.

A `MiningStrategy` selects among the positives or the negatives of a query; a miner sees both,
with the distances of the loss. `StrategyMiner` combines two strategies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tensorflow_similarity._configured import Configured
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.mining.pairs import Pairs
from tensorflow_similarity.mining.sorting import places_beyond, sort_rows
from tensorflow_similarity.mining.strategies import (
    All,
    MiningStrategy,
    at,
    get_negative,
    get_positive,
    strategy_config,
)

__all__ = [
    "CallableMiner",
    "DistanceRangeMiner",
    "DistanceWeightedMiner",
    "Miner",
    "MultiSimilarityMiner",
    "PairMarginMiner",
    "StrategyMiner",
    "TripletMarginMiner",
    "content_noise",
    "get_miner",
    "numbers_from",
]


class Miner(Configured):
    """Base of miners. A subclass writes `keep`, and `get_config` if it has arguments.

    A loss with `mining=` only uses the pairs that its miner keeps.

    Example:

    ```python
    import keras
    from tensorflow_similarity.losses import SupConLoss
    from tensorflow_similarity.mining import Miner

    @keras.saving.register_keras_serializable(package="mine")
    class FarPositives(Miner):
        def keep(self, pairs):
            return pairs.distances > 0.1, pairs.negatives

    loss = SupConLoss(mining=FarPositives())
    ```
    """

    #: Names of the distances it supports; None for all.
    distances: tuple[str, ...] | None = None

    def keep(self, pairs: Pairs) -> tuple[Any, Any]:
        """Selects the pairs to keep.

        Args:
            pairs: Some queries against all keys; distances and embeddings are constants to
                the gradient.

        Returns:
            Masks of positives and of negatives, bool `[queries, keys]` each. Positives
            can only be selected among positives, negatives among negatives.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `keep`.")

    def __call__(self, pairs: Pairs) -> Pairs:
        """The same queries and keys, with only the selected pairs."""
        constant = {
            name: ops.stop_gradient(getattr(pairs, name))
            for name in ("distances", "queries", "keys")
            if getattr(pairs, name) is not None
        }
        positives, negatives = self.keep(pairs._replace(**constant))
        return pairs._replace(
            positives=ops.logical_and(pairs.positives, positives),
            negatives=ops.logical_and(pairs.negatives, negatives),
        )


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class StrategyMiner(Miner):
    """Combines a strategy for positives and one for negatives.

    The arguments `positive_mining_strategy` and `negative_mining_strategy` of losses make such
    a miner. Negatives are mined relative to the farthest positive kept, which matters for
    `"semi-hard"`.

    Args:
        positive_mining_strategy: `"easy"`, `"hard"`, `"all"` (the default) or a
            `MiningStrategy`.
        negative_mining_strategy: `"easy"`, `"hard"`, `"semi-hard"`, `"all"` (the default) or
            a `MiningStrategy`.

    Raises:
        ValueError: If there is no strategy of that name.
        TypeError: If it is neither a name nor a `MiningStrategy`.

    Example:

    ```python
    from tensorflow_similarity.losses import SupConLoss
    from tensorflow_similarity.mining import StrategyMiner

    loss = SupConLoss(mining=StrategyMiner(positive_mining_strategy="easy"))
    ```
    """

    def __init__(
        self,
        positive_mining_strategy: str | MiningStrategy = "all",
        negative_mining_strategy: str | MiningStrategy = "all",
    ) -> None:
        self.positive_mining_strategy = get_positive(positive_mining_strategy)
        self.negative_mining_strategy = get_negative(negative_mining_strategy)

    @property
    def keeps_all(self) -> bool:
        """Whether it keeps all pairs."""
        strategies = self.positive_mining_strategy, self.negative_mining_strategy
        return all(type(strategy) is All for strategy in strategies)

    def keep(self, pairs: Pairs) -> tuple[Any, Any]:
        distances, negatives = pairs.distances, pairs.negatives
        nothing = ops.zeros_like(distances[:, 0])
        positives = self.positive_mining_strategy.keep(distances, pairs.positives, nothing)
        if type(self.negative_mining_strategy) is not All:
            farthest = _highest(distances, positives)[:, 0]
            negatives = self.negative_mining_strategy.keep(distances, negatives, farthest)
        return positives, negatives

    def pick(self, pairs: Pairs) -> tuple[Any, Any, Any]:
        """Picks one positive and one negative for each query.

        Args:
            pairs: Some queries against all keys, without a gradient.

        Returns:
            The picked keys, int `[queries]` each, and which queries have both, bool `[queries]`.
        """
        nothing = ops.zeros_like(pairs.distances[:, 0])
        positive = self.positive_mining_strategy.pick(pairs.distances, pairs.positives, nothing)
        threshold = at(pairs.distances, positive)
        negative = self.negative_mining_strategy.pick(pairs.distances, pairs.negatives, threshold)
        return (
            positive,
            negative,
            ops.logical_and(at(pairs.positives, positive), at(pairs.negatives, negative)),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "positive_mining_strategy": strategy_config(self.positive_mining_strategy, "positive"),
            "negative_mining_strategy": strategy_config(self.negative_mining_strategy, "negative"),
        }


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class CallableMiner(Miner):
    """A plain function of `Pairs` as a miner.

    Args:
        function: Takes `Pairs`, and returns masks of the positives and negatives to
            keep, or `Pairs` with these. To be saved with a model, it must be registered
            with `keras.saving.register_keras_serializable`.

    Raises:
        TypeError: If `function` cannot be called.

    Example:

    ```python
    from tensorflow_similarity.losses import SupConLoss
    from tensorflow_similarity.mining import CallableMiner

    near = CallableMiner(lambda pairs: (pairs.positives, pairs.distances < 0.5))
    loss = SupConLoss(mining=near)  # mining=lambda pairs: … is the same
    ```
    """

    def __init__(self, function: Callable[[Pairs], Any]) -> None:
        if isinstance(function, dict):
            function = keras.saving.deserialize_keras_object(function)
        if not callable(function):
            raise TypeError(f"`function` must be callable. Received: {function!r}.")
        self.function = function

    def keep(self, pairs: Pairs) -> tuple[Any, Any]:
        kept = self.function(pairs)
        if isinstance(kept, Pairs):
            return kept.positives, kept.negatives
        positives, negatives = kept
        return ops.cast(positives, "bool"), ops.cast(negatives, "bool")

    def get_config(self) -> dict[str, Any]:
        return {"function": keras.saving.serialize_keras_object(self.function)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CallableMiner) and self.function == other.function

    __hash__ = Configured.__hash__

    def __repr__(self) -> str:
        return f"CallableMiner({getattr(self.function, '__name__', self.function)})"


def _lowest(distances: Tensor, mask: Tensor) -> Tensor:
    """The smallest distance of each row where `mask`, `[rows, 1]`; inf if there is none."""
    return ops.min(ops.where(mask, distances, float("inf")), axis=1, keepdims=True)


def _highest(distances: Tensor, mask: Tensor) -> Tensor:
    """The largest distance of each row where `mask`, `[rows, 1]`; -inf if there is none."""
    return -_lowest(-distances, mask)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MultiSimilarityMiner(Miner):
    """Positives farther than the nearest negative, negatives nearer than the farthest positive.

    Args:
        epsilon: Tolerance for easier pairs, in units of the distance.

    Example:

    ```python
    from tensorflow_similarity.losses import ContrastiveLoss
    from tensorflow_similarity.mining import MultiSimilarityMiner

    loss = ContrastiveLoss(distance="cosine", mining=MultiSimilarityMiner(epsilon=0.2))
    ```

    Reference:
        Wang et al., *Multi-Similarity Loss with General Pair Weighting for Deep
        Metric Learning*, CVPR 2019, https://arxiv.org/abs/1904.06627
    """

    def __init__(self, epsilon: float = 0.1) -> None:
        self.epsilon = float(epsilon)

    def keep(self, pairs: Pairs) -> tuple[Any, Any]:
        distances, positives, negatives, *_ = pairs
        return (
            ops.logical_and(positives, distances > _lowest(distances, negatives) - self.epsilon),
            ops.logical_and(negatives, distances < _highest(distances, positives) + self.epsilon),
        )

    def get_config(self) -> dict[str, Any]:
        return {"epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class PairMarginMiner(Miner):
    """Positives farther than one margin, negatives nearer than another.

    Args:
        positive_margin: Positives nearer than this are left out.
        negative_margin: Negatives farther than this are left out.

    Example:

    ```python
    from tensorflow_similarity.losses import SupConLoss
    from tensorflow_similarity.mining import PairMarginMiner

    loss = SupConLoss(mining=PairMarginMiner(positive_margin=0.1, negative_margin=0.6))
    ```
    """

    def __init__(self, positive_margin: float = 0.2, negative_margin: float = 0.8) -> None:
        self.positive_margin = float(positive_margin)
        self.negative_margin = float(negative_margin)

    def keep(self, pairs: Pairs) -> tuple[Any, Any]:
        distances, positives, negatives, *_ = pairs
        return (
            ops.logical_and(positives, distances > self.positive_margin),
            ops.logical_and(negatives, distances < self.negative_margin),
        )

    def get_config(self) -> dict[str, Any]:
        return {"positive_margin": self.positive_margin, "negative_margin": self.negative_margin}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class DistanceRangeMiner(Miner):
    """Pairs within a range of distances, ends included: one for positives, one for negatives.

    It restricts the pairs among which the strategies of a loss mine, for example to exclude
    outliers from the hardest positives, and mislabelled positives from the nearest negatives.

    Args:
        positive_range: Two numbers, in units of the distance. Defaults to `None`: any.
        negative_range: Likewise, for negatives.

    Raises:
        ValueError: If a range is not two numbers in ascending order.

    Relations: `allowed_pos_range` and `allowed_neg_range` of pytorch-metric-learning's
    `BatchEasyHardMiner`. `PairMarginMiner` has one bound for each.

    Example:

    ```python
    from tensorflow_similarity.losses import TripletLoss
    from tensorflow_similarity.mining import DistanceRangeMiner

    loss = TripletLoss(
        positive_mining_strategy="hard",
        negative_mining_strategy="hard",
        mining=DistanceRangeMiner(positive_range=(0.0, 0.8), negative_range=(0.1, 2.0)),
    )
    ```
    """

    def __init__(
        self,
        positive_range: tuple[float, float] | None = None,
        negative_range: tuple[float, float] | None = None,
    ) -> None:
        self.positive_range = _checked_range(positive_range, "positive_range")
        self.negative_range = _checked_range(negative_range, "negative_range")

    def keep(self, pairs: Pairs) -> tuple[Any, Any]:
        distances, positives, negatives, *_ = pairs
        return (
            _within(distances, positives, self.positive_range),
            _within(distances, negatives, self.negative_range),
        )

    def get_config(self) -> dict[str, Any]:
        return {"positive_range": self.positive_range, "negative_range": self.negative_range}


def _checked_range(ends: Any, name: str) -> tuple[float, float] | None:
    if ends is None:
        return None
    try:
        low, high = (float(end) for end in ends)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not low <= high:
        raise ValueError(
            f"`{name}` must be two numbers in ascending order, such as (0.1, 0.8), or None. "
            f"Received: {ends!r}."
        )
    return low, high


def _within(distances: Any, mask: Any, ends: tuple[float, float] | None) -> Any:
    if ends is None:
        return mask
    inside = ops.logical_and(distances >= ends[0], distances <= ends[1])
    return ops.logical_and(mask, inside)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class TripletMarginMiner(Miner):
    """Keeps the pairs that are in at least one triplet of the given type.

    By the gap `d(a, n) - d(a, p)` of a triplet, the types are: `"all"`, a gap of at most
    `margin`; `"hard"`, at most 0; `"semi-hard"`, above 0 and at most `margin`; `"easy"`,
    above `margin`. Triplets are not materialised.

    Args:
        margin: The margin, in units of the distance.
        type_of_triplets: `"all"` (the default), `"hard"`, `"semi-hard"` or
            `"easy"`.

    Raises:
        ValueError: If there is no such type.

    Example:

    ```python
    from tensorflow_similarity.losses import MultiSimilarityLoss
    from tensorflow_similarity.mining import TripletMarginMiner

    miner = TripletMarginMiner(margin=0.1, type_of_triplets="semi-hard")
    loss = MultiSimilarityLoss(epsilon=None, mining=miner)
    ```
    """

    def __init__(self, margin: float = 0.2, type_of_triplets: str = "all") -> None:
        kinds = ("all", "hard", "semi-hard", "easy")
        kind = str(type_of_triplets).lower().replace("_", "-").replace("semihard", "semi-hard")
        if kind not in kinds:
            raise ValueError(
                f"`type_of_triplets` must be one of {list(kinds)}. Received: {type_of_triplets!r}."
            )
        self.margin = float(margin)
        self.type_of_triplets = kind

    def keep(self, pairs: Pairs) -> tuple[Any, Any]:
        distances, positives, negatives, *_ = pairs
        if self.type_of_triplets == "semi-hard":
            return self._semi_hard(distances, positives, negatives)
        margin = 0.0 if self.type_of_triplets == "hard" else self.margin
        if self.type_of_triplets == "easy":
            in_one = (
                _highest(distances, negatives) - distances > margin,
                distances - _lowest(distances, positives) > margin,
            )
        else:
            in_one = (
                _lowest(distances, negatives) - distances <= margin,
                distances - _highest(distances, positives) <= margin,
            )
        return ops.logical_and(positives, in_one[0]), ops.logical_and(negatives, in_one[1])

    def _semi_hard(
        self, distances: Tensor, positives: Tensor, negatives: Tensor
    ) -> tuple[Any, Any]:
        # The next negative beyond a positive, and the next positive before a negative.
        beyond = _next_beyond(distances, negatives)
        before = -_next_beyond(-distances, positives)
        return (
            ops.logical_and(positives, beyond - distances <= self.margin),
            ops.logical_and(negatives, distances - before <= self.margin),
        )

    def get_config(self) -> dict[str, Any]:
        return {"margin": self.margin, "type_of_triplets": self.type_of_triplets}


def _next_beyond(values: Tensor, mask: Tensor) -> Tensor:
    """The smallest value of the same row above each, where `mask`; inf if there is none."""
    ordered, _ = sort_rows(ops.where(mask, values, float("inf")))
    ordered = ops.concatenate([ordered, ops.full_like(ordered[:, :1], float("inf"))], axis=1)
    return ops.take_along_axis(ordered, places_beyond(ordered[:, :-1], values), axis=1)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class DistanceWeightedMiner(Miner):
    """Samples as many negatives as a query has positives, evenly over distances.

    Random points on a high-dimensional sphere are nearly all `sqrt(2)` apart, and so are
    uniformly sampled negatives. Here a negative at distance d is sampled with a weight
    inverse to the density of distances between random points,
    `d^(dim - 2) (1 - d^2 / 4)^((dim - 3) / 2)`. All positives are kept.

    Sampling is without replacement, and depends only on the embeddings and `seed`: the same
    embeddings give the same sample, in any order and in blocks of any size.

    Args:
        cutoff: Smaller distances are raised to this one, so that noisy pairs are not
            sampled all the time.
        nonzero_loss_cutoff: Negatives at this distance or beyond are not sampled, since
            their loss would be 0.
        seed: Integer, the seed of the sampling.

    Requirements: normalised embeddings and `distance="euclidean"`.

    Example:

    ```python
    from tensorflow_similarity.losses import MarginLoss
    from tensorflow_similarity.mining import DistanceWeightedMiner

    loss = MarginLoss(mining=DistanceWeightedMiner(cutoff=0.5))
    ```

    Reference:
        Wu et al., *Sampling Matters in Deep Embedding Learning*, ICCV 2017,
        https://arxiv.org/abs/1706.07567
    """

    distances = ("euclidean",)

    def __init__(
        self, cutoff: float = 0.5, nonzero_loss_cutoff: float = 1.4, seed: int = 0
    ) -> None:
        if not 0 < cutoff < 2:
            raise ValueError(f"`cutoff` must be between 0 and 2. Received: {cutoff!r}.")
        self.cutoff = float(cutoff)
        self.nonzero_loss_cutoff = float(nonzero_loss_cutoff)
        self.seed = int(seed)

    def log_weights(self, distances: Tensor, dim: int) -> Tensor:
        """The logarithms of the weights, up to a constant: `[queries, keys]`."""
        distances = ops.clip(distances, self.cutoff, 2 - 1e-3)
        towards = (dim - 2) * ops.log(distances)
        across = (dim - 3) / 2 * ops.log1p(-ops.square(distances) / 4)
        return -(towards + across)

    def keep(self, pairs: Pairs) -> tuple[Any, Any]:
        distances, positives, negatives, *_ = pairs
        candidates = ops.logical_and(negatives, distances < self.nonzero_loss_cutoff)
        weights = self.log_weights(distances, int(pairs.keys.shape[1]))
        # The largest weights with Gumbel noise are a sample without replacement.
        uniform = content_noise(pairs.queries, pairs.keys, self.seed)
        noise = -ops.log(-ops.log(ops.cast(uniform, distances.dtype)))
        drawn = ops.where(candidates, -(weights + noise), float("inf"))
        ordered, _ = sort_rows(drawn)
        wanted = ops.sum(ops.cast(positives, "int32"), axis=1, keepdims=True)
        last = ops.take_along_axis(ordered, ops.maximum(wanted - 1, 0), axis=1)
        chosen = ops.logical_and(drawn <= last, wanted > 0)
        return positives, ops.logical_and(candidates, chosen)

    def get_config(self) -> dict[str, Any]:
        return {
            "cutoff": self.cutoff,
            "nonzero_loss_cutoff": self.nonzero_loss_cutoff,
            "seed": self.seed,
        }


_BITS = 23  # As many as a float32 holds.


def content_noise(queries: Tensor, keys: Tensor, seed: int = 0) -> Tensor:
    """Uniform random numbers of pairs, float32 `[queries, keys]`, above 0 and below 1.

    They are hashed from the embeddings. A random generator would need state, which a loss cannot
    keep, and would give other numbers when the backward pass recomputes a block. Hashes are the
    same in any order and in blocks of any size, and change from step to step with the embeddings.

    Args:
        queries: Embeddings `[queries, dim]`.
        keys: Embeddings `[keys, dim]`.
        seed: Integer; another one gives other numbers.
    """
    mixed = _hash(_hash(_signatures(queries)) + (seed & 0x7FFFFFFF))[:, None]
    mixed = _hash(mixed + _hash(_signatures(keys))[None, :] * 3)
    return (ops.cast(ops.bitwise_and(mixed, 2**_BITS - 1), "float32") + 0.5) / 2**_BITS


def numbers_from(integers: Tensor, count: int, seed: int = 0) -> Any:
    """Random integers from 0 up, int32 `[count]`, hashed from others, in whatever order these are.

    Args:
        integers: int32 `[n]`.
        count: How many numbers.
        seed: Integer; another one gives other numbers.
    """
    every = ops.sum(_hash(integers))
    mixed = _hash(ops.arange(count, dtype="int32") * 3 + _hash(every + (seed & 0x7FFFFFFF)))
    return ops.bitwise_and(_hash(mixed), 0x7FFFFFFF)


def _signatures(embeddings: Tensor) -> Tensor:
    """An integer for each row, which depends on its direction: int32 `[rows]`."""
    embeddings = ops.cast(ops.stop_gradient(embeddings), "float32")
    dim = int(embeddings.shape[1])
    scale = ops.max(ops.abs(embeddings), axis=1, keepdims=True)
    whole = ops.cast(embeddings / ops.where(scale > 0, scale, 1) * 2.0**_BITS, "int32")
    # A sum of integers is the same in any order, whatever a compiler makes of it.
    factors = ops.convert_to_tensor([(2 * i + 1) * 40503 for i in range(dim)], dtype="int32")
    return ops.sum(whole * factors, axis=1)


def _hash(x: Tensor) -> Tensor:
    """Scatters int32 values over all of int32: a bijection; overflow wraps around."""
    for shift, factor in ((16, 0x7FEB352D), (15, -0x7B935975), (16, 1)):
        # The shift is logical: bits that the sign fills in are cleared.
        high = ops.bitwise_and(ops.bitwise_right_shift(x, shift), (1 << (32 - shift)) - 1)
        x = ops.bitwise_xor(x, high) * factor
    return x


_BY_NAME: dict[str, type[Miner]] = {
    "multi_similarity": MultiSimilarityMiner,
    "pair_margin": PairMarginMiner,
    "triplet_margin": TripletMarginMiner,
    "distance_weighted": DistanceWeightedMiner,
}


def get_miner(mining: object) -> Miner | None:
    """Resolves a miner.

    Args:
        mining: `"multi_similarity"`, `"pair_margin"`, `"triplet_margin"`,
            `"distance_weighted"`, a `Miner`, its serialised config, a function of
            `Pairs` (see `CallableMiner`), or None for no mining.

    Raises:
        ValueError: If no miner has that name.
        TypeError: If it is not one of these.

    Example:

    ```python
    from tensorflow_similarity import mining

    mining.get_miner("pair_margin")  # PairMarginMiner(positive_margin=0.2, negative_margin=0.8)
    ```
    """
    if isinstance(mining, dict):
        mining = keras.saving.deserialize_keras_object(mining)
    if mining is None or isinstance(mining, Miner):
        return mining
    if isinstance(mining, str):
        key = mining.lower().replace("-", "_")
        if key in _BY_NAME:
            return _BY_NAME[key]()
        raise ValueError(
            f"`mining` must be one of {list(_BY_NAME)}, a Miner object or a function of Pairs. "
            f"Received: {mining!r}."
        )
    if isinstance(mining, type) and issubclass(mining, Miner):
        return mining()
    if callable(mining):
        return CallableMiner(mining)
    raise TypeError(
        f"`mining` must be one of {list(_BY_NAME)}, a Miner object or a function of Pairs. "
        f"Received: {mining!r}."
    )
