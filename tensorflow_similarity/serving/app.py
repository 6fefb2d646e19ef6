"""The web application: /lookup, /health and /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from tensorflow_similarity._extras import missing
from tensorflow_similarity.serving.batching import Batcher
from tensorflow_similarity.serving.limits import Limits
from tensorflow_similarity.serving.metrics import Metrics
from tensorflow_similarity.serving.requests import RequestError, read_query
from tensorflow_similarity.serving.source import Source

__all__ = ["make_app"]

_LOG = logging.getLogger("tensorflow_similarity.serving")
# Errors that a lookup raises for invalid inputs. Others are errors of the server.
_OF_THE_INPUTS = (IndexError, KeyError, TypeError, ValueError)


def make_app(served: object, limits: Limits | None = None) -> Any:
    """Makes a web application (ASGI) that answers lookups.

    `POST /lookup` takes `{"inputs": [...], "k": 5}` and answers with `ids`, `distances` and
    `labels`, a row for each input and a column for each neighbour, the nearest first. `"data"`
    (true or false) requests the data stored with the records. `"cutpoint"` requests the class
    that each input matches at that threshold of the calibration, -1 for none, with distance,
    probability and record. `GET /health` says whether the service is ready, and `GET /metrics`
    returns its counters for Prometheus.

    Args:
        served: A `SimilarityModel` with one input, of numbers or texts; or an `Index`, whose
            queries are embeddings.
        limits: Limits on requests. Defaults to `None`: `Limits()`.

    Returns:
        A Starlette application, to run with uvicorn or any other ASGI server, or to mount in
        another application.

    Raises:
        ImportError: If the extra `serve` is not installed.
        TypeError: If `served` is neither.
        ValueError: If the model takes several arrays.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.index import Index
    from tensorflow_similarity.serving import make_app

    index = Index(embedding_size=2, distance="euclidean")
    index.add(np.eye(2), labels=[4, 5])
    app = make_app(index)  # uvicorn.run(app)
    ```
    """
    try:
        from starlette.applications import Starlette
        from starlette.requests import ClientDisconnect, Request
        from starlette.responses import PlainTextResponse, Response
        from starlette.routing import Route
    except ImportError as error:
        raise missing("Serving over HTTP", "starlette", "serve") from error
    source, allowed, metrics = Source(served), limits or Limits(), Metrics()
    batcher = Batcher(source, allowed, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        await asyncio.to_thread(source.warm_up)
        batcher.start()
        yield
        await batcher.stop()

    def answer(content: Any, status: int = 200) -> Response:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = {"Retry-After": "1"} if status == 503 else {}
        if status in (408, 413):  # the rest of the body is not read
            headers["Connection"] = "close"
        return Response(body, status, headers, "application/json")

    async def body_of(request: Request) -> bytes:
        too_large = RequestError(413, f"A request must have at most {allowed.max_body:,} bytes.")
        if int(request.headers.get("content-length") or 0) > allowed.max_body:
            raise too_large
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > allowed.max_body:
                raise too_large
            parts.append(part)
        return b"".join(parts)

    async def looked_up(request: Request) -> bytes:
        try:
            body = await asyncio.wait_for(body_of(request), allowed.request_seconds)
        except asyncio.TimeoutError:
            raise RequestError(408, "The request did not arrive in time.") from None
        if not len(source):
            raise RequestError(503, "The index is empty.")
        query = await asyncio.to_thread(read_query, body, source, allowed)
        return await batcher.lookup(query)

    async def lookup(request: Request) -> Response:
        begin = time.perf_counter()
        try:
            response = answer(await looked_up(request))
        except RequestError as refused:
            response = answer({"error": refused.message}, refused.status)
        except ClientDisconnect:
            return answer({"error": "The client has gone."}, 400)
        except Exception as error:
            status = 400 if isinstance(error, _errors_of_inputs()) else 500
            if status == 500:
                _LOG.exception("A lookup failed.")
            first = str(error).strip().splitlines()[:1] or [type(error).__name__]
            response = answer({"error": f"The lookup failed: {first[0]}"}, status)
        metrics.request(response.status_code, time.perf_counter() - begin)
        return response

    async def health(request: Request) -> Response:
        records = len(source)
        if not records:
            return answer({"error": "The index is empty."}, 503)
        shape = list(source.shape)
        return answer(
            {"status": "ok", "records": records, "input_shape": shape, "dtype": source.dtype}
        )

    async def counted(request: Request) -> Response:
        return PlainTextResponse(metrics.text(len(source), batcher.waiting))

    routes = [
        Route("/lookup", lookup, methods=["POST"]),
        Route("/health", health, methods=["GET"]),
        Route("/metrics", counted, methods=["GET"]),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def _errors_of_inputs() -> tuple[type[Exception], ...]:
    """The errors of a lookup with invalid inputs, such as ids beyond an embedding layer."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return _OF_THE_INPUTS
    import tensorflow as tf

    return (*_OF_THE_INPUTS, tf.errors.InvalidArgumentError)
