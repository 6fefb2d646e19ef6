"""The command `tfsim`: parses and checks its arguments before anything heavy is imported.

This is a separate package because importing a part of `tensorflow_similarity` imports the whole
package first, and with it Keras.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from _tfsim.arguments import parser
from _tfsim.files import check

__all__ = ["main"]

# Errors caused by a wrong file or argument. Anything else is a bug, shown with its traceback.
_USER_ERRORS = (ImportError, KeyError, OSError, TypeError, ValueError)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `tfsim`, and returns its exit code. See `tensorflow_similarity.cli.main`."""
    try:
        options = parser().parse_args(argv)
        try:
            check(options)
            _command(options.command)(options)
        except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
            return 0
        except _USER_ERRORS as error:
            if options.traceback:
                raise
            message = error.args[0] if isinstance(error, KeyError) and error.args else error
            sys.stderr.write(f"tfsim: error: {message}\n")
            return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _command(name: str) -> Callable[[Any], None]:
    with _without_start_messages():
        from tensorflow_similarity.cli import commands

    found: Callable[[Any], None] = getattr(commands, name)
    return found


@contextlib.contextmanager
def _without_start_messages() -> Iterator[None]:
    """Hides the messages that TensorFlow writes on start-up, unless it fails to start."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        screen = os.dup(2)
    except OSError:  # no standard error
        yield
        return
    with tempfile.TemporaryFile() as kept:
        sys.stderr.flush()
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except Exception:
            kept.seek(0)
            os.write(screen, kept.read())
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)
