"""What must hold of every loss, whatever its formula."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from every import every
from oracle.gradients import value_and_gradient
from oracle.loss_cases import CASES, ON_CLASSES, REPRESENTATIVE, few, one_each
from tensorflow_similarity.losses import CrossBatchMemory

PAIRWISE = [name for name, case in CASES.items() if case.takes != "embeddings"]
slow = pytest.mark.slow


def per_query(name, y_true, y_pred):
    return np.asarray(CASES[name].make(reduction=None)(y_true, y_pred))


@pytest.mark.parametrize("name", few(CASES))
@pytest.mark.slow_cases("triplet")
def test_a_permuted_batch_has_permuted_losses(name):
    case = CASES[name]
    y_true, y_pred = case.batch(11, seed=20, dtype="float64")
    order = np.random.default_rng(0).permutation(11)
    permuted = y_pred[order][:, order] if case.takes == "similarities" else y_pred[order]
    np.testing.assert_allclose(
        per_query(name, y_true[order], permuted),
        per_query(name, y_true, y_pred)[order],
        rtol=1e-9,
        atol=1e-12,
    )


# Six ids of each type that a float would confuse, or that are at its ends.
IDS = {
    "int64": [2**53, 2**53 + 1, -(2**63), 2**63 - 1, -1, 2**63 - 2],
    "int32": [2**24, 2**24 + 1, -(2**31), 2**31 - 1, -1, 2**24 + 2],
    "uint64": [2**64 - 1, 2**64 - 2, 2**63, 2**63 - 1, 0, 1],
    "uint32": [2**32 - 1, 2**32 - 2, 2**24, 2**24 + 1, 0, 1],
    "int16": [256, 257, -(2**15), 2**15 - 1, -1, 0],
    "uint16": [2**16 - 1, 2**16 - 2, 256, 257, 0, 1],
    "int8": [-128, 127, 126, -1, 0, 1],
    "uint8": [255, 254, 128, 127, 0, 1],
}


# Every type of integer becomes int64 in one place: the other types need but a few losses.
@pytest.mark.parametrize("name", few(n for n, c in CASES.items() if c.labels == "classes"))
@pytest.mark.slow_cases("triplet_semi_hard", "triplet")
def test_names_of_classes_do_not_matter(name):
    check_renamed_classes(name, "int64")


def check_renamed_classes(name, dtype):
    labels, y_pred = CASES[name].batch(12, seed=21)
    renamed = np.array(IDS[dtype], dtype)[labels]
    assert len(set(renamed.tolist())) == len(set(labels.tolist())) > 3
    expected = per_query(name, labels, y_pred)
    np.testing.assert_allclose(per_query(name, renamed, y_pred), expected, rtol=1e-6, atol=1e-7)
    return expected


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("name", ["triplet", "triplet_semi_hard", "npairs_of_values"])
@pytest.mark.further(
    "npairs_of_values-int64",
    "npairs_of_values-int32",
    "npairs_of_values-uint64",
    "npairs_of_values-uint32",
    "npairs_of_values-int16",
    "npairs_of_values-uint16",
    "npairs_of_values-int8",
    "npairs_of_values-uint8",
)
def test_every_integer_type(name, dtype):
    expected = check_renamed_classes(name, dtype)
    labels, y_pred = CASES[name].batch(12, seed=21)
    renamed = [IDS[dtype][label] for label in labels]
    if dtype != "uint64":
        # A list of Python integers, as a column too.
        np.testing.assert_allclose(per_query(name, renamed, y_pred), expected, 1e-6, 1e-7)
    column = tf.constant(np.array(renamed, dtype)[:, None])
    np.testing.assert_allclose(per_query(name, column, y_pred), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", few(ON_CLASSES))
@pytest.mark.slow_cases("triplet_semi_hard")
def test_bool_labels_are_two_classes(name):
    labels, x = np.arange(8) % 2, CASES[name].predictions_of(8, seed=22)
    expected = per_query(name, labels, x)
    np.testing.assert_allclose(per_query(name, labels.astype(bool), x), expected, rtol=1e-6)


def batches(n=8):
    """Ordinary batches that are called degenerate, by name: labels and embeddings."""
    x = np.random.default_rng(23).normal(size=(n, 4))
    two = np.arange(n) % 2
    zeros, some_zeros, twins = np.zeros_like(x), x.copy(), np.repeat(x[: n // 2], 2, axis=0)
    some_zeros[:3] = 0
    return {
        "no positive": (np.arange(n), x),
        "one class": (np.zeros(n, int), x),
        "one lone query": (np.append(np.zeros(n - 1, int), 1), x),
        "all the same row": (two, np.ones_like(x)),
        "all the same row, one class": (np.zeros(n, int), np.ones_like(x)),
        "twins of one class": (np.arange(n) // 2, twins),
        "twins of two classes": (two, twins),
        "rows of zeros": (two, zeros),
        "some rows of zeros": (two, some_zeros),
        "small": (two, 1e-6 * x),
        "large": (two, 1e4 * x),
        "large twins": (two, 1e4 * twins),
        "large offset": (two, 1e4 + 1e-2 * x),
    }


def check_degenerate(case, measured, dtype="float32"):
    """`measured(labels, x)` gives value and gradient of the mean of the loss."""
    for batch, (labels, x) in batches().items():
        value, gradient = measured(labels, tf.cast(x, dtype))
        assert np.isfinite(value), batch
        # A cosine's gradient grows as rows shrink: at 1e-6, beyond what float16 holds.
        # It must not be clipped, as loss scaling goes by what overflows.
        if (dtype, batch) != ("float16", "small"):
            assert np.isfinite(tf.cast(gradient, "float32")).all(), batch
        lacking = {"no positive": "positives", "one class": "negatives"}.get(batch)
        if lacking in case.needs:
            assert value == 0, batch
            assert not np.any(gradient), batch


@pytest.mark.parametrize("name", few(ON_CLASSES))
@pytest.mark.further("contrastive")
def test_degenerate_batches_are_finite(name):
    loss = CASES[name].make()
    check_degenerate(CASES[name], lambda y, x: value_and_gradient(loss, y, x))


@slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("name", ON_CLASSES)
def test_degenerate_batches_in_other_types_are_finite(name, dtype):
    loss = CASES[name].make()
    check_degenerate(CASES[name], lambda y, x: value_and_gradient(loss, y, x), dtype)


def memory_of(case, distance):
    memory = CrossBatchMemory(case.make(distance=distance), 32)
    return lambda labels, x: memory(labels, x, training=True)


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean", "inner_product", "snr"])
def test_what_overflows_is_never_a_finite_loss(distance):
    """Mining passes over distances that are not finite: what is left would look like success."""

    def check(name, scale, make):
        try:
            loss = make(CASES[name], distance)
        except ValueError:  # The loss, or its mining, is not for this distance.
            return
        labels, x = CASES[name].batch(12, seed=22)
        assert not np.isfinite(loss(labels, np.float32(scale) * x))
        # Of one example alone, too.
        x[3] *= scale
        assert not np.isfinite(loss(labels, x))

    plain = [(name, scale, lambda case, distance: case.make(distance=distance))
             for name in ON_CLASSES for scale in (1e20, 1e25, 1e37)]  # fmt: skip
    every(check, [*plain, ("triplet", 1e25, memory_of), ("multi_similarity", 1e25, memory_of)])


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "inner_product", "snr"])
def test_an_example_of_no_class_may_be_of_any_size(distance):
    """The loss is that of the batch without it; a common centre of all rows would move."""

    def check(name, scale):
        try:
            loss = CASES[name].make(distance=distance, ignore_class=1)
        except ValueError:  # The loss, or its mining, is not for this distance.
            return
        labels, x = CASES[name].batch(12, seed=22)
        assert 0 < np.sum(labels == 1) < 6
        expected = loss(labels[labels != 1], x[labels != 1])
        x[labels == 1] *= scale
        np.testing.assert_allclose(loss(labels, x), expected, rtol=1e-4, atol=1e-5)

    every(check, [(name, scale) for name in ON_CLASSES for scale in (1e7, 1e25, np.inf)])


# Each loss once, as compiling takes seconds; losses on pairs, triplets and sums in all three ways.
GRAPHS = [
    (name, *how)
    for name in one_each()
    if name in ON_CLASSES
    for how in [(3, True), (None, True), (3, False)][: 3 if name in REPRESENTATIVE else 1]
]


@slow
@pytest.mark.parametrize(("name", "block_size", "jit_compile"), GRAPHS)
def test_degenerate_batches_in_graphs_are_finite(name, block_size, jit_compile):
    """And an ordinary batch has the value and gradient that it has outside of graphs."""
    loss = CASES[name].make(block_size=block_size)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def compiled(labels, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(labels, x)
        return value, tape.gradient(value, x)

    check_degenerate(CASES[name], lambda y, x: compiled(tf.constant(y), x))
    labels, x = CASES[name].batch(8, seed=29)
    assert x.shape == (8, 4)  # no other graph is compiled
    value, gradient = compiled(tf.constant(labels), tf.constant(x))
    expected, slope = value_and_gradient(CASES[name].make(), labels, x)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    gradient = tf.convert_to_tensor(gradient)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-5 * np.abs(slope).max())
    assert compiled.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("name", few(ON_CLASSES))
def test_one_example(name):
    value, gradient = value_and_gradient(CASES[name].make(), [5], np.array([[1.0, 2.0, 3.0]]))
    assert value == 0
    assert not gradient.any()


# The histogram loss compares distances of the whole batch, of lone queries too.
LONE_QUERIES = [n for n in ON_CLASSES if "positives" in CASES[n].needs and "histogram" not in n]


@pytest.mark.parametrize("name", LONE_QUERIES)
def test_a_query_without_a_positive_has_no_loss(name):
    labels, x = CASES[name].batch(10, seed=24)
    labels = np.append(labels, [70, 71])
    x = np.vstack([x, 0.1 * x[:2]])
    losses = per_query(name, labels, x)
    assert not losses[-2:].any()
    assert losses[:-2].any()


@pytest.mark.parametrize("name", PAIRWISE)
def test_pairwise_values_may_be_extreme(name):
    case = CASES[name]
    y_true, y_pred = case.batch(6, seed=25)
    for scale in (0.0, 1e-6, 1e4):
        value, gradient = value_and_gradient(case.make(), y_true, np.float32(scale) * y_pred)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_shared_labels_may_be_absent():
    # No label at all, and none that is shared: nothing to learn from.
    for name in ("npairs_multilabel", "npairs_multilabel_of_values"):
        y_pred = CASES[name].predictions_of(4, seed=26)
        value, gradient = value_and_gradient(CASES[name].make(), np.zeros((4, 3), int), y_pred)
        assert value == 0
        assert not gradient.any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", few(CASES))
@pytest.mark.slow_cases("triplet_semi_hard-float16", "triplet_semi_hard-bfloat16")
def test_half_precision_is_computed_in_float32(name, dtype):
    case = CASES[name]
    y_true, y_pred = case.batch(8, seed=27)
    half = tf.cast(y_pred, dtype)
    value, gradient = value_and_gradient(case.make(), y_true, half)
    expected = case.make()(y_true, tf.cast(half, "float32"))
    assert value.dtype == np.float32
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert keras.backend.standardize_dtype(gradient.dtype) == dtype


@given(
    labels=st.lists(st.integers(0, 2), min_size=7, max_size=7),
    grid=st.lists(st.integers(-1, 1), min_size=14, max_size=14),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
)
@settings(max_examples=5)
@pytest.mark.parametrize("name", few(ON_CLASSES))
@pytest.mark.further("contrastive")
def test_batches_on_a_grid_are_finite(name, labels, grid, scale):
    # A small grid is full of ties, of duplicates and of zeros.
    x = scale * np.reshape(grid, (7, 2)).astype("float32")
    value, gradient = value_and_gradient(CASES[name].make(), np.array(labels), x)
    assert np.isfinite(value)
    assert value >= 0
    assert np.isfinite(gradient).all()


@given(
    labels=st.lists(st.integers(0, 3), min_size=8, max_size=8),
    grid=st.lists(st.integers(-2, 2), min_size=16, max_size=16),
)
@settings(max_examples=8)
@pytest.mark.parametrize(
    "name", ["triplet_semi_hard", "lifted_struct", "soft_nearest_neighbor", "triplet_hard"]
)
@pytest.mark.further("soft_nearest_neighbor")
def test_formulas_hold_at_ties(name, labels, grid):
    # Squared distances on a grid are exact, about the mean of eight rows too, so
    # ties are ties on both sides.
    case, x = CASES[name], np.reshape(grid, (8, 2)).astype("float64")
    ours = per_query(name, labels, x)
    np.testing.assert_allclose(ours, case.expected(labels, x), rtol=1e-7, atol=1e-7)
