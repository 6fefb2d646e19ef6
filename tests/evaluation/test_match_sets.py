"""Match sets and their row-wise F1, against loops over queries and sets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorflow_similarity.calibration import calibrate, evaluate_cutpoints
from tensorflow_similarity.evaluation import MatchSets, row_f1
from tensorflow_similarity.index import Index
from tensorflow_similarity.targets import Targets

LABELS = st.none() | st.sampled_from(["a", "b", "c", "d"])


def slow_f1(predicted, true):
    if not predicted and not true:
        return 1.0
    right = sum(value in true for value in predicted)
    precision = right / len(predicted) if predicted else 0.0
    recall = right / len(true) if true else 0.0
    return 2 * precision * recall / (precision + recall) if right else 0.0


def slow(rows, true, threshold):
    """The mean over queries; `rows` are (distance, value) of each."""
    values = [
        slow_f1({value for distance, value in row if distance <= threshold}, own)
        for row, own in zip(rows, true, strict=True)
        if own is not None
    ]
    return np.mean(values) if values else np.nan


sets = st.lists(st.integers(0, 5), max_size=4)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(sets, st.none() | sets), max_size=6))
def test_row_f1(rows):
    predicted, true = [p for p, _ in rows], [t for _, t in rows]
    expected = [np.nan if t is None else slow_f1(set(p), set(t)) for p, t in rows]
    np.testing.assert_allclose(row_f1(predicted, true), expected)
    arrays = [np.array(p, np.int64) for p in predicted]
    np.testing.assert_allclose(row_f1(arrays, true), expected)


@pytest.mark.parametrize("of", ["ids", "labels"])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
@pytest.mark.further("ids")
def test_given_sets_at_any_threshold(of, data):
    places = data.draw(st.lists(st.integers(0, 8), min_size=1, max_size=8))
    labels = data.draw(st.lists(LABELS, min_size=len(places), max_size=len(places)))
    queries = data.draw(st.lists(st.integers(0, 8), min_size=1, max_size=5))
    values = st.integers(0, 9) if of == "ids" else st.sampled_from(["a", "b", "e"])
    count = len(queries)
    true = data.draw(st.lists(st.none() | st.sets(values), min_size=count, max_size=count))
    index = Index(1, "euclidean", "exact")
    index.add([[float(x)] for x in places], labels if any(labels) else ["a"] * len(places))
    shown = labels if any(labels) else ["a"] * len(places)
    rows = [
        [
            (abs(x - query), place if of == "ids" else shown[place])
            for place, x in enumerate(places)
            if of == "ids" or shown[place] is not None
        ]
        for query in queries
    ]
    x = np.array(queries, float)[:, None]
    thresholds = [-1, 0, 1, 2.5, 4, 3, 100]
    expected = [slow(rows, true, threshold) for threshold in thresholds]
    for found in (index.lookup(x, k=20), index.lookup(x, max_distance=100)):
        own = MatchSets.of_sets(found, true, of)
        np.testing.assert_allclose(own.f1(thresholds), expected, atol=1e-12)
        assert own.reach == np.inf
        if len(own.candidates()):
            reached = max(slow(rows, true, threshold) for threshold in range(9))
            assert own.f1(own.best()).item() == pytest.approx(max(own.f1(own.candidates())))
            assert own.f1(own.best()).item() <= reached + 1e-12
    near = index.lookup(x, max_distance=2)
    found = [
        {value for distance, value in row if distance <= 2 and value is not None} for row in rows
    ]
    assert near.sets(of) == found


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), several=st.booleans())
@pytest.mark.further
def test_sets_of_a_class_in_calibrate(seed, several):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 4, 30)  # -1 has no label
    index = Index(1, "euclidean", "exact")
    places = labels + rng.normal(size=30).round(1)
    index.add(places[:, None], np.where(labels < 0, None, labels))
    truth = [set(rng.choice(6, rng.integers(3), replace=False).tolist()) for _ in range(12)]
    if not several:
        truth = [set(sorted(own)[:1]) for own in truth]
    x = rng.integers(0, 4, 12) + rng.normal(size=12).round(1)
    if several:
        queries = Targets.multi_hot([[c in own for c in range(6)] for own in truth])
    else:
        queries = [min(own, default=None) for own in truth]
    relevant = np.array([sum(label in own for label in labels) for own in truth])
    found = index.lookup(x[:, None], k=31)
    own = MatchSets.of_labels(found, queries, relevant)
    distances = np.abs(x[:, None].astype(np.float32) - places.astype(np.float32))
    rows = [
        [(d, i) for i, d in enumerate(row) if labels[i] >= 0] for row in distances.astype(float)
    ]
    true = [{i for i in range(30) if labels[i] in wanted} for wanted in truth]
    levels = np.unique(distances[:, labels >= 0].astype(float))
    expected = [slow(rows, true, level) for level in levels]
    np.testing.assert_allclose(own.f1(levels), expected, atol=1e-12)
    shown = np.where(found.has_label, found.distances, np.inf)
    made = calibrate(
        shown[:, :1], found.labels[:, :1], queries, calibration_metric="row_f1", match_sets=own
    )
    assert made.cutpoints["optimal"]["row_f1"] == pytest.approx(max(expected))
    assert made.calibration_metric == "row_f1"
    again = evaluate_cutpoints(
        shown[:, :1], found.labels[:, :1], queries, made, ["row_f1", "f1"], match_sets=own
    )
    assert again["optimal"]["row_f1"] == made.cutpoints["optimal"]["row_f1"]


def test_sets_of_keys_and_of_several_labels():
    index = Index(1, "euclidean", "exact")
    labels = [{"a", "b"}, {"b", "c"}, None]
    index.add([[0.0], [1.0], [2.0]], labels=labels, ids=["x", "y", "z"])
    for found in (index.lookup([[0.0], [2.0]], k=4), index.lookup([[0.0], [2.0]], max_distance=9)):
        of_keys = MatchSets.of_sets(found, [{"x", "y"}, {"z"}], "keys")
        np.testing.assert_allclose(of_keys.f1([0, 1, 2]), [(2 / 3 + 1) / 2, (1 + 2 / 3) / 2, 0.65])
        of_labels = MatchSets.of_sets(found, [{"a", "b"}, {"c", "d"}], "labels")
        np.testing.assert_allclose(
            of_labels.f1([0, 1, 2]), [1 / 2, (0.8 + 0.5) / 2, (0.8 + 0.4) / 2]
        )
    near = index.lookup([[0.0], [2.0]], max_distance=1)
    assert near.sets("keys") == [{"x", "y"}, {"y", "z"}]
    assert near.sets("labels") == [{"a", "b", "c"}, {"b", "c"}]


def test_sets_that_were_cut_are_warned_of():
    index = Index(1, "euclidean", "exact")
    index.add(np.arange(6.0)[:, None], [0] * 6)
    found = index.lookup([[0.0], [5.0]], k=3)
    cut = MatchSets.of_labels(found, [0, 0], [6, 6])
    assert cut.reach == 2
    columns = found.distances, found.labels, [0, 0]
    with pytest.warns(UserWarning, match=r"may hold more .* \['optimal'\]"):
        made = calibrate(*columns, calibration_metric="row_f1", match_sets=cut)
    with pytest.warns(UserWarning, match=r"may hold more .* \['optimal'\]"):
        evaluate_cutpoints(*columns, made, ["row_f1"], match_sets=cut)


@pytest.mark.parametrize(
    ("call", "kind", "match"),
    [
        (lambda n: row_f1([{1}], []), ValueError, "one set per row"),
        (lambda n: row_f1([3], [{3}]), TypeError, "`predicted` must hold a set"),
        (lambda n: row_f1(["ab"], [{3}]), TypeError, "`predicted` must hold a set"),
        (lambda n: row_f1([None], [{3}]), TypeError, "among them: None"),
        (lambda n: row_f1([{1}], 3), TypeError, "`true` must hold a set per row"),
        (lambda n: MatchSets.of_sets(n, [{1}, {2}]), ValueError, "expected 1. Received: 2"),
        (lambda n: MatchSets.of_sets(n, [{1}], "rows"), ValueError, "'keys' or 'labels'"),
        (lambda n: MatchSets.of_sets(n, [{1}], "keys"), ValueError, "have no keys"),
        (lambda n: MatchSets.of_labels(n, [1], [0]), ValueError, "must count all records"),
        (lambda n: MatchSets.of_labels(n, [1], [0.5]), ValueError, "`relevant` must be integers"),
        (lambda n: MatchSets.of_labels(n, [1, 2], [1]), ValueError, "query_labels"),
        (
            lambda n: calibrate(n.distances, n.labels, [1], calibration_metric="row_f1"),
            ValueError,
            "pass `match_sets`",
        ),
        (
            lambda n: calibrate(
                n.distances,
                n.labels,
                [1],
                extra_metrics=["row_f1"],
                per_class=True,
                match_sets=MatchSets.of_labels(n, [1], [1]),
            ),
            ValueError,
            "`per_class` must be False",
        ),
    ],
)
def test_what_cannot_be(call, kind, match):
    index = Index(1, "euclidean", "exact")
    index.add([[0.0], [1.0]], labels=[1, 2])
    with pytest.raises(kind, match=match):
        call(index.lookup([[0.0]], k=2))


@pytest.mark.parametrize(
    ("of", "true", "advice"),
    [
        ("ids", {"a"}, "such as 0.*'a'.*of='keys'"),
        ("keys", {0}, "such as 'a'.*0"),
        ("labels", {3}, "such as 'cat'.*3"),
    ],
)
def test_names_are_not_sought_among_numbers(of, true, advice):
    index = Index(1, "euclidean")
    index.add([[0.0], [1.0]], labels=[None, "cat"], ids=["a", "b"])
    near = index.lookup([[0.1], [0.9]], k=2)
    with pytest.raises(TypeError, match=rf"`true` must hold {of}, {advice}"):
        MatchSets.of_sets(near, [None, true], of)
    right = {"ids": {1}, "keys": {"b"}, "labels": {"cat"}}[of]
    assert MatchSets.of_sets(near, [set(), right], of).right.sum() == 1
