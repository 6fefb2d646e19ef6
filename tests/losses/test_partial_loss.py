"""PartialProxyLoss: the softmax over the classes of the batch and a sample of the others."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from oracle import proxy_losses as oracle
from oracle.gradients import value_and_gradient
from tensorflow_similarity import losses
from tensorflow_similarity.layers import L2Embedding, PartialProxyHead, ProxyHead
from tensorflow_similarity.losses import PartialProxyLoss
from tensorflow_similarity.models import SimilarityModel

CLASSES = 40
RNG = np.random.default_rng(0)
X = RNG.normal(size=(9, 4))
Y = np.array([7, 3, 7, 39, 0, 3, 7, 12, 5])
PROXIES = RNG.normal(size=(CLASSES, 4))
LOSSES = {
    "arcface": (losses.ArcFaceLoss, oracle.arcface, {"margin": 0.3}),
    "cosface": (losses.CosFaceLoss, oracle.cosface, {"scale": 9.0}),
    "sphereface": (losses.SphereFaceLoss, oracle.sphereface, {"margin": 2}),
    "softmax": (losses.NormalizedSoftmaxLoss, oracle.normalized_softmax, {"temperature": 0.3}),
}


def head_of(dtype="float64", **options):
    head = PartialProxyHead(CLASSES, dtype=dtype, **options)
    head.build((None, 4))
    head.set_weights([PROXIES[:, None] / head.learning_rate_multiplier])
    return head


def partial(loss, num_negatives, seed=0, **options):
    made = PartialProxyLoss(loss, num_negatives, seed)
    made.bind(head_of(**options))
    return made


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def sample_of(loss, labels=Y):
    """The classes that count, as they are drawn."""
    ids, valid = loss.candidates(tf.constant(labels, tf.int32), tf.constant(labels >= 0))
    return np.asarray(ids), np.asarray(valid)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("num_negatives", [6, CLASSES, 1000])
def test_it_is_the_softmax_over_the_sample(name, num_negatives):
    cls, formula, arguments = LOSSES[name]
    loss = partial(cls(reduction=None, **arguments), num_negatives)
    ids, valid = sample_of(loss)
    kept = ids[valid]
    assert len(set(kept)) == len(kept)
    assert set(Y) <= set(kept)
    if num_negatives >= CLASSES:
        assert set(kept) == set(range(CLASSES))
    table = unit(X) @ unit(PROXIES[kept]).T
    own = np.array([int(np.flatnonzero(kept == label)[0]) for label in Y])
    np.testing.assert_allclose(loss(Y, X), formula(table, own, **arguments), rtol=1e-7)


@pytest.mark.further
def test_the_sample_is_even_without_repetition_and_changes_with_the_batch():
    counts = np.zeros(CLASSES)
    seen = set()
    for seed in range(80):
        loss = partial(losses.ArcFaceLoss(), 7, seed=seed)
        ids, _ = sample_of(loss)
        drawn = ids[len(Y) :]
        assert len(set(drawn)) == 7
        assert drawn.min() >= 0
        assert drawn.max() < CLASSES
        counts[drawn] += 1
        seen.add(tuple(drawn))
    assert len(seen) > 75
    # Each class comes in 7 of 40 draws, of 80: 14, and 3.4 is the standard deviation.
    assert np.abs(counts - 14).max() < 4.5 * 3.4
    loss = partial(losses.ArcFaceLoss(), 7)
    assert (sample_of(loss)[0] == sample_of(loss)[0]).all()
    assert (sample_of(loss)[0][9:] != sample_of(loss, Y[[0, *range(8)]])[0][9:]).any()


def test_only_the_rows_of_the_sample_have_a_gradient():
    loss = partial(losses.CosFaceLoss(), 6, learning_rate_multiplier=5.0)
    ids, valid = sample_of(loss)
    [variable] = loss.head.trainable_variables
    with tf.GradientTape() as tape:
        value = loss(Y, X)
    gradient = tape.gradient(value, variable.value)
    assert isinstance(gradient, tf.IndexedSlices)
    dense = np.asarray(tf.convert_to_tensor(gradient))[:, 0]
    moved = np.flatnonzero(np.abs(dense).sum(axis=1))
    np.testing.assert_array_equal(moved, np.sort(ids[valid]))
    # It is that of the proxies, whatever they are stored as.
    full = ProxyHead(CLASSES, dtype="float64")
    full.build((None, 4))
    full.set_weights([PROXIES[:, None]])
    with tf.GradientTape() as tape:
        cosines = tf.gather(full(X), ids[valid], axis=1)
        own = [int(np.flatnonzero(ids[valid] == label)[0]) for label in Y]
        value = losses.CosFaceLoss()(np.array(own), cosines)
    wanted = tape.gradient(value, full.trainable_variables[0].value)
    np.testing.assert_allclose(dense, np.asarray(wanted)[:, 0], atol=1e-9)


def test_unknown_classes_count_for_nothing():
    unknown = np.where(Y == 7, -1, Y)
    known = unknown >= 0
    loss = partial(losses.ArcFaceLoss(ignore_class=-1), CLASSES)
    expected = partial(losses.ArcFaceLoss(), CLASSES)(Y[known], X[known])
    np.testing.assert_allclose(loss(unknown, X), expected, rtol=1e-9)
    sampled = partial(losses.ArcFaceLoss(ignore_class=-1, reduction=None), 6)
    value, gradient = value_and_gradient(sampled, unknown, X)
    np.testing.assert_array_equal(np.asarray(value)[~known], 0)
    np.testing.assert_array_equal(gradient[~known], 0)
    assert np.isfinite(gradient).all()
    assert (np.asarray(value)[known] > 0).all()


def test_degenerate_batches_are_finite():
    loss = partial(losses.ArcFaceLoss(), 6)
    for x in (X * 0, X[:1], X * 1e-6, X * 1e4, np.ones((9, 4))):
        value, gradient = value_and_gradient(loss, Y[: len(x)], x)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def model_of(loss):
    inputs = keras.Input((4,))
    embedding = L2Embedding(3)(inputs)
    model = SimilarityModel(inputs, PartialProxyHead(CLASSES)(embedding))
    model.compile(keras.optimizers.SGD(0.5), loss)
    return model


@pytest.mark.further
def test_trains_indexes_the_embedding_and_saves(tmp_path):
    model = model_of(PartialProxyLoss(losses.NormalizedSoftmaxLoss(), 6))
    before = model.layers[-1].get_weights()[0].copy()
    history = model.fit(X, Y, epochs=4, batch_size=9, verbose=0, shuffle=False).history["loss"]
    assert history[-1] < history[0]
    assert (model.layers[-1].get_weights()[0] != before).any()
    model.index(X, Y, verbose=0)
    assert model.lookup(X, k=1, verbose=0).labels[:, 0].tolist() == Y.tolist()
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="class ids from 0 to"):
        model.fit(X, Y + 1, verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert again.loss.head is again.layers[-1]
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    np.testing.assert_allclose(again.loss(Y, X[:, :3]), model.loss(Y, X[:, :3]), rtol=1e-6)


def test_config():
    loss = PartialProxyLoss(losses.ArcFaceLoss(0.3), 77, seed=3)
    again = PartialProxyLoss.from_config(json.loads(json.dumps(loss.get_config())))
    assert repr(again) == repr(loss)
    assert again.get_config() == loss.get_config()


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: PartialProxyLoss(losses.ProxyAnchorLoss()), TypeError, "`loss`"),
        (lambda: PartialProxyLoss(losses.TripletLoss()), TypeError, "`loss`"),
        (lambda: PartialProxyLoss(losses.SoftTripleLoss()), ValueError, "centers"),
        (lambda: PartialProxyLoss(losses.ArcFaceLoss(), 0), ValueError, "`num_negatives`"),
        (lambda: PartialProxyLoss(losses.ArcFaceLoss())(Y, X), ValueError, "no proxies yet"),
        (lambda: partial(losses.ArcFaceLoss(), 6)(Y + 1, X), ValueError, "0 to 39"),
        (lambda: partial(losses.ArcFaceLoss(), 6)(Y, X[None]), ValueError, "PartialProxyHead"),
        (lambda: PartialProxyHead(2**30 + 1), ValueError, r"2\*\*30"),
        (lambda: model_of(losses.ArcFaceLoss()), ValueError, "belong together"),
    ],
)
def test_refusals(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_a_head_of_all_proxies_is_refused():
    inputs = keras.Input((4,))
    model = SimilarityModel(inputs, ProxyHead(CLASSES)(L2Embedding(3)(inputs)))
    with pytest.raises(ValueError, match="belong together"):
        model.compile("sgd", PartialProxyLoss(losses.ArcFaceLoss()))
