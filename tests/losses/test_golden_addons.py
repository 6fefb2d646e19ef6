"""The losses of TensorFlow Addons 0.23, r0.7 and r0.6 against what it printed."""

import collections

import numpy as np
import pytest

from oracle import golden
from oracle import losses as oracle
from oracle.gradients import direction_for, value_and_gradient
from tensorflow_similarity.losses import (
    ContrastiveLoss,
    LiftedStructLoss,
    NpairsLoss,
    NpairsMultilabelLoss,
    TripletHardLoss,
    TripletSemiHardLoss,
)

LOSSES = {
    "ContrastiveLoss": ContrastiveLoss,
    "LiftedStructLoss": LiftedStructLoss,
    "NpairsLoss": NpairsLoss,
    "NpairsMultilabelLoss": NpairsMultilabelLoss,
    "TripletHardLoss": TripletHardLoss,
    "TripletSemiHardLoss": TripletSemiHardLoss,
}
ENTRIES = [e for e in golden.entries() if e["impl"].startswith("tfa-") and e["loss"] in LOSSES]

# No query has a positive and a negative: the original has NaN, or a loss from
# pairs that do not exist. Ours is 0, with gradient 0.
NOTHING_TO_LEARN = {"b16_d16_allsame", "b16_d16_allunique", "b1_d16"}
# Some queries have no positive. That is no pair for the losses over all pairs,
# but the original's batch-hard loss gives such queries a loss.
SOME_ALONE = {"b128_d16_c20_norm_unbal", "b32_d16_c10_raw_unbal"}
DISTANCES = {
    "L2": "euclidean",
    "squared-L2": "squared_euclidean",
    "angular": "cosine",
}


def expectation(entry):
    """`"original"`, `"zero"`, or `"formula"`: whose value ours must have."""
    if entry["loss"].startswith(("Contrastive", "Npairs")):
        return "original"
    case = golden.case_of(entry)
    if case in NOTHING_TO_LEARN:
        return "zero"
    return "formula" if entry["loss"] == "TripletHardLoss" and case in SOME_ALONE else "original"


def arguments(entry):
    names = ("y_true", "y_pred") if "y_true" in entry["inputs"] else ("labels", "embeddings")
    return [golden.array(entry["inputs"][name]) for name in names]


def loss_of(entry, **kwargs):
    # As a user of Addons wrote it: margin, soft, distance_metric, reduction.
    return LOSSES[entry["loss"]](**{**entry["params"], **kwargs})


def relative_error(entry):
    distance = entry["params"].get("distance_metric", "L2")
    cancels = "dups" in golden.case_of(entry) and distance == "L2"
    return 5e-3 if cancels and entry["loss"].startswith(("Triplet", "Lifted")) else 1e-4


def test_all_entries_are_compared():
    assert len(ENTRIES) == 421
    assert collections.Counter(map(expectation, ENTRIES)) == {
        "original": 421 - 75 - 18,
        "zero": 75,
        "formula": 18,
    }
    assert collections.Counter(e["loss"] for e in ENTRIES) == {
        "TripletSemiHardLoss": 120,
        "TripletHardLoss": 108,
        "ContrastiveLoss": 99,
        "LiftedStructLoss": 72,
        "NpairsLoss": 11,
        "NpairsMultilabelLoss": 11,
    }
    assert {e["impl"] for e in ENTRIES} == {"tfa-0.23.0", "tfa-r0.6", "tfa-r0.7"}


