"""Embeds shards in parallel with Ray Data, into one collection of Milvus.

    pip install "keras-similarity[milvus,ray]"
    python examples/embed_shards_ray.py MODEL.keras shards/*.parquet --uri index.db --workers 2

A shard is a Parquet file with a column `id` (integers), a column `x` (what the model
takes) and, if there are labels, a column `label`. Each worker loads the model once and
embeds one block after the other; the program writes them as they come. Records are
upserted under their own ids: after an interruption run it again, and nothing is doubled.

On a Ray cluster workers are on all its machines, and the files must be where all of them
read: set `--workers` to the number of cores or accelerators. On a cluster of Milvus give its
address as `--uri`. A collection that is there is added to, if its records were embedded
with the same weights.
"""

from __future__ import annotations

import quiet  # noqa: F401

# isort: split

import argparse
import os
from typing import Any

import keras
import numpy as np
import ray

from tensorflow_similarity.index import CollectionNotFoundError


class Embed:
    """What a worker does: from a block of examples to a block of embeddings."""

    def __init__(self, path: str) -> None:
        import keras

        import tensorflow_similarity  # noqa: F401  in the worker's own process

        self.model = keras.saving.load_model(path)

    def __call__(self, block: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        # Lists of a table are arrays of arrays.
        x = np.stack(list(block.pop("x")))
        return {**block, "embedding": self.model.embed(x, verbose=0)}


def attach(model: Any, uri: str, distance: str) -> None:
    """Opens the collection, or begins it."""
    try:
        model.load_index(uri=uri)
    except (FileNotFoundError, CollectionNotFoundError):
        model.create_index(distance, search="milvus", uri=uri)


def embed_shards(model: Any, path: str, shards: list[str], workers: int, batch: int) -> int:
    """Embeds all shards into the index of the model; returns how many examples it were."""
    embedded = ray.data.read_parquet(shards).map_batches(
        Embed,
        fn_constructor_args=(path,),
        compute=ray.data.ActorPoolStrategy(size=workers),
        batch_size=batch,
        batch_format="numpy",
    )
    count = 0
    for block in embedded.iter_batches(batch_size=8 * batch, batch_format="numpy"):
        embeddings = np.stack(list(block["embedding"]))
        model.index_embeddings(embeddings, block.get("label"), ids=block["id"], replace=True)
        count += len(embeddings)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="a .keras file, which SimilarityModel.save wrote")
    parser.add_argument("shards", nargs="+", help="Parquet files")
    parser.add_argument("--uri", required=True, help="index.db, or http://host:19530")
    parser.add_argument("--distance", default="auto", help="of a new collection (that of the loss)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=256)
    arguments = parser.parse_args()
    # Before a file of Milvus is opened, whose threads disturb Ray's start. Where Ray is started
    # here, one core more than the workers take reads the files.
    local = None if "RAY_ADDRESS" in os.environ else arguments.workers + 1
    ray.init(num_cpus=local, include_dashboard=False if local else None)
    path = os.path.abspath(arguments.model)  # workers have a folder of their own
    model = keras.saving.load_model(path)
    attach(model, arguments.uri, arguments.distance)
    shards = [os.path.abspath(shard) for shard in arguments.shards]
    count = embed_shards(model, path, shards, arguments.workers, arguments.batch)
    print(f"{count:,} examples embedded; {model.index_size():,} records in {arguments.uri}")
    model.vector_index.close()


if __name__ == "__main__":
    main()
