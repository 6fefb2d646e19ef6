import copy
import ctypes

import keras
import numpy as np
import pytest

from tensorflow_similarity.models.fingerprint import WeightsFingerprint


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", jit_compile=False)
    return model


def train(model):
    model.train_on_batch(np.ones((4, 3), "float32"), np.zeros((4, 2), "float32"))


def test_it_follows_the_weights(model):
    print_ = WeightsFingerprint(model)
    first = print_.digest()
    assert len(first) == 32
    assert print_.digest() == first
    train(model)
    assert print_.digest() != first


def test_equal_weights_have_equal_digests(model):
    other = keras.models.clone_model(model)
    assert WeightsFingerprint(other).digest() != WeightsFingerprint(model).digest()
    other.set_weights(model.get_weights())
    assert WeightsFingerprint(other).digest() == WeightsFingerprint(model).digest()


def by_hand(model):
    model.layers[-1].kernel.assign(2 * model.layers[-1].kernel)


def one_element(model):
    bias = np.zeros(2, "float32")
    bias[1] = 1e-30
    model.layers[-1].bias.assign(bias)


def set_weights(model):
    model.set_weights([w + 1 for w in model.get_weights()])


def by_a_loop(model):
    import tensorflow as tf

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(tf.ones((4, 3))))
        variables = model.trainable_variables
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(0.1 * gradient)

    step()


def by_rows(model):
    import tensorflow as tf

    update = tf.IndexedSlices(tf.ones((1, 2)), [1])
    model.layers[-1].kernel.value.scatter_sub(update)


@pytest.mark.parametrize("change", [by_hand, one_element, set_weights, by_a_loop, by_rows, train])
@pytest.mark.slow_cases("train", "by_a_loop")
def test_a_change_is_noticed_whoever_made_it(model, change):
    print_ = WeightsFingerprint(model)
    seen = {print_.digest()}
    for turn in range(2, 5):
        print_.digest()
        change(model)
        assert print_.digest() == WeightsFingerprint(model).digest()
        seen.add(print_.digest())
        assert len(seen) == (2 if change is one_element else turn)


def test_weights_that_are_added_later_count(model):
    print_ = WeightsFingerprint(model)
    first = print_.digest()
    model.add(keras.layers.Dense(2))
    assert print_.digest() != first


def test_a_copy_in_another_process_looks_again(model):
    print_ = WeightsFingerprint(model)
    print_.digest()
    copied = copy.copy(print_)  # by the state that pickle takes
    by_hand(model)
    assert copied.digest() == WeightsFingerprint(model).digest()


def test_a_new_optimizer_changes_nothing(model):
    print_ = WeightsFingerprint(model)
    first = print_.digest()
    model.compile("adam", "mse")
    assert print_.digest() == first


def test_a_look_does_not_read_the_weights(model):
    import tensorflow as tf

    print_ = WeightsFingerprint(model)
    first = print_.digest()
    # Written behind TensorFlow's back: the weights stay where they are in memory.
    kernel = np.asarray(memoryview(tf.convert_to_tensor(model.layers[-1].kernel.value)))
    ctypes.memset(kernel.ctypes.data, 1, kernel.nbytes)
    assert WeightsFingerprint(model).digest() != first
    assert print_.digest() == first
    print_.touch()
    assert print_.digest() == WeightsFingerprint(model).digest()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
@pytest.mark.further("float16", "float64")
def test_all_dtypes_and_models_without_optimizer_or_weights(dtype):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=dtype)])
    assert len(WeightsFingerprint(model).digest()) == 32
    assert WeightsFingerprint(keras.Sequential([keras.Input((3,))])).digest()
    by_hand_dtype = WeightsFingerprint(model)
    first = by_hand_dtype.digest()
    assert by_hand_dtype.digest() == first
    by_hand(model)
    assert by_hand_dtype.digest() != first
