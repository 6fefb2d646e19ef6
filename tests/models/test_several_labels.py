"""Models whose records have several labels: indexed, calibrated and evaluated with."""

import keras
import numpy as np
import pytest

from oracle.several_labels import shares_a_label
from tensorflow_similarity import targets
from tensorflow_similarity._class_names import class_name
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.targets import Targets
from tensorflow_similarity.visualization.figures import OTHER, SAME, verdict

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 4)).astype("float32")
SETS = [set(RNG.integers(0, 6, RNG.integers(1, 4)).tolist()) for _ in range(60)]
MATRIX = np.array([[c in own for c in range(6)] for own in SETS])
NAMES = ["ant", "bee", "cat", "dog", "elk", "fox"]


def word(own):
    return {NAMES[c] for c in own}


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((4,))
    made = SimilarityModel(inputs, keras.layers.Identity()(inputs))
    made.create_index(distance="euclidean")
    return made


RECORDS = {
    "ids": lambda: (Targets.label_sets(SETS), SETS),
    "columns": lambda: (Targets.multi_hot(MATRIX), SETS),
    "names": lambda: (Targets.multi_hot(MATRIX, NAMES), [word(own) for own in SETS]),
}
QUERIES = {
    "ids": [
        lambda s: Targets.label_sets(s),
        lambda s: Targets.multi_hot([[c in own for c in range(6)] for own in s]),
    ],
    "names": [lambda s: Targets.label_sets([word(own) for own in s])],
}


def nearest(queries, k):
    distances = np.linalg.norm(queries[:, None] - X[None], axis=-1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, 1), order


@pytest.mark.parametrize("held", RECORDS)
@pytest.mark.further("names")
def test_evaluated_and_calibrated_with(model, held):
    labels, sets = RECORDS[held]()
    model.reset_index()
    model.index(X, labels, verbose=0)
    queries = (X[:20] + RNG.normal(size=(20, 4)) * 0.4).astype("float32")
    asked = [SETS[i] for i in range(20)]
    single = [min(own) for own in asked]
    distances, order = nearest(queries, 60)
    relevant = shares_a_label(asked, SETS)
    kind = "names" if held == "names" else "ids"
    as_classes = [NAMES[c] for c in single] if held == "names" else single
    for own, y in [(asked, make(asked)) for make in QUERIES[kind]] + [
        ([{c} for c in single], as_classes)
    ]:
        relevant = np.take_along_axis(shares_a_label(own, SETS), order, 1)
        found = model.evaluate_retrieval(queries, y, ["precision@1", "precision@5"], verbose=0)
        assert found["precision@1"] == pytest.approx(relevant[:, 0].mean())
        assert found["precision@5"] == pytest.approx(relevant[:, :5].mean())
        for matcher in ("match_nearest", "match_majority_vote"):
            calibration = model.calibrate(queries, y, k=1, matcher=matcher, verbose=0)
            # The nearest match is right where it shares a label.
            point = calibration.cutpoints["optimal"]
            accepted = distances[:, 0] <= point["distance"] + 1e-6
            assert point["precision"] == pytest.approx(relevant[accepted, 0].mean())
            matched = model.match(queries, no_match_label=None)
            expected = [
                tuple(sorted(sets[i])) if there else None
                for i, there in zip(order[:, 0], accepted, strict=True)
            ]
            assert matched.tolist() == expected
            result = model.evaluate_classification(queries, y, verbose=0)["optimal"]
            assert result["precision"] == pytest.approx(point["precision"])
    found = model.calibrate(queries, y, calibration_metric="row_f1", verbose=0)
    point = found.cutpoints["optimal"]
    hits = (distances <= point["distance"] + 1e-6) & relevant
    accepted = (distances <= point["distance"] + 1e-6).sum(axis=1)
    f1 = 2 * hits.sum(axis=1) / (accepted + relevant.sum(axis=1))
    assert point["row_f1"] == pytest.approx(f1.mean())
    neighbors = model.lookup(queries, k=5, verbose=0)
    right, known, _ = targets.lookup_labels(neighbors.labels, as_classes)
    np.testing.assert_array_equal(right, relevant[:, :5])
    assert known.all()


def test_what_cannot_be(model, tmp_path):
    model.reset_index()
    model.index(X, Targets.label_sets(SETS), verbose=0)
    with pytest.raises(TypeError, match="`y` must hold class ids"):
        model.evaluate_retrieval(X, [NAMES[min(own)] for own in SETS], verbose=0)
    with pytest.raises(TypeError, match="both hold names, or both ids"):
        model.calibrate(X, [NAMES[min(own)] for own in SETS], verbose=0)
    with pytest.raises(ValueError, match="`per_class` must be False"):
        model.calibrate(X, Targets.label_sets(SETS), per_class=True, verbose=0)
    with pytest.raises(TypeError, match="one label each to be exported"):
        model.export_serving(tmp_path / "m")
    assert model.calibrate(X, [0] * 60, miss_rate=0.2, verbose=0).cutpoints["known"]


def test_piece_by_piece_and_one_by_one(model):
    model.reset_index()
    model.index(X, Targets.label_sets(SETS), verbose=0, resume=True, batch_size=16)
    assert model.vector_index.get(range(60)).labels.tolist() == [tuple(sorted(s)) for s in SETS]
    model.index_single(X[0], {4, 2}, id=100)
    assert model.lookup_one(X[0], k=2)[1].label == (2, 4)


def test_a_verdict_on_several():
    assert verdict((1, 3), 3) == verdict((1, 3), {3, 4}) == verdict(3, 3) == SAME
    assert class_name((1, 3), {1: "ant"}) == "ant, 3"
    assert class_name((1, 0), ["ant", "bee"]) == "bee, ant"
    assert class_name((1, 3), {(1, 3): "both"}) == "both"
    assert verdict((1, 3), 2) == verdict((), 3) == verdict(3, (1, 2)) == OTHER
