"""Exact search against pairs in float64."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.search import distance_matrix, nearest
from tensorflow_similarity import distances
from tensorflow_similarity.distances import Distance
from tensorflow_similarity.index import exact_search
from tensorflow_similarity.index.engines import candidates
from tensorflow_similarity.index.engines.exact import ExactScan

PRODUCTS = ["cosine", "euclidean", "squared_euclidean", "inner_product"]
ALL = [*PRODUCTS, "manhattan", "snr"]


def data(queries, keys, dim, seed=0, offset=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    q = rng.normal(size=(queries, dim)) * scale + offset
    x = rng.normal(size=(keys, dim)) * scale + offset
    return q.astype(np.float32), x.astype(np.float32)


@pytest.mark.parametrize("distance", ALL)
@pytest.mark.parametrize(
    ("queries", "keys", "dim", "k"),
    [(1, 1, 1, 1), (1, 700, 5, 3), (3, 50, 7, 50), (17, 333, 16, 10), (40, 1001, 33, 64)],
)
def test_equals_the_reference(distance, queries, keys, dim, k):
    if distance == "snr" and dim == 1:
        pytest.skip("the variance of one number is 0")
    q, x = data(queries, keys, dim)
    positions, values = exact_search(q, x, k, distance)
    expected, true = nearest(q, x, k, distance)
    assert positions.dtype == np.int64
    assert values.dtype == np.float32
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_allclose(values, true, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("distance", PRODUCTS)
@pytest.mark.parametrize("keys", [8191, 8192, 8193, 20_003])
def test_many_blocks_of_keys(distance, keys):
    q, x = data(600, keys, 4)
    positions, values = exact_search(q, x, 5, distance)
    matrix = distance_matrix(q[::97], x, distance)
    np.testing.assert_array_equal(positions[::97], np.argsort(matrix, axis=1)[:, :5])
    np.testing.assert_allclose(values[::97], np.sort(matrix, axis=1)[:, :5], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("distance", PRODUCTS)
def test_k_near_the_number_of_keys(distance):
    q, x = data(20, 5000, 3)
    positions, values = exact_search(q, x, 4990, distance)
    matrix = distance_matrix(q, x, distance)
    np.testing.assert_allclose(values, np.sort(matrix, axis=1)[:, :4990], rtol=1e-5, atol=2e-6)
    assert all(len(set(row)) == 4990 for row in positions.tolist())


@pytest.mark.further("cosine", "euclidean", "squared_euclidean")
@pytest.mark.parametrize("distance", ["cosine", "euclidean", "squared_euclidean", "manhattan"])
def test_a_record_is_at_distance_exactly_zero_from_itself(distance):
    _, x = data(1, 3000, 19, offset=3.0)
    positions, values = exact_search(x, x, 1, distance)
    np.testing.assert_array_equal(positions[:, 0], np.arange(3000))
    np.testing.assert_array_equal(values[:, 0], 0)


@pytest.mark.parametrize("distance", ALL)
@pytest.mark.parametrize("queries", [1, 40])
def test_ties_come_in_the_order_of_positions(distance, queries):
    rng = np.random.default_rng(1)
    few = rng.normal(size=(7, 11)).astype(np.float32)
    which = rng.integers(0, 7, 4000)
    q = rng.normal(size=(queries, 11)).astype(np.float32)
    positions, _ = exact_search(q, few[which], 1000, distance)
    order = np.argsort(distance_matrix(q, few, distance), axis=1)
    for row, nearest_first in zip(positions, order, strict=True):
        expected = np.concatenate([np.flatnonzero(which == group) for group in nearest_first])
        np.testing.assert_array_equal(row, expected[:1000])


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_all_records_equal(distance):
    x = np.full((3000, 8), 0.3, np.float32)
    positions, values = exact_search(x[:50], x, 4, distance)
    np.testing.assert_array_equal(positions, np.tile(np.arange(4), (50, 1)))
    np.testing.assert_array_equal(values, 0)


@pytest.mark.further
def test_masses_of_ties_are_split(monkeypatch):
    monkeypatch.setattr(candidates, "MOST_CANDIDATES", 5000)
    x = np.ones((3000, 4), np.float32)
    positions, _ = exact_search(x[:50], x, 3, "euclidean")
    np.testing.assert_array_equal(positions, np.tile(np.arange(3), (50, 1)))
    positions, _ = exact_search(x[:50], x, 3, "manhattan")
    np.testing.assert_array_equal(positions, np.tile(np.arange(3), (50, 1)))


@pytest.mark.further("1-euclidean", "1-squared_euclidean")
@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
@pytest.mark.parametrize("queries", [1, 30])
def test_near_neighbours_far_from_the_origin(distance, queries):
    rng = np.random.default_rng(2)
    x = (100 + 1e-2 * rng.normal(size=(5000, 32))).astype(np.float32)
    q = (100 + 1e-2 * rng.normal(size=(queries, 32))).astype(np.float32)
    positions, values = exact_search(q, x, 10, distance)
    expected, true = nearest(q, x, 10, distance)
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_allclose(values, true, rtol=1e-5)


@pytest.mark.parametrize("distance", PRODUCTS)
@pytest.mark.parametrize("offset", [0, 100])
def test_few_keys_are_compared_directly(distance, offset):
    """Most of the work is left to the product, also far from the origin."""
    if distance == "cosine" and offset:
        pytest.skip("far from the origin all directions are nearly the same")
    q, x = data(200, 5000, 16, offset=offset)
    form, terms = ExactScan(distances.get(distance)).prepared(x)
    keys = candidates.Keys(form, x, terms, 0, None, None, None)
    found, threshold = candidates.find_candidates(q, keys, 10)
    assert len(found.within(threshold)[0]) < 200 * 10 * 1.2


@pytest.mark.parametrize("distance", PRODUCTS)
@pytest.mark.parametrize("scale", [1e-20, 1e-6, 1e4, 1e15])
def test_any_scale(distance, scale):
    q, x = data(20, 500, 8, scale=scale)
    vanish = scale < 1e-10 and distance != "cosine"
    with pytest.warns(UserWarning, match="vanish") if vanish else contextlib.nullcontext():
        positions, values = exact_search(q, x, 5, distance)
    expected, true = nearest(q, x, 5, distance)
    if not vanish:
        np.testing.assert_array_equal(positions, expected)
    np.testing.assert_allclose(values, true, rtol=1e-4, atol=1e-37)


def test_rows_of_zeros_are_at_cosine_distance_one():
    x = np.array([[0, 0], [1, 0], [-1, 0], [0, 0]], np.float32)
    positions, values = exact_search([[0, 0], [2, 0]], x, 4, "cosine")
    np.testing.assert_array_equal(values, [[1, 1, 1, 1], [0, 1, 1, 2]])
    np.testing.assert_array_equal(positions, [[0, 1, 2, 3], [1, 0, 3, 2]])


def test_one_outlier_does_not_blur_the_others():
    q, x = data(40, 3000, 16)
    x[1234] *= 1e6
    positions, values = exact_search(q, x, 3, "euclidean")
    expected, true = nearest(q, x, 3, "euclidean")
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_allclose(values, true, rtol=1e-5)


class Chebyshev(Distance):
    name = "cosine"  # a name that is taken must not make it another distance

    def pairwise(self, queries, keys):
        import keras

        return keras.ops.max(keras.ops.abs(queries[:, None] - keys[None]), axis=-1)


@pytest.mark.parametrize("distance", [Chebyshev(), lambda q, x: Chebyshev().pairwise(q, x)])
def test_a_distance_of_the_user(distance):
    q, x = data(4, 300, 6)
    positions, values = exact_search(q, x, 3, distance)
    matrix = np.abs(q[:, None].astype(float) - x[None]).max(-1)
    np.testing.assert_array_equal(positions, np.argsort(matrix, axis=1)[:, :3])
    np.testing.assert_allclose(values, np.sort(matrix, axis=1)[:, :3], rtol=1e-6)


def test_a_distance_that_gives_nan_is_an_error():
    with pytest.raises(ValueError, match="gave NaN"):
        exact_search([[1.0]], [[1.0]], 1, lambda q, x: q @ np.full((1, 1), np.nan, np.float32))


@settings(max_examples=40)
@given(st.data())
def test_on_grids_full_of_ties(draw):
    """Small integers: every distance is exact in float32, ties are everywhere."""
    distance = draw.draw(st.sampled_from(["euclidean", "squared_euclidean", "inner_product"]))
    n, dim = draw.draw(st.integers(1, 200)), draw.draw(st.integers(1, 3))
    rng = np.random.default_rng(draw.draw(st.integers(0, 2**32 - 1)))
    x = rng.integers(-2, 3, (n, dim)).astype(np.float32)
    q = rng.integers(-2, 3, (draw.draw(st.integers(1, 30)), dim)).astype(np.float32)
    k = draw.draw(st.integers(1, 60))
    positions, values = exact_search(q, x, k, distance)
    expected, true = nearest(q, x, k, distance)
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_allclose(values, true, rtol=1e-6)


@pytest.mark.parametrize("distance", ALL)
@pytest.mark.parametrize("queries", [1, 20])
@pytest.mark.parametrize("share", [0.05, 0.9])
@pytest.mark.parametrize("dim", [6, 16, 40])
def test_under_a_mask_with_other_ids(distance, queries, share, dim):
    q, x = data(queries, 1500, dim)
    x[::3] = x[0]  # ties, which ids decide
    rng = np.random.default_rng(3)
    mask, ids = rng.random(1500) < share, rng.permutation(1500) + 7
    start = 200
    rows, values = ExactScan(distances.get(distance)).search(q, x, 30, start, mask, ids)
    allowed = np.flatnonzero(mask & (np.arange(1500) >= start))
    # By its rows in float32, equal rows are equal; their order is by id.
    unique = {row.tobytes(): i for i, row in reversed(list(enumerate(x)))}
    matrix = distance_matrix(q, x, distance)
    for found, value, row in zip(rows, values, matrix, strict=True):
        first = [unique[r.tobytes()] for r in x]
        expected = sorted(allowed, key=lambda j: (row[first[j]], ids[j]))[:30]
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(value, row[expected], rtol=2e-5, atol=2e-6)


def test_rows_that_came_later():
    q, x = data(5, 300, 4)
    scan = ExactScan(distances.get("l2"))
    for n in (10, 11, 150, 300):
        rows, _ = scan.search(q, x[:n], 3)
        np.testing.assert_array_equal(rows, nearest(q, x[:n], 3, "euclidean")[0])


def test_no_queries():
    positions, values = exact_search(np.empty((0, 3)), np.ones((5, 3)), 2)
    assert positions.shape == values.shape == (0, 2)


@pytest.mark.parametrize(
    ("queries", "keys", "k", "error", "message"),
    [
        ([[1.0, 2.0]], [[1.0]], 1, ValueError, "`queries` must have embedding size 1"),
        ([[1.0]], [[np.nan]], 1, ValueError, "`keys` must be finite"),
        ([[1.0]], [[1.0]], 0, ValueError, "`k` must be at least 1"),
        ([[1.0]], [[1.0]], 1.5, TypeError, "`k` must be an integer"),
        ([1.0], [[1.0]], 1, ValueError, "x\\[None, :\\]"),
    ],
)
def test_errors(queries, keys, k, error, message):
    with pytest.raises(error, match=message):
        exact_search(queries, keys, k)
