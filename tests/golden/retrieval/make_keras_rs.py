"""Makes `keras_rs.json`: the retrieval task of keras-rs on seeded numbers.

`RemoveAccidentalHits` of 0.4.0 means to give duplicates the least of all scores, and adds 1e-40,
which changes nothing; for "no accidental hits" its constant is -1e30, as that of TensorFlow
Recommenders, which it follows, is negative and huge.

pip install keras-rs==0.4.0
python tests/golden/retrieval/make_keras_rs.py
"""

import json
from pathlib import Path

import keras_rs
import numpy as np
from keras import losses, ops
from keras_rs.src.layers.retrieval import remove_accidental_hits

rng = np.random.default_rng(0)
queries, candidates = rng.normal(size=(2, 8, 4)).astype("float32")
probability = rng.uniform(0.01, 0.9, size=8).astype("float32")


ids = np.array([1, 2, 1, 3, 2, 1, 4, 5])
remove_accidental_hits.SMALLEST_FLOAT = -1e30


def loss(correct: bool = False, distinct: bool = False, temperature: float = 1.0) -> list[float]:
    """The task: scores, their correction and mask, softmax."""
    logits = ops.matmul(queries, ops.transpose(candidates)) / temperature
    labels = ops.eye(8)
    if correct:
        logits = keras_rs.layers.SamplingProbabilityCorrection()(logits, probability)
    if distinct:
        logits = keras_rs.layers.RemoveAccidentalHits()(logits, labels, ids)
    value = losses.CategoricalCrossentropy(from_logits=True, reduction=None)(labels, logits)
    return np.asarray(value).tolist()


Path(__file__).with_name("keras_rs.json").write_text(
    json.dumps(
        {
            "version": keras_rs.__version__,
            "queries": queries.tolist(),
            "candidates": candidates.tolist(),
            "probability": probability.tolist(),
            "ids": ids.tolist(),
            "plain": loss(),
            "corrected": loss(correct=True),
            "no accidental hits": loss(distinct=True),
            "temperature 0.5": loss(temperature=0.5),
            "all": loss(True, True, 0.5),
        },
        indent=1,
    )
    + "\n"
)
