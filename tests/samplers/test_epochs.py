"""Batches are those of Keras' epoch: a resumed run draws what an uninterrupted one draws."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import (
    FollowEpochs,
    MultiShotMemorySampler,
    SingleShotMemorySampler,
)

X = np.arange(40, dtype="float32")[:, None] * [1.0, 0.0]
Y = np.repeat(np.arange(5), 8)
STEPS = 3


def watched(base):
    """A model, and lists of the examples of each batch that it is trained and tested on."""
    seen = {True: [], False: []}

    class Watched(base):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x, training=False):
            if not isinstance(x, keras.KerasTensor):
                seen[training].append(tuple(np.asarray(x)[:, 0].astype(int).tolist()))
            return self.dense(x)

    model = Watched()
    model(np.zeros((1, 2), "float32"))
    seen[False].clear()
    distance = {"distance": "euclidean"} if base is SimilarityModel else {}
    model.compile("sgd", loss="mse", run_eagerly=True, **distance)
    return model, seen


def sampler(seed=0, **kwargs):
    return MultiShotMemorySampler(X, Y, 3, steps_per_epoch=STEPS, seed=seed, **kwargs)


def drawn(epoch, seed=0, steps=STEPS, **kwargs):
    """The batches of an epoch, one by one."""
    made = sampler(seed, **kwargs)
    made.epoch, made.steps_per_epoch = epoch, steps
    return [tuple(x[:, 0].astype(int).tolist()) for x, _ in made]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.further
def test_a_resumed_run_draws_the_batches_of_an_uninterrupted_one(workers):
    model, seen = watched(SimilarityModel)
    model.fit(sampler(workers=workers), epochs=4, verbose=0)
    assert seen[True] == [batch for epoch in range(4) for batch in drawn(epoch)]
    again, resumed = watched(SimilarityModel)
    again.fit(sampler(workers=workers), initial_epoch=2, epochs=4, verbose=0)
    assert resumed[True] == seen[True][2 * STEPS :]


class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("workers", "as_one"), [(1, True), (3, False)])
@pytest.mark.further("3-False")
def test_backup_and_restore_go_on_with_the_batches_that_come_next(tmp_path, workers, as_one):
    def callbacks(*more):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        made = [*more, backup]
        return keras.callbacks.CallbackList(made, add_history=True) if as_one else made

    model, seen = watched(SimilarityModel)
    made = callbacks(Interrupt())
    if as_one:
        made.set_model(model)
    with pytest.raises(KeyboardInterrupt):
        model.fit(sampler(workers=workers), epochs=4, callbacks=made, verbose=0)
    assert seen[True] == drawn(0) + drawn(1)
    again, resumed = watched(SimilarityModel)
    made = callbacks()
    if as_one:
        made.set_model(again)
    again.fit(sampler(workers=workers), epochs=4, callbacks=made, verbose=0)
    assert resumed[True] == drawn(2) + drawn(3)


@pytest.mark.further
def test_another_fit_goes_on_and_epochs_may_be_set():
    model, seen = watched(SimilarityModel)
    made = sampler()
    model.fit(made, epochs=2, verbose=0)
    model.fit(made, verbose=0)
    assert made.epoch == 3
    model.fit(made, initial_epoch=3, epochs=4, verbose=0)
    assert seen[True] == [batch for epoch in range(4) for batch in drawn(epoch)]
    made.epoch = 0
    seen[True].clear()
    model.fit(made, verbose=0)
    assert seen[True] == drawn(0)


def test_a_stopped_epoch_is_not_drawn_again():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    model, seen = watched(SimilarityModel)
    made = sampler()
    model.fit(made, epochs=3, callbacks=Stop(), verbose=0)
    assert made.epoch == 1
    model.fit(made, verbose=0)
    assert seen[True] == drawn(0)[:2] + drawn(1)


@pytest.mark.parametrize("steps", [2, 7])
@pytest.mark.further("2")
def test_steps_per_epoch_are_those_of_the_epochs_of_the_sampler(steps):
    model, seen = watched(SimilarityModel)
    made = sampler()
    model.fit(made, epochs=2, steps_per_epoch=steps, verbose=0)
    assert seen[True] == drawn(0, steps=steps) + drawn(1, steps=steps)
    assert made.steps_per_epoch == STEPS


@pytest.mark.parametrize(("steps", "workers"), [(None, 2), (2, 1), (2, 2)])
@pytest.mark.further
def test_validation_draws_the_batches_of_the_epoch_too(steps, workers):
    model, seen = watched(SimilarityModel)
    options = {"validation_steps": steps, "verbose": 0}
    model.fit(sampler(), validation_data=sampler(5, workers=workers), epochs=2, **options)
    expected = [b for e in range(2) for b in drawn(e, 5, steps=steps or STEPS)]
    assert seen[False] == expected
    again, resumed = watched(SimilarityModel)
    validation = sampler(5, workers=workers)
    again.fit(sampler(), validation_data=validation, initial_epoch=1, epochs=2, **options)
    assert resumed[False] == expected[len(expected) // 2 :]


@pytest.mark.further
def test_plain_models_have_a_callback():
    model, seen = watched(keras.Model)
    made = sampler()
    fit = {"callbacks": [FollowEpochs(made)], "shuffle": False, "verbose": 0}
    model.fit(made, initial_epoch=2, epochs=4, **fit)
    assert seen[True] == drawn(2) + drawn(3)
    model.fit(made, **fit)
    assert seen[True][2 * STEPS :] == drawn(4)
    validation = sampler(5)
    model.fit(
        made, validation_data=validation, **fit | {"callbacks": FollowEpochs(made, validation)}
    )
    assert seen[False] == drawn(5, 5)


def test_only_samplers_are_followed():
    with pytest.raises(TypeError, match=r"sampler.*MultiShotMemorySampler"):
        FollowEpochs(X)
    with pytest.raises(TypeError, match="validation"):
        FollowEpochs(sampler(), X)


@pytest.mark.further
def test_fit_takes_its_arguments_as_keras_does():
    model, _ = watched(SimilarityModel)
    assert len(model.fit(X, Y, 8, 2, 0).history["loss"]) == 2
    with pytest.raises(TypeError, match="epoch"):
        model.fit(X, Y, epoch=2)


# Names that samplers have in TensorFlow Similarity 0.17.


def test_batches_before_augmentation():
    made = sampler(augmenter=lambda x, y: (-x, y))
    made.epoch = 1
    for step in range(STEPS):
        x, y = made.generate_batch(step)
        np.testing.assert_array_equal(x, -made[step][0])
        np.testing.assert_array_equal(y, made[step][1])
    with pytest.raises(ValueError, match="batch_id"):
        made.generate_batch(-1)


def test_positions_of_each_class():
    found = sampler(class_list=[1, 3, 4]).index_per_class
    assert list(found) == [1, 3, 4]
    for label, positions in found.items():
        np.testing.assert_array_equal(positions, np.flatnonzero(label == Y))


@pytest.mark.parametrize(
    ("x", "shape"),
    [
        (X, (2,)),
        ({"a": X, "b": X[:, 0]}, {"a": (2,), "b": ()}),
        (np.array(["text"] * 40), ()),
        ([[1, 2, 3]] * 39 + [[1]], (3,)),
    ],
)
def test_shapes_of_examples(x, shape):
    assert MultiShotMemorySampler(x, Y, seed=0).example_shape == shape
    assert SingleShotMemorySampler(x, lambda x, y: (x, y), 5, seed=0).example_shape == shape


def test_slices_are_augmented_if_asked_for():
    views = SingleShotMemorySampler(X, lambda x, y: (x + 0.5, y), 5, seed=0)
    x, y = views.get_slice(3, 4, augment=True)
    np.testing.assert_array_equal(x[:, 0], [3.5, 4.5, 5.5, 6.5] * 2)
    np.testing.assert_array_equal(y, [3, 4, 5, 6] * 2)
    np.testing.assert_array_equal(views.get_slice(3, 4)[0][:, 0], [3, 4, 5, 6])
    x, _ = sampler(augmenter=lambda x, y: (-x, y)).get_slice(1, 2, augment=True)
    np.testing.assert_array_equal(x[:, 0], [-1, -2])
    np.testing.assert_array_equal(sampler().get_slice(1, 2, augment=True)[0], X[1:3])


_ON_BACKEND = """
import keras, numpy as np
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import MultiShotMemorySampler

