"""Batches of pairs and triplets given by the positions of their examples."""

from __future__ import annotations

import abc
import math
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity.samplers._epochs import EpochDataset, seed_sequence
from tensorflow_similarity.samplers._inputs import (
    as_arrays,
    as_batch,
    number_of_examples,
    padded,
    take,
)
from tensorflow_similarity.samplers.padding import Padding, checked_padding
from tensorflow_similarity.targets import Targets

__all__ = ["RowSampler", "ShuffledRows"]


class ShuffledRows(EpochDataset):
    """Base of data sets that yield every row once per epoch, in random order.

    A subclass writes `_rows`.

    Args:
        num_rows: Number of rows.
        batch_size: Rows in a batch; the last batch of an epoch may be smaller.
        seed: Integer; None for a random one.
        padding: As for `RowSampler`.
        **kwargs: As for `RowSampler`.
    """

    def __init__(
        self, num_rows: int, batch_size: int, seed: int | None, padding: Padding | None, kwargs: Any
    ) -> None:
        self.batch_size = checks.count(batch_size, "batch_size")
        self.num_rows = num_rows
        entropy = seed_sequence(seed)
        self.seed = int(entropy.entropy)  # type: ignore[arg-type]
        self._key = entropy.generate_state(2, np.uint64)
        self.padding = checked_padding(padding)
        self._order: tuple[int, np.ndarray] | None = None
        super().__init__(math.ceil(self.num_rows / self.batch_size), **kwargs)

    @abc.abstractmethod
    def _rows(self, rows: np.ndarray, epoch: int, index: int) -> Any:
        """Makes the batch of the given rows."""

    def _batch(self, epoch: int, index: int) -> Any:
        rows = self._permutation(epoch)[index * self.batch_size : (index + 1) * self.batch_size]
        return self._rows(rows, epoch, index)

    def _generator(self, epoch: int, index: int = 0) -> np.random.Generator:
        """Random generator of an epoch (0), or of one of its batches (1 and up)."""
        return np.random.Generator(np.random.Philox(key=self._key, counter=[0, 0, index, epoch]))

    def _permutation(self, epoch: int) -> np.ndarray:
        # Threads may compute it at the same time, with the same result.
        kept = self._order
        if kept is None or kept[0] != epoch:
            order = self._generator(epoch).permutation(self.num_rows)
            kept = self._order = epoch, order
        return kept[1]

    def _taken(self, arrays: Any, rows: np.ndarray) -> Any:
        """Selects examples and pads them to a batch."""
        return as_batch(padded(take(arrays, rows), self.padding))


class RowSampler(ShuffledRows):
    """Batches of given pairs or triplets, in random order; needs no class ids.

    Every pair or triplet appears once per epoch. Batches depend only on the seed, the epoch and
    the step, as in the other samplers.

    Args:
        x: The examples, in any form that `MultiShotMemorySampler` takes.
        targets: `Targets.triplets(anchors, positives, negatives)` or
            `Targets.pairs(same, left, right)`, with positions in `x`.
        batch_size: Pairs or triplets in a batch; the last batch of an epoch may be smaller.
            Defaults to 32.
        seed: Integer. Defaults to `None`: a random seed, stored in the attribute `seed`.
        padding: How to pad sequences of different lengths, see `Padding`.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Batches are `((anchors, positives, negatives),)` or `((left, right), same)`, as
    `SiameseModel.fit` takes them.

    Raises:
        TypeError: If `targets` are neither pairs nor triplets.
        ValueError: If they have no positions, or positions beyond the end of `x`.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.samplers import RowSampler
    from tensorflow_similarity.targets import Targets

    x = np.random.rand(10, 4)
    triplets = Targets.triplets([0, 1, 2], [3, 4, 5], [6, 7, 8])
    sampler = RowSampler(x, triplets, batch_size=2, seed=0)
    ((anchors, positives, negatives),) = sampler[0]  # shapes (2, 4)
    ```
    """

    def __init__(
        self,
        x: object,
        targets: Targets,
        batch_size: int = 32,
        seed: int | None = None,
        padding: Padding | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(targets, Targets) or targets.kind not in ("pairs", "triplets"):
            raise TypeError(
                "`targets` must be Targets.triplets(anchors, positives, negatives) or "
                f"Targets.pairs(same, left, right). Received: {targets!r}."
            )
        self._x = as_arrays(x)
        number = number_of_examples(self._x)
        self._sides = _sides(targets)
        for name, side in self._sides.items():
            bad = side[(side < 0) | (side >= number)]
            if len(bad):
                raise ValueError(
                    f"`{name}` must be positions in `x`, from 0 to {number - 1}. Received: "
                    f"{bad[0]}."
                )
        self._same = targets.same if targets.kind == "pairs" else None  # type: ignore[attr-defined]
        if not len(targets):
            raise ValueError(f"`targets` must have at least one row. Received: {targets!r}.")
        super().__init__(len(targets), batch_size, seed, padding, kwargs)

    def _rows(self, rows: np.ndarray, epoch: int, index: int) -> tuple[Any, ...]:
        sides = tuple(self._taken(self._x, side[rows]) for side in self._sides.values())
        return (sides,) if self._same is None else (sides, self._same[rows])

    def __repr__(self) -> str:
        return (
            f"RowSampler({'triplets' if self._same is None else 'pairs'}={self.num_rows}, "
            f"batch_size={self.batch_size}, seed={self.seed})"
        )


def _sides(targets: Any) -> dict[str, np.ndarray]:
    if targets.kind == "triplets":
        return {name: getattr(targets, name) for name in ("anchors", "positives", "negatives")}
    if targets.left is None:
        raise ValueError(
            "`targets` must have positions: Targets.pairs(same, left, right). Received: pairs "
            "without. Inputs that are pairs already go to SiameseModel.fit((left, right), same)."
        )
    return {"left": targets.left, "right": targets.right}
