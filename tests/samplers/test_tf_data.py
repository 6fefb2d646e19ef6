import keras
import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity.samplers import BalancedDraws, Padding, TFDataSampler, balanced_stream
from tensorflow_similarity.samplers._regrouping import rows_at_a_time
from tensorflow_similarity.targets import Targets

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


@pytest.mark.further
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


@pytest.mark.further
def test_trains_a_model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
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
@pytest.mark.slow_cases("ValueError-classes_per_batch-<lambda>")
def test_bad_datasets_are_named(error, match, make):
    with pytest.raises(error, match=match):
        TFDataSampler(make())


def sequences(shape=lambda i: (i + 1,), spec=(None,)):
    return tf.data.Dataset.from_generator(
        lambda: ((np.full(shape(i), i, "float32"), i % 2) for i in range(8)),
        output_signature=(tf.TensorSpec(spec), tf.TensorSpec([], "int64")),
    )


def test_examples_of_different_shapes_are_refused():
    ds = sequences(lambda i: (i + 1, 2 * i + 1), (None, None))
    with pytest.raises(ValueError, match=r"one shape.*load_fn"):
        TFDataSampler(ds)


@pytest.mark.parametrize("width", [(), (3,)])
@pytest.mark.further
def test_sequences_are_padded(width):
    ds = sequences(lambda i: (i + 1, *width), (None, *width))
    for x, y in TFDataSampler(ds, seed=0).take(4):
        assert x.shape[1:] == (max(rows(np.reshape(x, (4, -1)))) + 1, *width)
        for row, label in zip(np.asarray(x), y, strict=True):
            i = int(np.ravel(row)[0])
            assert i % 2 == label
            np.testing.assert_array_equal(row[: i + 1], i)
            np.testing.assert_array_equal(row[i + 1 :], 0)
    padding = Padding(lengths=[4, 8], side="left", value=-1, mask=True)
    batches = TFDataSampler(ds, seed=0, padding=padding)
    assert {tuple(x.shape[:2]) for (x, _), _ in batches.take(8)} <= {(4, 4), (4, 8)}
    for (x, mask), _ in batches.take(3):
        real = np.asarray(x) != -1
        np.testing.assert_array_equal(real.all(axis=2) if width else real, mask)
    named = TFDataSampler(ds.map(lambda x, y: ({"a": x, "n": y}, y)), padding=padding, seed=0)
    assert sorted(named.element_spec[0]) == ["a", "a_mask", "n"]


@pytest.mark.further
def test_loaded_sequences_are_padded_if_asked_for():
    def load(x, y):
        return tf.range(1 + tf.cast(x[0], tf.int32)), y

    x, _ = next(iter(TFDataSampler(dataset(), load_fn=load, padding=Padding(), seed=0)))
    expected = [np.where(np.arange(x.shape[1]) <= max(row), np.arange(x.shape[1]), 0) for row in x]
    np.testing.assert_array_equal(x, expected)


def test_names_text_and_unknown_classes():
    names = np.array([f"class {label}" for label in LABELS])
    ds = dataset(np.array([f"text {i}" for i in range(400)]), names)
    batches = TFDataSampler(ds, 3, 2, ignore_class="class 4", seed=0)
    assert batches.class_names == [f"class {i}" for i in range(9) if i != 4]
    for x, y in batches.take(5):
        which = [int(text.split()[1]) for text in x.numpy()]
        assert [batches.class_names[label] for label in y] == names[which].tolist()
    assert TFDataSampler(dataset()).class_names is None
    only = TFDataSampler(ds, 2, 2, class_list=["class 1", "class 2"], seed=0)
    assert set(next(iter(only))[1].numpy().tolist()) == {1, 2}


