"""One file that holds all, and that is whole or not there."""

import copy
import os
import pickle
import subprocess
import sys
import textwrap
import zipfile

import keras
import numpy as np
import pytest

from tensorflow_similarity.index import Index
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel


@keras.saving.register_keras_serializable(package="tests")
class SavedNet(SimilarityModel):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.embedding = L2Embedding(4)

    def call(self, x):
        return self.embedding(x)


@pytest.fixture(scope="module")
def trained(make_model, digits):
    """A trained, indexed and calibrated model, not to be changed."""
    keras.utils.set_random_seed(0)
    x, y = digits
    model = make_model()
    model.fit(x[:64], y[:64], verbose=0)
    model.index(x[:200], y[:200], data=x[:200], ids=np.arange(200) * 3 + 1, verbose=0)
    targets = {"sure": {"precision": 0.9}}
    model.calibrate(x[200:400], y[200:400], thresholds_targets=targets, verbose=0)
    return model


@pytest.fixture
def a_copy(trained, tmp_path):
    """Loads it anew each time, so that it may be changed."""

    def load():
        path = tmp_path / "copy.keras"
        if not path.exists():
            trained.save(path)
        return keras.saving.load_model(path)

    return load


def same_lookups(one, two, x):
    a, b = one.lookup(x, k=6, verbose=0), two.lookup(x, k=6, verbose=0)
    for column in ("ids", "distances", "labels"):
        np.testing.assert_array_equal(getattr(a, column), getattr(b, column))
    for hits, others in zip(a, b, strict=True):
        for hit, other in zip(hits, others, strict=True):
            np.testing.assert_array_equal(hit.data, other.data)
            np.testing.assert_array_equal(hit.embedding, other.embedding)


