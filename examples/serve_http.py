"""Serves the lookups of a saved model over HTTP.

    pip install "keras-similarity[serve]"
    python examples/serve_http.py MODEL.keras --port 8000
    curl localhost:8000/lookup -H "content-type: application/json" -d '{"inputs": [[…]], "k": 3}'

The model takes one array. Requests that arrive while others are answered are put
together into one batch: embedding thirty-two examples takes little longer than
embedding one. What to ask and what comes back is described at /docs.
"""

from __future__ import annotations

import quiet  # noqa: F401

# isort: split

import argparse
import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Annotated, Any

import keras
import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from tensorflow_similarity.index import Neighbors
from tensorflow_similarity.models import SimilarityModel

MOST_EXAMPLES = 256  # in one request, and in one batch
MOST_WAITING = 1024  # requests; more are told to come back later


class Query(BaseModel):
    """What to look up."""

    inputs: Annotated[list[Any], Field(min_length=1, max_length=MOST_EXAMPLES)]
    k: Annotated[int, Field(ge=1, le=1000)] = 5


class Found(BaseModel):
    """Its neighbours, nearest first: a row for each input, a column for each neighbour."""

    ids: list[list[int]]
    distances: list[list[float]]
    labels: list[list[int | None]]


@dataclasses.dataclass
class Waiting:
    x: np.ndarray
    k: int
    answer: asyncio.Future[Found]


class Batcher:
    """Answers all requests that wait by one lookup, in a thread beside the event loop."""

    def __init__(self, model: SimilarityModel) -> None:
        self._model = model
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue(MOST_WAITING)

    async def lookup(self, x: np.ndarray, k: int) -> Found:
        waiting = Waiting(x, k, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(waiting)
        return await waiting.answer

    async def run(self) -> None:
        held: Waiting | None = None
        while True:
            batch = [held or await self._queue.get()]
            held, examples = None, len(batch[0].x)
            while not self._queue.empty():
                held = self._queue.get_nowait()
                examples += len(held.x)
                if examples > MOST_EXAMPLES:
                    break
                batch.append(held)
                held = None
            try:
                answers = await asyncio.to_thread(self._answer, batch)
            except Exception as error:
                answers = [error] * len(batch)
            for waiting, answer in zip(batch, answers, strict=True):
                if waiting.answer.done():  # the client has gone
                    continue
                if isinstance(answer, Exception):
                    waiting.answer.set_exception(answer)
                else:
                    waiting.answer.set_result(answer)

    def _answer(self, batch: list[Waiting]) -> list[Any]:
        x = np.concatenate([waiting.x for waiting in batch])
        # The k nearest are the first of the most that anyone asked for.
        neighbors = self._model.lookup(x, k=max(waiting.k for waiting in batch), verbose=0)
        ends = np.cumsum([len(waiting.x) for waiting in batch])
        return [
            as_json(neighbors[end - len(waiting.x) : end], waiting.k)
            for waiting, end in zip(batch, ends.tolist(), strict=True)
        ]


def as_json(neighbors: Neighbors, k: int) -> Found:
    """The first k neighbours, without those that are not there."""
    there = int((neighbors.ids[0, :k] >= 0).sum())
    known = neighbors.has_label[:, :there]
    return Found(
        ids=neighbors.ids[:, :there].tolist(),
        distances=neighbors.distances[:, :there].tolist(),
        labels=np.where(known, neighbors.labels[:, :there].astype(object), None).tolist(),
    )


def make_app(model: SimilarityModel) -> FastAPI:
    """The web service of a model."""
    shape = tuple(model.input_shape[1:])
    dtype = keras.tree.flatten(model.input)[0].dtype
    batcher = Batcher(model)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if model.index_size():
            # The first call compiles: before anyone waits for it.
            example = np.zeros([2, *(size or 1 for size in shape)], dtype)
            for x in (example, example[:1]):
                model.lookup(x, k=1, verbose=0)
        runner = asyncio.create_task(batcher.run())
        yield
        runner.cancel()

    app = FastAPI(title="Similarity lookup", lifespan=lifespan)

    @app.post("/lookup")
    async def lookup(query: Query) -> Found:
        try:
            x = np.asarray(query.inputs, dtype)
        except (TypeError, ValueError) as error:
            raise HTTPException(
                422, f"`inputs` must be numbers {list(shape)} each: {error}"
            ) from None
        if len(x.shape) != 1 + len(shape) or any(
            size not in (None, received) for size, received in zip(shape, x.shape[1:], strict=True)
        ):
            raise HTTPException(
                422,
                f"`inputs` must have shape {list(shape)} each. Received: {list(x.shape[1:])}.",
            )
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise HTTPException(422, "`inputs` must be finite. Received: NaN, inf or too large.")
        if not model.index_size():
            raise HTTPException(503, "The index is empty.")
        try:
            return await batcher.lookup(x, query.k)
        except asyncio.QueueFull:
            raise HTTPException(503, "Too many requests wait.", {"Retry-After": "1"}) from None

    @app.get("/health")
    def health() -> dict[str, Any]:
        records = model.index_size()
        if not records:
            raise HTTPException(503, "The index is empty.")
        return {"status": "ok", "records": records, "input_shape": list(shape)}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description="Serves the lookups of a saved model over HTTP.")
    parser.add_argument("model", help="a .keras file, which SimilarityModel.save wrote")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    model = SimilarityModel.load(arguments.model)
    if isinstance(model.input_shape, (list, dict)):
        parser.error(f"{arguments.model} must hold a model that takes one array.")
    uvicorn.run(make_app(model), host=arguments.host, port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