@pytest.mark.further
def test_weights_and_several_labels_and_floats():
    ds = tf.data.Dataset.from_tensor_slices((X, LABELS, X[:, 0] / 400))
    for x, y, w in TFDataSampler(ds, 3, 2, augmenter=keras.layers.Identity(), seed=0).take(2):
        assert_balanced(x, y, 3, 2)
        np.testing.assert_allclose(w, rows(x) / 400, rtol=1e-6)
    matrix = np.eye(9, dtype=int)[LABELS]
    matrix[:, 0] = 1
    x, y = next(iter(TFDataSampler(dataset(y=matrix), 3, 2, targets=Targets.multi_hot, seed=0)))
    np.testing.assert_array_equal(matrix[rows(x)], y)
    both = tf.data.Dataset.from_tensor_slices((X, {"a": matrix, "b": X[:, 0]}))
    made = TFDataSampler(both, 3, 2, label_output="a", targets=Targets.multi_hot, seed=0)
    x, y = next(iter(made))
    np.testing.assert_array_equal(matrix[rows(x)], y["a"])
    np.testing.assert_array_equal(rows(x), y["b"])
    with pytest.warns(UserWarning, match="whole numbers"):
        x, y = next(iter(TFDataSampler(dataset(y=LABELS.astype("float32")), 3, 2, seed=0)))
    assert_balanced(x, y, 3, 2)


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (TypeError, "targets", {"targets": 3}),
        (KeyError, "label_output.*targets", {"targets": Targets.classes}),
        (TypeError, "padding", {"padding": 3}),
        (KeyError, "label_output", {"label_output": "z"}),
    ],
)
def test_bad_arguments_are_named(error, match, arguments):
    with pytest.raises(error, match=match):
        TFDataSampler(dataset(y={"a": LABELS, "b": X}), **arguments)
    if "label_output" in arguments:
        with pytest.raises(error, match=match):
            balanced_stream(dataset(y={"a": LABELS}), **arguments)


@pytest.mark.further
def test_augmenters_return_weights_and_dicts():
    def weigh(x, y):
        return {"x": -x, "y": y, "sample_weight": tf.ones_like(y)}

    x, y, w = next(iter(TFDataSampler(dataset(), 3, 2, augmenter=weigh, seed=0)))
    assert_balanced(-x.numpy(), y, 3, 2)
    np.testing.assert_array_equal(w, 1)
    with pytest.raises(TypeError, match=r"augmenter.*\(x, y\)"):
        TFDataSampler(dataset(), augmenter=lambda x, y: x)


def test_a_dataset_goes_on_where_a_run_was():
    whole = [rows(x).tolist() for x, _ in TFDataSampler(dataset(), 3, 2, seed=1).take(6)]
    rest = TFDataSampler(dataset(), 3, 2, seed=1, first_batch=4)
    assert [rows(x).tolist() for x, _ in rest.take(2)] == whole[4:]
    with pytest.raises(ValueError, match="first_batch"):
        TFDataSampler(dataset(), first_batch=-1)


@pytest.mark.parametrize(("classes", "each"), [(4, 3), (9, 2)])
@pytest.mark.further
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


@pytest.mark.further
def test_a_stream_with_an_end_ends():
    batches = list(balanced_stream(dataset(), 3, 2))
    # Of three classes out of nine, few groups meet their like in the batch.
    assert 35 < len(batches) <= 400 // 6
    used = np.concatenate([rows(x) for x, _ in batches])
    assert len(set(used.tolist())) == len(used)


@pytest.mark.further
def test_frequent_classes_do_not_take_over_a_stream():
    labels = np.concatenate([np.zeros(360, int), np.repeat(np.arange(1, 9), 5)])
    labels = np.random.default_rng(0).permutation(labels)
    batches = balanced_stream(dataset(y=labels).repeat(), 4, 2)
    for _, y in batches.take(10):
        assert np.unique(y, return_counts=True)[1].tolist() == [2] * 4


@pytest.mark.further
def test_streams_of_names_weights_and_floats():
    names = np.array([f"class {label}" for label in LABELS])
    order = [f"class {i}" for i in (8, 7, 6, 5, 4, 3, 2, 1, 0)]
    ds = tf.data.Dataset.from_tensor_slices((X, names, X[:, 0] / 400))
    for x, y, w in balanced_stream(ds, 3, 2, class_names=order).take(3):
        np.testing.assert_array_equal(8 - np.asarray(y), LABELS[rows(x)])
        np.testing.assert_allclose(w, rows(x) / 400, rtol=1e-6)
        assert np.unique(y, return_counts=True)[1].tolist() == [2, 2, 2]
    seen = balanced_stream(
        dataset(y={"a": names}), 3, 2, "a", class_names=order[:-1], ignore_class="class 0"
    )
    assert all((LABELS[rows(x)] != 0).all() for x, _ in seen.take(5))
    with pytest.raises(tf.errors.InvalidArgumentError, match="class_names"):
        list(balanced_stream(dataset(y=names), 3, 2, class_names=order[:3]))
    seen = balanced_stream(dataset(), 3, 2, ignore_class=4)
    assert all((LABELS[rows(x)] != 4).all() for x, _ in seen.take(5))
    with pytest.warns(UserWarning, match="whole numbers"):
        batches = balanced_stream(dataset(y=LABELS.astype("float32")), 3, 2)
    x, y = next(iter(batches))
    assert_balanced(x, y, 3, 2)
    with pytest.warns(UserWarning, match="whole numbers"):
        batches = balanced_stream(dataset(y=LABELS + 0.5), 3, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="whole numbers"):
        list(batches)


