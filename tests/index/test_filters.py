"""Filters that are data, on ids, labels and keys of the payload."""

import threading
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorflow_similarity.index import Index

VALUES = st.sampled_from(
    [None, True, False, 0, 1, 1.0, 2.5, -3, 2**60, 2**60 + 1, "", "a", "b", "1", [1], {"x": 1}]
)
PAYLOADS = st.none() | st.integers() | st.dictionaries(st.sampled_from("pqr"), VALUES)
SCALARS = st.sampled_from([None, True, False, 0, 1, 1.0, 2.5, 2**60, 2**60 + 1, "a", "b", "1"])
ORDERED = st.sampled_from([0, 1, 2.5, -1e9, 2**60, "a", "aa"])


def conditions():
    compare = st.sampled_from(["lt", "le", "gt", "ge"])
    of_key = (
        SCALARS
        | st.dictionaries(st.sampled_from(["eq", "ne"]), SCALARS, min_size=1)
        | st.dictionaries(compare, ORDERED, min_size=1, max_size=2)
        | st.fixed_dictionaries({}, optional={"exists": st.booleans()}).filter(bool)
        | st.dictionaries(
            st.sampled_from(["in", "not_in"]), st.lists(SCALARS, max_size=3), min_size=1
        )
    )
    ids = st.integers(-2, 12) | st.lists(st.integers(-2, 12), max_size=4)
    numbers = st.dictionaries(
        compare | st.sampled_from(["eq", "ne"]), st.integers(-3, 12), min_size=1
    )
    leaf = (
        st.dictionaries(st.sampled_from("pqr"), of_key, min_size=1, max_size=2)
        | st.fixed_dictionaries(
            {"data": st.dictionaries(st.sampled_from("pqr"), of_key, min_size=1)}
        )
        | st.fixed_dictionaries({"labels": ids | numbers})
        | st.fixed_dictionaries({"ids": ids | numbers})
        | st.fixed_dictionaries({"label": st.fixed_dictionaries({"exists": st.booleans()})})
    )
    return st.recursive(
        leaf,
        lambda each: (
            st.fixed_dictionaries({"not": each})
            | st.fixed_dictionaries({"and": st.lists(each, min_size=1, max_size=3)})
            | st.fixed_dictionaries({"or": st.lists(each, min_size=1, max_size=3)})
        ),
        max_leaves=5,
    )


def same(a, b):
    return (
        type(a) is not list
        and type(a) is not dict
        and (type(a) is bool) == (type(b) is bool)
        and a == b
    )


def number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def slow_test(there, value, how, wanted):
    if how == "exists":
        return there == wanted
    if not there:
        return False
    if how in ("eq", "ne"):
        return same(value, wanted) == (how == "eq")
    if how in ("in", "not_in"):
        return any(same(value, each) for each in wanted) == (how == "in")
    if number(value) != number(wanted) or isinstance(value, str) != isinstance(wanted, str):
        return False
    if not number(value) and not isinstance(value, str):
        return False
    return {
        "lt": value < wanted,
        "le": value <= wanted,
        "gt": value > wanted,
        "ge": value >= wanted,
    }[how]


def slow(filter, id_, label, data):
    """Whether a filter holds for one record, as it is written."""
    for key, wanted in filter.items():
        if key == "not":
            holds = not slow(wanted, id_, label, data)
        elif key == "and":
            holds = all(slow(each, id_, label, data) for each in wanted)
        elif key == "or":
            holds = any(slow(each, id_, label, data) for each in wanted)
        elif key == "data":
            holds = slow(wanted, id_, label, data)
        else:
            if key in ("ids", "labels", "label"):
                there, value = (True, id_) if key == "ids" else (label is not None, label)
                if not isinstance(wanted, dict):
                    wanted = {"in": wanted if isinstance(wanted, list) else [wanted]}
            else:
                there = isinstance(data, dict) and key in data
                value = data[key] if there else None
            wanted = wanted if isinstance(wanted, dict) else {"eq": wanted}
            holds = all(slow_test(there, value, how, each) for how, each in wanted.items())
        if not holds:
            return False
    return True


