"""Speed of the index against its bare engines, as ratios within one run.

    python benchmarks/index.py                 # some three minutes on two cores
    python benchmarks/index.py --json out.json

Both sides of a ratio are run in turn, and medians are taken, so that what else
the machine does slows both. Bare nmslib answers in its own objects: lists of
ids and distances that are neither checked nor true. The limit of exact search
is the matrix product of all queries with all records, by TensorFlow and by
NumPy, whichever is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from tensorflow_similarity import distances
from tensorflow_similarity.index import Index
from tensorflow_similarity.index.engines.exact import ExactScan
from tensorflow_similarity.index.engines.nmslib import NmslibEngine, _nmslib
from timing import in_turn, seconds

Rows = list[dict[str, Any]]


def unit(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    x = rng.normal(size=(n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def clustered(rng: np.random.Generator, n: int, dim: int) -> np.ndarray:
    """Unit vectors in classes of 100, as trained embeddings are."""
    centres = rng.normal(size=(n // 100 + 1, dim)).astype(np.float32)
    x = centres[rng.integers(len(centres), size=n)]
    x += 0.5 * rng.normal(size=(n, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def product(queries: np.ndarray, keys: np.ndarray) -> Callable[[], Any]:
    """All scores, a block at a time, by whichever library multiplies faster here."""
    parts = [tf.constant(queries[i : i + 512]) for i in range(0, len(queries), 512)]
    blocks = [tf.constant(keys[i : i + 8192]) for i in range(0, len(keys), 8192)]

    def by_tensorflow() -> None:
        for block in blocks:
            for part in parts:
                tf.matmul(part, block, transpose_b=True)

    def by_numpy() -> None:
        for i in range(0, len(queries), 512):
            for j in range(0, len(keys), 8192):
                queries[i : i + 512] @ keys[j : j + 8192].T

    taken = in_turn({"tensorflow": by_tensorflow, "numpy": by_numpy}, 3)
    return by_tensorflow if taken["tensorflow"] < taken["numpy"] else by_numpy


def lookups(times: int) -> Rows:
    """A batch and single queries through the index, and the bare engine's call."""
    rng = np.random.default_rng(0)
    keys, queries = unit(rng, 20_000, 64), unit(rng, 2000, 64)
    rows: Rows = []

    exact = Index(64, "cosine", search="exact")
    exact.add(keys)
    scan = ExactScan(distances.get("cosine"))
    stored = exact._backend.snapshot()[0].rows.vectors
    scan.search(queries[:1], stored, 10)
    taken = in_turn(
        {
            "index": lambda: exact.lookup(queries, k=10),
            "bare": lambda: scan.search(queries, stored, 10),
            "product": product(queries, keys),
        },
        times,
    )
    rows.append(ratio("exact: 2,000 queries in 20,000 x 64", taken, "bare", 1.2))
    rows.append(ratio("  the same against the product alone", taken, "product", None))

    params = {"M": 16, "efConstruction": 100, "ef": 50}
    graph = Index(64, "cosine", search="nmslib", search_params=params, target_recall=0.5)
    graph.add(keys)
    graph.lookup(queries[:1])
    bare = graph._backend.snapshot()[0].graph.engine._graph  # type: ignore[union-attr]
    taken = in_turn(
        {
            "index": lambda: graph.lookup(queries, k=10),
            "bare": lambda: bare.knnQueryBatch(queries, k=10),
        },
        times,
    )
    row = ratio("nmslib: 2,000 queries in 20,000 x 64", taken, "bare", 1.2)
    found, true = graph.lookup(queries, k=10).ids, exact.lookup(queries, k=10).ids
    hits = sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), true.tolist(), strict=True))
    rows.append({**row, "note": f"recall {hits / true.size:.3f} on uniform vectors"})

    for name, index, call in (
        ("exact", exact, lambda: scan.search(queries[:1], stored, 10)),
        ("nmslib", graph, lambda: bare.knnQuery(queries[0], k=10)),
    ):
        taken = in_turn(
            {"index": lambda index=index: index.lookup(queries[:1], k=10), "bare": call},
            times * 100,
        )
        over = (taken["index"] - taken["bare"]) * 1e6
        row = ratio(f"{name}: one query in 20,000 x 64", taken, "bare", None)
        rows.append({**row, "note": f"{over:.0f} µs more than the bare call"})
    return rows


def ratio(what: str, taken: dict[str, float], base: str, limit: float | None) -> dict[str, Any]:
    return {
        "what": what,
        "milliseconds": taken["index"] * 1e3,
        "against": taken[base] * 1e3,
        "ratio": taken["index"] / taken[base],
        "limit": limit,
    }


