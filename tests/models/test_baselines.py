"""evaluate_with_baselines: the three are what they are called."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity.evaluation import compare, evaluate
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel, baselines


def trained(x, y):
    """A model whose weights are known before and after training."""
    constant = keras.initializers.GlorotUniform(seed=1)
    inputs = keras.Input(x.shape[1:])
    h = keras.layers.Flatten()(inputs)
    h = keras.layers.Dense(16, activation="relu", kernel_initializer=constant)(h)
    model = SimilarityModel(inputs, L2Embedding(4, kernel_initializer=constant)(h))
    model.compile(keras.optimizers.Adam(0.01), TripletLoss(), run_eagerly=True)
    untrained = model.embed(x, verbose=0)
    model.fit(x, y, epochs=3, verbose=0)
    return model, untrained


@pytest.mark.further
def test_leave_one_out(digits):
    x, y = digits[0][:150].reshape(-1, 8, 8), digits[1][:150]
    model, untrained = trained(x, y)
    result = model.evaluate_with_baselines(x, y, retrieval_metrics=["map@r", "precision@1"])
    expected = {
        "raw input": evaluate(x.reshape(150, 64), y),
        "untrained": evaluate(untrained, y),
        "model": evaluate(model.embed(x, verbose=0), y),
    }
    assert list(result.results) == list(expected)
    for name, one in expected.items():
        assert result[name]["map@r"] == pytest.approx(one["map@r"], rel=1e-5)
    better = compare(expected["model"], expected["untrained"])
    assert result.comparisons["untrained"].difference["map@r"] == pytest.approx(
        better.difference["map@r"], abs=1e-6
    )
    lines = str(result).splitlines()
    assert lines[0].split() == ["metric", "raw", "input", "untrained", "model", "p-value"]
    assert lines[2].split()[:4] == [
        "map@r", *(f"{result[name]['map@r']:.4f}" for name in expected),
    ]  # fmt: skip


@pytest.mark.further
def test_gallery_datasets_and_shared_examples(digits):
    x, y = digits[0][:150], digits[1][:150]
    model, untrained = trained(x, y)
    queries = tf.data.Dataset.from_tensor_slices((x[100:], y[100:])).batch(32)
    result = model.evaluate_with_baselines(queries, None, x[:100], y[:100])
    expected = evaluate(untrained[100:], y[100:], untrained[:100], y[:100])
    assert result["untrained"]["map@r"] == pytest.approx(expected["map@r"], rel=1e-5)
    with pytest.warns(UserWarning, match="3 of 53 test examples are training examples too"):
        model.evaluate_with_baselines(x[97:], y[97:], x[:100], y[:100])


@pytest.mark.further
def test_model_itself_is_left_alone(digits):
    x, y = digits[0][:60], digits[1][:60]
    model, _ = trained(x, y)
    model.index(x, y, verbose=0)
    before = [w.copy() for w in model.get_weights()]
    model.evaluate_with_baselines(x, y)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.index_size() == 60


def test_several_inputs():
    a = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
    b, y = np.arange(12) % 2, np.arange(12) % 3
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((1,), name="b")}
    h = keras.layers.Concatenate()(list(inputs.values()))
    model = SimilarityModel(inputs, keras.layers.Dense(4)(h))
    model.compile("sgd", TripletLoss("euclidean"), jit_compile=False)
    result = model.evaluate_with_baselines({"a": a, "b": b[:, None]}, y)
    expected = evaluate(np.concatenate([a, b[:, None]], axis=1), y, distance="euclidean")
    assert dict(result["raw input"]) == pytest.approx(dict(expected))


@pytest.mark.parametrize("nested", [False, True])
def test_what_was_adapted_to_data_stays(nested):
    x = np.random.default_rng(0).normal(100, 5, size=(12, 3)).astype("float32")
    normalize = keras.layers.Normalization()
    normalize.adapt(x)
    inputs = keras.Input((3,))
    layer = keras.Sequential([normalize, keras.layers.ReLU()]) if nested else normalize
    dense = keras.layers.Dense(3, kernel_initializer="identity")
    model = SimilarityModel(inputs, dense(layer(inputs)))
    dense.kernel.assign(np.eye(3)[:, ::-1])
    copy = baselines._with_new_weights(model)
    expected = (x - x.mean(0)) / x.std(0)
    expected = np.maximum(expected, 0) if nested else expected
    np.testing.assert_allclose(copy(x), expected, atol=1e-4)
    np.testing.assert_allclose(model(x), expected[:, ::-1], atol=1e-4)
    gone = weakref.ref(copy.layers[-1])
    del copy
    gc.collect()
    assert gone() is None  # the layer that both have does not hold it


def test_words_that_were_adapted_to_stay():
    words = keras.layers.StringLookup()
    words.adapt(["b", "a", "b"])
    inputs = keras.Input((1,), dtype="string")
    h = keras.layers.Embedding(3, 4, name="embedding")(words(inputs))
    model = SimilarityModel(inputs, keras.layers.Flatten()(h))
    model.compile("sgd", TripletLoss("euclidean"), jit_compile=False)
    copy = baselines._with_new_weights(model)
    found = copy(tf.constant([["a"], ["b"], ["c"]]))
    np.testing.assert_array_equal(found, copy.get_layer("embedding").get_weights()[0][[2, 1, 0]])
    result = model.evaluate_with_baselines(tf.constant([["a"], ["b"]] * 3), np.arange(6) % 2)
    assert result["untrained"]["precision@1"] == 1


@pytest.mark.further
def test_errors(digits):
    x, y = digits[0][:60], digits[1][:60]
    model, _ = trained(x, y)
    with pytest.raises(ValueError, match="`x` must come with class ids"):
        model.evaluate_with_baselines(x)
    with pytest.raises(ValueError, match="`gallery` must come with class ids"):
        model.evaluate_with_baselines(x, y, x[:30])

    class Subclass(SimilarityModel):
        def call(self, x):
            return x

    model = Subclass()
    model.compile("sgd", TripletLoss(), jit_compile=False)
    with pytest.raises(ValueError, match="Baselines need a functional model"):
        model.evaluate_with_baselines(x, y)
