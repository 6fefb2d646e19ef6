"""One value and one gradient: in blocks, in graphs, under XLA, at unknown shapes."""

import numpy as np
import pytest
import tensorflow as tf

from oracle.gradients import value_and_gradient
from oracle.loss_cases import CASES, ON_CLASSES, one_each

slow = pytest.mark.slow
N = 20


def step_of(loss, **function):
    """A compiled function from labels and predictions to value and gradient."""

    @tf.function(**function)
    def step(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return value, tape.gradient(value, y_pred)

    return step


def check(name, measured, n=N, seed=30):
    """`measured` has the value and gradient of the plain loss, called eagerly."""
    y_true, y_pred = CASES[name].batch(n, seed)
    expected_value, expected = value_and_gradient(CASES[name].make(), y_true, y_pred)
    value, gradient = measured(y_true, y_pred)
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    gradient = tf.convert_to_tensor(gradient)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def tensors(step):
    return lambda y_true, y_pred: step(tf.constant(y_true), tf.constant(y_pred))


@pytest.mark.further(
    "triplet-7",
    "triplet_semi_hard-7",
    "lifted_struct-7",
    "contrastive-7",
    "npairs-7",
    "multi_similarity-7",
)
@pytest.mark.parametrize(
    "block_size", [7, pytest.param(1, marks=slow), pytest.param(64, marks=slow)]
)
@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.takes == "embeddings"])
def test_blocks(name, block_size):
    loss = CASES[name].make(block_size=block_size)
    check(name, lambda y_true, y_pred: value_and_gradient(loss, y_true, y_pred))


@pytest.mark.further
@pytest.mark.parametrize("name", ["triplet", "lifted_struct"])
def test_graph_of_unknown_batch_size(name):
    step = step_of(
        CASES[name].make(block_size=7),
        input_signature=[tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 4])],
    )
    for n in (20, 3):
        check(name, tensors(step), n, seed=31)


def in_a_graph_of_tensorflow_1(loss):
    """There `==` on tensors asks whether they are one object."""

    def measured(y_true, y_pred):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            x = tf.constant(y_pred)
            value = loss(tf.constant(y_true), x)
            return session.run([value, tf.gradients(value, x)[0]])

    return measured


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("triplet_semi_hard", "smooth_ap") else pytest.param(name, marks=slow)
        for name in CASES
    ],
)
@pytest.mark.further("smooth_ap")
def test_a_graph_outside_of_tf_function(name):
    check(name, in_a_graph_of_tensorflow_1(CASES[name].make()))


# The others are in graphs of unknown batch size below, and in `fit`.
@slow
@pytest.mark.parametrize("block_size", [None, 1, 7, 64])
@pytest.mark.parametrize("name", ["triplet", "triplet_semi_hard", "lifted_struct", "supcon"])
def test_graphs(name, block_size):
    check(name, tensors(step_of(CASES[name].make(block_size=block_size))))


# Those on embeddings and class ids are compiled once: for degenerate batches and for this one.
@slow
@pytest.mark.parametrize("name", [name for name in one_each() if name not in ON_CLASSES])
def test_under_xla(name):
    check(name, tensors(step_of(CASES[name].make(block_size=7), jit_compile=True)))


@slow
@pytest.mark.parametrize("block_size", [None, 7])
@pytest.mark.parametrize("name", [name for name in one_each() if name in ON_CLASSES])
def test_graphs_of_unknown_batch_size(name, block_size):
    step = step_of(
        CASES[name].make(block_size=block_size),
        input_signature=[tf.TensorSpec([None, 1], tf.int32), tf.TensorSpec([None, 4])],
    )
    for n in (20, 70, 1):
        check(name, lambda y, x: step(tf.constant(y[:, None], tf.int32), tf.constant(x)), n, 31)


@slow
@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.takes != "embeddings"])
def test_pairwise_values_of_unknown_shape(name):
    y_true, y_pred = CASES[name].batch(9)
    step = step_of(
        CASES[name].make(),
        input_signature=[
            tf.TensorSpec([None] * y_true.ndim, tf.int64),
            tf.TensorSpec([None] * y_pred.ndim),
        ],
    )
    for n in (9, 4):
        check(name, tensors(step), n)


@slow
@pytest.mark.parametrize(("classes", "jit_compile"), [(3, False), (3, True), (100, True)])
@pytest.mark.parametrize("name", ["triplet", "triplet_semi_hard"])
def test_many_rows(name, classes, jit_compile):
    # Beyond the block that mining takes, with few and with many positives.
    rng = np.random.default_rng(32)
    labels = rng.integers(0, classes, 600)
    x = rng.normal(size=(600, 8)).astype("float32")
    expected_value, expected = value_and_gradient(CASES[name].make(), labels, x.astype("float64"))
    for block_size in (None, 64):
        step = step_of(CASES[name].make(block_size=block_size), jit_compile=jit_compile)
        value, gradient = step(tf.constant(labels), tf.constant(x))
        np.testing.assert_allclose(value, expected_value, rtol=1e-5)
        np.testing.assert_allclose(gradient, expected, atol=2e-5 * np.abs(expected).max())
