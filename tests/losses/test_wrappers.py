"""Losses over prefixes of the embedding, and weighed sums of losses."""

import json

import keras
import numpy as np
import pytest

from every import every
from oracle.gradients import value_and_gradient
from tensorflow_similarity import losses
from tensorflow_similarity.layers import EmbeddingPrefix, L2Embedding
from tensorflow_similarity.models import ContrastiveModel, DualEncoder, SimilarityModel

X = np.random.default_rng(0).normal(size=(12, 8)).astype("float32")
Y = np.tile(np.arange(4), 3)

WITHIN = {
    "rows": losses.TripletLoss("euclidean", margin=1.0),
    "statistics": losses.ContrastiveLoss(distance="euclidean"),
    "mined": losses.TripletSemiHardLoss(),
    "per example": losses.MultiSimilarityLoss(reduction=None),
    "unknown": losses.SupConLoss(ignore_class=3),
    "relevance": losses.NTXentLoss(relevance="multi_hot"),
    "views": losses.SimCLRLoss(),
}


def labels_of(name, seed=1):
    rng = np.random.default_rng(seed)
    if name == "views":
        return rng.normal(size=X.shape).astype("float32")
    return rng.integers(0, 2, size=(12, 5)) if name == "relevance" else Y


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", WITHIN)
@pytest.mark.slow_cases("mined-False", "mined-True", "rows-True", "rows-False", "unknown-True")
def test_matryoshka_is_the_sum_over_prefixes(name, normalize):
    inner, y = WITHIN[name], labels_of(name)
    weights = np.random.default_rng(2).uniform(size=12)
    loss = losses.MatryoshkaLoss(inner, [2, 8], weights=[0.5, 2.0], normalize=normalize)

    def prefix(z, size):
        return unit(z[:, :size]) if normalize else z[:, :size]

    expected = sum(
        weight
        * inner(prefix(y, size) if name == "views" else y, prefix(X, size), sample_weight=weights)
        for size, weight in ((2, 0.5), (8, 2.0))
    )
    np.testing.assert_allclose(loss(y, X, sample_weight=weights), expected, rtol=1e-5)


@pytest.mark.parametrize("name", WITHIN)
@pytest.mark.slow_cases("mined", "views", "rows")
def test_matryoshka_of_the_whole_embedding_is_the_loss(name):
    y = labels_of(name)
    value, gradient = value_and_gradient(losses.MatryoshkaLoss(WITHIN[name], [8]), y, X)
    expected, wanted = value_and_gradient(WITHIN[name], y, X)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, wanted, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(WITHIN) - {"views", "relevance"}))
@pytest.mark.further("unknown")
def test_a_sum_is_the_sum(name):
    other = losses.NCALoss(reduction=WITHIN[name].reduction)
    both = losses.WeightedSumLoss([WITHIN[name], other], weights=[1.0, 0.25])
    value, gradient = value_and_gradient(both, Y, X)
    (a, ga), (b, gb) = (value_and_gradient(loss, Y, X) for loss in (WITHIN[name], other))
    np.testing.assert_allclose(value, a + 0.25 * b, rtol=1e-5)
    np.testing.assert_allclose(gradient, ga + 0.25 * gb, atol=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        losses.MatryoshkaLoss(losses.TripletLoss(), [2, 8], weights=[1.0, 0.5]),
        losses.WeightedSumLoss([losses.TripletLoss(), losses.NCALoss()], weights=[1.0, 0.5]),
        losses.MatryoshkaLoss(losses.WeightedSumLoss([losses.TripletLoss()]), [4, 8]),
    ],
)
@pytest.mark.further("loss1")
def test_config(loss):
    again = type(loss).from_config(json.loads(json.dumps(loss.get_config())))
    np.testing.assert_array_equal(again(Y, X), loss(Y, X))
    assert repr(again) == repr(loss)


