"""Values as JSON can express them."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["plain"]


def plain(value: object) -> Any:
    """The value of lists, dicts, strings and finite numbers; NaN and infinity become None."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.datetime64 | np.timedelta64):
        # In units that Python's times do not have, `item` is a mere number.
        value = str(value) if isinstance(value.item(), int) else value.item()
    elif isinstance(value, np.generic):
        value = float(value) if isinstance(value, np.floating) else value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
