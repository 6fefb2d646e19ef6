"""A loss with a memory in a model: written in training, kept in the file."""

import keras
import numpy as np
import pytest

from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import CrossBatchMemory, MultiSimilarityLoss, TripletLoss
from tensorflow_similarity.models import SimilarityModel

RNG = np.random.default_rng(0)
Y = np.arange(96) % 6
X = (RNG.normal(size=(6, 8))[Y] + 0.5 * RNG.normal(size=(96, 8))).astype("float32")


def compiled(loss, **kwargs):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,))
    model = SimilarityModel(inputs, L2Embedding(4)(inputs))
    kwargs = {"jit_compile": False} | kwargs
    model.compile(keras.optimizers.Adam(0.01), loss=loss, **kwargs)
    return model


def contents(model):
    return [model.loss.memory.embeddings.numpy(), model.loss.memory.labels.numpy()]


@pytest.mark.further
def test_fit_writes_and_evaluation_does_not():
    model = compiled(CrossBatchMemory(MultiSimilarityLoss(), 64))
    plain = compiled(MultiSimilarityLoss())
    for each in (model, plain):
        first = each.evaluate(X, Y, batch_size=24, verbose=0)
    assert first == pytest.approx(model.evaluate(X, Y, batch_size=24, verbose=0))
    assert int(model.loss.memory.filled) == 0
    # The last batch is smaller: its keys are the same number, its trace another.
    history = model.fit(
        X, Y, batch_size=20, epochs=3, shuffle=False, verbose=0, validation_data=(X[:30], Y[:30])
    )
    assert int(model.loss.memory.steps) == 15
    assert history.history["loss"][-1] < history.history["loss"][1]
    assert model.loss.memory.labels.numpy()[:16].tolist() == Y[80:].tolist()
    before = contents(model)
    value = model.evaluate(X, Y, batch_size=24, verbose=0)
    for there, here in zip(before, contents(model), strict=True):
        np.testing.assert_array_equal(here, there)
    plain.set_weights(model.get_weights())
    assert value == pytest.approx(plain.evaluate(X, Y, batch_size=24, verbose=0))
    assert model.vector_index.distance == plain.vector_index.distance


@pytest.mark.further
def test_one_file_keeps_the_memory(tmp_path):
    model = compiled(CrossBatchMemory(TripletLoss("l2"), 64, warmup_steps=1), run_eagerly=True)
    model.fit(X, Y, batch_size=24, epochs=1, verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    for there, here in zip(contents(model), contents(again), strict=True):
        np.testing.assert_array_equal(here, there)
    assert int(again.loss.memory.filled) == 64
    model.reset_metrics()  # Some versions of Keras go on with the mean of `fit`.
    for _ in range(2):
        losses = [m.train_on_batch(X[:24], Y[:24]) for m in (model, again)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.further
def test_weights_with_and_without_a_memory(tmp_path):
    model = compiled(CrossBatchMemory(TripletLoss(), 64))
    model.loss(Y[:24], model(X[:24]), training=True)
    model.save_weights(tmp_path / "m.weights.h5")
    larger, plain = compiled(CrossBatchMemory(TripletLoss(), 99)), compiled(TripletLoss())
    larger.loss(Y, larger(X), training=True)
    for other in (larger, plain):
        other.set_weights([w + 1 for w in other.get_weights()])
        other.load_weights(tmp_path / "m.weights.h5")
        np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    assert int(larger.loss.memory.filled) == 24
    plain.save_weights(tmp_path / "plain.weights.h5")
    larger.load_weights(tmp_path / "plain.weights.h5")
    assert int(larger.loss.memory.filled) == 0


class Subclassed(SimilarityModel):
    def __init__(self):
        super().__init__()
        self.embedding = L2Embedding(4)

    def call(self, x):
        return self.embedding(x)


@pytest.mark.slow
def test_subclassed_models():
    model = Subclassed()
    model.compile("adam", loss=CrossBatchMemory(TripletLoss(), 64))
    model.fit(X, Y, batch_size=24, verbose=0)
    assert int(model.loss.memory.filled) == 64


def test_a_plain_keras_model_is_refused():
    model = keras.Sequential([keras.Input((8,)), L2Embedding(4)])
    model.compile("adam", loss=CrossBatchMemory(TripletLoss(), 64))
    with pytest.raises(ValueError, match=r"`training`.*Compile a SimilarityModel"):
        model.fit(X, Y, verbose=0)
