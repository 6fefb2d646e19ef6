"""Relevance that says what class ids say gives the same loss, in blocks and in graphs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity import losses

RNG = np.random.default_rng(5)
X = RNG.normal(size=(17, 4)).astype("float32")
Y = RNG.integers(0, 4, 17)

ON_EMBEDDINGS = [
    name
    for name in losses.__all__
    if isinstance(getattr(losses, name), type)
    and issubclass(getattr(losses, name), losses.MetricLoss)
    and name not in ("MetricLoss", "MinedLoss", "StatisticsLoss", "NpairsMultilabelLoss")
]


def _make(name, **arguments):
    if name in ("ContrastiveLoss", "NpairsLoss"):
        arguments["distance"] = "euclidean"
    return getattr(losses, name)(**arguments)


def _value_and_gradient(loss, labels):
    @tf.function(autograph=False)
    def run(labels, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(labels, x)
        return value, tf.convert_to_tensor(tape.gradient(value, x))

    return [keras.ops.convert_to_numpy(r) for r in run(tf.constant(labels), tf.constant(X))]


@pytest.mark.parametrize(
    "name",
    [
        name if name == "TripletSemiHardLoss" else pytest.param(name, marks=pytest.mark.slow)
        for name in ON_EMBEDDINGS
    ],
)
@pytest.mark.further
def test_relevance_in_blocks(name):
    by_ids = _value_and_gradient(_make(name), Y)
    by_relevance = _value_and_gradient(
        _make(name, block_size=5, relevance="matrix"), Y[:, None] == Y
    )
    np.testing.assert_allclose(by_relevance[0], by_ids[0], rtol=1e-5)
    np.testing.assert_allclose(by_relevance[1], by_ids[1], rtol=1e-4, atol=1e-6)
