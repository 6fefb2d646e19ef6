"""The hinge over all triplets, for few and for many positives, against loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

from tensorflow_similarity.mining import sorting, triplet_sums


def loops(distances, positives, negatives, margin):
    n = len(distances)
    sums, terms, slope = np.zeros(n), np.zeros(n), np.zeros(distances.shape)
    for a in range(n):
        for p in np.flatnonzero(positives[a]):
            for q in np.flatnonzero(negatives[a]):
                gap = margin + distances[a, p] - distances[a, q]
                if gap > 0:
                    sums[a] += gap
                    terms[a] += 1
                    slope[a, p] += 1
                    slope[a, q] -= 1
    return sums, terms, slope


@pytest.mark.parametrize("few", [0, 16])
@pytest.mark.parametrize("in_numpy", [False, True])
@given(
    # Quarters are exact, so that gaps of 0 are.
    quarters=arrays(np.int8, (6, 7), elements=st.integers(0, 6)),
    sides=arrays(np.int8, (6, 7), elements=st.integers(-1, 1)),
    margin=st.sampled_from([0.0, 0.25, 1.0]),
)
@settings(max_examples=12)
@pytest.mark.further("True-0")
def test_sums_terms_and_slope(few, in_numpy, quarters, sides, margin):
    distances, positives, negatives = quarters / 4.0, sides > 0, sides < 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triplet_sums, "_FEW", few)
        if not in_numpy:
            patch.setattr(sorting, "on_tensorflow_cpu", lambda: False)
        tensors = [ops.convert_to_tensor(x) for x in (distances, positives, negatives)]
        ours = triplet_sums.batch_all_hinge(*tensors, margin)
    for value, expected in zip(ours, loops(distances, positives, negatives, margin), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12)


def test_each_block_of_queries_goes_its_own_way(monkeypatch):
    monkeypatch.setattr(triplet_sums, "MINING_ROWS", 4)
    rng = np.random.default_rng(0)
    distances = rng.random((10, 40))
    positives = rng.random((10, 40)) < np.repeat([0.1, 0.9, 0.1], [4, 4, 2])[:, None]
    negatives = ~positives & (rng.random((10, 40)) < 0.9)
    assert positives[:4].sum(axis=1).max() <= triplet_sums._FEW < positives[4:8].sum(axis=1).min()
    tensors = [ops.convert_to_tensor(x) for x in (distances, positives, negatives)]
    ours = triplet_sums.batch_all_hinge(*tensors, 0.2)
    for value, expected in zip(ours, loops(distances, positives, negatives, 0.2), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12)
