"""What an index costs as it grows: time, memory and disk, at 10,000 to 1,000,000 records.

    python benchmarks/growth.py                        # half an hour on two cores
    python benchmarks/growth.py --records 10000 100000 # two minutes
    python benchmarks/growth.py --json growth.json --plot growth.svg
    python benchmarks/growth.py --read growth.json --plot growth.svg  # only draws

Clustered unit vectors of 128 numbers with a label and a number as payload. Each
line is a process of its own, so that memory is that of one index. Memory is
what the process holds more than before, against what the bare engine holds of
the same vectors (for exact search: the vectors), in a process of its own, plus
ids, labels and payload. Saving and loading are compared with writing (to the
disk, not only to the system) and reading as many bytes in the same folder.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from timing import seconds

DIM = 128
CHUNK = 1 << 24
# Of HNSW graphs, in the index and bare.
PARAMS = {"M": 16, "efConstruction": 100}
STORAGES = ["float32", "float16", "int8"]


def median(function: Callable[..., Any], arguments: Any) -> float:
    return statistics.median(seconds(lambda each=each: function(each)) for each in arguments)


def clustered(n: int, seed: int = 0) -> np.ndarray:
    """Unit vectors in classes of 100, as trained embeddings are."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n // 100 + 1, DIM)).astype(np.float32)
    x = np.empty((n, DIM), np.float32)
    for start in range(0, n, 1 << 16):
        part = x[start : start + (1 << 16)]
        rng.standard_normal(dtype=np.float32, out=part)
        part *= 0.5
        part += centres[rng.integers(len(centres), size=len(part))]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return x


def held() -> int:
    """Bytes of memory that this process holds."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def disk_seconds(folder: str, size: int) -> tuple[float, float]:
    """Seconds to write that many bytes to the disk, and to read them back."""
    path, piece = os.path.join(folder, "raw"), os.urandom(CHUNK)

    def write() -> None:
        with open(path, "wb") as file:
            for start in range(0, size, CHUNK):
                file.write(piece[: size - start])
            file.flush()
            os.fsync(file.fileno())

    def read() -> None:
        # Into memory that is new for each byte, as that of an index is.
        whole = np.empty(size, np.uint8)
        with open(path, "rb") as file:
            file.readinto(whole.data)

    taken = seconds(write)
    forget(path)
    taken = taken, seconds(read)
    os.remove(path)
    return taken


def forget(path: str) -> None:
    """Lets the system drop what it remembers of a file, so that the disk has to be read."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def bare(engine: str, n: int) -> dict[str, Any]:
    """Memory and time of the engine without an index."""
    keys = clustered(n)
    if engine == "exact":
        return {"bytes": keys.nbytes, "build s": 0.0}
    from bare_engines import bare_build

    bare_build(engine, clustered(3000), PARAMS)  # what libraries take for themselves
    before, built = held(), []
    taken = seconds(lambda: built.append(bare_build(engine, keys, PARAMS)))
    return {"bytes": held() - before, "build s": taken}


