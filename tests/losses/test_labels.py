"""What labels say is named, never guessed: floats, one-hot, binary, eagerly and in graphs."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from oracle.loss_cases import CASES, few, one_each
from tensorflow_similarity import losses, training_metrics

X = np.random.default_rng(40).normal(size=(8, 4)).astype("float32")
Y = np.arange(8) % 3
COSINES = np.random.default_rng(41).uniform(-1, 1, size=(8, 3)).astype("float32")

TAKERS = {
    "triplet": (losses.TripletLoss, X),
    "proxies": (losses.ProxyNCALoss, COSINES),
    "memory": (lambda: losses.CrossBatchMemory(losses.TripletLoss(), 9), X),
}


def called(loss, labels, x):
    memory = {"training": True} if isinstance(loss, losses.CrossBatchMemory) else {}
    return loss(labels, x, **memory)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("taker", TAKERS)
def test_whole_numbers_in_a_float_type_are_class_ids_with_one_warning(taker, dtype):
    make, x = TAKERS[taker]
    expected = called(make(), Y, x)
    loss = make()
    with pytest.warns(UserWarning, match="`y_true` has dtype float.*astype"):
        value = called(loss, Y.astype(dtype), x)
    np.testing.assert_array_equal(value, expected)
    called(loss, Y.astype(dtype)[:, None], x)  # A second warning would be an error here.


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("taker", ["triplet", "proxies"])
@pytest.mark.slow_cases("triplet-True")
def test_floats_in_a_graph(taker, jit):
    make, x = TAKERS[taker]
    expected = make()(Y, x)
    loss = make()
    compiled = tf.function(loss, jit_compile=jit, autograph=False)
    with pytest.warns(UserWarning, match="`y_true` has dtype float32"):
        value = compiled(tf.constant(Y, "float32"), tf.constant(x))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    wrong = tf.constant(np.where(Y == 1, 1.5, Y), "float32")
    if jit:  # Nothing can be raised there.
        assert np.isnan(compiled(wrong, tf.constant(x)))
    else:
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"whole numbers below 2\*\*24"):
            compiled(wrong, tf.constant(x))


def test_fit_on_float_labels():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    metric = training_metrics.QueriesWithoutPositives()
    model.compile("sgd", loss=losses.SupConLoss(), metrics=[metric], jit_compile=False)
    with pytest.warns(UserWarning, match="`y_true` has dtype float32"):
        history = model.fit(X, Y.astype("float32"), batch_size=8, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert history.history["queries_without_positives"] == [0, 0]


METRICS = {
    "distance": training_metrics.DistanceMetric,
    "gap": training_metrics.DistanceGapMetric,
    "active": training_metrics.ActivePairFraction,
    "without": training_metrics.QueriesWithoutPositives,
}


@pytest.mark.parametrize("name", METRICS)
def test_metrics_take_relevance_by_name_as_losses_do(name):
    by_class, by_matrix, by_tags = (
        METRICS[name](relevance=relevance) for relevance in (None, "matrix", "multi_hot")
    )
    by_class.update_state(Y, X)
    by_matrix.update_state(Y[:, None] == Y, X)
    by_tags.update_state(np.eye(3)[Y], X)
    assert by_matrix.result() == by_class.result() == by_tags.result()
    again = METRICS[name].from_config(by_tags.get_config())
    again.update_state(np.eye(3)[Y], X)
    assert again.result() == by_class.result()
    with pytest.raises(ValueError, match='relevance="matrix"'):
        METRICS[name]().update_state(np.eye(8), X)


WRONG_PAIRS = {
    "class ids": ([3, 7, 0], "Received: 3.*distance="),
    "signs": ([-1, 1, -1], r"Received: -1.*pass y > 0"),
    "fractions": ([0.5, 1, 0], "Received: 0.5"),
    "NaN": ([np.nan, 1, 0], "Received: nan"),
}


@pytest.mark.parametrize("wrong", WRONG_PAIRS)
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("column", [False, True])
def test_binary_labels_are_0_and_1(wrong, graph, column):
    labels, match = WRONG_PAIRS[wrong]
    labels, distances = np.array(labels), np.array([0.2, 0.3, 0.9], "float32")
    labels, distances = (x[:, None] if column else x for x in (labels, distances))
    if not graph:
        with pytest.raises(ValueError, match=f"`y_true` must be binary labels.*{match}"):
            losses.ContrastiveLoss()(labels, distances)
        return
    arguments = tf.constant(labels), tf.constant(distances)
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be binary labels"):
        tf.function(losses.ContrastiveLoss(), autograph=False)(*arguments)
    in_xla = tf.function(losses.ContrastiveLoss(reduction=None), jit_compile=True, autograph=False)(
        *arguments
    )
    np.testing.assert_array_equal(np.isnan(in_xla), ~np.isin(labels.ravel(), (0, 1)))


@pytest.mark.parametrize("name", few(one_each()))
def test_several_labels_are_not_class_ids_in_one_more_axis(name):
    case = CASES[name]
    if case.labels != "classes":
        pytest.skip("takes other labels")
    loss = case.make(relevance="multi_hot")
    with pytest.raises(ValueError, match="`y_true` must be multi-hot labels"):
        loss(Y, X)


def test_relevance_of_pairwise_values():
    similarities = np.random.default_rng(1).normal(size=(8, 8)).astype("float32")
    tags = np.eye(3)[Y]
    expected = losses.NpairsMultilabelLoss()(tags, similarities)
    for relevance, labels in (("multi_hot", tags), ("matrix", tags @ tags.T)):
        value = losses.NpairsLoss(relevance=relevance)(labels, similarities)
        np.testing.assert_allclose(value, expected, rtol=1e-6)
    with pytest.raises(ValueError, match='relevance="matrix"'):
        losses.NpairsLoss()(tags @ tags.T, similarities)


POSITIONS = {
    "TripletLoss": (lambda: losses.TripletLoss("cosine", "hard", "semi-hard", 0.2), "margin=0.2"),
    "PNLoss": (lambda: losses.PNLoss("cosine", "hard", "semi-hard", 0.2), "margin=0.2"),
    "TripletHardLoss": (lambda: losses.TripletHardLoss(1.0, 0.3), "margin=0.3"),
    "TripletAllLoss": (lambda: losses.TripletAllLoss("cosine", 0.1, 0.3), "`active_only`"),
    "name": (lambda: losses.SupConLoss("cosine", 0.1, 7), "`name`.*SupConLoss by name"),
    "across_replicas": (lambda: losses.SupConLoss(across_replicas=1), "`across_replicas`"),
    "CrossBatchMemory": (
        lambda: losses.CrossBatchMemory(losses.TripletLoss(), 9, 0, 5),
        "`example_ids`",
    ),
}


@pytest.mark.parametrize("name", POSITIONS)
def test_arguments_by_position_that_were_meant_for_others_are_refused(name):
    make, match = POSITIONS[name]
    with pytest.raises(TypeError, match=match):
        make()


PUBLIC = [
    name
    for name in losses.__all__
    if issubclass(getattr(losses, name), keras.losses.Loss) and name != "CrossBatchMemory"
]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_typo_names_the_loss_that_was_called_and_what_was_meant(name):
    cls = getattr(losses, name)
    with pytest.raises(TypeError, match=rf"{cls.__name__}.*'reductoin'"):
        cls(reductoin="sum")


def test_no_warning_where_labels_are_integers():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for dtype in ("bool", "uint8", "int32", "int64"):
            losses.TripletLoss()((Y % 2).astype(dtype), X)