def test_prefixes_have_no_common_memory():
    memory = losses.CrossBatchMemory(losses.TripletLoss(), 12)
    for loss in (memory, losses.WeightedSumLoss([losses.NCALoss(), memory])):
        with pytest.raises(ValueError, match=r"`loss` must not be a CrossBatchMemory.*EmbeddingPr"):
            losses.MatryoshkaLoss(loss, [4, 8])


@pytest.mark.further
def test_trains_and_saves_with_a_memory_within(tmp_path):
    inputs = keras.Input((8,))
    model = SimilarityModel(inputs, L2Embedding(8)(inputs))
    memory = losses.CrossBatchMemory(losses.TripletLoss(), 12)
    model.compile("adam", losses.WeightedSumLoss([memory, losses.NCALoss()]))
    model.fit(X, Y, batch_size=6, verbose=0)
    assert int(memory.memory.filled) == 12
    assert model.vector_index.distance.name == "cosine"
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    kept = again.loss.losses[0].memory
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(kept.embeddings),
        keras.ops.convert_to_numpy(memory.memory.embeddings),
    )


@pytest.mark.further("<lambda>0")
@pytest.mark.parametrize(
    "wrap",
    [
        lambda loss: losses.WeightedSumLoss([loss]),
        lambda loss: losses.MatryoshkaLoss(loss, [2, 8]),
        lambda loss: losses.MatryoshkaLoss(losses.WeightedSumLoss([loss]), [2, 8]),
    ],
)
def test_a_model_looks_at_the_losses_within(wrap):
    inputs = keras.Input((8,))
    model = SimilarityModel(inputs, L2Embedding(8)(inputs))
    with pytest.warns(UserWarning, match="nothing but its defaults"):
        model.compile("adam", wrap(losses.TripletHardLoss()))
    model.compile("adam", wrap(losses.TripletLoss()))
    with pytest.raises(ValueError, match="several classes"):
        model.fit(X, np.zeros(12, int), verbose=0)
    with pytest.warns(UserWarning, match="sorted by class"):
        model.evaluate(X, np.sort(Y), batch_size=3, verbose=0)
    assert wrap(losses.TripletLoss(ignore_class=-1)).ignore_class == -1


@pytest.mark.further
def test_two_towers_learn_prefixes():
    tower = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    loss = losses.MatryoshkaLoss(losses.MultiNegativesRankLoss("cosine"), [2, 4])
    model = DualEncoder(tower)
    model.compile("adam", loss=loss)
    ids = np.arange(12) % 6
    history = model.fit(X, {"candidates": X[::-1], "ids": ids}, batch_size=12, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    a, b = X[:, :4], X[::-1, :4]
    expected = sum(
        losses.MultiNegativesRankLoss("cosine").ranking(a[:, :size], b[:, :size], ids=ids)
        for size in (2, 4)
    )
    np.testing.assert_allclose(loss.ranking(a, b, ids=ids), expected, rtol=1e-6)


def test_a_loss_on_two_views_within_is_one_on_two_views():
    wrapped = losses.MatryoshkaLoss(losses.SimCLRLoss(), [2, 4])
    inputs = keras.Input((8,))
    model = SimilarityModel(inputs, L2Embedding(4)(inputs))
    with pytest.raises(ValueError, match="two views"):
        model.compile("adam", wrapped)
    backbone = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    ContrastiveModel(backbone, augmenter=keras.layers.GaussianNoise(0.1)).compile("adam", wrapped)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: losses.MatryoshkaLoss("triplet", [8]), TypeError, "`loss`"),
        (lambda: losses.MatryoshkaLoss(losses.ContrastiveLoss(), [8]), ValueError, "`loss`"),
        (lambda: losses.MatryoshkaLoss(losses.TripletLoss(), 8), TypeError, "`sizes`"),
        (lambda: losses.MatryoshkaLoss(losses.TripletLoss(), []), ValueError, "`sizes`"),
        (lambda: losses.MatryoshkaLoss(losses.TripletLoss(), [8, 8]), ValueError, "`sizes`"),
        (lambda: losses.MatryoshkaLoss(losses.TripletLoss(), [0, 8]), ValueError, "`sizes`"),
        (lambda: losses.MatryoshkaLoss(losses.TripletLoss(), [8], [1, 2]), ValueError, "`weig"),
        (lambda: losses.MatryoshkaLoss(losses.TripletLoss(), [8], [0]), ValueError, "`weights`"),
        (lambda: losses.MatryoshkaLoss(losses.TripletLoss(), [2, 4])(Y, X), ValueError, "`sizes`"),
        (lambda: losses.MatryoshkaLoss(losses.TripletLoss(), [2, 9])(Y, X), ValueError, "`sizes`"),
        (lambda: losses.WeightedSumLoss(losses.TripletLoss()), TypeError, "`losses`"),
        (lambda: losses.WeightedSumLoss([]), TypeError, "`losses`"),
        (
            lambda: losses.WeightedSumLoss([losses.TripletLoss(), losses.SimCLRLoss()]),
            ValueError,
            "two views",
        ),
    ],
)
def test_refusals(make, error, match):
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize(
    "loss",
    [
        losses.ArcFaceLoss(),
        losses.MarginLoss(beta=None, classes=4),
        losses.MarginLoss(beta=None),
    ],
    ids=repr,
)
def test_losses_on_heads_are_refused(loss):
    with pytest.raises(ValueError, match="`losses`"):
        losses.WeightedSumLoss([loss])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_prefix_has_length_1(dtype):
    x = (1e3 * X).astype(dtype)
    prefix = EmbeddingPrefix(3, dtype=dtype)(x)
    assert keras.backend.standardize_dtype(prefix.dtype) == dtype
    expected = unit(x[:, :3].astype("float64"))
    np.testing.assert_allclose(prefix, expected, atol=1e-6 if dtype == "float32" else 1e-3)
    np.testing.assert_array_equal(EmbeddingPrefix(3, normalize=False, dtype=dtype)(x), x[:, :3])


