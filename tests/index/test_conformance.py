"""One behaviour for all engines: the same ids, distances, padding and life."""

import numpy as np
import pytest

from oracle.search import nearest

ALL = ["cosine", "euclidean", "squared_euclidean", "inner_product", "manhattan", "snr"]


def vectors(n, dim=12, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def assert_equal_to_reference(index, records, queries, k):
    """`records`: a dict from id to embedding."""
    ids = np.array(sorted(records))
    found = index.lookup(queries, k=k)
    expected, true = nearest(
        queries, np.array([records[i] for i in ids]), k, index.distance.name, ids
    )
    n = expected.shape[1]
    np.testing.assert_array_equal(found.ids[:, :n], expected)
    np.testing.assert_allclose(found.distances[:, :n], true, rtol=2e-5, atol=2e-6)
    assert found.ids.shape == (len(queries), k)
    assert (found.ids[:, n:] == -1).all()
    assert (found.labels[:, n:] == -1).all()
    assert np.isposinf(found.distances[:, n:]).all()
    assert (found.ids.dtype, found.distances.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("distance", ALL)
def test_finds_the_nearest_with_true_distances(make, engine, distance):
    index = make(12, distance)
    x = vectors(400)
    ids = index.add(x)
    np.testing.assert_array_equal(ids, np.arange(400))
    for queries in (1, 30):
        assert_equal_to_reference(index, dict(enumerate(x)), vectors(queries, seed=1), 7)
    knows = distance != "manhattan"
    assert index.engine == (engine if knows else "exact")


@pytest.mark.further(
    "exact-cosine",
    "exact-euclidean",
    "exact-inner_product",
    "faiss-euclidean",
    "faiss_ivf-inner_product",
    "nmslib-inner_product",
    "scann-euclidean",
    "usearch-inner_product",
)
@pytest.mark.parametrize("distance", ["cosine", "euclidean", "inner_product"])
def test_a_life(make, distance):
    """Whatever happens, results are those of an index built of what is there."""
    index = make(12, distance)
    x, q = vectors(600), vectors(20, seed=1)
    index.add(x[:300])
    records = dict(enumerate(x[:300]))
    assert_equal_to_reference(index, records, q, 5)  # the graph is built here

    index.add(x[300:310], ids=np.arange(1000, 1010))
    records |= dict(zip(range(1000, 1010), x[300:310], strict=True))
    assert_equal_to_reference(index, records, q, 5)

    gone = [0, 7, 299, 1003]
    index.delete(gone)
    for i in gone:
        del records[i]
    assert_equal_to_reference(index, records, q, 5)

    index.upsert([5, 7, 5000], x[310:313])
    records |= {5: x[310], 7: x[311], 5000: x[312]}
    assert_equal_to_reference(index, records, q, 5)

    index.update([1005, 8], embeddings=x[313:315])
    records |= {1005: x[313], 8: x[314]}
    assert_equal_to_reference(index, records, q, 5)

    assigned = index.add(x[315:317])
    np.testing.assert_array_equal(assigned, [5001, 5002])
    records |= {5001: x[315], 5002: x[316]}
    assert_equal_to_reference(index, records, q, 5)

    index.compact()  # the graph is built anew here
    assert index.stats()["deleted"] == index.stats().get("scanned", 0) == 0
    assert_equal_to_reference(index, records, q, 5)
    np.testing.assert_array_equal(index.ids, sorted(records))
    assert len(index) == len(records)

    most = np.array(sorted(records))[:-4]
    index.delete(most)
    for i in most.tolist():
        del records[i]
    assert_equal_to_reference(index, records, q, 9)  # k is more than there are


@pytest.mark.further("exact", "faiss_ivf", "faiss_pq", "nmslib", "scann")
def test_what_was_added_is_found_at_once(make):
    index = make(12, "euclidean")
    x = vectors(300)
    index.add(x)
    index.lookup(x[:1])
    for i, row in enumerate(vectors(20, seed=2)):
        (id_,) = index.add(row[None])
        found = index.lookup(row[None], k=1)
        assert found.ids.item() == id_ == 300 + i
        assert found.distances.item() == 0
        index.delete(id_)
        assert index.lookup(row[None], k=1).ids.item() != id_


@pytest.mark.further("exact", "faiss_ivf", "faiss_pq", "nmslib", "scann")
def test_never_fewer_than_k_while_there_are_k(make):
    """Tombstones where the query is: all its near records are gone."""
    index = make(12, "euclidean")
    x = vectors(500)
    index.add(x)
    near = index.lookup(x[:1], k=400)
    index.delete(near.ids[0, :390])
    found = index.lookup(x[:1], k=50)
    np.testing.assert_array_equal(found.ids[0, :10], near.ids[0, 390:])
    assert (found.ids >= 0).all()
    assert len(set(found.ids[0].tolist())) == 50


@pytest.mark.further(
    "exact-cosine",
    "exact-euclidean",
    "exact-squared_euclidean",
    "faiss-cosine",
    "faiss_ivf-euclidean",
    "faiss_pq-euclidean",
    "nmslib-euclidean",
    "prefix-squared_euclidean",
    "scann-euclidean",
    "usearch-squared_euclidean",
)
@pytest.mark.parametrize("distance", ["cosine", "euclidean", "squared_euclidean"])
def test_a_record_is_at_distance_exactly_zero_from_itself(make, distance):
    index = make(12, distance)
    x = vectors(300)
    index.add(x)
    found = index.lookup(x, k=1)
    np.testing.assert_array_equal(found.ids[:, 0], np.arange(300))
    np.testing.assert_array_equal(found.distances, 0)


@pytest.mark.parametrize("distance", ALL)
def test_equal_distances_come_in_the_order_of_ids(make, distance):
    index = make(12, distance)
    x = np.repeat(vectors(5), 4, axis=0)
    ids = np.random.default_rng(0).permutation(20) + 3
    index.add(x, ids=ids)
    index.upsert(ids[:6], x[:6])
    found = index.lookup(x, k=20)
    rows = dict(zip(ids.tolist(), x, strict=True))
    for i in range(20):
        expected, _ = nearest(
            x[i : i + 1], np.array([rows[j] for j in sorted(rows)]), 20, distance, sorted(rows)
        )
        groups = found.ids[i].reshape(5, 4)
        np.testing.assert_array_equal(groups, np.sort(groups, axis=1))
        np.testing.assert_array_equal(groups, np.sort(expected[0].reshape(5, 4), axis=1))


def test_labels_of_any_size_and_absent_ones(make):
    index = make(2, "euclidean")
    index.add([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 3.0]], labels=[2**53 + 1, None, -1, 0])
    index.add([[0.0, 4.0]])
    found = index.lookup([[0.0, 0.0]], k=6)
    np.testing.assert_array_equal(found.labels, [[2**53 + 1, -1, -1, 0, -1, -1]])
    # -1 says that there is none, as everywhere.
    assert [hit.label for hit in found[0]] == [2**53 + 1, None, None, 0, None]


def test_other_numbers_than_float32(make):
    index = make(3, "euclidean")
    index.add(np.array([[1, 2, 3]], np.int8))
    index.add(np.array([[1, 2, 4]], np.float16))
    index.add(np.asfortranarray(np.array([[1, 2, 5], [1, 2, 6]], np.float64)))
    np.testing.assert_array_equal(index.lookup([[1, 2, 3]], k=4).distances, [[0, 1, 2, 3]])


def test_what_the_caller_changes_later_does_not_matter(make):
    index = make(2, "euclidean")
    x, payload = np.zeros((1, 2), np.float32), np.zeros((1, 3))
    index.add(x, data=payload)
    x += 5
    payload += 5
    found = index.lookup([[0.0, 0.0]], k=1)
    assert found.distances.item() == 0
    np.testing.assert_array_equal(found[0][0].data, 0)


def test_no_queries_and_no_records(make):
    index = make(3)
    assert len(index.add(np.empty((0, 3)))) == 0
    index.add(np.ones((2, 3)))
    found = index.lookup(np.empty((0, 3)), k=4)
    assert found.ids.shape == found.distances.shape == found.labels.shape == (0, 4)
    assert list(found) == []


@pytest.mark.further("exact-1", "exact-25", "faiss_ivf-25", "nmslib-1", "scann-25")
@pytest.mark.parametrize("queries", [1, 25])
def test_filters(make, queries):
    index = make(12, "euclidean")
    x, q = vectors(400), vectors(queries, seed=1)
    labels = np.arange(400) % 8
    index.add(x, labels=labels, data=[{"odd": bool(i % 2), "i": i} for i in range(400)])
    index.lookup(q)
    index.delete(np.arange(0, 400, 40))
    live = np.setdiff1d(np.arange(400), np.arange(0, 400, 40))

    def check(filter, allowed, k=6):
        allowed = np.intersect1d(allowed, live).astype(int)
        found = index.lookup(q, k=k, filter=filter)
        expected, true = nearest(q, x[allowed], k, "euclidean", allowed)
        expected, true = expected.astype(int), true.reshape(len(q), -1)
        n = expected.shape[1]
        np.testing.assert_array_equal(found.ids[:, :n], expected)
        np.testing.assert_allclose(found.distances[:, :n], true, rtol=1e-5)
        assert (found.ids[:, n:] == -1).all()

    check({"labels": 3}, np.flatnonzero(labels == 3))
    check({"labels": [1, 2, 99]}, np.flatnonzero((labels == 1) | (labels == 2)))
    check({"ids": [5, 6, 7, 40, 12345]}, [5, 6, 7])
    check(lambda data: data["odd"], np.arange(1, 400, 2))
    check({"data": lambda d: d["i"] < 100, "labels": [1]}, np.arange(1, 100, 8))
    check({"labels": 3, "ids": np.arange(50)}, np.arange(3, 50, 8))
    check({"labels": 12345}, [])


@pytest.mark.slow_cases("prefix")
def test_a_filter_far_from_the_query(make):
    """The graph's nearest are all filtered out, and the answer is still right."""
    index = make(2, "euclidean")
    x = np.concatenate([vectors(300, 2) * 0.1, vectors(30, 2, seed=1) * 0.1 + 100])
    index.add(x, labels=[0] * 300 + [1] * 30)
    found = index.lookup([[0.0, 0.0]], k=30, filter={"labels": 1})
    assert sorted(found.ids[0].tolist()) == list(range(300, 330))


def test_clear(make):
    index = make(3)
    index.add(np.eye(3))
    index.lookup(np.eye(3))
    index.clear()
    assert len(index) == 0
    np.testing.assert_array_equal(index.add(np.eye(3)), [3, 4, 5])
    np.testing.assert_array_equal(index.lookup(np.eye(3), k=1).ids[:, 0], [3, 4, 5])


@pytest.mark.further("exact", "nmslib", "faiss_ivf")
def test_a_large_k(make):
    index = make(12, "euclidean")
    x = vectors(600)
    index.add(x)
    assert_equal_to_reference(index, dict(enumerate(x)), x[:2], 600)


def test_get_may_repeat(make):
    index = make(2)
    index.add(np.eye(2), labels=[3, 4])
    records = index.get([1, 0, 1])
    np.testing.assert_array_equal(records.labels, [4, 3, 4])
    np.testing.assert_array_equal(records.ids, [1, 0, 1])
    assert len(index.get([])) == 0
