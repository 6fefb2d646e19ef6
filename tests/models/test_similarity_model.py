"""What the model does with its index, on real images of digits."""

import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf

from oracle import rounding
from tensorflow_similarity.evaluation import evaluate, row_f1
from tensorflow_similarity.index import Index, Lookup
from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import NpairsLoss, TripletLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.retrieval_metrics import PrecisionAtK, RecallAtK
from tensorflow_similarity.samplers import MultiShotMemorySampler
from tensorflow_similarity.targets import Targets


def brute_force(queries, keys, k):
    """Positions and cosine distances of the nearest keys, in float64."""
    a = queries.astype("float64") / np.linalg.norm(queries.astype("float64"), axis=1)[:, None]
    b = keys.astype("float64") / np.linalg.norm(keys.astype("float64"), axis=1)[:, None]
    distances = 1 - a @ b.T
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(distances, order, axis=1)


class TestIndexAndLookup:
    def test_the_nearest_records_come_back_whole(self, indexed, digits):
        x, y = digits
        found = indexed.lookup(x[300:340], k=4, verbose=0)
        order, distances = brute_force(
            indexed.predict(x[300:340], verbose=0), indexed.predict(x[:200], verbose=0), 4
        )
        np.testing.assert_array_equal(found.ids, order)
        np.testing.assert_array_equal(found.labels, y[order])
        np.testing.assert_allclose(found.distances, distances, atol=1e-6)
        first = found[0]
        assert [type(hit) for hit in first] == [Lookup] * 4
        assert [hit.rank for hit in first] == [1, 2, 3, 4]
        assert [hit.data for hit in first] == order[0].tolist()

    def test_ids_are_assigned_or_given(self, make_model, digits):
        x, y = digits[0][:6], digits[1][:6]
        model = make_model()
        assert model.index(x[:3], y[:3], verbose=0).tolist() == [0, 1, 2]
        given = model.index(x[3:], y[3:], ids=[70, 60, 50], verbose=0)
        assert given.tolist() == [70, 60, 50]
        assert given.dtype == np.int64
        assert model.index_size() == 6
        assert model.lookup(x[3:], k=1, verbose=0).ids.ravel().tolist() == [70, 60, 50]

    def test_single_examples(self, make_model, digits):
        x, y = digits
        model = make_model()
        first = model.index_single(x[0], y[0], data={"file": "0.png"})
        second = model.index_single(x[1], data={"file": "1.png"}, id=17)
        assert (first, second) == (0, 17)
        (hit,) = model.single_lookup(x[1], k=1)
        assert (hit.id, hit.label, hit.data) == (17, None, {"file": "1.png"})
        assert model.single_lookup(tf.constant(x[0]), k=5)[0].label == y[0]
        rows = make_model()
        rows.index_single(x[0], y[0], data=x[0])
        np.testing.assert_array_equal(rows.single_lookup(x[0])[0].data, x[0])

    @pytest.mark.parametrize("kind", ["tf.data", "sampler", "generator", "list"])
    @pytest.mark.further("list")
    def test_x_may_be_all_that_predict_takes(self, make_model, digits, kind):
        x, y = digits[0][:60], digits[1][:60]
        model = make_model()
        inputs = {
            "tf.data": tf.data.Dataset.from_tensor_slices((x, y)).batch(16),
            "sampler": MultiShotMemorySampler(x, y, 5, 4, steps_per_epoch=3, seed=0, workers=2),
            "generator": ((x[i : i + 20], y[i : i + 20]) for i in (0, 20, 40)),
            "list": list(x),
        }[kind]
        ids = model.index(inputs, y if kind == "list" else None, verbose=0)
        assert len(ids) == model.index_size() == 60
        records = model.vector_index.get(ids)
        expected = y
        if kind == "sampler":
            again = MultiShotMemorySampler(x, y, 5, 4, steps_per_epoch=3, seed=0)
            expected = np.concatenate([labels for _, labels in again])
        np.testing.assert_array_equal(records.labels, expected)

    def test_several_inputs(self, digits):
        x, y = digits[0][:40], digits[1][:40]
        a, b = keras.Input((64,), name="a"), keras.Input((2,), name="b")
        model = SimilarityModel(
            {"a": a, "b": b}, L2Embedding(4)(keras.layers.Concatenate()([a, b]))
        )
        model.create_index(distance="cosine")
        both = {"a": x, "b": x[:, :2]}
        model.index(both, y, verbose=0)
        (hit,) = model.single_lookup({"a": x[3], "b": x[3, :2]}, k=1)
        assert hit.id == 3
        assert model.lookup(both, k=1, batch_size=7, verbose=0).ids.ravel().tolist() == [*range(40)]

    def test_filters_reach_the_index(self, indexed, digits):
        found = indexed.lookup(digits[0][:9], k=3, filter={"labels": [4]}, verbose=0)
        assert set(found.labels.ravel()) == {4}
        assert indexed.single_lookup(digits[0][0], filter={"ids": [7]})[0].id == 7

    def test_nothing_is_added_if_anything_is_wrong(self, digits):
        x, y = digits
        inputs = keras.Input((64,))
        model = SimilarityModel(inputs, L2Embedding(4)(inputs))
        model.create_index(distance="cosine")
        model.index(x[:20], y[:20], verbose=0)
        bad = x[20:50].copy()
        bad[20] = np.nan
        with pytest.raises(ValueError, match=r"`embeddings`.*finite.*row 20"):
            model.index(bad, y[20:50], verbose=0, batch_size=8)
        with pytest.raises(ValueError, match="ids"):
            model.index(x[20:22], y[20:22], ids=[900, 3], verbose=0)
        assert model.index_size() == 20

    def test_any_number_of_threads_may_look_up_while_one_adds(self, indexed, digits):
        x, y = digits
        stop = threading.Event()

        def look(i):
            while not stop.is_set():
                assert indexed.single_lookup(x[i], k=1)[0].distance < 1e-5
            return True

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(look, i) for i in range(4)]
            for i in range(200, 220):
                indexed.index_single(x[i], y[i], data=np.int64(i))
            stop.set()
            assert all(future.result() for future in futures)
        assert indexed.index_size() == 220

    def test_silence_and_summary(self, indexed, digits, capsys):
        indexed.index(digits[0][:3], data=np.arange(3), verbose=0)
        indexed.lookup(digits[0][:3], verbose=0)
        assert not any(capsys.readouterr())
        indexed.index_summary()
        assert "203" in capsys.readouterr().out
        lines = []
        indexed.index_summary(print_fn=lines.append)
        assert lines
        assert not capsys.readouterr().out

    def test_reset_removes_records_and_calibration(self, indexed, digits):
        indexed.calibrate(digits[0][200:260], digits[1][200:260], verbose=0)
        indexed.reset_index()
        assert indexed.index_size() == 0
        assert indexed.vector_index.calibration is None
        assert indexed.lookup(digits[0][:2], k=3, verbose=0).ids.tolist() == [[-1] * 3] * 2
        with pytest.raises(ValueError, match="empty"):
            indexed.match(digits[0][:2])

    def test_to_data_frame(self, indexed, digits):
        frame = indexed.to_data_frame(5)
        assert frame["label"].tolist() == digits[1][:5].tolist()
        assert len(indexed.to_data_frame()) == 200


