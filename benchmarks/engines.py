"""Approximate engines through the index, and bare: throughput, latency, build, recall, bytes.

    python benchmarks/engines.py                          # all that are installed, 50,000 x 64
    python benchmarks/engines.py --records 200000 --dim 128 --engines faiss scann
    python benchmarks/engines.py --data uniform --json out.json

Both sides search the same graph at the same effort, in turn, and medians are
taken, so that what else the machine does slows both. The bare library answers
with neither checks, ids nor true distances. The effort is the one the index
chose for its target, on a sample of the records; recall is measured on other
queries than those.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from bare_engines import PEERS, K, bare_build
from tensorflow_similarity.index import Index, engines, exact_search
from timing import in_turn


def installed() -> list[str]:
    """The engines whose library is installed."""
    return [kind.name for kind in engines.installed("cosine") if kind.name in PEERS]


def data(kind: str, n: int, dim: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors: uniform, or in classes of 100, as trained embeddings are."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n + queries, dim)).astype(np.float32)
    if kind == "clustered":
        centres = rng.normal(size=(n // 100 + 1, dim)).astype(np.float32)
        x = 0.5 * x + centres[rng.integers(len(centres), size=len(x))]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x[:n], x[n:]


def bare_call(name: str, engine: Any) -> Callable[[np.ndarray], Any]:
    """The library's own search in the graph of an engine, at its effort."""
    effort = engine.effort
    if name == "nmslib":
        graph = engine._graph
        graph.setQueryTimeParams({"ef": max(effort, 2 * K)})
        return lambda q: graph.knnQueryBatch(q, k=K) if len(q) > 1 else graph.knnQuery(q[0], k=K)
    if name == "usearch":
        engine._index.expansion_search = max(effort, 2 * K)
        return lambda q: engine._index.search(q if len(q) > 1 else q[0], K)
    if name == "scann":
        searcher, reorder = engine._searcher, max(10 * K, 4 * effort)
        return lambda q: (
            searcher.search_batched_parallel(q, K, reorder, effort)
            if len(q) > 1
            else searcher.search(q[0], K, reorder, effort)
        )
    params = engine._at(max(effort, 2 * K) if name == "faiss" else effort)
    asked = engine._asked(K) if name == "faiss_pq" else K
    return lambda q: engine._index.search(q, asked, params=params)


def built(name: str, keys: np.ndarray, queries: np.ndarray, target: float) -> tuple[Index, Any]:
    """An index of the keys, and the engine that it has built."""
    index = Index(keys.shape[1], "cosine", search=name, target_recall=target)
    index.add(keys)
    index.lookup(queries[:1])
    return index, index._backend.snapshot()[0].graph.engine  # type: ignore[union-attr]


def measured(name: str, keys: np.ndarray, queries: np.ndarray, arguments: Any) -> dict[str, Any]:
    index, engine = built(name, keys, queries, arguments.target)
    kind, params = engines.get(name), dict(engine.params)
    lists = getattr(engine, "_lists", None)
    build = in_turn(
        {
            "ours": lambda: kind("cosine", params).build(keys),  # type: ignore[misc]
            "bare": lambda: bare_build(name, keys, {"nlist": lists, "num_leaves": lists, **params}),
        },
        arguments.builds,
    )
    bare = bare_call(name, engine)
    batch = in_turn(
        {"ours": lambda: index.lookup(queries, k=K), "bare": lambda: bare(queries)},
        arguments.times,
    )
    one = in_turn(
        {"ours": lambda: index.lookup(queries[:1], k=K), "bare": lambda: bare(queries[:1])},
        arguments.times * 50,
    )
    found, true = index.lookup(queries, k=K).ids, exact_search(queries, keys, K)[0]
    hits = sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), true.tolist(), strict=True))
    return {
        "engine": name,
        "effort": engine.effort,
        "recall": hits / true.size,
        "build s": build["ours"],
        "build / bare": build["ours"] / build["bare"],
        "us a query in a batch": 1e6 * batch["ours"] / len(queries),
        "throughput / bare": batch["bare"] / batch["ours"],
        "us alone": 1e6 * one["ours"],
        "us over bare": 1e6 * (one["ours"] - one["bare"]),
        "saved MB": sum(map(len, engine.content())) / 1e6,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = installed()
    parser.add_argument("--engines", nargs="+", default=known, choices=known)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--data", choices=["clustered", "uniform"], default="clustered")
    parser.add_argument("--target", type=float, default=0.95, help="the recall to reach")
    parser.add_argument("--times", type=int, default=11, help="runs of each lookup")
    parser.add_argument("--builds", type=int, default=1, help="runs of each build")
    parser.add_argument("--json", metavar="PATH", help="write the figures there, too")
    arguments = parser.parse_args()
    keys, queries = data(arguments.data, arguments.records, arguments.dim, 2000)
    # Times are those of a quiet machine only if this is well below the cores.
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    print(f"{arguments.records:,} x {arguments.dim}, {arguments.data}, {len(queries):,} queries")
    rows = []
    for name in arguments.engines:
        rows.append(measured(name, keys, queries, arguments))
        if len(rows) == 1:
            print("  ".join(f"{column:>{width(column)}}" for column in rows[0]))
        print("  ".join(cell(column, value) for column, value in rows[-1].items()), flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=2)
    return 0


def width(column: str) -> int:
    return max(len(column), 9)


def cell(column: str, value: Any) -> str:
    if not isinstance(value, float):
        return f"{value:>{width(column)}}"
    digits = 3 if column == "recall" else 2 if "/" in column else 1
    return f"{value:>{width(column)}.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
