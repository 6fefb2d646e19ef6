"""Names, unknown classes and several labels in what a model does with its index."""

import keras
import numpy as np
import pytest

from tensorflow_similarity.evaluation import SameGroup, evaluate
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.retrieval_metrics import RecallAtK
from tensorflow_similarity.targets import Targets

NAMES = np.array(["lynx", "fox", "otter", "mink"])


def data(seed, n=60):
    rng = np.random.default_rng(seed)
    y = rng.integers(4, size=n)
    return (np.eye(4)[y] + 0.3 * rng.normal(size=(n, 4))).astype(np.float32), y


X, Y = data(0)
QUERIES, WANTED = data(1, 30)


def new_model():
    inputs = keras.Input((4,))
    model = SimilarityModel(inputs, L2Embedding(4, kernel_initializer="identity")(inputs))
    model.create_index(distance="cosine", search="exact")
    return model


@pytest.fixture(scope="module")
def by_id():
    model = new_model()
    model.index(X, Y, verbose=0)
    return model


@pytest.fixture(scope="module")
def by_name():
    model = new_model()
    model.index(X, NAMES[Y].tolist(), verbose=0)
    return model


@pytest.mark.further
def test_names_come_back_in_every_answer(by_id, by_name, tmp_path):
    by_id.calibrate(QUERIES, WANTED, verbose=0)
    by_name.calibrate(QUERIES, NAMES[WANTED], verbose=0)
    asked = np.concatenate([QUERIES, -QUERIES[:5]])
    by_name.save(tmp_path / "model.keras")
    loaded = SimilarityModel.load(tmp_path / "model.keras")
    ids = by_id.match(asked)
    wanted = [None if i == -1 else NAMES[i] for i in ids]
    assert None in wanted
    for model in (by_name, loaded):
        assert model.match(asked).tolist() == wanted
        assert model.match(asked, no_match_label="?").tolist() == [n or "?" for n in wanted]
        hits = model.single_lookup(QUERIES[0], k=3)
        assert [hit.label for hit in hits] == [
            NAMES[hit.label] for hit in by_id.single_lookup(QUERIES[0], k=3)
        ]
        result = model.evaluate_classification(QUERIES, NAMES[WANTED], verbose=0)
        assert result == by_id.evaluate_classification(QUERIES, WANTED, verbose=0)
        found = model.evaluate_retrieval(QUERIES, NAMES[WANTED].tolist(), verbose=0)
        assert dict(found) == pytest.approx(
            dict(by_id.evaluate_retrieval(QUERIES, WANTED, verbose=0))
        )
        assert set(found.per_class["map@r"]) == set(NAMES[WANTED].tolist())
        recall = [RecallAtK(k=2)]
        assert model.evaluate_retrieval(
            QUERIES, NAMES[WANTED], retrieval_metrics=recall, verbose=0
        ) == by_id.evaluate_retrieval(QUERIES, WANTED, retrieval_metrics=recall, verbose=0)
    with pytest.raises(TypeError, match="names"):
        by_name.index(X, Y, verbose=0)
    with pytest.raises(TypeError, match=r"names|ids"):
        by_name.calibrate(QUERIES, WANTED, verbose=0)


@pytest.mark.further
def test_datasets_and_pieces_with_names():
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((X, NAMES[Y])).batch(16)
    for resume in (False, True):
        model = new_model()
        model.index(dataset, verbose=0, resume=resume)
        assert model.vector_index.get(model.vector_index.ids).labels.tolist() == NAMES[Y].tolist()
        assert model.index_single(X[0], "wolf") == 60
        with_none = [None, *NAMES[Y[1:]]]
        more = new_model()
        more.index(X, with_none, verbose=0, resume=resume)
        assert more.vector_index.get(more.vector_index.ids).labels.tolist() == with_none
    model.evaluate_retrieval(dataset.take(1), verbose=0, ids=np.arange(16))


def test_whole_floats_warn_once():
    model = new_model()
    with pytest.warns(UserWarning, match="whole numbers") as caught:
        model.index(X, Y.astype(np.float32), verbose=0)
    assert len(caught) == 1
    assert model.vector_index.get(model.vector_index.ids).labels.tolist() == Y.tolist()


def test_unknown_queries_are_counted(by_id, by_name):
    wanted = by_id.evaluate_retrieval(QUERIES[5:], WANTED[5:], verbose=0)
    for model, labels in (
        (by_id, [None] * 5 + WANTED[5:].tolist()),
        (by_name, [None] * 5 + NAMES[WANTED[5:]].tolist()),
    ):
        found = model.evaluate_retrieval(QUERIES, labels, verbose=0)
        assert found.unknown == found.skipped == 5
        assert dict(found) == pytest.approx(dict(wanted))
    ignored = np.where(np.arange(30) < 5, 99, WANTED)
    found = by_id.evaluate_retrieval(QUERIES, ignored, verbose=0, ignore_class=99)
    assert dict(found) == pytest.approx(dict(wanted))


