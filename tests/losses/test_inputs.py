"""What losses take, what they weigh and reduce, and what they refuse."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from every import every
from oracle.gradients import value_and_gradient
from oracle.loss_cases import CASES, ON_CLASSES, few, one_each
from tensorflow_similarity.losses import (
    ArcFaceLoss,
    ContrastiveLoss,
    CrossBatchMemory,
    LiftedStructLoss,
    MatryoshkaLoss,
    MetricLoss,
    NpairsLoss,
    NpairsMultilabelLoss,
    RelationalDistillationLoss,
    SimCLRLoss,
    TripletHardLoss,
    TripletLoss,
    TripletMarginLoss,
    TripletSemiHardLoss,
    VICRegLoss,
)

X = np.random.default_rng(40).normal(size=(8, 4)).astype("float32")
Y = np.arange(8) % 3


def per_query(name, n=8, **kwargs):
    y_true, y_pred = CASES[name].batch(n, seed=41)
    return y_true, y_pred, np.asarray(CASES[name].make(reduction=None)(y_true, y_pred))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ON_CLASSES)
def test_an_embedding_that_is_not_finite_shows(name, value):
    y_true, y_pred = CASES[name].batch(8, seed=41)
    y_pred[2, 1] = value
    loss = CASES[name].make(reduction=None)
    assert np.isnan(loss(y_true, y_pred)[2])
    if name in ("triplet", "contrastive"):
        assert np.isnan(CrossBatchMemory(loss, 16)(y_true, y_pred, training=True)).any()


@pytest.mark.parametrize("name", few(ON_CLASSES))
def test_an_embedding_that_is_not_a_number_may_be_ignored(name):
    # In the gradient too: 0 times NaN is NaN.
    y, x = np.append(Y, -1), np.vstack([X, np.full((1, 4), np.nan, "float32")])
    loss = CASES[name].make(ignore_class=-1)
    value, gradient = value_and_gradient(loss, y, x)
    expected, wanted = value_and_gradient(loss, Y, X)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    wanted = np.vstack([wanted, np.zeros((1, 4))])
    np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["contrastive", "npairs", "triplet"])
@pytest.mark.parametrize("size", [np.inf, 1e25])
def test_a_memory_passes_over_what_is_not_finite(name, size):
    memory = CrossBatchMemory(CASES[name].make(distance="euclidean"), 16)
    overflowed = X.copy()
    overflowed[2, 1] = size
    assert np.isnan(memory(Y, overflowed, training=True))
    without = CrossBatchMemory(CASES[name].make(distance="euclidean"), 16)
    without(np.delete(Y, 2), np.delete(X, 2, axis=0), training=True)

    def following(remembers):
        return value_and_gradient(
            lambda y, x, sample_weight: remembers(y, x, sample_weight, training=True), Y, X
        )

    value, gradient = following(memory)
    expected, wanted = following(without)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-5)


def test_an_empty_batch_has_no_loss():
    # As with Keras' losses, whose value is unreduced there.
    no_rows, no_ids = np.zeros((0, 4), "float32"), np.zeros(0, int)

    def check(loss, y_true, y_pred, **more):
        value = loss(y_true, tf.constant(y_pred), **more)
        assert value.shape == ()
        assert value == 0

    pairs = [(CASES[name].make(), no_ids, no_rows) for name in ON_CLASSES]
    views = [SimCLRLoss(), VICRegLoss(), RelationalDistillationLoss()]
    others = [
        (ArcFaceLoss(), no_ids, no_rows),
        (TripletMarginLoss(), no_ids, no_rows[:, None].repeat(3, axis=1)),
        (MatryoshkaLoss(TripletLoss(), [2, 4]), no_ids, no_rows),
    ]
    every(check, pairs + [(loss, no_rows, no_rows) for loss in views] + others)
    check(CrossBatchMemory(TripletLoss(), 8), no_ids, no_rows, training=True)
    for name in ("triplet", "contrastive"):
        assert CASES[name].make(reduction=None)(no_ids, no_rows).shape == (0,)


@pytest.mark.parametrize("name", few(n for n, c in CASES.items() if c.labels != "multi_hot"))
def test_a_column_of_labels_is_a_vector(name):
    y_true, y_pred, expected = per_query(name)
    column = CASES[name].make(reduction=None)(y_true[:, None], y_pred)
    assert column.shape == (8,)
    np.testing.assert_allclose(column, expected, rtol=1e-6)


@pytest.mark.parametrize("name", few(one_each()))
@pytest.mark.further("contrastive")
def test_reductions_and_weights_are_keras_own(name):
    y_true, y_pred, losses = per_query(name)
    weights = np.arange(8) / 4
    make = CASES[name].make
    expected = {
        None: losses,
        "none": losses,
        "sum": losses.sum(),
        "sum_over_batch_size": losses.mean(),
        "mean": losses.mean(),
        "mean_with_sample_weight": losses.mean(),
    }
    for reduction, value in expected.items():
        np.testing.assert_allclose(make(reduction=reduction)(y_true, y_pred), value, rtol=1e-5)
    weighted = losses * weights
    expected = {
        None: weighted,
        "sum": weighted.sum(),
        "sum_over_batch_size": weighted.mean(),
        "mean_with_sample_weight": weighted.sum() / weights.sum(),
    }
    for reduction, value in expected.items():
        loss = make(reduction=reduction)
        np.testing.assert_allclose(loss(y_true, y_pred, weights), value, rtol=1e-5)
    np.testing.assert_allclose(make()(y_true, y_pred, weights[:, None]), weighted.mean(), rtol=1e-5)
    np.testing.assert_allclose(make()(y_true, y_pred, 3), 3 * losses.mean(), rtol=1e-5)


def test_a_column_of_weights_leaves_one_loss_for_each_query():
    loss = TripletLoss(reduction=None)
    weights = np.arange(8.0)
    expected = loss(Y, X) * weights.astype("float32")
    np.testing.assert_allclose(loss(Y, X, weights[:, None]), expected, rtol=1e-6)


@pytest.mark.parametrize("name", few(one_each()))
@pytest.mark.parametrize("shape", [(7,), (8, 2), (1, 8), (2, 4), (8, 1, 1)])
def test_weights_of_another_shape_are_refused(name, shape):
    y_true, y_pred = CASES[name].batch(8, seed=41)
    with pytest.raises(ValueError, match=r"`sample_weight` must be a scalar.*Received: shape"):
        CASES[name].make()(y_true, y_pred, np.ones(shape))


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="reduction"):
        TripletLoss(reduction="median")


@pytest.mark.parametrize("name", few(one_each()))
def test_lists_and_tensors_and_arrays_are_alike(name):
    y_true, y_pred = CASES[name].batch(8, seed=41)
    loss = CASES[name].make()
    expected = loss(y_true, y_pred)
    np.testing.assert_allclose(loss(y_true.tolist(), y_pred.tolist()), expected, rtol=1e-6)
    np.testing.assert_allclose(loss(tf.constant(y_true), tf.constant(y_pred)), expected, rtol=1e-6)
    np.testing.assert_allclose(loss(tf.Variable(y_true), tf.Variable(y_pred)), expected, rtol=1e-6)


def test_binary_labels_of_distances_may_be_bool_integer_or_float():
    y, d = np.array([1, 0, 0, 1]), np.array([0.5, 0.2, 3.0, 0.0], "float32")
    for dtype in ("bool", "int8", "uint8", "int64", "float16", "float32", "float64"):
        for labels in (y.astype(dtype), y.astype(dtype)[:, None]):
            for distances in (d, d[:, None]):
                value = ContrastiveLoss(reduction=None)(labels, distances)
                np.testing.assert_allclose(value, [0.25, 0.64, 0, 0], rtol=1e-6)


def test_multi_hot_labels_may_be_bool_integer_or_float():
    y_true, y_pred = CASES["npairs_multilabel"].batch(6)
    loss = NpairsMultilabelLoss(distance="cosine")
    expected = loss(y_true, y_pred)
    for dtype in ("bool", "int8", "int64", "float16", "float32", "float64"):
        np.testing.assert_allclose(loss(y_true.astype(dtype), y_pred), expected, rtol=1e-6)


def test_multi_hot_labels_may_be_sparse():
    # As in Addons.
    y_true, y_pred = CASES["npairs_multilabel_of_values"].batch(6)
    loss = NpairsMultilabelLoss()
    sparse = tf.sparse.from_dense(y_true)
    np.testing.assert_allclose(loss(sparse, y_pred), loss(y_true, y_pred), rtol=1e-6)


def test_one_example_of_a_relevance_matrix_is_a_batch_too():
    # The last batch of an epoch may be as small as this.
    for relevance in ([[1.0]], [[True]], [[0.0]]):
        assert TripletLoss(relevance="matrix")(np.array(relevance), X[:1]) == 0


BAD_LABELS = {
    "strings": (np.array(list("abcdefgh")), TypeError, "Map each class name to an integer"),
    "list of strings": (list("abcdefgh"), TypeError, "Map each class name to an integer"),
    "objects": (np.array([None] * 8), TypeError, "`y_true` must be integer class ids"),
    "fractions": (Y / 2, TypeError, r"y\.astype\('int64'\)"),
    "column of NaN": (np.full((8, 1), np.nan), TypeError, r"y\.astype\('int64'\)"),
    "infinite": (Y + np.inf, TypeError, "no whole number below 2"),
    "floats beyond what they hold": (Y + 2.0**24, TypeError, "no whole number below 2"),
    "beyond half precision": (Y.astype("float16") + 2048, TypeError, "no whole number below 2"),
    "square one-hot": (np.eye(8), ValueError, 'relevance="matrix"'),
    "square one-hot bool": (np.eye(8, dtype=bool), ValueError, r"np\.argmax\(y, axis=1\)"),
    "one-hot": (np.eye(3, dtype=int)[Y], ValueError, r"np\.argmax\(y, axis=1\)"),
    "one-hot floats": (np.eye(3, dtype="float32")[Y], ValueError, r"np\.argmax\(y, axis=1\)"),
    "too few": (Y[:7], ValueError, "Received: 7 labels and 8 rows of `y_pred`"),
    "too few in a column": (Y[:7, None], ValueError, "Received: 7 labels and 8 rows"),
    "three axes": (Y[:, None, None], ValueError, r"\[batch\] or \[batch, 1\]"),
    "a scalar": (3, ValueError, r"\[batch\] or \[batch, 1\]"),
}


@pytest.mark.parametrize("bad", BAD_LABELS)
@pytest.mark.parametrize("name", ["triplet", "triplet_semi_hard", "contrastive", "npairs"])
def test_bad_labels_are_refused_with_advice(name, bad):
    labels, error, advice = BAD_LABELS[bad]
    with pytest.raises(error, match=advice) as caught:
        CASES[name].make()(labels, X)
    assert "`y_true`" in str(caught.value)
    assert "Received" in str(caught.value)


@pytest.mark.parametrize("name", ON_CLASSES)
def test_every_loss_refuses_one_hot_labels(name):
    with pytest.raises(ValueError, match="argmax"):
        CASES[name].make()(np.eye(3, dtype=int)[Y], X)


@pytest.mark.parametrize("name", ON_CLASSES)
@pytest.mark.parametrize("shape", [(8,), (8, 2, 2), ()])
def test_embeddings_of_another_rank_are_refused(name, shape):
    with pytest.raises(ValueError, match=r"`y_pred` must be embeddings of shape \[batch, dim\]"):
        CASES[name].make()(Y, np.ones(shape, "float32"))


def test_labels_of_another_length_are_refused_in_a_graph_too():
    function = tf.function(TripletLoss(), autograph=False)
    with pytest.raises(ValueError, match="7 labels and 8 rows"):
        function(tf.constant(Y[:7]), tf.constant(X))


@pytest.mark.parametrize("shape", [(8, 4), (8, 2), (2, 2, 2)])
def test_contrastive_loss_of_values_tells_embeddings_from_distances(shape):
    with pytest.raises(ValueError, match=r"`y_pred` = distances of shape \[batch\].*cosine"):
        ContrastiveLoss()(Y > 1, np.ones(shape))


def test_contrastive_loss_of_values_refuses_other_labels():
    with pytest.raises(ValueError, match=r"`y_true` must be binary labels.*7"):
        ContrastiveLoss()(np.ones(7), np.ones(8))
    with pytest.raises(ValueError, match="`y_true` must be binary labels"):
        ContrastiveLoss()(np.ones((8, 2)), np.ones(8))


@pytest.mark.parametrize("make", [NpairsLoss, NpairsMultilabelLoss])
@pytest.mark.parametrize("shape", [(8, 4), (8,), (8, 8, 1)])
def test_npairs_losses_of_values_tell_embeddings_from_similarities(make, shape):
    with pytest.raises(ValueError, match=r"similarity matrix.*\[batch, batch\].*inner_product"):
        make()(Y, np.ones(shape, "float32"))


@pytest.mark.parametrize("labels", [Y, Y[:, None, None], np.ones((7, 3))])
def test_multilabel_loss_refuses_class_ids(labels):
    with pytest.raises(ValueError, match=r"`y_true` must be multi-hot labels.*Received"):
        NpairsMultilabelLoss(distance="cosine")(labels, X)


STRATEGIES = [TripletLoss, ContrastiveLoss]


@pytest.mark.parametrize("make", STRATEGIES)
@pytest.mark.parametrize("bad", ["semi", "hardest", ""])
def test_unknown_strategies_are_refused_with_the_known_ones(make, bad):
    known = r"\['easy', 'hard', 'all'\]"
    with pytest.raises(ValueError, match=f"Invalid positive mining strategy.*{known}"):
        make(positive_mining_strategy=bad)
    known = r"\['easy', 'hard', 'semi-hard', 'all'\]"
    with pytest.raises(ValueError, match=f"Invalid negative mining strategy.*{known}"):
        make(negative_mining_strategy=bad)


def test_semi_hard_is_no_strategy_for_positives():
    for make in (*STRATEGIES, LiftedStructLoss):
        with pytest.raises(ValueError, match=r"Invalid positive mining strategy.*'semi-hard'"):
            make(positive_mining_strategy="semi-hard")
    with pytest.raises(TypeError, match="`negative_mining_strategy` must be one of"):
        TripletLoss(negative_mining_strategy=3)


@pytest.mark.parametrize("side", ["positive", "negative"])
def test_triplet_loss_takes_one_of_each(side):
    with pytest.raises(ValueError, match=f"Invalid {side} mining strategy.*'all'"):
        TripletLoss(**{f"{side}_mining_strategy": "all"})


def test_soft_margin_and_a_margin_exclude_each_other():
    with pytest.raises(ValueError, match="`margin` is not used when `soft_margin=True`"):
        TripletLoss(soft_margin=True, margin=0.5)
    soft = TripletLoss(soft_margin=True)
    assert soft(Y, X) == TripletLoss(margin=None)(Y, X)
    assert soft(Y, X) == TripletLoss(soft_margin=True, margin=1.0)(Y, X)
    assert soft(Y, X) != TripletLoss()(Y, X)


@pytest.mark.parametrize(
    "make", [TripletLoss, TripletHardLoss, TripletSemiHardLoss, LiftedStructLoss, ContrastiveLoss]
)
def test_margins_are_finite_numbers(make):
    assert make(margin=np.float32(0.5)).margin == 0.5
    assert make(margin=2).margin == 2.0
    for bad in ("1", [1.0], True):
        with pytest.raises(TypeError, match="`margin` must be a number"):
            make(margin=bad)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`margin` must be finite"):
            make(margin=bad)


@pytest.mark.parametrize("name", ON_CLASSES)
def test_block_size_is_a_count(name):
    for bad, error in ((0, ValueError), (-1, ValueError), (2.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="`block_size`"):
            CASES[name].make(block_size=bad)


@pytest.mark.parametrize("make", [TripletLoss, TripletSemiHardLoss, LiftedStructLoss, NpairsLoss])
def test_unknown_distances_are_refused(make):
    with pytest.raises(ValueError, match=r"Unknown `distance`.*'euclidean'.*'manhatten'"):
        make(distance="manhatten")
    with pytest.raises(TypeError, match="`distance` must be"):
        make(distance=7)


def test_losses_on_embeddings_need_a_distance():
    with pytest.raises((TypeError, ValueError), match="distance"):
        TripletLoss(distance=None)(Y, X)


@pytest.mark.parametrize("make", [TripletHardLoss, TripletSemiHardLoss])
def test_the_spellings_of_addons(make):
    for spelling, name in {
        "L2": "euclidean", "squared-L2": "squared_euclidean", "angular": "cosine",
    }.items():  # fmt: skip
        assert make(distance_metric=spelling).distance.name == name
    with pytest.raises(ValueError, match="Unknown `distance`"):
        make(distance_metric="L3")


def test_repr_is_readable():
    loss = TripletLoss(distance="euclidean", margin=0.5)
    assert repr(loss).startswith("TripletLoss(")
    assert "EuclideanDistance()" in repr(loss)
    assert "margin=0.5" in repr(loss)


def test_a_loss_of_ones_own():
    class PullLoss(MetricLoss):
        def row_loss(self, pairs):
            positive = keras.ops.cast(pairs.positives, pairs.distances.dtype)
            return keras.ops.sum(pairs.distances * positive, axis=1)

    expected = [sum(np.linalg.norm(a - b) for b, j in zip(X, Y, strict=True) if i == j)
                for a, i in zip(X, Y, strict=True)]  # fmt: skip
    loss = PullLoss(distance="euclidean", reduction=None)
    np.testing.assert_allclose(loss(Y, X), expected, rtol=1e-5)
    blocks = PullLoss(distance="euclidean", reduction=None, block_size=3)
    np.testing.assert_allclose(blocks(Y, X), expected, rtol=1e-5)
    with pytest.raises(NotImplementedError, match="MetricLoss must implement `row_loss`"):
        MetricLoss()(Y, X)
