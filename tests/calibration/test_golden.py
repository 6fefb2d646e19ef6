"""The values of TensorFlow Similarity, where they were right."""

import warnings

import numpy as np
import pytest

from oracle import evaluation_golden as golden
from tensorflow_similarity.calibration import calibrate, evaluate_classification

CALIBRATIONS = golden.entries("tfsim", "calibration")
CLASSIFICATIONS = golden.entries("tfsim", "classification_eval")
METRICS = {"f1", "precision", "recall", "binary_accuracy", "npv", "fpr"}


def test_all_cases_are_here():
    assert {e["params"]["calibration_metric"] for e in CALIBRATIONS} == METRICS
    assert {e["params"]["matcher"] for e in CLASSIFICATIONS} == {
        "match_nearest",
        "match_majority_vote",
    }


@pytest.mark.parametrize("entry", CLASSIFICATIONS, ids=lambda e: e["id"])
def test_classification(entry):
    params = entry["params"]
    result = evaluate_classification(
        *golden.lookup(entry, params["k"]),
        distance_thresholds=params["distance_thresholds"],
        metrics=params["metrics"],
        matcher=params["matcher"],
    )
    for name, key in entry["output"].items():
        np.testing.assert_allclose(result[name], golden.arrays("tfsim")[key], rtol=1e-5, atol=1e-7)


def calibrated(entry):
    params = entry["params"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Targets that are not reached.
        return calibrate(
            *golden.lookup(entry, params["k"]),
            thresholds_targets=params["thresholds_targets"],
            calibration_metric=params["calibration_metric"],
            matcher=params["matcher"],
            extra_metrics=params["extra_metrics"],
        )


@pytest.mark.parametrize("entry", CALIBRATIONS, ids=lambda e: e["id"])
def test_calibration(entry):
    result = calibrated(entry)
    for name, key in entry["thresholds"].items():
        expected = golden.arrays("tfsim")[key]
        np.testing.assert_allclose(result.thresholds[name], expected, rtol=1e-5, atol=1e-7)
    metric = entry["params"]["calibration_metric"]
    for name, target in entry["params"]["thresholds_targets"].items():
        if metric == "fpr":
            # The original went over the limit that it was asked to keep.
            assert name in result.unreached or result.cutpoints[name]["fpr"] <= target
        else:
            assert (name in result.cutpoints) == (name in entry["cutpoints"])
            assert (name in result.unreached) == (name not in entry["cutpoints"])
    for name, point in entry["cutpoints"].items():
        if metric == "fpr" and name != "optimal":
            continue
        ours = result.cutpoints[name]
        target = entry["params"]["thresholds_targets"].get(name)
        if ours["value"] == target and point["value"] > target:
            continue  # Reached exactly, which float32 had just below the target.
        assert ours["name"] == point["name"]
        assert set(ours) == set(point)
        for key in set(point) - {"name"}:
            assert ours[key] == pytest.approx(point[key], rel=1e-5, abs=1e-7), key
