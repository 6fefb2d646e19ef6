"""A Milvus of dictionaries, behind the part of pymilvus' client that the package uses.

For what does not depend on the real one: tests of that run where it is installed.
"""

from __future__ import annotations

import json
import operator
import re
import types
from typing import Any

import numpy as np

SCORES = {
    "L2": lambda query, vector: -np.sum((query - vector) ** 2),
    "IP": lambda query, vector: query @ vector,
    "COSINE": lambda query, vector: (
        query @ vector / max(np.linalg.norm(query) * np.linalg.norm(vector), 1e-30)
    ),
}


class BusyError(Exception):
    """As gRPC says that a server is not there now."""

    def code(self) -> Any:
        return types.SimpleNamespace(name="UNAVAILABLE")


class At:
    """What is at a place in the JSON of a record; only values of one kind are compared."""

    __hash__ = None

    def __init__(self, value: Any, there: bool = True) -> None:
        self.value, self.there = value, there

    def __getitem__(self, name: str) -> At:
        there = isinstance(self.value, dict) and name in self.value
        return At(self.value[name] if there else None, there)

    def _kind(self, value: Any) -> Any:
        kinds = bool, str, (int, float)
        return next((kind for kind in kinds if isinstance(value, kind)), type(None))

    def _compared(self, compare: Any, other: Any) -> bool:
        return self._kind(self.value) == self._kind(other) and compare(self.value, other)

    def __eq__(self, other: Any) -> bool:
        return self._compared(operator.eq, other)

    def __ne__(self, other: Any) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> bool:
        return self._compared(operator.lt, other)

    def __le__(self, other: Any) -> bool:
        return self._compared(operator.le, other)

    def __gt__(self, other: Any) -> bool:
        return self._compared(operator.gt, other)

    def __ge__(self, other: Any) -> bool:
        return self._compared(operator.ge, other)


class Schema(dict):
    def add_field(self, name: str, kind: Any, is_primary: bool = False, **options: Any) -> None:
        self[name] = {"primary": is_primary, **options}


class IndexParams(list):
    def add_index(self, field: str, **options: Any) -> None:
        self.append(options)


class MilvusClient:
    """Collections live as long as the process, by their URI."""

    servers: dict[str, dict[str, Any]] = {}  # noqa: RUF012

    def __init__(self, uri: str = "", token: str = "") -> None:
        self.collections = self.servers.setdefault(uri, {})
        self.calls: list[str] = []
        self.failures: list[Exception] = []

    @staticmethod
    def create_schema(**options: Any) -> Schema:
        assert options == {"auto_id": False, "enable_dynamic_field": False}
        return Schema()

    @staticmethod
    def prepare_index_params() -> IndexParams:
        return IndexParams()

    def _called(self, name: str, timeout: float) -> None:
        assert timeout > 0
        self.calls.append(name)
        if self.failures:
            raise self.failures.pop()

    def create_collection(
        self, collection_name, schema, index_params, consistency_level, timeout
    ) -> None:
        self._called("create_collection", timeout)
        assert consistency_level == "Strong"
        key = next(name for name, field in schema.items() if field["primary"])
        made = {"key": key, "schema": schema, "metric": index_params[0]["metric_type"], "rows": {}}
        self.collections[collection_name] = made

    def has_collection(self, collection_name, timeout):
        self._called("has_collection", timeout)
        return collection_name in self.collections

    def describe_collection(self, collection_name, timeout):
        self._called("describe_collection", timeout)
        schema = self.collections[collection_name]["schema"]
        return {"fields": [{"name": name} for name in schema]}

    def list_collections(self, timeout):
        return list(self.collections)

    def load_collection(self, collection_name, timeout):
        self._called("load_collection", timeout)
        assert collection_name in self.collections

    def drop_collection(self, collection_name, timeout):
        self._called("drop_collection", timeout)
        del self.collections[collection_name]

    def flush(self, collection_name, timeout):
        self._called("flush", timeout)

    compact = flush

    def close(self):
        self.collections = None

    def upsert(self, collection_name, data, timeout):
        self._called("upsert", timeout)
        collection = self.collections[collection_name]
        for row in data:
            row = dict(row)
            assert set(row) == set(collection["schema"])
            row["vector"] = [float(x) for x in np.float32(row["vector"])]
            assert len(row["vector"]) == collection["schema"]["vector"]["dim"]
            row = json.loads(json.dumps(row))  # what cannot be sent fails
            collection["rows"][row[collection["key"]]] = row

    def delete(self, collection_name, ids, timeout):
        self._called("delete", timeout)
        for key in ids:
            self.collections[collection_name]["rows"].pop(key, None)

    def _where(self, collection_name, filter):
        rows = self.collections[collection_name]["rows"].values()
        text = re.sub(r'exists (data(?:\["[^"]*"\])+)', r"(data is not None and \1.there)", filter)
        # Strings are as they are.
        parts = re.split(r'("(?:[^"\\]|\\.)*")', text)
        for word, own in (("null", "None"), ("true", "True"), ("false", "False")):
            parts[::2] = [re.sub(rf"\b{word}\b", own, part) for part in parts[::2]]
        code = compile("".join(parts) or "True", "filter", "eval")
        return [row for row in rows if eval(code, {}, self._seen(row))]

    @staticmethod
    def _seen(row):
        return row if row.get("data") is None else {**row, "data": At(row["data"])}

    def query(self, collection_name, filter, output_fields, timeout):
        self._called("query", timeout)
        found = self._where(collection_name, filter)
        if output_fields == ["count(*)"]:
            return [{"count(*)": len(found)}]
        assert filter
        assert len(found) <= 16_384
        return [{field: row[field] for field in output_fields} for row in found]

    def query_iterator(self, collection_name, filter, output_fields, batch_size, timeout):
        rows = self._where(collection_name, filter)
        pages = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        return types.SimpleNamespace(next=lambda: pages.pop(0) if pages else [], close=lambda: None)

    def search(self, collection_name, data, filter, limit, output_fields, search_params, timeout):
        self._called("search", timeout)
        assert limit <= 16_384
        score = SCORES[self.collections[collection_name]["metric"]]
        assert search_params["metric_type"] == self.collections[collection_name]["metric"]
        rows = self._where(collection_name, filter)
        answers = []
        for query in data:
            order = sorted(rows, key=lambda row: -score(query, np.float32(row["vector"])))
            answers.append(
                [
                    {"id": row["id"], "entity": {field: row[field] for field in output_fields}}
                    for row in order[:limit]
                ]
            )
        return answers


def module() -> types.ModuleType:
    """What `import pymilvus` is to give."""
    made = types.ModuleType("pymilvus")
    made.MilvusClient = MilvusClient
    made.DataType = types.SimpleNamespace(INT64=5, FLOAT_VECTOR=101, JSON=23, VARCHAR=21)
    return made
