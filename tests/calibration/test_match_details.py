"""Matches with distance, probability and record, against loops and scikit-learn."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from oracle import matching as oracle
from tensorflow_similarity.calibration import (
    Calibration,
    ClassificationMatch,
    Matches,
    MatchMajorityVote,
    calibrate,
)

MATCHERS = ["match_nearest", "match_majority_vote"]


def lookup(seed, queries=40, k=3):
    rng = np.random.default_rng(seed)
    distances = np.sort(rng.random((queries, k)).astype(np.float32).round(2), axis=1)
    labels = rng.integers(4, size=queries)
    near = distances < rng.random((queries, k))
    found = np.where(near, labels[:, None], rng.integers(4, size=(queries, k)))
    missing = np.sort(rng.random((queries, k)) < 0.2, axis=1)
    return np.where(missing, np.inf, distances), np.where(missing, -1, found), labels


def quietly(*args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return calibrate(*args, **kwargs)


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("matcher", MATCHERS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), per_class=st.booleans())
@pytest.mark.further("match_nearest-False")
def test_columns_are_those_of_a_loop(matcher, names, seed, per_class):
    distances, found, labels = lookup(seed)
    ids = np.arange(distances.size).reshape(distances.shape) + 100
    shown = np.where(found < 0, None, np.char.add("c", found.astype(str))) if names else found
    truth = np.char.add("c", labels.astype(str)) if names else labels
    calibration = quietly(
        distances, shown, truth, {"p": {"precision": 0.7}}, matcher=matcher, per_class=per_class
    )
    for cutpoint in calibration.cutpoints:
        matches = calibration.match_details(distances, shown, cutpoint, neighbor_ids=ids)
        plain = calibration.match(distances, shown, cutpoint)
        assert matches.labels.tolist() == plain.tolist()
        assert len(matches) == len(labels)
        none = None if names else -1
        for i, (label, distance) in enumerate(oracle.matches(distances, found, matcher)):
            named = none if label is None else f"c{label}" if names else label
            assert matches.candidates[i] == named or label is None
            assert matches.distances[i] == distance
            own = [n for n, each in zip(ids[i], found[i], strict=True) if each == label]
            assert matches.ids[i] == (own[0] if own else -1)
            assert matches.labels[i] == (named if matches.accepted[i] else none)
            assert matches.probabilities[i] == 0 if label is None else matches.probabilities[i] > 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40),
)
@pytest.mark.further
def test_probabilities_are_isotonic_regression_drawn_to_the_middle(pairs):
    distances = np.array([each[0] for each in pairs], float)
    right = np.array([each[1] for each in pairs])
    labels = np.where(right, 1, 2)
    calibration = quietly(distances[:, None], labels[:, None], np.ones(len(pairs), int))
    at = np.unique(distances)
    found = calibration.match_details(at[:, None], np.ones((len(at), 1), int)).probabilities
    # The blocks of scikit-learn, each with one query more, pooled by it a second time.
    values = IsotonicRegression(increasing=False).fit(distances, right).predict(distances)
    usual = (right.sum() + 1) / (len(right) + 2)
    levels, block = np.unique(-values.round(9), return_inverse=True)
    count = np.bincount(block)
    share = (np.bincount(block, weights=right) + usual) / (count + 1)
    again = IsotonicRegression(increasing=False)
    share = again.fit(np.arange(len(levels)), share, sample_weight=count + 1).predict(
        np.arange(len(levels))
    )
    expected = share[[block[np.flatnonzero(distances == each)[0]] for each in at]]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert (np.diff(found) <= 1e-12).all()
    assert (found > 0).all()
    assert (found < 1).all()


def test_probabilities_are_near_true_ones():
    rng = np.random.default_rng(0)
    distances = rng.random(8000)
    truth = 1 / (1 + np.exp(12 * (distances - 0.6)))
    labels = np.where(rng.random(8000) < truth, 1, 2)
    calibration = calibrate(distances[:4000, None], labels[:4000, None], np.ones(4000, int))
    found = calibration.match_details(distances[4000:, None], labels[4000:, None]).probabilities
    assert np.abs(found - truth[4000:]).mean() < 0.02
    # Between calibration distances it is interpolated; beyond them it stays.
    beyond = calibration.match_details([[-5.0], [50.0], [np.inf]], [[1], [1], [1]])
    assert beyond.probabilities[0] == found.max()
    assert 0 < beyond.probabilities[1] <= found.min()
    assert beyond.probabilities[2] == 0


def test_they_are_saved_and_old_calibrations_know_none():
    distances, found, labels = lookup(3)
    calibration = quietly(distances, found, labels)
    config = json.loads(json.dumps(calibration.get_config()))
    assert Calibration.from_config(config) == calibration
    expected = calibration.match_details(distances, found).probabilities
    loaded = Calibration.from_config(config).match_details(distances, found)
    np.testing.assert_array_equal(loaded.probabilities, expected)
    del config["probabilities"]
    old = Calibration.from_config(config).match_details(distances, found)
    there = np.isfinite(old.distances)
    assert np.isnan(old.probabilities[there]).all()
    assert (old.probabilities[~there] == 0).all()
    assert old.labels.tolist() == loaded.labels.tolist()
    # Distances of another matcher are others.
    other = calibration.match_details(distances, found, matcher=MatchMajorityVote())
    assert np.isnan(other.probabilities[there]).all()


class Constant(ClassificationMatch):
    def derive_match(self, lookup_labels, lookup_distances):
        return np.full(len(lookup_labels), 99), lookup_distances[:, 0]


def test_a_label_that_no_neighbour_has_has_no_record():
    calibration = calibrate([[0.1], [0.2]], [[1], [2]], [99, 2], matcher=Constant())
    matches = calibration.match_details([[0.1]], [[1]], neighbor_ids=[[5]])
    assert (matches.labels.tolist(), matches.ids.tolist()) == ([99], [-1])


def test_a_table_slices_and_a_data_frame():
    calibration = calibrate([[0.1], [0.2], [0.4]], [[1], [2], [3]], [1, 2, 9])
    matches = calibration.match_details(
        np.linspace(0, 1, 20)[:, None], np.arange(20)[:, None], neighbor_ids=np.arange(20)[:, None]
    )
    lines = repr(matches).splitlines()
    assert lines[0] == "Matches of 20 queries at 'optimal'"
    assert lines[1].split() == [
        "query", "label", "accepted", "candidate", "distance", "probability", "id"
    ]  # fmt: skip
    assert lines[-1] == "… 10 more"
    part = matches[5:8]
    assert isinstance(part, Matches)
    assert part.ids.tolist() == [5, 6, 7]
    assert matches[matches.accepted].ids.tolist() == np.flatnonzero(matches.accepted).tolist()
    with pytest.raises(TypeError, match="Matches are columns"):
        matches[0]
    frame = matches.to_data_frame()
    assert frame["candidate"].tolist() == list(range(20))
    assert list(frame) == ["label", "accepted", "candidate", "distance", "probability", "id"]


@pytest.mark.parametrize(
    ("options", "kind", "match"),
    [
        ({"cutpoint": "none"}, KeyError, "No `cutpoint` 'none'"),
        ({"neighbor_ids": [[1, 2]]}, ValueError, "shape of `distances`"),
        ({"neighbor_ids": [["a"]]}, TypeError, "neighbor_ids"),
        ({"matcher": "nearest"}, ValueError, "Unknown `matcher`"),
    ],
)
def test_what_cannot_be(options, kind, match):
    calibration = calibrate([[0.1], [0.2]], [[1], [2]], [1, 2])
    with pytest.raises(kind, match=match):
        calibration.match_details([[0.1]], [[1]], **options)
