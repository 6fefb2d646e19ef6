"""Every loss has the value and the gradient of its formula, and those of TensorFlow."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from backends.losses_program import value_and_gradient

from every import every
from oracle import proxy_losses as on_proxies
from oracle.loss_cases import CASES, one_each
from tensorflow_similarity import losses

PROGRAM = Path(__file__).with_name("losses_program.py")
# Losses of a difference of nearly equal numbers are not exact to more in float32.
TOLERANCE = 1e-5
# Of each loss on proxies, by its defaults.
ON_PROXIES = {
    losses.ArcFaceLoss: on_proxies.arcface,
    losses.CosFaceLoss: on_proxies.cosface,
    losses.NormalizedSoftmaxLoss: on_proxies.normalized_softmax,
    losses.P2SGradLoss: on_proxies.p2s_grad,
    losses.ProxyAnchorLoss: on_proxies.proxy_anchor,
    losses.ProxyNCALoss: on_proxies.proxy_nca,
    losses.SoftTripleLoss: on_proxies.soft_triple,
    losses.SphereFaceLoss: on_proxies.sphereface,
}


def assert_follows(formula, loss, y_true, y_pred, frozen=False):
    """The value is the mean of `formula(y_pred)`, and the gradient its slope in a direction."""
    value, gradient = value_and_gradient(loss, y_true, y_pred)
    y_pred = y_pred.astype("float64")
    expected = formula(y_pred)
    assert value == pytest.approx(expected.mean(), rel=1e-4, abs=1e-5 * np.abs(expected).max())
    if not frozen:
        step = 1e-6 * np.random.default_rng(1).normal(size=y_pred.shape)
        slope = np.mean(formula(y_pred + step) - formula(y_pred - step)) / 2
        # To float32's rounding of the sum's terms.
        scale = np.abs(gradient * step).sum()
        assert np.sum(gradient * step) == pytest.approx(slope, rel=0, abs=1e-4 * scale)


def check_pairs(name):
    case = CASES[name]
    y, x = case.batch(12, seed=2)
    assert_follows(lambda x: case.expected(y, x), case.make(), y, x, case.frozen)


def check_proxies(cls, formula):
    rng = np.random.default_rng(3)
    y, x = rng.integers(0, 5, 9), rng.uniform(-0.95, 0.95, (9, 5)).astype("float32")
    if formula is on_proxies.soft_triple:
        x = np.stack([x, -x, x**2], axis=-1)
    assert_follows(lambda x: formula(x, y), cls(), y, x)


def test_values_and_gradients_are_those_of_the_formulas():
    every(check_pairs, one_each())
    every(check_proxies, ON_PROXIES.items())


@pytest.mark.skipif(os.environ.get("KERAS_BACKEND") != "torch", reason="of PyTorch")
def test_gradients_have_a_gradient_and_can_be_transformed():
    import torch

    rng = np.random.default_rng(4)
    x = torch.tensor(rng.normal(size=(6, 3)).astype("float32"), requires_grad=True)
    y = np.arange(6) % 2
    for loss in (
        losses.ContrastiveLoss(margin=2.0, distance="euclidean"),
        losses.IntraPairVarianceLoss(),
        losses.MultiSimilarityLoss(epsilon=None),
        losses.ArcFaceLoss(scale=4.0),
        losses.SoftTripleLoss(gamma=1.0),
    ):
        several = isinstance(loss, losses.SoftTripleLoss)

        def value(x, loss=loss, several=several):
            return loss(y, torch.stack([x, x * x], dim=-1) / 9 if several else x)

        def gradient(x, value=value):
            return torch.autograd.grad(value(x), x, create_graph=True)[0]

        direction = torch.tensor(rng.normal(size=x.shape).astype("float32"))
        (curvature,) = torch.autograd.grad((gradient(x) * direction).sum(), x)
        step = 1e-3 * direction
        differences = (gradient(x + step) - gradient(x - step)).detach() / 2e-3
        np.testing.assert_allclose(curvature, differences, atol=2e-3 * float(curvature.abs().max()))
        transformed = torch.func.grad(value)(x.detach())
        np.testing.assert_allclose(transformed, gradient(x).detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(os.environ.get("KERAS_BACKEND") != "torch", reason="of PyTorch")
def test_blocks_keep_nothing_of_their_rows():
    import gc

    import torch

    x = torch.tensor(np.random.default_rng(5).normal(size=(60, 3)), requires_grad=True)
    y = np.arange(60) % 7
    for loss in (losses.ContrastiveLoss(distance="euclidean"), losses.SupConLoss()):
        loss.block_size = 20
        value = loss(y, x)
        gc.collect()
        tensors = (each for each in gc.get_objects() if isinstance(each, torch.Tensor))
        assert not any(each.ndim == 2 and each.shape[1] == 60 for each in tensors), loss
        value.backward()


def results(backend, path):
    done = subprocess.run(
        [sys.executable, PROGRAM, path],
        env={**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(path) as file:
        return dict(file)


@pytest.mark.slow
def test_values_and_gradients_are_those_of_tensorflow(tmp_path):
    expected = results("tensorflow", tmp_path / "tensorflow.npz")
    found = results(os.environ["KERAS_BACKEND"], tmp_path / "here.npz")
    assert list(found) == list(expected)
    assert len(found) > 4 * len(CASES)
    failed = []
    for name, value in expected.items():
        scale = max(np.abs(value).max(), 1e-3)
        difference = np.abs(found[name] - value).max() / scale
        if not difference < TOLERANCE:
            failed.append(f"{name} differs by {difference:.1e}")
    assert not failed, "\n".join(failed)
