"""`MarginLoss` whose boundaries are trained in a `MarginHead`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from oracle import pair_losses as oracle
from oracle.losses import Picture
from tensorflow_similarity.layers import L2Embedding, MarginHead
from tensorflow_similarity.losses import CrossBatchMemory, MarginLoss, TripletLoss
from tensorflow_similarity.models import SimilarityModel

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4))
Y = np.arange(12) % 3


def with_boundaries(x, betas):
    return np.hstack([x, np.tile(betas, (len(x), 1))])


def test_one_boundary_is_that_of_the_formula():
    expected = MarginLoss(beta=2.0, margin=0.5, reduction=None)(Y, X)
    ours = MarginLoss(beta=None, margin=0.5, reduction=None)(Y, with_boundaries(X, [2.0]))
    np.testing.assert_allclose(ours, expected, rtol=1e-9)
    np.testing.assert_allclose(
        np.mean(ours), oracle.margin(Picture("euclidean", Y, X), beta=2.0, margin=0.5).mean()
    )


def triplets(betas, margin, nu=0.0):
    """The loss from every triplet of the batch."""
    d = np.linalg.norm(X[:, None] - X[None], axis=2)
    terms = []
    for a in range(12):
        for p in range(12):
            for n in range(12):
                if a != p and Y[a] == Y[p] and Y[a] != Y[n]:
                    beta = betas[Y[a]]
                    terms += [max(0, d[a, p] - beta + margin), max(0, beta - d[a, n] + margin)]
    return sum(terms) / sum(t > 0 for t in terms) + nu * np.mean([betas[y] for y in Y])


@pytest.mark.parametrize("block_size", [None, 5])
@pytest.mark.further("None")
def test_a_boundary_for_each_class(block_size):
    betas = np.array([1.5, 2.0, 3.0])
    loss = MarginLoss(beta=None, classes=3, margin=0.4, nu=0.1, block_size=block_size)
    y_pred = tf.constant(with_boundaries(X, betas))
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        value = loss(Y, y_pred)
    np.testing.assert_allclose(value, triplets(betas, 0.4, 0.1), rtol=1e-9)
    gradient = tape.gradient(value, y_pred).numpy()[:, -3:].sum(axis=0)
    for c in range(3):
        step = 1e-6 * np.eye(3)[c]
        slope = (triplets(betas + step, 0.4, 0.1) - triplets(betas - step, 0.4, 0.1)) / 2e-6
        np.testing.assert_allclose(gradient[c], slope, rtol=1e-5)


@pytest.mark.further
@pytest.mark.parametrize("memory", [False, True])
def test_boundaries_are_trained_and_saved_and_the_embedding_is_indexed(memory, tmp_path):
    inputs = keras.Input((4,))
    embedding = L2Embedding(3, name="embedding")(inputs)
    classes = 1 if memory else 3
    loss = MarginLoss(beta=None, classes=classes, nu=0.01, mining="distance_weighted")
    model = SimilarityModel(inputs, MarginHead(classes, beta=1.1, name="margins")(embedding))
    model.compile("adam", loss=CrossBatchMemory(loss, 20) if memory else loss, jit_compile=False)
    x = X.astype("float32")
    model.fit(x, Y, epochs=3, verbose=0)
    boundaries = np.asarray(model.get_layer("margins").boundaries)
    assert (np.abs(boundaries - 1.1) > 1e-4).all()
    model.index(x, Y, verbose=0)
    assert model.vector_index.embedding_size == 3
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.get_layer("margins").boundaries, boundaries)
    np.testing.assert_array_equal(again.lookup(x, k=2).ids, model.lookup(x, k=2).ids)
    assert again.loss.get_config() == model.loss.get_config()


def compiled(loss, *head):
    inputs = keras.Input((4,))
    outputs = L2Embedding(3)(inputs)
    for classes in head:
        outputs = MarginHead(classes)(outputs)
    SimilarityModel(inputs, outputs).compile("adam", loss=loss)


@pytest.mark.parametrize(
    ("loss", "head", "match"),
    [
        (MarginLoss(beta=None), (), r"must be that of layers.MarginHead\(1\).*no MarginHead"),
        (MarginLoss(beta=None), (4,), r"MarginHead\(1\).*Received: a MarginHead of 4"),
        (MarginLoss(beta=None, classes=4), (1,), r"MarginHead\(4\).*Received: a MarginHead of 1"),
        (CrossBatchMemory(MarginLoss(beta=None), 9), (), "no MarginHead"),
        (MarginLoss(), (1,), r"`loss` must be MarginLoss\(beta=None\)"),
        (TripletLoss(), (1,), "no embedding. Received: TripletLoss"),
    ],
    ids=str,
)
def test_boundaries_and_what_takes_them_belong_together(loss, head, match):
    with pytest.raises(ValueError, match=match):
        compiled(loss, *head)


@pytest.mark.further
def test_an_unknown_class_is_not_a_number_under_xla():
    loss = MarginLoss(beta=None, classes=2, ignore_class=-1)
    loss = tf.function(loss, jit_compile=True, autograph=False)
    y_pred = tf.constant(with_boundaries(X, [1.0, 1.0]))
    known = np.where(Y == 2, -1, Y)
    assert np.isfinite(loss(tf.constant(known), y_pred))
    assert np.isnan(loss(tf.constant(np.where(Y == 2, 9, Y)), y_pred))


def test_layer():
    layer = MarginHead(2, beta=0.5, dtype="mixed_bfloat16")
    out = layer(X.astype("float32"))
    assert out.shape == layer.compute_output_shape((12, 4)) == (12, 6)
    np.testing.assert_allclose(out, with_boundaries(X, [0.5, 0.5]), rtol=1e-6)
    assert MarginHead.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: MarginLoss(classes=3), "`classes`.*beta=1.2"),
        (lambda: MarginLoss(beta=None, classes=0), "`classes`"),
        (lambda: MarginHead(0), "`classes`"),
        (lambda: CrossBatchMemory(MarginLoss(beta=None, classes=2), 9), "`loss` must not number"),
        (
            lambda: MarginLoss(beta=None, classes=2)(Y, with_boundaries(X, [1, 1])),
            "`y_true` must be class ids from 0 to 1.*Received: 2",
        ),
        (
            lambda: MarginLoss(beta=None, classes=2, relevance="matrix"),
            "`relevance` must be left out",
        ),
    ],
)
def test_wrong_arguments_are_refused(call, match):
    with pytest.raises((TypeError, ValueError), match=match):
        call()


def test_an_unknown_class_raises_in_a_graph_too():
    loss = tf.function(MarginLoss(beta=None, classes=2), autograph=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="those of the head"):
        loss(tf.constant(Y), tf.constant(with_boundaries(X, [1, 1])))
