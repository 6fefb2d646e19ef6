"""The order of what is found: by distance, then id."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tensorflow_similarity.index import _search
from tensorflow_similarity.index._records import Batch, Store

ROWS = 40
# Many ties, both zeros, both signs, the smallest and the largest.
VALUES = [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 2.5, -2.5, 3e38, -3e38]


def store(ids):
    n = len(ids)
    nothing = np.zeros(n, np.int64)
    vectors = np.zeros((n, 1), np.float32)
    return Store.of(Batch(ids, vectors, nothing, np.zeros(n, bool), None)).rows


@pytest.fixture(autouse=True, params=[True, False], ids=["packed", "not packed"])
def packed(request, monkeypatch):
    monkeypatch.setattr(_search, "_FEW_SORTED", 0 if request.param else 10**6)


@pytest.mark.parametrize("in_order", [True, False])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    distances=hnp.arrays(
        np.float32, st.tuples(st.integers(1, 4), st.just(9)), elements=st.sampled_from(VALUES)
    ),
    seed=st.integers(0, 2**32 - 1),
    padding=st.integers(0, 9),
    k=st.integers(1, 9),
)
@pytest.mark.further("not packed-False")
def test_nearest(in_order, distances, seed, padding, k):
    rng = np.random.default_rng(seed)
    ids = np.arange(ROWS) * 3 if in_order else rng.permutation(ROWS)
    source = store(ids)
    assert in_order == (source.tie_order is None)
    rows = np.stack([rng.permutation(ROWS)[:9] for _ in distances])
    if padding:
        rows[:, -padding:] = -1
        distances[:, -padding:] = np.inf
    found, values = _search._nearest(source, rows, distances, k)
    for row, own, got, value in zip(rows, distances, found, values, strict=True):
        pairs = [(d, ids[r], r) for d, r in zip(own.tolist(), row.tolist(), strict=True) if r >= 0]
        expected = sorted(pairs)[:k]
        expected += [(np.inf, None, -1)] * (min(k, 9) - len(expected))
        assert value.tolist() == [d for d, _, _ in expected]
        assert got.tolist() == [r for _, _, r in expected]


def test_more_rows_than_can_be_packed(monkeypatch):
    monkeypatch.setattr(_search, "_MOST_PACKED", ROWS - 1)
    monkeypatch.setattr(_search, "_packed", None)
    source = store(np.arange(ROWS))
    found, values = _search._nearest(
        source, np.array([[5, 2, 9]]), np.array([[1, 1, 0]], np.float32), 2
    )
    assert found.tolist() == [[9, 2]]
    assert values.tolist() == [[0, 1]]
