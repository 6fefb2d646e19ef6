"""Every loss against its formula: values, gradients, other keys, relevance."""

import keras
import numpy as np
import pytest
from keras import ops

from oracle.gradients import value_and_gradient
from oracle.loss_cases import CASES, ON_CLASSES, few
from oracle.losses import Picture
from tensorflow_similarity import losses


def test_every_public_loss_is_a_case():
    # `MetricLoss` and the like are there to be subclassed.
    bases = {"MetricLoss", "MinedLoss", "StatisticsLoss"}
    public = {
        name
        for name in losses.__all__
        if isinstance(getattr(losses, name), type)
        and issubclass(getattr(losses, name), losses.MetricLoss)
    }
    assert public - bases == {type(case.make()).__name__ for case in CASES.values()}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_value_is_the_formulas(name, seed):
    case = CASES[name]
    y_true, y_pred = case.batch(14, seed, "float64")
    expected = case.expected(y_true, y_pred)
    assert expected.any()
    ours = case.make(reduction=None)(y_true, y_pred)
    assert keras.backend.standardize_dtype(ours.dtype) == "float64"
    np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", few(CASES))
@pytest.mark.slow_cases("triplet_semi_hard")
def test_value_in_float32_is_the_formulas(name):
    case = CASES[name]
    y_true, y_pred = case.batch(12, seed=2)
    ours = case.make(reduction=None)(y_true, y_pred)
    assert keras.backend.standardize_dtype(ours.dtype) == "float32"
    expected = case.expected(y_true, y_pred)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if not c.frozen])
@pytest.mark.slow_cases(
    "triplet_semi_hard",
    "triplet",
    "histogram",
    "triplet_semi_hard_euclidean",
    "pn",
    "lifted_struct",
    "lifted_struct_hard",
    "triplet_easy_positive_soft",
    "ntxent",
    "pn_hard_soft_margin",
)
def test_gradient_is_the_formulas(name):
    case = CASES[name]
    y_true, y_pred = case.batch(9, seed=3, dtype="float64")
    weights = np.random.default_rng(0).uniform(0.5, 1.5, size=9)
    _, gradient = value_and_gradient(case.make(), y_true, y_pred, weights)
    for seed in (1, 2):
        direction = np.random.default_rng(seed).normal(size=y_pred.shape)
        up, down = (case.expected(y_true, y_pred + s * direction) for s in (1e-6, -1e-6))
        expected = np.mean(weights * (up - down)) / 2e-6
        np.testing.assert_allclose(
            np.sum(gradient * direction), expected, rtol=1e-5, atol=1e-7 * np.abs(gradient).max()
        )


def query_losses(name, labels, queries, key_labels, keys, **kwargs):
    """`query_losses` of tensors: class ids of int64, or relevance."""
    made = {"relevance": "matrix"} if labels.ndim == 2 else {}
    tensors = [ops.convert_to_tensor(x) for x in (labels, queries, key_labels, keys)]
    return np.asarray(CASES[name].make(**made).query_losses(*tensors, **kwargs))


def other_rows(name, m, seed):
    return CASES[name].batch(m, seed, "float64")


def expected_of(name, labels, queries, key_labels, keys, queries_are_keys):
    case = CASES[name]
    distance = case.make().distance.name
    picture = Picture(distance, labels, queries, key_labels, keys, queries_are_keys)
    if not case.back:
        return case.formula(picture)
    return case.formula(
        picture,
        keys_to_queries=Picture(distance, key_labels, keys, labels, queries, queries_are_keys),
    )


WITH_KEYS = [name for name in ON_CLASSES if CASES[name].any_keys]


@pytest.mark.parametrize("name", few(WITH_KEYS))
def test_keys_that_are_not_the_queries(name):
    labels, queries = other_rows(name, 6, seed=4)
    key_labels, keys = other_rows(name, 11, seed=5)
    expected = expected_of(name, labels, queries, key_labels, keys, False)
    ours = query_losses(name, labels, queries, key_labels, keys)
    np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", WITH_KEYS)
@pytest.mark.slow_cases("triplet_all_mean", "triplet_all")
def test_keys_that_are_the_queries_and_a_memory(name):
    labels, queries = other_rows(name, 6, seed=6)
    memory_labels, memory = other_rows(name, 9, seed=7)
    key_labels, keys = np.append(labels, memory_labels), np.vstack([queries, memory])
    expected = expected_of(name, labels, queries, key_labels, keys, True)
    ours = query_losses(name, labels, queries, key_labels, keys, queries_are_keys=True)
    np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", few(ON_CLASSES))
@pytest.mark.further("contrastive")
def test_an_empty_memory_changes_nothing(name):
    labels, queries = other_rows(name, 8, seed=8)
    expected = np.asarray(CASES[name].make(reduction=None)(labels, queries))
    ours = query_losses(name, labels, queries, labels.copy(), queries.copy(), queries_are_keys=True)
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", few(ON_CLASSES))
@pytest.mark.parametrize("dtype", ["bool", pytest.param("float32", marks=pytest.mark.slow)])
def test_relevance_of_classes_is_the_classes(name, dtype):
    labels, x = CASES[name].batch(9, seed=9, dtype="float64")
    alike = (labels[:, None] == labels[None, :]).astype(dtype)
    # What a query is to itself is nobody's business.
    np.fill_diagonal(alike[:5, :5], 0)
    loss = CASES[name].make(reduction=None)
    by_matrix = CASES[name].make(reduction=None, relevance="matrix")
    np.testing.assert_allclose(by_matrix(alike, x), loss(labels, x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ON_CLASSES)
@pytest.mark.slow_cases("pn", "triplet", "triplet_all_mean")
def test_relevance_need_not_be_classes(name):
    # Neighbours on a line are alike, which is not transitive.
    case = CASES[name]
    _, x = case.batch(9, seed=10, dtype="float64")
    alike = np.abs(np.subtract.outer(range(9), range(9))) < 2
    expected = case.formula(Picture(case.make().distance.name, None, x, relevance=alike))
    ours = case.make(reduction=None, relevance="matrix")(alike, x)
    np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", few(ON_CLASSES))
@pytest.mark.parametrize("zero_diagonal", [pytest.param(False, marks=pytest.mark.slow), True])
def test_relevance_with_a_memory(name, zero_diagonal):
    labels, queries = other_rows(name, 6, seed=6)
    memory_labels, memory = other_rows(name, 9, seed=7)
    key_labels, keys = np.append(labels, memory_labels), np.vstack([queries, memory])
    alike = labels[:, None] == key_labels[None, :]
    if zero_diagonal:
        np.fill_diagonal(alike, False)
    expected = query_losses(name, labels, queries, key_labels, keys, queries_are_keys=True)
    ours = query_losses(name, alike, queries, key_labels, keys, queries_are_keys=True)
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)
