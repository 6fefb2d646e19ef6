"""Each pair, triplet and set loss with settings that make it busy, and its formula."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from oracle import pair_losses as oracle
from tensorflow_similarity import losses


@dataclass
class Case:
    """A loss, how to make it, and the loops that it must agree with.

    `needs`: without which pairs a query has no loss. `frozen(moved, fixed)`: the
    formula with what the gradient takes for constant taken from `fixed`.
    """

    make: Callable[..., Any]
    oracle: Callable[..., Any]
    needs: tuple[str, ...] = ("positives", "negatives")
    frozen: Callable[..., Any] | None = None
    any_keys: bool = True


def labels_and_embeddings():
    """Classes of 1 to 5 examples, in no order."""
    rng = np.random.default_rng(11)
    labels = np.array([4, 0, 1, 0, 2, 1, 0, 3, 0, 2, 1, 0, 9])
    centres = rng.normal(size=(10, 4))
    return labels, centres[labels] + 0.8 * rng.normal(size=(len(labels), 4))


def _case(cls, function, needs=("positives", "negatives"), **settings):
    """A case whose oracle takes the arguments of the loss, the distance apart."""
    formula = {k: v for k, v in settings.items() if k != "distance"}
    return Case(functools.partial(cls, **settings), functools.partial(function, **formula), needs)


def _with_fixed_weights(case):
    """The same, of a loss whose weights are constants to the gradient."""
    case.frozen = lambda moved, fixed: case.oracle(moved, weights=fixed)
    return case


def _on_its_own_keys(case):
    """The same, of a loss whose oracle needs more than the picture for other keys."""
    case.any_keys = False
    return case


CASES = {
    "multi_similarity": _case(losses.MultiSimilarityLoss, oracle.multi_similarity),
    "multi_similarity_euclidean": _case(
        losses.MultiSimilarityLoss, oracle.multi_similarity,
        distance="euclidean", alpha=1.0, beta=5.0, epsilon=0.3, lmda=0.3, center=2.0,
    ),
    "multi_similarity_all_pairs": _case(
        losses.MultiSimilarityLoss, oracle.multi_similarity, needs=(), epsilon=None
    ),
    "circle": _with_fixed_weights(_case(losses.CircleLoss, oracle.circle)),
    "circle_soft": _with_fixed_weights(
        _case(losses.CircleLoss, oracle.circle, gamma=4.0, margin=0.25)
    ),
    "pn": Case(losses.PNLoss, oracle.pn, any_keys=False),
    "pn_hard_soft_margin": Case(
        functools.partial(
            losses.PNLoss, distance="euclidean", negative_mining_strategy="hard", margin=None
        ),
        functools.partial(oracle.pn, negative="hard", margin=None),
        any_keys=False,
    ),
    "soft_nearest_neighbor": _case(losses.SoftNearestNeighborLoss, oracle.soft_nearest_neighbor),
    "soft_nearest_neighbor_cold": _case(
        losses.SoftNearestNeighborLoss, oracle.soft_nearest_neighbor,
        distance="cosine", temperature=0.1,
    ),
    "supcon": _case(losses.SupConLoss, oracle.supcon, needs=("positives",)),
    "ntxent": _case(losses.NTXentLoss, oracle.ntxent),
    "nca": Case(
        functools.partial(losses.NCALoss, softmax_scale=0.5),
        functools.partial(oracle.soft_nearest_neighbor, temperature=2.0),
    ),
    "generalized_lifted_struct": _case(
        losses.GeneralizedLiftedStructLoss, oracle.generalized_lifted_struct, pos_margin=0.25
    ),
    "margin": _case(losses.MarginLoss, oracle.margin, beta=2.0, margin=0.5),
    "snr_contrastive": _case(
        losses.SNRContrastiveLoss, oracle.snr_contrastive, needs=(), pos_margin=0.1
    ),
    "tuplet_margin": _case(losses.TupletMarginLoss, oracle.tuplet_margin),
    "tuplet_margin_warm": _case(
        losses.TupletMarginLoss, oracle.tuplet_margin, margin=20.0, scale=4.0
    ),
    "intra_pair_variance": _case(
        losses.IntraPairVarianceLoss, oracle.intra_pair_variance, needs=()
    ),
    "threshold_consistent_margin": _case(
        losses.ThresholdConsistentMarginLoss,
        oracle.threshold_consistent_margin,
        needs=(),
        positive_margin=0.8,
        negative_margin=0.1,
        negative_weight=0.5,
    ),
    "fastap": _case(losses.FastAPLoss, oracle.fastap),
    "histogram": _case(losses.HistogramLoss, oracle.histogram),
    "histogram_coarse": _case(losses.HistogramLoss, oracle.histogram, num_bins=7),
    "ranked_list": _with_fixed_weights(
        _case(losses.RankedListLoss, oracle.ranked_list, needs=(), alpha=3.0, Tn=2.0, Tp=0.5)
    ),
    "smooth_ap": _case(losses.SmoothAPLoss, oracle.smooth_ap, temperature=0.2),
    "pnp": _case(losses.PNPLoss, oracle.pnp, alpha=2.0, temperature=0.2),
    **{
        f"pnp_{variant}": _case(losses.PNPLoss, oracle.pnp, variant=variant, temperature=0.2)
        for variant in ("O", "Ds", "Iu", "Ib")
    },
    "recall_at_k_surrogate": _case(
        losses.RecallAtKSurrogateLoss, oracle.recall_at_k_surrogate,
        temperature=0.2, k_vals=(1, 3, 7),
    ),
    "angular": _on_its_own_keys(_case(losses.AngularLoss, oracle.angular)),
    "triplet_all": _case(losses.TripletAllLoss, oracle.triplet_all),
    "triplet_all_mean": _case(
        losses.TripletAllLoss, oracle.triplet_all,
        distance="euclidean", margin=0.5, active_only=False,
    ),
}  # fmt: skip
