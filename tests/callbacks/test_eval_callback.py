"""EvalCallback: the values in the logs are those of evaluating by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity.callbacks import EvalCallback
from tensorflow_similarity.evaluation import evaluate
from tensorflow_similarity.index import Index
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import MultiShotMemorySampler

NAMES = ["precision@1", "hit_rate@4", "r_precision", "map@r"]
RETRIEVAL = ["val_precision_at_1", "val_hit_rate_at_4", "val_r_precision", "val_map_at_r"]


def data(n=60, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return (np.eye(6)[y] + 0.6 * rng.normal(size=(n, 6))).astype("float32"), y


def similarity_model(loss=None, rate=0.05):
    inputs = keras.Input((6,))
    model = SimilarityModel(inputs, L2Embedding(3)(inputs))
    # Without tracing these few steps are faster.
    model.compile(
        keras.optimizers.SGD(rate), TripletLoss() if loss is None else loss, run_eagerly=True
    )
    return model


def fit(model, *callbacks, epochs=1, **options):
    x, y = data(seed=9)
    return model.fit(
        x, y, batch_size=20, epochs=epochs, shuffle=False, verbose=0,
        callbacks=list(callbacks), **options,
    ).history  # fmt: skip


@pytest.mark.further
def test_logs_hold_what_evaluate_finds():
    x, y = data()
    targets, target_labels = data(40, seed=1)
    model = similarity_model()
    callback = EvalCallback(x, y, targets, target_labels)
    history = fit(model, callback, epochs=2)
    expected = evaluate(
        model.embed(x, verbose=0), y, model.embed(targets, verbose=0), target_labels,
        distance="cosine", metrics=NAMES,
    )  # fmt: skip
    for name, key in zip(NAMES, RETRIEVAL, strict=True):
        assert len(history[key]) == 2
        assert history[key][-1] == pytest.approx(expected[name], rel=1e-6)
    assert callback.result.interval("map@r") == pytest.approx(expected.interval("map@r"))
    assert callback.seconds > 0


def test_queries_among_each_other():
    x, y = data()
    model = similarity_model()
    history = fit(model, EvalCallback(x, y, metrics=["precision"], k=2))
    embeddings = model.embed(x, verbose=0)
    expected = evaluate(embeddings, y, metrics=NAMES)
    assert history["val_map_at_r"] == [pytest.approx(expected["map@r"], rel=1e-6)]
    # With no limit to the distance, precision is that of the nearest neighbour.
    assert history["precision"] == [pytest.approx(expected["precision@1"])]
    assert set(history) == {"loss", "precision", *RETRIEVAL}


def test_arguments_of_the_earlier_library():
    x, y = data()
    targets, target_labels = data(40, seed=1)
    model = similarity_model()
    callback = EvalCallback(
        x, y, targets, target_labels, "cosine", ["binary_accuracy", "f1score"], None, 3,
        "match_majority_vote", [0.05],
    )  # fmt: skip
    history = fit(model, callback)
    index = Index(3, distance="cosine")
    index.add(model.embed(targets, verbose=0), labels=target_labels)
    found = index.lookup(model.embed(x, verbose=0), k=3)
    right = wrong = none = 0
    for labels, distances, label in zip(found.labels, found.distances, y, strict=True):
        votes = [list(labels).count(each) for each in labels]
        vote = labels[votes.index(max(votes))]
        accepted = np.mean(distances) <= 0.05
        right += accepted and vote == label
        wrong += accepted and vote != label
        none += not accepted and vote == label
    assert history["f1score"] == [pytest.approx(2 * right / (2 * right + wrong + none))]
    assert 0 < history["f1score"][0] < 1
    assert "binary_accuracy" in history


def test_known_and_unknown_classes_apart():
    x, y = data()
    model = similarity_model()
    history = fit(model, EvalCallback(x, y, known_classes=[0, 3, 17]))
    result = evaluate(model.embed(x, verbose=0), y, metrics="map@r").per_query["map@r"]
    known = (y == 0) | (y == 3)
    for suffix, mask in (("", y >= 0), ("_known_classes", known), ("_unknown_classes", ~known)):
        value = history[f"val_map_at_r{suffix}"]
        assert value == [pytest.approx(result[mask].mean(), rel=1e-6)]
        assert f"binary_accuracy{suffix}" in history


@pytest.mark.parametrize("kind", ["dataset", "sampler", "list"])
@pytest.mark.further("sampler")
def test_other_data(kind):
    x, y = data()
    model = similarity_model()
    if kind == "dataset":
        queries, labels = tf.data.Dataset.from_tensor_slices((x, y)).batch(16).repeat(2), None
    elif kind == "sampler":
        queries, labels = MultiShotMemorySampler(x, y, 5, 12, steps_per_epoch=2, seed=0), None
    else:
        queries, labels = x.tolist(), y.tolist()
    history = fit(model, EvalCallback(queries, labels))
    # Examples that are repeated do not find themselves.
    expected = evaluate(model.embed(x, verbose=0), y, metrics="map@r")
    assert history["val_map_at_r"] == [pytest.approx(expected["map@r"], rel=1e-6)]


def test_plain_keras_model_and_another_output():
    x, y = data()
    inputs = keras.Input((6,))
    embedding = keras.layers.Dense(3, name="embedding")(inputs)
    outputs = keras.layers.Dense(5)(embedding)
    model = keras.Model(inputs, outputs)
    model.compile(
        "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True
    )
    callback = EvalCallback(x, y, distance="euclidean", embedding_output="embedding")
    history = fit(model, callback)
    inner = keras.Model(inputs, embedding).predict(x, verbose=0)
    expected = evaluate(inner, y, distance="euclidean")
    assert history["val_map_at_r"] == [pytest.approx(expected["map@r"], rel=1e-5)]


def test_distance_follows_the_loss_of_a_plain_model():
    x, y = data()
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    model.compile("sgd", TripletLoss(distance="manhattan"), run_eagerly=True)
    history = fit(model, EvalCallback(x, y))
    expected = evaluate(model.predict(x, verbose=0), y, distance="manhattan")
    assert history["val_map_at_r"] == [pytest.approx(expected["map@r"], rel=1e-6)]


@pytest.mark.further
def test_every_few_steps():
    x, y = data()
    callback = EvalCallback(x, y, freq=4, metrics=())
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append("val_map_at_r" in logs)

    history = fit(similarity_model(), callback, Watch(), epochs=3)  # 3 steps each.
    # After the 4th and the 8th of the 9; the first epoch has none, and is evaluated at its end.
    assert seen == [False] * 3 + [True] + [False] * 3 + [True, False]
    assert len(history["val_map_at_r"]) == 3


@pytest.mark.further
def test_other_callbacks_see_the_values(tmp_path):
    x, y = data()
    path = tmp_path / "best.keras"
    stop = keras.callbacks.EarlyStopping("val_map_at_r", mode="max", min_delta=2, patience=2)
    best = keras.callbacks.ModelCheckpoint(path, "val_map_at_r", mode="max", save_best_only=True)
    history = fit(similarity_model(), EvalCallback(x, y, metrics=()), stop, best, epochs=6)
    assert len(history["val_map_at_r"]) == 3  # Nothing improves by 2.
    again = keras.saving.load_model(path)
    found = evaluate(again.embed(x, verbose=0), y)["map@r"]
    assert found == pytest.approx(max(history["val_map_at_r"]), rel=1e-5)


def test_the_index_of_the_model_is_left_alone():
    x, y = data()
    model = similarity_model(rate=0.0)
    model.index(x, y, verbose=0)
    before = model.lookup(x[:3], verbose=0).distances
    fit(model, EvalCallback(x, y))
    assert model.index_size() == 60
    np.testing.assert_array_equal(model.lookup(x[:3], verbose=0).distances, before)


def test_embeddings_that_overflowed_are_nan_and_no_error():
    x, y = data()
    model = similarity_model(rate=0.0)
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    history = fit(model, EvalCallback(x, y))
    assert all(np.isnan(history[key]).all() for key in [*RETRIEVAL, "binary_accuracy"])


@pytest.mark.further
def test_prints_its_cost_only_if_asked(capsys):
    x, y = data()
    fit(similarity_model(), EvalCallback(x, y))
    assert capsys.readouterr().out == ""
    targets, target_labels = data(40, seed=1)
    fit(similarity_model(), EvalCallback(x, y, targets, target_labels, verbose=1))
    assert "Evaluation of 60 queries against 40 targets: " in capsys.readouterr().out


@pytest.mark.further
def test_scalars_of_its_own(tmp_path):
    x, y = data()
    history = fit(similarity_model(), EvalCallback(x, y, tb_logdir=tmp_path), epochs=2)
    (file,) = (tmp_path / "index").iterdir()
    found = {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            found.setdefault(value.tag, []).append(float(tf.make_ndarray(value.tensor)))
    assert found["val_map_at_r"] == pytest.approx(history["val_map_at_r"], rel=1e-6)


def test_errors():
    x, y = data()
    with pytest.raises(ValueError, match="`queries` must be something that can be iterated again"):
        EvalCallback(iter([(x, y)]))
    with pytest.raises(ValueError, match="`target_labels` describe `targets`"):
        EvalCallback(x, y, target_labels=y)
    with pytest.raises(ValueError, match="Unknown metric"):
        EvalCallback(x, y, retrieval_metrics=["accuracy@2"])
    with pytest.raises(ValueError, match="Unknown classification metric"):
        EvalCallback(x, y, metrics=["map@r"])
    with pytest.raises(ValueError, match="`freq` must be 'epoch' or a number of steps"):
        EvalCallback(x, y, freq="batch")
    with pytest.raises(ValueError, match="Unknown `distance`"):
        EvalCallback(x, y, distance="chebyshev")
    with pytest.raises(ValueError, match="`query_labels` must hold the class id"):
        fit(similarity_model(), EvalCallback(x))
    with pytest.raises(ValueError, match="Received: 60 of 60 queries are of known classes"):
        fit(similarity_model(), EvalCallback(x, y, known_classes=range(5)))
