"""Arguments that older libraries had work, or an error says what they are now."""

import copy
import dataclasses

import keras
import numpy as np
import pytest

from tensorflow_similarity import compat, losses, samplers, visualization
from tensorflow_similarity.calibration import ClassificationMatch, MatchNearest
from tensorflow_similarity.callbacks import EvalCallback, TrainingDoctor
from tensorflow_similarity.classification_metrics import make_classification_metric
from tensorflow_similarity.compat import arguments
from tensorflow_similarity.distances import Distance
from tensorflow_similarity.index import Index, Lookup
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import MarginLoss, MetricLoss, TripletLoss
from tensorflow_similarity.models import ContrastiveModel, SimilarityModel
from tensorflow_similarity.retrieval_metrics import BNDCG, MapAtK, PrecisionAtK, RecallAtK
from tensorflow_similarity.training_metrics import dist_gap

RNG = np.random.default_rng(0)
Y = np.arange(40) % 4
X = (np.eye(4)[Y] + 0.2 * RNG.normal(size=(40, 4))).astype("float32")


def model(compiled=True):
    inputs = keras.Input((4,))
    made = SimilarityModel(inputs, L2Embedding(3)(inputs))
    if compiled:
        made.compile("adam", loss=TripletLoss())
    return made


OWNERS = {
    "ContrastiveModel": lambda **old: ContrastiveModel(model(), **old),
    "EvalCallback": lambda **old: EvalCallback(X, Y, X, **old),
    "MetricLoss": lambda **old: MetricLoss(**old),
    "MultiShotMemorySampler": lambda **old: samplers.MultiShotMemorySampler(X, Y, **old),
    "MultiShotFileSampler": lambda **old: samplers.MultiShotFileSampler(X, Y, **old),
    "SingleShotMemorySampler": lambda **old: samplers.SingleShotMemorySampler(
        X, lambda x, y: (x, y), **old
    ),
    "TFDataSampler": lambda **old: samplers.TFDataSampler(None, **old),
    "TFRecordDatasetSampler": lambda **old: samplers.TFRecordDatasetSampler("absent", **old),
    "TFDatasetMultiShotMemorySampler": lambda **old: samplers.TFDatasetMultiShotMemorySampler(
        "mnist", 2, **old
    ),
    "projector": lambda **old: visualization.projector(X, **old),
    "SimilarityModel.calibrate": lambda **old: model().calibrate(X, Y, **old),
    "SimilarityModel.compile": lambda **old: model(False).compile("adam", TripletLoss(), **old),
    "SimilarityModel.create_index": lambda **old: model().create_index("cosine", **old),
    "SimilarityModel.index": lambda **old: model().index(X, Y, **old),
    "SimilarityModel.index_single": lambda **old: model().index_single(X[0], 1, **old),
    "SimilarityModel.save": lambda **old: model().save("m.keras", **old),
    "SimilarityModel.save_index": lambda **old: model().save_index("index", **old),
    "SimilarityModel.to_data_frame": lambda **old: model().to_data_frame(**old),
}


@pytest.mark.parametrize(
    ("function", "name"),
    [(function, name) for function, names in arguments.REMOVED.items() for name in names],
)
@pytest.mark.slow_cases("SimilarityModel.save-compression")
def test_an_argument_that_is_gone_says_what_to_write(function, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match=f"`{name}`") as raised:
        OWNERS[function](**{name: 1})
    assert arguments.removed(function, name) in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_an_argument_that_never_was_is_python_s_own_error():
    with pytest.raises(TypeError, match="never_was"):
        model().index(X, Y, never_was=1)
    assert arguments.removed("SimilarityModel.index", "never_was") is None


@pytest.fixture(scope="module")
def indexed():
    made = model()
    made.index(X, Y, verbose=0)
    made.calibrate(X, Y, verbose=0)
    return made


METRICS = [RecallAtK(k=2)]


