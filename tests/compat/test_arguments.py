"""Arguments that older libraries had work, or an error says what they are now."""

import keras
import numpy as np
import pytest

from tensorflow_similarity import losses, samplers, visualization
from tensorflow_similarity.callbacks import EvalCallback
from tensorflow_similarity.classification_metrics import make_classification_metric
from tensorflow_similarity.compat import arguments
from tensorflow_similarity.distances import Distance
from tensorflow_similarity.index import Index
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import MetricLoss, TripletLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.retrieval_metrics import BNDCG, MapAtK, PrecisionAtK, RecallAtK

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
    "EvalCallback": None,
    "MultiShotMemorySampler": lambda **old: samplers.MultiShotMemorySampler(X, Y, **old),
    "MultiShotFileSampler": lambda **old: samplers.MultiShotFileSampler(X, Y, **old),
    "SingleShotMemorySampler": lambda **old: samplers.SingleShotMemorySampler(
        X, lambda x, y: (x, y), **old
    ),
    "TFDataSampler": lambda **old: samplers.TFDataSampler(None, **old),
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
    [
        (function, name)
        for function, names in arguments.REMOVED.items()
        for name in names
        if OWNERS[function] is not None
    ],
)
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


def test_the_third_argument_of_lookup_was_verbose():
    made = model()
    made.index(X, Y, verbose=0)
    with pytest.raises(TypeError, match="verbose="):
        made.lookup(X[:2], 5, 0)
    assert made.lookup(X[:2], 5, None, verbose=0).ids.shape == (2, 5)


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


def test_queries_that_are_the_gallery():
    metric = PrecisionAtK(k=3)
    _, alone = logs_of(EvalCallback(X, Y, retrieval_metrics=[metric], metrics=()))
    dropping = PrecisionAtK(k=3, drop_closest_lookup=True)
    _, both = logs_of(EvalCallback(X, Y, X, Y, retrieval_metrics=[dropping], metrics=()))
    assert 0 < alone["precision@3"][0] <= 1
    assert set(both) == set(alone)
    with pytest.raises(ValueError, match="drop_closest_lookup"):
        EvalCallback(X, Y, retrieval_metrics=[dropping])


def test_names_and_objects_together():
    _, logs = logs_of(EvalCallback(X, Y, retrieval_metrics=["map@r", RecallAtK(k=2)]))
    assert {"val_map_at_r", "recall@2", "f1", "binary_accuracy"} <= set(logs)


@pytest.mark.parametrize("wrong", [["nonsense"], [3]])
def test_a_retrieval_metric_that_does_not_exist_is_refused_at_construction(wrong):
    with pytest.raises((TypeError, ValueError), match=str(wrong[0])):
        EvalCallback(X, Y, retrieval_metrics=wrong)


def test_early_stopping_on_the_name_that_was_given():
    callback = EvalCallback(X[:8], Y[:8], X, Y, metrics=["f1score"])
    stop = keras.callbacks.EarlyStopping("f1score", mode="max", patience=0, baseline=2.0)
    history = model().fit(X, Y, epochs=5, verbose=0, callbacks=[callback, stop]).history
    assert len(history["f1score"]) < 5


@pytest.mark.parametrize(
    "name",
    ["f1", "f1score", "f1_score", "fpr", "false_positive_rate", "npv", "negative_predictive_value"],
)
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
    with pytest.raises(ValueError, match="shape"):
        metric.compute(query_labels=[0, 1, 2, 3], **given)


def test_a_file_format_of_keras_2_is_refused(tmp_path):
    made = model()
    made.index(X, Y, verbose=0)
    for name in ("m.h5", "m.hdf5", "m"):
        with pytest.raises(ValueError, match=r"\.keras"):
            made.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
