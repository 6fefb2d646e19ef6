"""Random lives of an index, against a dictionary."""

import os
import shutil

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from oracle.engines import ENGINES, require
from oracle.search import nearest
from tensorflow_similarity.index import Index, _folder, _graphs, _memory, _search

DIM = 4
IDS = st.lists(st.integers(0, 60), min_size=1, max_size=12, unique=True)


class Life(RuleBasedStateMachine):
    """Every operation on the index, and on a dictionary of what it should hold."""

    @initialize(
        distance=st.sampled_from(["cosine", "euclidean", "inner_product", "manhattan"]),
        kind=st.sampled_from(["json", "array"]),
        seed=st.integers(0, 2**32 - 1),
        in_folder=st.booleans(),
        storage=st.sampled_from(["float32", "float16", "int8"]),
    )
    def begin(self, distance, kind, seed, in_folder, storage):
        path = self.new_path() if in_folder else None
        self.index = Index(
            DIM,
            distance,
            self.engine,
            search_params=ENGINES[self.engine],
            storage=storage,
            path=path,
        )
        self.kind, self.rng = kind, np.random.default_rng(seed)
        self.model, self.assigned = {}, 0

    def new_path(self):
        return self.folder / str(len(os.listdir(self.folder)))

    def teardown(self):
        self.index.close()

    def records(self, n, with_labels, with_data):
        x = self.rng.normal(size=(n, DIM)).astype(np.float32)
        labels = self.rng.choice([-3, -2, 0, 1, 2], n) if with_labels else None  # -1 is none
        data = None
        if with_data and self.kind == "json":
            data = [{"value": int(v)} for v in self.rng.integers(0, 100, n)]
        elif with_data:
            data = self.rng.integers(0, 100, (n, 2))
        return x, labels, data

    def remember(self, ids, x=None, labels=None, data=None, whole=True):
        if x is not None:  # as it is stored
            x, given = self.index.get(ids).embeddings, x
            tolerance = {"float32": 0, "float16": 1e-3, "int8": 1e-2}[self.index.storage]
            np.testing.assert_allclose(x, given, rtol=0, atol=tolerance * np.abs(given).max())
        for place, id_ in enumerate(ids):
            old = [None, None, None] if whole else list(self.model[id_])
            for slot, column in enumerate((x, labels, data)):
                if column is not None:
                    old[slot] = column[place]
            self.model[id_] = tuple(old)
        self.assigned = max([self.assigned, *(i + 1 for i in ids)])

    @rule(n=st.integers(1, 15), with_labels=st.booleans(), with_data=st.booleans())
    def add_assigned(self, n, with_labels, with_data):
        x, labels, data = self.records(n, with_labels, with_data)
        ids = self.index.add(x, labels, data)
        np.testing.assert_array_equal(ids, np.arange(self.assigned, self.assigned + n))
        self.remember(ids.tolist(), x, labels, data)

    @rule(ids=IDS, with_labels=st.booleans(), with_data=st.booleans())
    def add_given(self, ids, with_labels, with_data):
        x, labels, data = self.records(len(ids), with_labels, with_data)
        if any(i in self.model for i in ids):
            with pytest.raises(ValueError, match="in use"):
                self.index.add(x, labels, data, ids=ids)
            return
        self.index.add(x, labels, data, ids=ids)
        self.remember(ids, x, labels, data)

    @rule(ids=IDS, with_labels=st.booleans(), with_data=st.booleans())
    def upsert(self, ids, with_labels, with_data):
        x, labels, data = self.records(len(ids), with_labels, with_data)
        self.index.upsert(ids, x, labels, data)
        self.remember(ids, x, labels, data)

    @rule(ids=IDS, parts=st.tuples(st.booleans(), st.booleans(), st.booleans()))
    def update(self, ids, parts):
        x, labels, data = self.records(len(ids), parts[1], parts[2])
        x = x if parts[0] else None
        if any(i not in self.model for i in ids):
            with pytest.raises(KeyError, match="in use"):
                self.index.update(ids, x, labels, data)
            return
        self.index.update(ids, x, labels, data)
        self.remember(ids, x, labels, data, whole=False)

    @rule(ids=IDS)
    def delete(self, ids):
        if any(i not in self.model for i in ids):
            with pytest.raises(KeyError, match="in use"):
                self.index.delete(ids)
            ids = [i for i in ids if i in self.model]
        self.index.delete(np.array(ids, np.int64))
        for i in ids:
            del self.model[i]

    @rule()
    def compact(self):
        self.index.compact()

    @rule()
    def clear(self):
        self.index.clear()
        self.model = {}

    @rule(mmap=st.booleans())
    def save_and_load(self, mmap):
        path = self.new_path()
        self.index.save(path)
        self.index.close()
        self.index = Index.load(path, mmap=mmap)

    @precondition(lambda self: self.index.path)
    @rule(then=st.sampled_from(["open", "map", "make"]))
    def crash_and_open(self, then):
        path = self.new_path()
        shutil.copytree(self.index.path, path)
        self.index.close()
        config = self.index.get_config()
        if then == "make":
            self.index = Index(**config, path=path)
        else:
            self.index = Index.open(path, mmap=then == "map")

    @precondition(lambda self: self.index.path)
    @rule()
    def fold(self):
        self.index.save()

    @rule(q=st.integers(1, 20), k=st.integers(1, 40), label=st.none() | st.integers(-3, 2))
    def lookup(self, q, k, label):
        queries = self.rng.normal(size=(q, DIM)).astype(np.float32)
        if not self.model:
            assert (self.index.lookup(queries, k).ids == -1).all()
            return
        found = self.index.lookup(queries, k, None if label is None else {"labels": label})
        ids = [
            i
            for i, (_, own, _) in sorted(self.model.items())
            if label is None or (own is not None and own == label)
        ]
        n = min(k, len(ids))
        assert (found.ids[:, n:] == -1).all()
        if n:
            x = np.array([self.model[i][0] for i in ids])
            expected, true = nearest(queries, x, k, self.index.distance.name, ids)
            np.testing.assert_array_equal(found.ids[:, :n], expected)
            np.testing.assert_allclose(found.distances[:, :n], true, rtol=2e-5, atol=2e-6)
        for hits in found[:2]:
            for hit in hits:
                self.check(hit.id, hit.embedding, hit.label, hit.data)

    def check(self, id_, embedding, label, data):
        x, own, payload = self.model[id_]
        np.testing.assert_array_equal(embedding, x)
        assert label == own
        assert (data is None) == (payload is None)
        np.testing.assert_array_equal(data, payload)

    @invariant()
    def holds_what_the_dictionary_holds(self):
        np.testing.assert_array_equal(self.index.ids, sorted(self.model))
        assert len(self.index) == len(self.model)
        assert (3 in self.index) == (3 in self.model)
        assert self.index.has(range(70)).tolist() == [i in self.model for i in range(70)]
        ids = list(self.model)
        records = self.index.get(ids)
        data = [None] * len(ids) if records.data is None else records.data
        for place, id_ in enumerate(ids):
            label = records.labels[place] if records.has_label[place] else None
            self.check(records.ids[place], records.embeddings[place], label, data[place])
            assert records.ids[place] == id_


@pytest.mark.further
@pytest.mark.filterwarnings("ignore:.*asks for -1")
@pytest.mark.parametrize("engine", ENGINES)
def test_random_lives(monkeypatch, tmp_path, engine):
    require(engine)
    monkeypatch.setattr(_search, "FEW_ROWS", 0)
    monkeypatch.setattr(_search, "_ROWS_PER_NEIGHBOR", 0)
    monkeypatch.setattr(_graphs, "FEW_ROWS", 0)
    monkeypatch.setattr(_graphs, "_BUILD_COST", 50)  # graphs are built again and again
    monkeypatch.setattr(_memory, "_MOST_DEAD", 10)
    monkeypatch.setattr(_folder, "_SMALLEST_JOURNAL", 2000)
    case = type("Life", (Life,), {"engine": engine, "folder": tmp_path}).TestCase
    case.settings = settings(max_examples=12, stateful_step_count=30, deadline=None)
    case().runTest()
