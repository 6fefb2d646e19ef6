"""What is particular to single losses; what all share is in the tests of `CASES`."""

import numpy as np
import pytest

from oracle.gradients import value_and_gradient
from oracle.losses import Picture
from oracle.pair_cases import CASES, labels_and_embeddings
from tensorflow_similarity import losses

LABELS, EMBEDDINGS = labels_and_embeddings()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.frozen])
def test_gradient_takes_weights_for_constants(name):
    case = CASES[name]
    direction = np.random.default_rng(5).normal(size=EMBEDDINGS.shape)
    distance = case.make().distance.name
    fixed = Picture(distance, LABELS, EMBEDDINGS)

    def value(step):
        moved = Picture(distance, LABELS, EMBEDDINGS + step * direction)
        return np.mean(case.frozen(moved, fixed))

    expected = (value(1e-6) - value(-1e-6)) / 2e-6
    _, gradient = value_and_gradient(case.make(), LABELS, EMBEDDINGS)
    np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=1e-5)


EQUAL = {
    "NCALoss is SoftNearestNeighborLoss": (
        losses.NCALoss(softmax_scale=4.0),
        losses.SoftNearestNeighborLoss(temperature=0.25),
    ),
    "NpairsLoss is SupConLoss": (
        losses.NpairsLoss(distance="cosine"),
        losses.SupConLoss(temperature=1.0),
    ),
    "TupletMarginLoss without a margin is NTXentLoss": (
        losses.TupletMarginLoss(margin=0.0, scale=5.0),
        losses.NTXentLoss(temperature=0.2),
    ),
}


@pytest.mark.parametrize("name", EQUAL)
def test_two_names_of_one_loss(name):
    one, other = (loss(LABELS, EMBEDDINGS) for loss in EQUAL[name])
    np.testing.assert_allclose(one, other, rtol=1e-7)


def test_one_positive_each_makes_supcon_and_ntxent_equal():
    labels = np.repeat(np.arange(5), 2)
    x = np.random.default_rng(0).normal(size=(10, 4))
    supcon = losses.SupConLoss(temperature=0.3)(labels, x)
    np.testing.assert_allclose(losses.NTXentLoss(temperature=0.3)(labels, x), supcon, rtol=1e-9)


def test_smooth_ap_nears_average_precision():
    per_query = losses.SmoothAPLoss(temperature=1e-5, reduction=None)(LABELS, EMBEDDINGS)
    picture = Picture("cosine", LABELS, EMBEDDINGS)
    for i, row in enumerate(picture.distances):
        order = sorted(picture.positives[i] + picture.negatives[i], key=lambda k: row[k])
        hits = [k in picture.positives[i] for k in order]
        precisions = [sum(hits[: r + 1]) / (r + 1) for r, hit in enumerate(hits) if hit]
        expected = 1 - np.mean(precisions) if precisions else 0
        np.testing.assert_allclose(per_query[i], expected, atol=1e-6)


def test_recall_at_k_surrogate_nears_recall():
    loss = losses.RecallAtKSurrogateLoss(
        k_vals=[3], k_temperature=1e-3, temperature=1e-5, reduction=None
    )
    # A place exactly at k is half in: the sigmoid at its step.
    picture = Picture("cosine", LABELS, EMBEDDINGS)
    for i, value in enumerate(np.asarray(loss(LABELS, EMBEDDINGS))):
        row, positives = picture.distances[i], picture.positives[i]
        order = sorted(positives + picture.negatives[i], key=lambda k, row=row: row[k])
        hits = sum((1, 1, 0.5)[r] for r, k in enumerate(order[:3]) if k in positives)
        expected = 1 - hits / min(3, len(positives)) if positives else 0
        np.testing.assert_allclose(value, expected, atol=1e-6)


def test_batch_all_at_ties_and_beyond_the_margin():
    # Distances 1 (positive) and 1, 2, 3 (negatives): with margin 1 only the
    # first is a triplet above 0, and the second is exactly 0.
    labels, x = [0, 0, 1, 2, 3], [[0.0], [1.0], [-1.0], [-2.0], [-3.0]]
    loss = losses.TripletAllLoss(distance="manhattan", margin=1.0, reduction="sum")
    value, gradient = value_and_gradient(loss, np.array(labels), np.array(x))
    # Of example 1 the negatives are at 2, 3, 4: none is above 0.
    np.testing.assert_allclose(value, 5 * 1.0)
    np.testing.assert_allclose(gradient[:, 0], [-10, 5, 5, 0, 0])


@pytest.mark.further
def test_batch_all_in_float32_at_a_thousand_examples():
    rng = np.random.default_rng(0)
    labels, x = rng.integers(0, 100, 1000), rng.normal(size=(1000, 8))
    single = losses.TripletAllLoss(margin=0.2)(labels, x.astype("float32"))
    double = losses.TripletAllLoss(margin=0.2)(labels, x)
    np.testing.assert_allclose(single, double, rtol=1e-5)


@pytest.mark.further
@pytest.mark.parametrize("sizes", [(2, 3, 1), (5, 7), (13, 2, 1), (1, 1), (3,)])
@pytest.mark.parametrize("cls", [losses.AngularLoss, losses.LiftedStructLoss])
def test_few_and_many_positives_take_other_ways_to_one_value(cls, sizes):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    x = np.random.default_rng(6).normal(size=(len(labels), 4))
    ways = [cls(), cls(block_size=100), cls(block_size=3), cls(mining=lambda pairs: pairs)]
    (value, gradient), *others = (value_and_gradient(loss, labels, x) for loss in ways)
    for other, slope in others:
        np.testing.assert_allclose(other, value, rtol=1e-9)
        np.testing.assert_allclose(slope, gradient, rtol=1e-7, atol=1e-12)


BAD = {
    "alpha": (losses.AngularLoss, {"alpha": 75}),
    "distance": (losses.AngularLoss, {"distance": "euclidean"}),
    "num_bins": (losses.FastAPLoss, {"num_bins": 0}),
    "imbalance": (losses.RankedListLoss, {"imbalance": 1.5}),
    "k_vals": (losses.RecallAtKSurrogateLoss, {"k_vals": []}),
    "temperature": (losses.SupConLoss, {"temperature": 0}),
    "gamma": (losses.CircleLoss, {"gamma": -1}),
}


@pytest.mark.parametrize("argument", BAD)
def test_bad_arguments_are_refused(argument):
    cls, arguments = BAD[argument]
    with pytest.raises(ValueError, match=rf"`{argument}`.*Received"):
        cls(**arguments)
