"""Bootstrap of means, by class.

The values of queries of one class are not independent, since all of them depend on how the
model represents that class. So whole classes, not single queries, are drawn with replacement.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["ClassSums", "class_codes", "interval"]

RESAMPLES = 2000
# Class draws made at once: 64 MiB of int64.
_CHUNK_ELEMENTS = 2**23


def class_codes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct labels of queries, and the index of each query's label among them.

    Args:
        labels: `[queries]` or `[queries, ...]`: equal rows are one class.
    """
    # NumPy cannot compare objects, such as names, along an axis.
    axis = None if labels.ndim == 1 else 0
    found, codes = np.unique(labels, axis=axis, return_inverse=True)
    return found, codes.reshape(-1)


class ClassSums:
    """Per-class sums and counts of per-query values, which are all that resampling needs.

    Args:
        values: float64 `[metrics, queries]`.
        classes: int64 `[queries]`, 0 to `number - 1`, each occurring.
        number: Number of classes.
    """

    def __init__(self, values: np.ndarray, classes: np.ndarray, number: int) -> None:
        self.counts = np.bincount(classes, minlength=number).astype(np.float64)
        self.sums = np.stack(
            [np.bincount(classes, weights=row, minlength=number) for row in values], axis=1
        )

    @property
    def means(self) -> np.ndarray:
        """Mean of each class, `[classes, metrics]`."""
        return self.sums / self.counts[:, None]

    def resample(self, rng: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
        """Micro and macro means of `resamples` draws of classes, `[2, resamples, metrics]`."""
        micro, macro = [], []
        for draws in _draws(rng, len(self.counts), resamples):
            micro.append((draws @ self.sums) / (draws @ self.counts)[:, None])
            macro.append(draws @ self.means / len(self.counts))
        return np.stack([np.concatenate(micro), np.concatenate(macro)])


def _draws(rng: np.random.Generator, classes: int, resamples: int) -> Iterator[np.ndarray]:
    """Number of times each class is drawn, float64 `[some resamples, classes]`, chunk by chunk."""
    step = max(1, _CHUNK_ELEMENTS // classes)
    for begin in range(0, resamples, step):
        rows = min(step, resamples - begin)
        drawn = rng.integers(classes, size=(rows, classes))
        drawn += np.arange(rows)[:, None] * classes
        counts = np.bincount(drawn.reshape(-1), minlength=rows * classes)
        yield counts.reshape(rows, classes).astype(np.float64)


def interval(resampled: np.ndarray, confidence: float) -> np.ndarray:
    """Percentile interval of resampled values, `[resamples, ...]` -> `[2, ...]`."""
    tail = (1 - confidence) / 2
    return np.quantile(resampled, [tail, 1 - tail], axis=0)
