"""Runs the application."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable
from typing import Any

from tensorflow_similarity._extras import missing
from tensorflow_similarity.serving.app import make_app
from tensorflow_similarity.serving.limits import Limits

__all__ = ["serve"]

_GRACE = 30  # seconds for requests that are being answered when the server is told to stop


def serve(
    served: object,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits | None = None,
    verbose: int = 1,
) -> None:
    """Answers lookups over HTTP until it is stopped.

    See `make_app` for what it answers. Ctrl-C or SIGTERM stop it: it takes no more requests,
    and answers those that it has.

    Args:
        served: A `SimilarityModel` or an `Index`.
        host: Where to listen. Defaults to `"127.0.0.1"`: this machine only. The service has no
            passwords and no encryption: put it behind a proxy that has.
        port: Defaults to 8000; 0 is any port that is free.
        limits: What it accepts. Defaults to `None`: `Limits()`.
        verbose: 1 tells on the standard error where it listens, 0 is silent.

    Raises:
        ImportError: If the extra `serve` is not installed.
        OSError: If it cannot listen there.
    """
    try:
        import uvicorn
        from uvicorn.protocols.http.h11_impl import H11Protocol
    except ImportError as error:
        raise missing("Serving over HTTP", "uvicorn", "serve") from error
    allowed = limits or Limits()
    app = make_app(served, allowed)
    config = uvicorn.Config(
        app,
        http=_impatient(H11Protocol, allowed.request_seconds),
        log_level="warning",
        timeout_graceful_shutdown=_GRACE,
        ws="none",
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With an explicit protocol, asyncio sets TCP_NODELAY; otherwise answers are delayed by 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            raise OSError(
                error.errno, f"Cannot listen at {host}:{port}: {error.strerror}"
            ) from error
        address = f"[{host}]" if ":" in host else host
        url = f"http://{address}:{listening.getsockname()[1]}"

        class Server(uvicorn.Server):
            """Prints the address once the server listens."""

            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                if verbose:
                    sys.stderr.write(
                        f"Serving at {url}: POST /lookup, GET /health, GET /metrics. "
                        "Ctrl-C stops.\n"
                    )
                    sys.stderr.flush()

        with contextlib.suppress(KeyboardInterrupt):
            Server(config).run(sockets=[listening])


def _impatient(protocol: Any, seconds: float) -> Any:
    """A protocol that closes connections whose next request does not arrive in time.

    uvicorn itself waits for ever for the rest of a request's head.
    """

    class Impatient(protocol):
        """See above."""

        _timer: Any = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def _watch(self) -> None:
            if not self._between_requests():
                self._forget()
            elif self._timer is None:
                close: Callable[[], None] = self._close
                self._timer = self.loop.call_later(seconds, close)

        def _between_requests(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _forget(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _close(self) -> None:
            self._timer = None
            if self._between_requests():
                self.transport.close()

    return Impatient
