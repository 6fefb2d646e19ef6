"""The values of pytorch-metric-learning's AccuracyCalculator on its own inputs."""

import numpy as np
import pytest

from oracle import evaluation_golden as golden
from tensorflow_similarity.evaluation import evaluate

ENTRIES = {entry["case"]: entry for entry in golden.entries("pml")}
# Each at least as deep as PML looks: its `k` cuts rankings off, ours are whole.
OURS = {
    "precision_at_1": "precision@1",
    "r_precision": "r_precision",
    "mean_average_precision_at_r": "map@r",
    "mean_reciprocal_rank": "mrr",
}
RELEVANCE = {
    "label_fn_first_column": lambda a, b: a[:, None, 0] == b[None, :, 0],
    "label_fn_first_column_query_only": lambda a, b: a[:, None, 0] == b[None, :, 0],
    "label_fn_near": lambda a, b: np.abs(a[:, None] - b[None, :]) <= 1,
}
# Cut at 10 neighbours, fewer than R: other numbers under the same names.
CUT = {"query_only_k_10", "disjoint_ref_k_10"}
# Ids go through float32 there, and classes collide.
WRONG_LABELS = {"labels_above_2p24"}


def result_of(entry):
    stored = golden.arrays("pml")
    x, y = stored[entry["query"]], stored[entry["query_labels"]]
    relevance = RELEVANCE.get(entry["case"])
    names = list(OURS.values())
    if entry["reference"] is None:
        return evaluate(x, y, distance="euclidean", metrics=names, relevance=relevance)
    gallery, labels = stored[entry["reference"]], stored[entry["reference_labels"]]
    own = np.arange(len(x)) if entry["ref_includes_query"] else None
    return evaluate(
        x, y, gallery, labels, "euclidean", names, query_positions=own, relevance=relevance
    )


@pytest.mark.parametrize("case", sorted(set(ENTRIES) - WRONG_LABELS))
def test_values(case):
    entry = ENTRIES[case]
    result = result_of(entry)
    compared = 0
    for theirs, ours in OURS.items():
        if theirs not in entry["values"]:
            continue
        if case in CUT and theirs != "precision_at_1":
            continue
        value = entry["values"][theirs]
        if entry["calculator"].get("avg_of_avgs"):
            assert result.macro[ours] == pytest.approx(value, rel=1e-6), ours
        elif entry["calculator"].get("return_per_class"):
            per_class = result.per_class[ours]
            assert [per_class[c] for c in sorted(per_class)] == pytest.approx(value, rel=1e-6)
        else:
            assert result[ours] == pytest.approx(value, rel=1e-6), ours
        compared += 1
    assert compared or case == "clusters_separable"


@pytest.mark.parametrize("case", ["singletons_query_only", "labels_missing_in_ref"])
def test_queries_without_anything_relevant_are_counted(case):
    assert result_of(ENTRIES[case]).skipped == 2


def test_large_ids_give_what_small_ones_give():
    entry = ENTRIES["labels_above_2p24"]
    stored = golden.arrays("pml")
    x, y = stored[entry["query"]], stored[entry["query_labels"]]
    _, small = np.unique(y, return_inverse=True)
    ours = evaluate(x, y, distance="euclidean")
    assert dict(ours) == dict(evaluate(x, small, distance="euclidean"))
    assert ours["map@r"] != pytest.approx(entry["values"]["mean_average_precision_at_r"])
