import keras
import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity.models.embedding import Embedder

X = np.random.default_rng(0).normal(size=(20, 6)).astype("float32")
Y = np.arange(20)


def two_outputs(outputs="list"):
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(5, activation="relu", name="hidden")(inputs)
    a, b = keras.layers.Dense(3, name="a")(hidden), keras.layers.Dense(4, name="b")(hidden)
    return keras.Model(inputs, {"first": a, "second": b} if outputs == "dict" else [a, b])


def one_output():
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])


class Subclassed(keras.Model):
    def __init__(self, outputs):
        super().__init__()
        self.a, self.b, self.outputs_as = (
            keras.layers.Dense(3),
            keras.layers.Dense(4),
            outputs,
        )

    def call(self, x):
        a, b = self.a(x), self.b(x)
        return {"one": a, "list": [a, b], "dict": {"first": a, "second": b}}[self.outputs_as]


def embed(embedder, x, y=None, **kwargs):
    return embedder.embed(embedder.batches(x, y, **kwargs))


def test_it_embeds_as_predict_does():
    model = one_output()
    embeddings, labels = embed(Embedder(model), X, Y, batch_size=7)
    np.testing.assert_allclose(embeddings, model.predict(X, verbose=0), rtol=1e-5)
    np.testing.assert_array_equal(labels.ids, Y)
    assert embeddings.dtype == np.float32


@pytest.mark.parametrize(
    ("make", "outputs", "output", "expected"),
    [
        (two_outputs, "list", 0, "a"),
        (two_outputs, "list", -1, "b"),
        (two_outputs, "list", "b", "b"),
        (two_outputs, "dict", "second", "b"),
        (two_outputs, "dict", 0, "a"),
        (two_outputs, "list", "hidden", "hidden"),
        (Subclassed, "one", None, "a"),
        (Subclassed, "list", 1, "b"),
        (Subclassed, "dict", "second", "b"),
    ],
)
@pytest.mark.slow_cases(
    "two_outputs-list--1-b",
    "Subclassed-one-None-a",
    "Subclassed-list-1-b",
    "Subclassed-dict-second-b",
)
def test_the_chosen_output_is_embedded(make, outputs, output, expected):
    model = make(outputs)
    embedder = Embedder(model, output)
    known = embedder.size
    got = embedder.call(X)
    if expected == "hidden":
        reference = keras.Model(model.input, model.get_layer("hidden").output)(X)
    else:
        layer = getattr(model, expected) if make is Subclassed else model.get_layer(expected)
        below = X if make is Subclassed else model.get_layer("hidden")(X)
        reference = layer(below)
    np.testing.assert_allclose(got, reference, rtol=1e-5, atol=1e-6)
    assert known in (None, got.shape[1])
    assert embedder.size == known


@pytest.mark.parametrize(
    ("make", "outputs", "output", "match"),
    [
        (two_outputs, "list", None, "which of the model's outputs"),
        (two_outputs, "list", 2, "has 2 outputs"),
        (two_outputs, "dict", "c", r"output or a layer.*'c'.*'first'"),
        (Subclassed, "dict", None, r"outputs named \['first', 'second'\]"),
        (Subclassed, "dict", "c", r"outputs named \['first', 'second'\]"),
        (Subclassed, "list", 7, "has 2 outputs"),
    ],
)
@pytest.mark.slow_cases("Subclassed-dict-None-outputs named \\\\['first', 'second'\\\\]")
def test_an_output_that_is_not_there_is_refused(make, outputs, output, match):
    with pytest.raises(ValueError, match=match):
        Embedder(make(outputs), output).call(X)


def test_an_output_that_is_no_vector_is_refused():
    inputs = keras.Input((4, 6))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    with pytest.raises(ValueError, match=r"\[batch, dim\].*\(None, 4, 3\)"):
        Embedder(model)


def test_two_traces_serve_batches_of_every_size():
    calls = []

    class Counted(keras.layers.Layer):
        def call(self, x):
            calls.append(x.shape[0])
            return 2 * x

    model = keras.Sequential([keras.Input((6,)), Counted()])
    calls.clear()
    embedder = Embedder(model)
    for size in (1, 5, 20, 1, 13, 2):
        np.testing.assert_allclose(embedder.call(X[:size]), 2 * X[:size])
    assert sorted(calls, key=str) == [1, None]


