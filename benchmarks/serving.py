"""Lookups over HTTP on loopback: requests a second, and how long one waits.

Starts `tfsim serve` with a small model over 100,000 records of 64 numbers, and
asks it from several connections at once, which wait for each answer. The clients run
on the same machine and take their share of it.

    pip install "keras-similarity[serve]"
    python benchmarks/serving.py
    python benchmarks/serving.py --records 10000 --seconds 2 --json out.json
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel

TFSIM = [sys.executable, "-c", "import sys, _tfsim; sys.exit(_tfsim.main())", "serve"]
HEADERS = {"Content-Type": "application/json"}
# Connections at once, examples in a request.
LOADS = [(1, 1), (8, 1), (32, 1), (4, 32)]


def save_model(path: Path, records: int) -> None:
    inputs = keras.Input((64,))
    hidden = keras.layers.Dense(256, activation="relu")(inputs)
    model = SimilarityModel(inputs, L2Embedding(64)(hidden))
    model.create_index(distance="cosine")
    x = np.random.default_rng(0).normal(size=(records, 64)).astype("float32")
    model.index(x, np.arange(records) % 100, batch_size=4096, verbose=0)
    model.save(path)


def start(path: Path) -> tuple[subprocess.Popen[bytes], int]:
    server = subprocess.Popen(
        [*TFSIM, str(path), "--port", "0"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert server.stderr is not None
    line = server.stderr.readline().decode()
    match = re.search(r"127.0.0.1:(\d+)", line)
    assert match, f"The server has ended: {line}"
    return server, int(match[1])


def load(port: int, connections: int, examples: int, seconds: float) -> dict[str, Any]:
    """Asks for so many seconds, and tells how it went."""
    taken: list[float] = []
    until = time.perf_counter() + seconds

    def client(seed: int) -> None:
        rng = np.random.default_rng(seed)
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while time.perf_counter() < until:
            x = rng.normal(size=(examples, 64)).round(4)
            query = json.dumps({"inputs": x.tolist(), "k": 5})
            begin = time.perf_counter()
            connection.request("POST", "/lookup", query, HEADERS)
            response = connection.getresponse()
            answer = response.read()
            taken.append(time.perf_counter() - begin)
            assert response.status == 200, answer
        connection.close()

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(connections)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed = time.perf_counter() - begin
    p50, p99 = np.percentile(taken, [50, 99]) * 1e3
    return {
        "connections": connections,
        "examples": examples,
        "requests": len(taken),
        "per_second": len(taken) / passed,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5, help="of each load")
    parser.add_argument("--json", help="write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        save_model(path, arguments.records)
        server, port = start(path)
        try:
            load(port, 4, 1, 1)  # what the first requests compile
            rows = [load(port, *each, arguments.seconds) for each in LOADS]
        finally:
            server.terminate()
            server.wait()
    print(f"{arguments.records:,} records of 64 numbers, k=5, {os.cpu_count()} cores")
    print(f"{'connections':>12}{'examples':>10}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}")
    for row in rows:
        print(
            f"{row['connections']:>12}{row['examples']:>10}{row['per_second']:>12.0f}"
            f"{row['p50_ms']:>9.1f}{row['p99_ms']:>9.1f}"
        )
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
