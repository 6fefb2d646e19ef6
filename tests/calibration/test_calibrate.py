"""calibrate() and match() against loops over queries and thresholds."""

import ast
import json
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from oracle import matching as oracle
from tensorflow_similarity.calibration import (
    Calibration,
    CalibrationResults,
    MatchNearest,
    calibrate,
    evaluate_classification,
    evaluate_cutpoints,
    match,
)

MATCHERS = ["match_nearest", "match_majority_vote"]
METRICS = ["precision", "recall", "f1", "binary_accuracy", "npv", "fpr"]


def lookup(seed, queries=60, k=3, classes=4, holes=0.1):
    rng = np.random.default_rng(seed)
    distances = np.sort(rng.random((queries, k)).astype(np.float32).round(2), axis=1)
    labels = rng.integers(classes, size=queries)
    near = distances < rng.random((queries, k))
    found = np.where(near, labels[:, None], rng.integers(classes, size=(queries, k)))
    missing = np.sort(rng.random((queries, k)) < holes, axis=1)
    return np.where(missing, np.inf, distances), np.where(missing, -1, found), labels


def quietly(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return calibrate(*args, **kwargs)


@pytest.mark.further
@pytest.mark.parametrize("matcher", MATCHERS)
@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), target=st.sampled_from([0.0, 0.3, 0.5, 0.8, 0.9, 0.97, 1.0]))
def test_targets_hold_exactly_and_take_the_right_threshold(matcher, seed, target):
    distances, found, labels = lookup(seed, queries=25)
    result = quietly(
        distances,
        found,
        labels,
        {name: {name: target} for name in METRICS},
        matcher=matcher,
        extra_metrics=METRICS,
    )
    matched = oracle.matches(distances, found, matcher)
    for name in METRICS:
        expected = oracle.cutpoint(distances, matched, labels, name, target)
        assert (name in result.unreached) == (expected is None)
        if expected is None:
            continue
        point = result.cutpoints[name]
        assert point["distance"] == expected
        counts = oracle.outcomes(matched, labels, expected)
        for metric in METRICS:
            assert point[metric] == pytest.approx(oracle.metric(metric, *counts), abs=1e-12)
        assert point[name] <= target if name == "fpr" else point[name] >= target


@pytest.mark.parametrize("matcher", MATCHERS)
@pytest.mark.parametrize("metric", METRICS)
def test_optimal_is_the_best_value(matcher, metric):
    distances, found, labels = lookup(1)
    result = calibrate(distances, found, labels, calibration_metric=metric, matcher=matcher)
    matched = oracle.matches(distances, found, matcher)
    values = {
        t: oracle.metric(metric, *oracle.outcomes(matched, labels, t))
        for t in np.unique(distances[np.isfinite(distances)])
        if sum(oracle.outcomes(matched, labels, t)[:2])
    }
    best = min(values.values()) if metric == "fpr" else max(values.values())
    assert result.cutpoints["optimal"]["value"] == pytest.approx(best)
    assert result.distance() == max(t for t, v in values.items() if v == best)


def test_a_target_of_several_metrics_holds_all():
    distances, found, labels = lookup(2, queries=200)
    target = {"precision": 0.6, "recall": 0.5}
    result = quietly(distances, found, labels, {"both": target, "loose": 0.3})
    point = result.cutpoints["both"]
    assert point["precision"] >= 0.6
    assert point["recall"] >= 0.5
    assert result.cutpoints["loose"]["f1"] >= 0.3
    curve = result.thresholds
    both = (curve["precision"] >= 0.6) & (curve["recall"] >= 0.5)
    assert point["distance"] == curve["distance"][both].max()


