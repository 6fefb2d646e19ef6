"""The probability that a match is right, given its distance."""

from __future__ import annotations

import numpy as np

__all__ = ["fit_probabilities", "probabilities_at"]


def fit_probabilities(match_distances: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
    """Estimates the probability that a match is right from its distance, by isotonic regression.

    The non-increasing function of distance with the least squared error on the calibration
    queries: a step function of the fractions of right matches. Each step is shrunk by one
    pseudo-query that is right with the overall rate, so that ten right matches in a row do not
    give probability 1.

    Args:
        match_distances: float64 `[queries]`; inf where there is no match.
        right: bool `[queries]`, whether the match has the query's label.

    Returns:
        `"distance"`, ascending, and `"probability"`, float64 both, to interpolate between.

    Reference:
        Zadrozny and Elkan, *Transforming classifier scores into accurate multiclass
        probability estimates*, KDD 2002.
    """
    there = np.isfinite(match_distances)
    distances, place = np.unique(match_distances[there], return_inverse=True)
    if not len(distances):
        return {"distance": np.zeros(0), "probability": np.zeros(0)}
    count = np.bincount(place).astype(np.float64)
    hits = np.bincount(place, weights=right[there].astype(np.float64))
    starts = _blocks(hits, count)
    usual = (hits.sum() + 1) / (count.sum() + 2)
    hits, count = np.add.reduceat(hits, starts) + usual, np.add.reduceat(count, starts) + 1
    # Small blocks were shrunk more than large ones.
    again = _blocks(hits, count)
    values = np.add.reduceat(hits, again) / np.add.reduceat(count, again)
    starts = starts[again]
    ends = np.append(starts[1:], len(distances)) - 1
    both = np.stack([distances[starts], distances[ends]], axis=1).reshape(-1)
    kept = np.append(True, np.diff(both) > 0)
    return {"distance": both[kept], "probability": np.repeat(values, 2)[kept]}


def probabilities_at(fitted: dict[str, np.ndarray], distances: np.ndarray) -> np.ndarray:
    """Probabilities at distances: 0 if there is no match, NaN if nothing was fitted."""
    if not len(fitted.get("distance", ())):
        return np.where(np.isfinite(distances), np.nan, 0.0)
    found = np.interp(distances, fitted["distance"], fitted["probability"])
    return np.where(np.isfinite(distances), found, 0.0)


def _blocks(hits: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Starts of blocks with decreasing means, by pooling adjacent violators."""
    starts: list[int] = []
    sums: list[tuple[float, float]] = []
    for place, (hit, number) in enumerate(zip(hits.tolist(), count.tolist(), strict=True)):
        starts.append(place)
        sums.append((hit, number))
        while len(sums) > 1 and sums[-2][0] * sums[-1][1] <= sums[-1][0] * sums[-2][1]:
            last = sums.pop()
            starts.pop()
            sums[-1] = sums[-1][0] + last[0], sums[-1][1] + last[1]
    return np.array(starts)
