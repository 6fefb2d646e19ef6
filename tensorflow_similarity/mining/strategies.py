"""Mining strategies, which select positives or negatives of a query.

The functions select one key per row; strategies wrap them as objects with a config.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._configured import Configured
from tensorflow_similarity._types import Tensor

__all__ = [
    "All",
    "Farthest",
    "MiningStrategy",
    "Nearest",
    "SemiHard",
    "at",
    "farthest",
    "get_negative",
    "get_positive",
    "nearest",
    "nearest_beyond",
    "strategy_config",
]

# Columns that a first pass reduces to: the minimum over the middle axis of
# [rows, groups, 64] runs at memory speed, where an argmin over whole rows of
# floats takes several passes in Keras.
_WIDTH = 64


def at(values: Tensor, index: Tensor) -> Tensor:
    """`values[i, index[i]]`: one entry of each row, `[rows, keys]`, `[rows]` -> `[rows]`."""
    return ops.take_along_axis(values, index[:, None], axis=1)[:, 0]


def _place_of_minimum(values: Tensor) -> Tensor:
    """The place of each row's minimum, int32 `[rows]`; one of them where several are equal."""
    keys = values.shape[1]
    if keys is None or keys % _WIDTH or keys <= _WIDTH:
        lowest = ops.min(values, axis=1, keepdims=True)
        return ops.argmax(ops.equal(values, lowest), axis=1)
    groups = ops.reshape(values, (-1, keys // _WIDTH, _WIDTH))
    column = ops.argmin(ops.min(groups, axis=1), axis=1)
    candidates = ops.take_along_axis(groups, column[:, None, None], axis=2)[:, :, 0]
    return ops.argmin(candidates, axis=1) * _WIDTH + column


def nearest(distances: Tensor, candidates: Tensor) -> Tensor:
    """The position of the nearest candidate in each row.

    Args:
        distances: `[rows, keys]`.
        candidates: Bool `[rows, keys]`.

    Returns:
        Integer `[rows]`. For a row without a candidate, an arbitrary position: check
        `at(candidates, place)`.
    """
    return _place_of_minimum(ops.where(candidates, distances, float("inf")))


def farthest(distances: Tensor, candidates: Tensor) -> Tensor:
    """The position of the farthest candidate in each row; otherwise like `nearest`."""
    return _place_of_minimum(ops.where(candidates, -distances, float("inf")))


def nearest_beyond(
    distances: Tensor, candidates: Tensor, thresholds: Tensor, number: Tensor | None = None
) -> Tensor:
    """The positions of the nearest candidates strictly farther than thresholds.

    If no candidate is farther, the farthest one: FaceNet's semi-hard mining, as in
    TensorFlow Addons. Each threshold takes a pass over the row.

    Args:
        distances: `[rows, keys]`.
        candidates: Bool `[rows, keys]`.
        thresholds: `[rows, m]`.
        number: Number of thresholds to use, an integer scalar; None for all m.

    Returns:
        int32 `[rows, m]`; see `nearest`.
    """
    masked = ops.where(candidates, distances, -float("inf"))
    last = ops.cast(_place_of_minimum(-masked), "int32")
    slots = ops.arange(thresholds.shape[1], dtype="int32")[None, :]

    def step(slot: Tensor, places: Tensor) -> tuple[Any, Any]:
        this = ops.equal(slots, slot)
        threshold = ops.sum(ops.where(this, thresholds, 0), axis=1)
        beyond = ops.where(masked > threshold[:, None], masked, float("inf"))
        place = ops.cast(_place_of_minimum(beyond), "int32")
        found = at(beyond, place) < float("inf")
        return slot + 1, ops.where(this, ops.where(found, place, last)[:, None], places)

    places = ops.zeros_like(thresholds, dtype="int32")
    if thresholds.shape[1] == 1:
        return step(ops.zeros((), dtype="int32"), places)[1]
    number = ops.convert_to_tensor(thresholds.shape[1] if number is None else number, "int32")
    return ops.while_loop(
        lambda slot, places: slot < number, step, (ops.zeros_like(number), places)
    )[1]


class MiningStrategy(Configured):
    """Base of mining strategies. A subclass writes `pick`, or `keep`, or both.

    Strategies see distances and a mask of candidates (positive or negative pairs), but not
    labels, and work for both sides: the hard positive and the easy negative are both
    `Farthest`.
    """

    def pick(self, distances: Tensor, candidates: Tensor, thresholds: Tensor) -> Tensor:
        """Picks one key for each query.

        Args:
            distances: Float `[queries, keys]`.
            candidates: Bool `[queries, keys]`.
            thresholds: Float `[queries]`, the distance of the mined positive; zeros while
                positives are mined.

        Returns:
            int32 `[queries]`; any key if a query has no candidate.
        """
        raise NotImplementedError(f"{type(self).__name__} does not pick a single key per query.")

    def keep(self, distances: Tensor, candidates: Tensor, thresholds: Tensor) -> Tensor:
        """The mask of the candidates that are kept, bool `[queries, keys]`.

        By default, the one returned by `pick`.
        """
        place = self.pick(distances, candidates, thresholds)
        keys = ops.arange(ops.shape(distances)[1], dtype=place.dtype)
        return ops.logical_and(candidates, ops.equal(keys[None, :], place[:, None]))


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class Nearest(MiningStrategy):
    """The nearest candidate: the easy positive, the hard negative."""

    def pick(self, distances: Tensor, candidates: Tensor, thresholds: Tensor) -> Tensor:
        return nearest(distances, candidates)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class Farthest(MiningStrategy):
    """The farthest candidate: the hard positive, the easy negative."""

    def pick(self, distances: Tensor, candidates: Tensor, thresholds: Tensor) -> Tensor:
        return farthest(distances, candidates)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SemiHard(MiningStrategy):
    """The nearest negative strictly farther than the mined positive.

    If there is none, the farthest negative.

    Reference:
        Schroff et al., *FaceNet*, CVPR 2015, https://arxiv.org/abs/1503.03832
    """

    def pick(self, distances: Tensor, candidates: Tensor, thresholds: Tensor) -> Tensor:
        return nearest_beyond(distances, candidates, thresholds[:, None])[:, 0]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class All(MiningStrategy):
    """Every candidate."""

    def keep(self, distances: Tensor, candidates: Tensor, thresholds: Tensor) -> Tensor:
        return candidates


_POSITIVE: dict[str, type[MiningStrategy]] = {"easy": Nearest, "hard": Farthest, "all": All}
_NEGATIVE: dict[str, type[MiningStrategy]] = {
    "easy": Farthest,
    "hard": Nearest,
    "semi-hard": SemiHard,
    "all": All,
}


def _get(strategy: object, side: str, known: dict[str, type[MiningStrategy]]) -> MiningStrategy:
    if isinstance(strategy, dict):
        strategy = keras.saving.deserialize_keras_object(strategy)
    if isinstance(strategy, MiningStrategy):
        return strategy
    if isinstance(strategy, str):
        key = strategy.lower().replace("_", "-").replace("semihard", "semi-hard")
        if key in known:
            return known[key]()
        raise ValueError(
            f"Invalid {side} mining strategy. `{side}_mining_strategy` must be one of "
            f"{list(known)} or a MiningStrategy object. Received: {strategy!r}."
        )
    raise TypeError(
        f"`{side}_mining_strategy` must be one of {list(known)} or a MiningStrategy object. "
        f"Received: {strategy!r}."
    )


def get_positive(strategy: object) -> MiningStrategy:
    """Resolves a strategy for positives: `"easy"`, `"hard"`, `"all"`, or an object.

    Raises:
        ValueError: If no strategy for positives has that name.
        TypeError: If it is neither a name nor a `MiningStrategy`.
    """
    return _get(strategy, "positive", _POSITIVE)


def get_negative(strategy: object) -> MiningStrategy:
    """Resolves a strategy for negatives: `"easy"`, `"hard"`, `"semi-hard"`, `"all"`, or an object.

    Raises:
        ValueError: If no strategy for negatives has that name.
        TypeError: If it is neither a name nor a `MiningStrategy`.
    """
    return _get(strategy, "negative", _NEGATIVE)


def strategy_config(strategy: MiningStrategy, side: str) -> Any:
    """A strategy's name where it has one, else its serialised form."""
    for name, known in (_POSITIVE if side == "positive" else _NEGATIVE).items():
        if known() == strategy:
            return name
    return keras.saving.serialize_keras_object(strategy)
