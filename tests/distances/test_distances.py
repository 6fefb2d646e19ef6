"""Values, gradients and behaviour that all distances share."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from oracle import distances as oracle
from tensorflow_similarity import distances
from tensorflow_similarity.distances import (
    CosineDistance,
    EuclideanDistance,
    InnerProductDistance,
    ManhattanDistance,
    SNRDistance,
    SquaredEuclideanDistance,
)

NAMES = sorted(oracle.BY_NAME)
SYMMETRIC = [name for name in NAMES if name != "snr"]
# A distance of one row from itself is 0.
ZERO_AT_SELF = [name for name in NAMES if name != "inner_product"]


def drawn(n, m, dim, seed=0, scale=1.0, dtype="float32"):
    rng = np.random.default_rng(seed)
    return (
        (scale * rng.normal(size=(n, dim))).astype(dtype),
        (scale * rng.normal(size=(m, dim))).astype(dtype),
    )


def gradients(function, *arguments):
    """Gradients of the sum of a function with respect to its arguments."""
    tensors = [tf.constant(x) for x in arguments]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        total = tf.reduce_sum(function(*tensors))
    return [
        np.zeros(x.shape) if g is None else tf.convert_to_tensor(g).numpy()
        for x, g in zip(tensors, tape.gradient(total, tensors), strict=True)
    ]


def finite_differences(function, x, step=1e-6):
    """The gradient of a scalar function of one float64 array, one entry at a time."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (function(up) - function(down)) / (2 * step)
    return gradient


