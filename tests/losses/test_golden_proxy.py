"""Losses on proxies have the values and gradients of pytorch-metric-learning."""

import functools
import gzip
import json
import math

import numpy as np
import pytest
import tensorflow as tf

from oracle import golden
from tensorflow_similarity import losses
from tensorflow_similarity.layers import ProxyHead

ARCFACE = math.radians(28.6)
LOSSES = {
    ("ArcFaceLoss", ""): (losses.ArcFaceLoss(ARCFACE), 1),
    ("ArcFaceLoss", "margin=50, scale=30"): (losses.ArcFaceLoss(math.radians(50), 30), 1),
    ("CosFaceLoss", ""): (losses.CosFaceLoss(), 1),
    ("NormalizedSoftmaxLoss", ""): (losses.NormalizedSoftmaxLoss(), 1),
    ("SubCenterArcFaceLoss", "sub_centers=3"): (losses.SubCenterArcFaceLoss(ARCFACE), 3),
    ("SoftTripleLoss", ""): (losses.SoftTripleLoss(), 10),
    ("ProxyNCALoss", ""): (losses.ProxyNCALoss(1), 1),
    ("ProxyNCALoss", "softmax_scale=8"): (losses.ProxyNCALoss(8), 1),
    ("ProxyAnchorLoss", ""): (losses.ProxyAnchorLoss(), 1),
}
SPHEREFACE = ("SphereFaceLoss", "")


def cases():
    with gzip.open(golden.FOLDER / "pml/manifest.json.gz") as file:
        return [c for c in json.load(file)["cases"] if c["kind"] == "loss" and "weights" in c]


CASES = {c["case"]: c for c in cases() if (c["loss"], c["params"]) in {*LOSSES, SPHEREFACE}}


@functools.cache
def archive():
    with np.load(golden.FOLDER / "pml/losses.npz") as arrays:
        return {key: arrays[key] for key in arrays if "proxy" in key or key.startswith("in/")}


def read(case, key):
    return archive()[case[key]].astype("float64")


def proxies(case, key, centers):
    """As `[classes, centers, dim]`; there they are columns, but of the losses named Proxy…."""
    weights = read(case, key)
    rows = weights if case["weights_attr"] == "proxies" else weights.T
    return rows.reshape(-1, centers, rows.shape[-1])


def inputs(case):
    embeddings, labels = (archive()[f"in/{case['input']}/{k}"] for k in ("embeddings", "labels"))
    return embeddings.astype("float64"), labels


def value_and_gradients(loss, head, labels, embeddings):
    x = tf.constant(embeddings)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(labels, head(x))
    return float(value), *tape.gradient(value, [x, head.trainable_variables[0].value])


def head_with(weights):
    head = ProxyHead(weights.shape[0], centers=weights.shape[1], dtype="float64")
    head.build((None, weights.shape[2]))
    head.set_weights([weights])
    return head


def assert_close(actual, wanted):
    np.testing.assert_allclose(actual, wanted, rtol=1e-6, atol=1e-6 * np.max(np.abs(wanted)))


def test_all_cases_are_there():
    assert len(CASES) == 8 * (len(LOSSES) + 1)


@pytest.mark.parametrize("key", LOSSES, ids="-".join)
@pytest.mark.slow_cases("ProxyAnchorLoss-")
def test_values_and_gradients(key):
    loss, centers = LOSSES[key]
    for case in CASES.values():
        if (case["loss"], case["params"]) != key:
            continue
        embeddings, labels = inputs(case)
        head = head_with(proxies(case, "weights", centers))
        value, gradient, slope = value_and_gradients(loss, head, labels, embeddings)
        np.testing.assert_allclose(value, case["value"], rtol=1e-12, err_msg=case["case"])
        assert_close(gradient, read(case, "grad_embeddings"))
        assert_close(slope, proxies(case, "grad_weights", centers))


@pytest.mark.further
def test_sphereface_with_the_length_of_each_embedding_as_its_scale():
    for case in CASES.values():
        few = case["input"] in ("ragged0", "allsame0", "alldiff0")
        if (case["loss"], case["params"]) != SPHEREFACE or not few:
            continue
        embeddings, labels = inputs(case)
        lengths = np.linalg.norm(embeddings, axis=1)
        head = head_with(proxies(case, "weights", 1))

        def loss(y_true, cosines, lengths=lengths):
            parts = [
                losses.SphereFaceLoss(scale=length)(y_true[i : i + 1], cosines[i : i + 1])
                for i, length in enumerate(lengths)
            ]
            return tf.reduce_mean(parts)

        value, gradient, slope = value_and_gradients(loss, head, labels, embeddings)
        np.testing.assert_allclose(value, case["value"], rtol=1e-12, err_msg=case["case"])
        assert_close(slope, proxies(case, "grad_weights", 1))
        # The length is a constant here: what is along the embedding is left out there too.
        wanted = read(case, "grad_embeddings")
        unit = embeddings / lengths[:, None]
        assert_close(gradient, wanted - (wanted * unit).sum(1, keepdims=True) * unit)
