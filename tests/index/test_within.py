"""Everything within a distance: lookups, pairs and groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.search import distance_matrix
from tensorflow_similarity.index import Index, expand_queries

DISTANCES = ["cosine", "euclidean", "squared_euclidean", "inner_product", "manhattan", "snr"]


def vectors(n, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(max(n // 12, 1), dim))
    return (centers[rng.integers(0, len(centers), n)] + rng.normal(size=(n, dim)) * 0.1).astype(
        "f4"
    )


def limit_between(matrix, share):
    """A distance that none of the pairs is near to, so that rounding decides on nothing."""
    values = np.sort(matrix.ravel())
    at = int(share * (len(values) - 2)) if len(values) > 1 else 0
    around = values[max(at - 40, 0) : at + 40]
    gaps = np.diff(around)
    place = int(np.argmax(gaps)) if len(gaps) else 0
    return float(around[place : place + 2].mean())


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize(("n", "q", "shift"), [(400, 40, 0.0), (400, 3, 30.0), (90, 1, 0.0)])
@pytest.mark.parametrize("share", [0.002, 0.1, 0.9])
def test_all_within_a_distance(distance, n, q, shift, share):
    x, queries = vectors(n) + shift, vectors(n + q)[n:] + shift
    index = Index(6, distance, "exact")
    index.add(x, labels=np.arange(n) % 7)
    index.delete(np.arange(0, n, 9))
    ids = index.ids
    matrix = distance_matrix(queries, x[ids], distance)
    limit = limit_between(matrix, share)
    found = index.lookup(queries, max_distance=limit)
    assert len(found) == q
    for query in range(q):
        own = slice(found.offsets[query], found.offsets[query + 1])
        assert set(found.ids[own].tolist()) == set(ids[matrix[query] <= limit].tolist())
        near = matrix[query][np.searchsorted(ids, found.ids[own])]
        np.testing.assert_allclose(found.distances[own], near, rtol=2e-4, atol=2e-4)
        assert (np.diff(found.distances[own]) >= 0).all()
        assert [each.id for each in found[query]] == found.ids[own].tolist()
        assert [each.label for each in found[query]] == found.labels[own].tolist()
    assert found.queries.tolist() == np.repeat(np.arange(q), found.counts).tolist()


def test_a_distance_that_is_reached_is_within():
    index = Index(1, "euclidean")
    index.add([[0.0], [1.0], [2.0], [1.0]])
    assert index.lookup([[0.0]], max_distance=1).ids.tolist() == [0, 1, 3]
    assert index.lookup([[0.0]], max_distance=0).ids.tolist() == [0]
    assert index.lookup([[0.0]], max_distance=-1).ids.tolist() == []
    assert index.lookup([[0.0]], max_distance=np.inf).ids.tolist() == [0, 1, 3, 2]
    assert index.lookup([[0.0]], k=3, max_distance=1).ids.tolist() == [[0, 1, 3]]
    near = index.lookup([[0.5], [9.0]], k=3, max_distance=1)
    assert near.ids.tolist() == [[0, 1, 3], [-1] * 3]
    assert near.distances.tolist() == [[0.5] * 3, [np.inf] * 3]
    assert index.lookup([[0.0]], max_distance=1, filter={"ids": [1, 2]}).ids.tolist() == [1]
    assert index.lookup(np.empty((0, 1)), max_distance=1).ids.tolist() == []


@pytest.mark.parametrize(
    ("options", "kind", "match"),
    [
        ({"max_distance": "1"}, TypeError, "`max_distance` must be a number"),
        ({"max_distance": True}, TypeError, "`max_distance` must be a number"),
        ({"max_distance": np.nan}, ValueError, "`max_distance` must not be NaN"),
        ({"max_distance": 1, "offset": 2}, ValueError, "`offset` needs `k`"),
        ({"max_distance": 1, "distinct": "label"}, ValueError, "`distinct` needs `k`"),
        ({"max_distance": 1, "exclude": [[1]]}, ValueError, "`exclude` needs `k`"),
        ({"max_distance": 1, "filter": [None]}, TypeError, None),
    ],
)
def test_what_cannot_be(options, kind, match):
    index = Index(1, "euclidean")
    index.add([[0.0]])
    if match is None:
        index.lookup([[0.0]], **options)  # one filter for the one query
        options, match = {**options, "filter": [None, {"ids": 0}]}, "one for all queries"
        with pytest.raises(kind, match=match):
            index.lookup([[0.0], [1.0]], **options)
        return
    with pytest.raises(kind, match=match):
        index.lookup([[0.0]], **options)


def slow_groups(near):
    """Connected components, by spreading labels until none changes."""
    group = np.arange(len(near))
    while True:
        new = np.array([group[row].min() for row in near | np.eye(len(near), dtype=bool)])
        if (new == group).all():
            return group
        group = new


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 60), shuffled=st.booleans())
@pytest.mark.further
def test_pairs_and_groups(seed, n, shuffled):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 12, (n, 2)).astype(np.float32)
    ids = rng.permutation(10 * n)[:n] if shuffled else np.arange(n) * 3
    index = Index(2, "euclidean")
    index.add(x, ids=ids)
    gone = ids[rng.random(n) < 0.2]
    index.delete(gone)
    left = ~np.isin(ids, gone)
    limit = float(rng.choice([0.5, 1.2, 2.5]))
    near = np.linalg.norm(x[:, None] - x[None], axis=-1) <= limit
    near &= left[:, None] & left[None]
    expected = {(a, b) for a, b in ids[np.argwhere(near)].tolist() if a < b}
    first, second, distances = index.pairs(limit).columns()
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == sorted(
        zip(first.tolist(), second.tolist(), strict=True),
        key=lambda pair: (distances[list(zip(first, second, strict=True)).index(pair)], pair),
    )
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == expected
    assert len(first) == len(expected)
    groups = index.groups(limit)
    by_group = {}
    for place, group in enumerate(slow_groups(near)):
        if left[place]:
            by_group.setdefault(group, []).append(int(ids[place]))
    wanted = [sorted(group) for group in by_group.values() if len(group) > 1]
    assert sorted(group.tolist() for group in groups) == sorted(wanted)
    assert groups.sizes.tolist() == sorted(map(len, wanted), reverse=True)
    assert groups.duplicates.tolist() == sorted(i for group in wanted for i in group[1:])
    assert len(groups.group) == len(groups.ids)
    index.delete(groups.duplicates)


@pytest.mark.further
def test_pairs_come_in_blocks():
    x = np.zeros((1500, 3))
    index = Index(3, "euclidean")
    index.add(x, labels=np.arange(1500) % 2)
    blocks = list(index.pairs(0.0))
    assert len(blocks) > 2
    assert sum(len(first) for first, _, _ in blocks) == 1500 * 1499 // 2
    assert len(index.groups(0.0)) == 1
    halves = index.pairs(0.0, filter={"labels": 1}).columns()
    assert len(halves[0]) == 750 * 749 // 2
    assert (halves[0] % 2 == 1).all()
    empty = Index(3, "euclidean")
    assert len(empty.groups(1.0)) == 0
    assert empty.pairs(1.0).columns()[0].tolist() == []


@pytest.mark.further("exact", "faiss_ivf")
def test_through_an_engine(make):
    x = vectors(3000, 8)
    index, exact = make(8, "euclidean"), Index(8, "euclidean", "exact")
    for each in (index, exact):
        each.add(x)
        each.delete(np.arange(0, 3000, 11))
    index.lookup(x[:1])
    assert index.engine == index.search
    for limit in (0.1, 0.4):
        found, true = (each.lookup(x[:50], max_distance=limit) for each in (index, exact))
        pairs = [
            set(zip(each.queries.tolist(), each.ids.tolist(), strict=True))
            for each in (found, true)
        ]
        assert pairs[0] <= pairs[1]
        assert len(pairs[0]) > 0.9 * len(pairs[1])
    near, all_ = (each.pairs(0.1).columns() for each in (index, exact))
    near, all_ = (set(zip(*map(np.ndarray.tolist, each[:2]), strict=True)) for each in (near, all_))
    assert near <= all_
    assert len(near) > 0.9 * len(all_)


@pytest.mark.parametrize("cleared", [False, True])
def test_an_empty_index(cleared):
    index = Index(2, "euclidean")
    if cleared:
        index.add(np.eye(2), data=[{"n": 1}, {"n": 2}])
        index.delete([0, 1])
    for options in ({}, {"filter": {"n": {"lt": 3}}}, {"filter": {"labels": 1}}):
        near = index.lookup(np.eye(2), max_distance=1, **options)
        assert (len(near), near.ids.tolist(), near.counts.tolist()) == (2, [], [0, 0])
        assert near[1] == []
    for options in ({"distinct": "label"}, {"exclude": [[1], [2]]}, {"offset": 3}):
        assert (index.lookup(np.eye(2), k=3, **options).ids == -1).all()
    assert index.pairs(1.0).columns()[0].tolist() == []
    assert len(index.groups(1.0)) == 0
    assert index.groups(1.0).duplicates.tolist() == []
    assert index.count({"n": 1}) == index.count() == 0
    index.delete(filter={"n": 1})
    index.update(filter={"labels": 2}, labels=3)
    assert len(index.get(filter={"labels": 2})) == 0
    np.testing.assert_array_equal(expand_queries(index, np.eye(2)), np.eye(2))


@pytest.mark.parametrize(
    "some",
    [
        slice(1, 3),
        slice(None, None, -1),
        slice(9, 12),
        [2, 0, 2],
        np.array([True] * 2 + [False] * 2),
    ],
)
def test_those_of_some_queries(some):
    index = Index(1, "euclidean")
    index.add([[0.0], [1.0], [1.5], [4.0]], labels=["a", None, "b", "b"], data=[0, 1, None, 3])
    queries = np.array([[0.4], [9.0], [1.2], [3.0]])
    found = index.lookup(queries, max_distance=1.1)
    part = found[some]
    assert part == index.lookup(queries[some], max_distance=1.1)
    assert list(part) == [found[int(i)] for i in np.arange(4)[some]]
    assert part != found
    pandas = pytest.importorskip("pandas")
    frame = part.to_data_frame()
    expected = index.lookup(queries[some], k=4, max_distance=1.1).to_data_frame()
    pandas.testing.assert_frame_equal(frame, expected)
