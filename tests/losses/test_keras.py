"""Every loss in Keras: compile and fit, mixed precision, serialisation, saved models."""

import copy
import inspect
import json
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

from every import every
from oracle.loss_cases import CASES, one_each
from tensorflow_similarity import losses

slow = pytest.mark.slow


def model_for(case, name="embedding"):
    """A tiny model whose output is what the loss takes."""
    inputs = keras.Input((5,))
    x = layers.Dense(4, name=name)(inputs)
    if case.takes == "distances":
        x = layers.Dense(1, activation="softplus", dtype="float32")(x)
    if case.takes == "similarities":
        x = layers.Lambda(lambda x: ops.matmul(x, ops.transpose(x)), output_shape=(None,))(x)
    return keras.Model(inputs, x)


def data_for(case, n=12):
    x = np.random.default_rng(50).normal(size=(n, 5)).astype("float32")
    return x, case.labels_of(n, seed=50)


def fitted(case, epochs=1, **compile_options):
    x, y = data_for(case)
    model = model_for(case)
    before = [w.numpy().copy() for w in model.trainable_weights]
    # Not Adam: most losses do not depend on a common bias, and it would make whole
    # steps of the rounding in that gradient of 0.
    model.compile(keras.optimizers.SGD(0.01), loss=case.make(), **compile_options)
    history = model.fit(x, y, batch_size=6, epochs=epochs, shuffle=False, verbose=0)
    after = [w.numpy() for w in model.trainable_weights]
    return model, history.history["loss"][0], before, after


# Warnings are errors in these tests: training has none.
@pytest.mark.parametrize(
    "name", [n if n == "triplet_semi_hard" else pytest.param(n, marks=slow) for n in one_each()]
)
def test_fit(name):
    _, value, before, after = fitted(CASES[name])
    assert np.isfinite(value)
    assert all(np.isfinite(w).all() for w in after)
    assert any(np.any(a != b) for a, b in zip(after, before, strict=True))


@slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {"jit_compile": True}) for name in one_each()),
        *((name, {"run_eagerly": True}) for name in ("triplet_semi_hard", "contrastive", "npairs")),
    ],
    ids=str,
)
def test_fit_gives_the_same_weights_however_it_runs(name, options):
    keras.utils.set_random_seed(1)
    _, value, _, plain = fitted(CASES[name], jit_compile=False)
    keras.utils.set_random_seed(1)
    _, other, _, after = fitted(CASES[name], **options)
    np.testing.assert_allclose(other, value, rtol=1e-4)
    for a, b in zip(after, plain, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("triplet", "mixed_float16"),
        *(
            pytest.param(name, policy, marks=slow)
            for policy, names in (
                ("mixed_float16", one_each()),
                ("mixed_bfloat16", ("triplet_semi_hard", "lifted_struct", "contrastive")),
            )
            for name in names
            if (name, policy) != ("triplet", "mixed_float16")
        ),
    ],
)
@pytest.mark.further
def test_mixed_precision_trains(name, policy):
    # Keras begins with a loss scale of 2**15 and halves it, without a step, whenever
    # a gradient overflows: what learns from steep losses takes some steps to begin.
    keras.config.set_dtype_policy(policy)
    _, value, before, after = fitted(CASES[name], epochs=12)
    assert np.isfinite(value)
    assert all(np.isfinite(w).all() for w in after)
    assert any(np.any(a != b) for a, b in zip(after, before, strict=True))


@pytest.mark.further
def test_fit_keeps_class_ids_apart():
    # Through `fit`, where Keras converts labels: 2**24 and 2**24 + 1 are two classes.
    case = CASES["triplet_semi_hard"]
    x = np.random.default_rng(51).normal(size=(12, 5)).astype("float32")
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = model_for(case)
    model.compile(loss=case.make(), jit_compile=False)
    values = [
        model.evaluate(x, first + np.arange(12) % 2, batch_size=12, verbose=0)
        for first in (0, 2**24, 2**53)
    ]
    assert values[0] > 0
    np.testing.assert_allclose(values, values[0], rtol=1e-6)