@pytest.mark.further
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
        (TypeError, r"integer.*bool", lambda: dataset(y=LABELS > 4)),
        (TypeError, "class_names", lambda: dataset(y=LABELS.astype(str))),
        (ValueError, "label_output", lambda: dataset(y={"a": LABELS})),
        (ValueError, "no batches", lambda: dataset().batch(4)),
    ],
)
def test_bad_streams_are_named(error, match, make):
    with pytest.raises(error, match=match):
        balanced_stream(make())


def by_hand(labels, count, each, ignored=None):
    """The batches of a stream, one example after the other."""
    waiting, batch, classes, batches = {}, [], set(), []
    for position, label in enumerate(labels.tolist()):
        if label == ignored:
            continue
        waiting.setdefault(label, []).append(position)
        if len(waiting[label]) == each:
            group = waiting.pop(label)
            if label in classes:
                continue
            classes.add(label)
            batch += group
            if len(classes) == count:
                batches.append(batch)
                batch, classes = [], set()
    return batches


@pytest.mark.parametrize("rows", [1, 7, 256])
@pytest.mark.parametrize(
    ("number", "classes", "count", "each"),
    [(400, 9, 3, 2), (2000, 700, 4, 3), (300, 3, 3, 1), (5, 5, 2, 2), (4, 2, 3, 2)],
)
@pytest.mark.further
def test_streams_take_examples_as_by_hand(monkeypatch, rows, number, classes, count, each):
    monkeypatch.setattr("tensorflow_similarity.samplers._regrouping._ROWS", rows)
    labels = np.random.default_rng(number).integers(-2, classes - 2, size=number)
    x = {"number": np.arange(number), "text": np.arange(number).astype(str)}
    stream = balanced_stream(dataset(x, labels[:, None]), count, each, ignore_class=-1)
    found = list(stream)
    assert [x["number"].numpy().tolist() for x, _ in found] == by_hand(labels, count, each, -1)
    for x, y in found:
        assert x["text"].numpy().astype(int).tolist() == x["number"].numpy().tolist()
        np.testing.assert_array_equal(labels[x["number"], None], y)


@pytest.mark.further
def test_a_stream_of_images_whose_shape_is_not_known():
    def image(x, y):
        side = tf.random.uniform([], 5, 6, tf.int32)
        return tf.cast(tf.fill([side, side, 3], x[0]), tf.bfloat16), y

    stream = balanced_stream(dataset().map(image), 3, 2)
    found = [x.numpy()[:, 0, 4, 1].astype(int).tolist() for x, _ in stream]
    x = np.arange(400).astype(tf.bfloat16.as_numpy_dtype).astype(int)
    assert found == [x[batch].tolist() for batch in by_hand(LABELS, 3, 2)]


@pytest.mark.further
def test_a_stream_is_read_twice_at_the_same_time():
    stream = balanced_stream(dataset(), 3, 2)
    pairs = [
        (rows(a).tolist(), rows(b).tolist()) for (a, _), (b, _) in zip(stream, stream, strict=True)
    ]
    assert [a for a, _ in pairs] == [b for _, b in pairs] == by_hand(LABELS, 3, 2)


def test_ragged_examples_of_a_stream_are_refused():
    ds = tf.data.Dataset.from_tensor_slices((tf.ragged.constant([[1], [2, 3]]), [0, 1]))
    with pytest.raises(TypeError, match=r"RaggedTensorSpec.*Pad them"):
        balanced_stream(ds)


def test_few_large_and_many_small_examples_are_read_at_a_time():
    small, large = tf.TensorSpec([4]), tf.TensorSpec([1024, 1024, 3])
    assert rows_at_a_time({"a": small, "b": small}, 32) == 256
    assert rows_at_a_time((large, small), 32) == 1
    assert rows_at_a_time(tf.TensorSpec([256, 256, 4], tf.uint8), 32) == 16
    assert rows_at_a_time(tf.TensorSpec([None, 3]), 32) == 32
    assert rows_at_a_time(tf.TensorSpec([], tf.string), 3000) == 256
