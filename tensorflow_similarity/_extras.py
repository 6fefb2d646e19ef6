"""How this package is installed, and the error for a dependency that is missing.

The distribution is called `keras-similarity`. On PyPI, `tensorflow-similarity` is another
package: Google's TensorFlow Similarity, which needs Keras 2.
"""

from __future__ import annotations

__all__ = ["DISTRIBUTION", "missing", "pip_install", "upgrade"]

DISTRIBUTION = "keras-similarity"


def pip_install(extra: str) -> str:
    """The command that installs an extra of this package."""
    return f'pip install "{DISTRIBUTION}[{extra}]"'


def upgrade() -> str:
    """The command that installs the newest release of this package."""
    return f"pip install --upgrade {DISTRIBUTION}"


def missing(what: str, library: str, extra: str) -> ImportError:
    """The error for an optional library that is not installed.

    Args:
        what: The feature that needs it, as its user writes it.
        library: The library's name.
        extra: The extra of this package that installs it.
    """
    return ImportError(f"{what} needs {library}. Install it with `{pip_install(extra)}`.")