@pytest.mark.further
def test_fit_takes_columns_of_labels_and_weights():
    case = CASES["lifted_struct"]
    x, y = data_for(case)
    weights = np.arange(12) % 3
    values = []
    for labels, w in ((y, weights), (y[:, None], weights[:, None])):
        keras.utils.set_random_seed(0)
        model = model_for(case)
        model.compile(loss=case.make(), jit_compile=False)
        values.append(model.evaluate(x, labels, sample_weight=w, batch_size=12, verbose=0))
    np.testing.assert_allclose(values[0], values[1], rtol=1e-6)
    model.compile(loss=case.make(reduction="sum"), jit_compile=False)
    unweighted = model.evaluate(x, y, batch_size=12, verbose=0)
    assert unweighted > 0
    losses = np.asarray(case.make(reduction=None)(y, model.predict(x, verbose=0)))
    np.testing.assert_allclose(unweighted, losses.sum(), rtol=1e-5)
    np.testing.assert_allclose(values[0], (losses * weights).mean(), rtol=1e-5)


def test_a_ragged_last_batch_does_no_harm():
    # 13 examples in batches of 6: the last batch is a single example.
    case = CASES["npairs"]
    x, y = data_for(case, 13)
    model = model_for(case)
    model.compile("sgd", loss=case.make(), jit_compile=False)
    model.fit(x, y, batch_size=6, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("name", one_each())
def test_round_trip_through_json(name):
    case = CASES[name]
    y_true, y_pred = case.batch(8, seed=52)
    loss = case.make(name="mine", reduction="sum", block_size=8)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    assert config["registered_name"] == f"tensorflow_similarity>{type(loss).__name__}"
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    assert (again.name, again.reduction, again.block_size) == ("mine", "sum", 8)
    assert again.distance == loss.distance
    np.testing.assert_array_equal(again(y_true, y_pred), loss(y_true, y_pred))
    copy = type(loss).from_config(loss.get_config())
    assert copy.get_config() == loss.get_config()
    assert repr(copy) == repr(loss)


LOAD = """
import json, sys
import keras, numpy as np
import tensorflow_similarity
model = keras.saving.load_model(sys.argv[1])
x, y = np.load(sys.argv[2]), np.load(sys.argv[3])
model.fit(x, y, batch_size=6, verbose=0)
print(json.dumps([model.loss.get_config(), float(model.evaluate(x, y, verbose=0))]))
"""


@slow
@pytest.mark.parametrize("name", [n for n in one_each() if CASES[n].takes == "embeddings"])
def test_a_saved_model_loads_and_goes_on(name, tmp_path):
    case = CASES[name]
    model, *_ = fitted(case)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert again.loss.get_config() == model.loss.get_config()
    x, y = data_for(case)
    kwargs = {"batch_size": 12, "verbose": 0}
    np.testing.assert_allclose(
        again.evaluate(x, y, **kwargs), model.evaluate(x, y, **kwargs), rtol=1e-5
    )
    again.fit(x, y, **kwargs)


@slow
def test_a_saved_model_loads_in_a_fresh_process(tmp_path):
    case = CASES["triplet_semi_hard"]
    model, *_ = fitted(case)
    model.save(tmp_path / "m.keras")
    x, y = data_for(case)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    arguments = [tmp_path / "m.keras", tmp_path / "x.npy", tmp_path / "y.npy"]
    run = subprocess.run(
        [sys.executable, "-c", LOAD, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    config, value = json.loads(run.stdout.splitlines()[-1])
    assert config == json.loads(json.dumps(model.loss.get_config()))
    assert np.isfinite(value)


@slow
def test_every_public_loss_is_copied_and_pickled():
    """Also the bases: what a subclass inherits must not stand in its way."""
    arguments = {
        "CompatibleLoss": (losses.TripletLoss(),),
        "CrossBatchMemory": (losses.TripletLoss(), 8),
        "MatryoshkaLoss": (losses.TripletLoss(), [2, 4]),
        "PartialProxyLoss": (losses.ArcFaceLoss(),),
        "WeightedSumLoss": ([losses.TripletLoss(), losses.SupConLoss()],),
    }

    def check(cls):
        loss = cls(*arguments.get(cls.__name__, ()))
        for again in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
            assert type(again) is cls
            assert again.get_config() == loss.get_config()

    public = {getattr(losses, name) for name in losses.__all__}
    every(check, sorted(filter(inspect.isclass, public), key=lambda cls: cls.__name__))
