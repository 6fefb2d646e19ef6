"""Hard negatives mined offline, against a search of all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorflow_similarity.models import mine_hard_negatives


def by_all_pairs(queries, candidates, query_ids, candidate_ids, n, margin, skip):
    rows = []
    for q, own in zip(queries, query_ids, strict=True):
        far = np.linalg.norm(candidates - q, axis=1)
        mine = [d for d, i in zip(far, candidate_ids, strict=True) if i == own]
        least = min(mine) + margin if mine and margin is not None else -np.inf
        fits = [j for j in np.argsort(far) if candidate_ids[j] != own and far[j] >= least][
            skip : skip + n
        ]
        rows.append(fits + [-1] * (n - len(fits)))
    return np.array(rows)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(1, 5),
    n=st.integers(1, 6),
    margin=st.sampled_from([None, 0.0, 0.3]),
    skip=st.integers(0, 2),
)
@pytest.mark.filterwarnings("ignore:.*have fewer than")
@pytest.mark.further
def test_they_are_the_nearest_that_do_not_belong(seed, classes, n, margin, skip):
    rng = np.random.default_rng(seed)
    queries, candidates = rng.normal(size=(7, 3)), rng.normal(size=(40, 3))
    query_ids, candidate_ids = rng.integers(0, classes, 7), rng.integers(0, classes, 40)
    found = mine_hard_negatives(
        queries, candidates, query_ids, candidate_ids,
        num_negatives=n, distance="euclidean", margin=margin, skip=skip,
    )  # fmt: skip
    expected = by_all_pairs(queries, candidates, query_ids, candidate_ids, n, margin, skip)
    np.testing.assert_array_equal(found.rows, expected)
    far = np.linalg.norm(candidates[expected] - queries[:, None], axis=2)
    np.testing.assert_allclose(
        found.distances, np.where(expected < 0, np.inf, far), rtol=1e-4, atol=1e-5
    )


def test_names_are_ids_and_a_large_class_is_no_obstacle():
    candidates = np.concatenate([np.zeros((500, 2)), [[5.0, 0.0]]])
    found = mine_hard_negatives(
        np.zeros((1, 2)), candidates, ["cat"], ["cat"] * 500 + ["dog"],
        num_negatives=1, distance="euclidean",
    )  # fmt: skip
    assert found.rows.tolist() == [[500]]
    assert found.complete.all()


def test_too_few_are_said():
    with pytest.warns(UserWarning, match="1 of 2 queries have fewer than 2 negatives"):
        found = mine_hard_negatives(np.eye(2), np.eye(2)[[0, 0, 1]], [0, 1], [0, 0, 1],
                                    num_negatives=2)  # fmt: skip
    assert found.rows[0].tolist() == [2, -1]
    assert np.isinf(found.distances[0, 1])
    assert repr(found) == "HardNegatives(2 queries, 2 each, 1 complete)"


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"queries": np.zeros(3)}, ValueError, "`queries`"),
        ({"candidates": [["a", "b"]]}, TypeError, "`candidates`"),
        ({"queries": np.ma.masked_equal(np.eye(2), 0)}, TypeError, "`queries`.*mask"),
        ({"candidates": np.full((2, 2), np.nan)}, ValueError, "`candidates`"),
        ({"query_ids": np.ma.masked_equal([0, 1], 1)}, TypeError, "`query_ids`.*mask"),
        ({"margin": "x"}, TypeError, "`margin`"),
        ({"margin": float("nan")}, ValueError, "`margin`"),
        ({"query_ids": [0.5, 1.5]}, ValueError, "`query_ids`"),
        ({"candidate_ids": [0]}, ValueError, "`candidate_ids`"),
        ({"query_ids": ["a", "b"]}, TypeError, "one kind"),
        ({"num_negatives": 0}, ValueError, "`num_negatives`"),
        ({"skip": -1}, ValueError, "`skip`"),
    ],
)
def test_refusals(change, error, match):
    given_ = {
        "queries": np.eye(2), "candidates": np.eye(2), "query_ids": [0, 1], "candidate_ids": [0, 1],
        **change,
    }  # fmt: skip
    with pytest.raises(error, match=match):
        mine_hard_negatives(**given_)
