"""Models that train with proxies, and what they index."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from tensorflow_similarity.distances import CosineDistance, EuclideanDistance
from tensorflow_similarity.layers import L2Embedding, ProxyHead
from tensorflow_similarity.losses import (
    ArcFaceLoss,
    NormalizedSoftmaxLoss,
    ProxyAnchorLoss,
    SoftTripleLoss,
    TripletLoss,
)
from tensorflow_similarity.models import SimilarityModel

slow = pytest.mark.slow


def digits():
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype("float32"), y


def model_with(head, outputs=lambda embedding, cosines: cosines):
    inputs = keras.Input((64,))
    hidden = keras.layers.Dense(64, activation="relu")(inputs)
    embedding = L2Embedding(16, name="embedding")(hidden)
    return SimilarityModel(inputs, outputs(embedding, head(embedding)))


def map_at_r(model, x, y):
    model.reset_index()
    model.index(x[0::3], y[0::3], verbose=0)
    return float(model.evaluate_retrieval(x[1::3], y[1::3], verbose=0)["map@r"])


@pytest.mark.parametrize(
    ("loss", "head"),
    [
        (ArcFaceLoss(), {}),
        pytest.param(NormalizedSoftmaxLoss(), {}, marks=slow),
        pytest.param(ProxyAnchorLoss(), {"learning_rate_multiplier": 10}, marks=slow),
        pytest.param(SoftTripleLoss(), {"centers": 3}, marks=slow),
    ],
    ids=lambda each: getattr(each, "name", None),
)
@pytest.mark.further
def test_training_improves_retrieval_and_moves_the_proxies(loss, head, tmp_path):
    keras.utils.set_random_seed(0)
    x, y = digits()
    model = model_with(ProxyHead(10, name="proxies", **head))
    model.compile(keras.optimizers.Adam(3e-3), loss=loss, metrics=[], jit_compile=False)
    head = model.get_layer("proxies")
    untrained, start = map_at_r(model, x, y), head.proxies.numpy()
    model.fit(x[0::3], y[0::3], batch_size=64, epochs=6, verbose=0)
    trained = map_at_r(model, x, y)
    assert trained > untrained + 0.15
    assert np.abs(head.proxies.numpy() - start).mean() > 0.01
    assert model.vector_index.embedding_size == 16
    assert model.vector_index.distance == CosineDistance()

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.get_layer("proxies").proxies, head.proxies)
    np.testing.assert_allclose(again.predict(x[:5], verbose=0), model.predict(x[:5], verbose=0))
    found, expected = (m.lookup(x[1:9], k=3, verbose=0) for m in (again, model))
    np.testing.assert_array_equal(found.ids, expected.ids)
    model.reset_metrics()  # Some versions of Keras go on with the mean of `fit`.
    assert again.train_on_batch(x[:32], y[:32]) == pytest.approx(
        model.train_on_batch(x[:32], y[:32])
    )


@pytest.mark.parametrize(
    ("outputs", "losses", "embedding_output", "distance"),
    [
        (lambda e, c: [e, c], [TripletLoss("l2"), ArcFaceLoss()], "embedding", EuclideanDistance()),
        (lambda e, c: [c, e], [ArcFaceLoss(), None], "embedding", CosineDistance()),
        (lambda e, c: {"a": c, "z": e}, {"a": ArcFaceLoss()}, "z", CosineDistance()),
        (
            lambda e, c: {"a": c, "b": keras.layers.Dense(3)(e)},
            {"a": ArcFaceLoss(), "b": "mse"},
            "embedding",
            CosineDistance(),
        ),
    ],
)
def test_what_lies_below_the_head_is_indexed(outputs, losses, embedding_output, distance):
    model = model_with(ProxyHead(10), outputs)
    model.compile(loss=losses)
    assert model.vector_index.embedding_size == 16
    assert model.vector_index.distance == distance
    assert model.get_compile_config()["embedding_output"] == embedding_output


def test_a_choice_of_the_user_stands():
    model = model_with(ProxyHead(10))
    model.compile(loss=ArcFaceLoss(), embedding_output=0)
    assert model.vector_index.embedding_size == 10


def test_a_sequential_model():
    layers = [keras.Input((64,)), L2Embedding(16), ProxyHead(10)]
    model = SimilarityModel.from_model(keras.Sequential(layers))
    model.compile(loss=ArcFaceLoss())
    assert model.vector_index.embedding_size == 16


def test_two_embeddings_below_heads_need_a_choice():
    inputs = keras.Input((8,))
    below = [L2Embedding(size, name=f"e{size}")(inputs) for size in (3, 4)]
    model = SimilarityModel(inputs, [ProxyHead(10)(e) for e in below])
    with pytest.raises(ValueError, match=r"`embedding_output`.*\['e3', 'e4'\]"):
        model.compile(loss=[ArcFaceLoss(), ArcFaceLoss()])
    model.compile(loss=[ArcFaceLoss(), ArcFaceLoss()], embedding_output="e4")
    assert model.vector_index.embedding_size == 4


def test_cosines_are_never_taken_for_embeddings():
    inputs = keras.Input((8,))
    unnamed = ProxyHead(10)(keras.ops.tanh(L2Embedding(3)(inputs)))
    with pytest.raises(ValueError, match=r"`embedding_output`.*not the output of a layer"):
        SimilarityModel(inputs, unnamed).compile(loss=ArcFaceLoss())
    other = keras.layers.Dense(10)(inputs)
    with pytest.raises(ValueError, match=r"ArcFaceLoss.*ProxyHead.*`embedding_output`"):
        SimilarityModel(inputs, other).compile(loss=ArcFaceLoss())
