"""Distinct answers, exclusions, filters of single queries, pages and re-ranking."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.search import distance_matrix
from tensorflow_similarity.index import Index

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 5)).astype(np.float32)
QUERIES = RNG.normal(size=(12, 5)).astype(np.float32)
# Most records are of one class.
LABELS = np.where(RNG.random(300) < 0.9, 3, RNG.integers(0, 20, 300))
DATA = [{"shop": f"s{i % 9}", "n": {"of": i % 4}} if i % 10 else {"other": 1} for i in range(300)]
MATRIX = distance_matrix(QUERIES, X, "euclidean")
ORDER = np.argsort(MATRIX, axis=1, kind="stable")


@pytest.fixture(scope="module")
def index():
    made = Index(5, "euclidean")
    present = np.arange(300) % 7 != 0
    made.add(X, np.ma.MaskedArray(LABELS, ~present), DATA)
    return made


def slow(key, k, without=lambda query, i: False):
    """The nearest of each key, by walking along; None is no key."""
    result = np.full((len(QUERIES), k), -1)
    for query, order in enumerate(ORDER):
        seen, place = set(), 0
        for i in order:
            if key(i) is None or key(i) in seen or without(query, i) or place == k:
                continue
            seen.add(key(i))
            result[query, place] = i
            place += 1
    return result


def label(i):
    return None if i % 7 == 0 else LABELS[i]


@pytest.mark.parametrize("k", [1, 5, 40])
@pytest.mark.parametrize(
    ("distinct", "key"),
    [
        ("label", label),
        ("shop", lambda i: DATA[i].get("shop")),
        ("n.of", lambda i: DATA[i].get("n", {}).get("of")),
        (lambda data: data.get("shop"), lambda i: DATA[i].get("shop")),
        (None, lambda i: i),
    ],
)
def test_distinct(index, distinct, key, k):
    found = index.lookup(QUERIES, k=k, distinct=distinct)
    np.testing.assert_array_equal(found.ids, slow(key, k))
    there = found.ids >= 0
    np.testing.assert_allclose(
        found.distances[there],
        np.take_along_axis(MATRIX, np.where(there, found.ids, 0), 1)[there],
        rtol=1e-5,
    )
    assert np.isinf(found.distances[~there]).all()
    page = index.lookup(QUERIES, k=3, offset=2, distinct=distinct)
    np.testing.assert_array_equal(page.ids, slow(key, 5)[:, 2:])


def test_distinct_where_one_key_is_nearly_everything():
    x = np.arange(20_000, dtype=np.float32)[:, None]
    index = Index(1, "euclidean")
    index.add(x, labels=np.where(np.arange(20_000) < 19_990, 0, np.arange(20_000)))
    found = index.lookup([[0.0], [19_995.0]], k=4, distinct="label")
    assert found.labels.tolist() == [[0, 19_990, 19_991, 19_992], [19_995, 19_994, 19_996, 19_993]]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), k=st.integers(1, 8), offset=st.integers(0, 5), distinct=st.booleans())
@pytest.mark.further
def test_exclusions(index, data, k, offset, distinct):
    ids = st.lists(st.integers(0, 320), max_size=60)
    gone = data.draw(st.lists(ids, min_size=len(QUERIES), max_size=len(QUERIES)))
    gone[0] = ORDER[0][: len(gone[0])].tolist()  # the nearest
    found = index.lookup(
        QUERIES, k=k, exclude=gone, offset=offset, distinct="label" if distinct else None
    )
    key = label if distinct else int
    expected = slow(key, k + offset, lambda query, i: i in gone[query])[:, offset:]
    np.testing.assert_array_equal(found.ids, expected)


def test_filters_of_single_queries(index):
    wanted = [{"labels": 3}, None, {"shop": "s1"}, lambda data: "other" in data] * 3
    found = index.lookup(QUERIES, k=4, filter=wanted, exclude=[[int(o[0])] for o in ORDER])
    keys = [lambda i: label(i) == 3, lambda i: True]
    keys += [lambda i: DATA[i].get("shop") == "s1", lambda i: "other" in DATA[i]]
    for query in range(12):
        own = [i for i in ORDER[query][1:] if keys[query % 4](i)][:4]
        assert found.ids[query].tolist() == own


def test_filters_that_print_the_same():
    """NumPy leaves out the middle of what is long."""
    index = Index(1, "euclidean")
    index.add(np.arange(3000.0)[:, None])
    first, second = np.arange(2000), np.arange(2000)
    second[1000] = 2999
    found = index.lookup([[2999.0]] * 2, k=1, filter=[{"ids": first}, {"ids": second}])
    assert found.ids.tolist() == [[1999], [2999]]


def test_pages_make_up_the_whole(index):
    whole = index.lookup(QUERIES, k=300)
    pages = [index.lookup(QUERIES, k=70, offset=at).ids for at in range(0, 300, 70)]
    np.testing.assert_array_equal(np.concatenate(pages, axis=1)[:, :300], whole.ids)
    assert (pages[-1][:, 20:] == -1).all()


def test_distinct_near_enough(index):
    limit = float(np.sort(MATRIX, axis=1)[:, 10].mean())
    found = index.lookup(QUERIES, k=6, distinct="label", max_distance=limit)
    expected = slow(label, 6)
    expected[np.take_along_axis(MATRIX, expected, 1) > limit] = -1
    np.testing.assert_array_equal(found.ids, expected)


def test_rerank(index):
    def by_id(queries, neighbors):
        assert queries.shape == (12, 5)
        assert neighbors.ids.shape == (12, 20)
        return -neighbors.ids

    found = index.lookup(QUERIES, k=4, rerank=by_id, rerank_top=20)
    np.testing.assert_array_equal(found.ids, -np.sort(-ORDER[:, :20])[:, :4])
    np.testing.assert_allclose(found.distances, np.take_along_axis(MATRIX, found.ids, 1), rtol=1e-5)
    assert found[0][0].id == found.ids[0, 0]
    few = index.lookup(QUERIES, k=4, rerank=lambda q, n: n.ids, filter={"ids": [5, 9]})
    assert few.ids.tolist() == [[5, 9, -1, -1]] * 12


@pytest.mark.parametrize(
    ("options", "kind", "match"),
    [
        ({"distinct": 3}, TypeError, "`distinct` must be 'label'"),
        ({"distinct": "nothing"}, ValueError, "a key that records have in their `data`"),
        ({"distinct": lambda data: [data]}, TypeError, "can be hashed.*Received: list"),
        ({"exclude": [1, 2]}, TypeError, "a list of ids for each query"),
        ({"exclude": [[1]]}, ValueError, "expected 12. Received: 1"),
        ({"exclude": 3}, TypeError, "`exclude` must be a list"),
        ({"exclude": [["a"]] * 12}, TypeError, r"`exclude\[0\]` must be integers"),
        ({"exclude": [[]] * 3 + [[1.5]] * 9}, TypeError, r"`exclude\[3\]` must be integers"),
        ({"exclude": [[2]] * 11 + [[-3]]}, ValueError, r"`exclude\[11\]` must not be negative"),
        ({"rerank": lambda q, n: None}, TypeError, "`rerank`.*Has it no `return`"),
        ({"offset": -1}, ValueError, "`offset` must be at least 0"),
        ({"offset": 1.5}, TypeError, "`offset` must be an integer"),
        ({"rerank": 3}, TypeError, "`rerank` must be a function"),
        ({"rerank": lambda q, n: n.ids[0]}, ValueError, "a number for each neighbor"),
        ({"rerank": lambda q, n: "near"}, TypeError, "`rerank` must be real numbers"),
        ({"rerank": lambda q, n: n.ids, "offset": 1}, ValueError, "cannot be combined"),
        ({"filter": [None]}, ValueError, "expected 12. Received: 1"),
    ],
)
def test_what_cannot_be(index, options, kind, match):
    with pytest.raises(kind, match=match):
        index.lookup(QUERIES, **options)


@pytest.mark.further("exact", "nmslib", "scann")
def test_through_an_engine(make):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3000, 8)).astype(np.float32)
    index = make(8, "euclidean")
    index.add(x, labels=np.arange(3000) // 30)
    index.lookup(x[:1])
    assert index.engine == index.search
    found = index.lookup(x[:40], k=5, distinct="label", exclude=[[i] for i in range(40)])
    assert (found.ids >= 0).all()
    assert (found.ids != np.arange(40)[:, None]).all()
    assert all(len(set(row)) == 5 for row in found.labels.tolist())


def test_a_function_of_distinct_that_returns_nothing_is_warned_of():
    index = Index(1, "euclidean")
    index.add([[0.0], [1.0], [2.0]], data=[1, 2, 2])
    with pytest.warns(UserWarning, match="returned None for 3 payloads.*no `return`"):
        near = index.lookup([[0.0]], k=2, distinct=lambda value: None)
    assert near.ids.tolist() == [[-1, -1]]
    near = index.lookup([[0.0]], k=2, distinct=lambda value: None if value == 1 else value)
    assert near.ids.tolist() == [[1, -1]]
