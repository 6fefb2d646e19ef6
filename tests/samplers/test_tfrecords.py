import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity.samplers import (
    MultiShotMemorySampler,
    MultiShotTFRecordSampler,
    Padding,
    TFRecordDatasetSampler,
    tfrecord_parser,
    write_tfrecords,
)

Y = np.random.default_rng(0).permutation(np.repeat([3, 5, 2**40, -2], 15))
X = np.arange(60, dtype="float32")[:, None, None] * np.ones((2, 3), "float32")


@pytest.fixture
def shards(tmp_path):
    paths = write_tfrecords(tmp_path, X, Y, examples_per_shard=25)
    assert [path.removeprefix(f"{tmp_path}/") for path in paths] == [
        "00000.tfrec",
        "00001.tfrec",
        "00002.tfrec",
    ]
    return tmp_path


@pytest.mark.parametrize(
    ("dtype", "compression"),
    [("float32", "GZIP"), ("float16", None), ("float64", None), ("uint8", None), ("bool", None)],
)
@pytest.mark.further("uint8-None")
def test_what_was_written_is_read(tmp_path, dtype, compression):
    x = (np.random.default_rng(0).normal(size=(7, 3, 2)) * 10).astype(dtype)
    paths = write_tfrecords(tmp_path, x, np.arange(7), 4, compression)
    ds = tf.data.TFRecordDataset(paths, compression).map(tfrecord_parser(tmp_path))
    assert tuple(ds.element_spec[0].shape) == (3, 2)
    found = list(ds.as_numpy_iterator())
    np.testing.assert_array_equal([row for row, _ in found], x)
    assert found[0][0].dtype == dtype
    assert [label for _, label in found] == list(range(7))
    many = tf.data.TFRecordDataset(paths, compression).batch(7).map(tfrecord_parser(tmp_path))
    np.testing.assert_array_equal(next(iter(many))[0], x)


def test_bytes_and_batches_are_written(tmp_path):
    batches = [(np.array([b"one", b"\0two\0"], object), [1, 2]), (np.array([b""], object), [3])]
    paths = write_tfrecords(tmp_path, batches)
    found = list(tf.data.TFRecordDataset(paths).map(tfrecord_parser(tmp_path)).as_numpy_iterator())
    assert found == [(b"one", 1), (b"\0two\0", 2), (b"", 3)]


@pytest.mark.parametrize("kind", [list, tuple])
def test_bytes_in_lists_keep_their_last_nuls(tmp_path, kind):
    paths = write_tfrecords(tmp_path, kind([b"one\0\0", b"\0", b"two"]), [1, 2, 3])
    found = list(tf.data.TFRecordDataset(paths).map(tfrecord_parser(tmp_path)).as_numpy_iterator())
    assert found == [(b"one\0\0", 1), (b"\0", 2), (b"two", 3)]


def test_batches_are_those_of_the_memory_sampler(shards):
    options = {"classes_per_batch": 3, "examples_per_class_per_batch": 4, "seed": 5}
    memory = MultiShotMemorySampler(X, Y, **options)
    sampler = MultiShotTFRecordSampler(shards, **options)
    assert sampler.num_examples == 60
    expected = [memory[step] for step in range(30)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(sampler.__getitem__, range(30)))
    copy = pickle.loads(pickle.dumps(sampler))
    for step in range(30):
        for made in (found[step], copy[step]):
            np.testing.assert_array_equal(made[0], expected[step][0])
            np.testing.assert_array_equal(made[1], expected[step][1])
    np.testing.assert_array_equal(sampler.get_slice()[0], X)


def test_records_of_another_origin(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "a.records")) as writer:
        for i in range(12):
            features = {
                "value": tf.train.Feature(float_list=tf.train.FloatList(value=[i, -i])),
                "who": tf.train.Feature(int64_list=tf.train.Int64List(value=[i % 3])),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())

    def parse(record):
        features = {
            "value": tf.io.FixedLenFeature([2], tf.float32),
            "who": tf.io.FixedLenFeature([], tf.int64),
        }
        found = tf.io.parse_single_example(record, features)
        return found["value"], found["who"]

    sampler = MultiShotTFRecordSampler(
        tmp_path, parse, label_key="who", shard_suffix="*.records", seed=0
    )
    x, y = sampler[0]
    np.testing.assert_array_equal(x[:, 0].astype(int) % 3, y)
    assert x.shape == (4, 2)
    with pytest.raises(ValueError, match=r"label_key.*'y'"):
        MultiShotTFRecordSampler(tmp_path, parse, shard_suffix="*.records")
    with pytest.raises(ValueError, match="deserialization_fn"):
        MultiShotTFRecordSampler(tmp_path, shard_suffix="*.records")


NAMES = np.array(["emu", "cat", "dog"])[np.arange(60) % 3].astype(object)


@pytest.mark.further
def test_names_and_unknown_classes_are_written_and_read(tmp_path):
    names = NAMES.copy()
    names[::5] = None
    batches = [(X[:30], names[:30]), (X[30:], np.where(names[30:] == "cat", "ant", names[30:]))]
    write_tfrecords(tmp_path, batches)
    sampler = MultiShotTFRecordSampler(tmp_path, classes_per_batch=4, seed=0)
    assert sampler.class_names == ["cat", "dog", "emu", "ant"]
    assert sampler.num_examples == 48
    written = np.concatenate([labels for _, labels in batches])
    for step in range(5):
        x, y = sampler[step]
        found = [sampler.class_names[label] for label in y]
        assert found == written[x[:, 0, 0].astype(int)].tolist()
    only = MultiShotTFRecordSampler(tmp_path, class_list=["ant", "dog"], seed=0)
    assert only.class_list.tolist() == [1, 3]
    stream = TFRecordDatasetSampler(tmp_path, example_per_class=2, batch_size=4, num_repeat=1)
    assert all((y >= 0).numpy().all() for _, y in stream)
    with pytest.raises(TypeError, match="not both"):
        write_tfrecords(tmp_path / "n", [(X, NAMES), (X, Y)])


