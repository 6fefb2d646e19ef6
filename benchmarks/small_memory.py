"""Search in less memory than the embeddings take: bytes a record, recall, time.

    python benchmarks/small_memory.py                     # 200,000 x 128
    python benchmarks/small_memory.py --records 1000000 --json out.json

An index is filled, searched once, saved, and loaded by a process of its own with `mmap=True`:
embeddings stay in the file. Measured there: the memory of the process that is not a mapped
file, above what it had before loading; recall at 10 of queries that are no records, against
exact search; and the processor's time of a query in a batch. Embeddings are in clusters, and
for "prefix" their variance falls from one number to the next, as MatryoshkaLoss makes it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from tensorflow_similarity.index import Index, exact_search

K = 10
SEARCHES: dict[str, list[dict[str, int]]] = {
    "exact": [{}],
    "faiss_ivf": [{}],
    "faiss_pq": [{}, {"dimensions_per_block": 2}],
    "prefix": [{"prefix": 32}],
}


def data(records: int, dim: int, queries: int, falling: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(records + queries, dim)).astype(np.float32)
    centres = rng.normal(size=(records // 100 + 1, dim)).astype(np.float32)
    x = 0.5 * x + centres[rng.integers(len(centres), size=len(x))]
    if falling:
        x *= 0.97 ** np.arange(dim, dtype=np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x[:records], x[records:]


def own_memory() -> int:
    """Bytes of this process that belong to no file."""
    with open("/proc/self/smaps_rollup") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("Anonymous:"))


def loaded(path: str) -> dict[str, Any]:
    """What a process has of an index that it loads with its embeddings left in the file."""
    z = np.load(f"{path}.npz")
    queries, true = z["queries"], z["true"]
    exact_search(queries[:64], queries, K)  # TensorFlow takes what it needs
    before = own_memory()
    index = Index.load(path, mmap=True)
    index.lookup(queries[:64], k=K)
    memory = own_memory() - before
    begin = time.process_time()
    found = index.lookup(queries, k=K).ids
    taken = time.process_time() - begin
    hits = sum(len(set(a) & set(b)) for a, b in zip(found.tolist(), true.tolist(), strict=True))
    return {
        "own bytes a record": memory / len(index),
        "recall": hits / true.size,
        "us a query": 1e6 * taken / len(queries),
        "engine": index.engine,
    }


def measured(search: str, params: dict[str, int], arguments: Any) -> dict[str, Any]:
    keys, queries = data(arguments.records, arguments.dim, 1000, falling=search == "prefix")
    index = Index(arguments.dim, "cosine", search=search, search_params=params)
    index.add(keys)
    begin = time.process_time()
    index.lookup(queries[:1])
    build = time.process_time() - begin
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "index")
        index.save(path)
        np.savez(f"{path}.npz", queries=queries, true=exact_search(queries, keys, K)[0])
        command = [sys.executable, __file__, "--load", path]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        row = json.loads(done.stdout.splitlines()[-1])
    stats = index.stats()
    row |= {"search": search, "params": stats.get("params"), "effort": stats.get("effort")}
    return {**row, "build s": build}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--searches", nargs="+", default=list(SEARCHES), choices=SEARCHES)
    parser.add_argument("--json", metavar="PATH", help="write the figures there, too")
    parser.add_argument("--load", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.load:
        print(json.dumps(loaded(arguments.load)))
        return
    rows = []
    for search in arguments.searches:
        for params in SEARCHES[search]:
            rows.append(measured(search, params, arguments))
            shown = (
                f"{k}: {v:.3f}" if isinstance(v, float) else f"{k}: {v}"
                for k, v in rows[-1].items()
            )
            print("  ".join(shown), flush=True)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
