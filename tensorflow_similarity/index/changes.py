"""Changes of an index as named columns, which journals and files can hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tensorflow_similarity.index.payload import ArrayPayload, JsonPayload
from tensorflow_similarity.index.records import Batch
from tensorflow_similarity.index.vectors import EncodedRows

__all__ = ["Change", "arrays_of", "columns_of"]


@dataclasses.dataclass(frozen=True)
class Change:
    """One change of the records of an index.

    Attributes:
        name: `"add"`, `"upsert"`, `"update"`, `"delete"` or `"clear"`.
        columns: `"ids"`, and any of the other columns of a `Batch`.
    """

    name: str
    columns: Mapping[str, Any]

    @classmethod
    def of_batch(cls, name: str, batch: Batch) -> Change:
        """A change that takes whole records."""
        fields = dataclasses.fields(batch)
        return cls(name, {field.name: getattr(batch, field.name) for field in fields})

    def entry(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The entry of a journal that tells of it."""
        return {"name": self.name}, arrays_of(self.columns)

    @classmethod
    def of_entry(cls, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Change:
        """What an entry tells of."""
        columns = columns_of(arrays)
        if about["name"] in ("add", "upsert"):
            columns.setdefault("data", None)
        return cls(about["name"], columns)


def arrays_of(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns as arrays: a payload is two of them, and None is none."""
    arrays: dict[str, Any] = {}
    for name, column in columns.items():
        if isinstance(column, ArrayPayload):
            arrays |= {f"{name}.values": column.values, f"{name}.present": column.present}
        elif isinstance(column, JsonPayload):
            arrays |= {f"{name}.text": column.text, f"{name}.ends": column.ends}
        elif isinstance(column, EncodedRows):
            arrays |= {name: column.codes, f"{name}.scales": column.scales}
        elif column is not None:
            arrays[name] = column
    return arrays


def columns_of(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """What `arrays_of` had been given."""
    columns: dict[str, Any] = {name: array for name, array in arrays.items() if "." not in name}
    if "data.values" in arrays:
        columns["data"] = ArrayPayload(arrays["data.values"], arrays["data.present"])
    elif "data.text" in arrays:
        columns["data"] = JsonPayload(arrays["data.text"], arrays["data.ends"])
    if "vectors.scales" in arrays:
        columns["vectors"] = EncodedRows(arrays["vectors"], arrays["vectors.scales"])
    return columns