def one(engine: str, n: int, storage: str) -> dict[str, Any]:
    """All costs of one index."""
    from tensorflow_similarity.index import Index, engines, exact_search
    from tensorflow_similarity.index._graphs import takes

    # What libraries take for themselves is not the index's.
    for kind, size in (("exact", 20_000), (engine, 3000)):
        warm = Index(DIM, search=kind)
        warm.add(clustered(size))
        warm.lookup(clustered(1000), k=10)
        del warm
    vectors, labels = clustered(n + 1400), np.arange(n) // 100
    keys, queries, new = vectors[:n], vectors[n : n + 1000], vectors[n + 1000 :]
    before = held()
    kind = engines.get(engine)
    params = PARAMS if kind is not None and takes(kind, PARAMS) else None
    index = Index(DIM, search=engine, search_params=params, storage=storage)
    row: dict[str, Any] = {"engine": engine, "storage": storage, "records": n}
    row["add s"] = seconds(lambda: index.add(keys, labels=labels, data=np.arange(n)))
    row["build s"] = seconds(lambda: index.lookup(queries[:1], k=10))
    row["MB"] = (held() - before) / 1e6
    row["one lookup ms"] = 1e3 * median(lambda q: index.lookup(q[None], k=10), queries[:100])
    row["1,000 lookups ms"] = 1e3 * median(lambda _: index.lookup(queries, k=10), range(3))
    row["recall"] = 1.0 if index.recall is None else index.recall.recall
    if storage != "float32":
        true = exact_search(queries, keys, 10)[0].tolist()
        found = index.lookup(queries, k=10).ids.tolist()
        hits = [len(set(a) & set(b)) / 10 for a, b in zip(true, found, strict=True)]
        row["of the float32 nearest"] = statistics.mean(hits)
    row["add one ms"] = 1e3 * median(lambda x: index.add(x[None]), new)
    row["update one ms"] = 1e3 * median(lambda i: index.update(i, labels=[1]), range(200, 400))
    row["delete one ms"] = 1e3 * median(index.delete, range(200))
    with tempfile.TemporaryDirectory(dir=os.environ.get("GROWTH_FOLDER")) as folder:
        path = os.path.join(folder, "index.tfsim")
        row["save s"] = seconds(lambda: index.save(path))
        size = os.path.getsize(path)
        row["file MB"] = size / 1e6
        written, read = disk_seconds(folder, size)
        row["save / disk"] = row["save s"] / written
        row |= loaded(path, queries, read)
        row |= journaled(os.path.join(folder, "living"), index.get_config(), new)
    return row


def loaded(path: str, queries: np.ndarray, disk: float) -> dict[str, Any]:
    """What it costs to load: first from the disk, then what the system remembers."""
    from tensorflow_similarity.index import Index

    row: dict[str, Any] = {}
    forget(path)
    row["load s"] = seconds(lambda: Index.load(path))
    row["load / disk"] = row["load s"] / disk
    row["load again s"] = seconds(lambda: Index.load(path))
    before = held()
    indexes: list[Index] = []
    row["mmap load s"] = seconds(lambda: indexes.append(Index.load(path, mmap=True)))
    row["mmap MB"] = (held() - before) / 1e6
    row["first mmap lookup s"] = seconds(lambda: indexes[0].lookup(queries[:1], k=10))
    return row


def journaled(path: str, config: dict[str, Any], new: np.ndarray) -> dict[str, Any]:
    """What it costs that each change survives: of the process, and of the power."""
    from tensorflow_similarity.index import Index

    row = {}
    for fsync in (False, True):
        with Index(**config, path=f"{path}-{fsync}", fsync=fsync) as living:
            name = "add one, fsync ms" if fsync else "add one, journal ms"
            row[name] = 1e3 * median(lambda x, living=living: living.add(x[None]), new)
    return row


def run(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, __file__, *arguments]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout)


