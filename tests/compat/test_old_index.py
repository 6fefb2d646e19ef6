"""Index folders of TensorFlow Similarity become indexes, and nothing in them is run."""

import json
import os
import pickle

import numpy as np
import pytest

from tensorflow_similarity import distances
from tensorflow_similarity.compat.tensorflow_similarity import convert_index
from tensorflow_similarity.index import CorruptIndexError, Index


def old_index(folder, n=20, distance="cosine", labels=True, data="array", **metadata):
    """A folder as `Indexer.save` of 0.17 wrote it."""
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(n, 4)).astype("float32")
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    y = np.arange(n) % 3
    x = {
        "array": rng.integers(0, 255, (n, 2, 2), dtype="uint8"),
        "none": np.array([None] * n),
    }[data]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        folder / "index.npz",
        embeddings=list(embeddings),
        labels=y if labels else np.array([None] * n),
        data=x,
    )
    about = {
        "size": n,
        "compression": True,
        "distance": distance,
        "embedding_output": None,
        "embedding_size": 4,
        "kv_store": "memory",
        "evaluator": "memory",
        "search_config": {"canonical_name": "nmslib_search", "distance": distance, "dim": 4},
        "stat_buffer_size": 1000,
        "is_calibrated": False,
        "calibration_metric_config": {"name": "f1"},
        "cutpoints": {},
        "calibration_thresholds": {},
        **metadata,
    }
    (folder / "index_metadata.json").write_text(json.dumps(about))
    (folder / "search_index.bin").write_bytes(b"of nmslib")
    return embeddings, y, x


@pytest.mark.parametrize("where", ["", "index"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean", "manhattan", "inner_product"])
def test_records_come_over(tmp_path, where, distance):
    embeddings, y, x = old_index(tmp_path / where, distance=distance)
    index = convert_index(tmp_path)
    assert index.distance.name == distance
    np.testing.assert_array_equal(index.ids, np.arange(20))
    found = index.lookup(embeddings[:5], k=3)
    values = np.asarray(distances.get(distance)(embeddings[:5], embeddings))
    np.testing.assert_array_equal(found.ids, np.argsort(values, axis=1, kind="stable")[:, :3])
    np.testing.assert_array_equal(found.labels, y[found.ids])
    np.testing.assert_array_equal(found[1][2].data, x[found.ids[1, 2]])


def test_saved_again_it_is_an_index_like_any(tmp_path):
    old_index(tmp_path / "old")
    index = convert_index(tmp_path / "old", search="exact")
    index.save(tmp_path / "new.tfsim")
    assert len(Index.load(tmp_path / "new.tfsim")) == 20


def test_payloads_that_are_pickled_are_not_read(tmp_path):
    old_index(tmp_path, data="none")
    with pytest.warns(UserWarning, match="`data`.*pickled"):
        index = convert_index(tmp_path)
    assert index.lookup(np.eye(4), k=1)[0][0].data is None


def test_a_pickle_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.makedirs, (str(tmp_path / "trap"), 0o777, True))

    old_index(tmp_path)
    trapped = np.empty(20, object)
    trapped[:] = [Trap() for _ in range(20)]
    with np.load(tmp_path / "index.npz") as arrays:
        columns = dict(arrays)
    np.savez(tmp_path / "index.npz", **{**columns, "data": trapped, "labels": trapped})
    with pytest.warns(UserWarning, match="`labels` and `data`"):
        convert_index(tmp_path)
    assert not (tmp_path / "trap").exists()
    # It is a trap: unpickling springs it.
    with np.load(tmp_path / "index.npz", allow_pickle=True) as arrays:
        assert arrays["data"].shape == (20,)
    assert (tmp_path / "trap").exists()


def test_labels_and_data_that_are_passed_take_the_place_of_the_file_s(tmp_path):
    _, y, _ = old_index(tmp_path, labels=False, data="none")
    index = convert_index(tmp_path, labels=y, data=[{"n": i} for i in range(20)])
    np.testing.assert_array_equal(index.get([4, 5]).labels, [1, 2])
    found = index.lookup(np.eye(4), k=1)[0][0]
    assert found.data == {"n": found.id}


def test_a_calibration_is_not_carried_over_in_silence(tmp_path):
    old_index(tmp_path, is_calibrated=True)
    with pytest.warns(UserWarning, match="calibrate"):
        assert convert_index(tmp_path).calibration is None


@pytest.mark.parametrize(
    ("damage", "error", "match"),
    [
        (lambda folder: (folder / "index.npz").unlink(), FileNotFoundError, "index.npz"),
        (
            lambda folder: (folder / "index.npz").write_bytes(b"PK\x03\x04 and no more"),
            CorruptIndexError,
            "cannot be read",
        ),
        (
            lambda folder: (folder / "index_metadata.json").write_text('{"size": 21}'),
            CorruptIndexError,
            "21 records",
        ),
        (
            lambda folder: (folder / "index_metadata.json").write_text("{"),
            CorruptIndexError,
            "JSON",
        ),
        (lambda folder: (folder / "index_metadata.json").unlink(), ValueError, "`distance`"),
        (
            lambda folder: np.savez(folder / "index.npz", embeddings=np.zeros(20)),
            CorruptIndexError,
            "embeddings",
        ),
        (
            lambda folder: (folder / "index.npz").write_bytes(pickle.dumps([1, 2])),
            CorruptIndexError,
            "cannot be read",
        ),
    ],
)
def test_what_is_not_such_a_folder_is_refused(tmp_path, damage, error, match):
    old_index(tmp_path)
    damage(tmp_path)
    with pytest.raises(error, match=match):
        convert_index(tmp_path)


def test_labels_of_another_length_are_refused(tmp_path):
    old_index(tmp_path)
    with pytest.raises(ValueError, match="labels"):
        convert_index(tmp_path, labels=[1, 2])


def test_a_folder_of_the_development_branch_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="development version"):
        convert_index(tmp_path)


def test_an_empty_index(tmp_path):
    old_index(tmp_path, n=0)
    np.savez(tmp_path / "index.npz", embeddings=np.zeros((0, 4), "float32"))
    assert len(convert_index(tmp_path)) == 0


def test_opening_a_foreign_folder_leaves_nothing_behind(tmp_path):
    old_index(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ValueError, match="convert_index"):
        Index.open(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no index"):
        Index.open(tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []
