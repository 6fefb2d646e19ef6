import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from tensorflow_similarity.samplers import MultiShotMemorySampler

Y = np.repeat([10, 20, 30, 40, 50], 8)
X = np.arange(len(Y), dtype="float32")[:, None] * [1.0, 100.0]


def sampler(x=X, y=Y, **kwargs):
    defaults = {"classes_per_batch": 3, "steps_per_epoch": 4, "seed": 0}
    return MultiShotMemorySampler(x, y, **(defaults | kwargs))


def rows(batch_x):
    return batch_x[:, 0].astype(int)


def test_batches_hold_examples_with_their_labels():
    batches = list(sampler(examples_per_class_per_batch=4))
    assert len(batches) == 4
    for x, y in batches:
        assert x.shape == (12, 2)
        np.testing.assert_array_equal(X[rows(x)], x)
        np.testing.assert_array_equal(Y[rows(x)], y)
        assert np.unique(y, return_counts=True)[1].tolist() == [4, 4, 4]


def test_defaults_are_those_of_tensorflow_similarity():
    made = MultiShotMemorySampler(X, Y)
    assert (made.classes_per_batch, made.examples_per_class_per_batch) == (2, 2)
    assert len(made) == made.num_batches == 1000
    assert made.num_examples == 40
    assert made.batch_size == 4
    assert made.class_list.tolist() == [10, 20, 30, 40, 50]


def test_data_types_are_kept():
    for dtype in ("uint8", "int64"):
        x, y = sampler(X.astype("float16"), Y.astype(dtype)[:, None])[0]
        assert x.dtype == "float16"
        assert y.dtype == dtype
        assert y.shape == (6, 1)


def test_dicts_and_tuples_of_arrays():
    x, y = sampler({"a": X, "b": X[:, 0]})[0]
    np.testing.assert_array_equal(x["a"][:, 0], x["b"])
    x, y = sampler((X, list(Y)))[0]
    np.testing.assert_array_equal(x[1], y)


def test_lists_and_tensors_are_arrays():
    for x in (X.tolist(), keras.ops.convert_to_tensor(X)):
        np.testing.assert_array_equal(sampler(x)[1][0], sampler()[1][0])


def test_batches_are_reproducible_whoever_makes_them():
    one = sampler(steps_per_epoch=50)
    expected = [one[i][0] for i in range(50)]
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(lambda i: one[i][0], reversed(range(50))))[::-1]
    pickled = pickle.loads(pickle.dumps(one))
    for i in range(50):
        np.testing.assert_array_equal(threaded[i], expected[i])
        np.testing.assert_array_equal(pickled[i][0], expected[i])


def test_epochs_differ_and_repeat_with_the_seed():
    one, two = sampler(), sampler()
    first = one[0][0]
    one.on_epoch_end()
    two.on_epoch_end()
    assert one.epoch == 1
    assert (one[0][0] != first).any()
    np.testing.assert_array_equal(one[0][0], two[0][0])


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.further("1")
def test_fit_trains_on_the_batches_of_the_epochs(workers):
    seen = []

    def augmenter(x, y):
        seen.append(tuple(sorted(rows(x))))
        return x, y

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    made = sampler(augmenter=augmenter, workers=workers)
    model.fit(made, epochs=2, shuffle=False, verbose=0)
    again, expected = sampler(), []
    for _ in range(3):
        expected.append({tuple(sorted(rows(again[i][0]))) for i in range(4)})
        again.on_epoch_end()
    # Before its first epoch Keras looks at a few batches and ends an epoch, so that `fit`
    # trains on the second and third.
    assert made.epoch == 3
    assert expected[1] | expected[2] <= set(seen) <= set.union(*expected)


def test_multiprocessing_options_reach_keras():
    made = sampler(workers=2, use_multiprocessing=True, max_queue_size=3)
    assert (made.workers, made.use_multiprocessing, made.max_queue_size) == (2, True, 3)