@pytest.mark.parametrize(
    ("strict", "loose", "warns"),
    [
        ({"precision": 0.7}, {"recall": 0.5}, True),  # reached at 0.4, and at 0.2
        ({"fpr": 0.5}, 0.5, True),
        ({"precision": 0.99}, {"recall": 0.9}, False),
        ({"precision": 0.7}, {"recall": 0.5, "precision": 0.7}, False),
    ],
)
def test_a_target_of_recall_that_accepts_less_than_one_of_precision_is_told(strict, loose, warns):
    distances, found = [[0.1], [0.2], [0.3], [0.4]], [[1], [2], [3], [4]]
    labels = [1, 2, 9, 4]
    arguments = distances, found, labels, {"strict": strict, "loose": loose}
    if not warns:
        result = calibrate(*arguments)
        assert result.distance("strict") <= result.distance("loose")
        return
    with pytest.warns(UserWarning, match="'loose' .* accepts less than 'strict'") as told:
        result = calibrate(*arguments)
    assert len(told) == 1
    assert result.distance("loose") < result.distance("strict")
    # What the warning says to write: a target with both.
    both = ast.literal_eval(re.search(r"write 'loose': (\{.*\})\.", str(told[0].message))[1])
    again = calibrate(*arguments[:3], {"strict": strict, "loose": both})
    assert again.distance("loose") == again.distance("strict")


def test_unreachable_targets_are_said_plainly():
    distances, found, labels = [[0.1], [0.2]], [[1], [2]], [3, 3]
    targets = {"sure": {"precision": 0.9, "recall": 0.5}, "ok": {"fpr": 1.0}}
    with pytest.warns(UserWarning, match=r"precision >= 0.9 and recall >= 0.5.*'sure'.*2 queries"):
        result = calibrate(distances, found, labels, targets)
    assert result.unreached == {"sure": "precision >= 0.9 and recall >= 0.5"}
    assert set(result.cutpoints) == {"optimal", "ok"}
    assert "sure: not reached" in str(result)
    with pytest.raises(KeyError, match=r"sure.*precision >= 0.9"):
        result.distance("sure")
    with pytest.raises(KeyError, match=r"nothing.*optimal"):
        result.match(distances, found, cutpoint="nothing")


def test_a_threshold_that_accepts_nothing_reaches_nothing():
    # The mean of each query's distances is above 0.1, the first candidate.
    distances, found = [[0.1, 0.5], [0.2, 0.6]], [[1, 1], [2, 2]]
    with pytest.warns(UserWarning, match="precision >= 0.9"):
        result = calibrate(
            distances, found, [3, 3], {"p": {"precision": 0.9}}, matcher="match_majority_vote"
        )
    assert result.unreached


def test_optimal_accepts_something():
    # Precision is 1 by convention at 0.1, where no mean of distances is yet.
    distances, found, labels = [[0.1, 0.5], [0.2, 0.6]], [[1, 1], [2, 2]], [3, 2]
    result = calibrate(
        distances, found, labels, calibration_metric="precision", matcher="match_majority_vote"
    )
    assert result.cutpoints["optimal"]["precision"] == 0.5
    assert (result.match(distances, found) != -1).any()


@pytest.mark.parametrize("matcher", MATCHERS)
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), threshold=st.floats(0, 1))
def test_match(matcher, seed, threshold):
    distances, found, _ = lookup(seed, queries=15, holes=0.4)
    expected = []
    for d, c in zip(distances, found, strict=True):
        label, distance = oracle.match_of_query(d, c, matcher)
        expected.append(label if distance <= threshold else -7)
    result = match(distances, found, threshold, matcher, no_match_label=-7)
    assert result.dtype == np.int64
    np.testing.assert_array_equal(result, expected)


def test_match_agrees_with_the_counts_of_the_calibration():
    distances, found, labels = lookup(3, queries=100)
    result = calibrate(distances, found, labels, {"p": {"precision": 0.7}}, extra_metrics=METRICS)
    for name, point in result.cutpoints.items():
        answers = result.match(distances, found, cutpoint=name)
        answered = answers != -1
        assert sk.accuracy_score(labels[answered], answers[answered]) == pytest.approx(
            point["precision"]
        )
        assert (answers == labels).mean() == pytest.approx(point["binary_accuracy"])


def test_metrics_agree_with_scikit_learn():
    distances, found, labels = lookup(4, queries=150, k=1, holes=0)
    right = found[:, 0] == labels
    thresholds = np.linspace(0, 1, 21)
    result = evaluate_classification(distances, found, labels, thresholds, METRICS)
    for i, threshold in enumerate(thresholds[2:], start=2):
        accepted = distances[:, 0] <= threshold
        tn, fp, fn, _ = sk.confusion_matrix(right, accepted, labels=[False, True]).ravel()
        assert result["precision"][i] == pytest.approx(sk.precision_score(right, accepted))
        assert result["recall"][i] == pytest.approx(sk.recall_score(right, accepted))
        assert result["f1"][i] == pytest.approx(sk.f1_score(right, accepted))
        assert result["fpr"][i] == pytest.approx(fp / (fp + tn))
        assert result["npv"][i] == pytest.approx(tn / (tn + fn) if tn + fn else 0)


