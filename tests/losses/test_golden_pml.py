"""The pair, triplet and set losses against pytorch-metric-learning 2.9.

Its means differ: here its own is formed of our losses per query, and then the
value and the gradient must be its own. Most of its distances normalise, which
is the caller's here.
"""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import tensorflow as tf

from oracle.golden import FOLDER
from tensorflow_similarity import losses
from tensorflow_similarity.distances.cosine import unit_rows

with gzip.open(FOLDER / "pml" / "manifest.json.gz") as file:
    ENTRIES = [e for e in json.load(file)["cases"] if e["kind"] == "loss"]
ARRAYS = np.load(FOLDER / "pml" / "losses.npz", allow_pickle=False)


def mean(per_query, labels):
    """Its MeanReducer; also its means over pairs, of which ours is the mean already."""
    return tf.reduce_mean(per_query)


def mean_of_those_above_0(per_query, labels):
    """Its AvgNonZeroReducer."""
    above = per_query > 0
    number = tf.reduce_sum(tf.cast(above, per_query.dtype))
    return tf.reduce_sum(tf.where(above, per_query, 0)) / tf.maximum(number, 1)


def mean_of_queries_with_positives(per_query, labels):
    """What it does where it leaves other queries out before the mean."""
    has = np.array([np.sum(labels == label) > 1 for label in labels])
    return tf.reduce_sum(tf.boolean_mask(per_query, has)) / max(1, has.sum())


@dataclass
class Same:
    """Ours that is theirs: theirs by name and arguments, ours, and its mean."""

    loss: str
    params: str
    ours: object
    reduce: Callable = mean
    leave_out: tuple[str, ...] = ()  # inputs on which the two differ, on purpose
    relative: float = 1e-6
    gradient: float | None = 2e-6  # None: theirs is of another function, on purpose


# Where the two differ: theirs gives 0 to SupCon's queries in a batch of one
# class, where the formula has a value; NaN to NCA in a batch without positives;
# and takes 0 for the logarithm of an empty sum in the lifted loss.
ONE_CLASS, ALL_DISTINCT, RAGGED = ("allsame0",), ("alldiff0",), ("ragged0", "ragged1")

SAME = [
    Same("TripletMarginLoss", "", losses.TripletAllLoss("euclidean", 0.05)),
    Same("TripletMarginLoss", "margin=0.2", losses.TripletAllLoss("euclidean", 0.2)),
    Same(
        "TripletMarginLoss",
        "margin=0.1, distance=CosineSimilarity()",
        losses.TripletAllLoss("cosine", 0.1),
    ),
    Same(
        "TripletMarginLoss",
        "margin=0.2, distance=LpDistance(power=2)",
        losses.TripletAllLoss("squared_euclidean", 0.2),
    ),
    Same(
        "TripletMarginLoss",
        "margin=0.2, reducer=MeanReducer()",
        losses.TripletAllLoss("euclidean", 0.2, active_only=False),
    ),
    Same("MultiSimilarityLoss", "", losses.MultiSimilarityLoss(alpha=2, beta=50, epsilon=None)),
    Same(
        "MultiSimilarityLoss",
        "alpha=2, beta=10, base=0.7",
        losses.MultiSimilarityLoss(alpha=2, beta=10, lmda=0.7, epsilon=None),
    ),
    Same("ContrastiveLoss", "", losses.ContrastiveLoss(distance="euclidean", power=1)),
    Same("LiftedStructureLoss", "", losses.LiftedStructLoss()),
    Same("CircleLoss", "", losses.CircleLoss(), mean_of_those_above_0),
    Same(
        "CircleLoss",
        "m=0.25, gamma=256",
        losses.CircleLoss(gamma=256, margin=0.25),
        mean_of_those_above_0,
    ),
    Same("SupConLoss", "", losses.SupConLoss(), mean_of_those_above_0, ONE_CLASS),
    Same(
        "SupConLoss",
        "temperature=0.5",
        losses.SupConLoss(temperature=0.5),
        mean_of_those_above_0,
        ONE_CLASS,
    ),
    Same("SupConLoss", "reducer=MeanReducer()", losses.SupConLoss(), mean, ONE_CLASS),
    Same("NTXentLoss", "", losses.NTXentLoss()),
    Same("NTXentLoss", "temperature=0.5", losses.NTXentLoss(temperature=0.5)),
    Same("NCALoss", "", losses.NCALoss(), mean_of_queries_with_positives, ALL_DISTINCT),
    Same(
        "GeneralizedLiftedStructureLoss",
        "",
        losses.GeneralizedLiftedStructLoss(),
        mean,
        (*ONE_CLASS, *ALL_DISTINCT, *RAGGED),
    ),
    Same("MarginLoss", "", losses.MarginLoss()),
    Same("TupletMarginLoss", "", losses.TupletMarginLoss()),
    Same("IntraPairVarianceLoss", "", losses.IntraPairVarianceLoss()),
    Same("SignalToNoiseRatioContrastiveLoss", "", losses.SNRContrastiveLoss()),
    Same("FastAPLoss", "", losses.FastAPLoss(), mean_of_queries_with_positives),
    # Theirs finds the bins in float32, and leaves out negative pairs neither of
    # whose ends has a positive.
    Same("HistogramLoss", "", losses.HistogramLoss(), mean, RAGGED, gradient=1e-5),
    # Theirs adds 1e-5 for every key to what it divides by, and differentiates
    # the weights, so that easy negatives are pulled.
    Same(
        "RankedListLoss", "margin=0.4, Tn=10", losses.RankedListLoss(), relative=2e-4, gradient=None
    ),
]
IDS = [f"{s.loss}({s.params})" for s in SAME]


