"""Files whose checksums are right and whose contents are not: an error that names the file.

Whoever writes a file can make its checksums anew. What is read is therefore checked, and a
graph is looked at before a native library walks over it.
"""

import copy
import json
import os
import random
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest

from tensorflow_similarity.index import CorruptIndexError, Index, IndexFileError
from tests.index.conftest import require

HEADER = struct.Struct("<8sIQQIQ")
N, DIM = 60, 4


def crc(content):
    return zlib.crc32(content + bytes(-len(content) % 64))


class Forged:
    """The content of a file, which is written with right checksums whatever is done to it."""

    def __init__(self, path):
        content = path.read_bytes()
        _, self.version, offset, size, *_ = HEADER.unpack_from(content)
        self.manifest = json.loads(content[offset : offset + size])
        self.sections = {
            name: content[section["offset"] : section["offset"] + section["size"]]
            for name, section in self.manifest["sections"].items()
        }

    def array(self, name):
        section = self.manifest["sections"][name]
        return np.frombuffer(self.sections[name], section["dtype"]).reshape(section["shape"]).copy()

    def put(self, name, array):
        self.sections[name] = array.tobytes()
        own = {"dtype": array.dtype.str, "shape": list(array.shape)}
        self.manifest["sections"].setdefault(name, {}).update(own)

    def write(self, path, declared=None):
        """Writes it; `declared` changes what the manifest says of sections after all."""
        body, sections = bytearray(64), copy.deepcopy(self.manifest["sections"])
        for name, content in self.sections.items():
            if not isinstance(sections, dict) or not isinstance(sections.get(name), dict):
                continue
            own = {"offset": len(body), "size": len(content), "checksum": crc(content)}
            sections[name].update(own)
            body += content + bytes(-len(content) % 64)
        if declared is not None:
            declared(sections)
        manifest = json.dumps({**self.manifest, "sections": sections}).encode()
        total = len(body) + len(manifest)
        head = HEADER.pack(
            b"TFSIMIDX", self.version, len(body), len(manifest), zlib.crc32(manifest), total
        ).ljust(60, b"\0")
        body[:64] = head + struct.pack("<I", zlib.crc32(head))
        path.write_bytes(bytes(body) + manifest)


def vectors(n=N, seed=0):
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


def saved(path, storage="float32", data="json", search="exact"):
    index = Index(DIM, "euclidean", search=search, storage=storage)
    payload = [{"i": i} for i in range(N)] if data == "json" else np.arange(N)
    index.add(vectors(), labels=np.arange(N) % 5, data=payload)
    index.lookup(vectors(1))
    index.notes["by"] = {"me": [1, 2]}
    index.save(path)
    return Forged(path)


def use(index):
    """All that may meet what was read."""
    queries = vectors(3, 1)
    index.lookup(queries, k=5)
    index.lookup(queries, k=5, filter={"labels": [1, 2]})
    index.get(index.ids)
    index.stats()
    # Any that are free: the next one that would be assigned may be none.
    index.add(queries, ids=np.setdiff1d(np.arange(10**6, 10**6 + 9), index.ids)[:3])
    index.delete(index.ids[:2])
    index.compact()


def several(f, values, ends):
    """Puts sets of labels in the place of labels."""
    f.put("labels.values", np.array(values))
    f.put("labels.ends", np.array(ends))
    for of in (f.sections, f.manifest["sections"]):
        of.pop("labels")


ENDS = np.minimum(np.arange(N) + 1, 3)

