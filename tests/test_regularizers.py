"""Penalties on embeddings and proxies, against their formulas."""

import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from oracle.gradients import finite_differences
from tensorflow_similarity import regularizers
from tensorflow_similarity.layers import L2Embedding, ProxyHead

RNG = np.random.default_rng(0)
ROWS, CENTERS = RNG.normal(size=(7, 4)), RNG.normal(size=(3, 4, 5))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def koleo(x):
    z = unit(x)
    return -np.sum(
        [
            np.log(min(np.linalg.norm(z[i] - z[j]) for j in range(len(z)) if j != i))
            for i in range(len(z))
        ]
    )


def regular_face(x):
    if x.ndim == 3:
        x = unit(x).mean(axis=1)
    z = unit(x)
    return np.mean([max(z[i] @ z[j] for j in range(len(z)) if j != i) for i in range(len(z))])


def sparse_centers(x):
    z = unit(x)
    return np.mean(
        [
            np.sqrt(2 - 2 * of_class[a] @ of_class[b] + 1e-5)
            for of_class in z
            for a, b in itertools.combinations(range(len(of_class)), 2)
        ]
    )


def zero_mean(x):
    return np.mean(np.abs(x.sum(axis=-1)))


CASES = {
    "koleo": (regularizers.KoLeo, koleo, ROWS),
    "regular_face": (regularizers.RegularFace, regular_face, ROWS),
    "regular_face_of_centers": (regularizers.RegularFace, regular_face, CENTERS),
    "sparse_centers": (regularizers.SparseCenters, sparse_centers, CENTERS),
    "zero_mean": (regularizers.ZeroMean, zero_mean, ROWS),
    "zero_mean_of_centers": (regularizers.ZeroMean, zero_mean, CENTERS),
}
each = pytest.mark.parametrize("name", CASES)


def value_and_gradient_of(regularizer, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = regularizer(x)
    return value, tf.convert_to_tensor(tape.gradient(value, x))


def value_and_gradient(regularizer, x):
    found = value_and_gradient_of(regularizer, tf.convert_to_tensor(x))
    return tuple(each.numpy() for each in found)


@each
def test_value_and_gradient_are_the_formulas(name):
    cls, formula, x = CASES[name]
    value, gradient = value_and_gradient(cls(0.5), x)
    np.testing.assert_allclose(value, 0.5 * formula(x), rtol=1e-9)
    wanted = finite_differences(lambda z: 0.5 * formula(z), x)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-8)


@each
@pytest.mark.further("regular_face", "zero_mean", "zero_mean_of_centers")
def test_finite_in_the_corners(name):
    cls, _, x = CASES[name]
    for corner in (0 * x, 0 * x + 1, 1e6 * x, 1e-6 * x, x[:1]):
        value, gradient = value_and_gradient(cls(1.0), corner.astype("float32"))
        assert np.isfinite(value), corner
        assert np.isfinite(gradient).all(), corner


@each
def test_config(name):
    cls, _, x = CASES[name]
    config = json.loads(json.dumps(keras.regularizers.serialize(cls(0.3))))
    again = keras.regularizers.deserialize(config)
    assert repr(again) == f"{cls.__name__}(weight=0.3)"
    np.testing.assert_array_equal(again(tf.constant(x)), cls(0.3)(tf.constant(x)))


def test_a_layer_adds_the_mean_over_its_batch():
    layer = L2Embedding(4, activity_regularizer=regularizers.KoLeo(0.1))
    z = layer(ROWS.astype("float32"))
    np.testing.assert_allclose(layer.losses[0], 0.1 * koleo(z.numpy()) / len(z), rtol=1e-4)


@pytest.mark.parametrize("multiplier", [1.0, 10.0])
def test_a_head_adds_that_of_its_proxies(multiplier):
    head = ProxyHead(
        3, 4, learning_rate_multiplier=multiplier, proxy_regularizer=regularizers.SparseCenters(0.2)
    )
    with tf.GradientTape() as tape:
        head(np.ones((2, 5), "float32"))
        [penalty] = head.losses
    np.testing.assert_allclose(
        penalty, 0.2 * sparse_centers(np.asarray(head.proxies, "float64")), rtol=1e-5
    )
    assert np.abs(tape.gradient(penalty, head.weights[0])).max() > 0
    again = ProxyHead.from_config(json.loads(json.dumps(head.get_config())))
    assert repr(again.proxy_regularizer) == "SparseCenters(weight=0.2)"


@pytest.mark.parametrize(
    ("weight", "error"),
    [(-1, ValueError), (float("nan"), ValueError), ("1", TypeError), (True, TypeError)],
)
def test_weights_are_numbers_of_at_least_0(weight, error):
    with pytest.raises(error, match="`weight`"):
        regularizers.KoLeo(weight)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["KoLeo", "RegularFace", "ZeroMean"])
def test_half_precision_is_no_less_exact(name, dtype):
    penalty = getattr(regularizers, name)(1.0)
    for rows in (ROWS[:1], np.repeat(ROWS[:1], 5, 0), np.zeros((5, 4)), ROWS, ROWS[:, :1]):
        x = tf.Variable(tf.cast(rows, dtype))
        with tf.GradientTape() as tape:
            value = penalty(x)
        gradient = tf.cast(tape.gradient(value, x), "float32")
        assert np.isfinite(gradient).all()
        np.testing.assert_allclose(value, penalty(tf.cast(x, "float32")), rtol=1e-6)


@pytest.mark.parametrize("known", [True, False])
def test_a_batch_of_none_has_no_penalty(known):
    """A replica may have no rows."""
    penalty = tf.function(
        lambda x: value_and_gradient_of(regularizers.KoLeo(), x),
        input_signature=[tf.TensorSpec([0 if known else None, 4])],
    )
    value, gradient = penalty(tf.zeros((0, 4)))
    assert value == 0
    assert gradient.shape == (0, 4)


def test_sparse_centers_need_centers():
    with pytest.raises(ValueError, match="KoLeo takes embeddings"):
        regularizers.KoLeo()(tf.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="SparseCenters"):
        regularizers.SparseCenters()(tf.ones((3, 4)))