def test_thresholds_per_class():
    rng = np.random.default_rng(0)
    found = rng.integers(3, size=(600, 1))
    distances = rng.random((600, 1)).astype(np.float32)
    # Class 0 is right up to 0.8, class 1 up to 0.2, class 2 never.
    limit = np.array([0.8, 0.2, -1.0])[found[:, 0]]
    labels = np.where(distances[:, 0] <= limit, found[:, 0], 9)
    found[:5] = 7  # Too few to have a threshold of its own.
    result = calibrate(distances, found, labels, {"p": {"precision": 0.999}}, per_class=True)
    own = result.per_class["p"]
    assert own[0] == pytest.approx(0.8, abs=0.02)
    assert own[1] == pytest.approx(0.2, abs=0.02)
    assert own[2] is None
    assert 7 not in own
    answers = result.match(distances, found, "p")
    answered = answers != -1
    assert (answers[answered] == labels[answered]).all()
    assert not (answers == 2).any()
    common = Calibration.from_config({**result.get_config(), "per_class": {}})
    assert answered.sum() > (common.match(distances, found, "p") != -1).sum()
    scores = evaluate_cutpoints(distances, found, labels, result)
    assert scores["p"]["precision"] == 1
    assert scores["p"]["binary_accuracy"] == pytest.approx((answers == labels).mean())


def test_evaluation_of_cutpoints_on_the_calibration_queries_is_the_calibration():
    distances, found, labels = lookup(5)
    result = calibrate(distances, found, labels, {"r": {"recall": 0.5}}, extra_metrics=METRICS)
    scores = evaluate_cutpoints(distances, found, labels, result, METRICS)
    for name, point in result.cutpoints.items():
        for key, value in scores[name].items():
            assert value == (name if key == "name" else pytest.approx(point[key]))


def test_config_round_trip_through_json():
    distances, found, labels = lookup(6, queries=1500)
    result = quietly(
        distances,
        found,
        labels + 2**60,
        {"a": 0.01, "never": {"npv": 1.0, "recall": 1.0, "precision": 1.0}},
        per_class=True,
        calibration_metric="precision",
    )
    again = Calibration.from_config(json.loads(json.dumps(result.get_config())))
    assert again == result
    assert again != Calibration({}, {})
    assert repr(again) == repr(result)
    assert str(again) == str(result)
    for name in result.cutpoints:
        np.testing.assert_array_equal(
            again.match(distances, found, name), result.match(distances, found, name)
        )
    assert len(again.reference) == 1000
    assert CalibrationResults is Calibration


def test_ids_beyond_float_precision():
    big = 2**60
    result = calibrate([[0.1], [0.2]], [[big], [big + 1]], [big, big], {"p": {"precision": 1.0}})
    assert result.distance("p") == 0.1
    np.testing.assert_array_equal(match([[0.1]], [[big + 1]], 0.1), [big + 1])


