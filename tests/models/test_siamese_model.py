"""Training on triplets and pairs that are given, and labels that could not train anything."""

import keras
import numpy as np
import pytest

from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import (
    ContrastiveLoss,
    CrossBatchMemory,
    TripletLoss,
    TripletMarginLoss,
    TripletSemiHardLoss,
)
from tensorflow_similarity.models import SiameseModel, SimilarityModel
from tensorflow_similarity.samplers import RowSampler
from tensorflow_similarity.targets import Targets

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 5)).astype("float32")
A, P, N = X[:8], X[8:16], X[16:]
SAME = np.array([1, 0, 1, 0, 0, 1, 1, 0])


def encoder():
    return keras.Sequential([keras.Input((5,)), L2Embedding(3)])


def made(loss, **kwargs):
    model = SiameseModel(encoder())
    model.compile("sgd", loss=loss, run_eagerly=True, **kwargs)
    return model


def loss_of(model, *args, **kwargs):
    return model.evaluate(*args, verbose=0, return_dict=True, **kwargs)["loss"]


def rows(model, *sides):
    return np.stack([model.predict(side, verbose=0) for side in sides], axis=1)


@pytest.mark.parametrize("in_batch", [None, "hard", "all"])
@pytest.mark.further
def test_triplets_are_compared_row_by_row(in_batch):
    loss = TripletMarginLoss(0.7, in_batch_negatives=in_batch)
    model = made(loss)
    expected = float(loss(None, rows(model, A, P, N)))
    assert expected > 0
    assert loss_of(model, (A, P, N), batch_size=8) == pytest.approx(expected, rel=1e-5)
    if in_batch is None:
        named = {"anchor": A, "positive": P, "negative": N}
        assert loss_of(model, named, batch_size=8) == pytest.approx(expected, rel=1e-5)
        placeholder = loss_of(model, (A, P, N), np.zeros(8), batch_size=8)
        assert placeholder == pytest.approx(expected, rel=1e-5)
    before = model.predict(A, verbose=0)
    model.fit((A, P, N), epochs=2, batch_size=8, verbose=0)
    assert np.abs(model.predict(A, verbose=0) - before).max() > 1e-4
    assert loss_of(model, (A, P, N), batch_size=8) < expected


@pytest.mark.further
def test_anchors_have_several_negatives():
    model = made(TripletMarginLoss(0.7))
    negatives = np.stack([N, P[::-1]], axis=1)
    expected = TripletMarginLoss(0.7)(None, rows(model, A, P, N, P[::-1]))
    found = loss_of(model, (A, P, negatives), batch_size=8)
    assert found == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("distance", [None, "cosine"])
@pytest.mark.further
def test_pairs_are_compared_row_by_row(distance):
    model = made(ContrastiveLoss(margin=0.8, distance=distance))
    a, b = (model.predict(side, verbose=0) for side in (A, P))
    apart = 1 - (a * b).sum(axis=1) if distance else np.linalg.norm(a - b, axis=1)
    expected = np.mean(SAME * apart**2 + (1 - SAME) * np.maximum(0, 0.8 - apart) ** 2)
    named = {"left": A, "right": P}
    for x, y in (((A, P), SAME), (named, SAME[:, None] * 1.0), ((A, P), SAME == 1)):
        assert loss_of(model, x, y, batch_size=8) == pytest.approx(expected, rel=1e-4)
    weights = np.arange(8.0)
    costs = SAME * apart**2 + (1 - SAME) * np.maximum(0, 0.8 - apart) ** 2
    found = loss_of(model, (A, P), SAME, sample_weight=weights, batch_size=8)
    assert found == pytest.approx(np.mean(costs * weights), rel=1e-4)
    history = model.fit((A, P), SAME, verbose=0).history
    assert history["loss"][0] == pytest.approx(expected, rel=1e-4)


def test_it_is_indexed_and_saved(tmp_path):
    model = made(TripletMarginLoss(0.5, "cosine"))
    model.fit((A, P, N), verbose=0)
    model.index(X, verbose=0)
    found = model.lookup(X[:4], k=1, verbose=0)
    assert found.ids[:, 0].tolist() == [0, 1, 2, 3]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.lookup(X[:4], k=1, verbose=0).ids.tolist() == found.ids.tolist()
    assert loss_of(again, (A, P, N)) == pytest.approx(loss_of(model, (A, P, N)), rel=1e-5)


