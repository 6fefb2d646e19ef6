"""Class ids of any size are different classes, on a backend of 32 bits too, without a warning."""

import os
import warnings

import h5py
import keras
import numpy as np
import pytest

from tensorflow_similarity import losses, samplers, training_metrics
from tensorflow_similarity._class_numbers import ids_of, numbers_of
from tensorflow_similarity.layers import L2Embedding, MarginHead, MemoryBank, ProxyHead
from tensorflow_similarity.models import DualEncoder, SimilarityModel

ON_JAX = os.environ.get("KERAS_BACKEND") == "jax"
Y = np.tile(np.arange(4), 16)
X = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
# To a backend that takes the lower half of an integer these are two classes and one.
IDS = {
    "int64": np.array([5, 5 + 2**32, 5 + 2**33, -(2**40)]),
    "lowest": np.array([-(2**31), -(2**31) + 1, -(2**63), 2**63 - 1]),
    "uint32": np.array([0, 2**31, 2**32 - 1, 7], np.uint32),
    "uint64": np.array([1, 2**32 + 1, 2**62, 2**33 + 1], np.uint64),
}
every_ids = pytest.mark.parametrize(
    "ids",
    [
        ids if name == "int64" else pytest.param(ids, marks=pytest.mark.slow)
        for name, ids in IDS.items()
    ],
    ids=IDS,
)


def model(loss, head=None, **options):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8,))
    embedding = L2Embedding(3)(inputs)
    made = SimilarityModel(inputs, head(embedding) if head else embedding)
    made.compile(keras.optimizers.Adam(1e-2), loss, **options)
    return made


def trained(y, x=X):
    """All numbers that training with these class ids comes to."""
    loss = losses.CrossBatchMemory(losses.MultiSimilarityLoss(), memory_size=48)
    made = model(loss, metrics=[training_metrics.avg_pos()])
    history = made.fit(
        X, y, batch_size=16, epochs=2, shuffle=False, validation_data=(X, y), verbose=0
    )
    assert int(loss.memory.filled) == 48
    return [
        *history.history.values(),
        made.evaluate(X, y, verbose=0),
        made.train_on_batch(X[:16], y[:16]),
        made.test_on_batch(X[:16], y[:16]),
    ]


@pytest.fixture(scope="module")
def expected():
    return trained(Y)


@every_ids
def test_training_with_a_memory_and_metrics_is_that_of_small_ids(ids, expected):
    if ids.dtype == np.uint64 and not ON_JAX:
        pytest.skip("Keras makes no tensors of torch of them")
    for found, value in zip(trained(ids[Y]), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=2e-5, atol=1e-6)


@every_ids
def test_called_eagerly_with_arrays_lists_and_an_ignored_class(ids):
    x = X[:, :3]
    for cls in (losses.TripletLoss, losses.MultiSimilarityLoss, losses.SupConLoss):
        value = float(cls(ignore_class=1)(Y, x))
        loss = cls(ignore_class=int(ids[1].astype(np.int64)))
        assert float(loss(ids[Y], x)) == pytest.approx(value, rel=1e-6)
    metric, small = training_metrics.avg_pos(), training_metrics.avg_pos()
    metric.update_state(ids[Y], x)
    small.update_state(Y, x)
    assert float(metric.result()) == pytest.approx(float(small.result()))
    if ids.dtype.kind == "i":
        assert float(losses.TripletLoss()(ids[Y].tolist(), x)) == pytest.approx(
            float(losses.TripletLoss()(Y, x))
        )


@pytest.mark.slow
def test_a_stream_of_batches_from_a_sampler():
    def history(y):
        made = model(losses.TripletLoss())
        sampler = samplers.MultiShotMemorySampler(
            X, y, classes_per_batch=3, examples_per_class_per_batch=4, steps_per_epoch=3, seed=0
        )
        return made.fit(sampler, epochs=2, validation_data=sampler, verbose=0).history

    small, large = history(Y), history(np.sort(IDS["int64"])[Y])
    np.testing.assert_allclose(list(small.values()), list(large.values()), rtol=2e-5)


@pytest.mark.slow
def test_ids_of_candidates():
    def tower():
        return keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])

    for loss in (losses.MultiNegativesRankLoss(distance="cosine"), losses.TripletLoss()):
        values = []
        for y in (Y, IDS["int64"][Y]):
            keras.utils.set_random_seed(2)
            made = DualEncoder(tower(), tower())
            made.compile("adam", loss=loss)
            targets = {"candidates": X + 1, "ids": y}
            values.append(made.fit(X, targets, shuffle=False, verbose=0).history["loss"])
        np.testing.assert_allclose(*values, rtol=2e-5)


def test_a_memory_is_saved_with_the_ids_themselves(tmp_path):
    bank, ids = MemoryBank(size=6), IDS["int64"]
    bank.add(keras.ops.ones((4, 2)), keras.ops.convert_to_tensor(numbers_of(ids)))
    with h5py.File(tmp_path / "bank.h5", "w") as file:
        bank.save_own_variables(file)
        assert file["labels"][:4].tolist() == ids.tolist()
        again = MemoryBank(size=6)
        again.load_own_variables(file)
    labels = keras.ops.convert_to_numpy(again.labels)[:4]
    assert ids_of(labels).tolist() == ids.tolist()


def test_numbers_keep_ids_apart_and_lead_back():
    ids = np.concatenate([*(each.astype(np.int64) for each in IDS.values()), [-1, 0, 2**31 - 1]])
    numbers = numbers_of(ids)
    assert len(np.unique(numbers)) == len(np.unique(ids))
    assert (ids_of(numbers) == ids).all()
    assert numbers_of(ids).tolist() == numbers.tolist()
    assert numbers.dtype == (np.int32 if ON_JAX else np.int64)
    assert numbers_of(np.array([7, -5, 2**31 - 1])).tolist() == [7, -5, 2**31 - 1]


@pytest.mark.parametrize(
    ("loss", "head"),
    [
        (losses.ArcFaceLoss(), ProxyHead(4)),
        (losses.MarginLoss(beta=None, classes=4), MarginHead(4)),
    ],
    ids=["proxies", "boundaries"],
)
def test_an_id_without_a_class_in_the_head_is_refused_and_weights_stay(loss, head):
    made = model(loss, head)
    made.fit(X[:16], Y[:16], verbose=0)
    before = [keras.ops.convert_to_numpy(w) for w in made.weights]
    for train in (made.fit, made.train_on_batch, made.evaluate):
        with pytest.raises(ValueError, match="class ids from 0 to 3"):
            train(X, Y + 1)
    for weight, value in zip(made.weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), value)


@pytest.mark.skipif(not ON_JAX, reason="elsewhere an error is raised")
def test_a_plain_model_warns_of_an_id_without_a_class():
    inputs = keras.Input((8,))
    made = keras.Model(inputs, ProxyHead(4)(L2Embedding(3)(inputs)))
    made.compile("sgd", losses.ArcFaceLoss())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made.fit(X, Y + 1, verbose=0)
    assert any("Received: 4" in str(warning.message) for warning in said)
    assert all(np.isfinite(keras.ops.convert_to_numpy(weight)).all() for weight in made.weights)
