"""pandas in and out."""

import numpy as np
import pytest

from tensorflow_similarity.index import Index

pandas = pytest.importorskip("pandas")

FRAME = pandas.DataFrame(
    {
        "name": ["b", None, "a"],
        "price": [2, 3, 5],
        "weight": [0.5, np.nan, 1.5],
        "seen": pandas.to_datetime(["2024-01-02", None, "2024-03-04"]),
        7: [True, False, True],
    },
    index=[30, 10, 20],
)
ROWS = [
    {"name": "b", "price": 2, "weight": 0.5, "seen": "2024-01-02", "7": True},
    {"name": None, "price": 3, "weight": None, "seen": None, "7": False},
    {"name": "a", "price": 5, "weight": 1.5, "seen": "2024-03-04", "7": True},
]


def test_rows_of_a_frame_keep_the_names_of_its_columns():
    index = Index(3)
    ids = index.add(np.eye(3), data=FRAME)
    assert index.get(ids).data == ROWS
    assert index.lookup(np.eye(3), k=1)[2][0].data == ROWS[2]
    index.update(ids[:1], data=FRAME.iloc[2:])
    assert index.get(ids[:1]).data == ROWS[2:]
    with pytest.raises(ValueError, match=r"data.*expected 2"):
        index.add(np.eye(3)[:2], data=FRAME)
    twice = pandas.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(ValueError, match="different names"):
        index.add(np.eye(3)[:1], data=twice)


def test_rows_of_an_arrow_table_keep_the_names_of_its_columns():
    arrow = pytest.importorskip("pyarrow")
    for columns in ({"a": [1, 2, 3]}, {"a": [1, None, 2**60 + 1], "b": ["x", None, "z"]}):
        table, rows = (
            arrow.table(columns),
            pandas.DataFrame(columns, dtype=object).to_dict("records"),
        )
        for kind in (table, table.to_batches()[0]):
            index = Index(3)
            assert index.get(index.add(np.eye(3), data=kind)).data == rows
            assert index.count({"a": {"ge": 2}}) == sum(
                r["a"] is not None and r["a"] > 1 for r in rows
            )
    twice = arrow.table([arrow.array([1]), arrow.array([2])], names=["a", "a"])
    with pytest.raises(ValueError, match="different names"):
        Index(3).add(np.eye(3)[:1], data=twice)


@pytest.mark.parametrize(
    "kind",
    ["object", "string", "category", pytest.param(pandas.array, id="array"), pandas.Index],
)
def test_missing_texts_of_a_column_are_none(kind):
    words = ["b", None, "a"]
    column = pandas.Series(words, dtype=kind) if isinstance(kind, str) else kind(words)
    index = Index(3)
    assert index.get(index.add(np.eye(3), data=column)).data == words
    with pytest.raises(TypeError, match=r"`data`.*at 1: float \(NaN.*write None"):
        index.add(np.eye(3), data=["b", np.nan, "a"])
    nested = pandas.Series([{"a": 1}, np.nan, [2]])
    assert index.get(index.add(np.eye(3), data=nested)).data == [{"a": 1}, None, [2]]


def test_a_column_is_its_values():
    index = Index(3)
    assert index.get(index.add(np.eye(3), data=FRAME["price"])).data.tolist() == [2, 3, 5]
    words = Index(3)
    assert words.get(words.add(np.eye(3), data=FRAME["name"].fillna("?"))).data == ["b", "?", "a"]
    labels = Index(3)
    labels.add(np.eye(3), labels=FRAME["name"])
    assert labels.get(labels.ids).labels.tolist() == ["b", None, "a"]


@pytest.mark.parametrize("labels", [[4, None, 6], ["x", None, "y"], None])
def test_neighbours_as_a_table(labels):
    index = Index(3, distance="euclidean")
    index.add(np.eye(3), labels=labels, data=["a", "b", "c"], ids=[5, 6, 7])
    neighbors = index.lookup([[1.0, 0.5, 0], [0, 0, 1]], k=4)
    frame = neighbors.to_data_frame()
    assert list(frame.columns) == ["query", "rank", "id", "distance", "label", "data"]
    expected = [(i, hit) for i, row in enumerate(neighbors) for hit in row]
    assert len(frame) == len(expected) == 6
    for row, (query, hit) in zip(frame.itertuples(), expected, strict=True):
        assert (row.query, row.rank, row.id, row.data) == (query, hit.rank, hit.id, hit.data)
        assert row.distance == pytest.approx(hit.distance)
        assert (None if pandas.isna(row.label) else row.label) == hit.label


@pytest.mark.parametrize(
    ("number", "kind"), [(-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_a_number_of_records_is_a_number(number, kind):
    index = Index(3)
    index.add(np.eye(3))
    with pytest.raises(kind, match="`num_records`"):
        index.to_data_frame(number)
    assert [len(index.to_data_frame(n)) for n in (None, 0, 2, 9)] == [3, 0, 2, 3]
