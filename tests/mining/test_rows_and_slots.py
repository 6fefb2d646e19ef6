"""Which pairs are positive, and all positives of a query by number."""

import numpy as np
import pytest

from tensorflow_similarity.mining import sorting
from tensorflow_similarity.mining.pairs import pairs_by_class, pairs_by_relevance
from tensorflow_similarity.mining.triplet_sums import (
    class_slots,
    relevance_slots,
    semi_hard_hinge,
)


def labels_of(n, seed=0):
    return np.random.default_rng(seed).integers(0, 4, n)


def places_of(n, queries_are_keys):
    return np.arange(n, dtype="int32") if queries_are_keys else np.full(n, -1, "int32")


@pytest.mark.parametrize("queries_are_keys", [False, True])
def test_pairs_by_class(queries_are_keys):
    labels = labels_of(12)
    places = places_of(7, queries_are_keys)
    positives, negatives = (np.asarray(x) for x in pairs_by_class(labels[:7], labels, places))
    for i in range(7):
        for j in range(12):
            itself = queries_are_keys and i == j
            assert positives[i, j] == (labels[i] == labels[j] and not itself)
            assert negatives[i, j] == (labels[i] != labels[j])


def test_pairs_by_relevance():
    relevance = np.array([[0.0, 0.5, 0.0], [-1.0, 1.0, 2.0]])
    places = np.array([0, 1], "int32")
    positives, negatives = pairs_by_relevance(relevance, places)
    np.testing.assert_array_equal(positives, [[False, True, False], [False, False, True]])
    np.testing.assert_array_equal(negatives, [[False, False, True], [True, False, False]])


def taken(slots, width):
    """The keys that slots give to each query, in lists."""
    found = [[] for _ in range(np.asarray(slots.count).shape[0])]
    for begin in range(0, int(np.max(slots.count)) + width, width):
        keys, exists = (np.asarray(x) for x in slots.take(begin, width))
        for i, row in enumerate(keys):
            found[i] += row[exists[i]].tolist()
    return found


@pytest.mark.parametrize("width", [1, 3, 64])
@pytest.mark.parametrize("queries_are_keys", [False, True])
@pytest.mark.parametrize("by", ["class", "relevance"])
def test_slots_are_the_positives(by, queries_are_keys, width):
    labels = labels_of(14, seed=1)
    # Class 9 is that of no other example, or of no key at all.
    queries = np.append(labels[:6], 9)
    keys = np.concatenate([queries, labels[6:]]) if queries_are_keys else labels[6:]
    places = places_of(7, queries_are_keys)
    positives, _ = pairs_by_class(queries, keys, places)
    slots = (
        class_slots(queries.astype("int64"), keys.astype("int64"), places)
        if by == "class"
        else relevance_slots(positives)
    )
    positives = np.asarray(positives)
    np.testing.assert_array_equal(slots.count, positives.sum(axis=1))
    found = taken(slots, width)
    for i, row in enumerate(positives):
        assert sorted(found[i]) == np.flatnonzero(row).tolist()
        assert len(found[i]) == len(set(found[i]))


@pytest.fixture(params=["as it runs here", "plain"])
def either_form(request, monkeypatch):
    """Runs a test with NumPy's sort, and with the form of other backends and XLA."""
    if request.param == "plain":
        monkeypatch.setattr(sorting, "on_tensorflow_cpu", lambda: False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (70, 130)])
def test_rows_are_sorted(shape, dtype, either_form):
    values = np.random.default_rng(2).normal(size=shape).round(1).astype(dtype)
    values.flat[::5] = np.inf
    values.flat[1::7] = -0.0
    ordered, order = (np.asarray(x) for x in sorting.sort_rows(values))
    np.testing.assert_array_equal(ordered, np.sort(values, axis=1))
    np.testing.assert_array_equal(np.take_along_axis(values, order, axis=1), ordered)
    np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(range(shape[1]), (shape[0], 1)))


@pytest.mark.parametrize("keys", [1, 2, 5, 64, 100])
def test_places_beyond(keys, either_form):
    rng = np.random.default_rng(3)
    ordered = np.sort(rng.normal(size=(6, keys)).round(1), axis=1).astype("float32")
    ordered[0, keys // 2 :] = np.inf
    values = np.concatenate(
        [rng.normal(size=(6, 4)), ordered[:, :1], ordered[:, -1:], np.full((6, 1), 99)], axis=1
    ).astype("float32")
    expected = [
        np.searchsorted(row, value, side="right")
        for row, value in zip(ordered, values, strict=True)
    ]
    np.testing.assert_array_equal(sorting.places_beyond(ordered, values), expected)


# Rounded distances have ties, and both zeros.
@pytest.mark.parametrize("decimals", [1, 7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("classes", "size"), [(1, 5), (2, 70), (4, 20)])
@pytest.mark.parametrize("margin", [0.3, 2.0])
@pytest.mark.slow_cases(
    "plain-2.0-2-70-float64-1",
    "plain-2.0-2-70-float64-7",
    "plain-2.0-2-70-float32-7",
    "plain-2.0-2-70-float32-1",
    "plain-0.3-2-70-float64-1",
)
def test_semi_hard_hinge(margin, classes, size, dtype, decimals, either_form):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, classes, size).astype("int64")
    if classes > 1:
        labels[3] = 8
    places = np.arange(size, dtype="int32")
    distances = rng.normal(size=(size, size)).round(decimals).astype(dtype)
    positives, negatives = pairs_by_class(labels, labels, places)
    slots = class_slots(labels, labels, places)
    found = semi_hard_hinge(distances, positives, negatives, slots, margin)
    value, derivative = (np.asarray(x) for x in found)
    assert value.dtype == derivative.dtype == dtype
    expected, counts = np.zeros(size), np.zeros((size, size))
    # Of negatives that are equally far either may be the nearest: their counts are added up.
    ties = np.array([[np.flatnonzero(row == d)[0] for d in row] for row in distances])
    for i, row in enumerate(distances):
        others = np.flatnonzero(np.asarray(negatives)[i])
        for p in np.flatnonzero(np.asarray(positives)[i]):
            beyond = [n for n in others if row[n] > row[p]]
            n = max(others, key=lambda n: row[n], default=None)
            n = min(beyond, key=lambda n: row[n]) if beyond else n
            gap = -1 if n is None else np.dtype(dtype).type(margin) + row[p] - row[n]
            if gap > 0:
                expected[i] += gap
                counts[i, p] += 1
                counts[i, n] -= 1
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    of_negatives = np.asarray(negatives)
    for i in range(size):
        for mask in (of_negatives[i], ~of_negatives[i]):
            np.testing.assert_array_equal(
                *(np.bincount(ties[i][mask], c[i][mask], size) for c in (derivative, counts))
            )