def test_text_and_sequences_are_written_and_read(tmp_path):
    texts = [f"text {i}" for i in range(60)]
    write_tfrecords(tmp_path / "text", texts, NAMES)
    sampler = MultiShotTFRecordSampler(tmp_path / "text", seed=0)
    x, y = sampler[0]
    which = [int(text.decode().split()[1]) for text in np.asarray(x).tolist()]
    assert [sampler.class_names[label] for label in y] == NAMES[which].tolist()
    for width in ((), (2,)):
        rows = [np.full((1 + i % 4, *width), i, "int32") for i in range(60)]
        folder = tmp_path / f"sequences{len(width)}"
        write_tfrecords(folder, rows, Y)
        sampler = MultiShotTFRecordSampler(folder, padding=Padding(lengths=[4], value=-1), seed=0)
        x, y = sampler[0]
        assert x.shape == (4, 4, *width)
        assert x.dtype == "int32"
        for row, label in zip(x, y, strict=True):
            i = row.ravel()[0]
            assert Y[i] == label
            assert (row == i).sum() == rows[i].size
            assert (row == -1).sum() == row.size - rows[i].size


def test_names_and_weights_of_another_origin(tmp_path):
    def feature(**lists):
        return tf.train.Feature(**lists)

    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrec")) as writer:
        for i in range(12):
            name = tf.train.BytesList(value=[NAMES[i].encode()])
            features = {
                "value": feature(float_list=tf.train.FloatList(value=[i] * (1 + i % 2))),
                "who": feature(bytes_list=name),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())

    def parse(record):
        features = {
            "value": tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True),
            "who": tf.io.FixedLenFeature([], tf.string),
        }
        found = tf.io.parse_single_example(record, features)
        return found["value"], found["who"], found["value"][0] / 10

    sampler = MultiShotTFRecordSampler(
        tmp_path, parse, label_key="who", ignore_class="cat", padding=Padding(), seed=0
    )
    assert sampler.class_names == ["dog", "emu"]
    x, y, w = sampler[0]
    which = x[:, 0].astype(int)
    assert [sampler.class_names[label] for label in y] == NAMES[which].tolist()
    np.testing.assert_allclose(w, which / 10, rtol=1e-6)
    assert len(sampler.get_slice()) == 2


def test_damaged_and_compressed_files_are_refused(tmp_path, shards):
    path = shards / "00001.tfrec"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(ValueError, match=r"00001\.tfrec.*cut off"):
        MultiShotTFRecordSampler(shards)
    other = tmp_path / "gz"
    write_tfrecords(other, X, Y, compression="GZIP")
    with pytest.raises(ValueError, match="TFRecordDatasetSampler"):
        MultiShotTFRecordSampler(other)


@pytest.mark.further
def test_streams_of_shards(tmp_path):
    compression = "ZLIB"
    write_tfrecords(tmp_path, X, Y, examples_per_shard=16, compression=compression)
    made = [
        TFRecordDatasetSampler(
            tmp_path, example_per_class=3, batch_size=9, compression=compression, seed=2
        )
        for _ in range(2)
    ]
    seen = set()
    for (x, y), (again, _) in zip(made[0].take(30), made[1].take(30), strict=True):
        np.testing.assert_array_equal(x, again)
        rows = x.numpy()[:, 0, 0].astype(int)
        np.testing.assert_array_equal(Y[rows], y)
        assert np.unique(y, return_counts=True)[1].tolist() == [3, 3, 3]
        seen |= set(rows.tolist())
    assert len(seen) == 60
    once = TFRecordDatasetSampler(
        tmp_path, example_per_class=3, batch_size=9, compression=compression, num_repeat=1
    )
    assert 0 < len(list(once)) <= 6


@pytest.mark.parametrize(
    ("error", "match", "call"),
    [
        (ValueError, "multiple", lambda f: TFRecordDatasetSampler(f, batch_size=9)),
        (ValueError, "has none", lambda f: TFRecordDatasetSampler(f, shard_suffix="*.x")),
        (ValueError, "not have shards yet", lambda f: write_tfrecords(f, X, Y)),
        (ValueError, "expected 60", lambda f: write_tfrecords(f / "n", X, Y[1:])),
        (TypeError, "integer", lambda f: write_tfrecords(f / "n", X, Y / 2)),
        (TypeError, "dtype", lambda f: write_tfrecords(f / "n", X.astype(complex), Y)),
        (TypeError, "bytes", lambda f: write_tfrecords(f / "n", [1j], [1])),
        (TypeError, "several.*deserialization_fn", lambda f: write_tfrecords(f / "n", {"a": X}, Y)),
        (TypeError, "list.*object.*S1", lambda f: write_tfrecords(f / "n", np.array([b"a"]), [1])),
        (ValueError, "`y`.*None", lambda f: write_tfrecords(f / "n", X)),
        (ValueError, "at least one", lambda f: write_tfrecords(f / "n", [])),
        (ValueError, "one form", lambda f: write_tfrecords(f / "n", [(X, Y), (X[:, 0], Y)])),
        (ValueError, "examples_per_shard", lambda f: write_tfrecords(f / "n", X, Y, 0)),
    ],
)
def test_bad_arguments_are_named(shards, error, match, call):
    with pytest.raises(error, match=match):
        call(shards)


def test_formats_of_the_future_are_refused(shards):
    (shards / "schema.json").write_text('{"format": 2}')
    with pytest.raises(ValueError, match="format 1"):
        tfrecord_parser(shards)
