"""Batches of queries with candidates, and with negatives that may change during training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity.samplers._inputs import as_arrays, number_of_examples
from tensorflow_similarity.samplers.padding import Padding
from tensorflow_similarity.samplers.rows import ShuffledRows

__all__ = ["QuerySampler"]


class QuerySampler(ShuffledRows):
    """Batches of queries for `DualEncoder`, each with its own candidate and with negatives.

    Every query appears once per epoch. Negatives are random until `set_negatives` fixes them; the
    callback `HardNegativeMining` does so repeatedly as training changes which ones are hard.
    Batches depend only on the seed, the epoch, the step and the negatives.

    Args:
        queries: The queries, in any form that `MultiShotMemorySampler` takes as `x`.
        candidates: All candidates, likewise.
        positives: Integers `[queries]`: the row of each query's own candidate.
        batch_size: Queries in a batch; the last batch of an epoch may be smaller. Defaults to
            32.
        num_negatives: Negatives of each query, in addition to the candidates of the other
            queries in its batch. Defaults to 1.
        candidate_ids: Integers `[candidates]` of any size. Candidates with the same id are the
            same item, and none of them is a negative of a query whose own candidate has that
            id. Defaults to `None`: every candidate is an item of its own.
        seed: Integer. Defaults to `None`: a random seed, stored in the attribute `seed`.
        padding: How to pad sequences of different lengths, see `Padding`.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Attributes:
        query_ids: int64 `[queries]`, the id of each query's own candidate.
        candidate_ids: int64 `[candidates]`.
        negatives: int64 `[queries, num_negatives]`, rows of the candidates, -1 for a random
            one; None if all are random.

    Batches are `(queries, {"candidates", "ids", "negatives", "negative_ids"})`, what
    `DualEncoder.fit` takes with `MultiNegativesRankLoss`. That loss leaves out a random negative
    that happens to be the query's own candidate.

    Raises:
        TypeError: If rows or ids are not integers.
        ValueError: If lengths do not match, or a row is out of range.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.samplers import QuerySampler

    queries, items = np.random.rand(40, 8), np.random.rand(10, 8)
    sampler = QuerySampler(queries, items, np.arange(40) % 10, num_negatives=3, seed=0)
    x, y = sampler[0]
    y["negatives"].shape  # (32, 3, 8)
    ```
    """

    def __init__(
        self,
        queries: Any,
        candidates: Any,
        positives: Any,
        batch_size: int = 32,
        num_negatives: int = 1,
        candidate_ids: Any = None,
        seed: int | None = None,
        padding: Padding | None = None,
        **kwargs: Any,
    ) -> None:
        self.queries = as_arrays(queries, "queries")
        self.candidates = as_arrays(candidates, "candidates")
        number = number_of_examples(self.queries, "queries")
        self.num_candidates = number_of_examples(self.candidates, "candidates")
        self.positives = _integers(positives, "positives", (number,))
        self._check_rows(self.positives, "positives", 0)
        self.candidate_ids = (
            np.arange(self.num_candidates)
            if candidate_ids is None
            else _integers(candidate_ids, "candidate_ids", (self.num_candidates,))
        )
        self.query_ids = self.candidate_ids[self.positives]
        # Ids of any size are mapped to 32 bits, which every backend compares.
        self._numbers = np.unique(self.candidate_ids, return_inverse=True)[1].astype(np.int32)
        self.num_negatives = checks.count(num_negatives, "num_negatives")
        self.negatives: np.ndarray | None = None
        super().__init__(number, batch_size, seed, padding, kwargs)

    def set_negatives(self, negatives: Any) -> None:
        """Sets the negatives of the following batches.

        Safe to call while other threads draw: a batch uses either the old or the new ones.

        Args:
            negatives: Integers `[queries, num_negatives]`, rows of the candidates, -1 for a
                random one, such as `HardNegatives.rows`. None: all are random.

        Raises:
            TypeError: If they are not integers.
            ValueError: If the shape is wrong, a row is out of range, or it is one of the
                query's own.
        """
        if negatives is None:
            self.negatives = None
            return
        shape = (self.num_rows, self.num_negatives)
        rows = _integers(negatives, "negatives", shape)
        self._check_rows(rows, "negatives", -1)
        own = (rows >= 0) & (self.candidate_ids[rows] == self.query_ids[:, None])
        if own.any():
            [query, column] = np.argwhere(own)[0]
            raise ValueError(
                "`negatives` must not be the query's own candidates. Received: candidate "
                f"{rows[query, column]} for query {query}, which are of one id."
            )
        self.negatives = rows

    def _check_rows(self, rows: np.ndarray, name: str, least: int) -> None:
        bad = rows[(rows < least) | (rows >= self.num_candidates)]
        if bad.size:
            raise ValueError(
                f"`{name}` must be rows of `candidates`, from {least} to "
                f"{self.num_candidates - 1}. Received: {bad.flat[0]}."
            )

    def _rows(self, rows: np.ndarray, epoch: int, index: int) -> tuple[Any, Any]:
        shape = (len(rows), self.num_negatives)
        negatives = self._generator(epoch, index + 1).integers(self.num_candidates, size=shape)
        mined = self.negatives
        if mined is not None:
            negatives = np.where(mined[rows] >= 0, mined[rows], negatives)
        every = self._taken(self.candidates, negatives.reshape(-1))
        own = self.positives[rows]
        return self._taken(self.queries, rows), {
            "candidates": self._taken(self.candidates, own),
            "ids": self._numbers[own],
            "negatives": _in_rows(every, shape),
            "negative_ids": self._numbers[negatives],
        }

    def __repr__(self) -> str:
        return (
            f"QuerySampler(queries={self.num_rows}, candidates={self.num_candidates}, "
            f"batch_size={self.batch_size}, num_negatives={self.num_negatives}, seed={self.seed})"
        )


def _integers(values: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    found = checks.host_array(values, name)
    if found.dtype.kind not in "iu":
        raise TypeError(f"`{name}` must be integers. Received: dtype {found.dtype}.")
    if found.shape != shape:
        raise ValueError(f"`{name}` must have shape {shape}. Received: {found.shape}.")
    return found.astype(np.int64)


def _in_rows(batch: Any, shape: tuple[int, int]) -> Any:
    """Reshapes consecutive examples into one row per query."""
    return keras.tree.map_structure(
        lambda leaf: (
            keras.ops.reshape(leaf, (*shape, *leaf.shape[1:]))
            if keras.ops.is_tensor(leaf)
            else leaf.reshape(*shape, *leaf.shape[1:])
        ),
        batch,
    )