def test_bad_input():
    distances, found, labels = lookup(8, queries=10)
    with pytest.raises(ValueError, match="classification metric"):
        calibrate(distances, found, labels, calibration_metric="accuracy")
    with pytest.raises(TypeError, match="classification metric"):
        calibrate(distances, found, labels, calibration_metric=3)
    with pytest.raises(ValueError, match=r"matcher.*match_nearest"):
        calibrate(distances, found, labels, matcher="nearest")
    with pytest.raises(TypeError, match="matcher"):
        calibrate(distances, found, labels, matcher=MatchNearest)
    with pytest.raises(ValueError, match=r"thresholds_targets\['a'\].*between 0 and 1.*99"):
        calibrate(distances, found, labels, {"a": 99})
    with pytest.raises(TypeError, match=r"thresholds_targets\['a'\]"):
        calibrate(distances, found, labels, {"a": "0.9"})
    with pytest.raises(TypeError, match="thresholds_targets"):
        calibrate(distances, found, labels, 0.9)
    with pytest.raises(ValueError, match="optimal"):
        calibrate(distances, found, labels, {"optimal": 0.9})
    with pytest.raises(ValueError, match="empty"):
        calibrate(distances, found, labels, {"a": {}})
    with pytest.raises(ValueError, match=r"query_labels.*expected 10"):
        calibrate(distances, found, labels[:9])
    with pytest.raises(TypeError, match="query_labels"):
        calibrate(distances, found, labels + 0.5)
    with pytest.raises(ValueError, match="neighbor_labels"):
        calibrate(distances, found[:, :2], labels)
    with pytest.raises(ValueError, match=r"distances.*\[queries, k\]"):
        calibrate(distances[:, 0], found, labels)
    with pytest.raises(ValueError, match="NaN"):
        calibrate(np.where(distances == distances[0, 0], np.nan, distances), found, labels)
    with pytest.raises(ValueError, match="at least one neighbour"):
        calibrate(np.full((2, 1), np.inf), [[-1], [-1]], [0, 1])
    with pytest.raises(ValueError, match="confidence"):
        calibrate(distances, found, labels, confidence=1.0)
    with pytest.raises(ValueError, match="min_per_class"):
        calibrate(distances, found, labels, min_per_class=0)
    with pytest.raises(ValueError, match="cutpoint_distance"):
        match(distances, found, "optimal")
    with pytest.raises(ValueError, match="distance_thresholds"):
        evaluate_classification(distances, found, labels, [])


@settings(max_examples=60)
@given(
    thresholds=st.lists(
        st.one_of(st.floats(1e-7, 1e3), st.floats(0.9, 1.0), st.just(0.0)), min_size=1, max_size=5
    )
)
def test_the_table_shows_three_significant_digits_of_each_threshold(thresholds):
    points = {
        str(i): {"name": str(i), "distance": threshold, "f1": threshold}
        for i, threshold in enumerate(thresholds)
    }
    curve = {"distance": np.zeros(0), "f1": np.zeros(0)}
    table = str(Calibration(cutpoints=points, thresholds=curve))
    for line, threshold in zip(table.splitlines()[2:], thresholds, strict=True):
        for shown in line.split()[1:]:
            assert float(shown) == pytest.approx(threshold, rel=0.0051)
            assert (float(shown) == 1) == (threshold == 1) or abs(threshold - 1) < 1e-8


def test_the_decimals_of_a_column_agree():
    points = {
        name: {"name": name, "distance": distance, "precision": precision}
        for name, distance, precision in [("a", 0.00783, 0.9934), ("b", 0.31, 1.0)]
    }
    found = Calibration(points, {"distance": np.zeros(0), "precision": np.zeros(0)})
    rows = [line.split() for line in str(found).splitlines()[2:]]
    assert [row[1] for row in rows] == ["0.00783", "0.31000"]
    assert [row[2] for row in rows] == ["0.993", "1.000"]
    assert found.table(digits=2).splitlines()[2].split()[1] == "0.0078"


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    weak=st.dictionaries(
        st.sampled_from(["precision", "fpr", "recall"]), st.floats(0, 1), min_size=1, max_size=2
    ),
    more=st.dictionaries(st.sampled_from(["precision", "fpr"]), st.floats(0, 1), min_size=1),
)
@pytest.mark.further
def test_what_asks_for_fewer_mistakes_as_well_never_accepts_more(seed, weak, more):
    distances, found, labels = lookup(seed, queries=40)
    strict = dict(weak)
    for name, limit in more.items():
        better = min if name == "fpr" else max
        strict[name] = better(limit, strict.get(name, limit))
    targets = {"weak": weak, "strict": strict}
    result = quietly(distances, found, labels, targets, per_class=True, min_per_class=5)
    if "strict" not in result.cutpoints:
        return
    assert result.distance("strict") <= result.distance("weak")
    for name, limit in weak.items():
        value = result.cutpoints["weak"][name]
        assert value <= limit if name == "fpr" else value >= limit
    for label, distance in result.per_class["strict"].items():
        assert distance is None or distance <= result.per_class["weak"][label]