@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (lambda m: m.lookup(X[:2], 5, 0), "verbose="),
        (lambda m: m.lookup(X[:2], 5, 1), "verbose="),
        (lambda m: m.match(X[:2], "optimal", -1, 1, "match_nearest", 0), "verbose="),
        (lambda m: m.evaluate_retrieval(X, Y, METRICS, 0), "verbose="),
        (lambda m: m.evaluate_classification(X, Y, 1, ["recall"], "match_nearest", 0), "verbose="),
        (lambda m: m.calibrate(X, Y, {}, 1, "f1", "match_nearest", [], 2), "rounded"),
        (lambda m: m.index(X, Y, None, True, 0), "`build`"),
        (lambda m: m.index(X, Y, None, False), "`build`"),
        (lambda m: m.index_single(X[0], 1, None, True), "`build`"),
        (lambda m: m.create_index("cosine", "nmslib", "memory", "memory"), "`kv_store`"),
        (lambda m: m.create_index("cosine", "nmslib", "cached"), "`kv_store`"),
        (lambda m: m.save_index("index", True), "compressed"),
        (lambda m: m.to_data_frame(0), "all"),
        (lambda m: m.compile("adam", TripletLoss(), ["accuracy"]), "`metrics=`"),
        (lambda m: m.compile("adam", TripletLoss(), [dist_gap("cosine")]), "`metrics=`"),
        (
            lambda m: m.compile(
                "adam", TripletLoss(), None, None, None, False, 1, "auto", None, "memory"
            ),
            "by name",
        ),
    ],
)
def test_positions_that_mean_something_else_are_refused(indexed, call, advice):
    before = len(indexed.vector_index)
    with pytest.raises(TypeError, match=advice):
        call(indexed)
    assert len(indexed.vector_index) == before


def test_positions_as_they_are_here(indexed):
    assert indexed.lookup(X[:2], 5, None, verbose=0).ids.shape == (2, 5)
    assert len(indexed.match(X[:2], "optimal", -1, 1, "match_nearest", 32)) == 2
    assert set(indexed.evaluate_retrieval(X, Y, METRICS, verbose=0)) == {METRICS[0].name}
    with pytest.raises(ValueError, match="drop_closest_lookup"):
        indexed.evaluate_retrieval(X, Y, METRICS, ids=np.arange(40), verbose=0)


def test_linear_search_has_another_name():
    with pytest.raises(ValueError, match='"exact"'):
        Index(2, search="linear")


def test_lookups_are_equal_by_what_they_hold(indexed):
    assert indexed.single_lookup(X[0]) == indexed.single_lookup(X[0])
    assert indexed.single_lookup(X[0]) != indexed.single_lookup(X[1])
    assert indexed.lookup(X[:3], verbose=0) == indexed.lookup(X[:3], verbose=0)
    assert indexed.lookup(X[:3], verbose=0) != indexed.lookup(X[1:4], verbose=0)
    assert indexed.lookup(X[:3], verbose=0) != indexed.lookup(X[:3], k=2, verbose=0)
    first = indexed.single_lookup(X[0])[0]
    assert first in indexed.single_lookup(X[0])
    assert indexed.single_lookup(X[0]).index(first) == 0


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Lookup)])
def test_a_lookup_that_differs_in_one_field_is_another(name):
    made = {
        "rank": 1,
        "distance": 0.5,
        "label": 2,
        "embedding": np.array([1.0, np.nan]),
        "data": np.array(["a"]),
        "id": 3,
        "key": "y",
    }
    assert Lookup(**made) == Lookup(**{key: copy.copy(value) for key, value in made.items()})
    for other in (None, 7.0, np.array([1.0, 2.0, 3.0]), np.array(["b"]), "x", [1]):
        assert Lookup(**made) != Lookup(**{**made, name: other})
        assert Lookup(**{**made, name: other}) != Lookup(**made)


class Farthest(ClassificationMatch):
    def __init__(self, name="far"):
        super().__init__(name=name, canonical_name="match_far")

    def derive_match(self, lookup_labels, lookup_distances):
        return lookup_labels[:, -1], lookup_distances[:, -1]


class Unnamed(ClassificationMatch):
    def derive_match(self, lookup_labels, lookup_distances):
        return lookup_labels[:, -1], lookup_distances[:, -1]


@keras.saving.register_keras_serializable("tests")
class Nth(MatchNearest):
    def __init__(self, n=0):
        super().__init__()
        self.n = n

    def derive_match(self, lookup_labels, lookup_distances):
        return lookup_labels[:, self.n], lookup_distances[:, self.n]

    def get_config(self):
        return {"n": self.n}


@pytest.mark.further("matcher2")
@pytest.mark.parametrize("matcher", [Farthest(), Unnamed(), Nth(1)])
def test_a_matcher_of_one_s_own_is_that_of_the_calibration(matcher, tmp_path):
    made = model()
    made.index(X, Y, verbose=0)
    made.calibrate(X, Y, k=3, matcher=matcher, verbose=0)
    wanted = made.match(X, matcher=matcher)
    np.testing.assert_array_equal(made.match(X), wanted)
    measured = made.evaluate_classification(X, Y, verbose=0)
    assert measured == made.evaluate_classification(X, Y, matcher=matcher, verbose=0)
    made.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.match(X, matcher=matcher), wanted)
    assert again.vector_index.calibration == made.vector_index.calibration
    if isinstance(matcher, Nth):
        np.testing.assert_array_equal(again.match(X), wanted)
        return
    with pytest.raises(ValueError, match=rf"{type(matcher).__name__}.*`matcher=`"):
        again.match(X)
    again.save(tmp_path / "again.keras")
    with keras.saving.custom_object_scope({type(matcher).__name__: type(matcher)}):
        third = keras.saving.load_model(tmp_path / "again.keras")
    np.testing.assert_array_equal(third.match(X), wanted)


