"""A user's own distance: a class with one method, or a function."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from oracle import distances as oracle
from tensorflow_similarity import distances
from tensorflow_similarity.distances import CallableDistance, Distance
from tensorflow_similarity.losses import ContrastiveLoss, TripletLoss, TripletSemiHardLoss


@keras.saving.register_keras_serializable(package="test_custom_distances")
class MinkowskiDistance(Distance):
    name = "minkowski"

    def __init__(self, order=3.0):
        self.order = order

    def pairwise(self, queries, keys):
        differences = ops.abs(queries[:, None, :] - keys[None, :, :])
        # A root has no gradient at 0, where a row meets itself.
        powers = ops.maximum(ops.sum(differences**self.order, axis=-1), 1e-30)
        return powers ** (1 / self.order)

    def get_config(self):
        return {"order": self.order}


@keras.saving.register_keras_serializable(package="test_custom_distances")
def chebyshev(queries, keys):
    return ops.max(ops.abs(queries[:, None, :] - keys[None, :, :]), axis=-1)


def _minkowski(order):
    return lambda a, b: np.sum(np.abs(a - b) ** order) ** (1 / order)


def _ids(value):
    return repr(value) if isinstance(value, Distance) else ""


OWN = [
    (MinkowskiDistance(4.0), _minkowski(4.0)),
    (CallableDistance(chebyshev), lambda a, b: np.max(np.abs(a - b))),
]


@pytest.fixture
def embeddings():
    return np.random.default_rng(0).normal(size=(12, 5)).astype("float32")


@pytest.mark.parametrize(("distance", "definition"), OWN, ids=_ids)
def test_values(distance, definition, embeddings):
    expected = oracle.matrix(definition, embeddings, embeddings[:7])
    np.testing.assert_allclose(distance(embeddings, embeddings[:7]), expected, rtol=1e-5, atol=1e-6)
    half = ops.cast(embeddings, "float16")
    assert keras.backend.standardize_dtype(distance(half, half).dtype) == "float32"


@pytest.mark.parametrize(("distance", "definition"), OWN, ids=_ids)
@pytest.mark.further("MinkowskiDistance(order=4.0)-")
def test_paired_comes_with_pairwise(distance, definition, embeddings):
    a, b = embeddings[:6], embeddings[6:]
    expected = oracle.matrix(definition, a, b)
    np.testing.assert_allclose(distance.paired(a, b), np.diag(expected), rtol=1e-5)
    broadcast = distance.paired(a[:, None, :], b[None, :, :])
    np.testing.assert_allclose(broadcast, expected, rtol=1e-5)
    with tf.GradientTape() as tape:
        x = tf.constant(a)
        tape.watch(x)
        total = tf.reduce_sum(distance.paired(x, b))
    assert np.abs(tape.gradient(total, x)).sum() > 0


@pytest.mark.parametrize(("distance", "definition"), OWN, ids=_ids)
def test_round_trip(distance, definition):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(distance)))
    again = keras.saving.deserialize_keras_object(config)
    assert again == distance
    assert distances.get(config) == distance
    assert again.get_config() == distance.get_config()


def test_orders_make_different_distances():
    assert MinkowskiDistance(3.0) != MinkowskiDistance(4.0)
    assert MinkowskiDistance(3.0) == MinkowskiDistance(3.0)
    assert repr(MinkowskiDistance(3.0)) == "MinkowskiDistance(order=3.0)"


def test_get_wraps_a_function():
    distance = distances.get(chebyshev)
    assert isinstance(distance, CallableDistance)
    assert distance.name == "chebyshev"
    assert repr(distance) == "CallableDistance(chebyshev)"
    with pytest.raises(TypeError, match="`function` must be callable"):
        CallableDistance(3)


def test_a_subclass_without_pairwise_says_so():
    class Empty(Distance):
        pass

    with pytest.raises(NotImplementedError, match="Empty must implement `pairwise`"):
        Empty()([[1.0]], [[1.0]])


@pytest.mark.parametrize(("distance", "definition"), OWN, ids=_ids)
@pytest.mark.parametrize(
    "make",
    [TripletLoss, ContrastiveLoss, pytest.param(TripletSemiHardLoss, marks=pytest.mark.slow)],
)
@pytest.mark.further(
    "ContrastiveLoss-CallableDistance(chebyshev)-", "ContrastiveLoss-MinkowskiDistance(order=4.0)-"
)
def test_a_loss_takes_it_trains_and_keeps_it(make, distance, definition, embeddings):
    labels = np.arange(12) % 3
    loss = make(distance=distance)
    with tf.GradientTape() as tape:
        x = tf.constant(embeddings)
        tape.watch(x)
        value = loss(labels, x)
    gradient = tape.gradient(value, x)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).sum() > 0
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.distance == distance
    np.testing.assert_array_equal(again(labels, embeddings), value)


@pytest.mark.further
def test_a_function_that_uses_tensorflow_works_in_a_graph(embeddings):
    def scaled(queries, keys):
        return 2 * tf.norm(queries[:, None, :] - keys[None, :, :] + 1e-9, axis=-1)

    labels = np.arange(12) % 3
    loss = TripletLoss(distance=scaled, margin=2.0)
    expected = 2 * TripletLoss(distance="euclidean", margin=1.0)(labels, embeddings)
    np.testing.assert_allclose(loss(labels, embeddings), expected, rtol=1e-5)
    np.testing.assert_allclose(tf.function(loss)(labels, embeddings), expected, rtol=1e-5)
