"""Samplers that follow the epochs of training."""

from __future__ import annotations

from typing import Any

import keras

from tensorflow_similarity._types import Logs
from tensorflow_similarity.samplers._epochs import EpochDataset

__all__ = ["FollowEpochs"]


class FollowEpochs(keras.callbacks.Callback):
    """Tells a sampler which epoch Keras is in, so that a resumed run draws the right batches.

    Keras tells a data set that an epoch begins, and not which. With this callback, epoch e of
    `fit(initial_epoch=e)`, or of a run that `BackupAndRestore` continues, has the batches that
    it has in a run without an interruption. `SimilarityModel.fit` adds it by itself; a plain
    `keras.Model` needs it, and `shuffle=False`: Keras mixes the batches of an epoch otherwise,
    by a seed that is not the sampler's.

    `fit` from epoch 0 goes on where the sampler is: after `fit(sampler, epochs=2)`, another
    one has the batches of the sampler's epochs 2 and 3. Set `sampler.epoch = 0` to begin again.

    Args:
        sampler: The sampler of training.
        validation: The sampler of validation, whose epoch is then that of training. Defaults
            to `None`.

    Raises:
        TypeError: If one is no sampler of this package.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.samplers import FollowEpochs, MultiShotMemorySampler

    x, y = np.random.rand(40, 8), np.arange(40) % 4
    sampler = MultiShotMemorySampler(x, y, steps_per_epoch=5, seed=0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(
        sampler, initial_epoch=2, epochs=3, shuffle=False, verbose=0,
        callbacks=[FollowEpochs(sampler)],
    )
    sampler.epoch  # 3
    ```
    """

    def __init__(self, sampler: Any, validation: Any = None) -> None:
        super().__init__()
        for name, value in (("sampler", sampler), ("validation", validation)):
            if not isinstance(value, EpochDataset) and not (name == "validation" and value is None):
                raise TypeError(
                    f"`{name}` must be a sampler of this package, such as "
                    f"MultiShotMemorySampler. Received: {value!r}."
                )
        self.sampler, self.validation = sampler, validation
        self._first: int | None = None
        self._offset, self._current = 0, 0

    def on_train_begin(self, logs: Logs = None) -> None:
        """Remembers where the sampler is."""
        self._first = None

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Tells the sampler which epoch begins."""
        if self._first is None:
            # Keras has ended an epoch already, before the first one.
            self._first, self._offset = epoch, 0 if epoch else max(0, self.sampler.epoch - 1)
        self._current = self._offset + epoch
        self.sampler.epoch = self._current

    def on_test_begin(self, logs: Logs = None) -> None:
        """Tells the sampler of validation which epoch it is."""
        if self.validation is not None and self._first is not None:
            self.validation.epoch = self._current

    def on_train_end(self, logs: Logs = None) -> None:
        """Leaves the sampler at the epoch that comes next."""
        if self._first is not None:
            # Training that was stopped within an epoch has not ended it.
            self.sampler.epoch = self._current + 1
            self._first = None
