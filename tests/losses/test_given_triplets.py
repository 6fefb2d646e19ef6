"""The loss on ready-made triplets against a reference, row after row."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorflow_similarity.losses import TripletMarginLoss

DISTANCES = {
    "euclidean": lambda a, b: float(np.sqrt(((a - b) ** 2).sum())),
    "squared_euclidean": lambda a, b: float(((a - b) ** 2).sum()),
    "cosine": lambda a, b: float(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)),
    "manhattan": lambda a, b: float(np.abs(a - b).sum()),
}


def reference(triplets, margin=1.0, distance="euclidean", in_batch_negatives=None, swap=False):
    """The loss of each anchor, by its definition."""
    d = DISTANCES[distance]

    def term(a, p, far):
        gap = d(a, p) - far
        return np.log1p(np.exp(gap)) if margin is None else max(0.0, gap + margin)

    losses = []
    for i, (a, p, *own) in enumerate(triplets):
        negatives = list(own)
        if in_batch_negatives is not None:
            for j, (_, *others) in enumerate(triplets):
                negatives += others if j != i else []
        far = [min(d(a, n), d(p, n)) if swap else d(a, n) for n in negatives]
        if not far:
            losses.append(0.0)
        elif in_batch_negatives == "hard":
            losses.append(term(a, p, min(far)))
        else:
            losses.append(np.mean([term(a, p, f) for f in far]))
    return np.array(losses)


ARGUMENTS = st.fixed_dictionaries(
    {
        "margin": st.sampled_from([None, 0.2, 1.0]),
        "distance": st.sampled_from(list(DISTANCES)),
        "in_batch_negatives": st.sampled_from([None, "hard", "all"]),
        "swap": st.booleans(),
    }
)


@pytest.mark.further
@settings(max_examples=60, deadline=None)
@given(ARGUMENTS, st.integers(1, 6), st.integers(0, 3), st.integers(0, 1000))
def test_values(arguments, rows, negatives, seed):
    if arguments["in_batch_negatives"] is None:
        negatives = max(negatives, 1)
    triplets = np.random.default_rng(seed).normal(size=(rows, 2 + negatives, 3))
    found = TripletMarginLoss(reduction=None, **arguments)(None, triplets)
    np.testing.assert_allclose(found, reference(triplets, **arguments), atol=1e-9)


TRIPLETS = np.random.default_rng(0).normal(size=(8, 3, 4)).astype("float32")


@pytest.mark.parametrize(
    ("layout", "y_pred"),
    [
        ("columns", TRIPLETS),
        ("columns", TRIPLETS.reshape(8, 12)),
        ("interleaved", TRIPLETS.reshape(24, 4)),
        ("blocks", TRIPLETS.transpose(1, 0, 2).reshape(24, 4)),
    ],
)
@pytest.mark.parametrize("labels", [None, np.zeros(8), np.zeros((8, 1))])
def test_layouts(layout, y_pred, labels):
    loss = TripletMarginLoss(layout=layout)
    np.testing.assert_allclose(loss(labels, y_pred), reference(TRIPLETS).mean(), rtol=1e-5)


def test_weights_are_those_of_anchors():
    weights = np.arange(8.0)
    found = TripletMarginLoss(layout="interleaved")(None, TRIPLETS.reshape(24, 4), weights)
    np.testing.assert_allclose(found, (reference(TRIPLETS) * weights).mean(), rtol=1e-5)


@pytest.mark.parametrize("in_batch", [None, "hard", "all"])
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.further("euclidean-None", "euclidean-all", "cosine-None")
def test_values_and_gradients_are_finite_where_all_rows_are_equal(in_batch, distance):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the tape is TensorFlow's")
    import tensorflow as tf

    for rows in (np.zeros((4, 3, 2), "float32"), np.full((1, 3, 2), 1e4, "float32")):
        x = tf.Variable(rows)
        with tf.GradientTape() as tape:
            value = TripletMarginLoss(distance=distance, in_batch_negatives=in_batch)(None, x)
        np.testing.assert_allclose(value, 1.0, atol=1e-5)
        assert np.isfinite(tape.gradient(value, x)).all()


def test_it_is_restored_from_its_config():
    loss = TripletMarginLoss(0.3, "cosine", "all", True, "blocks", name="mine")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()
    x = TRIPLETS.transpose(1, 0, 2).reshape(24, 4)
    np.testing.assert_array_equal(loss(None, x), again(None, x))


@pytest.mark.parametrize(
    ("layout", "shape"),
    [("columns", (4, 4)), ("columns", (4, 2, 3)), ("columns", (4,)), ("blocks", (4, 3))],
)
def test_other_shapes_are_refused(layout, shape):
    with pytest.raises(ValueError, match=r"`y_pred`.*TripletLoss"):
        TripletMarginLoss(layout=layout)(None, np.zeros(shape))


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (ValueError, "in_batch_negatives", "easy"),
        (ValueError, "layout", "rows"),
        (TypeError, "swap", 1),
        (TypeError, "margin", "x"),
    ],
)
def test_bad_arguments_are_named(error, name, value):
    with pytest.raises(error, match=name):
        TripletMarginLoss(**{name: value})
