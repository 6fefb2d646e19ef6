"""Training, callbacks, index, evaluation and saving on a backend that is not TensorFlow."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tensorflow_similarity import callbacks, evaluation, losses, training_metrics
from tensorflow_similarity.layers import (
    CompatibleHead,
    L2Embedding,
    PartialProxyHead,
    ProxyHead,
)
from tensorflow_similarity.models import SimilarityModel

slow = pytest.mark.slow
Y = np.tile(np.arange(4), 16)
_RNG = np.random.default_rng(0)
X = (_RNG.normal(size=(4, 8))[Y] + 0.3 * _RNG.normal(size=(64, 8))).astype("float32")
QUERIES = X + 0.1


def model(loss=None, head=None, optimizer=None, **options):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8,))
    embedding = L2Embedding(3)(inputs)
    made = SimilarityModel(inputs, head(embedding) if head else embedding)
    made.compile(optimizer or keras.optimizers.Adam(1e-2), loss or losses.TripletLoss(), **options)
    return made


def ids(neighbors):
    return [[found.id for found in row] for row in neighbors]


@slow
def test_a_memory_within_another_loss_is_filled():
    memory = losses.CrossBatchMemory(losses.MultiSimilarityLoss(), memory_size=48)
    made = model(losses.WeightedSumLoss([memory, losses.NCALoss()]))
    made.fit(X, Y, batch_size=16, verbose=0)
    assert int(memory.memory.filled) == 48


@pytest.mark.parametrize(
    "options",
    [
        {},
        *(
            pytest.param(options, marks=slow)
            for options in (
                {"run_eagerly": True},
                {"steps_per_execution": 2},
                {"micro_batch_size": 5},
            )
        ),
    ],
    ids=str,
)
def test_a_memory_is_filled_and_metrics_are_those_of_the_embeddings(options):
    if "steps_per_execution" in options and keras.backend.backend() == "torch":
        pytest.skip("Keras has no such steps with PyTorch")
    loss = losses.CrossBatchMemory(losses.MultiSimilarityLoss(), memory_size=48)
    metrics = [
        training_metrics.avg_pos(),
        training_metrics.MeanCosine(),
        training_metrics.EffectiveRank(),
        training_metrics.ActivePairFraction(),
    ]
    made = model(loss, metrics=metrics, **options)
    before = keras.ops.convert_to_numpy(made.weights[0])
    history = made.fit(X, Y, batch_size=16, epochs=2, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    assert int(loss.memory.filled) == 48
    assert int(loss.memory.steps) == 8
    assert not np.array_equal(before, keras.ops.convert_to_numpy(made.weights[0]))
    found = made.evaluate(X, Y, batch_size=64, return_dict=True, verbose=0)
    assert int(loss.memory.steps) == 8  # Evaluation does not write it.
    embeddings = made.predict(X, verbose=0).astype("float64")
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = unit @ unit.T
    apart = (cosines.sum() - 64) / (64 * 63)
    assert found["mean_cosine"] == pytest.approx(apart, abs=1e-5)


@slow
@pytest.mark.parametrize("name", ["older model", "sample of classes"])
def test_heads_that_are_compared_with_frozen_weights_train_in_parts_as_at_once(name):
    old = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    old.trainable = False
    inputs = keras.Input((8,))
    embedding = keras.layers.Dense(3)(inputs)
    if name == "older model":
        outputs, y = CompatibleHead()([embedding, old(inputs, training=False)]), Y
        loss = losses.CompatibleLoss(losses.TripletLoss())
    else:
        outputs, y = PartialProxyHead(40)(embedding), Y * 10
        loss = losses.PartialProxyLoss(losses.CosFaceLoss(scale=8.0), 6)
    frozen, runs = [keras.ops.convert_to_numpy(w) for w in old.weights], []
    made = SimilarityModel(inputs, outputs)
    start = made.get_weights()
    for size in (None, 5):
        made.compile(keras.optimizers.SGD(0.1), loss, micro_batch_size=size)
        made.set_weights(start)
        history = made.fit(X, y, batch_size=16, epochs=2, shuffle=False, verbose=0).history
        runs.append((history["loss"], made.get_weights()))
    (values, weights), (again, others) = runs
    assert values[-1] < values[0]
    np.testing.assert_allclose(values, again, rtol=1e-5)
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    for weight, was in zip(old.weights, frozen, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), was)


@slow
@pytest.mark.parametrize(
    "cls", [losses.FastAPLoss, losses.HistogramLoss, losses.SmoothAPLoss, losses.TripletLoss]
)
def test_blocks_train_as_all_at_once(cls):
    one, two = (
        model(cls(block_size=size)).fit(X, Y, batch_size=32, shuffle=False, verbose=0).history
        for size in (None, 5)
    )
    np.testing.assert_allclose(one["loss"], two["loss"], rtol=1e-5)


@slow
def test_callbacks_see_the_weights_as_they_are_within_an_epoch():
    class Lookups(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.reset_index()
            self.model.index(X, Y, verbose=0)
            rows = self.model.lookup(X[:2], k=1, verbose=0)
            assert [row[0].label for row in rows] == [0, 1]
            assert max(row[0].distance for row in rows) < 1e-6

    made = model()
    doctor = callbacks.TrainingDoctor(X, Y, freq=2, batch_size=32)
    evaluated = callbacks.EvalCallback(QUERIES[:16], Y[:16], X, Y)
    history = made.fit(
        X, Y, batch_size=16, epochs=2, verbose=0, callbacks=[doctor, evaluated, Lookups()]
    ).history
    assert len(doctor.history) == 5
    assert len(history["map@r"] if "map@r" in history else history["loss"]) == 2


@slow
@pytest.mark.parametrize(
    "options",
    [
        {"use_ema": True, "ema_overwrite_frequency": 2},
        {"use_ema": True},
        {"gradient_accumulation_steps": 2},
    ],
    ids=str,
)
def test_optimizers_that_keep_more_than_one_copy_of_the_weights(options):
    made = model(optimizer=keras.optimizers.Adam(1e-2, **options))
    watching = [callbacks.EvalCallback(QUERIES[:16], Y[:16], X, Y)]
    if "use_ema" in options and "ema_overwrite_frequency" not in options:
        watching.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    made.fit(X, Y, batch_size=16, epochs=2, verbose=0, callbacks=watching)
    made.index(X, Y, verbose=0)
    assert ids(made.lookup(X, k=1, verbose=0)) == [[i] for i in range(64)]


@slow
def test_lookups_of_what_other_libraries_yield():
    made = model()
    made.index(X, Y, verbose=0)
    expected = ids(made.lookup(QUERIES, k=3, verbose=0))
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensor_slices((QUERIES, Y)).batch(10)
    assert ids(made.lookup(dataset, k=3, verbose=0)) == expected
    made.fit(dataset, shuffle=False, verbose=0)
    data = pytest.importorskip("torch.utils.data")
    torch = pytest.importorskip("torch")
    loader = data.DataLoader(
        data.TensorDataset(torch.tensor(QUERIES), torch.tensor(Y)), batch_size=10
    )
    made.reset_index()
    made.index(X, Y, verbose=0)
    expected = ids(made.lookup(QUERIES, k=3, verbose=0))
    assert ids(made.lookup(loader, k=3, verbose=0)) == expected
    made.fit(loader, shuffle=False, verbose=0)


def test_evaluation_calibration_matching_and_saving(tmp_path):
    made = model()
    made.fit(X, Y, verbose=0)
    made.index(X, Y, verbose=0)
    made.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert ids(again.lookup(QUERIES, k=3, verbose=0)) == ids(made.lookup(QUERIES, k=3, verbose=0))
    assert made.evaluate_retrieval(QUERIES, Y, verbose=0)["precision@1"] > 0.5
    made.evaluate_with_baselines(X, Y)
    made.calibrate(QUERIES, Y, verbose=0)
    made.evaluate_classification(QUERIES, Y, verbose=0)
    assert made.match(QUERIES[:3], verbose=0).shape == (3,)
    embeddings = made.predict(X, verbose=0)
    evaluation.evaluate(embeddings, Y)
    evaluation.evaluate(embeddings, Y, distance="euclidean")


def test_a_head_of_proxies_is_trained_and_the_embedding_below_indexed():
    made = model(losses.ArcFaceLoss(), ProxyHead(4), metrics=["accuracy"])
    history = made.fit(X, Y, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    made.index(X, Y, verbose=0)
    assert made.vector_index.embedding_size == 3


@slow
def test_a_saved_model_answers_the_same_on_another_backend(tmp_path):
    loss = losses.CrossBatchMemory(losses.TripletLoss(), memory_size=32)
    made = model(loss)
    made.fit(X, Y, batch_size=16, verbose=0)
    made.index(X, Y, verbose=0)
    made.calibrate(QUERIES, Y, verbose=0)
    expected = ids(made.lookup(QUERIES, k=5, verbose=0))
    # Not those of the calibration: a threshold is the distance of one of them to the last bit.
    others = X - 0.07
    matched = made.match(others, verbose=0)
    made.save(tmp_path / "model.keras")
    arrays = {"queries": QUERIES, "expected": expected, "others": others, "matched": matched}
    np.savez(tmp_path / "given.npz", **arrays, x=X, y=Y)
    program = """
