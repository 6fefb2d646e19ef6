"""The Ray example: two workers embed shards into one collection, where some is already."""

import importlib.util
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


# What Ray says where its own processes do not start in time, as on a busy machine.
NOT_STARTED = ["timed out on startup", "Failed to start", "failed to start", "RaySystemError"]


@pytest.mark.slow
def test_two_workers_fill_one_collection(tmp_path):
    require_extras()
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
    done = run([*command, "--workers", "2", "--batch", "64"], tmp_path)
    if done.returncode and any(text in done.stderr for text in NOT_STARTED):
        # Ray's processes did not find one another in time. What was interrupted is run again.
        done = run([*command, "--workers", "2", "--batch", "64"], tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "700 examples embedded; 700 records in index.db" in done.stdout
    model = keras.saving.load_model(tmp_path / "m.keras")
    model.load_index(uri=str(tmp_path / "index.db"))
    assert isinstance(model.vector_index, MilvusIndex)
    records = model.vector_index.get(ids)
    np.testing.assert_array_equal(records.labels, labels)
    np.testing.assert_allclose(records.embeddings, model.embed(x, verbose=0), atol=1e-6)
    model.vector_index.close()


def require_extras():
    # Importing Ray here would start threads in this process. With pip, `[test-slow]` brings both.
    for name, extra in (("ray", "ray"), ("milvus_lite", "milvus"), ("pyarrow", "ray")):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the extra [{extra}] is not installed")


def run(command, folder):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
