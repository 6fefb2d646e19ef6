"""Callbacks with labels as people have them, checked when they are made."""

import warnings

import keras
import numpy as np
import pytest

from tensorflow_similarity.callbacks import EmbeddingProjector, EvalCallback, TrainingDoctor
from tensorflow_similarity.evaluation import SameGroup, evaluate
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import MultiSimilarityLoss, TripletLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.targets import Targets

NAMES = np.array(["lynx", "fox", "otter", "mink"])
rng = np.random.default_rng(0)
Y = np.arange(40) % 4
X = (np.eye(4)[Y] + 0.4 * rng.normal(size=(40, 4))).astype(np.float32)
TARGETS, OF_TARGETS = X[:24] + 0.1, Y[:24]
TAGS = rng.random((40, 5)) < 0.4
TAGS[:, 0] |= ~TAGS.any(axis=1)


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((4,))
    model = SimilarityModel(inputs, L2Embedding(4, kernel_initializer="identity")(inputs))
    model.compile("sgd", TripletLoss())
    return model


def evaluated(model, *args, **kwargs):
    callback = EvalCallback(*args, **kwargs)
    callback.set_model(model)
    callback.on_train_begin()
    return callback.evaluate()


@pytest.mark.parametrize(
    ("error", "match", "labels"),
    [
        (ValueError, r"`query_labels`.*expected 40.*39", Y[1:]),
        (ValueError, r"`query_labels`.*Targets.multi_hot", TAGS.astype(int)),
        (ValueError, r"`query_labels`.*Targets.one_hot", np.eye(4)[Y]),
        (TypeError, "`query_labels`", Y + 0.5),
        (ValueError, r"`query_labels`.*NaN", np.where(Y == 0, np.nan, Y)),
        (TypeError, r"`query_labels`.*not both", [*Y[:-1].tolist(), "fox"]),
        (TypeError, "`query_labels`", Y == 1),
        (ValueError, "`query_labels` must hold", None),
        (ValueError, "something is relevant", np.arange(40)),
        (ValueError, "something is relevant", [None] * 40),
        (TypeError, "kind", Targets.pairs(np.zeros(40))),
    ],
)
def test_labels_are_checked_when_it_is_made(error, match, labels):
    with pytest.raises(error, match=match):
        EvalCallback(X, labels)


@pytest.mark.parametrize(
    ("error", "match", "labels"),
    [
        (ValueError, r"`target_labels`.*expected 24", Y),
        (TypeError, r"names", NAMES[OF_TARGETS]),
        (ValueError, "something is relevant", OF_TARGETS + 10),
    ],
)
def test_targets_are_checked_when_it_is_made(error, match, labels):
    with pytest.raises(error, match=match):
        EvalCallback(X, Y, TARGETS, labels)


@pytest.mark.parametrize(
    ("match", "options"),
    [
        ("ignore", {"ignore": SameGroup(Y[1:])}),
        ("ignore", {"ignore": np.zeros((40, 39), bool)}),
        ("relevance", {"relevance": np.zeros((3, 40))}),
        ("something is relevant", {"relevance": np.zeros((40, 40))}),
        ("something is relevant", {"ignore": np.ones((40, 40), bool)}),
        ("known_classes", {"known_classes": [7]}),
        ("known_classes", {"known_classes": range(4)}),
    ],
)
def test_pairs_and_classes_are_checked_when_it_is_made(match, options):
    with pytest.raises(ValueError, match=match):
        EvalCallback(X, Y, **options)


def test_a_group_of_queries_without_positives_is_no_nan():
    labels = np.where(np.arange(40) < 38, Y % 2, 2 + np.arange(40) % 2)
    with pytest.raises(ValueError, match="_unknown_classes"):
        EvalCallback(X, labels, known_classes=[0, 1])


def test_what_is_alone_in_its_class_is_said():
    labels = Y.copy()
    labels[:2] = [50, 51]
    with pytest.warns(UserWarning, match="2 of 40 `queries`") as caught:
        EvalCallback(X, labels)
    assert caught[0].filename == __file__