def test_queries_without_a_record_of_their_class_are_said(by_id):
    labels = WANTED.copy()
    labels[:3] = 77
    with pytest.warns(UserWarning, match=r"3 of 30 queries"):
        found = by_id.evaluate_retrieval(QUERIES, labels, verbose=0)
    assert np.isfinite(found["map@r"])
    for nothing in ([None] * 30, np.full(30, 77)):
        with pytest.raises(ValueError, match="something is relevant"):
            by_id.evaluate_retrieval(QUERIES, nothing, verbose=0)


def test_evaluate_retrieval_takes_what_evaluate_takes(by_id, by_name):
    queries, records = by_id.embed(QUERIES, verbose=0), by_id.embed(X, verbose=0)
    rng = np.random.default_rng(3)
    cameras, of_records = rng.integers(2, size=30), rng.integers(2, size=60)
    tags, record_tags = rng.random((30, 5)) < 0.4, rng.random((60, 5)) < 0.4
    tags[:, 0] = record_tags[:, 0] = True
    grades = rng.integers(3, size=(30, 60)).astype(float)
    grades[rng.random(grades.shape) < 0.3] = np.nan
    metrics = ["map@r", "ndcg@5"]
    multi = Targets.multi_hot(tags[:, :4] | np.eye(4, dtype=bool)[WANTED])
    for labels, ours, options in (
        (WANTED, Y, {"ignore": SameGroup(cameras, of_records)}),
        (WANTED, Y, {"ignore": cameras[:, None] == of_records}),
        (WANTED, Y, {"ignore": lambda rows: cameras[rows][:, None] == of_records}),
        (WANTED, Y, {"relevance": grades}),
        (WANTED, Y, {"relevance": lambda a, b: abs(a[:, None] - b) <= 1}),
        (Targets.relevance(grades), None, {}),
        (Targets.multi_hot(tags), Targets.multi_hot(record_tags), {}),
        (Targets.multi_hot(tags), Targets.multi_hot(record_tags), {"relevance": "jaccard"}),
    ):
        extra = {"record_labels": ours} if isinstance(ours, Targets) else {}
        found = by_id.evaluate_retrieval(QUERIES, labels, metrics, verbose=0, **options, **extra)
        wanted = evaluate(queries, labels, records, ours, metrics=metrics, **options)
        assert dict(found) == pytest.approx(dict(wanted))
    # Several labels against records that have one each.
    shares = np.asarray(multi.matrix)[:, Y]
    wanted = evaluate(queries, np.arange(30), records, Y, metrics="map@r", relevance=shares)
    assert by_id.evaluate_retrieval(QUERIES, multi, "map@r", verbose=0)["map@r"] == pytest.approx(
        wanted["map@r"]
    )
    sets = [{str(NAMES[j]) for j in np.flatnonzero(row)} for row in np.asarray(multi.matrix)]
    found = by_name.evaluate_retrieval(QUERIES, Targets.label_sets(sets), "map@r", verbose=0)
    assert found["map@r"] == pytest.approx(wanted["map@r"])


def test_baselines_take_names_and_ignored_pairs(by_id):
    rng = np.random.default_rng(4)
    cameras = rng.integers(2, size=60)
    of_ids = by_id.evaluate_with_baselines(X, Y, ignore=SameGroup(cameras))
    of_names = by_id.evaluate_with_baselines(X, NAMES[Y], ignore=SameGroup(cameras))
    assert dict(of_ids["model"]) == pytest.approx(dict(of_names["model"]))
    wanted = evaluate(by_id.embed(X, verbose=0), Y, ignore=SameGroup(cameras))
    assert dict(of_ids["model"]) == pytest.approx(dict(wanted))


def test_baselines_without_positives_are_no_nan(by_id):
    with pytest.raises(ValueError, match="something is relevant"):
        by_id.evaluate_with_baselines(X[:4], [None] * 4)
    with pytest.warns(UserWarning, match="1 of 60 examples of `x`"):
        by_id.evaluate_with_baselines(X, [99, *Y[1:].tolist()])


def test_strangers_of_calibration(by_id):
    """-1 among queries and records stands for strangers: none is a match for another."""
    model = new_model()
    model.index(np.concatenate([X, -X[:20]]), [*Y, *[None] * 20], verbose=0)
    strangers = np.concatenate([QUERIES, -QUERIES])
    labels = [*WANTED.tolist(), *[None] * 30]
    calibration = model.calibrate(strangers, labels, verbose=0)
    neighbors = model.lookup(strangers, k=1, verbose=0)
    accepted = model.match(strangers) != -1
    right = (neighbors.labels[:, 0] == np.array([*WANTED, *[-2] * 30])) & accepted
    assert calibration.cutpoints["optimal"]["precision"] == pytest.approx(
        right.sum() / accepted.sum()
    )
