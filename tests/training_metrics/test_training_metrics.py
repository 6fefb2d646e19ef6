"""Metrics of training against loops over pairs, over several batches, however they run."""

import copy
import json
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from every import every
from oracle import training_metrics as oracle
from tensorflow_similarity import training_metrics
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.training_metrics import (
    ActivePairFraction,
    DistanceGapMetric,
    DistanceMetric,
    EffectiveRank,
    MeanCosine,
    QueriesWithoutPositives,
)

#: One of each class, how to make it and its value of several batches `(labels, embeddings)`.
CASES = {
    "gap": (
        lambda: DistanceGapMetric("euclidean"),
        lambda batches: mean_of(oracle.gaps(y, x, "euclidean") for y, x in batches),
    ),
    "active": (
        lambda: ActivePairFraction("cosine", margin=0.3),
        lambda batches: mean_of(oracle.active(y, x, "cosine", 0.3) for y, x in batches),
    ),
    "without_positives": (
        QueriesWithoutPositives,
        lambda batches: mean_of(oracle.without_positives(y) for y, _ in batches),
    ),
    "mean_cosine": (MeanCosine, lambda batches: mean_of(oracle.cosines(x) for _, x in batches)),
    "effective_rank": (
        EffectiveRank,
        lambda batches: oracle.effective_rank(np.concatenate([x for _, x in batches])),
    ),
    "distance": (
        lambda: DistanceMetric("manhattan", positive_mining_strategy="all"),
        lambda batches: mean_of(
            oracle.distances_kept(y, x, "manhattan", "positive", "all") for y, x in batches
        ),
    ),
}


def mean_of(lists):
    return oracle.aggregated([value for values in lists for value in values], "mean")


def data(seed, sizes=(9, 14, 5), classes=4, dim=3):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, dim))
    for n in sizes:
        labels = rng.integers(classes, size=n)
        yield labels, (centres[labels] + 0.6 * rng.normal(size=(n, dim))).astype("float32")


def value_of(metric, batches):
    for y, x in batches:
        metric.update_state(y, x)
    value = metric.result()
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert tuple(value.shape) == ()
    return float(value)


@pytest.mark.parametrize("strategy", ["hard", "easy", "all"])
@pytest.mark.parametrize("aggregate", ["mean", "avg", "max", "min", "sum"])
@pytest.mark.parametrize("anchor", ["positive", "negative"])
@pytest.mark.slow_cases("positive-sum-all")
def test_distances(anchor, aggregate, strategy):
    batches = list(data(0))
    metric = DistanceMetric(
        "euclidean", aggregate, anchor,
        positive_mining_strategy=strategy, negative_mining_strategy=strategy,
    )  # fmt: skip
    kept = [oracle.distances_kept(y, x, "euclidean", anchor, strategy) for y, x in batches]
    assert metric.name == f"{aggregate}_{anchor[:3]}"
    assert value_of(metric, batches) == pytest.approx(
        oracle.aggregated(np.concatenate(kept), aggregate), rel=1e-5
    )


@pytest.mark.parametrize("aggregate", ["avg", "max", "min", "sum"])
@pytest.mark.parametrize("anchor", ["positive", "negative"])
def test_functions_of_the_earlier_library(anchor, aggregate):
    batches = list(data(1))
    metric = getattr(training_metrics, f"{aggregate}_{anchor[:3]}")("cosine")
    kept = [oracle.distances_kept(y, x, "cosine", anchor, "hard") for y, x in batches]
    assert value_of(metric, batches) == pytest.approx(
        oracle.aggregated(np.concatenate(kept), aggregate), rel=1e-5
    )


