"""The SavedModel gives what `lookup` and `match` give, without this package."""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity.calibration import ClassificationMatch
from tensorflow_similarity.index import Index
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.models import SimilarityModel, serving

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 6)).astype("float32")
Y = np.where(X[:, 0] > 0, 7, 2**40)


def make(distance="cosine"):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    model = SimilarityModel(inputs, keras.layers.Dense(4)(inputs))
    model.create_index(distance=distance)
    model.index(X, Y, ids=np.arange(80) * 10 + 5, verbose=0)
    return model


def signature(folder, name="serving_default"):
    # Kept alive: functions hold their variables weakly.
    signature.loaded = tf.saved_model.load(str(folder))
    return signature.loaded.signatures[name]


def same(found, neighbors):
    np.testing.assert_array_equal(found["ids"], neighbors.ids)
    np.testing.assert_array_equal(found["labels"], neighbors.labels)
    np.testing.assert_allclose(found["distances"], neighbors.distances, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model that is not to be changed, and its SavedModel."""
    model, folder = make(), tmp_path_factory.mktemp("exported") / "m"
    model.vector_index.delete([5, 25])
    model.calibrate(X + 0.7, Y, k=3, verbose=0)
    model.export_serving(folder, k=4)
    return model, folder


class TestSignatures:
    @pytest.mark.further
    def test_it_gives_what_lookup_gives(self, exported):
        model, folder = exported
        serve = signature(folder)
        same(serve(inputs=tf.constant(X[:9])), model.lookup(X[:9], k=4, verbose=0))
        assert serve.structured_input_signature[1]["inputs"].shape == [None, 6]

    @pytest.mark.further
    def test_k_as_an_input(self, exported):
        model, folder = exported
        lookup = signature(folder, "lookup_k")
        for k in (1, 6, 90):
            found = lookup(inputs=tf.constant(X[:3]), k=tf.constant(k))
            same(found, model.lookup(X[:3], k=k, verbose=0))
        with pytest.raises(tf.errors.InvalidArgumentError, match="`k` must be at least 1"):
            lookup(inputs=tf.constant(X[:3]), k=tf.constant(0))

    @pytest.mark.further
    def test_keys(self, tmp_path):
        model = make()
        model.reset_index()
        keys = ["sku-1", "ä", "\ud800", "x" * 300]
        model.index(X[:4], Y[:4], ids=keys, verbose=0)
        model.export_serving(tmp_path / "m", k=5)
        found = signature(tmp_path / "m")(inputs=tf.constant(X[:4]))
        expected = model.lookup(X[:4], k=5, verbose=0)
        same(found, expected)
        texts = [
            [b"" if key is None else key.encode("utf-8", "surrogatepass") for key in row]
            for row in expected.keys
        ]
        assert found["keys"].numpy().tolist() == texts

    @pytest.mark.further
    def test_it_matches_as_match_does(self, exported):
        model, folder = exported
        queries = RNG.normal(size=(200, 6)).astype("float32")
        expected = model.match(queries)
        assert len(np.unique(expected)) == 3
        found = signature(folder, "match")(inputs=tf.constant(queries))
        np.testing.assert_array_equal(found["labels"], expected)

    @pytest.mark.further
    def test_embeddings_that_are_not_finite(self, exported):
        with pytest.raises(tf.errors.InvalidArgumentError, match="embeddings must be finite"):
            signature(exported[1])(inputs=tf.constant(X * np.nan))


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "inner_product", "manhattan"])
@pytest.mark.slow_cases("cosine")
def test_records_are_found_in_the_graph_as_in_the_index(distance):
    index = Index(4, distance=distance)
    index.add(X[:, :4], labels=Y, ids=np.arange(80) * 10 + 5)
    index.delete([5, 25])
    index.add(np.ones((1, 4)))  # without a label
    found = serving._Records(index).lookup(X[:5, :4] + 1, tf.constant(90))
    expected = index.lookup(X[:5, :4] + 1, k=90)
    assert (expected.ids[:, 79:] == -1).all()
    same(found, expected)


@pytest.mark.further
def test_class_names_are_texts(tmp_path):
    names = np.array(["owl", "emu", "auk", "tit", "jay", "kea", "rhea", "roc", "rook", "swan"])
    model = make()
    model.reset_index()
    words = names[np.unique(Y, return_inverse=True)[1]]
    labels = [None, *words[1:]]
    model.index(X, labels, verbose=0)
    model.calibrate(X + 0.7, words, per_class=True, min_per_class=1, verbose=0)
    model.export_serving(tmp_path / "served")
    queries = RNG.normal(size=(50, 6)).astype("float32")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    serve, decide = loaded.signatures["serving_default"], loaded.signatures["match"]
    found = serve(inputs=tf.constant(queries))["labels"].numpy().astype(str)
    expected = model.lookup(queries, k=found.shape[1], verbose=0).labels
    assert found.tolist() == [[name or "" for name in row] for row in expected.tolist()]
    matches = decide(inputs=tf.constant(queries))["labels"].numpy().astype(str)
    assert matches.tolist() == [name or "" for name in model.match(queries).tolist()]


@pytest.mark.parametrize("matcher", ["match_nearest", "match_majority_vote"])
@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.further("False-match_nearest")
def test_decisions_in_the_graph_are_those_of_match(matcher, per_class):
    model = make()
    model.vector_index.upsert([15, 35], model.embed(X[[1, 3]], verbose=0))  # now without a label
    options = {"per_class": True, "min_per_class": 1} if per_class else {}
    targets = {"sure": {"precision": 0.95}}
    calibration = model.calibrate(
        X + 0.7, Y, thresholds_targets=targets, k=3, matcher=matcher, verbose=0, **options
    )
    assert bool(calibration.per_class) == per_class
    queries = RNG.normal(size=(200, 6)).astype("float32")
    embeddings = tf.constant(model.embed(queries, verbose=0))
    for cutpoint in ("optimal", "sure"):
        decide = serving._Decision(calibration, cutpoint)
        columns = serving._Records(model.vector_index).columns(embeddings, tf.constant(decide.k))
        expected = model.match(queries, cutpoint)
        assert len(np.unique(expected)) > 1
        np.testing.assert_array_equal(decide(*columns)["labels"], expected)


@pytest.mark.further
def test_no_neighbour_with_a_label_is_no_match():
    index = Index(4)
    index.add(X[:2, :4])
    index.add(X[2:4, :4], labels=[3, 3])
    model = make()
    calibration = model.calibrate(X, Y, matcher="match_majority_vote", k=2, verbose=0)
    records = serving._Records(index)
    decide = serving._Decision(calibration, "optimal")
    found = decide(*records.columns(tf.constant(X[:4, :4]), tf.constant(1)))
    np.testing.assert_array_equal(found["labels"], [-1, -1, 3, 3])
    np.testing.assert_array_equal(found["distances"], [np.inf, np.inf, 0, 0])


class TestErrors:
    def test_nothing_to_serve(self, tmp_path):
        model = make()
        model.reset_index()
        with pytest.raises(ValueError, match="index is empty"):
            model.export_serving(tmp_path / "m")

    @pytest.mark.further
    def test_wrong_arguments(self, exported, tmp_path):
        model, folder = exported
        with pytest.raises(ValueError, match="`k` must be at least 1"):
            model.export_serving(tmp_path / "m", k=0)
        with pytest.raises(KeyError, match="No `cutpoint` 'wrong'"):
            model.export_serving(tmp_path / "m", cutpoint="wrong")
        with pytest.raises(ValueError, match="what `preprocess` takes"):
            model.export_serving(tmp_path / "m", preprocess=tf.identity)
        with pytest.raises(FileExistsError, match="overwrite"):
            model.export_serving(folder, overwrite=False)
        assert list(tmp_path.iterdir()) == []

    def test_too_large(self, exported, tmp_path):
        with pytest.raises(ValueError, match=r"too large.*78 records of 4 numbers take 1,248 byt"):
            exported[0].export_serving(tmp_path / "m", max_bytes=1247)

    @pytest.mark.parametrize(
        "function",
        [
            lambda a, b: np.abs(np.asarray(a)[:, None] - np.asarray(b)).sum(-1),
            lambda a, b: tf.py_function(lambda a, b: a @ tf.transpose(b), [a, b], tf.float32),
        ],
        ids=["numpy", "python"],
    )
    @pytest.mark.further("python")
    def test_distances_that_are_no_graph(self, function, tmp_path):
        model = make(function)
        with pytest.raises(ValueError, match="distance of the index cannot be exported"):
            model.export_serving(tmp_path / "m")

    @pytest.mark.further
    def test_matchers_of_ones_own(self, tmp_path):
        class Mine(ClassificationMatch):
            def derive_match(self, labels, distances):
                return labels[:, 0], distances[:, 0]

        model = make()
        model.calibrate(X, Y, matcher=Mine("mine", "match_mine"), verbose=0)
        with pytest.raises(ValueError, match=r"matcher cannot be exported.*cutpoint=None"):
            model.export_serving(tmp_path / "m")

    def test_what_is_there_stays_if_it_fails(self, tmp_path):
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "old").touch()

        class Archive:
            def write_out(self, path, verbose):
                (tmp_path / path).mkdir()
                (tmp_path / path / "new").touch()
                if full:
                    raise OSError("No space left on device")

        full = True
        with pytest.raises(OSError, match="No space"):
            serving._write(Archive(), str(tmp_path / "m"))
        assert [path.name for path in tmp_path.rglob("*")] == ["m", "old"]
        full = False
        serving._write(Archive(), str(tmp_path / "m"))
        assert [path.name for path in tmp_path.rglob("*")] == ["m", "new"]

    @pytest.mark.further
    def test_stale_records(self, tmp_path, monkeypatch):
        model = make()
        model.set_weights([2 * weight for weight in model.get_weights()])
        monkeypatch.setattr(serving, "_write", lambda archive, path: None)
        with pytest.warns(UserWarning, match="Index the records anew") as caught:
            model.export_serving(tmp_path / "m")
        assert caught[0].filename == __file__


@pytest.mark.slow
class TestInputs:
    @pytest.mark.parametrize("as_dict", [False, True])
    def test_several(self, as_dict, tmp_path):
        image, size = keras.Input((6,), name="image"), keras.Input((1,), name="an_extent")
        inputs = {"image": image, "an_extent": size} if as_dict else [image, size]
        model = SimilarityModel(inputs, L2Embedding(4)(keras.layers.Concatenate()([image, size])))
        model.create_index(distance="cosine")
        given = {"image": X, "an_extent": X[:, :1]} if as_dict else (X, X[:, :1])
        model.index(given, Y, verbose=0)
        model.export_serving(tmp_path / "m")
        found = signature(tmp_path / "m")(image=tf.constant(X), an_extent=tf.constant(X[:, :1]))
        same(found, model.lookup(given, verbose=0))
        model.export_serving(tmp_path / "m", cutpoint=None)  # in place of the first
        signature(tmp_path / "m")
        assert "match" not in signature.loaded.signatures

    def test_raw_inputs_go_through_a_function(self, exported, tmp_path):
        model, _ = exported

        def parse(texts):
            numbers = tf.strings.to_number(tf.strings.split(texts, ",").flat_values)
            return tf.reshape(numbers, [-1, 6])

        spec = tf.TensorSpec([None], tf.string, "text")
        model.export_serving(tmp_path / "m", preprocess=parse, input_signature=spec)
        texts = [",".join(map(repr, row)) for row in X[:5].tolist()]
        same(signature(tmp_path / "m")(text=tf.constant(texts)), model.lookup(X[:5], verbose=0))

    def test_subclassed_models_and_chosen_outputs(self, tmp_path):
        class Net(SimilarityModel):
            def __init__(self):
                super().__init__()
                self.head, self.other = L2Embedding(4), keras.layers.Dense(2)

            def call(self, x):
                return {"other": self.other(x), "embedding": self.head(x)}

        model = Net()
        model.create_index(distance="euclidean", embedding_output="embedding")
        model.index(X, Y, verbose=0)
        with pytest.raises(ValueError, match="what a subclassed model takes"):
            model.export_serving(tmp_path / "m")
        model.export_serving(tmp_path / "m", input_signature=tf.TensorSpec([None, 6], tf.float32))
        same(signature(tmp_path / "m")(inputs=tf.constant(X)), model.lookup(X, verbose=0))


@pytest.mark.slow
def test_a_process_with_tensorflow_alone(exported, tmp_path):
    model, folder = exported
    np.save(tmp_path / "x.npy", X)
    script = """
        import sys
        import numpy as np

        class Refuse:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] == "tensorflow_similarity":
                    raise ImportError(f"{name} is not to be here")

        sys.meta_path.insert(0, Refuse())
        import tensorflow as tf

        loaded = tf.saved_model.load(sys.argv[1])
        x = tf.constant(np.load("x.npy"))
        found = loaded.signatures["serving_default"](inputs=x)
        match = loaded.signatures["match"](inputs=x)
        assert "tensorflow_similarity" not in sys.modules
        np.savez("found.npz", match=match["labels"], **{k: v.numpy() for k, v in found.items()})
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(folder)]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    found = np.load(tmp_path / "found.npz")
    same(found, model.lookup(X, k=4, verbose=0))
    np.testing.assert_array_equal(found["match"], model.match(X))
