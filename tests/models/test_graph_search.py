"""The search in the graph is exact: against the formula in float64, on hard data too."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from oracle.search import distance_matrix
from tensorflow_similarity import distances
from tensorflow_similarity.distances import Distance
from tensorflow_similarity.models import graph_search as module
from tensorflow_similarity.models.graph_search import graph_search

RNG = np.random.default_rng(0)
KEYS = RNG.normal(size=(700, 12)).astype("float32")
QUERIES = RNG.normal(size=(9, 12)).astype("float32")
NAMES = ["cosine", "euclidean", "squared_euclidean", "inner_product", "manhattan", "snr"]


def search(distance, keys, queries, k, compiled=False):
    found = graph_search(distances.get(distance), keys)
    if compiled:  # as it is exported; that takes a while
        found = tf.function(
            found.__call__,
            input_signature=[tf.TensorSpec([None, keys.shape[1]]), tf.TensorSpec([], tf.int32)],
            autograph=False,
        )
    return [column.numpy() for column in found(tf.constant(queries), tf.constant(k))]


def check(distance, keys, queries, k, tolerance=1e-5, compiled=False):
    """Every distance is that of its key, and no key that is left out is nearer."""
    positions, values = search(distance, keys, queries, k, compiled)
    true = distance_matrix(queries, keys, distance)
    kept = min(k, len(keys))
    assert positions.shape == values.shape == (len(queries), kept)
    assert all(len(set(row)) == kept for row in positions.tolist())
    np.testing.assert_allclose(
        values, np.take_along_axis(true, positions, 1), rtol=tolerance, atol=tolerance
    )
    np.testing.assert_allclose(values, np.sort(true, 1)[:, :kept], rtol=tolerance, atol=tolerance)
    return positions, values


@pytest.mark.parametrize("distance", NAMES)
@pytest.mark.further("manhattan")
def test_it_finds_the_nearest(distance):
    check(distance, KEYS, QUERIES, 5, compiled=True)
    check(distance, KEYS[:3], QUERIES, 5)


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
def test_a_shared_offset_does_not_drown_differences(distance):
    near = (100 + KEYS / 100).astype("float32")
    positions, values = check(distance, near, near[:6], 4, tolerance=1e-6)
    np.testing.assert_array_equal(positions[:, 0], np.arange(6))
    np.testing.assert_array_equal(values[:, 0], 0)


@pytest.mark.parametrize("distance", NAMES)
def test_equal_distances_come_in_the_order_of_keys(distance):
    # Far more of them than are compared at first.
    keys = np.repeat(KEYS[:2], 300, axis=0)
    positions, _ = check(distance, keys, QUERIES, 8)
    for row in positions:
        np.testing.assert_array_equal(row - row[0], np.arange(8))
        assert row[0] in (0, 300)


@pytest.mark.further
def test_near_ties_are_told_apart_where_the_product_cannot():
    # Differences of 1e-6 at a distance of 1: below the error of the product. The nearest is last.
    keys = np.zeros((2000, 12), np.float32)
    keys[:, 0] = 1 + 1e-6 * np.arange(2000)[::-1]
    positions, _ = search("euclidean", keys, np.zeros((1, 12), np.float32), 3, True)
    np.testing.assert_array_equal(positions, [[1999, 1998, 1997]])


def test_rows_of_zeros():
    keys = KEYS.copy()
    keys[::2] = 0
    check("cosine", keys, QUERIES, 500)
    check("cosine", keys, np.zeros((2, 12), np.float32), 5)


def test_many_queries_go_in_blocks(monkeypatch):
    whole = search("cosine", KEYS, QUERIES, 4)
    monkeypatch.setattr(module, "_TEMPORARY", 2 * len(KEYS) + 1)
    for one, other in zip(whole, search("cosine", KEYS, QUERIES, 4), strict=True):
        np.testing.assert_array_equal(one, other)
    assert search("cosine", KEYS, QUERIES[:0], 4)[0].shape == (0, 4)


def test_a_distance_of_ones_own():
    class Chebyshev(Distance):
        # A name that is taken: what counts is the class.
        name = "cosine"

        def pairwise(self, queries, keys):
            return keras.ops.max(keras.ops.abs(queries[:, None] - keys[None]), axis=-1)

    positions, values = search(Chebyshev(), KEYS, QUERIES, 3)
    true = np.abs(QUERIES[:, None] - KEYS[None]).max(-1)
    np.testing.assert_array_equal(positions, np.argsort(true, axis=1)[:, :3])
    np.testing.assert_allclose(values, np.sort(true, 1)[:, :3])
