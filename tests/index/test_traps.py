"""What engines do by themselves, and ours must not: each trap, over every engine that could."""

import importlib
import io
import os
import tarfile

import inside_index
import numpy as np
import pytest

from oracle.engines import ENGINES, require
from oracle.search import nearest
from tensorflow_similarity.index import Index, engines

# At parameters that make an engine miss much: what it forgets would show.
POOR = {
    "faiss": {"M": 4, "efConstruction": 20, "ef": 6},
    "faiss_ivf": {"nlist": 60, "nprobe": 2},
    "faiss_pq": {"nlist": 60, "nprobe": 2, "rescore": 1},
    "nmslib": {"M": 4, "efConstruction": 20, "ef": 6},
    "prefix": {"prefix": 2, "rescore": 1},
    "scann": {"num_leaves": 60, "num_leaves_to_search": 2, "reordering_num_neighbors": 20},
    "usearch": {"M": 4, "efConstruction": 20, "ef": 6},
}


def vectors(n, dim=8, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


@pytest.fixture(params=sorted(POOR))
def name(request, graphs_of_any_size):
    """The name of each approximate engine in turn."""
    require(request.param)
    return request.param


def engine_of(name, distance, params, x):
    engine = engines.get(name)(distance, params)
    engine.build(x)
    return engine


def reloaded(engine, folder):
    path = folder / "content"
    path.write_bytes(b"".join(engine.content()))
    again = type(engine)(engine.distance, engine.params)
    again.load(str(path), *([] if engine.shared is None else [engine.shared]))
    path.unlink()
    return again


# -- Shapes of answers ----------------------------------------------------------------------


def test_lists_shorter_than_k(name):
    """Little effort and few lists give short answers; k are owed."""
    index = Index(8, "euclidean", search=name, search_params=POOR[name])
    x = vectors(1000)
    index.add(x)
    found = index.lookup(x[:20], k=200)
    assert index.engine == name
    assert (found.ids >= 0).all()
    assert all(len(set(row)) == 200 for row in found.ids.tolist())
    assert (np.diff(found.distances, axis=1) >= 0).all()


@pytest.mark.parametrize("queries", [1, 3, 50])
def test_what_was_not_found_is_no_position(monkeypatch, name, queries):
    """usearch and ScaNN fill up with 0, which is the position of a record."""
    engine = engine_of(name, "euclidean", POOR[name], vectors(300))
    if hasattr(engine, "_lists_for"):
        monkeypatch.setattr(engine, "_lists_for", lambda k: 1)
        k = 200  # more than one list holds
    else:
        k = 320  # more than there are
    found = engine.search(vectors(queries, seed=1), k)
    assert found.dtype == np.int64
    assert len(found) == queries
    for row in found:
        there = row[row >= 0]
        assert len(set(there.tolist())) == len(there) < k
        assert set(row[row < 0].tolist()) <= {-1}
        assert there.max(initial=0) < 300


@pytest.mark.slow_cases("prefix")
def test_ids_beyond_int32(name):
    index = Index(8, "euclidean", search=name, search_params=ENGINES[name])
    x = vectors(500)
    ids = 2**62 + np.arange(500) * 3
    index.add(x, labels=np.arange(500), ids=ids)
    found = index.lookup(x, k=1)
    np.testing.assert_array_equal(found.ids, ids[found.labels])
    np.testing.assert_array_equal(found.ids[:, 0], ids)
    assert index.engine == name


@pytest.mark.filterwarnings("ignore:The index finds")  # as often as not, and rightly
def test_many_equal_vectors(name):
    index = Index(8, "euclidean", search=name)
    x = np.repeat(vectors(3), 200, axis=0)
    index.add(x)
    found = index.lookup(x[::50], k=5)
    assert (found.ids >= 0).all()
    assert all(len(set(row)) == 5 for row in found.ids.tolist())


# -- What belongs to one search, or to one graph --------------------------------------------


@pytest.mark.further("scann")
def test_a_search_tries_as_hard_as_k_needs_and_no_harder(name, tmp_path):
    """`ef` belongs to the graph in some: what one search sets, the next must not inherit."""
    x, queries = vectors(2000, 24), vectors(100, 24, seed=1)
    engine = engine_of(name, "euclidean", POOR[name], x)
    again = reloaded(engine, tmp_path)
    wide = engine.search(queries, 150)
    assert wide.shape == (100, 150)
    # Without the effort that k needs it would be some tens of 150. Lists of a partition may
    # lack a few, by the luck of its clusters: what an index asks again for.
    assert (wide >= 0).mean() > 0.95
    narrow = engine.search(queries, 3)
    np.testing.assert_array_equal(narrow, again.search(queries, 3))
    true, _ = nearest(queries[:50], x, 3, "euclidean")
    assert (np.sort(narrow[:50]) != np.sort(true)).any()  # it does not find all


@pytest.mark.slow_cases("faiss_pq", "nmslib")
def test_the_effort_is_kept_when_loaded(name, tmp_path):
    """nmslib and usearch forget ef when they load, and find less without a word."""
    index = Index(16, "cosine", search=name, target_recall=0.97)
    x = vectors(1500, 16)
    index.add(x)
    found = index.lookup(x[:300], k=10)
    index.save(tmp_path / "x")
    assert os.listdir(tmp_path) == ["x"]  # and no engine appends suffixes
    loaded = Index.load(tmp_path / "x")
    assert loaded.engine == name
    assert loaded.stats()["effort"] == index.stats()["effort"]
    np.testing.assert_array_equal(loaded.lookup(x[:300], k=10).ids, found.ids)


@pytest.mark.slow_cases("prefix")
def test_nothing_is_ever_added_to_a_graph(name):
    """faiss crashes under concurrent additions, nmslib does not see what is added."""
    index = Index(8, "euclidean", search=name, search_params=ENGINES[name])
    x = vectors(400)
    index.add(x[:300])
    index.lookup(x[:1])
    graph = inside_index.state(index).graph
    before = b"".join(graph.engine.content())
    index.add(x[300:])
    index.delete(np.arange(0, 300, 7))
    found = index.lookup(x[300:], k=1)
    np.testing.assert_array_equal(found.ids[:, 0], np.arange(300, 400))
    assert inside_index.state(index).graph.engine is graph.engine
    assert len(b"".join(graph.engine.content())) == len(before)


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "inner_product"])
@pytest.mark.parametrize("n", [1, 2, 15, 17, 70])
def test_few_rows(name, distance, n, tmp_path):
    """ScaNN builds nothing of fewer than 16, and faiss no more lists than rows."""
    x = vectors(n)
    engine = engine_of(name, distance, {}, x)
    for built in (engine, reloaded(engine, tmp_path)):
        built.effort = max(built.efforts)
        found = built.search(x, n)
        assert found.min() >= -1
        assert found.max() < n
        if distance != "inner_product":
            assert (np.sort(found) == np.arange(n)).mean() > 0.9