def additions(times: int) -> Rows:
    """One record into 100,000, and a lookup that finds it."""
    rng = np.random.default_rng(1)
    keys = clustered(rng, 100_000, 64)
    rows: Rows = []
    for search in ("exact", "nmslib"):
        index = Index(64, "cosine", search=search, target_recall=0.5)
        index.add(keys)
        index.lookup(keys[:1])
        taken, cpu = [], []
        for new in unit(rng, times * 20, 64):

            def add_and_find(new: np.ndarray = new, index: Index = index) -> None:
                (added,) = index.add(new[None])
                if index.lookup(new[None], k=1).ids.item() != added:
                    raise RuntimeError("the record was not found")

            begin = time.process_time()
            taken.append(seconds(add_and_find))
            cpu.append(time.process_time() - begin)
        median = statistics.median(taken) * 1e3
        rows.append(
            {
                "what": f"{search}: add one to 100,000 x 64 and find it",
                "milliseconds": median,
                "limit_milliseconds": 5.0,
                "note": f"of the processor: {statistics.median(cpu) * 1e3:.2f} ms; "
                f"slowest of {len(taken)}: {max(taken) * 1e3:.1f} ms",
            }
        )
    return rows


def against_the_product(times: int) -> Rows:
    """Exact search of batches, and the product that it cannot do without."""
    rng = np.random.default_rng(2)
    rows: Rows = []
    for nq, n, dim in ((1000, 60_000, 784), (512, 200_000, 128), (1000, 1_000_000, 128)):
        keys, queries = unit(rng, n, dim), unit(rng, nq, dim)
        index = Index(dim, "euclidean", search="exact")
        index.add(keys)
        taken = in_turn(
            {
                "index": lambda index=index, queries=queries: index.lookup(queries, k=10),
                "product": product(queries, keys),
            },
            times,
        )
        row = ratio(f"exact: {nq:,} queries in {n:,} x {dim}, euclidean", taken, "product", 1 / 0.6)
        rows.append({**row, "note": f"{taken['product'] / taken['index']:.0%} of the product"})
        stored = index._backend.snapshot()[0].rows.vectors
        taken = in_turn(
            {
                "index": lambda index=index, queries=queries: index.lookup(queries[:1], k=10),
                "read": lambda stored=stored, queries=queries: np.vecdot(stored, queries[0]),
            },
            times * 5,
        )
        row = ratio(f"exact: one query in {n:,} x {dim}", taken, "read", None)
        speed = stored.nbytes / taken["index"] / 1e9
        rows.append({**row, "note": f"{speed:.0f} GB/s; against one product with a vector"})
    return rows


def building(times: int) -> Rows:
    """The graph through the index, and by nmslib alone."""
    del times
    rng = np.random.default_rng(3)
    keys = clustered(rng, 20_000, 64)
    params = {"M": 16, "efConstruction": 100, "post": 0}

    def bare() -> None:
        graph = _nmslib().init(method="hnsw", space="cosinesimil")
        graph.addDataPointBatch(keys)
        graph.createIndex(params, print_progress=False)

    def ours() -> None:
        NmslibEngine("cosine", params).build(keys)

    taken = in_turn({"index": ours, "bare": bare}, 3)
    return [ratio("nmslib: build 20,000 x 64", taken, "bare", 1.1)]


def format_row(row: dict[str, Any]) -> str:
    text = f"{row['what']:<48} {row['milliseconds']:>10.3f} ms"
    if "ratio" in row:
        text += f"  {row['against']:>10.3f} ms  {row['ratio']:>6.2f}x"
        text += "" if row["limit"] is None else f"  (limit {row['limit']:.2f}x) {verdict(row)}"
    else:
        text += f"  (limit {row['limit_milliseconds']:.0f} ms) {verdict(row)}"
    return f"{text}  {row['note']}" if "note" in row else text


def verdict(row: dict[str, Any]) -> str:
    if "ratio" in row:
        return "ok" if row["ratio"] <= row["limit"] else "ABOVE"
    return "ok" if row["milliseconds"] <= row["limit_milliseconds"] else "ABOVE"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="PATH", help="write the figures there, too")
    parser.add_argument("--times", type=int, default=15, help="runs of each measurement")
    arguments = parser.parse_args()
    parts = [lookups, additions, building, against_the_product]
    rows: Rows = []
    # Milliseconds are those of a quiet machine only if this is well below the cores.
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    print(f"{'':<48} {'index':>13}  {'bare':>13}   ratio")
    for part in parts:
        for row in part(arguments.times):
            rows.append(row)
            print(format_row(row), flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