@pytest.mark.parametrize(
    ("error", "match", "loss"),
    [
        (TypeError, "TripletMarginLoss.*ContrastiveLoss.*DualEncoder", TripletLoss()),
        (TypeError, "loss", "mse"),
        (ValueError, "layout", TripletMarginLoss(layout="blocks")),
    ],
)
def test_other_losses_are_refused(error, match, loss):
    with pytest.raises(error, match=match):
        made(loss)


@pytest.mark.parametrize(
    ("match", "loss", "arguments"),
    [
        ("anchor, positive, negative.*2 entries", TripletMarginLoss(), ((A, P),)),
        (r"keys \['a', 'b'\]", TripletMarginLoss(), ({"a": A, "b": P},)),
        ("left, right.*3 entries", ContrastiveLoss(), ((A, P, N), SAME)),
        ("`y` must say.*None", ContrastiveLoss(), ((A, P),)),
        ("0 for", ContrastiveLoss(), ((A, P), SAME * 2 - 1)),
    ],
)
@pytest.mark.further("`y` must say.*None-loss3-arguments3")
def test_other_inputs_are_refused(match, loss, arguments):
    with pytest.raises(ValueError, match=match):
        made(loss).fit(*arguments, verbose=0)


# Rows by the positions of their examples.


def test_rows_come_once_an_epoch_and_are_reproducible():
    anchors, positives, negatives = (RNG.integers(24, size=21) for _ in range(3))
    triplets = Targets.triplets(anchors, positives, negatives)
    sampler = RowSampler(X, triplets, batch_size=8, seed=3)
    assert len(sampler) == 3
    orders = []
    for epoch in range(2):
        sampler.epoch = epoch
        (batches,) = zip(*sampler, strict=True)
        assert [len(a) for a, _, _ in batches] == [8, 8, 5]
        a, p, n = (np.concatenate(side) for side in zip(*batches, strict=True))
        order = [
            next(i for i in range(21) if (X[[anchors[i], positives[i], negatives[i]]] == r).all())
            for r in np.stack([a, p, n], axis=1)
        ]
        assert sorted(order) == list(range(21))
        orders.append(order)
    assert orders[0] != orders[1]
    again = RowSampler(X, triplets, batch_size=8, seed=3)
    np.testing.assert_array_equal(again[2][0][0], X[anchors[orders[0][16:]]])


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.further("2")
def test_rows_train_a_model(workers):
    pairs = Targets.pairs(SAME, np.arange(8), np.arange(8, 16))
    sampler = RowSampler(X, pairs, batch_size=3, seed=0, workers=workers)
    (left, right), same = sampler[0]
    which = [int(np.flatnonzero((row == A).all(axis=1))[0]) for row in left]
    np.testing.assert_array_equal(right, P[which])
    np.testing.assert_array_equal(same, SAME[which])
    assert np.isfinite(made(ContrastiveLoss()).fit(sampler, verbose=0).history["loss"]).all()
    texts = RowSampler([f"{i}" * (i + 1) for i in range(24)], pairs, seed=0)
    assert len(np.asarray(texts[0][0][0])) == 8


@pytest.mark.further
def test_rows_follow_the_epochs_of_training():
    triplets = Targets.triplets(np.arange(8), np.arange(8, 16), np.arange(16, 24))
    sampler = RowSampler(X, triplets, batch_size=4, seed=0)
    made(TripletMarginLoss()).fit(sampler, initial_epoch=2, epochs=3, verbose=0)
    assert sampler.epoch == 3


@pytest.mark.parametrize(
    ("error", "match", "targets"),
    [
        (TypeError, "targets", np.arange(24)),
        (TypeError, "targets", Targets.classes(np.arange(24))),
        (ValueError, r"left.*SiameseModel", Targets.pairs(SAME)),
        (ValueError, r"negatives.*24", Targets.triplets([0], [1], [24])),
        (ValueError, r"anchors.*-1", Targets.triplets([-1], [1], [2])),
        (ValueError, "at least one", Targets.triplets([], [], [])),
    ],
)
def test_other_rows_are_refused(error, match, targets):
    with pytest.raises(error, match=match):
        RowSampler(X, targets)


