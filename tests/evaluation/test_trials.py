"""Verification on given trials, against counting trial by trial and against scikit-learn."""

import json

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle import distances as oracle
from tensorflow_similarity.evaluation import equal_error_rate, roc_auc, tar_at_far, verify_trials
from tensorflow_similarity.targets import Targets

TRIALS = st.lists(
    st.tuples(st.integers(0, 12).map(lambda v: v / 8), st.booleans()), min_size=2, max_size=50
).filter(lambda trials: len({same for _, same in trials}) == 2)


def reference_dcf(values, same, prior, miss_cost, false_accept_cost):
    """The least cost over all decisions, counted trial by trial."""
    costs = []
    for threshold in [-np.inf, *sorted(set(values))]:
        missed = sum(s and v > threshold for v, s in zip(values, same, strict=True)) / sum(same)
        accepted = sum(not s and v <= threshold for v, s in zip(values, same, strict=True))
        accepted /= len(same) - sum(same)
        costs.append(miss_cost * prior * missed + false_accept_cost * (1 - prior) * accepted)
    return min(costs) / min(miss_cost * prior, false_accept_cost * (1 - prior))


@given(TRIALS, st.sampled_from([0.01, 0.5, 0.9]), st.sampled_from([1, 10]))
@settings(max_examples=40)
@pytest.mark.further
def test_against_counting(trials, prior, miss_cost):
    values, same = map(list, zip(*trials, strict=True))
    result = verify_trials(
        same, values, prior=prior, miss_cost=miss_cost, far=(0.0, 0.1, 0.5, 1.0), resamples=0
    )
    assert result["roc_auc"] == pytest.approx(roc_auc(values, same))
    assert result["roc_auc"] == pytest.approx(
        sklearn.metrics.roc_auc_score(same, -np.array(values))
    )
    rate, at = equal_error_rate(values, same)
    assert (result["eer"], result.threshold("eer")) == (pytest.approx(rate), at)
    assert result["min_dcf"] == pytest.approx(reference_dcf(values, same, prior, miss_cost, 1))
    assert result["min_dcf"] <= 1 + 1e-12
    for far in (0.0, 0.1, 0.5, 1.0):
        tar, at = tar_at_far(values, same, far)
        name = f"tar@far={far:g}"
        assert (result[name], result.threshold(name)) == (pytest.approx(tar), at)
    for threshold, accepted, rejected in zip(
        result.thresholds, result.false_accept_rates, result.false_reject_rates, strict=True
    ):
        decided = np.array(values) <= threshold
        assert accepted == pytest.approx(decided[~np.array(same)].mean())
        assert rejected == pytest.approx(1 - decided[np.array(same)].mean())


def case(seed=0, n=400):
    rng = np.random.default_rng(seed)
    identity = rng.integers(12, size=60)
    x = (np.eye(12)[identity] + 0.4 * rng.normal(size=(60, 12))).astype(np.float32)
    left, right = rng.integers(60, size=(2, n))
    return x, identity, left, right, identity[left] == identity[right]


def test_det_curve_of_scikit_learn():
    _, _, _, _, same = case()
    values = np.random.default_rng(1).normal(size=400) - same
    result = verify_trials(same, values, resamples=0)
    accepted, rejected, _ = sklearn.metrics.det_curve(same, -values)
    ours = set(
        zip(result.false_accept_rates.round(9), result.false_reject_rates.round(9), strict=True)
    )
    assert set(zip(accepted.round(9), rejected.round(9), strict=True)) <= ours


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_the_ways_to_give_trials_agree(distance):
    x, _, left, right, same = case()
    values = oracle.matrix(distance, x, x)[left, right]
    wanted = verify_trials(same, values, resamples=0)
    for result in (
        verify_trials(same, scores=-values, resamples=0),
        verify_trials(same, embeddings=x, left=left, right=right, distance=distance),
        verify_trials(same.astype(float), left=x[left], right=x[right], distance=distance),
        verify_trials(Targets.pairs(same, left, right), embeddings=x, distance=distance),
    ):
        np.testing.assert_allclose(result.distances, values, atol=1e-6)
        for name in wanted:
            assert result[name] == pytest.approx(wanted[name], abs=1e-9)


