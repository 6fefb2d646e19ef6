"""Wrote the file of format 2. Runs with commit 6ad1c17 only, from the root of the repository."""

import numpy as np

from tensorflow_similarity.index import Index, _graphs, _search

_search.FEW_ROWS = _graphs.FEW_ROWS = 0
_search._ROWS_PER_NEIGHBOR = 0
n, dim = 40, 3
angle = np.arange(n)[:, None] * np.array([0.1, 0.37, 1.3])
x = np.sin(angle).astype(np.float32)
index = Index(dim, "euclidean", search="faiss", storage="float16")
index.add(x, labels=[None, *range(1, n)], data=[{"i": i} for i in range(n)])
index.lookup(x[:1])
index.add(x[:2] + 10, ids=[100, 90])
index.delete([5, 7])
index.notes["by"] = "0.20.0"
index.save("tests/index/data/format_2_faiss.tfsim")
print(index.engine, index.ids)