def test_function_of_the_gap():
    batches = list(data(2))
    metric = training_metrics.dist_gap("cosine")
    assert value_of(metric, batches) == pytest.approx(
        mean_of(oracle.gaps(y, x, "cosine") for y, x in batches), rel=1e-5
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", [3, 4])
def test_several_batches(name, seed):
    make, expected = CASES[name]
    batches = list(data(seed))
    assert value_of(make(), batches) == pytest.approx(expected(batches), rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_reset_forgets(name):
    make, expected = CASES[name]
    metric = make()
    value_of(metric, data(5))
    metric.reset_state()
    batches = list(data(6))
    assert value_of(metric, batches) == pytest.approx(expected(batches), rel=1e-5)


@settings(max_examples=12)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 9),
    classes=st.integers(1, 5),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
    duplicates=st.booleans(),
)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.slow_cases("gap", "active")
def test_any_batch(name, seed, n, classes, scale, duplicates):
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n) + 2**40
    x = (scale * rng.normal(size=(n, 3))).astype("float32")
    if duplicates:
        x[rng.integers(n, size=n // 2)] = x[0]
    make, expected = CASES[name]
    # Euclidean distances of duplicates are sqrt(rounding): compared with the scale of the rows.
    assert value_of(make(), [(y, x)]) == pytest.approx(
        expected([(y, x)]), rel=2e-4, abs=2e-3 * max(scale, 1e-3), nan_ok=True
    )


@pytest.mark.parametrize("name", CASES)
def test_value_does_not_depend_on_the_order_of_batches_or_examples(name):
    batches = list(data(7))
    mixed = []
    for y, x in reversed(batches):
        order = np.random.default_rng(0).permutation(len(y))
        mixed.append((y[order], x[order]))
    make, _ = CASES[name]
    assert value_of(make(), mixed) == pytest.approx(value_of(make(), batches), rel=1e-5)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "dtype",
    ["float16", *(pytest.param(d, marks=pytest.mark.slow) for d in ("bfloat16", "float64"))],
)
def test_other_float_types_are_not_computed_in_half_precision(name, dtype):
    make, expected = CASES[name]
    batches = [(y, tf.cast(x, dtype)) for y, x in data(8)]
    exact = [(y, tf.cast(x, "float64").numpy()) for y, x in batches]
    assert value_of(make(), batches) == pytest.approx(expected(exact), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(("distance", {}), ("effective_rank", {})),
        *(pytest.param(name, {"jit_compile": True}, marks=pytest.mark.slow) for name in CASES),
    ],
    ids=str,
)
def test_compiled(name, options):
    make, expected = CASES[name]
    metric = make()
    batches = list(data(9, sizes=(8, 8)))
    metric.update_state(*batches[0])  # Makes its variables.
    metric.reset_state()

    @tf.function(autograph=False, **options)
    def step(y, x):
        metric.update_state(y, x)
        return metric.result()

    for y, x in batches:
        value = step(tf.constant(y), tf.constant(x))
    assert float(value) == pytest.approx(expected(batches), rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_round_trip(name):
    make, _ = CASES[name]
    metric = make()
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(metric)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(metric)
    assert again.name == metric.name
    batches = list(data(10))
    assert value_of(again, batches) == value_of(metric, batches)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.further("gap", "without_positives")
def test_ignored_examples_do_not_count(name):
    make, expected = CASES[name]
    metric = type(make()).from_config({**make().get_config(), "ignore_class": 0})
    again = type(metric).from_config(metric.get_config())
    assert again.ignore_class == 0
    # The last batch has but one example that is not of that class.
    batches = [*data(11), (np.array([0, 1, 0]), np.eye(3, dtype="float32"))]
    known = [(y[y != 0], x[y != 0]) for y, x in batches]
    assert value_of(again, batches) == pytest.approx(expected(known), rel=1e-5)
    assert value_of(again, batches) != pytest.approx(value_of(make(), batches), rel=1e-3)


@pytest.mark.further
def test_effective_rank_sees_directions_and_not_offsets():
    x = np.random.default_rng(0).normal(size=(4000, 8)).astype("float32")
    y = np.arange(4000)
    assert value_of(EffectiveRank(), [(y, x)]) == pytest.approx(8, abs=0.1)
    far = [(y[i : i + 100], 1000 + x[i : i + 100]) for i in range(0, 4000, 100)]
    assert value_of(EffectiveRank(), far) == pytest.approx(8, abs=0.1)
    flat = x * np.array([1, 1, 0, 0, 0, 0, 0, 0], "float32")
    assert value_of(EffectiveRank(), [(y, flat)]) == pytest.approx(2, abs=0.02)
    assert value_of(EffectiveRank(), [(y[:9], np.ones((9, 8)))]) == 0


def test_collapse_to_a_point_shows_in_the_mean_cosine_and_not_in_the_rank():
    x = 1 + 1e-3 * np.random.default_rng(0).normal(size=(500, 8)).astype("float32")
    batches = [(np.arange(500), x)]
    assert value_of(MeanCosine(), batches) > 0.999
    assert value_of(EffectiveRank(), batches) > 7


def test_nothing_to_measure_is_nan():
    for make in (DistanceMetric, DistanceGapMetric, ActivePairFraction, MeanCosine):
        assert np.isnan(value_of(make(), [([3], np.ones((1, 2)))]))
        assert np.isnan(float(make().result()))
    assert np.isnan(float(EffectiveRank().result()))
    # And it does not stay NaN.
    batches = [([3], np.ones((1, 1))), ([1, 1, 2], [[0.0], [3.0], [5.0]])]
    metric = DistanceMetric("euclidean", aggregate="min", anchor="negative")
    assert value_of(metric, batches) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", CASES)
def test_embeddings_that_are_not_finite_show(name, value):
    x = np.random.default_rng(3).normal(size=(6, 3))
    x[2, 1] = value
    metric = CASES[name][0]()
    metric.update_state([0, 0, 1, 1, 2, 2], x)
    # Which examples are alone in their class, labels tell.
    assert np.isnan(float(metric.result())) == (name != "without_positives")
    metric.reset_state()
    metric.update_state([0, 0, 1, 1], x[:2].repeat(2, axis=0))
    assert not np.isnan(float(metric.result()))


def test_an_empty_batch_changes_nothing():
    metric = training_metrics.MeanCosine()
    metric.update_state([0, 1], [[1.0, 0.0], [1.0, 1.0]])
    before = float(metric.result())
    metric.update_state(np.zeros(0, int), np.zeros((0, 2)))
    assert float(metric.result()) == before


def test_large_ids_stay_apart():
    y = np.array([2**24, 2**24 + 1, 2**24, 2**24 + 1])
    assert value_of(QueriesWithoutPositives(), [(y[:2], np.ones((2, 1)))]) == 1
    assert value_of(DistanceMetric("l2"), [(y, [[0.0], [9.0], [2.0], [8.0]])]) == 1.5


def test_sample_weight_weighs_queries():
    y, x = [0, 0, 1, 1], [[0.0], [1.0], [4.0], [6.0]]
    weights = [1.0, 0.0, 3.0, 0.0]
    metric = DistanceMetric("l2")
    metric.update_state(y, x, sample_weight=weights)
    assert float(metric.result()) == pytest.approx((1 * 1 + 3 * 2) / 4)
    metric = DistanceMetric("l2", "min", "negative")  # From 0 to 4, and from 4 to 1.
    metric.update_state(y, x, sample_weight=np.reshape(weights, (4, 1)))
    assert float(metric.result()) == 3
    metric = DistanceGapMetric("l2")
    metric.update_state(y, x, sample_weight=weights)
    assert float(metric.result()) == pytest.approx((1 * (4 - 1) + 3 * (3 - 2)) / 4)
    metric = EffectiveRank()
    metric.update_state(y, np.eye(4), sample_weight=weights)
    assert float(metric.result()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("policy", "options"),
    [
        ("mixed_float16", {"run_eagerly": True}),
        pytest.param("float32", {"jit_compile": False}, marks=pytest.mark.slow),
        pytest.param("mixed_float16", {"jit_compile": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_in_compile_and_fit(policy, options):
    keras.config.set_dtype_policy(policy)
    x = np.random.default_rng(0).normal(size=(20, 5)).astype("float32")
    y = np.arange(20) % 3
    inputs = keras.Input((5,))
    outputs = keras.layers.Dense(4)(inputs)
    metrics = [make() for make, _ in CASES.values()]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", TripletLoss(), metrics=metrics, **options)
    history = model.fit(
        x, y, batch_size=10, epochs=2, verbose=0, validation_data=(x, y), shuffle=False
    ).history
    logs = model.evaluate(x, y, batch_size=10, verbose=0, return_dict=True)
    found = model.predict(x, verbose=0)
    assert found.dtype == policy.removeprefix("mixed_")
    batches = [(y[:10], found[:10]), (y[10:], found[10:])]
    for metric, (_, expected) in zip(metrics, CASES.values(), strict=True):
        # Half precision rounds the same embeddings differently in the two programs.
        tolerance = 1e-4 if policy == "float32" else 2e-2
        assert logs[metric.name] == pytest.approx(expected(batches), rel=tolerance, abs=tolerance)
        assert logs[metric.name] == pytest.approx(history[f"val_{metric.name}"][-1], rel=tolerance)


@pytest.mark.slow
def test_saved_with_a_similarity_model(tmp_path):
    inputs = keras.Input((5,))
    model = SimilarityModel(inputs, L2Embedding(4)(inputs))
    metrics = [make() for make, _ in CASES.values()]
    model.compile("sgd", TripletLoss(), metrics=metrics, run_eagerly=True)
    x = np.random.default_rng(0).normal(size=(20, 5)).astype("float32")
    y = np.arange(20) % 3
    model.fit(x, y, verbose=0)
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(expected, rel=1e-5)


def test_errors():
    with pytest.raises(ValueError, match=r"`aggregate` must be one of .* Received: 'median'"):
        DistanceMetric(aggregate="median")
    with pytest.raises(ValueError, match=r"`anchor` must be one of .* Received: 'query'"):
        DistanceMetric(anchor="query")
    with pytest.raises(ValueError, match="negative_mining_strategy"):
        DistanceMetric(negative_mining_strategy="semi-hard")
    with pytest.raises(ValueError, match="Unknown `distance`"):
        DistanceGapMetric("chebyshev")
    with pytest.raises(TypeError, match="`margin` must be a number"):
        ActivePairFraction(margin="wide")
    with pytest.raises(TypeError, match="`ignore_class` must be an integer"):
        MeanCosine(ignore_class=0.5)
    for make, _ in CASES.values():
        with pytest.raises(ValueError, match="For one-hot labels pass"):
            make().update_state(np.eye(3)[:2], np.ones((2, 4)))
        with pytest.raises(TypeError, match="`y_true` must be integer class ids"):
            make().update_state([0.0, 0.5], np.ones((2, 4)))
        with pytest.raises(ValueError, match="`y_pred` must be embeddings of shape"):
            make().update_state([0, 1], np.ones((2, 4, 4)))
    metric = EffectiveRank()
    metric.update_state([0, 1], np.ones((2, 4)))
    with pytest.raises(ValueError, match="Received: 5 after 4"):
        metric.update_state([0, 1], np.ones((2, 5)))


#: Ways of copying, all by `__reduce__`.
COPIED = {
    "pickle": lambda metric: pickle.loads(pickle.dumps(metric)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.further("pickle")
@pytest.mark.parametrize("how", COPIED)
def test_copies_and_pickles_keep_what_was_seen(how):
    """All metrics: Keras' own pickles of a metric begin at nothing."""
    first, *rest = data(8)
    copied = COPIED[how]

    def check(name):
        make, expected = CASES[name]
        again = copied(make())
        assert np.isnan(again.result())
        metric = make()
        value_of(metric, [first])
        again = copied(metric)
        assert again.get_config() == metric.get_config()
        np.testing.assert_allclose(value_of(again, rest), expected([first, *rest]), rtol=1e-4)
        np.testing.assert_allclose(metric.result(), expected([first]), rtol=1e-4)

    assert {type(make()).__name__ for make, _ in CASES.values()} == {
        name
        for name in training_metrics.__all__
        if hasattr(getattr(training_metrics, name), "reset_state")
    } - {"BatchMetric", "BatchMean"}
    every(check, CASES)
