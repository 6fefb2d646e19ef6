"""When a callback does its work: each epoch, or every so many steps."""

from __future__ import annotations

from tensorflow_similarity import _checks as checks

__all__ = ["Schedule"]


class Schedule:
    """Counts the steps of training, and says when it is time.

    Args:
        freq: `"epoch"`, or a number of steps.

    Attributes:
        steps: Steps since training began, over all epochs.

    Raises:
        ValueError: If `freq` is neither.
    """

    def __init__(self, freq: object) -> None:
        if isinstance(freq, str) and freq != "epoch":
            raise ValueError(f"`freq` must be 'epoch' or a number of steps. Received: {freq!r}.")
        self.every = None if isinstance(freq, str) else checks.count(freq, "freq")
        self.begin()

    def begin(self) -> None:
        """Training begins."""
        self.steps = 0
        self._before_epoch = 0

    def begin_epoch(self) -> None:
        """An epoch begins."""
        self._before_epoch = self.steps

    def end_batch(self, batch: int) -> bool:
        """A step of training ended, the batch-th of its epoch: whether it is time.

        Keras may run several steps between two calls (`steps_per_execution`).
        """
        before, self.steps = self.steps, self._before_epoch + batch + 1
        return self.every is not None and self.steps // self.every > before // self.every
