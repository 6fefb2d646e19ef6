"""Examples of a stream put together by class, many at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["Regrouping", "regrouped", "rows_at_a_time"]

# Examples that are read at a time: so many, but not more bytes than these.
_ROWS, _BYTES = 256, 2**22


def rows_at_a_time(spec: Any, batch_size: int) -> int:
    """How many examples to read at a time: many small ones, few large ones.

    Args:
        spec: The structure of `tf.TensorSpec` of an example.
        batch_size: Taken where the size of an example is not known.
    """
    import tensorflow as tf

    size = 0
    for leaf in tf.nest.flatten(spec):
        if leaf.dtype == tf.string or not leaf.shape.is_fully_defined():
            return min(batch_size, _ROWS)
        size += leaf.dtype.size * leaf.shape.num_elements()
    return min(_ROWS, max(1, _BYTES // max(1, size)))


class Regrouping:
    """Decides which examples form groups of a class, and which groups a batch.

    Examples wait until there are `each` of their class. Such a group joins the current batch, or
    is dropped if that has the class already. Works on class ids alone, in the order in which
    examples came; what came before is in the arguments, so that a stream can be read twice.

    Those that wait are in two places: the older ones sorted by class, which stay there until
    they are wanted, and the newer ones, which are moved to the older ones now and then. So what is
    copied for each example that comes grows with the root of how many wait.

    Args:
        count: Classes in a batch.
        each: Examples of a class in a batch.
        rows: Examples that come at a time.
        ignored: The id of an unknown class, or None.
        patience: Groups without a place, one after the other, that mean too few classes.
    """

    def __init__(
        self, count: int, each: int, rows: int, ignored: int | None, patience: int
    ) -> None:
        self.count, self.each, self.rows = count, each, rows
        self.ignored, self.patience = ignored, patience

    def __call__(
        self,
        old: np.ndarray,
        gone: np.ndarray,
        new: np.ndarray,
        current: np.ndarray,
        refused: np.ndarray,
        labels: np.ndarray,
    ) -> tuple[np.ndarray, ...]:
        """What to do with some more examples.

        Args:
            old: int64 `[old]`, sorted: the classes of older examples that wait.
            gone: bool `[old]`, which of them wait no longer.
            new: int64 `[new]`, the classes of newer ones. The first are those of the current
                batch.
            current: int64, the classes of the current batch.
            refused: int64, the groups that had no place since the last one that had.
            labels: int64 `[rows]`, the classes of examples that come.

        Returns:
            taken: int64, positions in old, new and labels, one after the other: first the
                examples of batches, then the next `new`.
            number: int64, how many of them are of batches.
            new, current, gone, refused: The next of these.
            move: bool, whether there is another `old`.
            moved: int64, the positions of its examples.
            old: Their classes.
        """
        size, held = len(old), len(current) * self.each
        fresh = np.concatenate([new, labels])
        waiting = np.arange(held, len(fresh))
        if self.ignored is not None:
            waiting = waiting[fresh[waiting] != self.ignored]
        earlier = self._of_classes(old, gone, labels)
        places = np.concatenate([earlier, size + waiting])
        ids = np.concatenate([old[earlier], fresh[waiting]])
        groups = self._groups(ids)
        chosen, classes_now, in_vain = self._chosen(
            ids[groups[:, 0]].tolist(), current.tolist(), int(refused)
        )

        joined = np.concatenate([size + np.arange(held), places[groups[chosen].reshape(-1)]])
        number = len(joined) // (self.count * self.each) * self.count * self.each
        is_left = np.ones(len(places), bool)
        is_left[groups.reshape(-1)] = False
        gone = gone.copy()
        gone[earlier[~is_left[: len(earlier)]]] = True
        left = places[len(earlier) :][is_left[len(earlier) :]]
        none = np.zeros(0, np.int64)
        # The newer ones are copied each time, the older ones when some move: at this bound, both
        # cost the same, of the order of the root of how many wait.
        move = len(left) > max(4 * self.rows, math.isqrt(size * self.rows))
        moved = still = none
        if move:
            every = np.concatenate([np.flatnonzero(~gone), left])
            classes = _of_both(old, fresh, every)
            order = np.argsort(classes, kind="stable")
            moved, still = every[order], classes[order]
            gone, left = np.zeros(len(moved), bool), none
        taken = np.concatenate([joined, left])
        return (
            taken,
            np.array(number, np.int64),
            _of_both(old, fresh, taken[number:]),
            np.array(classes_now, np.int64),
            gone,
            np.array(in_vain, np.int64),
            np.array(move),
            moved,
            still,
        )

    def _of_classes(self, old: np.ndarray, gone: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The positions of older examples that wait, of classes that some more have come of."""
        if not len(old):
            return np.zeros(0, np.int64)
        classes = np.unique(labels)
        begins = np.searchsorted(old, classes, "left")
        lengths = np.searchsorted(old, classes, "right") - begins
        ends = np.cumsum(lengths)
        found = np.arange(ends[-1]) + np.repeat(begins - (ends - lengths), lengths)
        return found[~gone[found]]

    def _groups(self, ids: np.ndarray) -> np.ndarray:
        """Positions of complete groups, int64 `[groups, each]`, in the order of completion."""
        order = np.argsort(ids, kind="stable")
        ordered = ids[order]
        is_first = np.ones(len(ids), bool)
        is_first[1:] = ordered[1:] != ordered[:-1]
        begins = np.flatnonzero(is_first)
        lengths = np.diff(np.append(begins, len(ids)))
        rank = np.arange(len(ids)) - np.repeat(begins, lengths)
        whole = lengths // self.each * self.each
        groups = order[rank < np.repeat(whole, lengths)].reshape(-1, self.each)
        return groups[np.argsort(groups[:, -1], kind="stable")]

    def _chosen(
        self, classes: list[int], current: list[int], refused: int
    ) -> tuple[list[int], list[int], int]:
        """The groups that have a place in a batch."""
        chosen = []
        for group, label in enumerate(classes):
            if label in current:
                refused += 1
                if refused >= self.patience:
                    raise ValueError(
                        f"`ds` must have at least {self.count} classes, well mixed. Received: "
                        f"{refused} groups of {self.each} examples one after the other, all of "
                        f"the classes {sorted(current)[:5]}."
                    )
                continue
            refused = 0
            chosen.append(group)
            current.append(label)
            if len(current) == self.count:
                current = []
        return chosen, current, refused


