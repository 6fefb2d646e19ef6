"""What keys of records cost: strings in place of ids, beside a dictionary of the same strings.

    python benchmarks/keys.py                     # 100,000 and 1,000,000 keys

Seconds of the processor, as other programs then count for less.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from tensorflow_similarity.index import Index

DIM = 8


def fresh(keys: list[str]) -> list[str]:
    """The same strings, whose hashes Python has not computed yet, as those of a file."""
    return [key[:3] + key[3:] for key in keys]


def measured(n: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, DIM)).astype(np.float32)
    keys = [f"sku-{i:08d}" for i in rng.permutation(n).tolist()]
    results: dict[str, float] = {}

    def told(name: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        begin = time.process_time()
        result = call(*arguments, **options)
        results[name] = time.process_time() - begin
        return result

    told("dictionary", dict, zip(fresh(keys), range(n), strict=True))
    plain, keyed = Index(DIM, "euclidean"), Index(DIM, "euclidean")
    told("add, without keys", plain.add, x)
    told("add", keyed.add, x, ids=fresh(keys))
    told("ids of all keys", keyed.ids_of, fresh(keys))
    told("all keys", lambda: keyed.keys)
    told("get 1,000 by key", keyed.get, keys[:1000])
    told("upsert 1,000", keyed.upsert, keys[:1000], x[:1000])
    told("delete 1,000", keyed.delete, keys[1000:2000])
    with tempfile.TemporaryDirectory() as folder:
        for name, index in (("", keyed), (", without keys", plain)):
            path = os.path.join(folder, "index")
            told(f"save{name}", index.save, path)
            told(f"load{name}", Index.load, path)
    print(f"\n{n:,} keys such as {keys[0]!r}")
    for name, seconds in results.items():
        ratio = seconds / results["dictionary"]
        print(f"  {name:<22}{seconds:>8.3f} s{ratio:>8.2f}x", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", nargs="+", type=int, default=[100_000, 1_000_000])
    for n in parser.parse_args().records:
        measured(n)


if __name__ == "__main__":
    main()
