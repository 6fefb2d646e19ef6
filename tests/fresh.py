"""Programs in processes that have imported the package and nothing else.

Such a process takes seconds to start, all of them for TensorFlow. So one is started, when a test
first asks, and it forks for each program: what a program imports, none of the others sees.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys

# `before` is there for the programs: what Keras and TensorFlow import by themselves.
_SERVER = """
import sys
exec(sys.argv[1])
import keras, tensorflow
before = set(sys.modules)
import tensorflow_similarity
import json, os, traceback
for line in sys.stdin:
    program, folder, path = json.loads(line)
    child = os.fork()
    if not child:
        code = 1
        try:
            with open(path, "w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
                os.chdir(folder)
                exec(program, {"__name__": "__main__", "before": before})
                sys.stdout.flush()
                code = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@functools.cache
def _server(first: str) -> subprocess.Popen:
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, first],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        text=True,
    )

    @atexit.register
    def _() -> None:
        server.communicate()  # which ends its input

    return server


def fresh(program: str, folder: os.PathLike | str, first: str = "") -> str:
    """What a program writes where the package was imported, and nothing else.

    Args:
        program: Python. `before` are the names of the modules that Keras and TensorFlow import.
        folder: Where it runs. What it writes is kept there, too.
        first: Python that runs before anything is imported, once for all programs that share it.
    """
    path = os.path.join(folder, "written.txt")
    server = _server(first)
    server.stdin.write(json.dumps([program, str(folder), path]) + "\n")
    server.stdin.flush()
    status = server.stdout.readline()
    with open(path) as file:
        written = file.read()
    assert status == "0\n", written
    return written.strip()