@pytest.mark.further
@pytest.mark.parametrize(
    "callback", [lambda **k: TrainingDoctor(X, Y, **k), lambda **k: EvalCallback(X, Y, **k)]
)
@pytest.mark.parametrize("loss", ["mse", MarginLoss(beta=1.0, distance=None)])
def test_callbacks_on_a_plain_model_advise_what_it_has(callback, loss):
    plain = keras.Sequential([keras.Input((4,)), L2Embedding(3)])
    plain.compile("adam", loss="mse")
    plain.loss = loss
    with pytest.raises(ValueError, match="Pass distance= to the callback") as raised:
        plain.fit(X, X[:, :3], verbose=0, callbacks=[callback()])
    assert "compile" not in str(raised.value)
    plain.compile("adam", loss="mse")
    plain.fit(X, X[:, :3], verbose=0, callbacks=[callback(distance="cosine")])


@pytest.mark.parametrize("inside", [".", "index"])
def test_a_folder_of_others_is_left_as_it_was(inside, tmp_path):
    (tmp_path / inside).mkdir(exist_ok=True)
    np.savez(tmp_path / inside / "index.npz", embeddings=np.eye(2))
    before = sorted(tmp_path.rglob("*"))
    for read in (Index.open, Index.load, model().load_index):
        with pytest.raises((ValueError, OSError), match="convert_index"):
            read(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_loss_of_a_function_says_how_losses_are_written():
    def fn(query_labels, query_embeddings, key_labels, key_embeddings, remove_diagonal=True):
        return query_embeddings

    class Mine(MetricLoss):
        def __init__(self):
            super().__init__(fn, name="mine", distance="cosine")

    for make in (Mine, lambda: MetricLoss(fn), lambda: MetricLoss(fn, "sum", "mine")):
        with pytest.raises(TypeError, match="row_loss"):
            make()


def test_a_distance_with_call_says_how_distances_are_written():
    with pytest.raises(TypeError, match="pairwise"):

        class Chebyshev(Distance):
            def __init__(self):
                super().__init__("chebyshev", [])

            def call(self, query_embeddings, key_embeddings):
                return query_embeddings


@pytest.mark.parametrize(
    "use", [lambda f: losses.TripletHardLoss(distance_metric=f), lambda f: Index(2, distance=f)]
)
def test_a_distance_of_one_argument_says_where_it_works(use):
    with pytest.raises(TypeError, match=r"compat\.tensorflow_addons"):
        use(lambda embeddings: embeddings)


def logs_of(callback, epochs=1):
    made = model()
    history = made.fit(X, Y, batch_size=40, epochs=epochs, verbose=0, callbacks=[callback])
    return made, history.history


@pytest.mark.further
def test_eval_callback_takes_the_positional_arguments_of_0_17():
    metrics = [MapAtK(r=dict.fromkeys(range(4), 10), k=3), RecallAtK(k=2), BNDCG(k=3)]
    callback = EvalCallback(
        X[:8],
        Y[:8],
        X,
        Y,
        "cosine",
        ["binary_accuracy", "f1score"],
        None,
        3,
        "match_nearest",
        [0.4],
        [0, 1],
        metrics,
    )
    made, logs = logs_of(callback)
    made.index(X, Y, verbose=0)
    found = made.evaluate_retrieval(X[:8], Y[:8], metrics, verbose=0)
    for metric in metrics:
        for part in ("", "_known_classes", "_unknown_classes"):
            assert len(logs[f"{metric.name}{part}"]) == 1
        assert logs[metric.name][0] == pytest.approx(found[metric.name])
    assert {"f1score", "binary_accuracy", "f1score_known_classes"} <= set(logs)
    assert not any(name.startswith("val_") for name in logs)


@pytest.mark.further
def test_queries_that_are_the_gallery():
    metric = PrecisionAtK(k=3)
    _, alone = logs_of(EvalCallback(X, Y, retrieval_metrics=[metric], metrics=()))
    dropping = PrecisionAtK(k=3, drop_closest_lookup=True)
    _, both = logs_of(EvalCallback(X, Y, X, Y, retrieval_metrics=[dropping], metrics=()))
    assert 0 < alone["precision@3"][0] <= 1
    assert set(both) == set(alone)
    with pytest.raises(ValueError, match="drop_closest_lookup"):
        EvalCallback(X, Y, retrieval_metrics=[dropping])


def test_recall_means_one_thing(indexed):
    queries = X[:9] + np.float32(0.3)
    named = indexed.evaluate_retrieval(
        queries, Y[:9], ["recall@4", "hit_rate@4", "precision@4"], verbose=0
    )
    assert named["recall@4"] < named["hit_rate@4"]
    for metric in (RecallAtK(k=4), PrecisionAtK(k=4)):
        (found,) = indexed.evaluate_retrieval(queries, Y[:9], [metric], verbose=0).items()
        assert found == (metric.name, pytest.approx(named[metric.name]))
    old = compat.tensorflow_similarity.RecallAtK(k=4)
    assert indexed.evaluate_retrieval(queries, Y[:9], [old], verbose=0) == {
        "recall@4": pytest.approx(named["hit_rate@4"])
    }


@pytest.mark.further
def test_names_and_objects_together():
    _, logs = logs_of(EvalCallback(X, Y, retrieval_metrics=["map@r", RecallAtK(k=2)]))
    assert {"val_map_at_r", "hit_rate@2", "f1", "binary_accuracy"} <= set(logs)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("distance", "nonsense"),
        ("metrics", ["nonsense"]),
        ("tb_logdir", 3),
        ("k", 0),
        ("matcher", "nonsense"),
        ("distance_thresholds", "x"),
        ("distance_thresholds", []),
        ("distance_thresholds", [0.1, np.nan]),
        ("freq", "batch"),
        ("batch_size", 0),
    ],
)
def test_what_cannot_be_is_refused_at_construction(name, value):
    metric = "metric" if name == "metrics" else f"`{name}`"
    with pytest.raises((TypeError, ValueError), match=metric):
        EvalCallback(X, Y, **{name: value})