def test_examples_that_do_not_fit_the_model_are_said_before_training(model):
    callback = EvalCallback(X[:, :3], Y)
    with pytest.raises(Exception, match="4"):
        model.fit(X, Y, epochs=1, verbose=0, callbacks=[callback])
    assert callback.result is None


def test_datasets_are_looked_at_when_it_is_made():
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices((X, NAMES[Y])).batch(8)
    EvalCallback(batches)
    with pytest.raises(ValueError, match="`query_labels` must hold"):
        EvalCallback(batches.map(lambda x, y: x))
    with pytest.raises(ValueError, match=r"Targets.one_hot"):
        EvalCallback(tf.data.Dataset.from_tensor_slices((X, np.eye(4)[Y])).batch(8))
    with pytest.raises(TypeError, match="`query_labels`"):
        EvalCallback(tf.data.Dataset.from_tensor_slices((X, Y + 0.5)).batch(8))
    with pytest.raises(ValueError, match="at least one"):
        EvalCallback(batches.take(0))


def test_a_dataset_without_positives_is_an_error_and_no_nan(model):
    import tensorflow as tf

    alone = tf.data.Dataset.from_tensor_slices((X, np.arange(40))).batch(8)
    with pytest.raises(ValueError, match="something is relevant"):
        evaluated(model, alone)


def test_names_give_what_ids_give(model):
    import tensorflow as tf

    wanted = evaluated(model, X, Y, known_classes=[0, 1])
    assert evaluated(model, X, NAMES[Y], known_classes=["lynx", "fox"]) == pytest.approx(wanted)
    dataset = tf.data.Dataset.from_tensor_slices((X, NAMES[Y])).batch(16)
    assert evaluated(model, dataset, known_classes=["lynx", "fox"]) == pytest.approx(wanted)
    wanted = evaluated(model, X, Y, TARGETS, OF_TARGETS)
    found = evaluated(model, X, NAMES[Y].tolist(), TARGETS, NAMES[OF_TARGETS].tolist())
    assert found == pytest.approx(wanted)


def test_unknown_queries_and_targets(model):
    known = np.arange(40) >= 6
    labels = [label if there else None for label, there in zip(Y.tolist(), known, strict=True)]
    found = evaluated(model, X, labels, TARGETS, OF_TARGETS, metrics=())
    wanted = evaluated(model, X[known], Y[known], TARGETS, OF_TARGETS, metrics=())
    assert found == pytest.approx(wanted)
    ignored = np.where(known, Y, 99)
    again = evaluated(model, X, ignored, TARGETS, OF_TARGETS, metrics=(), ignore_class=99)
    assert again == pytest.approx(wanted)


def test_it_takes_what_evaluate_takes(model):
    embeddings = model.embed(X, verbose=0)
    cameras = rng.integers(2, size=40)
    paths = Targets.hierarchy(np.stack([Y % 2, Y], axis=1))
    for labels, options in (
        (Targets.multi_hot(TAGS), {}),
        (TAGS, {"relevance": "jaccard"}),
        (paths, {}),
        (Y, {"ignore": SameGroup(cameras)}),
        (Y, {"relevance": TAGS.astype(float) @ TAGS.T}),
    ):
        found = evaluated(
            model, X, labels, retrieval_metrics=["ndcg@5", "map@r"], prefix="", **options
        )
        wanted = evaluate(embeddings, labels, metrics=["ndcg@5", "map@r"], **options)
        assert found["ndcg_at_5"] == pytest.approx(wanted["ndcg@5"])
        assert found["map_at_r"] == pytest.approx(wanted["map@r"])
        assert ("f1" in found) == (not isinstance(labels, np.ndarray) and labels is paths) or (
            labels is Y and "f1" in found
        )
    with pytest.raises(TypeError, match=r"metrics=\(\)"):
        EvalCallback(X, Targets.multi_hot(TAGS), metrics=["f1"])


