"""Value and gradient of every loss on the backend of Keras, into a file.

    KERAS_BACKEND=… python tests/backends/losses_program.py FILE.npz

`test_losses.py` runs it once for each backend and compares the files.
"""

import inspect
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np

from oracle.loss_cases import CASES
from tensorflow_similarity import losses

ROWS, CLASSES, CENTERS = 14, 5, 3
_QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def value_and_gradient(loss, y_true, y_pred):
    """Both as NumPy arrays, `y_pred` being what is differentiated; compiled on JAX."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        compiled = jax.jit(jax.value_and_grad(lambda x: loss(y_true, x))).lower(y_pred)
        # Each is run once: what makes it faster takes longer than it saves.
        value, gradient = compiled.compile(compiler_options=_QUICKLY)(y_pred)
    elif backend == "torch":
        import torch

        x = torch.tensor(y_pred, requires_grad=True)
        value = loss(y_true, x)
        (gradient,) = torch.autograd.grad(value, x)
    else:
        import tensorflow as tf

        x = tf.constant(y_pred)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(y_true, x)
        gradient = tf.convert_to_tensor(tape.gradient(value, x))
    return [keras.ops.convert_to_numpy(each) for each in (value, gradient)]


def subclasses(base):
    """The losses of the package that are of a kind, by name, without the bases."""
    for name in losses.__all__:
        cls = getattr(losses, name)
        if inspect.isclass(cls) and issubclass(cls, base) and "abstract" not in name:
            try:
                yield name, cls()
            except (TypeError, NotImplementedError):
                continue


def cases():
    """Name, loss, labels and predictions."""
    rng = np.random.default_rng(5)
    for name, case in CASES.items():
        y, x = case.batch(ROWS, seed=3)
        yield name, case.make(), y, x
        if case.takes == "embeddings":
            yield f"{name}, in blocks", case.make(block_size=4), y, x
    labels = rng.integers(0, CLASSES, ROWS)
    for name, loss in subclasses(losses.ProxyLoss):
        if type(loss) is losses.ProxyLoss:
            continue
        for shape in ((ROWS, CLASSES), (ROWS, CLASSES, CENTERS)):
            if len(shape) == 2 and name in ("SoftTripleLoss", "SubCenterArcFaceLoss"):
                continue
            cosines = np.tanh(rng.normal(size=shape)).astype("float32")
            yield f"{name}, {len(shape)} axes", loss, labels, cosines
    for name, loss in subclasses(losses.TwoViewLoss):
        if type(loss) is losses.TwoViewLoss:
            continue
        one, two = rng.normal(size=(2, ROWS, 4)).astype("float32")
        yield name, loss, one, one + 0.5 * two


if __name__ == "__main__":
    results = {}
    for name, loss, y_true, y_pred in cases():
        try:
            value, gradient = value_and_gradient(loss, y_true, y_pred)
        except NotImplementedError:  # A base, for losses of one's own.
            continue
        results[f"{name}: value"], results[f"{name}: gradient"] = value, gradient
    np.savez(sys.argv[1], **results)
