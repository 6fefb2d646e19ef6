"""Clusters against classes."""

import builtins

import numpy as np
import pytest

from oracle import evaluation_golden as golden
from tensorflow_similarity.evaluation import clustering


@pytest.mark.parametrize("case", ["clusters", "clusters_separable"])
def test_values_of_pytorch_metric_learning(case):
    (entry,) = [e for e in golden.entries("pml") if e["case"] == case]
    stored = golden.arrays("pml")
    result = clustering(
        labels=stored[entry["query_labels"]], clusters=stored[entry["cluster_labels"]]
    )
    assert result["ami"] == pytest.approx(entry["values"]["AMI"])
    assert result["nmi"] == pytest.approx(entry["values"]["NMI"])


def test_by_k_means():
    y = np.repeat(np.arange(5), 20)
    x = 10 * np.eye(5)[y] + np.random.default_rng(0).normal(size=(100, 5))
    assert clustering(x, y) == {"ami": pytest.approx(1), "nmi": pytest.approx(1)}
    chance = clustering(x, np.random.default_rng(1).permutation(y))
    assert abs(chance["ami"]) < 0.1


def test_names_and_unknown_classes():
    names, clusters = ["a", "b", None, "a", "b", "b"], [5, 7, 5, 5, 7, -1]
    expected = clustering(labels=[0, 1, 0, 1, 1], clusters=[5, 7, 5, 7, -1])
    assert clustering(labels=names, clusters=clusters) == expected


def test_bad_input():
    with pytest.raises(ValueError, match="clusters"):
        clustering(labels=[0, 1])
    with pytest.raises(ValueError, match="clusters"):
        clustering(labels=[0, 1], clusters=[0])
    with pytest.raises(ValueError, match="labels"):
        clustering(np.eye(3), [0, 1])


def test_names_the_extra_where_scikit_learn_is_missing(monkeypatch):
    plain = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"keras-similarity\[evaluation\]"):
        clustering(labels=[0, 1], clusters=[0, 1])