def test_whole_floats_warn_when_it_is_made_and_no_more(model):
    with pytest.warns(UserWarning, match="whole numbers") as caught:
        callback = EvalCallback(X, Y.astype(np.float32))
    assert len(caught) == 1
    callback.set_model(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert callback.evaluate() == pytest.approx(evaluated(model, X, Y))


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (ValueError, "expected 40", {"y": Y[1:]}),
        (TypeError, "`y`", {"y": Y + 0.5}),
        (ValueError, "Targets", {"y": TAGS.astype(int)}),
        (ValueError, "`y` must hold", {}),
        (ValueError, r"metadata.*expected 40", {"y": Y, "metadata": {"file": ["a"]}}),
        (ValueError, r"images.*\[40", {"y": Y, "images": np.zeros((3, 4, 4))}),
        (ValueError, "`name`", {"y": Y, "name": "a b"}),
    ],
)
def test_the_projector_checks_when_it_is_made(error, match, arguments, tmp_path):
    with pytest.raises(error, match=match):
        EmbeddingProjector(tmp_path, X, **arguments)


def test_the_projector_writes_names(model, tmp_path):
    for labels, expected in (
        (NAMES[Y].tolist(), NAMES[Y].tolist()),
        (
            Targets.label_sets([{"b", "a"} if c else {"a"} for c in Y]),
            ["a b" if c else "a" for c in Y],
        ),
    ):
        callback = EmbeddingProjector(tmp_path, X, labels)
        callback.set_model(model)
        callback.write()
        written = (tmp_path / "embedding.tsv").read_text(encoding="utf-8").splitlines()
        assert written == expected


