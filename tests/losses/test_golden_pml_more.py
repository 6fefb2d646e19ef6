"""Further losses against pytorch-metric-learning 2.9, run on the inputs of `test_golden_pml`."""

import json

import numpy as np

from every import every
from oracle.golden import FOLDER
from oracle.gradients import value_and_gradient
from tensorflow_similarity import losses
from tensorflow_similarity.layers import ProxyHead

with open(FOLDER / "pml" / "more.json", encoding="utf-8") as file:
    CASES = json.load(file)["cases"]
INPUTS = np.load(FOLDER / "pml" / "losses.npz", allow_pickle=False)
THEIRS = np.load(FOLDER / "pml" / "more.npz", allow_pickle=False)
OURS = {
    "margin_plus": "positive_margin",
    "margin_minus": "negative_margin",
    "lambda_minus": "negative_weight",
}


def check(case):
    embeddings = INPUTS[f"in/{case['input']}/embeddings"].astype("float64")
    labels = INPUTS[f"in/{case['input']}/labels"]
    if case["loss"] == "P2SGradLoss":
        # Theirs is the mean over the classes, too.
        head = ProxyHead(case["classes"], dtype="float64")
        head.build(embeddings.shape)
        head.set_weights([THEIRS[case["case"] + "/weights"].reshape(head.weights[0].shape)])
        of_cosines = losses.P2SGradLoss()

        def loss(y_true, y_pred, sample_weight=None):
            return of_cosines(y_true, head(y_pred)) / case["classes"]
    else:
        loss = losses.ThresholdConsistentMarginLoss(
            **{OURS[name]: value for name, value in case["params"].items()}
        )
    value, gradient = value_and_gradient(loss, labels, embeddings)
    np.testing.assert_allclose(value, case["value"], rtol=1e-6, atol=1e-12)
    if case["case"] in THEIRS.files:
        theirs = THEIRS[case["case"]]
        np.testing.assert_allclose(gradient, theirs, atol=2e-6 * max(np.abs(theirs).max(), 1e-6))


def test_values_and_gradients():
    every(check, [(case,) for case in CASES])
