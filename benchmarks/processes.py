"""Processes that benchmarks ask in turn, so that what else the machine does hits all of them."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from typing import Any

__all__ = ["Asked"]


class Asked:
    """A process that answers each line of JSON by a line `RESULT ` with more of it.

    Args:
        command: How to begin it.
        patience: Seconds until an answer is given up; the process is begun again then.
        environment: Variables of its environment, beside those of this process.
    """

    def __init__(self, command: list[str], patience: int, **environment: str) -> None:
        self._command, self._patience = command, patience
        self._environment = {**os.environ, **environment}
        self._begin()

    def _begin(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self._environment,
            cwd="/",
        )

    def end(self) -> None:
        """Ends the process."""
        self._process.terminate()

    def ask(self, **request: Any) -> Any:
        """The answer; a dict with an `error` where it took too long."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        timer = threading.Timer(self._patience, self._process.kill)
        timer.start()
        try:
            for line in self._process.stdout:
                if line.startswith("RESULT "):
                    return json.loads(line[7:])
        finally:
            timer.cancel()
        self._begin()
        return {"error": f"> {self._patience} s"}