@pytest.mark.parametrize("k", [1, 5])
def test_rows_of_zeros(name, k):
    """They have no direction: at cosine distance 1 from all, and not NaN."""
    x = vectors(300)
    x[::10] = 0
    index = Index(8, "cosine", search=name, search_params=ENGINES[name])
    index.add(x)
    found = index.lookup(np.concatenate([x[1:9], np.zeros((1, 8))]), k=k)
    np.testing.assert_array_equal(found.ids[:8, 0], np.arange(1, 9))
    np.testing.assert_array_equal(found.distances[8], 1)


# -- Traps of one ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["faiss", "faiss_ivf", "faiss_pq", "scann", "usearch"])
def test_the_extra_is_named_where_it_is_missing(monkeypatch, name):
    def missing(module, *_):
        raise ModuleNotFoundError(f"No module named {module!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    extra = engines.get(name).extra
    with pytest.raises(ImportError, match=rf'pip install "keras-similarity\[{extra}\]"'):
        Index(8, search=name)


def test_usearch_keeps_all_digits():
    """It would store bfloat16, which has two or three."""
    require("usearch")
    x = 1 + 1e-4 * vectors(300)
    engine = engine_of("usearch", "euclidean", ENGINES["usearch"], x)
    np.testing.assert_array_equal(engine.search(x, 1)[:, 0], np.arange(300))


def test_usearch_loses_no_rows():
    """Threads that add at the same time make rows that no search ever comes to."""
    require("usearch")
    for seed in range(3):
        x = vectors(2000, 12, seed)
        engine = engine_of("usearch", "euclidean", {"M": 24, "ef": 4000}, x)
        found = engine.search(x[:2], 2000)
        np.testing.assert_array_equal(np.sort(found), np.tile(np.arange(2000), (2, 1)))


def test_faiss_writes_nothing_to_standard_error(capfd):
    """It warns where lists are small."""
    require("faiss_ivf")
    engine_of("faiss_ivf", "euclidean", {"nlist": 60}, vectors(500))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "dtype", "share"),
    [("faiss", "bfloat16", 0.7), ("faiss", "int8", 0.5), ("usearch", "bfloat16", 0.7)],
)
@pytest.mark.further("usearch-bfloat16-0.7")
def test_fewer_bytes_in_the_graph(graphs_of_any_size, name, dtype, share):
    """Distances are true ones all the same."""
    require(name)
    x, queries = vectors(500, 128), vectors(20, 128, seed=1)
    sizes = {}
    for kind in ("float32", dtype):
        params = {"ef": 600, "dtype": kind}
        index = Index(128, "euclidean", search=name, search_params=params)
        index.add(x)
        found = index.lookup(queries, k=5)
        true = np.linalg.norm(queries[:, None] - x[found.ids], axis=-1)
        np.testing.assert_allclose(found.distances, true, rtol=1e-5)
        ids, _ = nearest(queries, x, 5, "euclidean")
        assert (found.ids == ids).mean() > 0.9
        engine = inside_index.state(index).graph.engine
        rows = 0 if engine.shared is None else engine.shared.nbytes
        sizes[kind] = rows + len(b"".join(engine.content()))
    assert sizes[dtype] < share * sizes["float32"]


