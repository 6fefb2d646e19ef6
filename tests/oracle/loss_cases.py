"""Every loss of the package, with what the tests of their common behaviour must know.

A new loss is covered by its name in `CASES` here, or in `oracle.pair_cases`.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from oracle import losses as oracle
from oracle import pair_cases
from tensorflow_similarity import losses

CLASSES = 6


@dataclass(frozen=True)
class Case:
    """A loss and what it takes.

    Attributes:
        make: Makes the loss; takes `reduction`, `block_size`, `name`, `distance` …
        formula: From a `Picture`, or from `(y_true, y_pred)` where the loss takes
            pairwise values, to one loss for each query.
        takes: `"embeddings"`, or the pairwise values `"distances"` or
            `"similarities"`.
        labels: `"classes"`, `"multi_hot"` or `"binary"`.
        needs: Without which pairs a query has no loss.
        frozen: Whether the gradient holds a part of the formula constant, so that
            it is not the derivative of the value.
        back: Whether the formula also looks from the keys at the queries.
        any_keys: Whether the formula's `Picture` may have keys of its own.
    """

    make: Callable[..., Any]
    formula: Callable[..., Any]
    takes: str = "embeddings"
    labels: str = "classes"
    needs: tuple[str, ...] = ("positives", "negatives")
    frozen: bool = False
    back: bool = False
    any_keys: bool = True

    def labels_of(self, n, seed=0):
        """Labels of n examples, of unbalanced classes where there are classes."""
        rng = np.random.default_rng(seed)
        if self.labels == "binary":
            return rng.integers(0, 2, size=n)
        if self.labels == "multi_hot":
            return rng.integers(0, 2, size=(n, CLASSES))
        return np.minimum(rng.geometric(0.4, size=n) - 1, CLASSES - 1)

    def predictions_of(self, n, seed=0, dtype="float32"):
        """What the loss takes: embeddings in clusters, or pairwise values."""
        rng = np.random.default_rng(seed + 1000)
        if self.takes == "distances":
            return np.abs(rng.normal(size=n)).astype(dtype)
        if self.takes == "similarities":
            return rng.normal(size=(n, n)).astype(dtype)
        labels = self.labels_of(n, seed)
        if self.labels == "classes":
            centres = rng.normal(size=(CLASSES, 4))[labels]
        else:
            centres = labels @ rng.normal(size=(CLASSES, 4))
        return (centres + 0.9 * rng.normal(size=(n, 4))).astype(dtype)

    def batch(self, n, seed=0, dtype="float32"):
        return self.labels_of(n, seed), self.predictions_of(n, seed, dtype)

    def expected(self, y_true, y_pred):
        """The loss of each query of a batch, by the formula."""
        y_pred = np.asarray(y_pred, np.float64)
        if self.takes != "embeddings":
            return self.formula(y_true, y_pred)
        name = self.make().distance.name
        if self.labels == "multi_hot":
            shared = np.asarray(y_true) @ np.asarray(y_true).T
            return self.formula(oracle.Picture(name, None, y_pred, relevance=shared))
        return self.formula(oracle.Picture(name, np.asarray(y_true).reshape(-1), y_pred))


def case(cls, formula=None, settings=None, formula_settings=None, **what):
    settings = settings or {}
    if formula_settings is None:
        formula_settings = {k: v for k, v in settings.items() if k != "distance"}
    return Case(
        functools.partial(cls, **settings), functools.partial(formula, **formula_settings), **what
    )


def npairs_of_values(labels, similarities):
    labels = np.asarray(labels).reshape(-1)
    return oracle.npairs_of_values(labels[:, None] == labels[None, :], similarities)


def npairs_multilabel_of_values(labels, similarities):
    return oracle.npairs_of_values(np.asarray(labels) @ np.asarray(labels).T, similarities)


CASES = {
    "triplet": case(losses.TripletLoss, oracle.triplet),
    "triplet_easy_positive_soft": case(
        losses.TripletLoss, oracle.triplet,
        {"distance": "euclidean", "positive_mining_strategy": "easy", "margin": None},
        {"positive": "easy", "margin": None},
    ),
    "triplet_hard": case(losses.TripletHardLoss, oracle.triplet_hard),
    "triplet_hard_soft": case(
        losses.TripletHardLoss, oracle.triplet_hard,
        {"soft": True, "distance": "manhattan"}, {"soft": True},
    ),
    "triplet_semi_hard": case(losses.TripletSemiHardLoss, oracle.triplet_semi_hard),
    "triplet_semi_hard_euclidean": case(
        losses.TripletSemiHardLoss, oracle.triplet_semi_hard,
        {"distance": "euclidean", "margin": 0.5},
    ),
    "lifted_struct": case(losses.LiftedStructLoss, oracle.lifted_struct, back=True),
    "lifted_struct_hard": case(
        losses.LiftedStructLoss, oracle.lifted_struct,
        {"distance": "cosine", "positive_mining_strategy": "hard"}, {"positive": "hard"},
        back=True,
    ),
    "contrastive": case(
        losses.ContrastiveLoss, oracle.contrastive, {"distance": "euclidean", "margin": 2.0},
        needs=(),
    ),
    "contrastive_semi_hard": case(
        losses.ContrastiveLoss, oracle.contrastive,
        {
            "distance": "euclidean", "margin": 3.0, "power": 1,
            "positive_mining_strategy": "hard", "negative_mining_strategy": "semi-hard",
        },
        {"margin": 3.0, "power": 1, "positive": "hard", "negative": "semi-hard"},
        needs=(),
    ),
    "contrastive_of_values": case(
        losses.ContrastiveLoss, oracle.contrastive_of_values, {"margin": 1.0},
        takes="distances", labels="binary", needs=(),
    ),
    "npairs": case(
        losses.NpairsLoss, oracle.npairs, {"distance": "inner_product"}, needs=("positives",)
    ),
    "npairs_of_values": case(
        losses.NpairsLoss, npairs_of_values, takes="similarities", needs=("positives",)
    ),
    "npairs_multilabel": case(
        losses.NpairsMultilabelLoss, oracle.npairs, {"distance": "cosine"},
        labels="multi_hot", needs=("positives",),
    ),
    "npairs_multilabel_of_values": case(
        losses.NpairsMultilabelLoss, npairs_multilabel_of_values,
        takes="similarities", labels="multi_hot", needs=("positives",),
    ),
    **{
        name: Case(
            c.make, c.oracle, needs=c.needs, frozen=c.frozen is not None, any_keys=c.any_keys
        )
        for name, c in pair_cases.CASES.items()
    },
}  # fmt: skip

#: Those that take embeddings and class ids, which is what most tests are about.
ON_CLASSES = [n for n, c in CASES.items() if c.takes == "embeddings" and c.labels == "classes"]
# What the base class does for all is tested quickly with these: a mined loss, one
# on all pairs of a query, one with two passes over the rows, and one on values.
REPRESENTATIVE = {
    "triplet", "triplet_semi_hard", "lifted_struct", "contrastive", "npairs_of_values",
}  # fmt: skip


def few(names):
    """Parameters of a test: a few names, and the others if slow tests are run."""
    return [
        name if name in REPRESENTATIVE else pytest.param(name, marks=pytest.mark.slow)
        for name in names
    ]


def one_each():
    """One name for each class of losses."""
    by_class = {type(case.make()): name for name, case in reversed(CASES.items())}
    return sorted(by_class.values())