# Placeholders for labels.


def classes_model(loss):
    inputs = keras.Input((5,))
    model = SimilarityModel(inputs, L2Embedding(3)(inputs))
    model.compile("sgd", loss=loss, run_eagerly=True)
    return model


@pytest.mark.parametrize(
    "loss",
    [
        TripletLoss(),
        TripletSemiHardLoss(),
        TripletLoss("euclidean", "easy", "hard"),
        CrossBatchMemory(TripletLoss(), 8),
    ],
)
@pytest.mark.parametrize("y", [np.zeros(24), np.zeros((24, 1), "int32"), [7] * 24])
@pytest.mark.further("y0-loss2", "y1-loss2")
def test_labels_of_one_class_are_refused_where_the_loss_is_0(loss, y):
    y = np.asarray(y)
    with pytest.raises(ValueError, match=r"`y` must have several classes.*SiameseModel"):
        classes_model(loss).fit(X, y, verbose=0)


def three_inputs(loss):
    """A model as people write it: three embeddings, one behind the other."""
    network = encoder()
    inputs = [keras.Input((5,)) for _ in range(3)]
    outputs = keras.layers.Concatenate()([network(one) for one in inputs])
    model = SimilarityModel(inputs, outputs)
    model.compile("sgd", loss=loss, run_eagerly=True)
    return model, network


@pytest.mark.further
def test_concatenated_triplets_with_a_placeholder_train():
    model, network = three_inputs(TripletMarginLoss(0.7))
    expected = float(TripletMarginLoss(0.7)(None, rows(network, A, P, N)))
    history = model.fit([A, P, N], np.zeros(8), batch_size=8, epochs=3, verbose=0).history["loss"]
    assert history[0] == pytest.approx(expected, rel=1e-5)
    assert history[2] < history[0]
    with pytest.raises(ValueError, match=r"TripletLoss.*TripletMarginLoss"):
        three_inputs(TripletLoss())[0].fit([A, P, N], np.zeros(8), verbose=0)


def test_losses_that_learn_from_one_class_take_it_with_a_warning():
    model = classes_model(ContrastiveLoss(distance="euclidean"))
    with pytest.warns(UserWarning, match=r"`y` must have several classes.*to one point") as caught:
        assert model.fit(X, np.zeros(24, int), verbose=0).history["loss"][0] > 0
    assert len(caught) == 1
    assert caught[0].filename == __file__


def placeholders(kind):
    """Data of which `y` is a placeholder, as (arguments, keyword arguments) of `fit`."""
    if kind == "arrays in order":  # A batch has one class.
        return (X, np.arange(24) // 6), {"batch_size": 6, "shuffle": False}
    if kind == "generator":
        return ((X[:8], np.zeros(8, int)) for _ in range(12)), {
            "steps_per_epoch": 4,
            "shuffle": False,
        }
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, np.zeros(24, int))).batch(6), {"shuffle": False}


@pytest.mark.further
@pytest.mark.parametrize("kind", ["arrays in order", "generator", "tf.data", "two outputs"])
def test_a_loss_of_0_in_the_first_batches_is_warned_of_at_once(kind):
    model = classes_model(TripletLoss())
    data, options = placeholders("tf.data" if kind == "two outputs" else kind)
    if kind == "two outputs":
        inputs = keras.Input((5,))
        model = SimilarityModel(
            inputs, {"e": L2Embedding(3)(inputs), "price": keras.layers.Dense(1)(inputs)}
        )
        model.compile("sgd", loss={"e": TripletLoss(), "price": "mse"}, run_eagerly=True)
        data = data.map(lambda x, y: (x, {"e": y, "price": y + 1}))
    args = data if isinstance(data, tuple) else (data,)
    with pytest.warns(
        UserWarning, match=r"exactly 0 in the first 3 batches.*SiameseModel"
    ) as caught:
        model.fit(*args, epochs=3, verbose=0, **options)
    assert len(caught) == 1
    assert caught[0].filename == __file__
