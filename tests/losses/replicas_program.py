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

from oracle.loss_cases import CASES, ON_CLASSES, REPRESENTATIVE  # noqa: E402
from tensorflow_similarity import callbacks, layers, losses, training_metrics  # noqa: E402
from tensorflow_similarity.models import SimilarityModel  # noqa: E402
from tensorflow_similarity.samplers import MultiShotMemorySampler  # noqa: E402
from tensorflow_similarity.targets import Targets  # noqa: E402

# Collectives of one process belong to one strategy.
STRATEGY = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(REPLICAS)])
SIZES = {2: [(6, 6), (8, 4)], 3: [(4, 4, 4), (6, 5, 1)]}[REPLICAS]


def value_and_gradient(loss, arrays):
    """The gradients of the predictions, and of labels that are another view, side by side."""
    watched = [x for x in arrays[:2] if x.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        value = loss(*arrays)
    slopes = tape.gradient(value, watched, unconnected_gradients="zero")
    return value, tf.concat([tf.reshape(each, (tf.shape(each)[0], -1)) for each in slopes], axis=1)


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


def of_pairs(name, options, weighted, sizes):
    """`differs` of a loss on embeddings and class ids."""
    case = CASES[name]
    labels, x = case.batch(sum(sizes), seed=3, dtype="float64")
    return differs(lambda: case.make(**options), labels, x, weighted, sizes)


def differs(make, y_true, y_pred, weighted, sizes):
    """What two ways of computing a loss disagree in; None if they agree."""
    arrays = [tf.constant(y_true), tf.constant(y_pred)]
    if weighted:
        arrays.append(tf.constant(np.linspace(0.2, 2, sum(sizes))))
    one = value_and_gradient(make(), arrays)
    two = together(make(), arrays, sizes)
    for what, a, b in zip(("value", "gradient"), one, two, strict=True):
        scale = max(float(tf.reduce_max(tf.abs(a))), 1e-12)
        difference = float(tf.reduce_max(tf.abs(a - b))) / scale
        if not difference < 1e-9:
            return f"the {what} differs by {difference:.1e}"
    return None


NUMBER = sum(SIZES[0])
RNG = np.random.default_rng(7)
IDS = np.minimum(RNG.geometric(0.4, size=NUMBER) - 1, 4)
EMBEDDINGS = RNG.normal(size=(5, 4))[IDS] + 0.9 * RNG.normal(size=(NUMBER, 4))
OTHER_VIEW = EMBEDDINGS + 0.5 * RNG.normal(size=EMBEDDINGS.shape)
COSINES, OF_CENTERS = (np.tanh(RNG.normal(size=(NUMBER, 5, *k))) for k in ((), (3,)))


def on_partial_head():
    """A loss that knows its head, and samples classes: replicas draw the same."""
    head = layers.PartialProxyHead(50, dtype="float64")
    head.build((None, 4))
    loss = losses.PartialProxyLoss(losses.ArcFaceLoss(scale=4.0), num_negatives=20)
    loss.bind(head)
    head.set_weights([np.random.default_rng(1).normal(size=(50, 1, 4))])
    return loss


#: What makes it, labels, and predictions, of the losses on other than embeddings with class ids.
OTHERS = {
    **{
        cls.__name__: (cls, IDS, COSINES)
        for cls in (
            losses.ArcFaceLoss, losses.CosFaceLoss, losses.NormalizedSoftmaxLoss,
            losses.P2SGradLoss, losses.ProxyAnchorLoss, losses.ProxyNCALoss, losses.SphereFaceLoss,
        )
    },
    **{cls.__name__: (cls, IDS, OF_CENTERS) for cls in (
        losses.SoftTripleLoss, losses.SubCenterArcFaceLoss,
    )},
    **{
        cls.__name__: (cls, OTHER_VIEW, EMBEDDINGS)
        for cls in (
            losses.BarlowTwinsLoss, losses.DINOLoss, losses.DecoupledContrastiveLoss,
            losses.EmbeddingDistillationLoss, losses.InfoNCELoss, losses.MultiNegativesRankLoss,
            losses.RelationalDistillationLoss, losses.SigmoidContrastiveLoss, losses.SimCLRLoss,
            losses.SimSiamLoss, losses.SimilarityDistillationLoss, losses.VICRegLoss,
        )
    },
    "PartialProxyLoss": (on_partial_head, IDS, EMBEDDINGS),
    "MatryoshkaLoss": (
        lambda: losses.MatryoshkaLoss(losses.MultiSimilarityLoss(), [2, 4]), IDS, EMBEDDINGS,
    ),
    "MatryoshkaLoss of views": (
        lambda: losses.MatryoshkaLoss(losses.SimCLRLoss(), [2, 4]), OTHER_VIEW, EMBEDDINGS,
    ),
    "WeightedSumLoss": (
        lambda: losses.WeightedSumLoss([losses.SupConLoss(), losses.TripletLoss()], [1.0, 0.5]),
        IDS, EMBEDDINGS,
    ),
    "TripletMarginLoss": (
        lambda: losses.TripletMarginLoss(in_batch_negatives="all"),
        IDS, RNG.normal(size=(NUMBER, 3, 4)),
    ),
    **{
        f"CompatibleLoss of {name}": (
            lambda name=name: losses.CompatibleLoss(CASES[name].make()),
            IDS, np.stack([EMBEDDINGS, EMBEDDINGS[:, ::-1]], axis=1),
        )
        for name in ("triplet", "contrastive", "lifted_struct")
    },
}  # fmt: skip
#: For losses of one's own; on pairwise values of a batch, which no replica sees a part of; and the
#: memory, which `fit` below trains with.
NOT_HERE = {
    "CrossBatchMemory", "DistillationLoss", "MetricLoss", "MinedLoss", "NpairsMultilabelLoss",
    "ProxyLoss", "StatisticsLoss", "TwoViewLoss",
}  # fmt: skip


def forgotten():
    """The public losses that no case is of."""
    of_cases = {type(CASES[name].make()).__name__ for name in ON_CLASSES}
    known = of_cases | {name.split()[0] for name in OTHERS} | NOT_HERE
    public = {getattr(losses, name) for name in losses.__all__}
    missing = {x.__name__ for x in public if isinstance(x, type)} - known
    return f"no case is of {sorted(missing)}" if missing else None


def examples(rows):
    x = np.random.default_rng(0).normal(size=(rows, 6)).astype("float32")
    return x, np.arange(rows) % 6


def compiled(strategy, make_loss, head=None, **options):
    """A model that is made and compiled under a strategy, or under none."""
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((6,))
        outputs = keras.layers.Dense(4)(inputs)
        model = SimilarityModel(inputs, outputs if head is None else head()(outputs))
        optimizer = keras.optimizers.SGD(0.1)
        model.compile(optimizer, make_loss(), jit_compile=False, **options)
    return model


def trained(make_loss, strategy, rows, head, metrics, labels, class_weight, micro_batch_size):
    """The weights after an epoch of batches of 16, the last of them smaller."""
    x, y = examples(rows)
    # Loss and metrics may be made in the scope of the strategy or outside of it.
    options = {"metrics": metrics(), "micro_batch_size": micro_batch_size}
    loss = make_loss()
    model = compiled(strategy, lambda: loss, head, **options)
    history = model.fit(
        x,
        labels(y),
        batch_size=16,
        shuffle=False,
        verbose=0,
        class_weight=class_weight,
        validation_data=(x[: rows // 2], labels(y[: rows // 2])),
        validation_batch_size=9,
        callbacks=[callbacks.TrainingDoctor(x[:12], y[:12])],
    ).history
    model.index(x, y, verbose=0)
    assert model.lookup(x[:3], k=1, verbose=0).ids.shape == (3, 1)
    return [np.asarray(w) for w in model.get_weights()], history


def fit_differs(
    make_loss, rows=43, head=None, metrics=list, labels=lambda y: y, class_weight=None,
    micro_batch_size=None,
):  # fmt: skip
    options = rows, head, metrics, labels, class_weight, micro_batch_size
    one, history = trained(make_loss, None, *options)
    two, other = trained(make_loss, STRATEGY, *options)
    difference = max(np.abs(a - b).max() for a, b in zip(one, two, strict=True))
    if not difference < 1e-4:
        return f"weights differ by {difference:.1e}"
    assert "val_loss" in history
    wrong = {
        k: (history[k], other[k]) for k in history if not abs(history[k][-1] - other[k][-1]) < 1e-4
    }
    return f"metrics differ: {wrong}" if wrong else None


def on_batches(strategy):
    """What the methods for one batch return, with fewer rows than replicas too, and the weights."""
    x, y = examples(7)
    model = compiled(strategy, losses.SupConLoss)
    weighted = {"sample_weight": np.linspace(0.2, 2, 7)}
    of_classes = {"class_weight": {0: 3.0, 1: 0.5, 2: 1.0, 3: 1.0, 4: 2.0, 5: 0.0}}
    results = [model.train_on_batch(x, y, **options) for options in (weighted, of_classes, {})]
    results += [model.train_on_batch(x[:1], y[:1]), model.test_on_batch(x, y, **weighted)]
    return [*results, model.predict_on_batch(x), *map(np.asarray, model.get_weights())]


def with_workers(strategy):
    """The losses of epochs, each of batches that several workers draw, and of an evaluation."""
    x, y = examples(60)

    def drawn():
        return MultiShotMemorySampler(x, y, 4, 3, steps_per_epoch=5, seed=0, workers=2)

    model = compiled(strategy, losses.SupConLoss)
    fitted = model.fit(drawn(), validation_data=drawn(), epochs=3, verbose=0).history
    fresh = compiled(strategy, losses.SupConLoss)
    return [*fitted["loss"], *fitted["val_loss"], fresh.evaluate(drawn(), verbose=0)]


def same(compute):
    for one, two in zip(compute(None), compute(STRATEGY), strict=True):
        if np.shape(one) != np.shape(two) or not np.allclose(one, two, atol=1e-5):
            return f"{two} is not {one}"
    return None


def of_elsewhere():
    """Models and memories that were made outside of the strategy are refused."""
    x, y = examples(12)
    alone = compiled(None, losses.SupConLoss)
    trained_with = losses.CrossBatchMemory(losses.SupConLoss(), 32)
    compiled(None, lambda: trained_with).fit(x, y, verbose=0)
    for call in (
        lambda: alone.compile("sgd", losses.SupConLoss()),
        lambda: alone.fit(x, y, verbose=0),
        lambda: compiled(STRATEGY, lambda: trained_with),
    ):
        try:
            with STRATEGY.scope():
                call()
        except ValueError as error:
            if "Make or load the model in `with strategy.scope():`" not in str(error):
                return str(error)
        else:
            return "it is accepted"
    return None


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
    "label sets": {
        "make_loss": lambda: losses.SupConLoss(relevance="multi_hot"),
        "labels": lambda y: np.maximum(np.eye(6, dtype=int)[y], np.eye(6, dtype=int)[(y * y) % 6]),
    },
    "label sets of bool": {
        "make_loss": lambda: losses.SupConLoss(relevance="jaccard"),
        "labels": lambda y: np.eye(6, dtype=bool)[y] | np.eye(6, dtype=bool)[(y * y) % 6],
        "metrics": lambda: [training_metrics.EffectiveRank(relevance="jaccard")],
    },
    "targets of several labels": {
        "make_loss": lambda: losses.SupConLoss(relevance="multi_hot"),
        "labels": lambda y: Targets.label_sets([{f"a{i}", f"b{i % 2}"} for i in y]),
    },
    "a hierarchy": {
        "make_loss": lambda: losses.SupConLoss(relevance="hierarchy"),
        "labels": lambda y: np.stack([y % 2, y], axis=1),
    },
    "large ids": {
        "make_loss": lambda: losses.MultiSimilarityLoss(ignore_class=-1),
        "labels": lambda y: np.where(y == 5, -1, y * 2**60),
    },
    "sampled proxies": {
        "make_loss": lambda: losses.PartialProxyLoss(losses.ArcFaceLoss(scale=4.0), 20),
        "head": lambda: layers.PartialProxyHead(100),
    },
    "replicas without rows": {"make_loss": losses.SupConLoss, "rows": 49},
    "proxies and replicas without rows": {
        "make_loss": losses.ProxyAnchorLoss,
        "head": lambda: layers.ProxyHead(6),
        "rows": 33,
    },
    "a memory and replicas without rows": {
        "make_loss": lambda: losses.CrossBatchMemory(losses.MultiSimilarityLoss(), 32),
        "rows": 49,
    },
    "sums": {"make_loss": lambda: losses.TripletLoss(reduction="sum")},
    "means over the active": {
        "make_loss": lambda: losses.TripletLoss(reduction="mean_over_nonzero"),
        "rows": 33,
    },
    "class weights": {
        "make_loss": losses.ProxyAnchorLoss,
        "head": lambda: layers.ProxyHead(6, 2),
        "class_weight": {0: 3.0, 1: 0.5, 2: 1.0, 3: 1.0, 4: 2.0, 5: 0.0},
    },
    "parts of batches": {
        "make_loss": lambda: losses.CrossBatchMemory(losses.MultiSimilarityLoss(), 32),
        "rows": 49,
        "micro_batch_size": 3,
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
#: What may differ with the number of replicas; three never have equal parts of 16.
ON_THREE = (
    "memory", "metrics", "label sets of bool", "sampled proxies", "replicas without rows",
    "means over the active", "parts of batches",
)  # fmt: skip
if WHAT == "fit":
    if REPLICAS == 3:
        FITS = {name: FITS[name] for name in ON_THREE}
    cases = {name: lambda case=case: fit_differs(**case) for name, case in FITS.items()}
    cases["one batch"] = lambda: same(on_batches)
    cases["workers"] = lambda: same(with_workers)
    cases["a model of elsewhere"] = of_elsewhere
else:
    even, uneven = SIZES
    every = (uneven, {"block_size": 5, "ignore_class": 1}, True)
    plain = [(even, {}, False), (even, {"ignore_class": 1}, False), (uneven, {}, False)]
    stand_for_all = REPRESENTATIVE | {"ArcFaceLoss", "SimCLRLoss", "PartialProxyLoss"}
    cases = {
        f"{name} {sizes} {options}": lambda name=name, sizes=sizes, options=options, w=w: of_pairs(
            name, options, w, sizes
        )
        for name in ON_CLASSES
        if REPLICAS == 2 or name in stand_for_all
        for sizes, options, w in [every, *(plain if name in stand_for_all else [])]
    }
    cases |= {
        f"{name} {sizes}": lambda case=case, sizes=sizes: differs(*case, sizes == uneven, sizes)
        for name, case in OTHERS.items()
        for sizes in (SIZES if name in stand_for_all else [uneven])
    }
    cases["every public loss"] = forgotten
print(len(cases), "cases")
for name, case in cases.items():
    try:
        found = case()
    except Exception as error:
        found = f"{type(error).__name__}: {str(error)[:200]}"
    if found is not None:
        print(f"{name}: {found}")