class TestCalibrationAndEvaluation:
    def test_match_follows_the_calibration(self, indexed, digits):
        x, y = digits
        found = indexed.calibrate(
            x[200:400], y[200:400], thresholds_targets={"sure": {"precision": 0.95}}, verbose=0
        )
        assert indexed.vector_index.calibration is found
        neighbors = indexed.lookup(x[400:600], k=1, verbose=0)
        for cutpoint in ("optimal", "sure"):
            limit = found.cutpoints[cutpoint]["distance"]
            near = neighbors.distances[:, 0] <= limit
            expected = np.where(near, neighbors.labels[:, 0], -1)
            np.testing.assert_array_equal(indexed.match(x[400:600], cutpoint=cutpoint), expected)
        every = indexed.match(x[400:600], cutpoint="all")
        assert set(every) == {"optimal", "sure"}
        np.testing.assert_array_equal(every["sure"], expected)
        details = indexed.match(x[400:600], cutpoint="all", return_details=True)
        for cutpoint, labels in every.items():
            matches = details[cutpoint]
            np.testing.assert_array_equal(matches.labels, labels)
            np.testing.assert_array_equal(matches.distances, neighbors.distances[:, 0])
            np.testing.assert_array_equal(matches.ids, neighbors.ids[:, 0])
            np.testing.assert_array_equal(matches.accepted, labels != -1)
        one = indexed.match(x[200:400], return_details=True)  # those of the calibration
        right = one.candidates == y[200:400]
        assert abs(one.probabilities.mean() - right.mean()) < 0.02
        other = indexed.match(x[400:600], cutpoint="sure", no_match_label=99)
        np.testing.assert_array_equal(other, np.where(expected == -1, 99, expected))

    @pytest.mark.parametrize("several", [False, True])
    @pytest.mark.further("True")
    def test_a_threshold_for_sets_of_matches(self, indexed, digits, several):
        x, y = digits[0][200:260], digits[1][200:260].tolist()
        y[:2] = [None, 99]  # a stranger, and a class that the index lacks
        true = [
            set() if c is None else set(indexed.vector_index.get(filter={"labels": c}).ids.tolist())
            for c in y
        ]
        table = Targets.multi_hot([[c == i for i in range(100)] for c in y])
        labels = table if several else y
        found = indexed.calibrate(
            x,
            labels,
            {"half": {"recall": 0.5}},
            calibration_metric="row_f1",
            extra_metrics=["recall"],
            verbose=0,
        )
        for cutpoint, point in found.cutpoints.items():
            sets = indexed.lookup(x, max_distance=cutpoint, verbose=0).sets()
            assert point["row_f1"] == pytest.approx(row_f1(sets, true).mean())
        near = indexed.lookup(x, k=200, verbose=0)
        best = max(
            row_f1(indexed.lookup(x, max_distance=float(d), verbose=0).sets(), true).mean()
            for d in np.unique(near.distances)[:: 60 * 10]
        )
        assert found.cutpoints["optimal"]["row_f1"] >= best - 1e-9
        results = indexed.evaluate_classification(x, labels, verbose=0)
        assert results["optimal"]["row_f1"] == pytest.approx(found.cutpoints["optimal"]["row_f1"])
        one = indexed.lookup_one(x[0], max_distance="optimal")
        assert len(one) == len(indexed.lookup(x[:1], max_distance="optimal", verbose=0).ids)
        with pytest.raises(KeyError, match="No `cutpoint` 'sure'"):
            indexed.lookup(x, max_distance="sure", verbose=0)

    def test_the_matcher_of_the_calibration_is_used(self, indexed, digits):
        x, y = digits
        indexed.calibrate(x[200:300], y[200:300], k=5, matcher="match_majority_vote", verbose=0)
        labels = indexed.lookup(x[300:320], k=5, verbose=0).labels
        got = indexed.match(x[300:320])
        for row, label in zip(labels, got, strict=True):
            counts = {value: (row == value).sum() for value in row}
            assert label == -1 or counts[label] == max(counts.values())

    def test_records_without_a_label_match_nothing(self, make_model, digits):
        x, y = digits
        model = make_model()
        model.index(x[:50], y[:50], verbose=0)
        model.index(x[50:60], verbose=0)  # without labels
        model.calibrate(x[100:160], y[100:160], verbose=0)
        assert (model.match(x[50:60]) == -1).all()
        # -1 is no class: what lookups give for records without a label comes back as such.
        model.vector_index.add(model.embed(x[60:61], verbose=0), labels=[-1])
        assert model.match(x[60:61], no_match_label=-2).tolist() == [-2]

    def test_evaluate_classification_counts_right_and_wrong(self, indexed, digits):
        x, y = digits
        indexed.calibrate(x[200:400], y[200:400], verbose=0)
        result = indexed.evaluate_classification(x[400:700], y[400:700], verbose=0)
        matched = indexed.match(x[400:700])
        answered = matched != -1
        right = (matched == y[400:700])[answered].sum()
        assert set(result) == {"optimal"}
        np.testing.assert_allclose(result["optimal"]["precision"], right / answered.sum())
        assert set(result["optimal"]) >= {"f1", "recall", "distance"}

    def test_evaluate_retrieval_is_evaluate_on_the_embeddings(self, indexed, digits):
        x, y = digits
        result = indexed.evaluate_retrieval(
            x[200:300], y[200:300], retrieval_metrics=["precision@1", "map@r"], verbose=0
        )
        expected = evaluate(
            indexed.embed(x[200:300], verbose=0),
            y[200:300],
            indexed.embed(x[:200], verbose=0),
            y[:200],
            metrics=["precision@1", "map@r"],
        )
        assert dict(result) == dict(expected)
        assert result.interval("map@r") == expected.interval("map@r")
        assert set(indexed.evaluate_retrieval(x[200:300], y[200:300], verbose=0)) == {
            "precision@1",
            "hit_rate@4",
            "r_precision",
            "map@r",
        }

    def test_records_that_are_queries_do_not_find_themselves(self, indexed, digits):
        x, y = digits
        ids = indexed.vector_index.ids
        order = np.random.default_rng(0).permutation(200)
        result = indexed.evaluate_retrieval(x[order], y[order], ids=ids[order], verbose=0)
        expected = evaluate(indexed.embed(x[:200], verbose=0), y[:200])
        for name in expected:
            np.testing.assert_allclose(result[name], expected[name], atol=1e-12)

    def test_metrics_of_tensorflow_similarity(self, indexed, digits):
        x, y = digits
        metrics = [RecallAtK(k=3), PrecisionAtK(k=1)]
        result = indexed.evaluate_retrieval(x[200:300], y[200:300], metrics, verbose=0)
        hits = indexed.lookup(x[200:300], k=3, verbose=0).labels == y[200:300, None]
        np.testing.assert_allclose(result["hit_rate@3"], hits.any(axis=1).mean())
        np.testing.assert_allclose(result["precision@1"], hits[:, 0].mean())
        with pytest.raises(ValueError, match="mixture"):
            indexed.evaluate_retrieval(x[:9], y[:9], [RecallAtK(k=3), "map@r"], verbose=0)

    def test_datasets_bring_their_labels(self, indexed, digits):
        x, y = digits[0][200:300], digits[1][200:300]
        dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
        # Other batches: the same embeddings up to rounding. 64 inputs, 16 in between, 8 outputs.
        one, two = (indexed.embed(each, verbose=0) for each in (dataset, x))
        moved = np.linalg.norm(one - two, axis=1).max()
        assert moved <= rounding.embeddings(64, 16, 8)
        bound = rounding.distances(moved)
        found = indexed.calibrate(dataset, verbose=0)
        expected = indexed.calibrate(x, y, verbose=0)
        assert found.queries == expected.queries == 100
        assert found.cutpoints.keys() == expected.cutpoints.keys()
        np.testing.assert_allclose(found.reference, expected.reference, rtol=0, atol=bound)
        # Neighbors and queries that are nearer to each other than that may change places.
        near = indexed.lookup(x, k=30, verbose=0).distances
        swaps = (np.diff(near, axis=1) <= bound).any(axis=1).mean()
        swaps += (np.diff(expected.reference) <= bound).mean()
        for name, cutpoint in found.cutpoints.items():
            assert cutpoint["f1"] == pytest.approx(expected.cutpoints[name]["f1"], abs=swaps)
        one, two = (indexed.evaluate_retrieval(*each, verbose=0) for each in ((dataset,), (x, y)))
        assert dict(one) == pytest.approx(dict(two), abs=swaps + 1e-12)
        assert swaps < 0.2
        assert indexed.evaluate_classification(dataset, verbose=0)
        assert len(indexed.match(dataset)) == 100

    @pytest.mark.further
    def test_training_improves_retrieval(self, digits):
        x, y = digits
        inputs = keras.Input((64,))
        hidden = keras.layers.Dense(64, activation="relu")(inputs)
        model = SimilarityModel(inputs, L2Embedding(8)(hidden))
        model.compile(
            keras.optimizers.Adam(0.005),
            TripletLoss(distance="cosine", margin=0.3),
            jit_compile=False,
        )

        def score():
            model.reset_index()
            model.index(x[:1000], y[:1000], verbose=0)
            return model.evaluate_retrieval(x[1000:], y[1000:], "map@r", verbose=0)["map@r"]

        before = score()
        sampler = MultiShotMemorySampler(x[:1000], y[:1000], 10, 6, steps_per_epoch=60, seed=0)
        model.fit(sampler, epochs=2, verbose=0)
        assert score() > before + 0.1