def test_parameters_that_an_engine_has_not():
    require("faiss")
    for name, params, message in [
        ("faiss", {"nprobe": 3}, r"Unknown parameter of the engine 'faiss'.*'ef'.*'nprobe'"),
        ("faiss_ivf", {"ef": 3}, r"Unknown parameter of the engine 'faiss_ivf'.*'nlist'.*'ef'"),
        ("faiss", {"dtype": "float8"}, r"search_params\['dtype'\].*'int8'.*'float8'"),
        ("faiss_ivf", {"nlist": 0}, r"search_params\['nlist'\].*at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            Index(8, search=name, search_params=params)
    with pytest.raises(TypeError, match=r"search_params\['M'\].*integer"):
        Index(8, search="faiss", search_params={"M": 2.5})


@pytest.mark.parametrize("member", ["scann_docids.pkl", "../up.npy", "/root.npy", "in/it.npy"])
def test_scann_reads_no_pickle_and_writes_nowhere_else(tmp_path, member):
    """Its own loader unpickles a file of that name, which runs what is in it."""
    require("scann")
    engine = engine_of("scann", "cosine", {}, vectors(100))
    with io.BytesIO(b"".join(engine.content())) as content:
        with tarfile.open(fileobj=content, mode="a") as tar:
            tar.addfile(tarfile.TarInfo(member), io.BytesIO(b""))
        (tmp_path / "x").write_bytes(content.getvalue())
    with pytest.raises(ValueError, match="No file of a ScaNN searcher"):
        engines.get("scann")("cosine", {}).load(str(tmp_path / "x"))
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_scann_reads_no_compressed_archive(tmp_path, mode):
    """A few kilobytes may become gigabytes on the disk."""
    require("scann")
    with tarfile.open(tmp_path / "x", mode) as tar:
        member = tarfile.TarInfo("serialized_partitioner.pb")
        member.size = 1 << 20
        tar.addfile(member, io.BytesIO(bytes(member.size)))
    with pytest.raises(tarfile.ReadError):
        engines.get("scann")("cosine", {}).load(str(tmp_path / "x"))


def test_scann_writes_no_more_than_the_file_holds(tmp_path):
    """A sparse member of a few bytes declares a gigabyte."""
    require("scann")
    member = tarfile.TarInfo("searcher.npy")
    member.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": "0,512",
        "GNU.sparse.size": str(1 << 30),
        "GNU.sparse.name": "searcher.npy",
    }
    member.size = 512
    with tarfile.open(tmp_path / "x", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(bytes(512)))
    with pytest.raises(ValueError, match="No file of a ScaNN searcher"):
        engines.get("scann")("cosine", {}).load(str(tmp_path / "x"))
