"""Imported first: keeps TensorFlow's start-up messages off the screen.

TensorFlow writes some of them before it reads its own log level.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

sys.stderr.flush()
_screen = os.dup(2)
_nowhere = os.open(os.devnull, os.O_WRONLY)
os.dup2(_nowhere, 2)
try:
    import tensorflow as tf

    tf.constant(0)
finally:
    os.dup2(_screen, 2)
    os.close(_screen)
    os.close(_nowhere)
