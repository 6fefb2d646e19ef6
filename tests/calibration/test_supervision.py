"""Calibration and matching with labels as people have them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorflow_similarity.calibration import (
    Calibration,
    calibrate,
    drift,
    evaluate_classification,
    evaluate_cutpoints,
    match,
)
from tensorflow_similarity.targets import Targets

WORDS = np.array(["owl", "auk", "emu", "tit"], object)


def lookup(seed, queries=80, k=3, classes=4):
    rng = np.random.default_rng(seed)
    distances = np.sort(rng.random((queries, k)), axis=1)
    found, labels = rng.integers(classes, size=(queries, k)), rng.integers(classes, size=queries)
    found[:, 0] = np.where(rng.random(queries) < 0.6, labels, found[:, 0])
    return distances, found, labels


def names(ids, unknown=-1):
    table = np.append(WORDS, None)
    return table[np.where(ids == unknown, 4, ids)]


@pytest.mark.parametrize("matcher", ["match_nearest", "match_majority_vote"])
def test_names_give_what_ids_give(matcher):
    distances, found, labels = lookup(0)
    options = {"matcher": matcher, "per_class": True, "min_per_class": 5, "miss_rate": 0.2}
    ids = calibrate(distances, found, labels, {"sure": {"precision": 0.7}}, **options)
    named = calibrate(
        distances, names(found), names(labels).tolist(), {"sure": {"precision": 0.7}}, **options
    )
    assert named.cutpoints == ids.cutpoints
    assert named.bounds == ids.bounds
    for cutpoint, own in ids.per_class.items():
        assert named.per_class[cutpoint] == {WORDS[label]: at for label, at in own.items()}
    again = Calibration.from_config(named.get_config())
    assert again == named
    for cutpoint in ids.cutpoints:
        answers = ids.match(distances, found, cutpoint)
        assert again.match(distances, names(found), cutpoint).tolist() == names(answers).tolist()
        assert again.match(distances, names(found), cutpoint, "?").tolist() == [
            "?" if label == -1 else WORDS[label] for label in answers
        ]
    wanted = evaluate_cutpoints(distances, found, labels, ids)
    assert evaluate_cutpoints(distances, names(found), names(labels), named) == wanted
    assert drift(named, distances, names(found)).accepted == drift(ids, distances, found).accepted


def test_match_of_names():
    assert match([[0.1], [0.9]], [["owl"], ["emu"]], 0.5).tolist() == ["owl", None]
    assert match([[0.1], [0.2]], [[None], ["emu"]], 0.5).tolist() == [None, "emu"]
    assert match([[0.1, 0.2]], [[None, "emu"]], 0.5).tolist() == ["emu"]
    assert match([[0.1], [0.9]], [["owl"], ["emu"]], 0.5, no_match_label="?").tolist() == [
        "owl",
        "?",
    ]


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=25)
def test_what_is_unknown_never_matches(seed, named):
    distances, found, labels = lookup(seed, k=1)
    rng = np.random.default_rng(seed)
    found = np.where(rng.random(found.shape) < 0.3, -1, found)
    labels = np.where(rng.random(labels.shape) < 0.3, -1, labels)
    given_found, given_labels = found, [None if label == -1 else label for label in labels]
    if named:
        given_found, given_labels = names(found), names(labels)
    thresholds = np.unique(distances)
    result = evaluate_classification(
        distances, given_found, given_labels, thresholds, ["f1", "precision", "fpr"]
    )
    for i, threshold in enumerate(thresholds):
        accepted = (distances[:, 0] <= threshold) & (found[:, 0] != -1)
        right = (found[:, 0] == labels) & (labels != -1)
        tp, fp = (accepted & right).sum(), (accepted & ~right).sum()
        fn = (right & ~accepted).sum()
        assert result["f1"][i] == pytest.approx(2 * tp / max(1, 2 * tp + fp + fn))
        if accepted.any():
            assert result["precision"][i] == pytest.approx(tp / (tp + fp))
    if (found != -1).any():
        calibration = calibrate(distances, given_found, given_labels)
        assert calibration.cutpoints["optimal"]["f1"] == pytest.approx(
            max(result["f1"][np.isin(thresholds, distances[found != -1])])
        )


def test_strangers_do_not_match_strangers():
    """A gallery and queries that hold strangers: 20 of 60 match their class, none of the rest."""
    rng = np.random.default_rng(1)
    known = np.arange(60) < 20
    distances = np.where(known, 0.1, 0.2)[:, None] + 0.01 * rng.random((60, 1))
    labels = np.where(known, np.arange(60) % 4, -1)
    with pytest.warns(UserWarning, match="-1"):
        calibration = calibrate(distances, labels[:, None], labels)
    assert calibration.cutpoints["optimal"]["recall"] == 1
    assert len(calibration.thresholds["distance"]) == 20
    answers = calibration.match(distances, labels[:, None])
    assert answers.tolist() == labels.tolist()
    # Strangers next to known ones are mistakes.
    beside = np.where(known, labels, 3)
    worse = calibrate(distances, beside[:, None], [None if c == -1 else c for c in labels])
    assert worse.thresholds["precision"][-1] == pytest.approx(20 / 60)


def test_several_labels_of_a_query():
    distances, found, _ = lookup(2, k=1)
    rng = np.random.default_rng(2)
    tags = rng.random((80, 4)) < 0.4
    right = tags[np.arange(80), found[:, 0]]
    thresholds = np.unique(distances)
    sets = [{WORDS[j] for j in np.flatnonzero(row)} for row in tags]
    for labels, neighbours in (
        (Targets.multi_hot(tags), found),
        (Targets.multi_hot(tags, list(WORDS)), names(found)),
        (Targets.label_sets(sets), names(found)),
    ):
        result = evaluate_classification(distances, neighbours, labels, thresholds, ["precision"])
        expected = [right[distances[:, 0] <= t].mean() for t in thresholds]
        np.testing.assert_allclose(result["precision"], expected)
        assert calibrate(distances, neighbours, labels, miss_rate=0.3).queries == 80
    with pytest.raises(TypeError, match="names"):
        evaluate_classification(distances, found, Targets.label_sets(sets), thresholds)


def test_names_and_ids_do_not_mix():
    distances, found, labels = lookup(3)
    with pytest.raises(TypeError, match=r"query_labels|matches"):
        calibrate(distances, names(found), labels)
    with pytest.raises(TypeError, match=r"query_labels|matches"):
        calibrate(distances, found, names(labels))
