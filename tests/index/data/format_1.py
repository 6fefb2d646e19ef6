"""Wrote the files of format 1. Runs with version 0.20.0 only, from the root of the repository."""

import numpy as np

from tensorflow_similarity.index import Index, _graphs, _search

_search.FEW_ROWS = _graphs.FEW_ROWS = 0
_search._ROWS_PER_NEIGHBOR = 0
n, dim = 40, 3
angle = np.arange(n)[:, None] * np.array([0.1, 0.37, 1.3])
x = np.sin(angle).astype(np.float32)
for engine, data in (
    ("nmslib", [{"i": i} for i in range(n)]),
    ("exact", np.arange(2 * n, dtype=np.int16).reshape(n, 2)),
):
    index = Index(dim, "euclidean", search=engine)
    index.add(x, labels=[None, *range(1, n)], data=data)
    index.lookup(x[:1])
    index.add(x[:2] + 10, ids=[100, 90])
    index.delete([5, 7])
    index.notes["by"] = "0.20.0"
    index.save(f"tests/index/data/format_1_{engine}.tfsim")
    print(index.engine, index.ids)
