"""Miners, unlabelled examples and labels that are not class ids, of every loss."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from oracle import miners as oracle
from oracle.gradients import value_and_gradient
from oracle.loss_cases import CASES, CLASSES, ON_CLASSES, REPRESENTATIVE, few, one_each
from oracle.losses import Picture
from tensorflow_similarity import losses, mining

PROXY_LOSSES = [
    name
    for name in losses.__all__
    if isinstance(getattr(losses, name), type)
    and issubclass(getattr(losses, name), losses.ProxyLoss)
    and name != "ProxyLoss"
]
ONE_EACH = [name for name in one_each() if name in ON_CLASSES]
slow = pytest.mark.slow


def picture_of(name, labels, x, **kwargs):
    return Picture(CASES[name].make().distance.name, labels, x, **kwargs)


@pytest.mark.parametrize("name", ON_CLASSES)
@pytest.mark.slow_cases(
    "triplet",
    "triplet_semi_hard",
    "triplet_semi_hard_euclidean",
    "triplet_easy_positive_soft",
    "pn",
    "triplet_all_mean",
    "lifted_struct_hard",
    "circle_soft",
)
def test_a_miner_leaves_its_pairs_to_the_loss(name):
    case = CASES[name]
    labels, x = case.batch(12, seed=30, dtype="float64")
    # Such margins as leave some pairs and not others, whatever the distance, and
    # between the distances, where rounding does not decide.
    ordered = np.unique(picture_of(name, labels, x).distances.round(6))
    low, high = len(ordered) // 2, 3 * len(ordered) // 10
    margins = {
        "positive_margin": ordered[low : low + 2].mean(),
        "negative_margin": ordered[high : high + 2].mean(),
    }
    mined = oracle.mined(picture_of(name, labels, x), oracle.pair_margin, **margins)
    expected = case.formula(mined)
    miner = mining.PairMarginMiner(**margins)
    ours = case.make(reduction=None, mining=miner)(labels, x)
    np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-9)
    assert expected.any()
    assert not np.allclose(ours, case.make(reduction=None)(labels, x)), "nothing was mined"


def check_a_miner_in_blocks(name, jit_compile):
    labels, x = CASES[name].batch(11, seed=31)
    expected = value_and_gradient(CASES[name].make(mining="multi_similarity"), labels, x)
    loss = CASES[name].make(mining="multi_similarity", block_size=4)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def compiled(labels, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(labels, x)
        return value, tf.convert_to_tensor(tape.gradient(value, x))

    value, gradient = compiled(tf.constant(labels), tf.constant(x))
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-4, atol=1e-6)


@pytest.mark.further
@pytest.mark.parametrize("name", few(ONE_EACH))
def test_a_miner_in_blocks_and_graphs(name):
    check_a_miner_in_blocks(name, jit_compile=False)


# The few that stand for all: it is the loss that is compiled, whatever was mined.
@slow
@pytest.mark.parametrize("name", [name for name in ONE_EACH if name in REPRESENTATIVE])
def test_a_miner_in_blocks_under_xla(name):
    check_a_miner_in_blocks(name, jit_compile=True)


@pytest.mark.further
def test_sampled_negatives_are_the_same_in_blocks_and_in_the_backward_pass():
    labels, x = CASES["margin"].batch(24, seed=32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    plain, blocks = (
        losses.MarginLoss(mining="distance_weighted", beta=1.0, block_size=size)
        for size in (None, 5)
    )
    value, gradient = value_and_gradient(plain, labels, x)
    again, other = value_and_gradient(blocks, labels, x)
    np.testing.assert_allclose(again, value, rtol=1e-6)
    np.testing.assert_allclose(other, gradient, rtol=1e-4, atol=1e-6)
    assert value != pytest.approx(float(losses.MarginLoss(beta=1.0)(labels, x)))


UNKNOWN = -7


def with_unknown(labels, x, seed=0):
    """The batch with unlabelled examples strewn in, and which these are."""
    rng = np.random.default_rng(seed)
    unknown = np.zeros(len(labels) + 4, bool)
    unknown[rng.choice(len(unknown), 4, replace=False)] = True
    every = np.full(len(unknown), UNKNOWN, np.int64)
    every[~unknown] = labels
    rows = rng.normal(size=(len(unknown), x.shape[1])).astype(x.dtype)
    rows[~unknown] = x
    return every, rows, unknown


REDUCTIONS = ["sum_over_batch_size", "sum", "mean_with_sample_weight"]


@pytest.mark.further
@pytest.mark.parametrize(
    ("name", "reduction"),
    [
        *(("triplet_semi_hard", reduction) for reduction in REDUCTIONS),
        ("lifted_struct", "mean_with_sample_weight"),
        *(
            pytest.param(name, reduction, marks=slow)
            for name in ON_CLASSES
            for reduction in (REDUCTIONS if name in REPRESENTATIVE else REDUCTIONS[2:])
            if name != "triplet_semi_hard"
        ),
    ],
)
def test_unlabelled_examples_are_not_there(name, reduction):
    case = CASES[name]
    labels, x = case.batch(10, seed=33)
    every, rows, unknown = with_unknown(labels, x)
    weights = np.random.default_rng(1).uniform(0.5, 1.5, size=14)
    expected, slope = value_and_gradient(
        case.make(reduction=reduction), labels, x, weights[~unknown]
    )
    loss = case.make(reduction=reduction, ignore_class=UNKNOWN, block_size=4)
    value, gradient = value_and_gradient(loss, every, rows, weights)
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradient[~unknown], slope, rtol=1e-3, atol=1e-5)
    assert not gradient[unknown].any()


@pytest.mark.parametrize("name", few(ONE_EACH))
def test_a_batch_of_unlabelled_examples_is_nothing(name):
    x = CASES[name].predictions_of(5)
    loss = CASES[name].make(ignore_class=UNKNOWN)
    value, gradient = value_and_gradient(loss, np.full(5, UNKNOWN), x)
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize("name", PROXY_LOSSES)
def test_unlabelled_examples_are_not_there_for_proxies(name):
    rng = np.random.default_rng(5)
    labels, cosines = rng.integers(0, 4, size=9), rng.uniform(-1, 1, size=(9, 4)).astype("float32")
    every, rows, unknown = with_unknown(labels, cosines)
    rows = np.clip(rows, -1, 1)
    centers = 3 if name in ("SubCenterArcFaceLoss", "SoftTripleLoss") else 1
    if centers > 1:
        cosines, rows = (np.stack([v, 0.5 * v, -v], axis=2) for v in (cosines, rows))
    make = getattr(losses, name)
    expected, slope = value_and_gradient(make(), labels, cosines)
    loss = make(ignore_class=UNKNOWN)
    for labelled in (every, tf.constant(every)):
        value, gradient = value_and_gradient(loss, labelled, rows)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        np.testing.assert_allclose(gradient[~unknown], slope, rtol=1e-4, atol=1e-6)
        assert not gradient[unknown].any()
    assert loss.from_config(loss.get_config()).ignore_class == UNKNOWN
    with pytest.raises(ValueError, match="`y_true` must be class ids"):
        loss([0, -1], rows[:2])


def test_unlabelled_examples_are_no_keys_of_a_memory_either():
    labels, x = CASES["triplet"].batch(10, seed=34)
    every, rows, _ = with_unknown(labels, x)
    inner = losses.ContrastiveLoss(distance="euclidean", margin=3.0)
    ignoring = losses.ContrastiveLoss(distance="euclidean", margin=3.0, ignore_class=UNKNOWN)
    plain, with_them = (losses.CrossBatchMemory(loss, 60) for loss in (inner, ignoring))
    for shift in range(3):
        value = plain(labels, x + shift / 4, training=True)
        again = with_them(every, rows + np.float32(shift / 4), training=True)
        np.testing.assert_allclose(again, value, rtol=1e-5)
    assert int(with_them.memory.filled) == 42
    np.testing.assert_allclose(with_them(every, rows, training=False), inner(labels, x), rtol=1e-6)


@pytest.mark.parametrize("name", few(ON_CLASSES))
def test_pairs_that_are_not_known_are_neither(name):
    case = CASES[name]
    labels, x = case.batch(9, seed=35, dtype="float64")
    alike = (labels[:, None] == labels[None, :]).astype("float64")
    unknown = np.random.default_rng(3).random(alike.shape) < 0.2
    picture = picture_of(name, labels, x)
    for i in range(9):
        picture.positives[i] = [j for j in picture.positives[i] if not unknown[i, j]]
        picture.negatives[i] = [j for j in picture.negatives[i] if not unknown[i, j]]
    loss = case.make(reduction=None, relevance="matrix")
    ours = loss(np.where(unknown, np.nan, alike), x)
    np.testing.assert_allclose(ours, case.formula(picture), rtol=1e-7, atol=1e-9)


def multi_hot(n, seed):
    return np.random.default_rng(seed).random((n, CLASSES)) < 0.25


@pytest.mark.further("contrastive", "lifted_struct")
@pytest.mark.parametrize("name", few(ON_CLASSES))
def test_multi_hot_labels(name):
    case = CASES[name]
    labels = multi_hot(10, seed=36)
    x = np.random.default_rng(37).normal(size=(10, 4))
    shared = labels.astype(int) @ labels.astype(int).T
    expected = case.formula(picture_of(name, None, x, relevance=shared))
    for dtype in ("bool", "int32", "float32"):
        loss = case.make(reduction=None, relevance="multi_hot", block_size=3)
        ours = loss(labels.astype(dtype), x)
        np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-9)


def test_hierarchies_are_relevant_by_the_levels_that_they_share():
    paths = np.random.default_rng(3).integers(0, 2, size=(12, 3))
    paths[0, 1:], paths[1] = -1, -1
    expected = np.zeros((12, 12))
    for i, j in np.ndindex(12, 12):
        for mine, other in zip(paths[i], paths[j], strict=True):
            if mine != other or mine == -1:
                break
            expected[i, j] += 1 / 3
        if paths[i, 0] == -1 or paths[j, 0] == -1:
            expected[i, j] = np.nan
    np.testing.assert_allclose(mining.hierarchy(paths, paths), expected, rtol=1e-6)
    x = np.random.default_rng(4).normal(size=(12, 4))
    for cls in (losses.TripletLoss, losses.SupConLoss, losses.MultiSimilarityLoss):
        by_name = cls(relevance="hierarchy", reduction=None)(paths, x)
        by_matrix = cls(relevance="matrix", reduction=None)(expected, x)
        np.testing.assert_allclose(by_name, by_matrix, rtol=1e-6)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(losses.TripletLoss(relevance="hierarchy"))
    )
    assert again.relevance is mining.hierarchy
    for wrong in (paths[:, 0], paths.astype(float), paths[:5]):
        with pytest.raises(ValueError, match=r"\[batch, levels\], coarse to fine"):
            losses.TripletLoss(relevance="hierarchy")(wrong, x)
    with pytest.raises(ValueError, match='relevance="hierarchy"'):
        losses.TripletLoss()(paths, x)


def test_jaccard_weighs_what_is_shared():
    labels = multi_hot(9, seed=38).astype(int)
    labels[4] = 0
    x = np.random.default_rng(39).normal(size=(9, 4))
    either = np.array([[np.sum(a | b) for b in labels] for a in labels])
    both = np.array([[np.sum(a & b) for b in labels] for a in labels])
    matrix = both / np.maximum(either, 1)
    np.testing.assert_allclose(mining.jaccard(labels, labels), matrix, rtol=1e-6)
    expected = CASES["npairs"].formula(picture_of("npairs", None, x, relevance=matrix))
    ours = losses.NpairsLoss("inner_product", relevance="jaccard", reduction=None)(labels, x)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


@keras.saving.register_keras_serializable(package="test_choice_of_pairs")
def close_in_time(query_labels, key_labels):
    return ops.abs(query_labels[:, None, 0] - key_labels[None, :, 0]) < 2.5


@pytest.mark.further("contrastive", "triplet_semi_hard")
@pytest.mark.parametrize("name", few(ONE_EACH))
def test_a_function_of_labels(name):
    case = CASES[name]
    times = np.random.default_rng(40).uniform(0, 9, size=(10, 1))
    x = np.random.default_rng(41).normal(size=(10, 4))
    alike = np.abs(times - times.T) < 2.5
    expected = case.formula(picture_of(name, None, x, relevance=alike))
    loss = case.make(reduction=None, relevance=close_in_time, block_size=4)
    np.testing.assert_allclose(loss(times, x), expected, rtol=1e-7, atol=1e-9)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.relevance is close_in_time
    np.testing.assert_allclose(again(times, x), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.further("multi_hot")
@pytest.mark.parametrize("relevance", ["multi_hot", close_in_time])
def test_other_labels_in_a_graph_of_unknown_batch_size(relevance):
    labels = multi_hot(9, seed=42).astype("float32")
    x = np.random.default_rng(43).normal(size=(9, 4)).astype("float32")
    loss = losses.TripletSemiHardLoss(relevance=relevance, block_size=4)
    signature = [tf.TensorSpec((None, CLASSES)), tf.TensorSpec((None, 4))]
    compiled = tf.function(loss, input_signature=signature, autograph=False)
    np.testing.assert_allclose(compiled(labels, x), loss(labels, x), rtol=1e-5)


@keras.saving.register_keras_serializable(package="test_choice_of_pairs")
def nearer_than_one(rows):
    return rows.positives, rows.distances < 1


def test_what_is_chosen_is_saved():
    loss = losses.MultiSimilarityLoss(mining=nearer_than_one, ignore_class=np.int64(-1))
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    assert again.mining.function is nearer_than_one
    assert again.ignore_class == -1
    assert repr(again) == repr(loss)
    assert "CallableMiner(nearer_than_one)" in repr(loss)
    labelled = losses.SupConLoss(relevance="multi_hot")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(labelled)))
    assert keras.saving.deserialize_keras_object(config).relevance is mining.multi_hot


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: losses.TripletLoss(ignore_class=1.5), "`ignore_class`.*Received: 1.5"),
        (lambda: losses.TripletLoss(ignore_class=True), "`ignore_class`.*Received: True"),
        (lambda: losses.ArcFaceLoss(ignore_class=2**70), "`ignore_class`.*64 bits"),
        (lambda: losses.NpairsLoss(ignore_class=0), "`distance` must be given.*ignore_class=0"),
        (
            lambda: losses.TripletLoss(ignore_class=0, relevance="multi_hot"),
            "`ignore_class`.*NaN",
        ),
        (
            lambda: losses.TripletLoss(relevance=lambda q, k: q)(np.ones((3, 2)), np.ones((3, 2))),
            r"`relevance` must return \[queries, keys\], here \[3, 3\].*\(3, 2\)",
        ),
        (
            lambda: losses.TripletLoss(relevance="multi_hot")(np.ones((2, 2)), np.ones((3, 2))),
            "`y_true` must be multi-hot labels.*batch=3",
        ),
        (
            lambda: losses.CrossBatchMemory(losses.TripletLoss(relevance="jaccard"), 9),
            "`loss` must take class ids",
        ),
    ],
)
def test_wrong_choices_are_refused(call, match):
    with pytest.raises((TypeError, ValueError), match=match):
        call()
