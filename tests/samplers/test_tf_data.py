import keras
import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity.samplers import BalancedDraws, TFDataSampler, balanced_stream

LABELS = np.random.default_rng(0).integers(9, size=400)
X = np.arange(400, dtype="float32")[:, None] * [1.0, 2.0]


def dataset(x=X, y=LABELS):
    return tf.data.Dataset.from_tensor_slices((x, y))


def rows(x):
    return np.asarray(x)[:, 0].astype(int)


def assert_balanced(x, y, classes, each):
    np.testing.assert_array_equal(LABELS[rows(x)], np.asarray(y))
    assert np.unique(y, return_counts=True)[1].tolist() == [each] * classes


def test_batches_are_those_that_were_drawn():
    draws = BalancedDraws(LABELS, 4, 3, seed=5)
    batches = TFDataSampler(dataset(), 4, 3, seed=5)
    for step, (x, y) in enumerate(batches.take(20)):
        np.testing.assert_array_equal(rows(x), draws.draw(0, step))
        assert_balanced(x, y, 4, 3)
    assert [tuple(spec.shape) for spec in batches.element_spec] == [(12, 2), (12,)]


def test_examples_are_loaded_and_augmented_in_the_graph():
    paths = np.array([str(i) for i in range(400)])

    def load(path, y):
        value = tf.strings.to_number(path)
        return tf.stack([value, -value]), y

    def augmenter(x, y):
        return tf.concat([x, x], 0), tf.concat([y, y], 0)

    batches = TFDataSampler(dataset(paths), 3, 2, load_fn=load, augmenter=augmenter, seed=0)
    x, y = next(iter(batches))
    assert x.shape == (12, 2)
    assert_balanced(x, y, 3, 4)
    noisy = TFDataSampler(dataset(), 3, 2, augmenter=keras.layers.GaussianNoise(0.1), seed=0)
    x, y = next(iter(noisy))
    assert (x.numpy() != np.round(x)).any()


def test_labels_in_structures_and_part_of_the_classes():
    ds = tf.data.Dataset.from_tensor_slices(({"a": X}, {"id": LABELS, "z": X}))
    batches = TFDataSampler(ds, 2, 2, class_list=[1, 4, 7], label_output="id", seed=0)
    seen = set()
    for x, y in batches.take(10):
        np.testing.assert_array_equal(x["a"], y["z"])
        assert_balanced(x["a"], y["id"], 2, 2)
        seen |= set(y["id"].numpy().tolist())
    assert seen == {1, 4, 7}


def test_trains_a_model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(TFDataSampler(dataset(), 4, 2), steps_per_epoch=3, epochs=2, shuffle=False, verbose=0)


@pytest.mark.parametrize(
    ("error", "match", "make"),
    [
        (TypeError, "tf.data.Dataset", lambda: X),
        (ValueError, "endless", lambda: dataset().repeat()),
        (ValueError, r"\(x, y\)", lambda: tf.data.Dataset.from_tensor_slices(X)),
        (ValueError, "at least one", lambda: dataset().take(0)),
        (TypeError, "integer", lambda: dataset(y=LABELS / 2)),
        (ValueError, "Targets.one_hot", lambda: dataset(y=np.eye(9, dtype=int)[LABELS])),
        (ValueError, "classes_per_batch", lambda: dataset().filter(lambda x, y: y < 1)),
    ],
)
def test_bad_datasets_are_named(error, match, make):
    with pytest.raises(error, match=match):
        TFDataSampler(make())


def test_examples_of_different_shapes_are_refused():
    ds = tf.data.Dataset.from_generator(
        lambda: ((np.zeros(i + 1), i % 2) for i in range(4)),
        output_signature=(tf.TensorSpec([None]), tf.TensorSpec([], "int64")),
    )
    with pytest.raises(ValueError, match=r"one shape.*load_fn"):
        TFDataSampler(ds)


@pytest.mark.parametrize(("classes", "each"), [(4, 3), (9, 2)])
def test_streams_are_balanced(classes, each):
    batches = balanced_stream(dataset().repeat(), classes, each)
    size = classes * each
    assert [tuple(spec.shape) for spec in batches.element_spec] == [(size, 2), (size,)]
    seen = set()
    for x, y in batches.take(25):
        assert_balanced(x, y, classes, each)
        seen |= set(rows(x).tolist())
    assert len(seen) > min(150, 15 * classes * each)
    again = [
        rows(x).tolist() for x, _ in balanced_stream(dataset().repeat(), classes, each).take(3)
    ]
    assert again == [rows(x).tolist() for x, _ in batches.take(3)]


def test_a_stream_with_an_end_ends():
    batches = list(balanced_stream(dataset(), 3, 2))
    # Of three classes out of nine, few groups meet their like in the batch.
    assert 35 < len(batches) <= 400 // 6
    used = np.concatenate([rows(x) for x, _ in batches])
    assert len(set(used.tolist())) == len(used)


def test_frequent_classes_do_not_take_over_a_stream():
    labels = np.concatenate([np.zeros(360, int), np.repeat(np.arange(1, 9), 5)])
    labels = np.random.default_rng(0).permutation(labels)
    batches = balanced_stream(dataset(y=labels).repeat(), 4, 2)
    for _, y in batches.take(10):
        assert np.unique(y, return_counts=True)[1].tolist() == [2] * 4


def test_a_stream_of_too_few_classes_fails(monkeypatch):
    monkeypatch.setattr("tensorflow_similarity.samplers.stream._PATIENCE", 50)
    batches = balanced_stream(dataset().filter(lambda x, y: y < 2).repeat(), 3, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least 3 classes"):
        next(iter(batches))


@pytest.mark.parametrize(
    ("error", "match", "make"),
    [
        (TypeError, "tf.data.Dataset", lambda: X),
        (ValueError, r"\(x, y\)", lambda: tf.data.Dataset.from_tensor_slices(X)),
        (TypeError, "integer", lambda: dataset(y=LABELS / 2)),
        (ValueError, "no batches", lambda: dataset().batch(4)),
    ],
)
def test_bad_streams_are_named(error, match, make):
    with pytest.raises(error, match=match):
        balanced_stream(make())
