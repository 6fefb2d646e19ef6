"""Verification of pairs: against scikit-learn, and pair by pair."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from oracle import distances
from tensorflow_similarity.evaluation import equal_error_rate, roc_auc, tar_at_far, verify
from tensorflow_similarity.evaluation.pairs import different_pairs, same_pairs

PAIRS = st.lists(
    st.tuples(st.integers(0, 12).map(lambda v: v / 8), st.booleans()), min_size=2, max_size=60
).filter(lambda pairs: len({same for _, same in pairs}) == 2)


@given(pairs=PAIRS)
@pytest.mark.further
def test_roc_auc_is_that_of_scikit_learn(pairs):
    distances, same = map(np.array, zip(*pairs, strict=True))
    assert roc_auc(distances, same) == pytest.approx(sk.roc_auc_score(same, -distances))


@given(pairs=PAIRS, far=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]))
@pytest.mark.further
def test_tar_at_far_is_the_best_allowed(pairs, far):
    distances, same = map(np.array, zip(*pairs, strict=True))
    fpr, tpr, _ = sk.roc_curve(same, -distances, drop_intermediate=False)
    tar, threshold = tar_at_far(distances, same, far)
    assert tar == pytest.approx(tpr[fpr <= far].max())
    assert (distances[~same] <= threshold).mean() <= far
    assert (distances[same] <= threshold).mean() == pytest.approx(tar)


@given(pairs=PAIRS)
@pytest.mark.further
def test_equal_error_rate_balances_the_errors(pairs):
    distances, same = map(np.array, zip(*pairs, strict=True))
    rate, threshold = equal_error_rate(distances, same)

    def errors(t):
        return (distances[~same] <= t).mean(), (distances[same] > t).mean()

    accepted, rejected = errors(threshold)
    assert rate == pytest.approx((accepted + rejected) / 2)
    gaps = [abs(np.subtract(*errors(t))) for t in distances]
    assert abs(accepted - rejected) == pytest.approx(min(gaps))


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "manhattan"])
def test_all_pairs(distance):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)), rng.integers(4, size=40)
    matrix = distances.matrix(distance, x, x)
    pairs = list(itertools.combinations(range(40), 2))
    values = np.array([matrix[i, j] for i, j in pairs])
    same = np.array([y[i] == y[j] for i, j in pairs])
    result = verify(x, y, distance, far=(0.1,))
    assert result.exact
    assert result.same_pairs == same.sum()
    assert result.different_pairs == (~same).sum()
    assert result.roc_auc == pytest.approx(sk.roc_auc_score(same, -values), abs=1e-6)
    assert result.eer == pytest.approx(equal_error_rate(values, same)[0], abs=1e-6)
    assert result.tar_at_far[0.1] == pytest.approx(tar_at_far(values, same, 0.1)[0], abs=1e-6)
    assert "tar@far=0.1" in str(result)


@settings(max_examples=25)
@given(labels=st.lists(st.integers(0, 4), min_size=2, max_size=30))
def test_all_same_class_pairs_are_found_once(labels):
    y = np.array(labels)
    order, sizes = np.argsort(y, kind="stable"), np.unique(y, return_counts=True)[1]
    total = int((sizes * (sizes - 1) // 2).sum())
    a, b = same_pairs(order, sizes, total, total, np.random.default_rng(0))
    found = {tuple(sorted(pair)) for pair in zip(a.tolist(), b.tolist(), strict=True)}
    assert len(a) == total
    assert found == {(i, j) for i, j in itertools.combinations(range(len(y)), 2) if y[i] == y[j]}


def test_drawn_pairs_are_uniform():
    y = np.repeat([0, 1, 2], [2, 3, 5])
    order, sizes = np.argsort(y, kind="stable"), np.array([2, 3, 5])
    a, b = same_pairs(order, sizes, 13_999, 14, np.random.default_rng(0))
    assert (y[a] == y[b]).all()
    assert (a != b).all()
    counts = np.unique(np.minimum(a, b) * 100 + np.maximum(a, b), return_counts=True)[1]
    assert len(counts) == 14
    assert counts.min() > 850
    a, b = different_pairs(y, 10_000, np.random.default_rng(0))
    assert len(a) == 10_000
    assert (y[a] != y[b]).all()
    counts = np.unique(np.minimum(a, b) * 100 + np.maximum(a, b), return_counts=True)[1]
    assert len(counts) == 31
    assert counts.min() > 250


def test_a_sample_is_near_the_whole():
    rng = np.random.default_rng(0)
    y = rng.integers(8, size=400)
    x = np.eye(8)[y] + 0.5 * rng.normal(size=(400, 8))
    whole, sample = verify(x, y), verify(x, y, max_pairs=20_000)
    assert not sample.exact
    assert sample.roc_auc == pytest.approx(whole.roc_auc, abs=0.01)
    assert sample.eer == pytest.approx(whole.eer, abs=0.01)


def test_names_and_unknown_classes():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)), rng.integers(4, size=30)
    known = y != 3
    names = [None if c == 3 else "abc"[c] for c in y]
    assert verify(x, names) == verify(x[known], y[known])
    assert verify(x, y, ignore_class=3) == verify(x[known], y[known])


def test_bad_input():
    x = np.eye(4)
    with pytest.raises(ValueError, match="0 pairs of one class"):
        verify(x, [0, 1, 2, 3])
    with pytest.raises(ValueError, match="0 of two"):
        verify(x, [0, 0, 0, 0])
    with pytest.raises(TypeError, match="labels"):
        verify(x, [0.5, 0.5, 1.0, 1.0])
    with pytest.raises(ValueError, match="far"):
        tar_at_far([0.1, 0.2], [True, False], 5)
    with pytest.raises(ValueError, match="same"):
        roc_auc([0.1, 0.2], [1, 0])
    with pytest.raises(ValueError, match="NaN"):
        roc_auc([np.nan, 0.2], [True, False])
    with pytest.raises(ValueError, match="pairs of the same class"):
        roc_auc([0.1, 0.2], [True, True])
