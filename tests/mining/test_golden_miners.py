"""What is mined, against pytorch-metric-learning 2.9's lists of pairs and triplets."""

import gzip
import json

import numpy as np
import pytest
from keras import ops

from oracle.golden import FOLDER
from tensorflow_similarity import distances, mining

with gzip.open(FOLDER / "pml" / "manifest.json.gz") as file:
    ENTRIES = [e for e in json.load(file)["cases"] if e["kind"] == "miner"]

IN_COSINE = "margin=0.1, type_of_triplets='semihard', distance=CosineSimilarity()"
# Its miner and arguments: ours, and the distance of normalised embeddings.
SAME = {
    **{
        ("TripletMarginMiner", f"margin=0.2, type_of_triplets={kind!r}"): (
            mining.TripletMarginMiner(0.2, kind),
            "euclidean",
        )
        for kind in ("all", "hard", "semihard", "easy")
    },
    ("TripletMarginMiner", IN_COSINE): (mining.TripletMarginMiner(0.1, "semihard"), "cosine"),
    ("MultiSimilarityMiner", ""): (mining.MultiSimilarityMiner(), "cosine"),
    ("PairMarginMiner", ""): (mining.PairMarginMiner(), "euclidean"),
    ("PairMarginMiner", "pos_margin=0.8, neg_margin=1.2"): (
        mining.PairMarginMiner(0.8, 1.2),
        "euclidean",
    ),
    ("BatchHardMiner", ""): (
        lambda rows: (
            mining.Farthest().keep(rows.distances, rows.positives, None),
            mining.Nearest().keep(rows.distances, rows.negatives, None),
        ),
        "euclidean",
    ),
}  # fmt: skip
FOUND = [e for e in ENTRIES if (e["miner"], e["params"]) in SAME]


def test_no_entry_is_left_out_unseen():
    left_out = {e["miner"] for e in ENTRIES} - {e["miner"] for e in FOUND}
    # An angular miner and one by quantiles of the batch are not there. Easy and
    # semi-hard pairs of BatchEasyHardMiner are none where ours are the next best.
    assert left_out == {"AngularMiner", "HDCMiner", "BatchEasyHardMiner"}
    assert len(FOUND) == 72


@pytest.mark.parametrize("entry", FOUND, ids=lambda e: e[next(k for k in e if "/" in str(e[k]))])
def test_pairs_are_the_same(entry):
    miner, distance = SAME[entry["miner"], entry["params"]]
    with np.load(FOLDER / "pml" / entry["file"]) as arrays:
        x, labels = (arrays[f"in/{entry['input']}/{key}"] for key in ("embeddings", "labels"))
        if "triplets" in entry:
            a, p, n = arrays[entry["triplets"]].T
            positives, negatives = {*zip(a, p, strict=True)}, {*zip(a, n, strict=True)}
        else:
            positives, negatives = (
                {*zip(*arrays[entry[f"{side}_pairs"]].T, strict=True)} for side in ("pos", "neg")
            )
    x = ops.convert_to_tensor(x.astype("float64"))
    alike, others = labels[:, None] == labels[None, :], ~np.eye(len(labels), dtype=bool)
    unit = x / ops.norm(x, axis=1, keepdims=True)
    rows = mining.Rows(distances.get(distance)(unit, unit), alike & others, ~alike)
    if entry["miner"] == "BatchHardMiner":
        # It leaves out queries without a positive, or without a negative.
        both = (rows.positives.any(axis=1) & rows.negatives.any(axis=1))[:, None]
        rows = rows._replace(positives=rows.positives & both, negatives=rows.negatives & both)
    kept = mining.get_miner(miner)(rows)
    for mask, expected in ((kept.positives, positives), (kept.negatives, negatives)):
        assert {*zip(*np.nonzero(np.asarray(mask)), strict=True)} == expected


def test_strategies_within_ranges_pick_the_same_triplets():
    with open(FOLDER / "pml" / "ranges_and_reducers.json", encoding="utf-8") as file:
        golden = json.load(file)
    x, labels = np.array(golden["embeddings"]), np.array(golden["labels"])
    unit = ops.convert_to_tensor(x / np.linalg.norm(x, axis=1, keepdims=True))
    alike, others = labels[:, None] == labels[None, :], ~np.eye(len(labels), dtype=bool)
    rows = mining.Rows(distances.get("euclidean")(unit, unit), alike & others, ~alike)
    for case in golden["ranges"]:
        miner = mining.DistanceRangeMiner(case["positive_range"], case["negative_range"])
        strategies = mining.StrategyMiner(case["positive"], case["negative"])
        positive, negative, complete = map(np.asarray, strategies.pick(miner(rows)))
        found = [[a, positive[a], negative[a]] for a in np.flatnonzero(complete)]
        assert found == case["triplets"], case