WRONG = {
    "a label twice in a set": lambda f: several(f, [3, 3, 4], np.maximum(ENDS, 2)),
    "ends of sets that fall": lambda f: several(f, [1, 2, 3], ENDS[::-1].copy()),
    "ends beyond the labels": lambda f: several(f, [1, 2, 3], ENDS + 1),
    "a negative end": lambda f: several(f, [1, 2, 3], np.append(-1, ENDS[1:])),
    "too few sets": lambda f: several(f, [1, 2, 3], ENDS[1:]),
    "labels of sets as floats": lambda f: several(f, [1.0, 2.0, 3.0], ENDS),
    "sets beside labels": lambda f: f.put("labels.ends", ENDS),
    "an id twice": lambda f: f.put("ids", np.zeros(N, np.int64)),
    "a negative id": lambda f: f.put("ids", np.arange(N) - 1),
    "ids as floats": lambda f: f.put("ids", np.arange(N, dtype=float)),
    "too many ids": lambda f: f.put("ids", np.arange(N + 1)),
    "too few labels": lambda f: f.put("labels", np.zeros(N - 1, np.int64)),
    "labels of 32 bits": lambda f: f.put("labels", np.zeros(N, np.int32)),
    "no labels": lambda f: (f.sections.pop("labels"), f.manifest["sections"].pop("labels")),
    "another column": lambda f: f.put("extra", np.zeros(N)),
    "embeddings with NaN": lambda f: f.put("vectors", np.full((N, DIM), np.nan, np.float32)),
    "embeddings with inf": lambda f: f.put("vectors", np.full((N, DIM), np.inf, np.float32)),
    "short embeddings": lambda f: f.put("vectors", np.zeros((N, DIM - 1), np.float32)),
    "few embeddings": lambda f: f.put("vectors", np.zeros((N - 1, DIM), np.float32)),
    "embeddings as text": lambda f: f.put("vectors", np.full((N, DIM), "a")),
    "ends that fall": lambda f: f.put("data.ends", f.array("data.ends")[::-1].copy()),
    "ends beyond the text": lambda f: f.put("data.ends", f.array("data.ends") + 1),
    "next_id in use": lambda f: f.manifest["meta"].update(next_id=3),
    "next_id as text": lambda f: f.manifest["meta"].update(next_id="3"),
    "no next_id": lambda f: f.manifest["meta"].pop("next_id"),
    "no config": lambda f: f.manifest["meta"].pop("config"),
    "a config of another type": lambda f: f.manifest["meta"].update(config=[]),
    "an unknown setting": lambda f: f.manifest["meta"]["config"].update(colour="red"),
    "another size": lambda f: f.manifest["meta"]["config"].update(embedding_size=DIM + 1),
    "a size as text": lambda f: f.manifest["meta"]["config"].update(embedding_size="4"),
    "a size of a list": lambda f: f.manifest["meta"]["config"].update(embedding_size=[4]),
    "a distance of a list": lambda f: f.manifest["meta"]["config"].update(distance=[1]),
    "a distance of any dict": lambda f: f.manifest["meta"]["config"].update(distance={"a": 1}),
    "a recall as text": lambda f: f.manifest["meta"]["config"].update(target_recall="high"),
    "a storage of a number": lambda f: f.manifest["meta"]["config"].update(storage=16),
    "notes of a list": lambda f: f.manifest["meta"].update(notes=[1]),
    "a calibration of a list": lambda f: f.manifest["meta"].update(calibration=[1]),
    "a calibration of nothing": lambda f: f.manifest["meta"].update(calibration={}),
    "a graph of a list": lambda f: f.manifest["meta"].update(graph=[1]),
    "a graph without an engine": lambda f: f.manifest["meta"].update(graph={}),
    "meta of a list": lambda f: f.manifest.update(meta=[1]),
    "no meta": lambda f: f.manifest.pop("meta"),
    "sections of nothing": lambda f: f.manifest.update(sections={}),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_contents(tmp_path, what):
    forged = saved(tmp_path / "x")
    WRONG[what](forged)
    forged.write(tmp_path / "forged.tfsim")
    with pytest.raises(IndexFileError, match=r"forged\.tfsim' cannot be loaded"):
        Index.load(tmp_path / "forged.tfsim")


@pytest.mark.parametrize(
    ("storage", "name", "values"),
    [
        ("int8", "vectors.scales", np.full(N, np.nan, np.float32)),
        ("int8", "vectors.scales", np.full(N, -1, np.float32)),
        ("int8", "vectors.scales", np.ones(N - 1, np.float32)),
        ("int8", "vectors.scales", np.full(N, 3e38, np.float32)),
        ("float16", "vectors.scales", np.full(N, 1e30, np.float32)),
        ("float16", "vectors", np.full((N, DIM), np.inf, np.float16)),
        ("float16", "vectors", np.ones((N, DIM), np.float32)),
        ("float32", "vectors.scales", np.ones(N, np.float32)),
    ],
)
def test_wrong_codes(tmp_path, storage, name, values):
    forged = saved(tmp_path / "x", storage, data="array")
    forged.put(name, values)
    forged.write(tmp_path / "forged.tfsim")
    with pytest.raises(CorruptIndexError, match=r"forged\.tfsim' cannot be loaded"):
        Index.load(tmp_path / "forged.tfsim")


@pytest.mark.parametrize("size", [10**9, 2**62, -1, 10**30, 1.5, "9", None])
@pytest.mark.parametrize("field", ["size", "offset", "shape"])
def test_no_room_is_made_for_what_is_only_declared(tmp_path, size, field):
    """A file of a few kB that declared 900 MB of text had so much reserved on the disk."""
    forged = saved(tmp_path / "x")

    def declare(sections):
        sections["data.text"][field] = [size] if field == "shape" else size
        if field == "shape":
            sections["data.text"]["size"] = size

    forged.write(tmp_path / "forged.tfsim", declare)
    with pytest.raises(CorruptIndexError, match=r"forged\.tfsim' cannot be loaded"):
        Index.load(tmp_path / "forged.tfsim")


def test_a_payload_that_is_no_json_says_so(tmp_path):
    forged = saved(tmp_path / "x")
    forged.put("data.text", np.full_like(forged.array("data.text"), ord("{")))
    forged.write(tmp_path / "forged.tfsim")
    index = Index.load(tmp_path / "forged.tfsim")
    with pytest.raises(CorruptIndexError, match="payload of records is no JSON"):
        index.get(index.ids)


ODD = [None, True, -1, 0, 7, 2**31, 2**63, 10**40, 1.5, float("nan"), "x", "", [], [1], {}]


def mutate(forged, draw):
    """Changes one thing in a file, as a forger or a defect might."""
    if draw.random() < 0.5:
        node = forged.manifest["meta"]
        while True:
            key = draw.choice(list(node))
            if not isinstance(node[key], dict) or not node[key] or draw.random() < 0.3:
                break
            node = node[key]
        if draw.random() < 0.2:
            del node[key]
        else:
            node[key] = draw.choice(ODD)
        return
    name = draw.choice([n for n in forged.sections if n != "graph.file"])
    array = forged.array(name)
    kind = draw.randrange(4)
    if kind == 0:
        forged.put(name, array[: draw.randrange(len(array))])
    elif kind == 1:
        forged.put(name, array.astype(draw.choice(["f4", "i1", "i8", "U1", "b1", "c8", "M8[s]"])))
    elif kind == 2:
        forged.put(name, array.reshape(-1))
    else:
        flat = bytearray(array.tobytes())
        for _ in range(draw.choice([1, 3])):
            flat[draw.randrange(len(flat))] ^= 1 << draw.randrange(8)
        forged.put(name, np.frombuffer(bytes(flat), array.dtype).reshape(array.shape))


def fuzz(tmp_path, seed, trials, search="exact"):
    draw, refused, unnamed = random.Random(seed), 0, 0
    sources = [
        saved(tmp_path / f"{storage}-{data}", storage, data, search)
        for storage in ("float32", "int8", "float16")
        for data in ("json", "array")
    ]
    path = tmp_path / "forged.tfsim"
    for _ in range(trials):
        forged = copy.deepcopy(draw.choice(sources))
        mutate(forged, draw)
        forged.write(path)
        try:
            index = Index.load(path)
        except IndexFileError as error:
            refused += 1
            unnamed += "forged.tfsim" not in str(error)
            continue
        try:
            use(index)
        except CorruptIndexError:  # a payload is read when it is asked for
            refused += 1
    assert not unnamed
    return refused


@pytest.mark.further("2")
@pytest.mark.parametrize("seed", range(3))
def test_one_wrong_thing(tmp_path, seed):
    assert 10 < fuzz(tmp_path, seed, 60) < 60


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*which is not installed here")
@pytest.mark.parametrize("search", ["exact", "nmslib"])
def test_one_wrong_thing_many_times(tmp_path, search, graphs_of_any_size):
    assert fuzz(tmp_path, 99, 2000, search) > 500


# -- Graphs -------------------------------------------------------------------------------------

ENGINES = ["faiss", "nmslib", "usearch"]

_CHILD = """
import sys, warnings
import numpy as np
warnings.simplefilter("ignore")
from tensorflow_similarity.index import CorruptIndexError, Index, _graphs, _search
_search.FEW_ROWS = _graphs.FEW_ROWS = _search._ROWS_PER_NEIGHBOR = 0
queries = np.random.default_rng(5).normal(size=(20, 4)).astype(np.float32)
for path in sys.stdin.read().split():
    try:
        index = Index.load(path)
        index.lookup(queries, k=10)
        index.lookup(queries[:1], k=60)
        print("read" if index.engine != "exact" else "left", flush=True)
    except CorruptIndexError as error:
        assert path in str(error)
        print("refused", flush=True)
"""


def forged_graphs(tmp_path, engine, trials):
    require(engine)
    source = saved(tmp_path / "x", search=engine)
    assert source.manifest["meta"]["graph"]["engine"] == engine
    draw, paths = random.Random(0), []
    for number in range(trials):
        forged = copy.deepcopy(source)
        graph = bytearray(forged.sections["graph.file"])
        # Half of them where sizes and counts are.
        most = draw.choice([120, len(graph)])
        for _ in range(draw.choice([1, 1, 4])):
            graph[draw.randrange(min(most, len(graph)))] ^= 1 << draw.randrange(8)
        if number % 8 == 0:
            graph = graph[: draw.randrange(len(graph))]
        forged.sections["graph.file"] = bytes(graph)
        forged.write(tmp_path / f"{number}.tfsim")
        paths.append(str(tmp_path / f"{number}.tfsim"))
    return paths


def survive(paths):
    """What a process makes of files: it must come to the end of them."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input="\n".join(paths),
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    outcomes = done.stdout.split()
    assert len(outcomes) == len(paths)
    return outcomes


@pytest.mark.slow
def test_flips_in_graphs_with_checksums_made_anew_crash_nothing(tmp_path, graphs_of_any_size):
    paths = []
    for engine in ENGINES:
        try:
            (tmp_path / engine).mkdir()
            paths += forged_graphs(tmp_path / engine, engine, 60)
        except pytest.skip.Exception:
            continue
    outcomes = survive(paths)
    assert outcomes.count("refused") > len(paths) / 4
    assert outcomes.count("read") > 0  # flips in vectors cost neighbours, and no more


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_many_flips_in_graphs(tmp_path, engine, graphs_of_any_size):
    outcomes = survive(forged_graphs(tmp_path, engine, 300))
    assert outcomes.count("refused") > 75


@pytest.mark.parametrize("engine", ENGINES)
def test_a_graph_that_is_cut(tmp_path, engine, graphs_of_any_size):
    require(engine)
    source = saved(tmp_path / "x", search=engine)
    whole = source.sections["graph.file"]
    for size in {0, 1, 50, 70, 150, len(whole) // 2, len(whole) - 4, len(whole) - 1}:
        source.sections["graph.file"] = whole[:size]
        source.write(tmp_path / "forged.tfsim")
        with pytest.raises(CorruptIndexError, match=r"forged\.tfsim' cannot be loaded.*graph"):
            Index.load(tmp_path / "forged.tfsim")
        assert Index.load(tmp_path / "forged.tfsim", trust_graph=False).engine == "exact"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("trust", [None, True, False])
def test_a_graph_is_read_unless_it_is_not_trusted(tmp_path, engine, trust, graphs_of_any_size):
    require(engine)
    saved(tmp_path / "x", search=engine)
    index = Index.load(tmp_path / "x", trust_graph=trust)
    assert index.engine == ("exact" if trust is False else engine)
    np.testing.assert_array_equal(index.lookup(vectors(), k=1).ids[:, 0], np.arange(N))
    assert index.engine == engine  # built where it was not read
    with Index(DIM, "euclidean", search=engine, path=tmp_path / "folder") as index:
        index.add(vectors())
        index.lookup(vectors(1))
        index.save()
    with Index.open(tmp_path / "folder", trust_graph=trust) as index:
        assert index.engine == ("exact" if trust is False else engine)


@pytest.mark.parametrize("name", ["graph.rows"])
@pytest.mark.parametrize(
    "rows", [np.zeros(N, np.int64), np.arange(N) + 1, np.arange(N) - 5, np.arange(N - 1),
             np.arange(N, dtype=np.int32), np.arange(N)[:0]],
)  # fmt: skip
def test_rows_of_a_graph_that_are_not_there(tmp_path, name, rows, graphs_of_any_size):
    forged = saved(tmp_path / "x", search="nmslib")
    forged.put(name, rows)
    forged.write(tmp_path / "forged.tfsim")
    with pytest.raises(CorruptIndexError, match=r"forged\.tfsim' cannot be loaded"):
        Index.load(tmp_path / "forged.tfsim")