@pytest.mark.parametrize("same", SAME, ids=IDS)
@pytest.mark.slow_cases(
    "TripletMarginLoss()",
    "TripletMarginLoss(margin=0.2)",
    "TripletMarginLoss(margin=0.2, distance=LpDistance(power=2))",
    "TripletMarginLoss(margin=0.2, reducer=MeanReducer())",
    "TripletMarginLoss(margin=0.1, distance=CosineSimilarity())",
    "LiftedStructureLoss()",
)
def test_value_and_gradient(same):
    entries = [e for e in ENTRIES if (e["loss"], e["params"]) == (same.loss, same.params)]
    entries = [e for e in entries if "value" in e and e["input"] not in same.leave_out]
    assert len(entries) >= 4
    for entry in entries:
        labels = ARRAYS[f"in/{entry['input']}/labels"]
        x = tf.constant(ARRAYS[f"in/{entry['input']}/embeddings"], tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(x)
            config = {**same.ours.get_config(), "reduction": None}
            per_query = type(same.ours).from_config(config)(labels, unit_rows(x))
            value = same.reduce(per_query, labels)
        np.testing.assert_allclose(
            value, entry["value"], rtol=same.relative, atol=1e-9, err_msg=entry["input"]
        )
        if same.gradient is not None:
            gradient = tape.gradient(value, x)
            expected = ARRAYS[entry["grad_embeddings"]]
            scale = max(np.abs(expected).max(), 1e-9)
            np.testing.assert_allclose(
                gradient / scale, expected / scale, atol=same.gradient, err_msg=entry["input"]
            )


def test_angular_loss_there_does_not_normalise_the_negatives():
    """The formula has their value if negatives are left as they are, which ours normalises."""
    [entry] = [e for e in ENTRIES if e["case"] == "cluster0/pair30"]
    labels = ARRAYS["in/cluster0/labels"]
    raw = ARRAYS["in/cluster0/embeddings"].astype(np.float64)
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    t = np.tan(np.radians(40)) ** 2

    def formula(negatives):
        costs = []
        for a in range(len(labels)):
            for p in np.flatnonzero((labels == labels[a]) & (np.arange(len(labels)) != a)):
                others = negatives[labels != labels[a]]
                terms = 4 * t * others @ (unit[a] + unit[p]) - 2 * (1 + t) * unit[a] @ unit[p]
                costs.append(np.logaddexp.reduce([0, *terms]))
        return np.mean(costs)

    np.testing.assert_allclose(formula(raw), entry["value"], rtol=1e-6)
    ours = losses.AngularLoss()(labels, tf.constant(raw, tf.float64))
    np.testing.assert_allclose(ours, formula(unit), rtol=1e-6)