class TestOneFile:
    def test_it_holds_everything(self, trained, digits, tmp_path):
        x, _ = digits
        trained.save(tmp_path / "m.keras")
        assert os.listdir(tmp_path) == ["m.keras"]
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        assert type(loaded) is type(trained)
        same_lookups(trained, loaded, x[400:440])
        assert loaded.vector_index.calibration == trained.vector_index.calibration
        np.testing.assert_array_equal(
            loaded.match(x[400:500], "sure"), trained.match(x[400:500], "sure")
        )
        assert int(loaded.optimizer.iterations) == int(trained.optimizer.iterations) > 0
        assert loaded.loss.get_config() == trained.loss.get_config()

    @pytest.mark.further
    def test_it_lives_on(self, a_copy, digits, tmp_path):
        x, y = digits
        one, two = a_copy(), a_copy()
        for model in (one, two):
            assert model.index_single(x[0], data=x[0]) == 599
            model.fit(x[:64], y[:64], batch_size=64, shuffle=False, verbose=0)
        np.testing.assert_allclose(one(x[:5]), two(x[:5]), rtol=1e-5)
        # Records that are stale stay so in the file.
        one.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        with pytest.warns(UserWarning, match="Index the records anew"):
            loaded.single_lookup(digits[0][0])

    def test_without_compiling(self, trained, digits, tmp_path):
        trained.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras", compile=False)
        assert not loaded.compiled
        same_lookups(trained, loaded, digits[0][400:410])

    @pytest.mark.further
    def test_subclassed_models(self, digits, tmp_path):
        x, y = digits
        model = SavedNet()
        model.compile("adam", TripletLoss(distance="euclidean"))
        model.index(x[:50], y[:50], data=x[:50], verbose=0)
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        assert type(loaded) is SavedNet
        assert loaded.vector_index.distance.name == "euclidean"
        same_lookups(model, loaded, x[100:110])

    @pytest.mark.further
    def test_without_records(self, make_model, digits, tmp_path):
        model = make_model("mse", distance="l1", search="exact")
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        assert loaded.vector_index.distance.name == "manhattan"
        assert loaded.vector_index.search == "exact"
        assert loaded.index_size() == 0
        bare = SavedNet()
        bare(digits[0][:1])
        bare.save(tmp_path / "bare.keras")
        assert keras.saving.load_model(tmp_path / "bare.keras").index_size() == 0

    def test_an_index_of_ones_own(self, indexed, digits, tmp_path):
        mine = Index(8, distance="euclidean", search="exact", target_recall=0.5)
        mine.add(np.eye(8), labels=np.arange(8))
        indexed.vector_index = mine
        indexed.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        assert loaded.vector_index.get_config() == mine.get_config()
        same_lookups(indexed, loaded, digits[0][:5])

    @pytest.mark.further
    def test_as_a_folder_and_inside_another_model(self, trained, digits, tmp_path):
        trained.save(tmp_path / "folder", zipped=False)
        x = digits[0][400:405]
        outer = keras.Sequential([keras.Input((64,)), trained, keras.layers.Dense(2)])
        outer.save(tmp_path / "outer.keras")
        inner = keras.saving.load_model(tmp_path / "outer.keras").layers[0]
        same_lookups(trained, inner, x)

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
    @pytest.mark.further("<lambda>")
    def test_copies(self, trained, digits, copied):
        same_lookups(trained, copied(trained), digits[0][400:410])

    def test_weights_alone(self, trained, make_model, digits, tmp_path):
        trained.save_weights(tmp_path / "m.weights.h5")
        other = make_model()
        other.optimizer.build(other.trainable_variables)
        other.load_weights(tmp_path / "m.weights.h5")
        np.testing.assert_array_equal(other(digits[0][:5]), trained(digits[0][:5]))
        assert other.index_size() == 0

    @pytest.mark.slow
    def test_a_fresh_process_needs_only_the_import(self, trained, digits, tmp_path):
        trained.save(tmp_path / "m.keras")
        np.save(tmp_path / "x.npy", digits[0][400:440])
        script = """
            import keras, numpy as np
            import tensorflow_similarity
            model = keras.saving.load_model("m.keras")
            found = model.lookup(np.load("x.npy"), k=6, verbose=0)
            np.savez("found.npz", ids=found.ids, distances=found.distances,
                     labels=found.labels, matched=model.match(np.load("x.npy")))
        """
        subprocess.run(
            [sys.executable, "-W", "error::UserWarning", "-c", textwrap.dedent(script)],
            cwd=tmp_path,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])},
        )
        found = trained.lookup(digits[0][400:440], k=6, verbose=0)
        with np.load(tmp_path / "found.npz") as other:
            for column in ("ids", "distances", "labels"):
                np.testing.assert_array_equal(other[column], getattr(found, column))
            np.testing.assert_array_equal(other["matched"], trained.match(digits[0][400:440]))


