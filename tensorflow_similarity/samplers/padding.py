"""Padding of sequences of different lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks

__all__ = ["Padding", "checked_padding"]


class Padding:
    """Pads sequences of different lengths to one array.

    Samplers do this by themselves, with these defaults, if `x` holds sequences of
    different lengths. With `lengths` (buckets), batches have few different shapes, which
    avoids recompilation under XLA and JAX.

    Args:
        value: The padding value. Defaults to 0, which `Embedding(mask_zero=True)` and `Masking()`
            mask; text is padded with `""`.
        lengths: Allowed lengths of batches: each batch gets the smallest that holds its
            longest sequence. Defaults to `None`: the length of its longest sequence.
        side: Where to pad, `"right"` (the default) or `"left"`.
        truncate: Whether to cut sequences longer than the largest of `lengths`, at the end,
            or at the beginning with `side="left"`. Defaults to False: they raise an error.
        mask: Whether to return a mask of real steps too: an array `x` becomes the tuple
            `(x, mask)`, and an entry `"a"` of a dict is followed by `"a_mask"`. Defaults to
            False.

    Raises:
        ValueError: If `lengths` are not positive, or `side` is neither; when a batch is made,
            if a sequence is too long.

    Example:

    ```python
    from tensorflow_similarity.samplers import Padding

    Padding(lengths=[4, 8])([[1, 2, 3], [4]])
    # [[1, 2, 3, 0], [4, 0, 0, 0]]
    Padding(side="left", mask=True)([[1.5], [2.5, 3.5]])[1]
    # [[False, True], [True, True]]
    ```
    """

    def __init__(
        self,
        value: object = 0,
        lengths: Sequence[int] | None = None,
        side: str = "right",
        truncate: bool = False,
        mask: bool = False,
    ) -> None:
        if side not in ("right", "left"):
            raise ValueError(f"`side` must be 'right' or 'left'. Received: {side!r}.")
        truncate = checks.flag(truncate, "truncate")
        if lengths is not None:
            if isinstance(lengths, (str, bytes)) or not isinstance(lengths, (Sequence, np.ndarray)):
                raise TypeError(
                    f"`lengths` must be a sequence of integers. Received: {lengths!r}. For one "
                    "length write [length]."
                )
            lengths = sorted({checks.count(length, "lengths") for length in lengths})
            if not lengths:
                raise ValueError("`lengths` must hold at least one length. Received: none.")
        elif truncate:
            raise ValueError("`truncate` is for `lengths`. Received: truncate=True without them.")
        self.value, self.lengths, self.side = value, lengths, side
        self.truncate, self.mask = truncate, checks.flag(mask, "mask")

    def __call__(self, sequences: Any) -> Any:
        """Pads sequences.

        Args:
            sequences: Sequences `[length, ...]`, of any lengths.

        Returns:
            Array `[n, length, ...]`; with `mask`, also a bool array `[n, length]`.

        Raises:
            ValueError: If they differ in more than length, or one is too long.
        """
        rows = [np.asarray(row) for row in sequences]
        steps = {row.shape[1:] if row.ndim else None for row in rows}
        if len(steps) != 1 or None in steps:
            raise ValueError(
                "Sequences must have shape [length, ...] and differ in their length only. "
                f"Received: shapes {sorted({row.shape for row in rows})[:3]}."
            )
        length = self._length(max(len(row) for row in rows))
        right = self.side == "right"
        rows = [row[:length] if right else row[max(0, len(row) - length) :] for row in rows]
        sizes = np.array([len(row) for row in rows])[:, None]
        places = np.arange(length)
        real = places < sizes if right else places >= length - sizes
        kept = [row for row in rows if len(row)] or rows[:1]  # [] is of no dtype of its own.
        steps_of_all = np.concatenate(kept)
        text = steps_of_all.dtype.kind in "US"
        dtype = object if text else steps_of_all.dtype
        value = "" if text and self.value == 0 else self.value
        padded = np.full((len(rows), length, *steps_of_all.shape[1:]), value, dtype)
        padded[real] = steps_of_all
        return (padded, real) if self.mask else padded

    def _length(self, longest: int) -> int:
        if self.lengths is None:
            return longest
        fitting = [length for length in self.lengths if length >= longest]
        if fitting:
            return fitting[0]
        if self.truncate:
            return self.lengths[-1]
        raise ValueError(
            f"`lengths` must hold the longest sequence, of {longest} steps. Received: at most "
            f"{self.lengths[-1]}. Add a length, or cut sequences off with truncate=True."
        )

    def __repr__(self) -> str:
        return (
            f"Padding(value={self.value!r}, lengths={self.lengths}, side={self.side!r}, "
            f"truncate={self.truncate}, mask={self.mask})"
        )


def checked_padding(padding: Any) -> Padding:
    """The given padding, or the default for None.

    Raises:
        TypeError: If it is not a `Padding`.
    """
    if padding is not None and not isinstance(padding, Padding):
        raise TypeError(
            f"`padding` must be a Padding, such as Padding(value=0). Received: {padding!r}."
        )
    return Padding() if padding is None else padding