def _of_both(old: np.ndarray, fresh: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Elements of two arrays, by their positions in one after the other."""
    is_old = positions < len(old)
    found = np.empty(len(positions), np.int64)
    found[is_old] = old[positions[is_old]]
    found[~is_old] = fresh[positions[~is_old] - len(old)]
    return found


def regrouped(chunks: Any, labels_of: Any, regrouping: Regrouping) -> Any:
    """Batches of examples that come many at a time.

    Args:
        chunks: A `tf.data.Dataset` of `rows` examples at a time, in a structure.
        labels_of: A function of an element that returns its class ids, int64 `[rows]`.
        regrouping: Decides.

    Returns:
        A `tf.data.Dataset` of batches, in that structure.
    """
    import tensorflow as tf

    spec = chunks.element_spec
    size = regrouping.count * regrouping.each
    ids, many = tf.TensorSpec([None], tf.int64), tf.TensorSpec([], tf.int64)
    flags = tf.TensorSpec([None], tf.bool)
    plan = (ids, many, ids, ids, flags, many, tf.TensorSpec([], tf.bool), ids, ids)
    no_ids = tf.zeros([0], tf.int64)
    nothing = tuple(
        tf.zeros([0, *(side or 0 for side in leaf.shape[1:])], leaf.dtype)
        for leaf in tf.nest.flatten(spec)
    )
    zero = tf.constant(0, tf.int64)
    first_state = (nothing, no_ids, tf.zeros([0], tf.bool), nothing, no_ids, no_ids, zero)

    def step(state: Any, chunk: Any) -> Any:
        old, old_ids, gone, new, new_ids, current, refused = state
        came = tuple(tf.nest.flatten(chunk))
        found = tf.numpy_function(
            regrouping,
            [old_ids, gone, new_ids, current, refused, labels_of(*chunk)],
            [one.dtype for one in plan],
            stateful=False,
        )
        found = [tf.ensure_shape(one, like.shape) for one, like in zip(found, plan, strict=True)]
        taken, number, new_ids, current, gone, refused, move, moved, still = found
        # What is empty may not have the shape of the others yet.
        fresh = tf.cond(
            tf.size(state[4]) > 0,
            lambda: tuple(tf.concat(both, 0) for both in zip(new, came, strict=True)),
            lambda: came,
        )

        def rows(positions: Any) -> Any:
            first = tf.size(old_ids, tf.int64)

            def of_both() -> Any:
                is_old = positions < first
                to = [tf.cast(tf.where(is_it)[:, 0], tf.int32) for is_it in (is_old, ~is_old)]
                begins = zip(to, (0, first), strict=True)
                begin = [tf.gather(positions, one) - start for one, start in begins]
                return tuple(
                    tf.dynamic_stitch(to, [tf.gather(a, begin[0]), tf.gather(b, begin[1])])
                    for a, b in zip(old, fresh, strict=True)
                )

            return tf.cond(
                first > 0, of_both, lambda: tuple(tf.gather(leaf, positions) for leaf in fresh)
            )

        picked = rows(taken)
        next_old, next_ids = tf.cond(move, lambda: (rows(moved), still), lambda: (old, old_ids))
        batches = [
            tf.reshape(leaf[:number], tf.concat([[-1, size], tf.shape(leaf)[1:]], 0))
            for leaf in picked
        ]
        batches = [
            tf.ensure_shape(leaf, [None, size, *one.shape[1:]])
            for leaf, one in zip(batches, came, strict=True)
        ]
        following = tuple(leaf[number:] for leaf in picked)
        state = (next_old, next_ids, gone, following, new_ids, current, refused)
        return state, tf.nest.pack_sequence_as(chunk, batches)

    # One part reads while another puts together.
    return chunks.prefetch(1).scan(first_state, step).unbatch()
