"""What answers beyond the k nearest cost: distances, pairs, groups, filters, selections, storage.

    python benchmarks/answers.py                                  # 10,000 and 100,000 records
    python benchmarks/answers.py --records 1000000 --search exact --parts lookups filters

Each is measured beside a plain lookup of the same index: run it on a quiet machine. With 1,000,000
records, lookups and filters take 2 GiB and three minutes. All pairs of a million records of 128
numbers take some 40 minutes of one processor, and 1.4 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tensorflow_similarity.index import Index, exact_search

DIM, QUERIES, K = 64, 100, 10
# Of the records, what a filter lets through.
SHARES = (0.5, 0.1, 0.01, 0.001)


def clustered(rng: np.random.Generator, n: int, near: int = 0) -> np.ndarray:
    """Clusters of about 100, and near copies of some of the rows."""
    centers = rng.normal(size=(max(n // 100, 1), DIM))
    x = centers[rng.integers(0, len(centers), n)] + rng.normal(size=(n, DIM)) * 0.3
    if near:
        x[n - near :] = x[:near] + rng.normal(scale=1e-3, size=(near, DIM))
    return x.astype(np.float32)


def seconds(call: Callable[[], Any], times: int) -> float:
    """The median of a few runs, after one that is not counted."""
    call()
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


PARTS = ("lookups", "filters", "pairs", "storages")


def answers(n: int, search: str, times: int, parts: list[str]) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    x = clustered(rng, n, n // 50)
    queries = clustered(rng, QUERIES)
    index = Index(DIM, "euclidean", search)
    prices = rng.random(n)
    for start in range(0, n, 100_000):
        some = range(start, min(start + 100_000, n))
        data = [{"price": float(prices[i]), "shop": f"s{i % 97}"} for i in some]
        index.add(x[some.start : some.stop], np.array(some) // 50, data)
    plain = seconds(lambda: index.lookup(queries, K), times)
    alone = seconds(lambda: index.lookup(queries[:1], K), 5 * times)
    rows: list[dict[str, Any]] = []

    def row(what: str, taken: float, base: float | None, note: str = "") -> None:
        ratio = None if base is None else taken / base
        rows.append({"what": what, "seconds": taken, "ratio": ratio, "note": note})

    row(f"lookup of {QUERIES}", plain, None)
    row("lookup of one", alone, None)
    if "lookups" in parts:
        limit = float(np.median(index.lookup(queries, 50).distances[:, -1]))
        found = index.lookup(queries, max_distance=limit)
        taken = seconds(lambda: index.lookup(queries, max_distance=limit), times)
        row(f"within a distance, {QUERIES}", taken, plain, f"{len(found.ids) / QUERIES:.0f} each")
        for name, options in (
            ("distinct labels", {"distinct": "label"}),
            ("distinct values of a key", {"distinct": "shop"}),
            ("without 20 ids each", {"exclude": [list(range(20))] * QUERIES}),
            ("the tenth page", {"offset": 9 * K}),
        ):
            row(
                name,
                seconds(lambda options=options: index.lookup(queries, K, **options), times),
                plain,
            )
    if "filters" in parts:
        begin = time.perf_counter()
        index.count({"price": {"lt": 0.5}})
        row("a key is read for the first time", time.perf_counter() - begin, alone)
        for share in SHARES:
            limits = iter(share * (1 - 1e-9 * np.arange(10_000)))

            def new(batch: np.ndarray, limits: Any = limits) -> None:
                index.lookup(batch, K, {"price": {"lt": next(limits)}})

            def same(batch: np.ndarray, share: float = share) -> None:
                index.lookup(batch, K, {"price": {"lt": share}})

            note = f"lets {share:.1%} through"
            row(f"a new filter, {QUERIES}", seconds(lambda f=new: f(queries), times), plain, note)
            row("a new filter, one", seconds(lambda f=new: f(queries[:1]), 5 * times), alone, note)
            row(
                "the same filter, one",
                seconds(lambda f=same: f(queries[:1]), 5 * times),
                alone,
                note,
            )
        row("count by a filter", seconds(lambda: index.count({"shop": "s5"}), times), alone)
        row("get by a filter", seconds(lambda: index.get(filter={"shop": "s5"}), times), alone)
        begin = time.perf_counter()
        index.delete(filter={"shop": "s5"})
        row("delete by a filter", time.perf_counter() - begin, alone, "1 % of the records")
    if "pairs" in parts:
        begin = time.perf_counter()
        pairs = sum(len(first) for first, _, _ in index.pairs(0.1))
        row("pairs", time.perf_counter() - begin, None, f"{pairs:,} pairs")
        begin = time.perf_counter()
        groups = index.groups(0.1)
        row("groups", time.perf_counter() - begin, None, f"{len(groups):,} groups")
    return rows


def storages(n: int) -> list[dict[str, Any]]:
    """Recall at 10 and bytes of a record, of embeddings in fewer bytes."""
    rng = np.random.default_rng(1)
    kinds = {"as they are": clustered(rng, n)}
    for by in (10, 100, 1000):
        kinds[f"one dimension shifted by {by}"] = kinds["as they are"].copy()
        kinds[f"one dimension shifted by {by}"][:, 3] += by
    kinds["scales from 0.01 to 10"] = kinds["as they are"] * np.logspace(-2, 1, DIM, dtype="f4")
    rows = []
    for kind, x in kinds.items():
        queries = x[:: max(n // 200, 1)]
        true, _ = exact_search(queries, x, K, "euclidean")
        for storage in ("float32", "float16", "int8"):
            index = Index(DIM, "euclidean", "exact", storage=storage)
            begin = time.perf_counter()
            index.add(x)
            adding = time.perf_counter() - begin
            found = index.lookup(queries, K).ids
            hits = sum(
                len(set(a) & set(b)) for a, b in zip(found.tolist(), true.tolist(), strict=True)
            )
            measured = index.measure_recall()
            rows.append(
                {
                    "what": kind,
                    "storage": storage,
                    "recall": hits / true.size,
                    "measured": None if measured is None else measured.recall,
                    "bytes": index.stats()["bytes"] / n,
                    "add_seconds": adding,
                }
            )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", nargs="+", type=int, default=[10_000, 100_000])
    parser.add_argument("--search", nargs="+", default=["exact", "nmslib"])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--times", type=int, default=5, help="runs of each measurement")
    parser.add_argument("--json", metavar="PATH", help="write the figures there, too")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    figures: list[dict[str, Any]] = []
    for n in options.records:
        for search in options.search if set(options.parts) - {"storages"} else ():
            print(f"\n{n:,} records of {DIM} numbers, {search}")
            for each in answers(n, search, options.times, options.parts):
                figures.append({"records": n, "search": search, **each})
                ratio = "" if each["ratio"] is None else f"{each['ratio']:8.1f}x"
                line = f"  {each['what']:<34}{each['seconds'] * 1e3:>11.2f} ms{ratio:>9}"
                print(f"{line}  {each['note']}".rstrip(), flush=True)
        if "storages" not in options.parts:
            continue
        print(f"\n{n:,} records of {DIM} numbers in fewer bytes, euclidean, exact")
        for each in storages(n):
            figures.append({"records": n, **each})
            told = "-" if each["measured"] is None else f"{each['measured']:.3f}"
            recall = f"recall {each['recall']:.3f}  measured {told:<6}"
            cost = f"{each['bytes']:6.0f} bytes a record, added in {each['add_seconds']:.2f} s"
            print(f"  {each['what']:<30}{each['storage']:<9}{recall}{cost}", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(figures, file, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
