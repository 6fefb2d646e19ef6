"""What works in a forked process.

The thread pools of TensorFlow and of OpenMP stay behind in the parent: work that is
given to them in the child waits for ever. So searches in a forked process multiply
by NumPy, whose threads are started again, and faiss works on one thread.
"""

from __future__ import annotations

import os
import sys

__all__ = ["forked", "refuse_tensorflow"]

_state = {"forked": False, "tensorflow": False}


def forked() -> bool:
    """Whether this process was forked from one that had loaded the index."""
    return _state["forked"]


def refuse_tensorflow(what: str) -> None:
    """Raises if TensorFlow was used before this process was forked.

    Args:
        what: What needs TensorFlow, at the beginning of the error.

    Raises:
        RuntimeError: If it would wait for ever.
    """
    if _state["tensorflow"]:
        raise RuntimeError(
            f"{what} is computed by TensorFlow, which was used before this process was forked "
            "and would wait for ever. Start processes with "
            "multiprocessing.get_context('spawn'), or fork before the first computation."
        )


def _in_child() -> None:
    _state["forked"] = True
    context = getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)
    # Its threads start with the first computation, which also marks the context.
    if context is not None and getattr(context, "_initialized", True):
        _state["tensorflow"] = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