@pytest.mark.further
@pytest.mark.filterwarnings("ignore:`filter` compares", "ignore:.*asks for -1")
@settings(max_examples=300, deadline=None)
@given(
    data=st.lists(PAYLOADS, min_size=1, max_size=9),
    filters=st.lists(conditions(), min_size=1, max_size=3),
    labels=st.lists(st.none() | st.integers(-2, 5), min_size=10, max_size=10),
    gone=st.integers(0, 10),
)
def test_any_filter(data, filters, labels, gone):
    data = [*data, {"p": 1, "q": 2, "r": "a"}]  # each key is known
    labels = labels[: len(data)]
    labels = [None if label == -1 else label for label in labels]  # -1 says that there is none
    labels += [None] * (len(data) - len(labels))
    index = Index(1, "euclidean", "exact")
    index.add(np.arange(len(data))[:, None], labels, data)
    ids = list(range(len(data)))
    if gone < len(data) - 1:
        index.delete(gone)
        ids.remove(gone)
    for again in range(2):
        for each in filters:
            found = index.lookup([[0.0]], k=20, filter=each).ids[0]
            expected = [i for i in ids if slow(each, i, labels[i], data[i])]
            assert found[found >= 0].tolist() == expected
        if not again:  # what came later is known as well
            index.upsert([0], [[0.0]], [labels[0]], [data[-1]])
            data = [data[-1], *data[1:]]
            ids = sorted({0, *ids})


def test_nested_keys_and_masks_that_are_kept():
    index = Index(1, "euclidean")
    data = [{"shop": {"city": c}, "a.b": i} for i, c in enumerate(["Bonn", "Ulm", "Bonn"])]
    index.add([[0.0], [1.0], [2.0]], data=data)
    for _ in range(2):
        found = index.lookup([[0.0]], filter={"shop.city": "Bonn"})
        assert found.ids[0].tolist() == [0, 2, -1, -1, -1]
        assert index.lookup([[0.0]], k=1, filter={"a.b": {"ge": 1}}).ids.item() == 1
    index.update([0], data=[{"shop": {"city": "Ulm"}}])
    index.add([[0.5]], data=[{"shop": {"city": "Bonn"}}])
    assert index.lookup([[0.0]], k=3, filter={"shop.city": "Bonn"}).ids[0].tolist() == [3, 2, -1]
    index.compact()
    assert index.lookup([[0.0]], k=3, filter={"shop.city": "Bonn"}).ids[0].tolist() == [3, 2, -1]
    index.clear()
    index.add([[0.0]], data=[{"shop": {"city": "Bonn"}}])
    assert index.lookup([[0.0]], k=1, filter={"shop.city": "Bonn"}).ids.item() == 4


@pytest.mark.parametrize(
    ("filter", "kind", "match"),
    [
        ({}, ValueError, "at least one condition"),
        ({"p": {}}, ValueError, "at least one of"),
        ({"data": {}}, ValueError, "at least one condition"),
        ({"lables": 3}, ValueError, "names the key 'lables', which no record has"),
        ({"p": {"below": 3}}, ValueError, "operators .* Received: 'below'"),
        ({"p": [1, 2]}, TypeError, r"write \{'in'"),
        ({"p": {"lt": None}}, TypeError, "a number or a string"),
        ({"p": {"lt": True}}, TypeError, "a number or a string"),
        ({"p": {"eq": {"x"}}}, TypeError, "None, a bool, a number or a string"),
        ({"p": float("nan")}, ValueError, "not be NaN"),
        ({"p": {"exists": 1}}, TypeError, "True or False"),
        ({"labels": "a"}, TypeError, "must be integer"),
        ({"ids": 1.5}, TypeError, "must be integer"),
        ({"and": {"p": 1}}, TypeError, "a list of at least one filter"),
        ({"or": []}, TypeError, "a list of at least one filter"),
        ({"not": []}, TypeError, "must be a mapping"),
        ({3: 3}, TypeError, "a string as its key"),
        ({"data": 3}, TypeError, "must be a function"),
        ("p", TypeError, "must be a mapping"),
    ],
)
def test_what_is_no_filter(filter, kind, match):
    index = Index(1, "euclidean")
    index.add([[0.0]], data=[{"p": 1}])
    with pytest.raises(kind, match=match):
        index.lookup([[0.0]], filter=filter)


def test_keys_need_a_payload():
    index = Index(1, "euclidean")
    index.add([[0.0]])
    with pytest.raises(ValueError, match="needs records whose `data` are JSON objects"):
        index.lookup([[0.0]], filter={"price": 3})


KINDS = [5, 2.5, "B", True, None, [1], {"in": 1}]


