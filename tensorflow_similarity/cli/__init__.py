"""The command `tfsim`: index, look up, evaluate and describe from the shell."""

from tensorflow_similarity.cli.main import main

__all__ = ["main"]


def __dir__() -> list[str]:
    return sorted(__all__)