class TestWholeOrNotAtAll:
    def test_a_failed_save_leaves_the_old_file(self, trained, tmp_path, monkeypatch):
        path = tmp_path / "m.keras"
        trained.save(path)
        before = path.read_bytes()

        def full(self, path):
            raise OSError("No space left on device")

        monkeypatch.setattr(Index, "save", full)
        with pytest.raises(OSError, match="No space"):
            trained.save(path)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["m.keras"]

    def test_the_file_keeps_its_permissions(self, make_model, tmp_path):
        model, path = make_model(), tmp_path / "m.keras"
        model.save(path)
        plain = tmp_path / "plain"
        plain.touch()
        assert path.stat().st_mode == plain.stat().st_mode
        path.chmod(0o640)
        model.save(path)
        assert path.stat().st_mode & 0o777 == 0o640

    def test_leftovers_of_killed_saves_are_removed(self, make_model, tmp_path):
        old, young = tmp_path / ".m.keras.12.tmp.keras", tmp_path / ".m.keras.34.tmp.keras"
        old.touch()
        young.touch()
        os.utime(old, (0, 0))
        make_model().save(tmp_path / "m.keras")
        assert sorted(os.listdir(tmp_path)) == [young.name, "m.keras"]

    def test_a_link_stays_a_link(self, make_model, tmp_path):
        (tmp_path / "real").mkdir()
        link = tmp_path / "m.keras"
        link.symlink_to(tmp_path / "real" / "m.keras")
        make_model().save(link)
        assert link.is_symlink()
        assert os.listdir(tmp_path / "real") == ["m.keras"]

    def test_keras_refuses_other_names_as_before(self, make_model, tmp_path):
        with pytest.raises(ValueError, match="extension"):
            make_model().save(tmp_path / "m.onnx")

    def test_truncated_and_damaged_files_are_refused(self, trained, tmp_path):
        path = tmp_path / "m.keras"
        trained.save(path)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match=r"m\.keras"):
            keras.saving.load_model(path)
        place = content.index(b"TFSIMIDX") + 1000
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(zipfile.BadZipFile, match=r"CRC.*similarity"):
            keras.saving.load_model(path)

    @pytest.mark.parametrize("change", ["damaged", "newer", "missing"])
    @pytest.mark.further("missing")
    def test_what_the_zip_does_not_notice_is_refused_too(self, trained, tmp_path, change):
        trained.save(tmp_path / "m.keras")
        with (
            zipfile.ZipFile(tmp_path / "m.keras") as old,
            zipfile.ZipFile(tmp_path / "n.keras", "w") as new,
        ):
            for name in old.namelist():
                content = old.read(name)
                if name.endswith("similarity.index"):
                    if change == "missing":
                        continue
                    if change == "damaged":
                        content = content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]
                if name.endswith("similarity.json") and change == "newer":
                    content = content.replace(b'"version": 1', b'"version": 99')
                new.writestr(name, content)
        match = {"damaged": "checksum", "newer": "[Uu]pgrade", "missing": "similarity.index"}
        with pytest.raises(ValueError, match=match[change]):
            keras.saving.load_model(tmp_path / "n.keras")


class TestIndexAlone:
    def test_it_goes_from_model_to_model(self, trained, make_model, digits, tmp_path):
        trained.save_index(tmp_path / "records.index")
        other = make_model()
        other.set_weights(trained.get_weights())
        other.load_index(tmp_path / "records.index")
        same_lookups(trained, other, digits[0][400:420])
        assert other.vector_index.calibration == trained.vector_index.calibration
        assert len(Index.load(tmp_path / "records.index")) == 200

    def test_a_model_with_other_weights_is_told(self, trained, make_model, digits, tmp_path):
        trained.save_index(tmp_path / "records.index")
        other = make_model()
        other.load_index(tmp_path / "records.index")
        with pytest.warns(UserWarning, match="Index the records anew"):
            other.lookup(digits[0][:2], verbose=0)

    def test_a_model_that_is_not_compiled_takes_it(self, trained, digits, tmp_path):
        trained.save_index(tmp_path / "records.index")
        model = SimilarityModel.from_model(keras.Model(trained.input, trained.output))
        model.load_index(tmp_path / "records.index")
        same_lookups(trained, model, digits[0][400:410])

    @pytest.mark.parametrize("change", ["truncated", "damaged", "no index", "size", "distance"])
    def test_a_failed_load_leaves_the_model_as_it_was(self, trained, digits, tmp_path, change):
        path = tmp_path / "records.index"
        trained.save_index(path)
        content = path.read_bytes()
        if change == "truncated":
            path.write_bytes(content[:-100])
        elif change == "damaged":
            path.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
        elif change == "no index":
            path.write_bytes(b"something else")
        elif change == "size":
            Index(3).save(path)
        else:
            Index(8, distance="euclidean").save(path)
        before = trained.vector_index
        expected = trained.lookup(digits[0][:5], verbose=0).ids
        match = {"size": "size 3", "distance": "distance"}.get(change, "cannot be loaded")
        with pytest.raises(ValueError, match=match):
            trained.load_index(path)
        assert trained.vector_index is before
        np.testing.assert_array_equal(trained.lookup(digits[0][:5], verbose=0).ids, expected)

    def test_no_file(self, trained, tmp_path):
        with pytest.raises(FileNotFoundError):
            trained.load_index(tmp_path / "nowhere")

    def test_no_index(self, tmp_path):
        inputs = keras.Input((64,))
        with pytest.raises(ValueError, match="no index"):
            SimilarityModel(inputs, L2Embedding(4)(inputs)).save_index(tmp_path / "i")