@pytest.mark.parametrize("held", KINDS, ids=str)
@pytest.mark.parametrize("how", ["eq", "ne", "in", "not_in", "lt", "le", "gt", "ge"])
def test_values_of_a_kind_that_no_record_has_are_warned_of(held, how):
    def kind(value):
        return "number" if type(value) is float else type(value).__name__.replace("int", "number")

    index = Index(1, "euclidean")
    index.add([[0.0], [1.0]], data=[{"key": held}, {"other": 1}])
    for wanted in [7, "7", True, None]:
        if how in ("lt", "le", "gt", "ge") and not isinstance(wanted, str) and wanted != 7:
            continue
        condition = {"key": {how: [wanted] if "in" in how else wanted}}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            index.lookup([[0.0]], filter=condition)
            index.count({"not": condition})  # once
            index.count({"key": {"exists": True}})
        assert len(caught) == (kind(held) != kind(wanted))
        for each in caught:
            assert f"compares 'key' with {wanted!r}, and records have no " in str(each.message)
            assert each.filename == __file__


@pytest.mark.parametrize(
    ("filter", "advice"),
    [
        ({"price": {"lt": "20"}}, "numbers such as 5. .* Write 20"),
        ({"price": {"in": [5, "x"]}}, "numbers such as 5. .* Write a value of such a kind"),
        ({"price": {"in": ["inf"]}}, "Write a value of such a kind"),
        ({"ok": 1}, "bools such as True. .* Write True"),
        ({"zip": 123}, "strings such as '0123'. .* Write '123'"),
        ({"shop": "Bonn"}, "objects such as .* such as 'shop.city'"),
        ({"price": None}, r"without the key are those with {'price': {'exists': False}}"),
    ],
)
def test_what_to_write_instead_of_another_kind(filter, advice):
    index = Index(1, "euclidean")
    data = {"price": 5, "ok": True, "zip": "0123", "shop": {"city": "Bonn"}}
    index.add([[0.0]], data=[data])
    with pytest.warns(UserWarning, match=advice):
        index.count(filter)
    index.add([[0.0]], data=[{"price": "20", "ok": 1, "zip": 123, "shop": "Bonn"}])
    index.add([[0.0]], data=[{"price": None}])
    index.count(filter)  # each kind is there now


def test_keys_that_no_record_has_are_named_with_those_there_are():
    index = Index(1, "euclidean")
    index.add([[0.0]], data=[{"price": 5, "shop": {"city": "Bonn"}}])
    for key, advice in (
        ("prise", "Did you mean 'price'"),
        ("city", "Did you mean 'shop.city'"),
        ("zzz", "Records have 'price', 'shop', 'shop.city'"),
    ):
        with pytest.raises(ValueError, match=advice):
            index.count({key: 3})
        with pytest.raises(ValueError, match=advice):
            index.lookup([[0.0]], distinct=key)


def test_class_names():
    index = Index(1, "euclidean")
    index.add([[0.0], [1.0], [2.0], [3.0]], labels=["cat", "dog", None, "cat"])
    for condition, expected in (
        ("cat", [0, 3]),
        (["cat", "bird"], [0, 3]),
        ({"ne": "cat"}, [1]),
        ({"not_in": ["dog", "bird"]}, [0, 3]),
        ({"exists": False}, [2]),
    ):
        found = index.lookup([[0.0]], k=4, filter={"labels": condition})
        assert found.ids[found.ids >= 0].tolist() == expected
        assert index.count({"labels": condition}) == len(expected)
    for text, advice in (("bird", "such as 'cat'"), ("dogs", "Did you mean 'dog'")):
        with pytest.warns(UserWarning, match=f"'{text}', a class of no record. .*{advice}"):
            assert index.count({"labels": text}) == 0
    near = index.lookup([[0.0]], max_distance=2)
    assert near.labels.tolist() == ["cat", "dog", None]
    assert [each.label for each in near[0]] == ["cat", "dog", None]
    assert index.lookup([[0.0]], k=3, distinct="label").labels.tolist() == [["cat", "dog", None]]
    found = index.lookup([[0.0]], k=2, rerank=lambda queries, near: -near.ids)
    assert found.labels.tolist() == [["cat", None]]
    index.update(filter={"labels": "dog"}, labels="cow")
    assert index.get(filter={"labels": "cow"}).ids.tolist() == [1]
    with pytest.raises(TypeError, match="have no order"):
        index.count({"labels": {"lt": 3}})
    with pytest.raises(TypeError, match="must be class names"):
        index.count({"labels": 3})


