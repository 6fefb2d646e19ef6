"""Small objects that are their config: distances, mining strategies, miners."""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = ["Configured"]

_Object = TypeVar("_Object", bound="Configured")


class Configured:
    """Base of objects that are equal if they have one type and one config."""

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal object; JSON-able."""
        return {}

    @classmethod
    def from_config(cls: type[_Object], config: dict[str, Any]) -> _Object:
        """Makes an object from its config."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"
