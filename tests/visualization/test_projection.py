import sys

import numpy as np
import pytest

from tensorflow_similarity.visualization import project


def cloud(n=40, dim=6):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, dim)) * np.arange(dim, 0, -1) + 100


def test_pca_agrees_with_scikit_learn():
    from sklearn.decomposition import PCA

    expected = PCA(3).fit_transform(cloud())
    expected *= np.sign(expected[np.abs(expected).argmax(axis=0), range(3)])
    np.testing.assert_allclose(project(cloud(), dimensions=3), expected, rtol=1e-3, atol=1e-3)


def test_pca_of_a_line_and_of_one_point():
    np.testing.assert_allclose(project([[1.0], [3.0], [8.0]]), [[-3, 0], [-1, 0], [4, 0]])
    np.testing.assert_array_equal(project([[1.0, 2.0, 3.0]]), [[0, 0]])


def test_tsne_keeps_clusters_and_is_reproducible():
    labels = np.arange(40) % 2
    x = np.eye(2)[labels] + 0.05 * np.random.default_rng(0).normal(size=(40, 2))
    found = project(x, "tsne", seed=3)
    centres = np.stack([found[labels == c].mean(axis=0) for c in (0, 1)])
    nearest = np.linalg.norm(found[:, None] - centres, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, labels)
    np.testing.assert_array_equal(project(x, "tsne", seed=3), found)


def test_umap_keeps_clusters():
    pytest.importorskip("umap", reason="a heavy extra")
    labels = np.arange(60) % 2
    x = np.eye(2)[labels] + 0.05 * np.random.default_rng(0).normal(size=(60, 2))
    found = project(x, "umap")
    centres = np.stack([found[labels == c].mean(axis=0) for c in (0, 1)])
    nearest = np.linalg.norm(found[:, None] - centres, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, labels)


def test_a_function_projects():
    np.testing.assert_array_equal(project([[1.0, 2.0, 3.0]], lambda x: x[:, 1:]), [[2, 3]])
    with pytest.raises(ValueError, match=r"array \(1, 2\). Received: \(1, 3\)"):
        project([[1.0, 2.0, 3.0]], lambda x: x)


@pytest.mark.parametrize(
    ("method", "module", "extra"),
    [("tsne", "sklearn.manifold", "evaluation"), ("umap", "umap", "umap")],
)
def test_missing_packages_name_their_extra(monkeypatch, method, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"keras-similarity\[{extra}\]"):
        project(cloud(), method)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"`method` must be one of .*Received: 'mds'"):
        project(cloud(), "mds")
    with pytest.raises(ValueError, match="`dimensions`"):
        project(cloud(), dimensions=0)