class Traced(keras.layers.Layer):
    """Counts how often it is compiled: once for each trace."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def call(self, x):
        self.shapes.append(tuple(x.shape))
        return keras.ops.sum(x, axis=tuple(range(1, len(x.shape) - 1))) if len(x.shape) > 2 else x


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("axes", [1, 2])
def test_shapes_are_relaxed_and_traces_few(single, axes):
    traced = Traced()
    model = keras.Sequential([keras.Input((None,) * axes + (3,)), traced])
    embedder = Embedder(model)
    traced.shapes.clear()
    rng = np.random.default_rng(0)
    for size in range(2, 30):
        shape = (1 if single else size, *(size % (7 + axis) + 1 for axis in range(axes)), 3)
        x = rng.normal(size=shape).astype("float32")
        expected = x.sum(axis=tuple(range(1, axes + 1)))
        np.testing.assert_allclose(embedder.call(x), expected, rtol=1e-4, atol=1e-5)
    assert len(traced.shapes) <= 1 + axes


@pytest.mark.further
def test_a_model_that_needs_its_shape_is_compiled_for_each():
    class Static(keras.Model):
        def call(self, x):
            return keras.ops.reshape(x, (-1, 3 * int(x.shape[1])))[:, :2]

    embedder = Embedder(Static())
    for length in [*range(1, 40), 3, 2, 1]:
        x = np.arange(6.0 * length, dtype="float32").reshape(2, length, 3)
        np.testing.assert_array_equal(embedder.call(x), x.reshape(2, -1)[:, :2])


def text_model():
    vectors = keras.layers.TextVectorization(vocabulary=["a", "bb", "ccc"], output_mode="count")
    inputs = keras.Input((), dtype="string", name="text")
    return keras.Model(inputs, vectors(inputs))


TEXTS = ["a", "bb ccc", "ccc", "a bb", "a much longer text than the others, of bb", "", "é a"]


@pytest.mark.parametrize(
    "kind",
    [
        lambda texts: texts,
        np.array,
        lambda texts: np.array(texts, object),
        lambda texts: np.char.encode(np.array(texts), "utf-8"),
        tf.constant,
        lambda texts: {"text": texts},
        lambda texts: {"text": np.array(texts)},
        lambda texts: {"text": np.array(texts, object)},
        lambda texts: tf.data.Dataset.from_tensor_slices(texts).batch(3),
    ],
)
@pytest.mark.slow_cases("<lambda>6", "<lambda>1", "array", "constant")
def test_text_comes_as_it_is(kind):
    given, model = kind(TEXTS), text_model()
    expected = model(tf.constant(TEXTS)).numpy()
    if isinstance(given, dict):
        model = keras.Model({"text": model.input}, model.output)
    np.testing.assert_array_equal(embed(Embedder(model), given)[0], expected)


def test_texts_of_all_lengths_share_a_trace():
    traced = Traced()
    vectors = text_model()
    model = keras.Model(vectors.input, traced(vectors.output))
    embedder = Embedder(model)
    traced.shapes.clear()
    for length in range(1, 50):
        embedder.call(np.array(["a" * length]))
    assert len(traced.shapes) == 1


def test_new_weights_are_seen():
    model = one_output()
    embedder = Embedder(model)
    before = embedder.call(X)
    model.set_weights([2 * w for w in model.get_weights()])
    np.testing.assert_allclose(embedder.call(X), 2 * before, rtol=1e-5)


def test_dropout_and_batch_statistics_are_off():
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dropout(0.5), keras.layers.BatchNormalization()]
    )
    np.testing.assert_allclose(Embedder(model).call(X), X / np.sqrt(1.001), rtol=1e-5)


def test_inputs_of_other_kinds():
    def lengths(x):
        return tf.stack([tf.cast(tf.strings.length(x), tf.float32)] * 2, axis=1)

    @keras.saving.register_keras_serializable(package="tests")
    class Texts(keras.Model):
        def call(self, x):
            return lengths(x)

    got = Embedder(Texts()).call(np.array(["a", "abc"]))
    np.testing.assert_array_equal(got, [[1, 1], [3, 3]])

    @keras.saving.register_keras_serializable(package="tests")
    class Sums(keras.Model):
        def call(self, x):
            return tf.reduce_sum(x, axis=1, keepdims=True)

    rows = tf.ragged.constant([[1.0], [2.0, 3.0]])
    np.testing.assert_array_equal(Embedder(Sums()).call(rows), [[1], [5]])


def test_several_inputs():
    a, b = keras.Input((6,), name="a"), keras.Input((2,), name="b")
    model = keras.Model({"a": a, "b": b}, keras.layers.Concatenate()([a, b]))
    x = {"a": X, "b": X[:, :2]}
    embeddings, _ = embed(Embedder(model), x, batch_size=6)
    np.testing.assert_array_equal(embeddings, np.hstack([X, X[:, :2]]))


@pytest.mark.parametrize("eagerly", [True, False])
def test_eager_models(eagerly):
    model = one_output()
    model.compile(run_eagerly=eagerly)
    np.testing.assert_allclose(Embedder(model).call(X), model(X), rtol=1e-5)


def test_half_precision_models_give_float32():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, dtype="mixed_float16")])
    assert Embedder(model).call(X).dtype == np.float32


@pytest.mark.parametrize(
    ("outputs", "output", "targets"),
    [
        ("list", 1, (Y * 0.5, Y)),
        ("list", "b", (Y * 0.5, Y)),
        ("list", "b", {"a": Y * 0.5, "b": Y}),
        ("list", 1, {"a": Y * 0.5, "b": Y}),
        ("dict", "second", {"first": Y * 0.5, "second": Y}),
        ("dict", 1, {"first": Y * 0.5, "second": Y}),
    ],
)
@pytest.mark.slow_cases("dict-second-targets4", "list-1-targets3")
def test_labels_are_the_targets_of_the_embedding_output(outputs, output, targets):
    dataset = tf.data.Dataset.from_tensor_slices((X, targets)).batch(6)
    _, labels = embed(Embedder(two_outputs(outputs), output), dataset)
    np.testing.assert_array_equal(labels.ids, Y)


def test_targets_that_lack_the_embedding_output_are_refused():
    dataset = tf.data.Dataset.from_tensor_slices((X, {"a": Y, "c": Y})).batch(6)
    embedder = Embedder(two_outputs(), "b")
    with pytest.raises(ValueError, match=r"`y`.*\['a', 'c'\].*'b'"):
        embed(embedder, dataset)
    # Where labels are not wanted, they do not matter.
    assert embedder.embed(embedder.batches(dataset), labels=False)[1] is None


def test_labels_with_some_batches_only_are_refused():
    with pytest.raises(ValueError, match="1 of 2 batches"):
        embed(Embedder(one_output()), iter([(X, Y), (X,)]))


def test_an_empty_dataset_is_refused():
    with pytest.raises(ValueError, match=r"`x`.*empty dataset"):
        embed(Embedder(one_output()), iter([]))


def test_progress_is_shown_unless_it_is_not_wanted(capsys):
    embedder = Embedder(one_output())
    embedder.embed(embedder.batches(X), verbose=0)
    assert not any(capsys.readouterr())
