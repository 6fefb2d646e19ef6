"""The notes and the calibration of an index."""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

__all__ = ["About", "Keeper", "Notes", "calibration_of"]


class Keeper(Protocol):
    """Records changes of an index where it is stored."""

    def tell_of(self, about: Mapping[str, Any]) -> None:
        """Records a pending change; on failure nothing is applied."""

    def snapshot_if_due(self) -> None:
        """Called after each change."""


class Notes(dict[str, Any]):
    """A dict of JSON values that reports each change before applying it.

    Args:
        change: Takes what is set and what is deleted, and makes the change.
        lock: Held while they change.

    Attributes:
        lock: Hold it to read them and change them as one.
    """

    def __init__(
        self,
        change: Callable[[Mapping[Any, Any], Collection[str]], None],
        lock: threading.RLock,
    ) -> None:
        super().__init__()
        self._change, self.lock = change, lock

    def after(self, new: Mapping[Any, Any], gone: Collection[str]) -> dict[str, Any]:
        """The notes after a change, as they would be read back; see `_as_json`."""
        checked = {name: _as_json(name, value) for name, value in new.items()}
        return {name: value for name, value in self.items() if name not in gone} | checked

    def become(self, notes: Mapping[str, Any]) -> None:
        """Replaces the notes without reporting the change."""
        for name in [name for name in self if name not in notes]:
            dict.pop(self, name)
        dict.update(self, notes)

    def __setitem__(self, name: str, value: Any) -> None:
        self._change({name: value}, ())

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._change({}, (name,))

    def __ior__(self, other: Any) -> Notes:  # type: ignore[override, misc]
        self.update(other)
        return self

    def clear(self) -> None:
        self._change({}, tuple(self))

    def pop(self, name: str, *default: Any) -> Any:
        if name not in self and default:
            return default[0]
        value = self[name]
        del self[name]
        return value

    def popitem(self) -> tuple[str, Any]:
        if not self:
            raise KeyError("There are no notes.")
        name = next(reversed(self))
        return name, self.pop(name)

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, *args: Any, **kwargs: Any) -> None:
        self._change(dict(*args, **kwargs), ())

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy does not belong to an index.
        return dict, (dict(self),)


class About:
    """The notes and the calibration of an index.

    Attributes:
        notes: Any JSON by name.
        lock: Held while it changes.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.notes = Notes(self._change_notes, self.lock)
        self._keeper: weakref.ref[Keeper] | None = None
        self._calibration: Any = None

    def kept_by(self, keeper: Keeper) -> None:
        """Reports changes to this keeper from now on, as long as it exists."""
        self._keeper = weakref.ref(keeper)

    @property
    def calibration(self) -> Any:
        """The calibration of the index, or None."""
        return self._calibration

    @calibration.setter
    def calibration(self, calibration: Any) -> None:
        with self.lock:
            keeper = self._tell(self.notes.copy(), calibration)
            self._calibration = calibration
        if keeper is not None:
            keeper.snapshot_if_due()

    def _change_notes(self, new: Mapping[Any, Any], gone: Collection[str]) -> None:
        with self.lock:
            notes = self.notes.after(new, gone)
            keeper = self._tell(notes, self._calibration)
            self.notes.become(notes)
        if keeper is not None:
            keeper.snapshot_if_due()

    def _tell(self, notes: dict[str, Any], calibration: Any) -> Keeper | None:
        if self._keeper is None:
            return None
        keeper = self._keeper()
        if keeper is None:
            raise ValueError(
                "The index of these notes was let go, and does not change any more. Keep the index "
                "that `Index.open(path)` returns while you change its notes."
            )
        keeper.tell_of(_config(notes, calibration))
        return keeper

    def get_config(self) -> dict[str, Any]:
        """Both, for JSON."""
        with self.lock:
            return _config(self.notes.copy(), self._calibration)

    def read(self, config: Mapping[str, Any]) -> None:
        """Sets both from a config."""
        calibration = calibration_of(config["calibration"])
        with self.lock:
            self.notes.become(config["notes"])
            self._calibration = calibration


def calibration_of(config: dict[str, Any] | None) -> Any:
    """A calibration of its config; None of None."""
    # Imported here because calibration imports the index.
    from tensorflow_similarity.calibration import Calibration

    return None if config is None else Calibration.from_config(config)


def _config(notes: dict[str, Any], calibration: Any) -> dict[str, Any]:
    return {
        "notes": notes,
        "calibration": None if calibration is None else calibration.get_config(),
    }


def _as_json(name: Any, value: Any) -> Any:
    """A value as it will be read back.

    Raises:
        TypeError: If it, or its name, is not JSON.
        ValueError: If it holds itself.
    """
    if not isinstance(name, str):
        raise TypeError(f"The name of a note must be a string. Received: {name!r}.")
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError, RecursionError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"The note {name!r} must be JSON: None, bool, int, float, str, lists and dicts of "
            f"these. Received: {type(value).__name__} ({error})."
        ) from error