@pytest.mark.parametrize("labels", [[3, None, 3], ["cat", None, "dog"], [{1}, None, {2}]])
@pytest.mark.parametrize("none", [None, -1, [None], np.array([-1, -1])])
def test_no_label_is_no_label_to_look_for(labels, none):
    index = Index(1, "euclidean")
    index.add([[0.0], [1.0], [2.0]], labels=labels)
    if labels[0] == "cat" and isinstance(none, int | np.ndarray):
        none = [None, None]  # there are names, and -1 is none
    for wanted in (none, {"in": none} if np.ndim(none) else {"eq": none}):
        with pytest.warns(UserWarning, match=r"filter\['labels'\].*'exists': False"):
            assert index.count({"labels": wanted}) == 0
    assert index.count({"labels": {"exists": False}}) == 1


def test_filters_from_several_threads_while_records_come():
    rng = np.random.default_rng(0)
    index = Index(2, "euclidean")
    index.add(rng.normal(size=(500, 2)), data=[{"n": i} for i in range(500)])
    wrong, done = [], threading.Event()

    def look(seed):
        rng = np.random.default_rng(seed)
        while not done.is_set():
            limit = int(rng.integers(1, 400))
            filters = {"n": {"lt": limit}}, {"n": {"lt": limit}, "data": lambda data: True}
            for each in filters:
                found = index.lookup(np.zeros((1, 2)), k=400, filter=each).ids[0]
                if sorted(found[found >= 0].tolist()) != list(range(limit)):
                    wrong.append(limit)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for start in range(500, 1500, 50):
        new = index.add(rng.normal(size=(50, 2)), data=[{"n": start + i} for i in range(50)])
        index.delete(new[:25])
        if start % 250 == 0:
            index.compact()
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("key", ["labels", "ids", "n"])
@pytest.mark.parametrize("kind", [int, str])
@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"eq": 1, "in": [1, 2]}, [1]),
        ({"in": [], "eq": 1}, []),
        ({"ne": 1, "not_in": [2]}, [0, 3]),
        ({"in": [0, 1, 2], "not_in": [3], "ne": 0, "exists": True}, [1, 2]),
    ],
)
def test_all_operators_of_a_mapping_hold(key, kind, conditions, expected):
    conditions = {
        how: [kind(v) for v in each]
        if isinstance(each, list)
        else each
        if each is True
        else kind(each)
        for how, each in conditions.items()
    }
    values = [kind(n) for n in range(4)]
    index = Index(1, "euclidean")
    index.add(
        [[0.0], [1.0], [2.0], [3.0]], labels=values, ids=values, data=[{"n": v} for v in values]
    )
    for wanted in (conditions, dict(reversed(conditions.items()))):
        assert index.get(filter={key: wanted}).data == [{"n": values[n]} for n in expected]


def test_keys_beside_ids_in_one_condition():
    index = Index(1, "euclidean")
    index.add([[0.0], [1.0], [2.0]], ids=["a", "b", "c"])
    for wanted in ({"eq": "a", "in": [0, 1]}, {"in": [0, 1], "eq": "a"}, {"in": ["a"], "eq": 0}):
        assert index.get(filter={"ids": wanted}).ids.tolist() == [0]
    assert index.count({"ids": {"ne": "a", "not_in": [1]}}) == 1


@pytest.mark.parametrize("key", ["n", "labels", "ids"])
@pytest.mark.parametrize("operator", ["in", "not_in", "eq"])
def test_masked_values_are_refused(key, operator):
    index = Index(1, "euclidean")
    index.add([[0.0], [1.0]], labels=[1, 2], data=[{"n": 1}, {"n": 2}])
    value = np.ma.masked_array([1, 2], mask=[False, True])
    for masked in (value, value[1]):
        with pytest.raises(TypeError, match=rf"filter.*{key}.*mask"):
            index.count({key: {operator: masked}})


def test_a_function_that_returns_nothing_is_refused():
    index = Index(1, "euclidean")
    index.add([[0.0], [1.0], [2.0]], data=[{"n": 0}, {"n": 1}, {}])
    for call in (index.count, lambda wanted: index.lookup([[0.0]], filter=wanted)):
        for wanted in (lambda data: None, {"data": lambda data: data.get("m")}):
            with pytest.raises(TypeError, match=r"returned None for all 3 records.*bool"):
                call(wanted)
    assert index.count(lambda data: data.get("n")) == 1
    assert index.count({"ids": [], "data": lambda data: None}) == 0
