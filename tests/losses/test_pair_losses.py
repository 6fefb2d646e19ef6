"""The pair, triplet and set losses against their formulas, and in the corners."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from oracle.gradients import value_and_gradient
from oracle.losses import Picture
from oracle.pair_cases import CASES, labels_and_embeddings

NAMES = sorted(CASES)


def per_query(name, labels, x, **kwargs):
    case = CASES[name]
    return np.asarray(case.make(reduction=None, **kwargs)(labels, x))


@pytest.mark.parametrize("name", NAMES)
def test_value_is_the_formulas(name):
    case = CASES[name]
    labels, x = labels_and_embeddings()
    expected = case.oracle(Picture(case.make().distance.name, labels, x))
    assert np.any(expected > 0)
    np.testing.assert_allclose(per_query(name, labels, x), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in NAMES if CASES[name].any_keys])
def test_value_for_keys_that_are_not_the_queries(name):
    case = CASES[name]
    labels, x = labels_and_embeddings()
    picture = Picture(
        case.make().distance.name, labels[:7], x[:7], labels[5:], x[5:], queries_are_keys=False
    )
    loss = case.make(reduction=None)
    actual = loss.query_losses(
        ops.convert_to_tensor(labels[:7]),
        ops.convert_to_tensor(x[:7]),
        ops.convert_to_tensor(labels[5:]),
        ops.convert_to_tensor(x[5:]),
    )
    np.testing.assert_allclose(actual, case.oracle(picture), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_the_formulas(name):
    case = CASES[name]
    labels, x = labels_and_embeddings()
    direction = np.random.default_rng(5).normal(size=x.shape)
    distance = case.make().distance.name
    fixed = Picture(distance, labels, x)

    def value(step):
        moved = Picture(distance, labels, x + step * direction)
        return np.mean(case.frozen(moved, fixed) if case.frozen else case.oracle(moved))

    expected = (value(1e-6) - value(-1e-6)) / 2e-6
    assert abs(expected) > 1e-4
    _, gradient = value_and_gradient(case.make(), labels, x)
    np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=1e-5)


# One of each way of passing over the blocks; the others are slow.
IN_BLOCKS = ("circle", "histogram", "intra_pair_variance", "margin", "pn", "smooth_ap")


@pytest.mark.parametrize(
    "name",
    [n if n in IN_BLOCKS else pytest.param(n, marks=pytest.mark.slow) for n in NAMES],
)
def test_blocks_change_nothing(name):
    case = CASES[name]
    labels, x = labels_and_embeddings()
    value, gradient = value_and_gradient(case.make(), labels, x)
    in_blocks, gradient_in_blocks = value_and_gradient(case.make(block_size=5), labels, x)
    np.testing.assert_allclose(in_blocks, value, rtol=1e-12)
    np.testing.assert_allclose(gradient_in_blocks, gradient, rtol=1e-9, atol=1e-12)


CORNERS = {
    "one class": ([3] * 6, np.random.default_rng(0).normal(size=(6, 4))),
    "all distinct": (range(6), np.random.default_rng(1).normal(size=(6, 4))),
    "one example": ([1], np.ones((1, 4))),
    "one point": ([0, 0, 1, 1], np.ones((4, 4))),
    "zeros": ([0, 0, 1, 1], np.zeros((4, 4))),
    "small": ([0, 0, 1, 1], 1e-6 * np.random.default_rng(2).normal(size=(4, 4))),
    "large": ([0, 0, 1, 1], 1e4 * np.random.default_rng(3).normal(size=(4, 4))),
    "duplicates": ([0, 0, 1, 1, 2], np.repeat(np.eye(4), [2, 2, 1, 0], axis=0)),
}


@pytest.mark.parametrize("name", NAMES)
def test_finite_in_the_corners(name):
    for corner, (labels, x) in CORNERS.items():
        labels, x = np.array(labels), np.asarray(x, np.float32)
        value, gradient = value_and_gradient(CASES[name].make(), labels, x)
        assert np.isfinite(value), corner
        assert np.all(np.isfinite(gradient)), corner


@pytest.mark.parametrize("name", NAMES)
def test_no_loss_without_the_pairs_it_needs(name):
    case = CASES[name]
    for corner, lacking in {"one class": "negatives", "all distinct": "positives"}.items():
        labels, x = CORNERS[corner]
        labels, x = np.array(list(labels)), np.asarray(x, np.float32)
        value, gradient = value_and_gradient(case.make(), labels, x)
        if lacking in case.needs:
            assert value == 0, corner
            assert not np.any(gradient), corner
        elif corner != "one example":
            assert value > 0, corner


@pytest.mark.parametrize("name", NAMES)
def test_relevance_is_as_good_as_classes(name):
    labels, x = labels_and_embeddings()
    alike = labels[:, None] == labels[None, :]
    expected = per_query(name, labels, x)
    np.testing.assert_allclose(per_query(name, alike, x), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_config_makes_an_equal_loss(name):
    labels, x = labels_and_embeddings()
    loss = CASES[name].make()
    config = loss.get_config()
    again = type(loss).from_config(config)
    assert again.get_config() == config
    np.testing.assert_array_equal(again(labels, x), loss(labels, x))


@pytest.mark.slow
@pytest.mark.parametrize("block_size", [None, 5])
@pytest.mark.parametrize("name", NAMES)
def test_xla(name, block_size):
    labels, x = labels_and_embeddings()
    x = tf.constant(x)
    loss = CASES[name].make(block_size=block_size)

    @tf.function(jit_compile=True)
    def compiled(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(labels, x)
        return value, tape.gradient(value, x)

    value, gradient = value_and_gradient(loss, labels, x)
    compiled_value, compiled_gradient = compiled(x)
    np.testing.assert_allclose(compiled_value, value, rtol=1e-9)
    np.testing.assert_allclose(compiled_gradient, gradient, rtol=1e-7, atol=1e-10)
