"""Makes `keras_rs.json`: the retrieval task of keras-rs on seeded numbers.

Its `RemoveAccidentalHits` is left out: that of 0.4.0 adds 1e-40 to the scores of duplicates, which
changes nothing.

pip install keras-rs==0.4.0
python tests/golden/retrieval/make_keras_rs.py
"""

import json
from pathlib import Path

import keras_rs
import numpy as np
from keras import losses, ops

rng = np.random.default_rng(0)
queries, candidates = rng.normal(size=(2, 8, 4)).astype("float32")
probability = rng.uniform(0.01, 0.9, size=8).astype("float32")


def loss(correct: bool) -> list[float]:
    logits = ops.matmul(queries, ops.transpose(candidates))
    labels = ops.eye(8)
    if correct:
        logits = keras_rs.layers.SamplingProbabilityCorrection()(logits, probability)
    value = losses.CategoricalCrossentropy(from_logits=True, reduction=None)(labels, logits)
    return np.asarray(value).tolist()


Path(__file__).with_name("keras_rs.json").write_text(
    json.dumps(
        {
            "version": keras_rs.__version__,
            "queries": queries.tolist(),
            "candidates": candidates.tolist(),
            "probability": probability.tolist(),
            "plain": loss(False),
            "corrected": loss(True),
        },
        indent=1,
    )
    + "\n"
)