import sys, keras, numpy as np, tensorflow_similarity
folder = sys.argv[1]
model = keras.saving.load_model(folder + "/model.keras")
given = np.load(folder + "/given.npz")
found = model.lookup(given["queries"], k=5, verbose=0)
assert [[n.id for n in row] for row in found] == given["expected"].tolist()
assert model.match(given["others"], verbose=0).tolist() == given["matched"].tolist()
assert int(model.loss.memory.filled) == 32
model.fit(given["x"], given["y"], batch_size=16, verbose=0)
model.reset_index()
model.index(given["x"], given["y"], verbose=0)
again = [[n.id for n in row] for row in model.lookup(given["queries"], k=5, verbose=0)]
np.save(folder + "/again.npy", again)
model.save(folder + "/model.keras")
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    back = keras.saving.load_model(tmp_path / "model.keras")
    again = np.load(tmp_path / "again.npy").tolist()
    assert ids(back.lookup(QUERIES, k=5, verbose=0)) == again


def test_what_needs_tensorflow_says_so(tmp_path):
    made = model()
    made.index(X, Y, verbose=0)
    with pytest.raises(RuntimeError, match="TensorFlow backend"):
        made.export_serving(tmp_path / "served")


@slow
def test_an_error_in_the_data_leaves_the_weights():
    class Data(keras.utils.PyDataset):
        def __init__(self, good):
            super().__init__()
            self.good = good

        def __len__(self):
            return 4

        def __getitem__(self, i):
            if i >= self.good:
                raise KeyError("no such file")
            return X[:8], Y[:8]

    made = model()
    made.fit(X, Y, verbose=0)
    before = [keras.ops.convert_to_numpy(w) for w in made.weights]
    for good in (0, 2):
        for run in (made.evaluate, made.fit):
            with pytest.raises(KeyError, match="no such file"):
                run(Data(good), verbose=0)
            after = [keras.ops.convert_to_numpy(w) for w in made.weights]
            assert all(np.isfinite(w).all() for w in after)
        if not good:
            assert all(map(np.array_equal, before, after))
    made.fit(X, Y, verbose=0)


@slow
def test_importing_the_package_does_not_import_tensorflow():
    program = "import sys, tensorflow_similarity; assert 'tensorflow' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
