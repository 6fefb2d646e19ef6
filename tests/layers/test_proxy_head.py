import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from oracle.proxy_losses import cosines
from tensorflow_similarity.layers import ProxyHead
from tensorflow_similarity.losses import NormalizedSoftmaxLoss

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


@pytest.mark.parametrize("centers", [1, 3])
@pytest.mark.parametrize("multiplier", [1.0, 8.0])
def test_output_is_cosines(centers, multiplier):
    head = ProxyHead(5, centers=centers, learning_rate_multiplier=multiplier)
    x = X.copy()
    x[0] = 0
    out = head(x).numpy()
    assert out.shape == head.compute_output_shape(x.shape)
    assert head(keras.Input((4,))).shape == (None, *out.shape[1:])
    np.testing.assert_allclose(out, cosines(x, head.proxies.numpy()), rtol=1e-5, atol=1e-6)


def test_proxies_begin_in_random_directions_of_length_about_one():
    head = ProxyHead(200, learning_rate_multiplier=50)
    head.build((None, 300))
    lengths = np.linalg.norm(head.proxies.numpy(), axis=-1)
    np.testing.assert_allclose(lengths, 1, atol=0.25)
    head = ProxyHead(3, proxy_initializer="ones", learning_rate_multiplier=4)
    head.build((None, 2))
    np.testing.assert_array_equal(head.proxies, np.ones((3, 1, 2)))


def test_gradients_of_rows_of_zeros_are_finite():
    head = ProxyHead(3, proxy_initializer="zeros")
    x = tf.zeros((2, 4))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(head(x))
    for gradient in tape.gradient(value, [x, head.trainable_variables[0].value]):
        np.testing.assert_array_equal(gradient, np.zeros(gradient.shape))


OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "momentum": lambda lr: keras.optimizers.SGD(lr, momentum=0.9),
    "adam": keras.optimizers.Adam,
}


def trained_proxies(optimizer, multiplier, steps=4):
    head = ProxyHead(3, learning_rate_multiplier=multiplier)
    head.build((None, 4))
    start = np.random.default_rng(1).normal(size=(3, 1, 4)).astype("float32")
    head.set_weights([start / np.float32(multiplier)])
    loss, labels = NormalizedSoftmaxLoss(temperature=0.5), [0, 1, 2, 0, 1, 2]
    values = []
    for _ in range(steps):
        with tf.GradientTape() as tape:
            value = loss(labels, head(X))
        variable = head.trainable_variables[0]
        optimizer.apply([tape.gradient(value, variable.value)], [variable])
        values.append(float(value))
    return head.proxies.numpy(), start, values


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.further
def test_the_multiplier_is_one_of_the_learning_rate(name):
    multiplied, start, values = trained_proxies(OPTIMIZERS[name](0.01), multiplier=8.0)
    faster, *_ = trained_proxies(OPTIMIZERS[name](0.08), multiplier=1.0)
    slower, *_ = trained_proxies(OPTIMIZERS[name](0.01), multiplier=1.0)
    np.testing.assert_allclose(multiplied - start, faster - start, rtol=1e-3, atol=1e-6)
    assert np.abs(multiplied - start).sum() > 4 * np.abs(slower - start).sum() > 0
    assert values[-1] < values[0]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_dtypes(policy):
    head = ProxyHead(3, dtype=policy)
    wide = "float64" if policy == "float64" else "float32"
    x = X.astype(wide) * 300  # Squares overflow in float16.
    out = head(x)
    assert out.dtype == wide == head(keras.Input((4,), dtype=wide)).dtype
    exact = cosines(x, head.proxies.numpy())
    np.testing.assert_allclose(out, exact, atol=1e-12 if wide == "float64" else 1e-6)


def test_config_round_trip():
    head = ProxyHead(7, 2, "he_normal", 10.0, name="proxies", trainable=False)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(head)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == head.get_config()
    assert ProxyHead.from_config(ProxyHead(7).get_config()).proxy_initializer is None


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"classes": 0}, "`classes`"),
        ({"classes": 2.0}, "`classes`"),
        ({"classes": 3, "centers": 0}, "`centers`"),
        ({"classes": 3, "learning_rate_multiplier": 0}, "`learning_rate_multiplier`.*Received: 0"),
        ({"classes": 3, "learning_rate_multiplier": float("inf")}, "`learning_rate_multiplier`"),
    ],
)
def test_wrong_arguments_are_refused(arguments, match):
    with pytest.raises((TypeError, ValueError), match=match):
        ProxyHead(**arguments)
