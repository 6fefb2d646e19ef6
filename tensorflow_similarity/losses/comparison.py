"""Queries and keys that a loss compares: a batch, and whatever else it is compared with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tensorflow_similarity._blocks import MINING_ROWS, map_row_blocks
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.losses.replicas import ALONE, Replicas
from tensorflow_similarity.mining.pairs import Pairs, matrix, pairs_by_class, pairs_by_relevance

__all__ = ["Comparison", "Examples", "PairSettings"]


@dataclasses.dataclass(frozen=True)
class PairSettings:
    """How pairs are made: what of a loss's arguments has to do with it.

    Attributes:
        distance: The distance.
        relevance: None for class ids, or a function of labels.
        miners: Applied one after the other.
        block_size: Queries at a time.
        embeddings: Takes the embeddings from what the model returned.
    """

    distance: Any
    relevance: Callable[[Any, Any], Any] | None = None
    miners: tuple[Callable[[Pairs], Pairs], ...] = ()
    block_size: int | None = None
    embeddings: Callable[[Any], Any] = lambda outputs: outputs


@dataclasses.dataclass(frozen=True)
class Examples:
    """One side of a comparison.

    Attributes:
        labels: Class ids `[n]`, or what the relevance takes, `[n, ...]`.
        outputs: What the model returned for them, `[n, ...]`.
        known: Bool `[n]`, whose class is known; None for all.
    """

    labels: Any
    outputs: Any
    known: Any = None

    @classmethod
    def of(cls, labels: Any, outputs: Tensor, known: Tensor | None = None) -> Examples:
        """Examples, of which those that are not known may be of any size, NaN or infinite.

        What is masked still takes part in products, where 0 times NaN is NaN, and in the centre
        of Euclidean distances: in its place is the mean of the others.
        """
        if known is not None:
            column = ops.reshape(known, (-1,) + (1,) * (len(outputs.shape) - 1))
            number = ops.maximum(ops.sum(ops.cast(column, outputs.dtype)), 1)
            mean = ops.sum(ops.where(column, outputs, 0), axis=0, keepdims=True) / number
            outputs = ops.where(column, outputs, ops.stop_gradient(mean))
        return cls(labels, outputs, known)

    def followed_by(self, others: Examples) -> Examples:
        """These examples and others behind them."""
        known = None
        if self.known is not None or others.known is not None:
            known = ops.concatenate([self._all_known(), others._all_known()])
        return Examples(
            ops.concatenate([self.labels, others.labels]),
            ops.concatenate([self.outputs, others.outputs]),
            known,
        )

    def _all_known(self) -> Tensor:
        if self.known is not None:
            return self.known
        return ops.ones((ops.shape(self.outputs)[0],), dtype="bool")

    def gathered(self, replicas: Replicas, labels: bool = True) -> Examples:
        """The examples of all replicas; labels are left as they are unless asked for."""
        return Examples(
            replicas.gather(self.labels) if labels else self.labels,
            replicas.gather(self.outputs),
            None if self.known is None else replicas.gather(self.known),
        )


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Queries and the keys that they are compared with.

    The queries are this replica's own; the keys are those of all replicas. Alone, both are
    the batch. `with_keys` adds a memory.

    Attributes:
        settings: How pairs are made.
        queries: The queries.
        keys: The keys.
        positions: int32 `[queries]`, the row of each query among the keys; -1 if it is none.
        batch: The queries of all replicas.
        replicas: The replicas.
        keys_are_batch: Whether the keys are the queries of all replicas, in their order.
        places: int32 `[queries]`, the row of each query in `batch`; None: that of `positions`.
        formed: All pairs, where `map` is to form them only once; None: each time.
    """

    settings: PairSettings
    queries: Examples
    keys: Examples
    positions: Any
    batch: Examples
    replicas: Replicas = ALONE
    keys_are_batch: bool = False
    places: Any = None
    formed: Pairs | None = None

    @classmethod
    def of_batch(cls, settings: PairSettings, batch: Examples, replicas: Replicas) -> Comparison:
        """A batch compared with itself."""
        rows = ops.arange(ops.shape(batch.outputs)[0], dtype="int32")
        if replicas.count == 1:
            return cls(settings, batch, batch, rows, batch, keys_are_batch=True)
        # A relevance matrix has the rows of this replica, and columns for all keys.
        every = batch.gathered(replicas, labels=settings.relevance is not matrix)
        owner = replicas.gather(ops.zeros_like(rows) + replicas.number())
        rows = rows + ops.sum(ops.cast(owner < replicas.number(), "int32"))
        return cls(settings, batch, every, rows, every, replicas, keys_are_batch=True)

    def with_keys(self, more: Examples) -> Comparison:
        """The same with further keys, behind those that are there."""
        keys = self.keys.followed_by(more)
        return dataclasses.replace(self, keys=keys, keys_are_batch=False, formed=None)

    def with_pairs(self) -> Comparison:
        """The same for several passes over the pairs, which are formed once unless in blocks."""
        if self.settings.block_size is not None:
            return self
        return dataclasses.replace(self, formed=self.pairs())

    def with_key_outputs(self, outputs: Tensor) -> Comparison:
        """The same queries, of a batch, with other outputs for its examples as keys.

        No key is the query itself then: its own example is one of its positives.
        """
        return dataclasses.replace(
            self,
            keys=dataclasses.replace(self.keys, outputs=self.replicas.gather(outputs)),
            positions=ops.zeros_like(self.positions) - 1,
            places=self.positions,
            keys_are_batch=False,
            formed=None,
        )

    def swapped(self) -> Comparison:
        """The keys compared with the queries of all replicas."""
        queries, keys = self.keys, self.batch
        if self.settings.relevance is matrix:
            labels = ops.transpose(self.queries.labels)
            queries = dataclasses.replace(queries, labels=labels)
        n, m = ops.shape(queries.outputs)[0], ops.shape(keys.outputs)[0]
        rows = ops.arange(n, dtype="int32")
        # Where queries are keys, they are the first of them.
        none = ops.zeros_like(rows) - 1
        first = ops.any(self.positions >= 0)
        positions = ops.where(ops.logical_and(first, rows < m), rows, none)
        return Comparison(self.settings, queries, keys, positions, queries)

    def pairs(self) -> Pairs:
        """All pairs at once."""
        return self._pairs(self.settings, self._parts(self.queries, self.positions), self._keys())

    def map(
        self,
        function: Callable[..., Any],
        rows: tuple[Any, ...] = (),
        shared: tuple[Any, ...] = (),
    ) -> Any:
        """`function(pairs, *rows, *shared)` of all queries, in blocks as the settings say.

        Args:
            function: Maps `Pairs` to an array `[queries, ...]` or a structure of them, of
                floats.
            rows: Further arrays `[queries, ...]`.
            shared: Further arrays, given whole. What is differentiated must be here.
        """
        if self.formed is not None:
            return function(self.formed, *rows, *shared)
        return self._map(function, rows, shared, self.settings.block_size, gradient=True)

    def mine(
        self,
        function: Callable[..., Any],
        rows: tuple[Any, ...] = (),
        shared: tuple[Any, ...] = (),
    ) -> Any:
        """As `map`, where nothing is differentiated: results may be integers."""
        size = min(self.settings.block_size or MINING_ROWS, MINING_ROWS)
        return self._map(function, rows, shared, size, gradient=False)

    def _map(
        self,
        function: Callable[..., Any],
        rows: tuple[Any, ...],
        shared: tuple[Any, ...],
        block_size: int | None,
        gradient: bool,
    ) -> Any:
        queries, keys = self._parts(self.queries, self.positions), self._keys()
        if not gradient:
            queries["outputs"], keys["outputs"] = (
                ops.stop_gradient(x["outputs"]) for x in (queries, keys)
            )
        names = (list(queries), list(keys))

        def block(*arrays: Any) -> Tensor:
            parts = iter(arrays)
            q = {name: next(parts) for name in names[0]}
            own = [next(parts) for _ in rows]
            k = {name: next(parts) for name in names[1]}
            return function(self._pairs(self.settings, q, k), *own, *parts)

        return map_row_blocks(
            block,
            (*queries.values(), *rows),
            (*keys.values(), *shared),
            block_size,
            recompute=gradient,
        )

    @staticmethod
    def _parts(examples: Examples, positions: Any = None) -> dict[str, Any]:
        parts = {
            "labels": examples.labels,
            "outputs": examples.outputs,
            "known": examples.known,
            "positions": positions,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def _keys(self) -> dict[str, Any]:
        parts = self._parts(self.keys)
        if self.settings.relevance is matrix:
            del parts["labels"]  # The rows of the queries say all.
        return parts

    @staticmethod
    def _pairs(settings: PairSettings, queries: dict[str, Any], keys: dict[str, Any]) -> Pairs:
        relevance = None
        labels, positions = queries["labels"], queries["positions"]
        if settings.relevance is None:
            positives, negatives = pairs_by_class(
                labels, keys["labels"], positions, queries.get("known"), keys.get("known")
            )
        else:
            relevance = settings.relevance(labels, keys.get("labels"))
            of_matrix = settings.relevance is matrix
            _check_relevance(relevance, queries["outputs"], keys["outputs"], of_matrix)
            positives, negatives = pairs_by_relevance(relevance, positions)
        q, k = (settings.embeddings(x["outputs"]) for x in (queries, keys))
        pairs = Pairs(
            settings.distance(q, k),
            positives,
            negatives,
            relevance,
            q,
            k,
            positions,
            labels,
            queries["outputs"],
        )
        for miner in settings.miners:
            pairs = miner(pairs)
        return pairs

    @property
    def counted(self) -> Tensor | None:
        """Which queries of the whole batch have a known class, bool; None for all."""
        return self.batch.known

    def gather(self, values: Any) -> Any:
        """Floats `[queries, ...]`, or a structure of them, for the queries of all replicas."""
        return self.replicas.gather_structure(values)

    def own(self, values: Tensor) -> Any:
        """The rows of this replica's queries, of values for those of all replicas."""
        if self.replicas.count == 1:
            return values
        take = ops.maximum(self.positions if self.places is None else self.places, 0)
        return keras.tree.map_structure(lambda x: ops.take(x, take, axis=0), values)


def _check_relevance(relevance: Any, queries: Tensor, keys: Tensor, of_matrix: bool) -> None:
    expected = queries.shape[0], keys.shape[0]
    shape = tuple(relevance.shape)
    fits = len(shape) == 2 and all(
        a is None or b is None or a == b for a, b in zip(shape, expected, strict=True)
    )
    if not fits:
        who = "`y_true` must be a relevance matrix" if of_matrix else "`relevance` must return"
        raise ValueError(f"{who} [queries, keys], here {list(expected)}. Received: shape {shape}.")