@pytest.mark.parametrize("wrong", [["nonsense"], [3]])
def test_a_retrieval_metric_that_does_not_exist_is_refused_at_construction(wrong):
    with pytest.raises((TypeError, ValueError), match=str(wrong[0])):
        EvalCallback(X, Y, retrieval_metrics=wrong)


@pytest.mark.further
def test_early_stopping_on_the_name_that_was_given():
    callback = EvalCallback(X[:8], Y[:8], X, Y, metrics=["f1score"])
    stop = keras.callbacks.EarlyStopping("f1score", mode="max", patience=0, baseline=2.0)
    history = model().fit(X, Y, epochs=5, verbose=0, callbacks=[callback, stop]).history
    assert len(history["f1score"]) < 5


@pytest.mark.parametrize(
    "name",
    ["f1", "f1score", "f1_score", "fpr", "false_positive_rate", "npv", "negative_predictive_value"],
)
@pytest.mark.further("false_positive_rate", "npv", "negative_predictive_value")
def test_thresholds_are_found_under_the_name_that_was_given(name):
    made = model()
    made.index(X, Y, verbose=0)
    found = made.calibrate(X, Y, extra_metrics=[name], verbose=0)
    assert name in found.thresholds
    assert name in found.cutpoints["optimal"]
    assert make_classification_metric(name).name == name
    assert make_classification_metric(name, "mine").name == "mine"


@pytest.mark.parametrize("metric", [BNDCG(k=2), PrecisionAtK(k=2), MapAtK(k=2), RecallAtK(k=2)])
@pytest.mark.parametrize(
    "given",
    [
        {"match_mask": np.ones((2, 2), bool)},
        {"lookup_labels": np.ones((2, 2), int)},
        {"match_mask": np.ones((4, 2), bool), "lookup_distances": np.ones((2, 2))},
        {"match_mask": np.ones((4, 2), bool), "lookup_distances": np.ones((4, 3))},
        {"match_mask": np.ones((4, 1), bool)},
    ],
)
def test_lookups_of_other_queries_are_refused(metric, given):
    with pytest.raises(ValueError, match=r"shape|one label per example"):
        metric.compute(query_labels=[0, 1, 2, 3], **given)


def test_a_file_format_of_keras_2_is_refused(tmp_path):
    made = model()
    made.index(X, Y, verbose=0)
    for name in ("m.h5", "m.hdf5", "m"):
        with pytest.raises(ValueError, match=r"\.keras"):
            made.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
