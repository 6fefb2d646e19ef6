"""Makes `sentence_transformers.json`: MultipleNegativesRankingLoss on seeded embeddings.

The losses are given embeddings, not texts, so that no network and no weights are needed.

pip install sentence-transformers==6.2.0 torch==2.13.0
python tests/golden/retrieval/make_sentence_transformers.py
"""

import json
from pathlib import Path

import numpy as np
import sentence_transformers
import torch
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.util import cos_sim, dot_score

rng = np.random.default_rng(0)
arrays = {
    "queries": rng.normal(size=(8, 4)).astype("float32"),
    "candidates": rng.normal(size=(8, 4)).astype("float32"),
    "negatives": rng.normal(size=(8, 3, 4)).astype("float32"),
}
BOTH_WAYS = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
CASES = {
    "default": ({}, False),
    "hard negatives": ({}, True),
    "symmetric": (BOTH_WAYS, False),
    "symmetric with hard negatives": (BOTH_WAYS, True),
    "inner product": ({"scale": 1.0, "similarity_fct": dot_score}, False),
    "inner product, hard negatives": ({"scale": 2.0, "similarity_fct": dot_score}, True),
}

found = {}
for name, (options, hard) in CASES.items():
    tensors = [torch.tensor(arrays["queries"]), torch.tensor(arrays["candidates"])]
    if hard:  # A column of negatives each, as the data loader makes them.
        tensors += list(torch.tensor(arrays["negatives"]).unbind(dim=1))
    for tensor in tensors:
        tensor.requires_grad_()
    loss = losses.MultipleNegativesRankingLoss(None, **options)
    value = loss.compute_loss_from_embeddings(tensors, None)
    value.backward()
    queries, candidates, *negatives = (tensor.grad for tensor in tensors)
    found[name] = {
        "distance": "inner_product"
        if options.get("similarity_fct", cos_sim) is dot_score
        else "cosine",
        "scale": loss.scale,
        "symmetric": options is BOTH_WAYS,
        "value": value.item(),
        "gradients": {
            "queries": queries.tolist(),
            "candidates": candidates.tolist(),
            **({"negatives": torch.stack(negatives, dim=1).tolist()} if hard else {}),
        },
    }
symmetric = losses.MultipleNegativesSymmetricRankingLoss(None)
pair = [torch.tensor(arrays[name]) for name in ("queries", "candidates")]
found["symmetric"]["value of MultipleNegativesSymmetricRankingLoss"] = (
    symmetric.compute_loss_from_embeddings(pair, None).item()
)

Path(__file__).with_name("sentence_transformers.json").write_text(
    json.dumps(
        {
            "version": sentence_transformers.__version__,
            **{name: array.tolist() for name, array in arrays.items()},
            "cases": found,
        }
    )
    + "\n"
)