def test_order_of_trials_and_monotone_scores_change_nothing():
    _, _, _, _, same = case()
    values = np.random.default_rng(2).normal(size=400) - same
    wanted = verify_trials(same, values, resamples=0)
    order = np.random.default_rng(3).permutation(400)
    for other in (
        verify_trials(same[order], values[order], resamples=0),
        verify_trials(same, np.exp(values), resamples=0),
    ):
        for name in wanted:
            assert other[name] == pytest.approx(wanted[name])


def test_intervals_are_those_of_a_bootstrap():
    _, _, _, _, same = case()
    values = np.random.default_rng(4).normal(size=400) - same
    result = verify_trials(same, values, resamples=400)
    rng = np.random.default_rng(5)
    sides = np.flatnonzero(same), np.flatnonzero(~same)
    drawn = []
    for _ in range(400):
        rows = np.concatenate([rng.choice(side, len(side)) for side in sides])
        drawn.append(equal_error_rate(values[rows], same[rows])[0])
    np.testing.assert_allclose(
        result.interval("eer"), np.quantile(drawn, [0.025, 0.975]), atol=0.015
    )
    low, high = result.interval("roc_auc")
    assert low < result["roc_auc"] < high
    assert result.interval("eer") == verify_trials(same, values, resamples=400).interval("eer")


def test_trials_of_few_subjects_say_less():
    x, identity, left, right, same = case(n=2000)
    given = {"embeddings": x, "left": left, "right": right, "resamples": 200}
    names = np.array([f"person {i}" for i in range(12)])
    of_trials = verify_trials(same, **given).interval("roc_auc")
    for who in (identity, names[identity]):
        whole = verify_trials(same, subjects=(who[left], who[right]), **given).interval("roc_auc")
        assert whole[1] - whole[0] > of_trials[1] - of_trials[0]
    with pytest.raises(ValueError, match=r"subjects.*trial"):
        verify_trials(same, subjects=(identity[left], identity[left]), **given)


def test_the_result_is_readable():
    _, _, _, _, same = case()
    result = verify_trials(same, np.random.default_rng(4).normal(size=400) - same, resamples=20)
    text = str(result)
    assert all(name in text for name in ("roc_auc", "eer", "min_dcf", "tar@far=0.01"))
    assert f"{int(same.sum()):,} trials of one identity" in text
    assert json.loads(json.dumps(result.to_dict()))["eer"]["value"] == result["eer"]
    with pytest.raises(KeyError, match="eer"):
        result["equal error rate"]
    with pytest.raises(KeyError, match="all"):
        result.threshold("roc_auc")
    assert np.isnan(verify_trials(same, same * 1.0, resamples=0).interval("eer")).all()


def test_bad_input():
    x, _, left, right, same = case()
    values = np.arange(400.0)
    for message, arguments in {
        r"same.*0 and 1.*0.5": {"same": np.where(same, 1, 0.5), "distances": values},
        r"same.*400 of 400": {"same": np.ones(400), "distances": values},
        r"from 0.*−1": {"same": np.where(same, 1, -1), "distances": values},
        r"`distances`, by `scores`.*0 of these": {"same": same},
        r"2 of these": {"same": same, "distances": values, "scores": values},
        r"`distances`.*\[400\]": {"same": same, "distances": values[1:]},
        r"scores.*NaN": {"same": same, "scores": np.where(same, np.nan, 1)},
        r"go together": {"same": same, "embeddings": x, "left": left},
        r"left.*0 to 59": {"same": same, "embeddings": x, "left": left + 1, "right": right},
        r"one row for each trial": {"same": same, "left": x, "right": x},
        r"prior": {"same": same, "distances": values, "prior": 1},
        r"miss_cost": {"same": same, "distances": values, "miss_cost": 0},
        r"far": {"same": same, "distances": values, "far": (2,)},
        r"confidence": {"same": same, "distances": values, "confidence": 95},
        r"resamples": {"same": same, "distances": values, "resamples": -1},
        r"subjects.*pair": {"same": same, "distances": values, "subjects": left},
    }.items():
        with pytest.raises(ValueError, match=message):
            verify_trials(**arguments)
    with pytest.raises(TypeError, match="distances"):
        verify_trials(same, ["near"] * 400)
    with pytest.raises(TypeError, match="pairs"):
        verify_trials(Targets.classes(left), values)
