"""Engine and parameters, chosen by trial on the records."""

import time
import warnings
from types import MappingProxyType

import inside_index
import numpy as np
import pytest

from oracle.search import distance_matrix
from tensorflow_similarity.index import Index, _graphs, engines


def vectors(n, dim=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


class Clock:
    """A clock that stands still but for what engines say that they take."""

    now = 0.0


class Knowing(engines.Engine):
    """Finds as many of ten true neighbors as `skill` says, and takes its time."""

    distances = frozenset(["euclidean"])
    parameters = MappingProxyType({"ef": 1, "skill": 1, "links": 1})
    builds = ({"skill": 10},)
    delay = 0.0
    built: list

    @property
    def fixed_effort(self):
        return self.params.get("ef")

    def build(self, vectors):
        self.vectors = vectors
        self.built.append((self.name, len(vectors), dict(self.params)))

    def search(self, queries, k):
        Clock.now += self.delay
        ids = np.argsort(distance_matrix(queries, self.vectors, "euclidean"), axis=1)
        # A record finds itself, and of ten others `skill` truly; the rest are the farthest.
        right = 1 + self.params["skill"] * (k - 1) // 10
        return np.concatenate([ids[:, :right], ids[:, len(ids[0]) - (k - right) :]], axis=1)

    def content(self):
        yield self.vectors.tobytes()

    def load(self, path):
        self.vectors = np.fromfile(path, np.float32).reshape(-1, 6)


@pytest.fixture
def kinds(monkeypatch, graphs_of_any_size):
    """Three engines in place of the real ones: slow, quick and careless."""
    built = []
    # Real clocks race: on a busy machine a quick engine may take long.
    monkeypatch.setattr(time, "perf_counter", lambda: Clock.now)
    made = {
        name: type(name, (Knowing,), {"name": name, "built": built, **has})
        for name, has in {
            "slow": {"delay": 0.03},
            "quick": {"delay": 0.003},
            "careless": {"builds": ({"skill": 2},)},
        }.items()
    }
    monkeypatch.setattr(engines, "_ENGINES", {**made, "nmslib": made["slow"]})
    monkeypatch.setattr(engines, "installed", lambda distance: list(made.values()))
    monkeypatch.setattr(_graphs, "_FAST_NUMBERS", 0)
    monkeypatch.setattr(_graphs, "_BUILD_COST", 1e-9)
    monkeypatch.setattr(_graphs, "seconds_exact", lambda *_: (100.0, 100.0))
    monkeypatch.setattr(_graphs, "_TRIAL_RECORDS", (30, 50))
    monkeypatch.setattr(_graphs, "_SINGLES", 3)
    return made


def started(**arguments):
    index = Index(6, "euclidean", **arguments)
    index.add(vectors(160))
    index.lookup(vectors(2), k=3)  # scans
    index.lookup(vectors(2), k=3)  # by now it has cost enough
    return index


def test_auto_takes_the_quickest_that_reaches_the_target(kinds):
    index = started(search="auto")
    assert index.engine == "quick"
    assert index.recall.recall == 1
    sizes = [(name, size) for name, size, _ in kinds["quick"].built]
    assert sizes == [("slow", 30), ("quick", 30), ("careless", 30), ("quick", 160)]
    assert index.stats()["engine"] == "quick"


def test_auto_takes_only_what_knows_the_parameters(kinds):
    kinds["quick"].parameters = {"skill": 1}
    index = started(search="auto", search_params={"links": 3})
    assert index.engine == "slow"
    with pytest.raises(ValueError, match=r"Unknown parameter.*'wrong'"):
        Index(6, "euclidean", search="auto", search_params={"wrong": 3})


def test_auto_stays_exact_where_nothing_reaches_the_target(kinds):
    for kind in kinds.values():
        kind.builds = ({"skill": 2},)
    index = started(search="auto")  # without a warning, which would be an error
    assert index.engine == "exact"
    assert index.recall is None
    tries = len(kinds["quick"].built)
    assert tries == 5  # three on a part, the best two on all
    for _ in range(3):
        index.lookup(vectors(2), k=3)
    assert len(kinds["quick"].built) == tries
    index.add(vectors(161, seed=1))  # twice as many: it may be otherwise now
    index.lookup(vectors(2), k=3)
    index.lookup(vectors(2), k=3)
    assert len(kinds["quick"].built) == 2 * tries


def test_auto_stays_exact_where_that_is_quicker(kinds, monkeypatch):
    monkeypatch.setattr(_graphs, "seconds_exact", lambda *_: (1e-9, 1e-9))
    assert started(search="auto").engine == "exact"


def test_an_engine_that_was_named_is_taken_as_it_is(kinds):
    with pytest.warns(UserWarning, match=r"finds 20.0% of the true nearest, less than"):
        index = started(search="careless")
    assert index.engine == "careless"
    assert [size for _, size, _ in kinds["quick"].built] == [160]


def test_parameters_are_raised_until_the_target_is_reached(kinds):
    kinds["quick"].builds = ({"skill": 2}, {"skill": 6}, {"skill": 9}, {"skill": 10})
    index = started(search="quick", target_recall=0.85)
    assert index.recall.recall == pytest.approx(0.9)
    assert index.stats()["params"] == {"skill": 9}
    assert [params["skill"] for _, _, params in kinds["quick"].built] == [2, 6, 9]


def test_parameters_of_the_user_are_kept(kinds):
    kinds["quick"].builds = ({"skill": 2, "links": 1}, {"skill": 6, "links": 1}, {"links": 2})
    with pytest.warns(UserWarning, match="less than"):
        started(search="quick", search_params={"skill": 3})
    tried = [params for _, _, params in kinds["quick"].built]
    assert tried == [{"skill": 3, "links": 1}, {"skill": 3, "links": 2}]  # and no build twice
    kinds["quick"].built.clear()
    index = started(search="quick", search_params={"ef": 5})  # the user's choice: no warning
    assert index.recall.recall == pytest.approx(0.2)
    assert len(kinds["quick"].built) == 1


def test_what_was_chosen_is_saved(kinds, tmp_path):
    kinds["quick"].builds = ({"skill": 2}, {"skill": 10})
    index = started(search="auto")
    index.save(tmp_path / "x")
    loaded = Index.load(tmp_path / "x")
    assert loaded.engine == "quick"
    assert loaded.stats()["params"] == {"skill": 10}
    assert loaded.recall == index.recall
    assert loaded.recall.latency == pytest.approx(0.003)
    del kinds["quick"]  # no longer installed
    with pytest.warns(UserWarning, match=r"graph of the engine 'quick', which is not installed"):
        loaded = Index.load(tmp_path / "x")
    assert loaded.engine == "exact"
    queries = vectors(5, seed=3)
    np.testing.assert_array_equal(loaded.lookup(queries).ids, index.lookup(queries).ids)


@pytest.mark.slow
def test_more_links_where_a_graph_stalls(monkeypatch):
    """The real thing: no effort that is tried is enough at first."""
    nmslib = engines.get("nmslib")
    monkeypatch.setattr(nmslib, "efforts", (16, 24))
    index = Index(64, "euclidean", search="nmslib", target_recall=0.97)
    index.add(vectors(2200, 64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        index.lookup(vectors(1, 64))
    assert index.stats()["params"]["M"] > 16
    few = Index(64, "euclidean", search="nmslib", search_params={"M": 16, "ef": 24})
    few.add(vectors(2200, 64))
    few.lookup(vectors(1, 64))
    assert index.recall.recall > few.recall.recall + 0.02


def test_recall_is_that_of_lookups():
    """Deleted records do not lower it, as more is asked of the graph for them."""
    index = Index(24, "euclidean", search="nmslib", target_recall=0.9)
    index.add(vectors(5000, 24))
    index.lookup(vectors(1, 24))
    before = index.recall.recall
    index.delete(np.arange(0, 5000, 2))
    assert index.measure_recall().recall > before - 0.05
    assert index.recall.records == 2500


def test_a_recall_that_has_decayed(monkeypatch):
    index = Index(64, "euclidean", search="nmslib", target_recall=0.9, search_params={"M": 8})
    index.add(vectors(2200, 64))
    index.lookup(vectors(1, 64))
    before = index.recall.recall
    inside_index.state(index).graph.engine.effort = 1
    with pytest.warns(
        UserWarning, match=rf"\(it was {before:.1%}\), less than its `target_recall`"
    ):
        measured = index.measure_recall()
    assert measured.recall < 0.9
    assert index.recall is measured
