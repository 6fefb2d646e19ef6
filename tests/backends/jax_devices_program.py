"""JAX on several virtual devices beside one: `test_devices.py` runs it.

    KERAS_BACKEND=jax XLA_FLAGS=--xla_force_host_platform_device_count=2 \\
        python tests/backends/jax_devices_program.py

Prints how many cases there were, and a line for each that differs.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import keras
import numpy as np

from oracle.loss_cases import CASES, ON_CLASSES
from tensorflow_similarity import callbacks, layers, losses, training_metrics
from tensorflow_similarity.models import SimilarityModel

ALONE = None
TOGETHER = keras.distribution.DataParallel(devices=jax.devices())
RNG = np.random.default_rng(0)
# Neither the last batch of an epoch nor a batch of validation falls into equal parts.
Y = np.arange(43) % 6
X = (RNG.normal(size=(6, 6))[Y] + 0.5 * RNG.normal(size=(43, 6))).astype("float32")


def loss_differs(name):
    y, x = CASES[name].batch(12, seed=3)
    y = y.astype("int32")

    def compute(loss, y, x):
        return jax.jit(jax.value_and_grad(lambda x: loss(y, x)))(x)

    layout = jax.sharding.NamedSharding(
        TOGETHER.device_mesh.backend_mesh, jax.sharding.PartitionSpec("batch")
    )
    one = compute(CASES[name].make(), y, x)
    two = compute(CASES[name].make(), *(jax.device_put(each, layout) for each in (y, x)))
    for what, a, b in zip(("value", "gradient"), one, two, strict=True):
        scale = max(float(np.abs(a).max()), 1e-3)
        difference = float(np.abs(np.asarray(a) - np.asarray(b)).max()) / scale
        if not difference < 1e-5:
            return f"the {what} differs by {difference:.1e}"
    return None


def trained(distribution, make_loss, head=None, metrics=list):
    """Weights and history of three epochs, and the nearest neighbours afterwards."""
    keras.distribution.set_distribution(distribution)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    outputs = keras.layers.Dense(4)(inputs)
    model = SimilarityModel(inputs, outputs if head is None else head()(outputs))
    model.compile(keras.optimizers.SGD(0.1), make_loss(), metrics=metrics())
    watching = [
        callbacks.EvalCallback(X[:5], Y[:5], X[5:], Y[5:]),
        callbacks.TrainingDoctor(X, Y, freq=2, batch_size=30),
    ]
    history = model.fit(
        X, Y, batch_size=16, epochs=3, shuffle=False, validation_data=(X[:7], Y[:7]),
        callbacks=watching, verbose=0,
    ).history  # fmt: skip
    model.evaluate(X, Y, batch_size=9, verbose=0)
    model.index(X, Y, verbose=0)
    answers = [
        [[found.id for found in row] for row in model.lookup(X[:5], k=3, verbose=0)],
        model.predict(X[:5], verbose=0).round(3).tolist(),
        model.predict(X, batch_size=9, verbose=0).shape,
    ]
    model.evaluate_retrieval(X + 0.01, Y, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model.keras")
        again = keras.saving.load_model(f"{folder}/model.keras")
        rows = again.lookup(X[:5], k=3, verbose=0)
        assert [[found.id for found in row] for row in rows] == answers[0]
    memory = getattr(model.loss, "memory", None)
    if memory is not None:
        answers.append(np.asarray(memory.labels).tolist())
    return [np.asarray(w) for w in model.get_weights()], history, answers


def fit_differs(**options):
    one, history, answers = trained(ALONE, **options)
    two, other, others = trained(TOGETHER, **options)
    difference = max(np.abs(a - b).max() for a, b in zip(one, two, strict=True))
    if not difference < 1e-4:
        return f"weights differ by {difference:.1e}"
    wrong = [k for k in history if not np.allclose(history[k], other[k], atol=1e-4)]
    if wrong or answers != others:
        return f"results differ: {wrong or [answers, others]}"
    return None


FITS = {
    "triplet": {"make_loss": losses.TripletLoss},
    "proxies": {"make_loss": losses.ArcFaceLoss, "head": lambda: layers.ProxyHead(6)},
    "memory and metrics": {
        "make_loss": lambda: losses.CrossBatchMemory(losses.MultiSimilarityLoss(), 32),
        "metrics": lambda: [training_metrics.EffectiveRank(), training_metrics.avg_pos()],
    },
}
CHECKS = {f"{name}, loss": lambda name=name: loss_differs(name) for name in ON_CLASSES}
CHECKS |= {
    f"{name}, fit": lambda options=options: fit_differs(**options) for name, options in FITS.items()
}
print(len(CHECKS), "cases")
for name, check in CHECKS.items():
    try:
        found = check()
    except Exception as error:
        found = f"{type(error).__name__}: {str(error)[:300]}"
    if found is not None:
        print(f"{name}: {found}")
