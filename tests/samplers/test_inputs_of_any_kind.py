"""What batches carry: text, dicts, sequences of different lengths; and what augmenters return."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import (
    MultiShotFileSampler,
    MultiShotMemorySampler,
    Padding,
    SingleShotMemorySampler,
    select_examples,
)

N = 30
Y = np.arange(N) % 5
TEXTS = [f"text {'x' * (i % 7)} {i}" for i in range(N)]
SEQUENCES = [np.arange(1, 2 + i % 6) + 100 * i for i in range(N)]
TENSORFLOW = keras.backend.backend() == "tensorflow"


def sampler(x, y=Y, **kwargs):
    options = {"classes_per_batch": 3, "steps_per_epoch": 4, "seed": 0} | kwargs
    return MultiShotMemorySampler(x, y, **options)


def texts(batch):
    """Text of a batch, whatever holds it."""
    values = np.asarray(batch).ravel().tolist()
    return [value.decode() if isinstance(value, bytes) else value for value in values]


def numbers(batch):
    """Which texts."""
    return np.array([int(text.split()[-1]) for text in texts(batch)])


KINDS_OF_TEXT = {
    "array": np.array(TEXTS),
    "objects": np.array(TEXTS, object),
    "list": TEXTS,
    "bytes": [text.encode() for text in TEXTS],
    "strings": np.array(TEXTS, np.dtypes.StringDType()),
    "column": np.array(TEXTS)[:, None],
}
if TENSORFLOW:
    KINDS_OF_TEXT["tensor"] = keras.ops.convert_to_tensor(TEXTS)


@pytest.mark.parametrize("kind", KINDS_OF_TEXT)
def test_text(kind):
    x = KINDS_OF_TEXT[kind]
    for made in (sampler(x), sampler(x, augmenter=lambda x, y: (x, y))):
        for batch, y in made:
            assert [TEXTS[i] for i in numbers(batch)] == texts(batch)
            np.testing.assert_array_equal(Y[numbers(batch)], y)
    batch, y = sampler(x).get_slice(2, 3)
    assert texts(batch) == TEXTS[2:5]
    chosen, _ = select_examples(x, Y, class_list=[1])
    np.testing.assert_array_equal(Y[numbers(chosen)], 1)


def test_dicts_with_columns_of_text():
    for made in (
        sampler({"title": TEXTS, "price": np.arange(N)}),
        sampler({"title": TEXTS, "price": np.arange(N)}, augmenter=lambda x, y: (x, y)),
        sampler((TEXTS, np.arange(N))),
    ):
        x, y = made[1]
        title, price = x.values() if isinstance(x, dict) else x
        np.testing.assert_array_equal(numbers(title), price)
        np.testing.assert_array_equal(Y[price], y)


def test_nested_structures():
    x, y = sampler({"text": {"title": TEXTS, "n": np.arange(N)}, "s": (SEQUENCES, TEXTS)})[0]
    which = numbers(x["text"]["title"])
    np.testing.assert_array_equal(which, x["text"]["n"])
    np.testing.assert_array_equal(which, x["s"][0][:, 0] // 100)
    np.testing.assert_array_equal(which, numbers(x["s"][1]))
    np.testing.assert_array_equal(Y[which], y)


def test_rows_of_sparse_matrices_are_loaded():
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_matrix(np.diag(np.arange(N)))
    with pytest.raises(TypeError, match=r"toarray\(\)"):
        sampler(matrix)
    x, y = sampler(np.arange(N), load_example_fn=lambda i: matrix[[i]].toarray()[0])[0]
    np.testing.assert_array_equal(Y[x.max(axis=1)], y)


def test_tables_are_dicts_of_their_columns():
    pd = pytest.importorskip("pandas")
    x, _ = sampler(pd.DataFrame({"title": TEXTS, "price": np.arange(N)}))[0]
    np.testing.assert_array_equal(numbers(x["title"]), x["price"])
    table = pd.DataFrame({"a": np.arange(N), "b": np.arange(N) * 2.0}, index=np.arange(N) + 7)
    x, y = sampler(table, pd.Series(Y, index=np.arange(N) + 7))[0]
    np.testing.assert_array_equal(x[:, 0] * 2, x[:, 1])
    np.testing.assert_array_equal(Y[x[:, 0].astype(int)], y)
    x, y = sampler(pd.Series(TEXTS), pd.Series(Y))[0]
    np.testing.assert_array_equal(Y[numbers(x)], y)


def text_model(inputs, outputs):
    model = SimilarityModel(inputs, L2Embedding(4)(outputs))
    model.compile("sgd", loss=TripletLoss(), run_eagerly=True)
    return model


@pytest.mark.skipif(not TENSORFLOW, reason="text in a model needs TensorFlow")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.further("2")
def test_models_train_on_text(workers):
    vectorize = keras.layers.TextVectorization(output_mode="multi_hot", max_tokens=50)
    vectorize.adapt(TEXTS)
    inputs = keras.Input((), dtype="string")
    model = text_model(inputs, vectorize(inputs))
    history = model.fit(
        sampler(np.array(TEXTS), steps_per_epoch=2, workers=workers), verbose=0
    ).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.skipif(not TENSORFLOW, reason="TextVectorization needs TensorFlow")
def test_layers_that_take_text_augment():
    vectorize = keras.layers.TextVectorization(output_sequence_length=4)
    vectorize.adapt(TEXTS)
    x, _ = sampler(np.array(TEXTS), augmenter=vectorize)[0]
    plain, _ = sampler(np.array(TEXTS))[0]
    assert isinstance(x, np.ndarray)
    np.testing.assert_array_equal(x, np.asarray(vectorize(plain)))


# Sequences.


def padded(sequences, length, side="right", value=0):
    """The reference: one sequence after the other."""
    rows = []
    for row in sequences:
        fill = [value] * (length - len(row))
        rows.append([*row, *fill] if side == "right" else [*fill, *row])
    return np.array(rows)


def objects(rows):
    made = np.empty(len(rows), object)
    made[:] = rows
    return made


KINDS_OF_SEQUENCES = {
    "arrays": SEQUENCES,
    "lists": [row.tolist() for row in SEQUENCES],
    "objects": objects(SEQUENCES),
    "objects of lists": objects([row.tolist() for row in SEQUENCES]),
}
if TENSORFLOW:
    import tensorflow as tf

    KINDS_OF_SEQUENCES["ragged"] = tf.ragged.constant([row.tolist() for row in SEQUENCES])


@pytest.mark.parametrize("kind", KINDS_OF_SEQUENCES)
def test_sequences_are_filled_up_to_the_longest_of_the_batch(kind):
    for x, y in sampler(KINDS_OF_SEQUENCES[kind]):
        which = x[:, 0] // 100
        np.testing.assert_array_equal(Y[which], y)
        rows = [SEQUENCES[i] for i in which]
        np.testing.assert_array_equal(x, padded(rows, max(map(len, rows))))
        assert x.dtype.kind == "i"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(-9, 9), max_size=12), min_size=1, max_size=6),
    st.sampled_from(["left", "right"]),
    st.integers(-2, 2),
)
def test_padding(sequences, side, value):
    longest = max(map(len, sequences))
    expected = padded(sequences, longest, side, value)
    made = Padding(value, side=side)(sequences)
    np.testing.assert_array_equal(made, expected)
    buckets = Padding(value, lengths=[16, 4, 8], side=side, mask=True)
    made, mask = buckets(sequences)
    length = min(bucket for bucket in (4, 8, 16) if bucket >= longest)
    np.testing.assert_array_equal(made, padded(sequences, length, side, value))
    np.testing.assert_array_equal(mask, padded([[1] * len(s) for s in sequences], length, side))


@pytest.mark.parametrize("side", ["left", "right"])
def test_long_sequences_are_cut_off_if_asked_for(side):
    cut = Padding(lengths=[2, 4], side=side, truncate=True)
    made = cut([[1, 2, 3, 4, 5], [6]])
    expected = [[1, 2, 3, 4], [6, 0, 0, 0]] if side == "right" else [[2, 3, 4, 5], [0, 0, 0, 6]]
    np.testing.assert_array_equal(made, expected)
    with pytest.raises(ValueError, match=r"of 5 steps.*truncate=True"):
        Padding(lengths=[2, 4], side=side)([[1, 2, 3, 4, 5], [6]])


def test_buckets_bound_the_number_of_shapes():
    made = sampler(SEQUENCES, steps_per_epoch=600, padding=Padding(lengths=[3, 6]))
    assert {x.shape for x, _ in made} == {(6, 3), (6, 6)}


def test_sequences_of_vectors_and_masks_and_text():
    vectors = [np.ones((1 + i % 4, 3), "float32") * i for i in range(N)]
    x, y = sampler(vectors)[0]
    assert x.dtype == "float32"
    np.testing.assert_array_equal(Y[x[:, 0, 0].astype(int)], y)
    (x, mask), _ = sampler(vectors, padding=Padding(value=-1, mask=True))[0]
    np.testing.assert_array_equal(mask, (x != -1).all(axis=2))
    x, _ = sampler({"v": vectors, "n": np.arange(N)}, padding=Padding(mask=True))[0]
    assert list(x) == ["v", "v_mask", "n"]
    np.testing.assert_array_equal(x["v_mask"].sum(axis=1), 1 + x["n"] % 4)
    words = [text.split() for text in TEXTS[:7]] + [["one"]] * (N - 7)
    x, _ = sampler(words)[0]
    assert set(texts(x)) <= {"", "one"} | {word for row in words for word in row}


def test_empty_sequences_have_the_dtype_of_the_others():
    x, _ = sampler([[]] * 10 + [[1, 2]] * 10 + [[3]] * 10)[0]
    assert x.dtype.kind == "i"


@pytest.mark.further
def test_models_with_masks_train_on_sequences():
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(4000, 4, mask_zero=True)(inputs)
    model = text_model(inputs, keras.layers.GlobalAveragePooling1D()(x))
    history = model.fit(sampler(SEQUENCES, steps_per_epoch=2), verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_loaded_text_and_bytes():
    made = MultiShotFileSampler(range(N), Y, lambda i: TEXTS[int(i)], 3, seed=0)
    x, y = made[0]
    np.testing.assert_array_equal(Y[numbers(x)], y)
    made = MultiShotFileSampler(range(N), Y, lambda i: bytes([int(i), 0]), 3, seed=0)
    x, y = made[0]
    assert [Y[text[0]] for text in np.asarray(x).tolist()] == y.tolist()
    assert all(text[1:] == bytes(1) for text in np.asarray(x).tolist())


def test_loaded_sequences_are_padded_if_asked_for():
    def load(i):
        return SEQUENCES[int(i)]

    options = {"classes_per_batch": 3, "seed": 0}
    made = MultiShotFileSampler(range(N), Y, load, padding=Padding(), **options)
    x, _ = made[0]
    rows = [SEQUENCES[i] for i in x[:, 0] // 100]
    np.testing.assert_array_equal(x, padded(rows, max(map(len, rows))))
    with pytest.raises(ValueError, match=r"one shape.*padding=Padding"):
        MultiShotFileSampler(range(N), Y, load, **options)[0]


@pytest.mark.parametrize(
    ("error", "match", "x"),
    [
        (ValueError, "one shape", [np.zeros((1 + i % 2, 2 + i % 3)) for i in range(N)]),
        (ValueError, "None at position 3", [*TEXTS[:3], None, *TEXTS[4:]]),
        (TypeError, r"type object.*load_example_fn", [object()] * N),
        (TypeError, "type str", [*TEXTS[:-1], [1]]),
        (ValueError, "one shape", [[1, [2, 3]]] * 2 + [[1]] * (N - 2)),
    ],
)
def test_other_examples_are_refused_with_what_to_write(error, match, x):
    with pytest.raises(error, match=match):
        sampler(x)


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ValueError, {"side": "top"}),
        (ValueError, {"lengths": []}),
        (ValueError, {"lengths": [0]}),
        (TypeError, {"lengths": 8}),
        (ValueError, {"truncate": True}),
    ],
)
def test_bad_paddings_are_refused(error, arguments):
    with pytest.raises(error, match=next(iter(arguments))):
        Padding(**arguments)
    with pytest.raises(TypeError, match="padding"):
        sampler(SEQUENCES, padding=0)


# Several views.


def test_views_of_text_and_sequences():
    made = SingleShotMemorySampler(TEXTS, lambda x, y: (np.char.upper(x), y), 5, seed=0)
    x, y = made[0]
    assert texts(x) == [TEXTS[i].upper() for i in y]
    made = SingleShotMemorySampler(SEQUENCES, lambda x, y: (x, y), 5, seed=0)
    x, y = made[0]
    np.testing.assert_array_equal(x[:, 0] // 100, y)
    assert x.shape[0] == 10


# Augmenters.

X = np.arange(N, dtype="float32")[:, None] * [1.0, 2.0]
WEIGHT = np.arange(N) / N


def rows(x):
    return x[:, 0].astype(int)


@pytest.mark.parametrize(
    "augmenter",
    [
        lambda x, y: (x, y, np.full(len(y), 0.5)),
        lambda x, y: [x, y, np.full(len(y), 0.5)],
        lambda x, y: {"x": x, "y": y, "sample_weight": np.full(len(y), 0.5)},
        lambda x, y: {"images": x, "labels": y, "sample_weights": np.full(len(y), 0.5)},
        lambda x, y, seed: (x, y, keras.ops.convert_to_tensor(np.full(len(y), 0.5))),
    ],
)
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_augmenters_return_weights(augmenter, weight):
    x, y, w = sampler(X, augmenter=augmenter, sample_weight=weight)[0]
    np.testing.assert_array_equal(Y[rows(x)], y)
    np.testing.assert_array_equal(w, 0.5)


def test_weights_stay_where_augmenters_leave_them_out():
    for augmenter in (lambda x, y: {"x": x, "y": y}, keras.layers.Identity()):
        x, _, w = sampler(X, augmenter=augmenter, sample_weight=WEIGHT)[0]
        np.testing.assert_allclose(w, WEIGHT[rows(x)])

    def weigh(x, y, sample_weight):
        return x, y, sample_weight * 2

    x, _, w = sampler(X, augmenter=weigh, sample_weight=WEIGHT)[0]
    np.testing.assert_allclose(w, 2 * WEIGHT[rows(x)])

    def twice(x, y):
        return np.concatenate([x, x]), np.concatenate([y, y])

    with pytest.raises(ValueError, match="12 examples of 6"):
        sampler(X, augmenter=twice, sample_weight=WEIGHT)[0]
    assert len(sampler(X, augmenter=twice)[0][0]) == 12


def test_augmenters_return_auxiliary_targets():
    def augment(x, y):
        return {"a": x, "b": -x}, y | {"c": np.ones(len(x))}

    x, y = sampler(X, {"embedding": Y, "aux": X[:, 0]}, augmenter=augment)[0]
    np.testing.assert_array_equal(x["a"], -x["b"])
    np.testing.assert_array_equal(Y[rows(x["a"])], y["embedding"])
    assert list(y) == ["embedding", "aux", "c"]


@pytest.mark.parametrize(
    "returned", [np.zeros(6), {"a": 1}, (1,), (1, 2, 3, 4), None, {"x": 1, "y": 2, "z": 3}]
)
def test_augmenters_that_return_no_batch_are_refused(returned):
    with pytest.raises(TypeError, match=r"augmenter.*\(x, y\)"):
        sampler(X, augmenter=lambda x, y: returned)[0]
