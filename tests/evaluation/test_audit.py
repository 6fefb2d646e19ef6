"""What an audit finds is what was planted, and what a slow search finds."""

import numpy as np
import pytest

from tensorflow_similarity.evaluation import audit


def clean(n=400, dim=16, seed=0):
    """Classes that are far from each other."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 8
    return (20 * np.eye(dim)[labels] + rng.normal(size=(n, dim))).astype(np.float32), labels


def test_a_clean_set():
    x, labels = clean()
    report = audit(x, labels, x[:0], distance="euclidean")
    assert len(report.suspects) == 0
    assert len(report.groups) == len(report.duplicates[0]) == len(report.leaks[0]) == 0
    assert len(report.mislabelled[0]) == len(report.outliers[0]) == 0
    assert "AuditReport of 400 examples" in repr(report)
    assert len(report.to_data_frame()) == len(report.hubs[0])


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean", "cosine", "manhattan"])
def test_near_duplicates_within_and_between(distance):
    x, _ = clean()
    rng = np.random.default_rng(1)
    copies = x[::4] + rng.normal(scale=1e-3, size=(100, 16))
    report = audit(np.concatenate([x, copies]), distance=distance)
    wanted = [(4 * i, 400 + i) for i in range(100)]
    found = zip(*(column.tolist() for column in report.duplicates[:2]), strict=True)
    assert sorted(found) == wanted
    assert sorted(group.tolist() for group in report.groups) == [list(pair) for pair in wanted]
    assert report.groups.duplicates.tolist() == list(range(400, 500))
    assert set(report.suspects.tolist()) >= set(range(400, 500))
    leaks = audit(clean(seed=2)[0], reference=copies, distance=distance).leaks
    assert len(leaks[0]) == 0
    leaks = audit(x, reference=copies, distance=distance).leaks
    assert dict(zip(leaks[0].tolist(), leaks[1].tolist(), strict=True)) == {
        4 * i: i for i in range(100)
    }
    assert (np.diff(leaks[2]) >= 0).all()


@pytest.mark.parametrize("names", [False, True])
def test_wrong_labels(names):
    x, labels = clean()
    wrong = np.array([3, 77, 120])
    given = labels.copy()
    given[wrong] = (given[wrong] + 3) % 8
    expected = dict(zip(wrong.tolist(), labels[wrong].tolist(), strict=True))
    if names:
        given = [None if i == 9 else f"class {label}" for i, label in enumerate(given)]
        expected = {at: f"class {label}" for at, label in expected.items()}
    at, theirs, right, share = audit(x, given, distance="euclidean").mislabelled
    assert dict(zip(at.tolist(), right.tolist(), strict=True)) == expected
    assert theirs.tolist() == [given[i] for i in at]
    assert ((share >= 0.8) & (share <= 1)).all()
    # By hand, for one of them.
    order = np.argsort(np.linalg.norm(x - x[at[0]], axis=1))[1:11]
    assert share[0] == np.mean([given[i] == right[0] for i in order if given[i] is not None])


def test_outliers_and_hubs():
    x, _ = clean()
    x[5] = 300
    x[6] = -200
    report = audit(x, distance="euclidean")
    assert set(report.outliers[0].tolist()) == {5, 6}
    reach = np.sort(np.linalg.norm(x[:, None] - x[None], axis=-1), axis=1)[:, 10]
    order = np.argsort(np.linalg.norm(x - x[5], axis=1))[1:11]
    ratio = dict(zip(*(each.tolist() for each in report.outliers), strict=True))[5]
    assert ratio == pytest.approx(reach[5] / np.median(reach[order]), rel=1e-4)
    # Around a middle, far from each other.
    spokes = np.concatenate([np.zeros((1, 60)), 5 * np.eye(60)])
    report = audit(spokes, distance="euclidean", k=2)
    assert report.hubs[0].tolist()[0] == 0
    assert report.hubs[1][0] == 60


def test_the_table():
    x, labels = clean(100)
    x[50], labels[30] = x[2], 5
    x[60] = 400
    frame = audit(x, labels, x[:1], distance="euclidean").to_data_frame()
    rows = set(zip(frame["finding"], frame["position"], strict=True))
    assert {("duplicate", 2), ("leak", 0), ("mislabelled", 30), ("outlier", 60)} <= rows
    assert frame["value"].notna().all()


def test_equal_examples_only():
    report = audit(np.ones((30, 3)), [0] * 29 + [1])
    assert report.groups.sizes.tolist() == [30]
    assert report.outliers[0].tolist() == []
    assert report.mislabelled[0].tolist() == [29]


@pytest.mark.parametrize(
    ("arguments", "kind", "match"),
    [
        ({"embeddings": np.ones((1, 2))}, ValueError, "at least two"),
        ({"distance": "inner_product"}, ValueError, "smallest between equal"),
        ({"labels": [1]}, ValueError, "labels"),
        ({"reference": np.ones((2, 3))}, ValueError, "`reference`"),
        ({"agreement": 0}, ValueError, "`agreement` must be above 0"),
        ({"agreement": 1.1}, ValueError, "at most 1"),
        ({"outlier_ratio": "2"}, TypeError, "`outlier_ratio` must be a number"),
        ({"max_distance": "x"}, TypeError, "`max_distance` must be a number"),
        ({"k": 0}, ValueError, "`k` must be at least 1"),
    ],
)
def test_what_cannot_be(arguments, kind, match):
    with pytest.raises(kind, match=match):
        audit(**{"embeddings": np.eye(5, 2), **arguments})
