"""Data sets whose batches depend only on the epoch and the step."""

from __future__ import annotations

import abc
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks

__all__ = ["EpochDataset", "seed_sequence"]


def seed_sequence(seed: int | None) -> np.random.SeedSequence:
    """The seed as a source of random numbers; a random one for None.

    Its `entropy` is the seed in use, which can be passed again.

    Raises:
        TypeError, ValueError: If the seed is not an integer of at least 0.
    """
    # Random ones have 128 bits.
    if seed is not None and not (isinstance(seed, int) and seed >= 2**63):
        checks.count(seed, "seed", minimum=0)
    return np.random.SeedSequence(seed)


class EpochDataset(keras.utils.PyDataset, abc.ABC):
    """Base of data sets that know their epoch: batch `i` of epoch `e` is always the same.

    Args:
        steps_per_epoch: Number of batches in an epoch.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Attributes:
        epoch: The current epoch, counted from 0.
    """

    def __init__(self, steps_per_epoch: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps_per_epoch = checks.count(steps_per_epoch, "steps_per_epoch")
        self.epoch = 0

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self.steps_per_epoch:
            # IndexError also ends a plain `for` loop over the data set.
            raise IndexError(
                f"The batch must be in [0, {self.steps_per_epoch}). Received: {index}."
            )
        return self._batch(self.epoch, index)

    @abc.abstractmethod
    def _batch(self, epoch: int, index: int) -> Any:
        """Makes a batch."""

    def on_epoch_end(self) -> None:
        """Called by Keras; advances to the next epoch."""
        self.epoch += 1
