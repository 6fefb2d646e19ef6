"""A callback that tells samplers the epoch of training."""

from __future__ import annotations

from typing import Any

import keras

from tensorflow_similarity._types import Logs
from tensorflow_similarity.samplers._epochs import EpochDataset

__all__ = ["FollowEpochs"]


class FollowEpochs(keras.callbacks.Callback):
    """Tells a sampler which epoch Keras is in, so that a resumed run draws the right batches.

    Keras tells a data set that an epoch begins, but not which one. With this callback, epoch e
    of `fit(initial_epoch=e)`, or of a run resumed by `BackupAndRestore`, has the same batches
    as in an uninterrupted run. `SimilarityModel.fit` adds it by itself. A plain `keras.Model`
    needs it, together with `shuffle=False`: otherwise Keras shuffles the batches of an epoch
    with a seed of its own.

    `fit` from epoch 0 continues from the sampler's current epoch: after
    `fit(sampler, epochs=2)`, a second such call gets the batches of the sampler's epochs 2 and
    3. Set `sampler.epoch = 0` to start over.

    Args:
        sampler: The training sampler.
        validation: The validation sampler, which is set to the epoch of training. Defaults
            to `None`.

    Raises:
        TypeError: If either is not a sampler of this package.

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
        """Called by Keras; remembers the epoch of the sampler."""
        self._first = None

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Called by Keras; sets the epoch of the sampler."""
        if self._first is None:
            # Keras ends an epoch once before the first one.
            self._first, self._offset = epoch, 0 if epoch else max(0, self.sampler.epoch - 1)
        self._current = self._offset + epoch
        self.sampler.epoch = self._current

    def on_test_begin(self, logs: Logs = None) -> None:
        """Called by Keras; sets the epoch of the validation sampler."""
        if self.validation is not None and self._first is not None:
            self.validation.epoch = self._current

    def on_train_end(self, logs: Logs = None) -> None:
        """Called by Keras; leaves the sampler at the next epoch."""
        if self._first is not None:
            # An epoch in which training stopped does not count as finished.
            self.sampler.epoch = self._current + 1
            self._first = None
