"""The command `tfsim`: index, look up, match, evaluate, describe and serve from the shell."""

from __future__ import annotations

from collections.abc import Sequence

import _tfsim

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `tfsim`.

    Args:
        argv: The arguments. Defaults to `None`: those of the process.

    Returns:
        The exit code: 0 for success, 1 if a file or an argument is wrong, 130 after Ctrl-C.
        Arguments that cannot be parsed exit with 2, as usual with argparse.

    Example:

    ```python
    import keras
    from tensorflow_similarity.cli import main

    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save("model.keras")
    main(["info", "model.keras"])  # 0
    ```
    """
    return _tfsim.main(argv)


def __dir__() -> list[str]:
    return sorted(__all__)
