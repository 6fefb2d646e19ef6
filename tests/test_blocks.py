"""A function of rows gives the same by blocks, and the same gradient."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from tensorflow_similarity._blocks import map_row_blocks

X = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")
KEYS = np.random.default_rng(1).normal(size=(5, 3)).astype("float32")
IDS = np.arange(7)


def _function(ids, x, keys):
    """Two results of one row: of its number, and of all keys."""
    similar = ops.matmul(x, ops.transpose(keys))
    return ops.cast(ids * 2, "float32"), ops.logsumexp(similar, axis=1)


def _by_blocks(block_size, recompute=True):
    def run(x, keys):
        with tf.GradientTape() as tape:
            tape.watch([x, keys])
            doubled, values = map_row_blocks(
                _function, (tf.constant(IDS), x), (keys,), block_size, recompute
            )
            total = ops.sum(ops.square(values))
        gradients = tape.gradient(total, [x, keys])
        return doubled, values, *[tf.convert_to_tensor(g) for g in gradients]

    return run


@pytest.mark.parametrize("block_size", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("recompute", [True, False])
def test_blocks_change_nothing(block_size, recompute):
    expected = _by_blocks(None)(tf.constant(X), tf.constant(KEYS))
    found = _by_blocks(block_size, recompute)(tf.constant(X), tf.constant(KEYS))
    np.testing.assert_array_equal(found[0], IDS * 2)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.further("False")
def test_blocks_in_a_graph(jit_compile):
    expected = _by_blocks(None)(tf.constant(X), tf.constant(KEYS))
    graph = tf.function(_by_blocks(3), autograph=False, jit_compile=jit_compile)
    for a, b in zip(graph(tf.constant(X), tf.constant(KEYS)), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_functions_run_as_they_are_written():
    """And not as AutoGraph translates them, which takes longer, and much longer at first."""
    files = []

    def row_sums(rows):
        files.append(inspect.currentframe().f_code.co_filename)
        return ops.sum(rows, axis=1)

    map_row_blocks(row_sums, (tf.constant(X),), (), 3)
    assert set(files) == {row_sums.__code__.co_filename}


def test_an_unknown_number_of_rows():
    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def run(x):
        return map_row_blocks(lambda rows: ops.sum(rows, axis=1), (x,), (), 3)

    for n in (0, 1, 3, 7):
        np.testing.assert_allclose(run(X[:n]), X[:n].sum(axis=1), rtol=1e-5, atol=1e-6)


def test_a_block_sees_no_more_rows_than_its_size():
    seen = []

    def function(x):
        seen.append(x.shape[0])
        return x

    map_row_blocks(function, (tf.constant(X),), (), 3)
    assert set(seen) == {3}