x, y = np.random.default_rng(0).normal(size=(40, 2)).astype("float32"), np.repeat(range(5), 8)

def losses(y, workers, **options):
    inputs = keras.Input((2,))
    model = SimilarityModel(inputs, L2Embedding(3, kernel_initializer="ones")(inputs))
    model.compile("sgd", loss=TripletLoss("euclidean"))
    kernel = np.arange(6.0).reshape(2, 3)
    model.set_weights([kernel if w.shape == (2, 3) else w for w in model.get_weights()])
    model.optimizer.learning_rate = 0.0  # The losses tell batches apart, and nothing else.
    sampler = MultiShotMemorySampler(x, y, 3, steps_per_epoch=4, seed=0, workers=workers)
    return model.fit(sampler, verbose=0, **options).history["loss"]

expected = losses(y, 1, epochs=4)
resumed = losses(y, 3, initial_epoch=2, epochs=4)
large = losses(y * 2**32 + 7, 1, epochs=1)
print(
    len(set(expected)),
    np.allclose(losses(y, 3, epochs=4), expected),
    np.allclose(resumed, expected[2:]),
    np.allclose(large, expected[:1]),
)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_every_backend_draws_the_same_batches_with_workers(backend, tmp_path):
    pytest.importorskip(backend)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ON_BACKEND],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env=os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout.endswith("4 True True True\n"), done.stderr