def test_a_prefix_of_too_few_coordinates_is_refused():
    with pytest.raises(ValueError, match="`size`"):
        EmbeddingPrefix(9)(X)


def test_losses_that_take_different_inputs_make_no_sum():
    """They are refused when the sum is made, whichever comes first."""
    kinds = [
        losses.TripletLoss(),
        losses.SimCLRLoss(),
        losses.RelationalDistillationLoss(),
        losses.CompatibleLoss(losses.TripletLoss()),
        losses.TripletMarginLoss(),
        losses.SupConLoss(relevance="multi_hot"),
        losses.SupConLoss(relevance="hierarchy"),
        losses.SupConLoss(relevance="matrix"),
        losses.CrossBatchMemory(losses.TripletLoss(), 8, example_ids=True),
        losses.MatryoshkaLoss(losses.SimCLRLoss(), [4]),
    ]

    def check(first, second):
        with pytest.raises(ValueError, match="`losses` must all take class ids"):
            losses.WeightedSumLoss([first, second])

    views = {1, 9}
    pairs = [(i, j) for i in range(10) for j in range(10) if i != j and {i, j} != views]
    every(check, [(kinds[i], kinds[j]) for i, j in pairs])
    losses.WeightedSumLoss([kinds[1], kinds[9]])
    losses.WeightedSumLoss([kinds[5], losses.SupConLoss(relevance="jaccard")])
    losses.WeightedSumLoss([kinds[0], losses.SupConLoss(relevance=lambda a, b: a[:, None] == b)])


@pytest.mark.parametrize(
    "loss",
    [losses.EmbeddingDistillationLoss(), losses.MatryoshkaLoss(losses.TripletLoss(), [2, 4])],
    ids=lambda loss: type(loss).__name__,
)
def test_prefixes_of_a_loss_that_takes_whole_embeddings_are_refused(loss):
    with pytest.raises(ValueError, match="`loss` must work on prefixes"):
        losses.MatryoshkaLoss(loss, [2, 4])
    with pytest.raises(ValueError, match="`loss` must work on prefixes"):
        losses.MatryoshkaLoss(losses.WeightedSumLoss([loss]), [2, 4])
