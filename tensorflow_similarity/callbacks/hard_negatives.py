"""A callback that mines hard negatives again during training."""

from __future__ import annotations

import os
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances
from tensorflow_similarity._atomic_file import replacing
from tensorflow_similarity.callbacks.model_access import (
    distance_of,
    embedder_of,
    record_embedder_of,
)
from tensorflow_similarity.index import Index
from tensorflow_similarity.losses.arguments import checked_number
from tensorflow_similarity.models import HardNegatives
from tensorflow_similarity.models.hard_negatives import search_negatives
from tensorflow_similarity.samplers import QuerySampler

__all__ = ["HardNegativeMining"]


class HardNegativeMining(keras.callbacks.Callback):
    """Mines hard negatives for a `QuerySampler` every n epochs, with the current weights.

    Before such an epoch, all queries and candidates of the sampler are embedded, and the nearest
    candidates that are not a query's own become its negatives: see `mine_hard_negatives`. Where a
    query has too few, random ones fill the gap.

    Args:
        sampler: The sampler given to `fit`. Its `num_negatives` negatives per query are mined.
        every: Epochs between minings. Defaults to 1: before every epoch.
        start: The first epoch, counted from 0, with mined negatives; negatives are random
            before. Defaults to 0. The neighbours found by an untrained network are noise.
        margin: As for `mine_hard_negatives`. Defaults to `None`.
        skip: As for `mine_hard_negatives`. Defaults to 0.
        distance: Distance between embeddings. Defaults to `"auto"`: the distance of the model's
            index.
        search: The engine, as for `mine_hard_negatives`. Defaults to `"exact"`.
        filepath: A file, ending in `.npz`, that stores the latest negatives. A run resumed with
            `initial_epoch` or `BackupAndRestore` starts from them, and so sees the batches of
            an uninterrupted run. Defaults to `None`: a resumed run mines at once, with the
            weights it loaded.
        batch_size: Examples embedded at a time. Defaults to `None`: 128.

    Attributes:
        found: The latest `HardNegatives`; None before the first mining.
        epoch: The epoch before which they were mined, or None.

    Raises:
        TypeError: If the sampler is not a `QuerySampler`.
        ValueError: If a number, the distance or the file name is invalid.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.callbacks import HardNegativeMining
    from tensorflow_similarity.losses import MultiNegativesRankLoss
    from tensorflow_similarity.models import DualEncoder
    from tensorflow_similarity.samplers import QuerySampler

    rng = np.random.default_rng(0)
    items = rng.normal(size=(60, 8)).astype("float32")
    bought = rng.integers(0, 60, size=200)
    queries = items[bought] + 0.3 * rng.normal(size=(200, 8)).astype("float32")

    sampler = QuerySampler(queries, items, bought, batch_size=50, num_negatives=2, seed=0)
    model = DualEncoder(keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]))
    model.compile("adam", loss=MultiNegativesRankLoss(distance="cosine"))
    mining = HardNegativeMining(sampler, every=2, margin=0.0)
    history = model.fit(sampler, epochs=4, callbacks=[mining], verbose=0)
    mining.epoch  # 2
    ```
    """

    def __init__(
        self,
        sampler: QuerySampler,
        every: int = 1,
        start: int = 0,
        margin: float | None = None,
        skip: int = 0,
        distance: Any = "auto",
        search: str = "exact",
        filepath: str | os.PathLike[str] | None = None,
        batch_size: int | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(sampler, QuerySampler):
            raise TypeError(
                "`sampler` must be a QuerySampler, which takes new negatives. Received: "
                f"{type(sampler).__name__}."
            )
        self.sampler = sampler
        self.every = checks.count(every, "every")
        self.start = checks.count(start, "start", minimum=0)
        self.margin = None if margin is None else checked_number(margin, "margin")
        self.skip = checks.count(skip, "skip", minimum=0)
        automatic = isinstance(distance, str) and distance == "auto"
        self.distance = distance if automatic else distances.get(distance)
        # An unknown engine fails now, not after an epoch.
        self.search = Index(1, search=search).search if isinstance(search, str) else search
        self.batch_size = None if batch_size is None else checks.count(batch_size, "batch_size")
        self.filepath = None if filepath is None else checks.file_name(filepath, "filepath")
        if self.filepath is not None and not self.filepath.endswith(".npz"):
            raise ValueError(f"`filepath` must end in .npz. Received: {filepath!r}.")
        self.found: HardNegatives | None = None
        self.epoch: int | None = None
        self._resumes = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Called by Keras."""
        self._resumes = True

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Called by Keras; mines if due."""
        first, self._resumes = self._resumes, False
        if epoch < self.start:
            self.sampler.set_negatives(None)
            return
        due = epoch - (epoch - self.start) % self.every
        if epoch != due and first and (self._has(due) or self._read(due)):
            return
        if epoch == due or first:
            self._mine(epoch)
            self._write()

    def mine(self) -> HardNegatives:
        """Mines now, with the current weights, without changing the sampler."""
        sampler = self.sampler
        queries, candidates = (
            embedder.embed(embedder.batches(x, None, self.batch_size), False, 0)[0]
            for embedder, x in (
                (embedder_of(self.model), sampler.queries),
                (record_embedder_of(self.model), sampler.candidates),
            )
        )
        return search_negatives(  # Where there are fewer, the sampler draws at random.
            queries,
            candidates,
            sampler.query_ids,
            sampler.candidate_ids,
            num_negatives=sampler.num_negatives,
            distance=distance_of(self.model, self.distance),
            margin=self.margin,
            skip=self.skip,
            search=self.search,
        )

    def _mine(self, epoch: int) -> None:
        self.found, self.epoch = self.mine(), epoch
        self.sampler.set_negatives(self.found.rows)

    def _write(self) -> None:
        if self.filepath is not None and self.found is not None:
            with replacing(self.filepath, ".npz") as name:
                np.savez(
                    name,
                    rows=self.found.rows,
                    distances=self.found.distances,
                    epoch=np.int64(self.epoch or 0),
                )

    def _has(self, epoch: int) -> bool:
        """Whether the sampler holds the negatives this callback mined before that epoch."""
        return (
            self.epoch == epoch
            and self.found is not None
            and self.sampler.negatives is not None
            and np.array_equal(self.sampler.negatives, self.found.rows)
        )

    def _read(self, epoch: int) -> bool:
        """Loads the negatives mined before that epoch from the file; False if it has none."""
        if self.filepath is None or not os.path.exists(self.filepath):
            return False
        with np.load(self.filepath, allow_pickle=False) as file:
            if int(file["epoch"]) != epoch:
                return False
            found = HardNegatives(file["rows"], file["distances"])
        self.sampler.set_negatives(found.rows)
        self.found, self.epoch = found, epoch
        return True
