import json

import keras
import numpy as np
import pytest
from keras import ops

from tensorflow_similarity.layers import L2Embedding, MetricEmbedding

LAYERS = [L2Embedding, MetricEmbedding]


def reference(x, kernel, bias):
    """The formula, in float64, with rows of zeros left alone."""
    rows = x.astype("float64") @ kernel.astype("float64") + bias.astype("float64")
    norms = np.sqrt((rows**2).sum(axis=-1, keepdims=True))
    return rows / np.where(norms == 0, 1, norms)


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7)])
def test_rows_are_the_normalised_projection(cls, shape):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    layer = cls(4, bias_initializer="normal")
    y = ops.convert_to_numpy(layer(x))
    kernel, bias = (w.numpy() for w in layer.weights)
    np.testing.assert_allclose(y, reference(x, kernel, bias), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 1, rtol=1e-6)
    assert layer.compute_output_shape(shape) == y.shape


@pytest.mark.parametrize("scale", [1e-25, 1e-6, 1e4, 1e25])
def test_any_scale_of_the_rows_gives_unit_rows(scale):
    x = np.random.default_rng(0).normal(size=(3, 7)).astype("float32")
    layer = L2Embedding(4, use_bias=False)
    expected = ops.convert_to_numpy(layer(x))
    kernel = layer.kernel.numpy()
    layer.set_weights([kernel * np.float32(scale)])
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, rtol=1e-4, atol=1e-6)


def test_rows_of_zeros_stay_zeros_with_finite_gradients():
    import tensorflow as tf

    x = tf.constant(np.vstack([np.zeros((1, 3)), np.ones((1, 3))]).astype("float32"))
    layer = L2Embedding(4)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = ops.sum(y * np.arange(4, dtype="float32"))
    gradients = tape.gradient(loss, [x, *layer.trainable_variables])
    assert not ops.convert_to_numpy(y)[0].any()
    assert all(np.isfinite(g).all() for g in gradients)
    assert not gradients[0].numpy()[0].any()
    assert gradients[0].numpy()[1].any()


@pytest.mark.parametrize(
    ("policy", "expected", "tolerance"),
    [
        ("float64", "float64", 1e-12),
        ("mixed_float16", "float32", 1e-6),
        ("mixed_bfloat16", "float32", 1e-6),
        ("float16", "float16", 2e-3),
    ],
)
def test_precision_policies(policy, expected, tolerance):
    # 300 ** 2 is beyond float16: a sum of squares there would be inf.
    x = np.full((2, 3), 300.0)
    layer = L2Embedding(4, dtype=policy, kernel_initializer="ones", use_bias=False)
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == expected
    np.testing.assert_allclose(ops.convert_to_numpy(y).astype("float64"), 0.5, atol=tolerance)


def test_takes_the_arguments_of_dense():
    layer = L2Embedding(
        4,
        "relu",
        use_bias=False,
        kernel_initializer="ones",
        kernel_regularizer=keras.regularizers.L2(0.5),
        name="embedding",
    )
    y = ops.convert_to_numpy(layer(-np.ones((1, 3), "float32")))
    assert layer.name == "embedding"
    assert layer.bias is None
    assert not y.any()  # relu comes before the normalisation
    np.testing.assert_allclose(float(layer.losses[0]), 0.5 * 12)


@pytest.mark.parametrize("cls", LAYERS)
def test_round_trips_by_its_own_name(cls):
    layer = cls(4, activation="tanh", kernel_regularizer="l2", name="embedding")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    clone = keras.saving.deserialize_keras_object(config)
    assert type(clone) is cls
    assert config["registered_name"] == f"tensorflow_similarity>{cls.__name__}"
    assert clone.get_config() == layer.get_config()


@pytest.mark.parametrize("cls", LAYERS)
def test_saves_within_a_model(cls, tmp_path):
    x = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    model = keras.Sequential([keras.Input((3,)), cls(4)])
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize("units", [0, -3, 2.5])
def test_bad_units_are_refused(units):
    with pytest.raises(ValueError, match="units"):
        L2Embedding(units)


@pytest.mark.parametrize("jit_compile", [None, False, True])
@pytest.mark.further("None")
def test_nan_is_not_hidden(jit_compile):
    import tensorflow as tf

    # Weights that diverged must not look like embeddings of zeros.
    layer = L2Embedding(4)
    layer.build((None, 2))
    call = layer if jit_compile is None else tf.function(layer, jit_compile=jit_compile)
    y = ops.convert_to_numpy(call(tf.constant([[np.nan, 1.0], [1.0, 1.0]])))
    assert np.isnan(y[0]).all()
    np.testing.assert_allclose(np.linalg.norm(y[1]), 1, rtol=1e-6)
