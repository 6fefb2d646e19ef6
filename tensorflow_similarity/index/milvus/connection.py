"""Calls to Milvus, repeated after transient failures."""

from __future__ import annotations

import collections
import contextlib
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from tensorflow_similarity._extras import missing
from tensorflow_similarity.index._errors import IndexLockedError

__all__ = ["Connection", "connect", "is_file"]

_sleep = time.sleep
_SERVERS = ("http://", "https://", "tcp://", "unix:")
# Clients of each file in this process, which share a server.
_files: collections.Counter[str] = collections.Counter()
_files_lock = threading.Lock()
_FILE = ".db"  # by which the client tells files from servers
_SECONDS = 60.0
# Milvus' own codes: the server is away, it limits the rate, the collection is being loaded (as
# after a restart), a part of it is not there yet. And the names of gRPC's.
_PASSING_CODES = {2, 8, 101, 503}
_PASSING = {"ABORTED", "DEADLINE_EXCEEDED", "UNAVAILABLE"}
# The longest pause between attempts.
_LONGEST = 20.0


def is_file(uri: str) -> bool:
    """Whether a URI names a file of Milvus Lite rather than a server.

    Raises:
        TypeError: If it is not a string.
        ValueError: If it is neither.
    """
    if not isinstance(uri, str | os.PathLike):
        raise TypeError(f"`uri` must be a string. Received: {uri!r}.")
    uri = os.fspath(uri)
    if uri.startswith(_SERVERS):
        return False
    if not uri.endswith(_FILE) or "://" in uri:
        raise ValueError(
            f"`uri` must be the address of a server, such as 'http://localhost:19530', or a file "
            f"whose name ends in {_FILE!r}. Received: {uri!r}."
        )
    return True


def connect(uri: str, token: str, must_exist: bool = False) -> tuple[Any, Callable[[], None]]:
    """A client of a server, or of a file, which is made unless it must exist; and how to end it.

    Ending it once more does nothing: another client may have been told to use the same file.

    Raises:
        FileNotFoundError: If the file must exist, and does not.
        ImportError: If pymilvus, or for files Milvus Lite, is not installed.
        IndexLockedError: If the file is open in another process, or is something else.
    """
    file, path = is_file(uri), os.path.abspath(uri)
    if file and must_exist and not os.path.exists(path):
        raise FileNotFoundError(f"`uri` must be a file that exists. Received: {uri!r}.")
    try:
        import pymilvus

        if file:
            import milvus_lite  # noqa: F401
    except ImportError as error:
        raise missing("An index in Milvus", "pymilvus", "milvus") from error
    ending = contextlib.ExitStack()  # which runs each callback once
    if not file:
        client = pymilvus.MilvusClient(uri=os.fspath(uri), token=token)
        ending.callback(client.close)
        return client, ending.close
    if not os.path.isdir(os.path.dirname(path)):
        raise FileNotFoundError(f"The folder of `uri` must exist. Received: {uri!r}.")
    try:
        client = pymilvus.MilvusClient(uri=path)
    except pymilvus.exceptions.ConnectionConfigException as error:
        raise IndexLockedError(
            f"`uri` could not be opened: {uri!r}. It is open in another process, or no file of "
            "Milvus Lite. A file is for one process at a time."
        ) from error
    with _files_lock:
        _files[path] += 1
    ending.callback(_release, path)
    ending.callback(client.close)  # before the other
    return client, ending.close


def _release(path: str) -> None:
    """Counts a client of a file off; with the last, ends the server that is run for them here."""
    with _files_lock:
        _files[path] -= 1
        last = _files[path] == 0
    if last:
        from milvus_lite.server_manager import server_manager_instance

        server_manager_instance.release_server(path)


class Connection:
    """A client that repeats calls after transient failures.

    All that is asked of it may be done twice: records are upserted, never inserted.

    Args:
        client: A `pymilvus.MilvusClient`.
        attempts: How often a call is made, at most.
        wait: Seconds before the second attempt; they double with each, up to 20.
    """

    def __init__(self, client: Any, attempts: int, wait: float = 0.2) -> None:
        self.client = client
        self._attempts, self._wait = attempts, wait

    def __call__(self, operation: str, **arguments: Any) -> Any:
        """Calls a method of the client."""
        for attempt in range(1, self._attempts + 1):
            try:
                return getattr(self.client, operation)(timeout=_SECONDS, **arguments)
            except Exception as error:
                if attempt == self._attempts or not _passes(error):
                    raise
            # Random, so that clients do not all retry at the same moment.
            pause = min(self._wait * 2 ** (attempt - 1), _LONGEST)
            _sleep(pause * (1 + random.random() / 2))
        raise AssertionError("unreachable")


def _passes(error: Exception, seen: frozenset[int] = frozenset()) -> bool:
    """Whether an error comes from the network, or from a server that is busy or starting."""
    seen = seen | {id(error)}
    if isinstance(error, ConnectionError | TimeoutError) or getattr(error, "retriable", False):
        return True
    code = getattr(error, "code", None)
    code = code() if callable(code) else code
    if getattr(code, "name", None) in _PASSING or (
        isinstance(code, int) and not isinstance(code, bool) and code in _PASSING_CODES
    ):
        return True
    # pymilvus wraps what gRPC raises, and also raises errors from themselves.
    cause = error.__cause__
    return isinstance(cause, Exception) and id(cause) not in seen and _passes(cause, seen)