def compared(row: dict[str, Any], engine: dict[str, Any]) -> dict[str, Any]:
    payload = row["records"] * (8 + 8 + 8)  # id, label, data
    row["engine MB"] = (engine["bytes"] + payload) / 1e6
    row["memory / engine"] = row["MB"] / row["engine MB"]
    if engine["build s"]:
        row["build / engine"] = row["build s"] / engine["build s"]
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """One column per index, one line per cost."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[name, *(_shown(row.get(name)) for row in rows)] for name in names]
    widths = [max(len(line[i]) for line in cells) for i in range(len(rows) + 1)]
    return "\n".join(
        "  ".join(f"{cell:<{w}}" if i == 0 else f"{cell:>{w}}" for i, (cell, w) in pairs)
        for pairs in (list(enumerate(zip(line, widths, strict=True))) for line in cells)
    )


# Of the table of the documentation: its heading, and what is shown of a row.
COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "engine": lambda row: row["engine"],
    "records": lambda row: f"{row['records']:,}",
    "build s": lambda row: _brief(row["add s"] + row["build s"]),
    "memory MB (of engine and payload)": lambda row: _with_ratio(row, "MB", "memory / engine"),
    "recall": lambda row: f"{row['recall']:.3f}",
    "one lookup ms": lambda row: _brief(row["one lookup ms"]),
    "1,000 lookups ms": lambda row: _brief(row["1,000 lookups ms"]),
    "add one ms": lambda row: _brief(row["add one ms"]),
    "delete one ms": lambda row: _brief(row["delete one ms"]),
    "file MB": lambda row: _brief(row["file MB"]),
    "save s (of the disk's)": lambda row: _with_ratio(row, "save s", "save / disk"),
    "load s (of the disk's)": lambda row: _with_ratio(row, "load s", "load / disk"),
    "mapped load s": lambda row: _brief(row["mmap load s"]),
}


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table of the documentation: one line per index, one column per cost."""
    lines = [list(COLUMNS), ["---"] + ["--:"] * (len(COLUMNS) - 1)]
    lines += [[show(row) for show in COLUMNS.values()] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _with_ratio(row: dict[str, Any], name: str, ratio: str) -> str:
    return f"{_brief(row[name])} ({row[ratio]:.2f})"


def _brief(value: float) -> str:
    """Two digits, which is what another run would give again."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}" if value >= 0.001 else "< 0.001"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def plot(rows: list[dict[str, Any]], path: str) -> None:
    """Costs against records, one line per engine."""
    import matplotlib.pyplot as plt

    costs = {
        "build": ("build s", 1),
        "save": ("save s", 1),
        "load": ("load s", 1),
        "load, mmap": ("mmap load s", 1),
        "1,000 lookups": ("1,000 lookups ms", 1e-3),
        "one lookup": ("one lookup ms", 1e-3),
        "add one": ("add one ms", 1e-3),
        "delete one": ("delete one ms", 1e-3),
    }
    rows = [row for row in rows if row["storage"] == "float32"]
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    lines = -(-len(engines) // 2)
    figure, axes = plt.subplots(
        lines, 2, figsize=(10, 4.2 * lines), sharex=True, sharey=True, squeeze=False
    )
    figure.subplots_adjust(hspace=0.15, wspace=0.05)
    for axis in axes.ravel()[len(engines) :]:
        axis.set_visible(False)
    for axis, engine in zip(axes.ravel(), engines, strict=False):
        own = sorted((r for r in rows if r["engine"] == engine), key=lambda r: r["records"])
        for place, (name, (key, unit)) in enumerate(costs.items()):
            if engine == "exact" and name == "build":
                continue  # there is none
            values = [row[key] * unit for row in own]
            axis.plot([row["records"] for row in own], values, marker="o", color=f"C{place}")
        axis.set(xscale="log", yscale="log", title=engine)
        axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("records × 128")
    for axis in axes[:, 0]:
        axis.set_ylabel("seconds")
    marks = [plt.Line2D([], [], marker="o", color=f"C{place}") for place in range(len(costs))]
    figure.legend(marks, list(costs), loc="center left", bbox_to_anchor=(0.9, 0.5), frameon=False)
    figure.savefig(path, bbox_inches="tight")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--engines", nargs="+", default=["exact", "nmslib"])
    parser.add_argument("--storages", nargs="+", default=["float32"], choices=STORAGES)
    parser.add_argument("--json", metavar="PATH", help="write the figures there, too")
    parser.add_argument("--plot", metavar="PATH", help="draw them there (needs matplotlib)")
    parser.add_argument("--markdown", action="store_true", help="also print the docs' table")
    parser.add_argument("--read", metavar="PATH", help="take the figures from there")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--bare", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one[0], int(arguments.one[1]), arguments.one[2])))
        return 0
    if arguments.bare:
        print(json.dumps(bare(arguments.bare[0], int(arguments.bare[1]))))
        return 0
    rows = []
    if arguments.read:
        with open(arguments.read) as file:
            rows = json.load(file)
    else:
        print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}", flush=True)
        for engine in arguments.engines:
            for n in arguments.records:
                alone = run("--bare", engine, str(n))
                for storage in arguments.storages:
                    rows.append(compared(run("--one", engine, str(n), storage), alone))
                    print(f"{engine}, {n:,} records, {storage}: done", flush=True)
    print(table(rows))
    if arguments.markdown:
        print(markdown(rows))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=2)
    if arguments.plot:
        plot(rows, arguments.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
