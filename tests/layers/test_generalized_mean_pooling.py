import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from oracle.gradients import finite_differences
from tensorflow_similarity.layers import GeneralizedMeanPooling1D, GeneralizedMeanPooling2D

POWERS = [-math.inf, -50.0, -1e-3, 0.0, 1e-6, 0.5, 1.0, 3.0, 1e4, math.inf]


def reference(values, p):
    """The formula for the values of one channel, in long doubles."""
    values = np.asarray(values, np.longdouble)
    least = values.min()
    shifted = values - least + 1
    if p == math.inf:
        mean = shifted.max()
    elif p == -math.inf:
        mean = shifted.min()
    elif p == 0:
        mean = np.exp(np.log(shifted).mean())
    else:
        # The greatest term is taken out, for long doubles overflow too.
        top = shifted.max() if p > 0 else shifted.min()
        mean = top * ((shifted / top) ** p).mean() ** (1 / np.longdouble(p))
    return float(mean - 1 + least)


def pooled_1d(x, p):
    return np.array([[reference(row[:, c], p) for c in range(x.shape[2])] for row in x])


@pytest.mark.parametrize("p", POWERS)
def test_values_follow_the_formula_whatever_the_power(p):
    x = np.random.default_rng(0).normal(size=(4, 11, 3)).astype("float32") * 5
    y = ops.convert_to_numpy(GeneralizedMeanPooling1D(p=p)(x))
    assert y.dtype == "float32"
    np.testing.assert_allclose(y, pooled_1d(x, p), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("p", [-2.0, 0.0, 3.0, math.inf])
def test_maps_are_pooled_over_both_axes(p):
    x = np.random.default_rng(1).normal(size=(2, 3, 5, 4)).astype("float32")
    y = ops.convert_to_numpy(GeneralizedMeanPooling2D(p=p)(x))
    expected = pooled_1d(x.reshape(2, 15, 4), p)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_golden_value():
    # ((1 + 8 + 27) / 3) ** (1 / 3) - 1, by hand.
    y = GeneralizedMeanPooling1D(p=3)(np.array([[[0.0], [1.0], [2.0]]]))
    np.testing.assert_allclose(y, [[12 ** (1 / 3) - 1]], rtol=1e-6)


@pytest.mark.parametrize("p", [-50.0, 0.0, 1e-6, 3.0, 1e4])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e30])
@pytest.mark.parametrize("peaks", ["one peak", "spread", "constant"])
def test_any_scale_is_accurate_with_finite_gradients(p, scale, peaks):
    x = np.random.default_rng(2).normal(size=(2, 1024, 2))
    if peaks == "one peak":
        x = np.zeros_like(x)
        x[:, 7] = 1
    elif peaks == "constant":
        x = np.ones_like(x)
    x = tf.constant(x * scale, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = GeneralizedMeanPooling1D(p=p)(x)
    # The error is relative to the spread of the values, as each mean lies in between; logarithms
    # of a large spread round by more.
    spread = float(tf.reduce_max(x) - tf.reduce_min(x))
    tolerance = 2e-5 * max(1, np.log(spread + 1) / 10) * spread
    expected = pooled_1d(x.numpy().astype("float64"), p)
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=tolerance)
    assert np.isfinite(tape.gradient(y, x)).all()