class TestStaleRecords:
    @pytest.mark.further
    def test_a_lookup_after_training_warns_once(self, indexed, digits):
        x, y = digits
        indexed.lookup(x[:2], verbose=0)  # no warning, which would be an error
        indexed.fit(x[:32], y[:32], verbose=0)
        with pytest.warns(UserWarning, match="Index the records anew") as caught:
            indexed.lookup(x[:2], verbose=0)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        indexed.lookup(x[:2], verbose=0)
        indexed.fit(x[:32], y[:32], verbose=0)
        indexed.single_lookup(x[0])
        indexed.reset_index()
        indexed.index(x[:20], y[:20], verbose=0)
        indexed.lookup(x[:2], verbose=0)
        indexed.fit(x[:32], y[:32], verbose=0)
        with pytest.warns(UserWarning, match="Index the records anew"):
            indexed.single_lookup(x[0])

    @pytest.mark.parametrize("verb", ["index", "calibrate", "evaluate_retrieval", "index_single"])
    def test_every_verb_warns(self, indexed, digits, verb):
        x, y = digits
        indexed.set_weights([2 * w + 0.1 for w in indexed.get_weights()])
        calls = {
            "index": lambda: indexed.index(x[:2], data=np.arange(2), verbose=0),
            "index_single": lambda: indexed.index_single(x[0], data=np.int64(3)),
            "calibrate": lambda: indexed.calibrate(x[:20], y[:20], verbose=0),
            "evaluate_retrieval": lambda: indexed.evaluate_retrieval(
                x[201:250], y[201:250], verbose=0
            ),
        }
        with pytest.warns(UserWarning, match="Index the records anew"):
            calls[verb]()

    def test_other_weights_back_again_are_not_stale(self, indexed, digits, tmp_path):
        indexed.save_weights(tmp_path / "w.weights.h5")
        indexed.set_weights([2 * w for w in indexed.get_weights()])
        indexed.load_weights(tmp_path / "w.weights.h5")
        indexed.lookup(digits[0][:2], verbose=0)

    def test_loaded_weights_that_differ_are_stale(self, indexed, make_model, digits, tmp_path):
        make_model().save_weights(tmp_path / "w.weights.h5")
        indexed.load_weights(tmp_path / "w.weights.h5")
        with pytest.warns(UserWarning, match="Index the records anew"):
            indexed.lookup(digits[0][:2], verbose=0)

    def test_compiling_again_is_not_stale_and_keeps_the_records(self, indexed, digits):
        indexed.optimizer.iterations.assign(5)  # as if the records came after some training
        indexed.lookup(digits[0][:2], verbose=0)
        indexed.compile("sgd", TripletLoss(distance="cosine"), jit_compile=False)
        indexed.lookup(digits[0][:2], verbose=0)
        assert indexed.index_size() == 200