class TestDoctor:
    @pytest.mark.parametrize(
        ("error", "match", "y"),
        [
            (ValueError, "expected 40", Y[1:]),
            (TypeError, "`y`", Y + 0.5),
            (ValueError, "Targets", TAGS.astype(int)),
            (ValueError, "`y` must hold", None),
        ],
    )
    def test_labels_are_checked_when_it_is_made(self, error, match, y):
        with pytest.raises(error, match=match):
            TrainingDoctor(X, y)

    def examined(self, model, *args, **kwargs):
        doctor = TrainingDoctor(*args, freq=1, **kwargs)
        doctor.set_model(model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            doctor.on_train_begin()
            for step in range(2):
                doctor.on_train_batch_end(step)
        return doctor

    def test_sorted_data_are_seen_in_their_order(self, model):
        order = np.argsort(Y, kind="stable")
        inorder = self.examined(model, X[order], Y[order], batch_size=10, shuffle=False)
        assert [finding.name for finding in inorder.findings] == ["no_negatives"]
        shuffled = self.examined(model, X[order], Y[order], batch_size=10)
        assert "no_negatives" not in [finding.name for finding in shuffled.findings]

    @pytest.mark.parametrize("dataset", [False, True])
    @pytest.mark.parametrize("named", [False, True])
    @pytest.mark.further("True-True")
    def test_findings_tell_positions_and_names(self, model, dataset, named):
        import tensorflow as tf

        x = X.copy()
        x[6], x[21] = x[3], x[3]  # Of classes 2, 1 and 3.
        y = NAMES[Y] if named else Y
        data = (x, y)
        if dataset:
            data = (tf.data.Dataset.from_tensor_slices((x, y)).batch(20).repeat(1),)
        doctor = self.examined(model, *data, batch_size=40)
        (finding,) = (f for f in doctor.findings if f.name == "suspicious_labels")
        classes = {3: y[3], 6: y[6], 21: y[21]}
        for (a, b), (i, j) in zip(
            finding.details["conflicts"], finding.details["positions"], strict=True
        ):
            assert (a, b) == (classes[i], classes[j])
        assert (3, 6) in finding.details["positions"]
        assert "positions 3 and 6" in str(finding)

    def test_unknown_examples_are_left_out(self, model):
        labels = [None if i < 8 else c for i, c in enumerate(Y.tolist())]
        doctor = self.examined(model, X, labels, batch_size=40)
        kept = self.examined(model, X[8:], Y[8:], batch_size=32)
        assert doctor.history[0].separation == pytest.approx(kept.history[0].separation)


class TestSortedValidation:
    @pytest.mark.further
    def test_it_is_said(self):
        inputs = keras.Input((4,))
        model = SimilarityModel(inputs, L2Embedding(4)(inputs))
        order = np.argsort(Y, kind="stable")
        for loss in (TripletLoss(), MultiSimilarityLoss()):
            model.compile("sgd", loss)
            with pytest.warns(UserWarning, match="sorted by class"):
                model.evaluate(X[order], Y[order], batch_size=5, verbose=0)
            with pytest.warns(UserWarning, match="sorted by class"):
                model.fit(
                    X,
                    Y,
                    batch_size=20,
                    verbose=0,
                    validation_data=(X[order], Y[order]),
                    validation_batch_size=10,
                )
            model.fit(X, Y, batch_size=20, verbose=0, validation_data=(X, Y))
            model.evaluate(X[order], Y[order], batch_size=40, verbose=0)
            model.evaluate(X, np.zeros(40, int), batch_size=10, verbose=0)

    @pytest.mark.further
    @pytest.mark.parametrize("kind", ["tf.data", "PyDataset"])
    def test_it_is_said_of_datasets(self, kind):
        inputs = keras.Input((4,))
        model = SimilarityModel(inputs, L2Embedding(4)(inputs))
        model.compile("sgd", TripletLoss())
        order = np.argsort(Y, kind="stable")
        data = batched(kind, X[order], Y[order])
        with pytest.warns(UserWarning, match="hold one class each") as caught:
            model.fit(X, Y, batch_size=20, epochs=2, verbose=0, validation_data=data)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        with pytest.warns(UserWarning, match="hold one class each"):
            model.evaluate(data, verbose=0)
        mixed = batched(kind, X, Y)
        model.fit(X, Y, batch_size=20, verbose=0, validation_data=mixed)
        model.evaluate(mixed, verbose=0)

    @pytest.mark.further
    def test_a_generator_loses_no_batch_by_it(self):
        inputs = keras.Input((4,))
        model = SimilarityModel(inputs, L2Embedding(4)(inputs))
        model.compile("sgd", TripletLoss())
        order = np.argsort(Y, kind="stable")
        given = ((X[i : i + 8], Y[i : i + 8]) for i in range(0, 40, 8))
        assert np.isfinite(model.evaluate(given, steps=5, verbose=0))
        assert list(given) == []
        batches = batched("tf.data", X[order], Y[order], size=40)
        model.evaluate(batches, verbose=0)  # one batch, with all classes


def batched(kind, x, y, size=5):
    """The arrays as a dataset of batches."""
    if kind == "tf.data":
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices((x, y)).batch(size)

    class InOrder(keras.utils.PyDataset):
        def __len__(self):
            return len(x) // size

        def __getitem__(self, i):
            return x[i * size : (i + 1) * size], y[i * size : (i + 1) * size]

    return InOrder()


def test_datasets_of_several_labels_say_so(model):
    import tensorflow as tf

    tags = TAGS | np.eye(40, 5, dtype=bool)
    tags[:, 0] |= ~tags.any(axis=1)
    dataset = tf.data.Dataset.from_tensor_slices((X, tags.astype(np.float32))).batch(16)
    with pytest.raises(ValueError, match=r"Targets.multi_hot"):
        EvalCallback(dataset)
    wanted = evaluated(model, X, Targets.multi_hot(tags))
    assert evaluated(model, dataset, Targets.multi_hot) == pytest.approx(wanted)
    model.reset_index()
    model.index(X, Y, verbose=0)
    options = {"record_labels": Targets.multi_hot(tags), "ids": np.arange(40), "verbose": 0}
    found = model.evaluate_retrieval(dataset, Targets.multi_hot, "map@r", **options)
    by_array = model.evaluate_retrieval(X, Targets.multi_hot(tags), "map@r", **options)
    assert dict(found) == pytest.approx(dict(by_array))
    assert found["map@r"] == pytest.approx(wanted["val_map_at_r"])
    with pytest.raises(ValueError, match="0 and 1"):
        EvalCallback(dataset.map(lambda x, y: (x, y + 1)), Targets.multi_hot)
