"""Losses and training on replicas beside one device; `test_replicas.py` runs it in a process alone.

    python tests/losses/replicas_program.py losses|fit REPLICAS

Logical devices can be made only before TensorFlow is used. Prints how many cases there were, and a
line for each that differs.
"""

import contextlib
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
import tensorflow as tf

WHAT, REPLICAS = sys.argv[1], int(sys.argv[2])
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * REPLICAS
)

from oracle.loss_cases import CASES, ON_CLASSES  # noqa: E402
from tensorflow_similarity import layers, losses, training_metrics  # noqa: E402
from tensorflow_similarity.models import SimilarityModel  # noqa: E402

# Collectives of one process belong to one strategy.
STRATEGY = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(REPLICAS)])
SIZES = {2: [(6, 6), (8, 4)], 3: [(4, 4, 4), (6, 5, 1)]}[REPLICAS]


def value_and_gradient(loss, arrays):
    x = arrays[1]
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(*arrays)
    return value, tf.convert_to_tensor(tape.gradient(value, x))


def together(loss, arrays, sizes):
    """The sum of the values of the replicas, and their gradients one after the other."""
    ends = np.cumsum(sizes)

    def part(array):
        return STRATEGY.experimental_distribute_values_from_function(
            lambda context: array[
                ends[context.replica_id_in_sync_group]
                - sizes[context.replica_id_in_sync_group] : ends[context.replica_id_in_sync_group]
            ]
        )

    @tf.function(autograph=False)
    def run(parts):
        return STRATEGY.run(lambda *own: value_and_gradient(loss, own), args=parts)

    values, gradients = map(
        STRATEGY.experimental_local_results, run(tuple(part(array) for array in arrays))
    )
    return sum(values), tf.concat(gradients, axis=0)


def differs(name, options, weighted, sizes, compatible=False):
    """What two ways of computing a loss disagree in; None if they agree."""
    case, n = CASES[name], sum(sizes)
    labels, x = case.batch(n, seed=3, dtype="float64")
    make = case.make
    if compatible:
        x = np.stack([x, x[:, ::-1]], axis=1)

        def make(**options):
            return losses.CompatibleLoss(case.make(**options))

    arrays = [tf.constant(labels), tf.constant(x)]
    if weighted:
        arrays.append(tf.constant(np.linspace(0.2, 2, n)))
    one = value_and_gradient(make(**options), arrays)
    two = together(make(**options), arrays, sizes)
    for what, a, b in zip(("value", "gradient"), one, two, strict=True):
        scale = max(float(tf.reduce_max(tf.abs(a))), 1e-12)
        difference = float(tf.reduce_max(tf.abs(a - b))) / scale
        if not difference < 1e-9:
            return f"the {what} differs by {difference:.1e}"
    return None


def trained(make_loss, strategy, head, metrics, labels, class_weight):
    """The weights after an epoch of three steps, the last of them ragged."""
    x = np.random.default_rng(0).normal(size=(43, 6)).astype("float32")
    y = np.arange(43) % 6
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((6,))
        outputs = keras.layers.Dense(4)(inputs)
        model = SimilarityModel(inputs, outputs if head is None else head()(outputs))
        optimizer = keras.optimizers.SGD(0.1)
        model.compile(optimizer, make_loss(), jit_compile=False, metrics=metrics())
    history = model.fit(
        x, labels(y), batch_size=16, shuffle=False, verbose=0, class_weight=class_weight
    ).history
    model.index(x, y, verbose=0)
    assert model.lookup(x[:3], k=1, verbose=0).ids.shape == (3, 1)
    return [np.asarray(w) for w in model.get_weights()], history


def fit_differs(make_loss, head=None, metrics=list, labels=lambda y: y, class_weight=None):
    options = head, metrics, labels, class_weight
    one, history = trained(make_loss, None, *options)
    two, other = trained(make_loss, STRATEGY, *options)
    difference = max(np.abs(a - b).max() for a, b in zip(one, two, strict=True))
    if not difference < 1e-4:
        return f"weights differ by {difference:.1e}"
    # Keras weighs the losses of replicas by their rows, so that of a ragged batch is off.
    wrong = [k for k in history if k != "loss" and abs(history[k][-1] - other[k][-1]) > 1e-4]
    return f"metrics differ: {wrong}" if wrong else None


NAMES = np.array(["ant", "bee", "cat", "dog", "elk", "fox"])
FITS = {
    "triplet": {"make_loss": losses.TripletLoss},
    "histogram": {"make_loss": losses.HistogramLoss},
    "proxies": {"make_loss": losses.ArcFaceLoss, "head": lambda: layers.ProxyHead(6)},
    "memory": {"make_loss": lambda: losses.CrossBatchMemory(losses.MultiSimilarityLoss(), 32)},
    "metrics": {
        "make_loss": losses.SupConLoss,
        "metrics": lambda: [training_metrics.EffectiveRank()],
    },
    "names": {"make_loss": losses.TripletLoss, "labels": lambda y: NAMES[y]},
    "class weights": {
        "make_loss": losses.ProxyAnchorLoss,
        "head": lambda: layers.ProxyHead(6, 2),
        "class_weight": {0: 3.0, 1: 0.5, 2: 1.0, 3: 1.0, 4: 2.0, 5: 0.0},
    },
    "unknown classes": {
        "make_loss": lambda: losses.ArcFaceLoss(scale=8.0, ignore_class=-1),
        "head": lambda: layers.ProxyHead(6, 3),
        "labels": lambda y: np.where(np.arange(len(y)) % 3, y, -1),
    },
    "a sum of losses": {
        "make_loss": lambda: losses.WeightedSumLoss(
            [losses.MatryoshkaLoss(losses.MultiSimilarityLoss(), [2, 4]), losses.PNPLoss()]
        ),
    },
}
if WHAT == "fit":
    cases = {name: lambda case=case: fit_differs(**case) for name, case in FITS.items()}
else:
    even, uneven = SIZES
    settings = [(even, {"ignore_class": 1}, False), (uneven, {"block_size": 5}, True)]
    cases = {
        f"{name} {sizes} {options}": lambda name=name, sizes=sizes, options=options, w=w: differs(
            name, options, w, sizes
        )
        for name in ON_CLASSES
        for sizes, options, w in settings
    }
    cases |= {
        f"compatible {name}": lambda name=name: differs(name, {}, True, uneven, compatible=True)
        for name in ("triplet", "contrastive", "lifted_struct")
    }
print(len(cases), "cases")
for name, case in cases.items():
    try:
        found = case()
    except Exception as error:
        found = f"{type(error).__name__}: {str(error)[:200]}"
    if found is not None:
        print(f"{name}: {found}")
