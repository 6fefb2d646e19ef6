"""The "known" cutpoint keeps its promise, on data of any shape."""

import numpy as np
import pytest

from tensorflow_similarity.calibration import calibrate
from tensorflow_similarity.calibration.conformal import conformal_threshold, queries_needed


@pytest.mark.parametrize("miss_rate", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("draw", ["normal", "lognormal", "standard_cauchy"])
def test_new_queries_are_missed_as_often_as_promised(miss_rate, draw):
    rng = np.random.default_rng(0)
    n = 59
    samples = getattr(rng, draw)(size=(4000, n + 1))
    missed = np.mean([s[-1] > conformal_threshold(s[:-1], miss_rate) for s in samples])
    noise = 3 * (miss_rate * (1 - miss_rate) / 4000) ** 0.5
    assert miss_rate - 1 / (n + 1) - noise <= missed <= miss_rate + noise


def test_the_order_statistic():
    distances = np.arange(1, 20)[::-1] / 10  # 19 of them.
    assert conformal_threshold(distances, 0.05) == 1.9
    assert conformal_threshold(distances, 0.1) == 1.8
    assert conformal_threshold(distances[1:], 0.05) is None
    assert conformal_threshold(np.append(distances[1:], np.inf), 0.05) is None
    assert [queries_needed(r) for r in (0.05, 0.01, 0.5)] == [19, 99, 1]
    for rate in (0.05, 0.01, 0.3):
        assert conformal_threshold(np.ones(queries_needed(rate)), rate) == 1
        assert conformal_threshold(np.ones(queries_needed(rate) - 1), rate) is None


@pytest.mark.parametrize("matcher", ["match_nearest", "match_majority_vote"])
def test_only_queries_of_known_classes_count(matcher):
    rng = np.random.default_rng(0)
    distances = np.sort(rng.random((200, 3)), axis=1)
    found = np.zeros((200, 3), int)
    labels = np.where(np.arange(200) < 50, 0, 7)
    distances[50:] += 1
    result = calibrate(distances, found, labels, matcher=matcher, miss_rate=0.1)
    rejected = result.match(distances, found, "known") == -1
    assert rejected[:50].mean() <= 0.1
    assert rejected[50:].mean() > 0.9
    point = result.cutpoints["known"]
    assert point["recall"] == pytest.approx(1 - rejected[:50].mean())
    everything = calibrate(
        distances, found, labels, matcher=matcher, miss_rate=0.1, known_labels=[0, 7]
    )
    assert everything.distance("known") > result.distance("known")


def test_too_few_queries_are_said_plainly():
    with pytest.warns(UserWarning, match=r"miss rate of 0.05.*takes 19 queries.*here are 2"):
        result = calibrate([[0.1], [0.2]], [[1], [2]], [1, 2], miss_rate=0.05)
    assert "known" in result.unreached
    with pytest.raises(KeyError, match="miss rate"):
        result.distance("known")


def test_bad_input():
    with pytest.raises(ValueError, match="miss_rate"):
        calibrate([[0.1]], [[1]], [1], miss_rate=5)
    with pytest.raises(ValueError, match="'known'"):
        calibrate([[0.1]], [[1]], [1], {"known": 0.5}, miss_rate=0.5)
