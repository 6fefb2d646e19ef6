"""Values and gradients, ours by the backend and others by finite differences."""

import numpy as np
import tensorflow as tf


def value_and_gradient(loss, y_true, y_pred, sample_weight=None):
    """The value of a loss, and the gradient of its sum with respect to `y_pred`."""
    y_pred = tf.convert_to_tensor(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        value = loss(y_true, y_pred, sample_weight=sample_weight)
        total = tf.reduce_sum(value)
    gradient = tape.gradient(total, y_pred)
    if gradient is None:
        gradient = tf.zeros_like(y_pred)
    return value.numpy(), tf.convert_to_tensor(gradient).numpy()


def finite_differences(function, x, step=1e-6):
    """The gradient of a scalar function of a float64 array, one entry at a time."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (function(up) - function(down)) / (2 * step)
    return gradient


def direction_for(x, seed=0):
    """A random direction, the same in rows of `x` that are the same.

    Moved along it, identical rows stay identical, so the derivative does not
    depend on which of them was chosen.
    """
    _, group = np.unique(np.asarray(x), axis=0, return_inverse=True)
    rows = np.random.default_rng(seed).normal(size=x.shape)
    return rows[group.reshape(-1)]
