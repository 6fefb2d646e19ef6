"""A service of one's own: lookups over HTTP, with a path more than `tfsim serve` has.

    pip install "keras-similarity[serve]"
    python serve_http.py MODEL.keras --port 8000
    curl localhost:8000/lookup -d '{"inputs": [[…]], "k": 3}'
    curl localhost:8000/records/17

`make_app` makes an application that answers /lookup, /health and /metrics. It is mounted here
in another, which has a path of its own beside them. Copy this file and change it.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from tensorflow_similarity import SimilarityModel
from tensorflow_similarity.serving import Limits, make_app


def application(model: SimilarityModel) -> Starlette:
    """Lookups, and the record that an id leads to."""
    lookups = make_app(model, Limits(max_examples=64))

    async def record(request: Request) -> JSONResponse:
        number = request.path_params["id"]
        if number not in model.vector_index:
            return JSONResponse({"error": f"There is no record {number}."}, 404)
        found = model.vector_index.get([number])
        return JSONResponse({"id": number, "label": int(found.labels[0])})

    routes = [Route("/records/{id:int}", record), Mount("/", lookups)]
    # What is mounted starts and stops with what it is mounted in.
    return Starlette(routes=routes, lifespan=lookups.router.lifespan_context)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serves the lookups of a saved model over HTTP.")
    parser.add_argument("model", help="a .keras file, which SimilarityModel.save wrote")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    app = application(SimilarityModel.load(arguments.model))
    with socket.create_server((arguments.host, arguments.port)) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # answers go at once
        host, port = listening.getsockname()[:2]
        print(f"Serving at http://{host}:{port}", file=sys.stderr, flush=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        server.run(sockets=[listening])


if __name__ == "__main__":
    main()
