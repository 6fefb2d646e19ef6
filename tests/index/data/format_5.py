"""Wrote the file of format 5, the first with several labels per record, from the root."""

import numpy as np

from tensorflow_similarity.index import Index

index = Index(2, "euclidean", search="exact", storage="int8")
x = np.arange(12, dtype=np.float32).reshape(6, 2)
sets = [{"red"}, {"red", "round"}, None, set(), {"blue"}, {"round"}]
index.add(x, labels=sets, data=[{"i": i} for i in range(6)])
index.delete([4])
index.save("tests/index/data/format_5_sets.tfsim")