@pytest.mark.slow
def test_processes_make_the_same_batches(tmp_path):
    # In a process of its own, which has not run anything that does not survive a fork.
    program = """
import numpy as np, keras
from tensorflow_similarity.samplers import MultiShotMemorySampler

def augment(x, y, seed):
    return x + np.random.default_rng(seed).random(x.shape), y

x, y = np.arange(40.0)[:, None] * [1, 2], np.repeat(np.arange(5), 8)
model = keras.Sequential([keras.Input((2,)), keras.layers.Flatten()])
model.compile("sgd", "mse")
made = []
for options in ({}, {"workers": 3}, {"workers": 2, "use_multiprocessing": True}):
    sampler = MultiShotMemorySampler(
        x, y, 3, steps_per_epoch=6, augmenter=augment, seed=0, **options
    )
    made.append(model.predict(sampler, verbose=0))
print(np.array_equal(made[0], made[1]), np.array_equal(made[0], made[2]), len(made[0]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.stdout.endswith("True True 36\n"), done.stderr


def test_get_slice_returns_the_data_in_order():
    made = sampler(class_list=[20, 40], classes_per_batch=2)
    assert made.num_examples == 16
    x, y = made.get_slice(2, 10)
    np.testing.assert_array_equal(rows(x), [10, 11, 12, 13, 14, 15, 24, 25, 26, 27])
    np.testing.assert_array_equal(y, [20] * 6 + [40] * 4)
    assert len(made.get_slice()[1]) == len(made.get_slice(0, -1)[1]) == 16
    assert len(made.get_slice(14, 10)[1]) == 2
    assert len(made.get_slice(99)[1]) == 0


def test_augmenter_may_be_a_function():
    made = sampler(augmenter=lambda x, y: (np.concatenate([x, -x]), np.concatenate([y, y])))
    x, y = made[0]
    assert made.batch_size == 6
    assert len(x) == len(y) == 12
    np.testing.assert_array_equal(x[6:], -x[:6])
    assert (made.get_slice()[0] >= 0).all()


def test_augmenter_may_be_a_layer_in_training_mode():
    @keras.saving.register_keras_serializable(package="tests")
    class Negate(keras.layers.Layer):
        def call(self, x, training=False):
            return -x if training else x

    x, y = sampler(augmenter=Negate())[0]
    assert isinstance(x, np.ndarray)
    np.testing.assert_array_equal(-x, sampler()[0][0])
    np.testing.assert_array_equal(y, sampler()[0][1])


def test_small_classes_are_warned_of_once_and_repeat():
    with pytest.warns(UserWarning, match=r"2 of 3 classes have fewer than 5") as caught:
        made = sampler(X[:11], [1] * 6 + [2] * 3 + [3] * 2, examples_per_class_per_batch=5)
    assert len(caught) == 1
    assert caught[0].filename == __file__  # it points at the caller
    labels = np.concatenate([y for _, y in made])
    assert np.unique(labels, return_counts=True)[1].tolist() == [20, 20, 20]


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (TypeError, "`y`.*integer class ids", {"y": Y + 0.5}),
        (TypeError, "`y`.*whole numbers below", {"y": Y + 2.0**24}),
        (ValueError, "`y`.*Targets.one_hot", {"y": np.eye(5, dtype=int)[(Y // 10) - 1]}),
        (ValueError, r"`y`.*Targets.hierarchy.*y\[:, 0\]", {"y": np.stack([Y // 20, Y], 1)}),
        (ValueError, "`x` and `y`.*39 labels", {"y": Y[:-1]}),
        (ValueError, r"`x` and `y`.*\(39, 2\)", {"x": {"a": X, "b": X[:-1]}}),
        (ValueError, "classes_per_batch", {"classes_per_batch": 6}),
        (ValueError, "examples_per_class_per_batch", {"examples_per_class_per_batch": 0}),
        (ValueError, "steps_per_epoch", {"steps_per_epoch": -1}),
        (ValueError, "class_list", {"class_list": [10, 20, 99]}),
        (TypeError, "augmenter", {"augmenter": 3}),
    ],
)
def test_bad_arguments_are_named(error, match, arguments):
    with pytest.raises(error, match=match):
        sampler(**arguments)


def test_a_batch_beyond_the_epoch_is_refused():
    with pytest.raises(IndexError, match=r"\[0, 4\)"):
        sampler()[4]
    with pytest.raises(ValueError, match="begin"):
        sampler().get_slice(-1)


def test_repr_says_what_is_drawn():
    assert repr(sampler()) == (
        "MultiShotMemorySampler(examples=40, classes=5, classes_per_batch=3, "
        "examples_per_class_per_batch=2, steps_per_epoch=4, seed=0)"
    )