@pytest.mark.parametrize("name", NAMES)
@given(
    n=st.integers(1, 5),
    m=st.integers(1, 5),
    dim=st.integers(2, 9),
    seed=st.integers(0, 99),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
)
@settings(max_examples=8)
@pytest.mark.slow_cases("cosine", "squared_euclidean")
def test_pairwise_is_the_definition(name, n, m, dim, seed, scale):
    queries, keys = drawn(n, m, dim, seed, scale)
    expected = oracle.matrix(name, queries, keys)
    ours = ops.convert_to_numpy(distances.get(name)(queries, keys))
    assert ours.shape == (n, m)
    assert ours.dtype == np.float32
    # The expanded square and the sum of signed products round at the size of
    # their terms. For SNR, that is relative to a signal that may be small.
    terms = {
        "cosine": 1.0,
        "snr": np.var(keys, axis=1).max() / np.var(queries, axis=1).min() + 1,
    }.get(name, np.abs(expected).max() + (scale**2 * dim if "inner" in name else 0))
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=5e-6 * terms)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow_cases("cosine")
def test_pairwise_in_float64_is_the_definition_to_float64(name):
    queries, keys = drawn(7, 9, 16, dtype="float64")
    ours = distances.get(name)(queries, keys)
    assert keras.backend.standardize_dtype(ours.dtype) == "float64"
    np.testing.assert_allclose(ours, oracle.matrix(name, queries, keys), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name):
    queries, keys = drawn(4, 3, 5, seed=1, dtype="float64")
    weights = np.random.default_rng(2).normal(size=(4, 3))
    ours = gradients(lambda q, k: weights * distances.get(name)(q, k), queries, keys)
    of_queries = finite_differences(
        lambda q: np.sum(weights * oracle.matrix(name, q, keys)), queries
    )
    of_keys = finite_differences(lambda k: np.sum(weights * oracle.matrix(name, queries, k)), keys)
    np.testing.assert_allclose(ours[0], of_queries, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(ours[1], of_keys, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["cosine", "euclidean", "squared_euclidean"])
def test_gradients_of_a_large_batch_with_itself_are_those_of_two_batches(name):
    """From 2,048 rows on, the gradient is multiplied in strips, of which the last is not full."""
    rng = np.random.default_rng(7)
    x, weights = rng.normal(size=(2100, 3)), tf.constant(rng.normal(size=(2100, 2100)))
    distance = distances.get(name)

    @tf.function
    def of_one(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(weights * distance.pairwise(x, x))
        return tape.gradient(total, x)

    two = sum(gradients(lambda q, k: weights * distance.pairwise(q, k), x, x.copy()))
    np.testing.assert_allclose(of_one(tf.constant(x)), two, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_paired_are_those_of_pairwise(name):
    a, b = drawn(6, 6, 5, seed=3, dtype="float64")
    distance = distances.get(name)
    paired = gradients(distance.paired, a, b)
    diagonal = gradients(lambda a, b: tf.linalg.diag_part(distance(a, b)), a, b)
    np.testing.assert_allclose(paired[0], diagonal[0], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(paired[1], diagonal[1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_paired_is_the_diagonal_of_pairwise(name):
    a, b = drawn(8, 8, 6, seed=4)
    distance = distances.get(name)
    paired = ops.convert_to_numpy(distance.paired(a, b))
    assert paired.shape == (8,)
    np.testing.assert_allclose(paired, np.diag(oracle.matrix(name, a, b)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_paired_broadcasts_leading_axes(name):
    a, b = drawn(4, 3, 6, seed=5)
    paired = ops.convert_to_numpy(distances.get(name).paired(a[:, None, :], b[None, :, :]))
    np.testing.assert_allclose(paired, oracle.matrix(name, a, b), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ZERO_AT_SELF)
def test_identical_rows_are_at_distance_zero_with_gradient_zero(name):
    x, _ = drawn(5, 1, 8, seed=6)
    value = ops.convert_to_numpy(distances.get(name).paired(x, x))
    np.testing.assert_allclose(value, 0, atol=3e-7)
    for gradient in gradients(distances.get(name).paired, x, x.copy()):
        np.testing.assert_allclose(gradient, 0, atol=1e-6)


@pytest.mark.parametrize("name", ["euclidean", "squared_euclidean", "manhattan"])
def test_gradient_of_pairwise_is_zero_at_identical_rows(name):
    x = np.array([[1.0, 2.0, -3.0, 0.5]], np.float32)
    keys = np.repeat(x, 3, axis=0)
    for gradient in gradients(distances.get(name), x, keys):
        np.testing.assert_allclose(gradient, 0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_zeros_and_extreme_scales_are_finite(name):
    x, _ = drawn(6, 1, 4, seed=7)
    x[:2] = 0
    for scale in (1e-6, 1.0, 1e4):
        values = ops.convert_to_numpy(distances.get(name)(scale * x, scale * x))
        assert np.isfinite(values).all()
        for gradient in gradients(distances.get(name), scale * x, scale * x):
            assert np.isfinite(gradient).all()


def test_a_row_of_zeros_is_at_cosine_distance_one_from_all_with_gradient_zero():
    x, keys = drawn(3, 4, 5, seed=8)
    x[1] = 0
    np.testing.assert_allclose(CosineDistance()(x, keys)[1], 1)
    np.testing.assert_allclose(CosineDistance().paired(x[1:2], keys[:1]), 1)
    of_queries, of_keys = gradients(lambda q, k: CosineDistance()(q, k)[1], x, keys)
    assert not of_queries.any()
    assert not of_keys.any()


@pytest.mark.parametrize("scale", [1e-18, 1e-6, 1e4, 1e18])
def test_cosine_does_not_depend_on_scale(scale):
    queries, keys = drawn(4, 5, 6, seed=9)
    expected = oracle.matrix("cosine", queries, keys)
    np.testing.assert_allclose(
        CosineDistance()(np.float32(scale) * queries, keys), expected, atol=1e-6
    )


@pytest.mark.parametrize("spread", [1e-2, 0.1, 1.0])
@pytest.mark.parametrize("name", ["euclidean", "squared_euclidean"])
def test_paired_is_accurate_at_a_large_offset(name, spread):
    rng = np.random.default_rng(10)
    base = 100 + spread * rng.normal(size=(32, 16))
    step = rng.normal(size=(32, 16))
    near = base + 1e-2 * step / np.linalg.norm(step, axis=1, keepdims=True)
    a, b = base.astype("float32"), near.astype("float32")
    expected = np.diag(oracle.matrix(name, a, b))
    np.testing.assert_allclose(distances.get(name).paired(a, b), expected, rtol=1e-3)


@pytest.mark.parametrize("name", ["euclidean", "squared_euclidean"])
@pytest.mark.parametrize("dim", [2, 16, 128])
def test_pairwise_is_accurate_at_a_large_offset(name, dim):
    # Neighbours 1e-2 apart at offset 100: without a centre, float32 holds
    # squares of 1e4 * dim to 1e-3 * dim, and the answer of 1e-4 is noise.
    rng = np.random.default_rng(11)
    x = 100 + 1e-2 / np.sqrt(2 * dim) * rng.normal(size=(24, dim))
    x = x.astype("float32")
    expected = oracle.matrix(name, x, x)
    ours = ops.convert_to_numpy(distances.get(name)(x, x))
    off_diagonal = ~np.eye(24, dtype=bool)
    assert 3e-3 < np.median(np.sqrt(expected) if name[0] == "s" else expected) < 3e-2
    np.testing.assert_allclose(ours[off_diagonal], expected[off_diagonal], rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(name, dtype):
    queries, keys = drawn(4, 5, 8, seed=12)
    halves = [ops.cast(x, dtype) for x in (queries, keys)]
    expected = oracle.matrix(name, *[ops.convert_to_numpy(ops.cast(x, "float32")) for x in halves])
    for value in (distances.get(name)(*halves), distances.get(name)(halves[0], keys)):
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
    np.testing.assert_allclose(distances.get(name)(*halves), expected, rtol=1e-5, atol=1e-5)
    paired = distances.get(name).paired(halves[0], halves[1][:4])
    np.testing.assert_allclose(paired, np.diag(expected[:, :4]), rtol=1e-5, atol=1e-5)


def test_float64_on_either_side_stays_float64():
    queries, keys = drawn(2, 3, 4)
    for name in NAMES:
        value = distances.get(name)(queries, keys.astype("float64"))
        assert keras.backend.standardize_dtype(value.dtype) == "float64"


@pytest.mark.parametrize("name", SYMMETRIC)
def test_most_distances_are_symmetric(name):
    queries, keys = drawn(4, 5, 6, seed=13)
    distance = distances.get(name)
    np.testing.assert_allclose(
        distance(queries, keys), ops.transpose(distance(keys, queries)), rtol=1e-5, atol=1e-5
    )


def test_snr_is_relative_to_the_query():
    a, b = np.array([[1.0, -1.0]]), np.array([[3.0, -3.0]])
    np.testing.assert_allclose(SNRDistance()(a, b), [[4.0]])
    np.testing.assert_allclose(SNRDistance()(b, a), [[4.0 / 9.0]])


@pytest.mark.parametrize("name", ["manhattan", "cosine", "snr", "euclidean"])
@pytest.mark.further("euclidean")
def test_shapes_unknown_at_tracing(name):
    queries, keys = drawn(11, 5, 6, seed=14)
    function = tf.function(
        lambda q, k: distances.get(name)(q, k),
        input_signature=[tf.TensorSpec([None, 6]), tf.TensorSpec([None, 6])],
    )
    np.testing.assert_allclose(
        function(queries, keys), oracle.matrix(name, queries, keys), rtol=1e-5, atol=1e-5
    )


def test_manhattan_forms_a_bounded_block_of_differences(monkeypatch):
    from tensorflow_similarity.distances import manhattan

    sizes = []
    paired = ManhattanDistance.paired

    def watched(self, a, b):
        rows, keys, dim = a.shape[0], b.shape[1], b.shape[2]
        sizes.append(rows * keys * dim)
        return paired(self, a, b)

    monkeypatch.setattr(manhattan, "_TEMPORARY", 200)
    monkeypatch.setattr(ManhattanDistance, "paired", watched)
    queries, keys = drawn(23, 5, 8, seed=15)
    value = ManhattanDistance()(queries, keys)
    np.testing.assert_allclose(value, oracle.matrix("manhattan", queries, keys), rtol=1e-5)
    assert max(sizes) == 200
    ours = gradients(ManhattanDistance(), queries, keys)
    assert max(sizes) == 200
    signs = np.sign(queries[:, None] - keys[None])
    np.testing.assert_allclose(ours[0], signs.sum(1))
    np.testing.assert_allclose(ours[1], -signs.sum(0))


CLASSES = {
    "cosine": CosineDistance,
    "euclidean": EuclideanDistance,
    "l2": EuclideanDistance,
    "squared_euclidean": SquaredEuclideanDistance,
    "sql2": SquaredEuclideanDistance,
    "squared_l2": SquaredEuclideanDistance,
    "manhattan": ManhattanDistance,
    "l1": ManhattanDistance,
    "inner_product": InnerProductDistance,
    "ip": InnerProductDistance,
    "snr": SNRDistance,
    "signal_to_noise_ratio": SNRDistance,
}


def test_every_name_has_its_class():
    assert distances.names() == sorted(CLASSES)
    for name, cls in CLASSES.items():
        assert type(distances.get(name)) is cls
        assert type(distances.get(name.upper().replace("_", "-"))) is cls
    for name in NAMES:
        assert distances.get(name).name == name


def test_get_takes_objects_classes_and_configs():
    distance = EuclideanDistance()
    assert distances.get(distance) is distance
    assert distances.get(EuclideanDistance) == distance
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(distance)))
    assert distances.get(config) == distance
    assert distances.get("cosine") != distance
    assert len({EuclideanDistance(), EuclideanDistance(), CosineDistance()}) == 2
    assert repr(distance) == "EuclideanDistance()"


@pytest.mark.parametrize("name", ["cosinus", "", "l3"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ValueError, match=r"Unknown `distance`.*'cosine'.*Received") as caught:
        distances.get(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("bad", [None, 3, 1.5, ["cosine"]])
def test_what_is_no_distance_at_all_is_refused(bad):
    with pytest.raises(TypeError, match=r"`distance` must be one of .*Received"):
        distances.get(bad)


@pytest.mark.parametrize("n", [1, 9])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow_cases("snr-1", "snr-9", "cosine-1")
def test_a_batch_with_itself_has_the_gradient_of_two_sides(name, n):
    # One matrix on both sides has a gradient of its own; a copy of it is another matrix.
    x = tf.constant(drawn(n, 1, 5, seed=3, dtype="float64")[0])
    weights = np.random.default_rng(4).normal(size=(n, n)) * (1 - np.eye(n))
    distance = distances.get(name)

    def first_and_second(copy):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                other = x + 0.0 if copy else x
                value = tf.reduce_sum(tf.sin(distance(x, other)) * weights)
            slope = inner.gradient(value, x)
            energy = tf.reduce_sum(tf.square(slope))
        return value, slope, outer.gradient(energy, x)

    for one, two in zip(first_and_second(False), first_and_second(True), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-8, atol=1e-9)
