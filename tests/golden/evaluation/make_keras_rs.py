"""Writes keras_rs.json: what keras-rs 0.4.0 says of rankings, query by query.

pip install keras-rs==0.4.0 && python tests/golden/evaluation/make_keras_rs.py
"""

import json
from pathlib import Path

import keras_rs
import numpy as np

METRICS = {
    "precision@1": lambda: keras_rs.metrics.PrecisionAtK(k=1),
    "precision@5": lambda: keras_rs.metrics.PrecisionAtK(k=5),
    "recall@5": lambda: keras_rs.metrics.RecallAtK(k=5),
    "recall@20": lambda: keras_rs.metrics.RecallAtK(k=20),
    "mrr": lambda: keras_rs.metrics.MeanReciprocalRank(),
    "mrr@3": lambda: keras_rs.metrics.MeanReciprocalRank(k=3),
    # Divided by R there and by min(k, R) here: the same where k is all there is.
    "map@24": lambda: keras_rs.metrics.MeanAveragePrecision(k=24),
    # Their gain of a grade g is 2**g - 1.
    "ndcg@5": lambda: keras_rs.metrics.NDCG(k=5),
    "ndcg@24": lambda: keras_rs.metrics.NDCG(k=24),
}


def main():
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(12, 3)).round(4), rng.normal(size=(24, 3)).round(4)
    grades = rng.choice([0, 0, 0, 1, 2, 3], size=(12, 24))
    distances = np.linalg.norm(queries[:, None] - gallery[None], axis=2)
    values = {}
    for name, make in METRICS.items():
        graded = grades if name.startswith("ndcg") else (grades > 0).astype(int)
        values[name] = [
            float(make()(graded[i : i + 1].astype("float32"), -distances[i : i + 1]))
            for i in range(len(queries))
        ]
    everything = {
        "version": keras_rs.__version__,
        "queries": queries.tolist(),
        "gallery": gallery.tolist(),
        "grades": grades.tolist(),
        "values": values,
    }
    path = Path(__file__).parent / "keras_rs.json"
    path.write_text(json.dumps(everything) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