def as_original(entry):
    labels, predictions = arguments(entry)
    loss = loss_of(entry)
    value, gradient = value_and_gradient(loss, labels, predictions)
    expected, relative = entry["value"], relative_error(entry)
    if entry["upstream_nonfinite_bug"] or entry["upstream_inaccurate"]:
        expected, relative = entry["value_f64"], 1e-5
        assert np.isfinite(gradient).all()
    if entry["params"].get("reduction") == "none":
        np.testing.assert_allclose(value, golden.array(entry["per_example"]), 1e-5, 1e-7)
        value = value.sum()
    np.testing.assert_allclose(value, expected, rtol=relative, atol=1e-6)
    if not entry["grad"] or entry["upstream_nonfinite_bug"]:
        return
    [name] = entry["grad"]
    places, theirs = golden.gradient(entry, name)
    ours = gradient.ravel()[places]
    if "dups" in golden.case_of(entry) and name == "embeddings":
        # Which of identical rows is chosen is not defined: their sum is.
        _, group, count = np.unique(predictions, axis=0, return_inverse=True, return_counts=True)
        group = group.reshape(-1)
        if len(theirs) == gradient.size:
            sums = np.zeros((2, len(count), gradient.shape[1]))
            np.add.at(sums[0], group, gradient)
            np.add.at(sums[1], group, theirs.reshape(gradient.shape))
            ours, theirs = sums
        else:
            single = count[group[places // gradient.shape[1]]] == 1
            ours, theirs = ours[single], theirs[single]
    scale = max(np.abs(theirs).max(initial=0), np.abs(gradient).max())
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=relative * scale + 1e-8)


def as_zero(entry):
    value, gradient = value_and_gradient(loss_of(entry), *arguments(entry))
    assert value == 0
    assert not gradient.any()


def as_formula(entry):
    labels, x = arguments(entry)
    params = dict(entry["params"])
    distance = DISTANCES[params.pop("distance_metric")]
    picture = oracle.Picture(distance, labels, x)
    expected = oracle.triplet_hard(picture, **params)
    value, gradient = value_and_gradient(loss_of(entry, reduction=None), labels, x)
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)
    assert np.isfinite(gradient).all()
    alone = np.array([not p for p in picture.positives])
    assert alone.any()
    assert not value[alone].any()
    # The original took a query without a positive to be at distance 0 from one.
    nearest = np.array(
        [row[n].min() for row, n in zip(picture.distances, picture.negatives, strict=True)]
    )
    theirs = (
        np.logaddexp(0, -nearest) if params["soft"] else np.maximum(params["margin"] - nearest, 0)
    )
    np.testing.assert_allclose((value + alone * theirs).mean(), entry["value"], rtol=1e-4)
    moved = [
        oracle.triplet_hard(oracle.Picture(distance, labels, x + step * direction_for(x)), **params)
        for step in (1e-6, -1e-6)
    ]
    derivative = (moved[0] - moved[1]).sum() / 2e-6
    ours = np.sum(gradient * direction_for(x))
    np.testing.assert_allclose(ours, derivative, atol=1e-4 * np.linalg.norm(gradient))


def check(entries):
    failed = []
    for entry in entries:
        by = {"original": as_original, "zero": as_zero, "formula": as_formula}
        try:
            by[expectation(entry)](entry)
        except AssertionError as error:
            failed.append(f"{entry['id']}: {error}")
    assert not failed, "\n".join(failed)


def is_quick(entry):
    """Whether it is of the last version, with margin 1 if it has one."""
    return entry["impl"] == "tfa-0.23.0" and entry["params"].get("margin", 1.0) == 1.0


CASES = sorted({golden.case_of(e) for e in ENTRIES})


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.slow_cases(
    "TripletHardLoss-b128_d16_c20_norm_unbal",
    "TripletHardLoss-b32_d16_c10_raw_unbal",
    "LiftedStructLoss-b128_d16_c20_norm_unbal",
    "TripletHardLoss-b16_d16_allunique",
    "TripletHardLoss-b16_d16_allsame",
    "TripletHardLoss-b1_d16",
    "TripletHardLoss-b32_d16_c4_norm",
    "TripletSemiHardLoss-b128_d64_c20_clustered_norm",
    "TripletSemiHardLoss-b32_d2_c4_norm_dups",
    "TripletSemiHardLoss-b32_d16_c10_raw_unbal",
    "LiftedStructLoss-b128_d64_c10_raw_large",
)
def test_entries(loss, case):
    of_both = [e for e in ENTRIES if (e["loss"], golden.case_of(e)) == (loss, case)]
    assert of_both or case == "b1_d16"
    check(e for e in of_both if is_quick(e))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("loss", LOSSES)
def test_further_entries(loss, case):
    of_both = [e for e in ENTRIES if (e["loss"], golden.case_of(e)) == (loss, case)]
    check(e for e in of_both if not is_quick(e))


def test_default_of_semi_hard_is_that_of_the_early_versions():
    # Squared in r0.6 and r0.7; 0.23 has the plain distance by default.
    by_id = {e["id"]: e for e in ENTRIES}
    case = "b32_d16_c4_norm/m1.0"
    old, new = by_id[f"tfa-r0.7/semihard/{case}"], by_id[f"tfa/semihard/{case}/squared-L2"]
    np.testing.assert_allclose(old["value"], new["value"], rtol=1e-5)
    labels, x = arguments(old)
    np.testing.assert_allclose(TripletSemiHardLoss()(labels, x), old["value"], rtol=1e-5)
    plain = by_id[f"tfa/semihard/{case}/L2"]
    ours = TripletSemiHardLoss(distance="euclidean")(labels, x)
    np.testing.assert_allclose(ours, plain["value"], rtol=1e-5)