class TestCompile:
    def test_the_index_follows_the_loss(self, make_model):
        for name in ("cosine", "euclidean", "squared_euclidean", "inner_product"):
            assert make_model(TripletLoss(distance=name)).vector_index.distance.name == name
        model = make_model("mse", distance="l1", search="exact")
        assert model.vector_index.distance.name == "manhattan"
        assert model.vector_index.search == "exact"
        assert model.vector_index.embedding_size == 8

    def test_metrics_and_weights_are_those_of_keras(self, make_model, digits):
        model = make_model(
            metrics=[keras.metrics.MeanMetricWrapper(lambda y, p: p[:, 0], name="m")]
        )
        x, y = digits[0][:32], digits[1][:32]
        history = model.fit(x, y, sample_weight=np.ones(32), verbose=0).history
        assert set(history) == {"loss", "m"}

    def test_records_that_would_not_fit_are_not_dropped(self, indexed):
        with pytest.raises(ValueError, match=r"200 records.*Cosine.*Euclidean.*reset_index"):
            indexed.compile("adam", TripletLoss(distance="euclidean"), jit_compile=False)
        assert indexed.index_size() == 200
        assert indexed.vector_index.distance.name == "cosine"
        indexed.reset_index()
        indexed.compile("adam", TripletLoss(distance="euclidean"), jit_compile=False)
        assert indexed.vector_index.distance.name == "euclidean"

    def test_create_index_needs_no_loss_and_empties(self, digits):
        inputs = keras.Input((64,))
        model = SimilarityModel(inputs, keras.layers.Dense(4)(inputs))
        model.create_index(distance="l2", search="nmslib")
        model.index(digits[0][:9], verbose=0)
        model.create_index(distance="cosine")
        assert model.index_size() == 0
        assert model.vector_index.distance.name == "cosine"

    def test_an_index_can_be_swapped(self, indexed, digits):
        mine = Index(embedding_size=8, distance="euclidean", search="exact")
        mine.add(np.eye(8)[:3], labels=[5, 6, 7])
        indexed.vector_index = mine
        assert indexed.vector_index is mine
        assert set(indexed.lookup(digits[0][:5], k=3, verbose=0).labels.ravel()) == {5, 6, 7}
        with pytest.raises(ValueError, match="size"):
            indexed.vector_index = Index(embedding_size=3)
        with pytest.raises(TypeError, match="Index"):
            indexed.vector_index = np.eye(8)
        assert indexed.vector_index is mine

    def test_the_forward_pass_is_made_anew(self, indexed, digits):
        one = indexed._binding.embedder
        indexed.compile("adam", TripletLoss(distance="cosine"), run_eagerly=True)
        assert indexed._binding.embedder is not one
        indexed.lookup(digits[0][:2], verbose=0)