@pytest.mark.parametrize("p", [-2.0, 1e-3, 0.0, 1.0, 3.0, 25.0, math.inf])
@pytest.mark.slow_cases("-2.0")
def test_gradients_are_those_of_finite_differences(p):
    x = np.random.default_rng(3).normal(size=(2, 2, 3, 2)) * 2
    weights = np.random.default_rng(4).normal(size=(2, 2))
    layer = GeneralizedMeanPooling2D(p=p, dtype="float64")
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = tf.reduce_sum(layer(tensor) * weights)
    numeric = finite_differences(
        lambda x: (pooled_1d(x.reshape(2, 6, 2), p) * weights).sum(), x, step=1e-5
    )
    np.testing.assert_allclose(tape.gradient(value, tensor), numeric, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("p", [1e-3, 3.0, 100.0])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_does_not_overflow(p, dtype):
    x = np.array([[[-6e4], [0.0], [6e4]], [[1.0], [1.25], [1.5]]])
    y = GeneralizedMeanPooling1D(p=p, dtype=dtype)(x)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    rounded = np.asarray(ops.cast(ops.cast(x, dtype), "float64"))
    np.testing.assert_allclose(ops.cast(y, "float64"), pooled_1d(rounded, p), rtol=1e-2)


def test_mixed_precision_policies_pool_in_half_precision_inputs():
    keras.config.set_dtype_policy("mixed_float16")
    x = np.full((1, 4, 4, 1), 300.0, "float32")
    y = GeneralizedMeanPooling2D(p=3.0)(x)
    assert y.dtype == "float16"
    np.testing.assert_array_equal(y, [[300.0]])


@pytest.mark.parametrize("p", [-math.inf, 0.0, 1.0, 3.0, math.inf])
def test_hidden_steps_do_not_count(p):
    x = np.random.default_rng(5).normal(size=(3, 6, 2)).astype("float32")
    mask = np.array([[1, 1, 0, 1, 0, 0], [1] * 6, [0] * 6], bool)
    layer = GeneralizedMeanPooling1D(p=p)
    y = ops.convert_to_numpy(layer(x, mask=mask))
    for row in range(2):
        expected = pooled_1d(x[row][mask[row]][None], p)[0]
        np.testing.assert_allclose(y[row], expected, rtol=1e-5, atol=1e-6)
    assert not y[2].any()
    first = GeneralizedMeanPooling1D(p=p, data_format="channels_first")
    np.testing.assert_array_equal(first(x.transpose(0, 2, 1), mask=mask), y)
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = tf.reduce_sum(layer(tensor, mask=mask))
    gradient = tape.gradient(value, tensor).numpy()
    assert np.isfinite(gradient).all()
    assert not gradient[~mask].any()


def test_masks_of_keras_reach_the_layer():
    tokens = np.array([[3, 4, 0, 0]])
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(9, 3, mask_zero=True)(inputs)
    model = keras.Model(inputs, GeneralizedMeanPooling1D(p=2.0)(x))
    np.testing.assert_allclose(model(tokens), model(tokens[:, :2]), rtol=1e-6)


@pytest.mark.parametrize("keepdims", [False, True])
def test_shapes(keepdims):
    x = np.random.default_rng(6).normal(size=(2, 5, 7, 3)).astype("float32")
    last = GeneralizedMeanPooling2D(keepdims=keepdims, data_format="channels_last")
    first = GeneralizedMeanPooling2D(keepdims=keepdims, data_format="channels_first")
    expected = last(x)
    assert expected.shape == ((2, 1, 1, 3) if keepdims else (2, 3))
    assert last.compute_output_shape(x.shape) == expected.shape
    turned = x.transpose(0, 3, 1, 2)
    y = first(turned)
    assert first.compute_output_shape(turned.shape) == y.shape
    np.testing.assert_allclose(np.squeeze(y), np.squeeze(expected), rtol=1e-5)
    symbolic = last(keras.Input((None, None, 3)))
    assert symbolic.shape == ((None, 1, 1, 3) if keepdims else (None, 3))


@pytest.mark.parametrize("cls", [GeneralizedMeanPooling1D, GeneralizedMeanPooling2D])
@pytest.mark.parametrize("p", [3.0, math.inf, -math.inf, 0.0])
@pytest.mark.slow_cases("-inf-GeneralizedMeanPooling2D")
def test_serialises(cls, p, tmp_path):
    layer = cls(p=p, keepdims=True, data_format="channels_first", name="pool")
    text = json.dumps(keras.saving.serialize_keras_object(layer))
    again = keras.saving.deserialize_keras_object(json.loads(text))
    assert (again.p, again.keepdims, again.data_format) == (p, True, "channels_first")
    model = keras.Sequential([keras.Input((4, 5, 6)[: cls._pooled + 1]), cls(p=p)])
    model.save(tmp_path / "m.keras")
    x = np.random.default_rng(0).normal(size=(2, *(4, 5, 6)[: cls._pooled + 1]))
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.slow
@pytest.mark.parametrize("jit", [False, True])
def test_trains_in_graphs(jit):
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), keras.layers.Conv2D(4, 3), GeneralizedMeanPooling2D(p=5.0)]
    )
    model.compile("sgd", "mse", jit_compile=jit)
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 1))
    losses = model.fit(x, np.ones((8, 4)), epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("match", "arguments"),
    [
        ("`p`.*nan", {"p": math.nan}),
        ("`p`.*'3'", {"p": "3"}),
        ("`data_format`.*'last'", {"data_format": "last"}),
    ],
)
def test_bad_arguments_are_named(match, arguments):
    with pytest.raises(ValueError, match=match):
        GeneralizedMeanPooling2D(**arguments)


def test_a_wrong_rank_is_refused():
    with pytest.raises(ValueError, match="ndim"):
        GeneralizedMeanPooling2D()(np.zeros((2, 3, 4)))
