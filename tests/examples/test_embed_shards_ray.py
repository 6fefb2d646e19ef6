"""The Ray example: two workers embed shards into one collection, where some is already."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tensorflow_similarity.index import MilvusIndex
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel

EXAMPLE = Path(__file__).parents[2] / "examples" / "embed_shards_ray.py"


@pytest.mark.slow
def test_two_workers_fill_one_collection(tmp_path):
    for name, extra in (("ray", "ray"), ("milvus_lite", "milvus"), ("pyarrow", "ray")):
        # Each is hundreds of megabytes.
        if name != "ray":
            pytest.importorskip(name, reason=f"the extra [{extra}] is not installed")
        elif not _installed(name):
            pytest.skip("the extra [ray] is not installed")
    import pyarrow as pa
    import pyarrow.parquet as pq

    x = np.random.default_rng(0).normal(size=(700, 6)).astype("float32")
    ids, labels = np.arange(700) * 3, np.arange(700) % 5
    for shard, rows in enumerate(np.array_split(np.arange(700), 3)):
        table = {"id": ids[rows], "x": list(x[rows]), "label": labels[rows]}
        pq.write_table(pa.table(table), tmp_path / f"{shard}.parquet")
    inputs = keras.Input((6,))
    model = SimilarityModel(inputs, L2Embedding(4)(inputs))
    # Some of it is there from a run that was interrupted.
    model.create_index("cosine", search="milvus", uri=str(tmp_path / "index.db"))
    model.index_embeddings(model.embed(x[:100], verbose=0), labels[:100], ids=ids[:100])
    model.save(tmp_path / "m.keras")
    model.vector_index.close()
    shards = [f"{shard}.parquet" for shard in range(3)]
    command = [sys.executable, str(EXAMPLE), "m.keras", *shards, "--uri", "index.db"]
    done = subprocess.run(
        [*command, "--workers", "2", "--batch", "64"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "700 examples embedded; 700 records in index.db" in done.stdout
    model = keras.saving.load_model(tmp_path / "m.keras")
    model.load_index(uri=str(tmp_path / "index.db"))
    assert isinstance(model.vector_index, MilvusIndex)
    records = model.vector_index.get(ids)
    np.testing.assert_array_equal(records.labels, labels)
    np.testing.assert_allclose(records.embeddings, model.embed(x, verbose=0), atol=1e-6)
    model.vector_index.close()


def _installed(name):
    # Importing Ray here would start threads in this process.
    import importlib.util

    return importlib.util.find_spec(name) is not None