class TestBadInput:
    """Each gets an error that names the argument and says what to do."""

    @pytest.mark.parametrize(
        ("error", "match", "y"),
        [
            (TypeError, "`y`.*not both", np.array(["a", 1, 2, 3, None], object)),
            (TypeError, "`y`.*astype", np.full(5, 0.5)),
            (ValueError, "`y`.*Targets.one_hot", np.eye(5, dtype=int)),
            (ValueError, "`y`.*expected 5.*4", np.arange(4)),
        ],
    )
    @pytest.mark.parametrize("verb", ["index", "calibrate", "evaluate_retrieval"])
    def test_labels(self, indexed, digits, verb, error, match, y):
        with pytest.raises(error, match=match):
            getattr(indexed, verb)(digits[0][:5], y, verbose=0)
        assert indexed.index_size() == 200

    def test_labels_that_are_missing(self, indexed, digits):
        for verb in ("calibrate", "evaluate_retrieval"):
            with pytest.raises(ValueError, match="`y`"):
                getattr(indexed, verb)(digits[0][:5], verbose=0)
            with pytest.raises(ValueError, match=r"\(x, y\)"):
                getattr(indexed, verb)(iter([digits[0][:5]]), verbose=0)

    def test_payloads_and_ids_of_another_length(self, indexed, digits):
        for arguments in ({"data": np.arange(4)}, {"data": [1, 2, 3]}, {"ids": [900, 901]}):
            with pytest.raises(ValueError, match=f"`{next(iter(arguments))}`.*expected 5"):
                indexed.index(digits[0][:5], verbose=0, **arguments)

    def test_k_of_zero_or_worse(self, indexed, digits):
        for k in (0, -1):
            with pytest.raises(ValueError, match="`k`"):
                indexed.lookup(digits[0][:5], k=k, verbose=0)
            with pytest.raises(ValueError, match="`k`"):
                indexed.single_lookup(digits[0][0], k=k)
        with pytest.raises(TypeError, match="`k`"):
            indexed.lookup(digits[0][:5], k=2.0, verbose=0)

    def test_lookup_before_index(self, make_model, digits):
        model = make_model()
        # An index without records is one in which nothing is found.
        assert model.lookup(digits[0][:2], k=2, verbose=0).ids.tolist() == [[-1, -1]] * 2
        assert model.single_lookup(digits[0][0]) == []
        for call in (
            lambda: model.match(digits[0][:2]),
            lambda: model.calibrate(digits[0][:2], digits[1][:2], verbose=0),
            lambda: model.evaluate_retrieval(digits[0][:2], digits[1][:2], verbose=0),
        ):
            with pytest.raises(ValueError, match=r"empty.*model.index\(x, y\)"):
                call()

    def test_match_before_calibrate(self, indexed, digits):
        for call in (
            lambda: indexed.match(digits[0][:2]),
            lambda: indexed.evaluate_classification(digits[0][:2], digits[1][:2], verbose=0),
        ):
            with pytest.raises(ValueError, match=r"not calibrated.*calibrate\(x, y\)"):
                call()

    def test_a_cutpoint_that_is_not_there(self, indexed, digits):
        indexed.calibrate(digits[0][200:260], digits[1][200:260], verbose=0)
        with pytest.raises(KeyError, match="optimal"):
            indexed.match(digits[0][:2], cutpoint="no such")

    def test_an_index_before_compile(self, digits):
        inputs = keras.Input((64,))
        model = SimilarityModel(inputs, L2Embedding(4)(inputs))
        assert model.index_size() == 0
        model.reset_index()
        with pytest.raises(ValueError, match=r"compile\(\).*create_index"):
            model.index(digits[0][:2], verbose=0)
        with pytest.raises(ValueError, match=r"compile\(\).*create_index"):
            model.index_summary()
        with pytest.raises(ValueError, match="distance="):
            model.create_index()

    @pytest.mark.parametrize(
        ("error", "match", "arguments"),
        [
            (ValueError, "`loss`.*distance=", {}),
            (ValueError, "`loss`.*distance=", {"loss": "mse"}),
            (ValueError, r"NpairsLoss\(distance=", {"loss": NpairsLoss()}),
            (ValueError, "no_such", {"loss": "mse", "distance": "no_such"}),
            (ValueError, "`search`.*no_such", {"loss": TripletLoss(), "search": "no_such"}),
            (ValueError, "embedding_output", {"loss": TripletLoss(), "embedding_output": 3}),
            (ValueError, "embedding_output.*'x'", {"loss": TripletLoss(), "embedding_output": "x"}),
        ],
    )
    def test_compile(self, digits, error, match, arguments):
        inputs = keras.Input((64,))
        model = SimilarityModel(inputs, L2Embedding(4)(inputs))
        with pytest.raises(error, match=match):
            model.compile("adam", **arguments)
        assert not model.compiled

    def test_any_loss_is_legal_with_a_distance(self, make_model):
        assert make_model("mse", distance="cosine").compiled
        assert make_model(NpairsLoss(), distance="cosine").compiled

    def test_a_query_of_another_shape(self, indexed):
        with pytest.raises(ValueError, match="shape"):
            indexed.lookup(np.zeros((2, 63), "float32"), verbose=0)

    def test_x_that_yields_labels_and_y(self, indexed, digits):
        x, y = digits[0][:5], digits[1][:5]
        with pytest.raises(ValueError, match="`y` must be None"):
            indexed.index(iter([(x, y)]), y, verbose=0)


def test_small_calls_do_not_pay_for_predict(indexed, digits, monkeypatch):
    """`predict` sets up callbacks and an iterator: milliseconds. `benchmarks/model.py` times it."""

    def refuse(*_, **__):
        raise AssertionError("predict was called")

    monkeypatch.setattr(type(indexed), "predict", refuse)
    assert len(indexed.single_lookup(digits[0][0], k=1)) == 1
    assert len(indexed.lookup(digits[0][:3], k=1, verbose=0)) == 3
