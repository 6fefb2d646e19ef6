"""When a callback runs: every epoch, or every so many steps."""

from __future__ import annotations

from tensorflow_similarity import _checks as checks

__all__ = ["Schedule"]


class Schedule:
    """Counts training steps and tells when a callback is due.

    Args:
        freq: `"epoch"`, or a number of steps.

    Attributes:
        steps: Steps since training began, across epochs.

    Raises:
        ValueError: If `freq` is neither.
    """

    def __init__(self, freq: object) -> None:
        if isinstance(freq, str) and freq != "epoch":
            raise ValueError(f"`freq` must be 'epoch' or a number of steps. Received: {freq!r}.")
        self.every = None if isinstance(freq, str) else checks.count(freq, "freq")
        self.begin()

    def begin(self) -> None:
        """Resets the counts; call when training begins."""
        self.steps = 0
        self._before_epoch = 0

    def begin_epoch(self) -> None:
        """Call when an epoch begins."""
        self._before_epoch = self.steps

    def end_batch(self, batch: int) -> bool:
        """Counts step number `batch` of the epoch, and returns whether the callback is due.

        Keras may run several steps between two calls (`steps_per_execution`).
        """
        before, self.steps = self.steps, self._before_epoch + batch + 1
        return self.every is not None and self.steps // self.every > before // self.every
