"""What batches are drawn by: every kind of label, by every sampler that takes labels."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tensorflow_similarity.layers import L2Embedding
from tensorflow_similarity.losses import TripletLoss
from tensorflow_similarity.models import SimilarityModel
from tensorflow_similarity.samplers import (
    BalancedDraws,
    HardClasses,
    HierarchicalClasses,
    MultiShotFileSampler,
    MultiShotMemorySampler,
    select_examples,
)
from tensorflow_similarity.targets import Targets

N = 40
X = np.arange(N, dtype="float32")[:, None] * [1.0, 100.0]
IDS = np.arange(N) % 5
NAMES = np.array(["emu", "cat", "dog", "ant", "bee"])[IDS]
SORTED = ["ant", "bee", "cat", "dog", "emu"]


def sampler(y, x=X, **kwargs):
    options = {"classes_per_batch": 3, "steps_per_epoch": 6, "seed": 0} | kwargs
    return MultiShotMemorySampler(x, y, **options)


def file_sampler(y, x=X, **kwargs):
    options = {"classes_per_batch": 3, "steps_per_epoch": 6, "seed": 0} | kwargs
    return MultiShotFileSampler(list(range(N)), y, lambda i: X[int(i)], **options)


def rows(batch_x):
    return np.asarray(batch_x)[:, 0].astype(int)


@pytest.mark.parametrize("make", [sampler, file_sampler])
@pytest.mark.parametrize(
    "given",
    [
        NAMES,
        NAMES.tolist(),
        NAMES.astype(object),
        NAMES.astype("S"),
        NAMES[:, None],
        Targets.classes(NAMES),
        keras.ops.convert_to_tensor(NAMES) if keras.backend.backend() == "tensorflow" else NAMES,
    ],
    ids=["text", "list", "objects", "bytes", "column", "targets", "tensor"],
)
def test_names_are_numbered_in_sorted_order_and_kept(make, given):
    made = make(given)
    assert made.class_names == SORTED
    assert made.class_list.tolist() == [0, 1, 2, 3, 4]
    for x, y in made:
        assert y.dtype.kind == "i"
        assert [made.class_names[label] for label in y] == NAMES[rows(x)].tolist()
        assert np.unique(y, return_counts=True)[1].tolist() == [2, 2, 2]


def test_ids_have_no_names_and_names_may_be_given_in_any_order():
    assert sampler(IDS).class_names is None
    made = sampler(Targets.classes(IDS, names=["emu", "cat", "dog", "ant", "bee"]))
    assert made.class_names == ["emu", "cat", "dog", "ant", "bee"]
    assert set(np.concatenate([y for _, y in made]).tolist()) <= {0, 1, 2, 3, 4}


def test_classes_are_listed_by_name():
    made = sampler(NAMES, class_list=["dog", "ant"], classes_per_batch=2)
    assert made.class_list.tolist() == [0, 3]
    assert {NAMES[i] for x, _ in made for i in rows(x)} == {"ant", "dog"}
    with pytest.raises(ValueError, match=r"class_list.*\['yak'\]"):
        sampler(NAMES, class_list=["dog", "yak"])
    with pytest.raises(TypeError, match=r"class_list.*class ids"):
        sampler(IDS, class_list=["dog"])


def test_what_is_shown_has_the_names():
    assert "classes=5 ('ant', 'bee', 'cat', …), " in repr(sampler(NAMES))
    made = sampler(NAMES, class_list=["dog", "ant"], classes_per_batch=2)
    assert "classes=2 ('ant', 'dog'), " in repr(made)


def test_warnings_show_names():
    with pytest.warns(UserWarning, match="class 'ant' with 8"):
        sampler(NAMES, examples_per_class_per_batch=9)


@pytest.mark.parametrize("make", [sampler, file_sampler])
@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("how", ["none", "ignored", "minus one"])
def test_examples_of_unknown_class_are_never_drawn(make, names, how):
    unknown = np.arange(N) % 3 == 0
    y = (NAMES if names else IDS).astype(object)
    y[unknown] = {"none": None, "ignored": "?" if names else 99, "minus one": -1}[how]
    if how == "minus one":
        if names:
            y[unknown] = None
        made = make(y.tolist(), ignore_class=-1) if not names else make(y)
    else:
        made = make(y, ignore_class=("?" if names else 99) if how == "ignored" else None)
    assert made.num_examples == (~unknown).sum()
    drawn = np.concatenate([rows(x) for x, _ in made])
    assert not unknown[drawn].any()
    for x, y in made:
        expected = NAMES[rows(x)] if names else IDS[rows(x)]
        assert [made.class_names[label] if names else label for label in y] == expected.tolist()


def test_minus_one_is_unknown_with_a_warning():
    y = IDS.copy()
    y[:10] = -1
    with pytest.warns(UserWarning, match="-1 at 10 of 40"):
        made = sampler(y)
    assert made.num_examples == 30
    assert -1 not in made.class_list


def test_nothing_but_unknown_classes_is_refused():
    with pytest.raises(ValueError, match="40, all of unknown class"):
        sampler([None] * N)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_whole_floats_are_class_ids_with_one_warning(dtype):
    with pytest.warns(UserWarning, match="whole numbers") as caught:
        made = sampler(IDS.astype(dtype))
    assert len(caught) == 1
    x, y = made[0]
    assert y.dtype == "int64"
    np.testing.assert_array_equal(y, IDS[rows(x)])


@pytest.mark.parametrize("make", [sampler, file_sampler])
def test_ids_beyond_32_bits_keep_apart(make):
    ids = IDS.astype(np.int64) * 2**32 + 7
    made = make(ids)
    assert made.class_list.tolist() == [i * 2**32 + 7 for i in range(5)]
    for x, y in made:
        np.testing.assert_array_equal(y, ids[rows(x)])


def test_two_classes_may_be_bool():
    x, y = sampler(IDS > 1, classes_per_batch=2)[0]
    np.testing.assert_array_equal(y, IDS[rows(x)] > 1)


# Several labels, hierarchies, probabilities.


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(1, 3))
def test_several_labels(seed, classes, each):
    rng = np.random.default_rng(seed)
    matrix = rng.random((60, 6)) < 0.4
    matrix[:6] |= np.eye(6, dtype=bool)
    draws = BalancedDraws(Targets.multi_hot(matrix), classes, each, seed=seed)
    sizes = matrix.sum(axis=0)
    for step in range(4):
        drawn = draws.draw(0, step)
        assert len(drawn) == classes * each
        groups = drawn.reshape(classes, each)
        # Every group has a label of its own, which all of its examples have.
        shared = [set(np.flatnonzero(matrix[group].all(axis=0))) for group in groups]
        assert all(shared)
        # No example is there twice where all labels have examples to spare.
        if sizes.min() >= classes * each:
            assert len(set(drawn.tolist())) == len(drawn)


def test_batches_of_several_labels_hold_their_rows():
    sets = [{"a", "b"} if i % 3 == 0 else {"bc"[i % 2]} for i in range(N)]
    made = sampler(Targets.label_sets(sets), classes_per_batch=2)
    assert made.class_names == ["a", "b", "c"]
    for x, y in made:
        assert y.dtype == "float32"
        for row, labels in zip(rows(x), y, strict=True):
            assert {made.class_names[i] for i in np.flatnonzero(labels)} == sets[row]
    one_hot = sampler(Targets.one_hot(np.eye(5)[IDS]))
    x, y = one_hot[0]
    np.testing.assert_array_equal(y, IDS[rows(x)])


def test_examples_without_a_label_are_not_drawn():
    matrix = np.eye(5)[IDS]
    matrix[::4] = 0
    made = sampler(Targets.multi_hot(matrix))
    assert made.num_examples == 30
    assert all(y.sum(axis=1).all() for _, y in made)


def test_probabilities_are_drawn_by_the_most_probable_class():
    matrix = np.full((N, 5), 0.1)
    matrix[np.arange(N), IDS] = 0.6
    x, y = sampler(Targets.soft(matrix))[0]
    np.testing.assert_allclose(y, matrix[rows(x)])
    assert np.unique(IDS[rows(x)], return_counts=True)[1].tolist() == [2, 2, 2]


def test_hierarchies_are_drawn_by_their_finest_level_and_choose_by_category():
    paths = [("bird" if i < 2 else "bug", "abcde"[i]) for i in IDS]
    targets = Targets.hierarchy(paths)
    made = sampler(targets, classes_per_batch=2, class_choice=HierarchicalClasses(targets, 1))
    for x, y in made:
        np.testing.assert_array_equal(y, targets.matrix[rows(x)])
        assert set(made.class_names) == {" / ".join(path) for path in paths}
        assert len({paths[row][0] for row in rows(x)}) == 1
        assert len({paths[row][1] for row in rows(x)}) == 2


def test_categories_and_hard_classes_go_by_name():
    categories = {name: name < "c" for name in SORTED}
    made = sampler(NAMES, classes_per_batch=2, class_choice=HierarchicalClasses(categories, 1))
    assert all(len({categories[NAMES[i]] for i in rows(x)}) == 1 for x, _ in made)
    hard = HardClasses(share=1.0, neighbors=1, distance="euclidean")
    made = sampler(NAMES, classes_per_batch=2, class_choice=hard)
    place = {"ant": 0, "bee": 1, "cat": 10, "dog": 11, "emu": 30}
    hard.update(np.array([[place[name], 0.0] for name in NAMES]), NAMES)
    for x, _ in made:
        assert {NAMES[i] for i in rows(x)} in [{"ant", "bee"}, {"cat", "dog"}, {"dog", "emu"}]
    other = HardClasses()
    sampler(IDS, class_choice=other)
    with pytest.raises(TypeError, match=r"labels.*class ids"):
        other.update(X, NAMES)


# Auxiliary targets.

AGE = np.linspace(0, 1, N)


@pytest.mark.parametrize("make", [sampler, file_sampler])
@pytest.mark.parametrize(
    ("y", "options"),
    [
        ({"embedding": IDS, "aux": AGE}, {}),
        ({"embedding": IDS, "aux": IDS // 2}, {"label_output": "embedding"}),
        ({"embedding": Targets.classes(IDS), "aux": IDS // 2}, {}),
        ({"aux": AGE, "embedding": NAMES}, {}),
        ({"embedding": IDS, "aux": IDS}, {}),
        ({"embedding": IDS, "aux": np.zeros((N, 4, 4, 1))}, {}),
        ({"embedding": IDS, "aux": np.eye(5)[IDS]}, {"label_output": "embedding"}),
    ],
)
def test_auxiliary_targets_come_along(make, y, options):
    made = make(y, **options)
    for x, batch in made:
        assert list(batch) == list(y)
        classes = batch["embedding"]
        assert np.unique(classes, return_counts=True)[1].tolist() == [2, 2, 2]
        expected = IDS if made.class_names is None else NAMES
        names = classes if made.class_names is None else np.array(SORTED)[classes]
        np.testing.assert_array_equal(names, expected[rows(x)])
        np.testing.assert_array_equal(batch["aux"], np.asarray(y["aux"])[rows(x)])


def test_targets_may_be_a_tuple():
    x, y = sampler((AGE, IDS), label_output=1)[0]
    assert isinstance(y, tuple)
    np.testing.assert_array_equal(y[0], AGE[rows(x)])
    np.testing.assert_array_equal(y[1], IDS[rows(x)])


def test_auxiliary_names_are_numbered_and_kept():
    made = sampler(
        {"embedding": IDS, "kind": np.where(IDS < 2, "shoe", "bird")}, label_output="embedding"
    )
    assert made.output_names == {"kind": ["bird", "shoe"]}
    x, y = made[0]
    np.testing.assert_array_equal(y["kind"], IDS[rows(x)] < 2)


@pytest.mark.parametrize(
    ("error", "match", "y", "options"),
    [
        (ValueError, r"label_output.*\['a', 'b'\]", {"a": IDS, "b": IDS // 2}, {}),
        (ValueError, "label_output", {"a": np.eye(5)[IDS], "age": IDS + 20}, {}),
        (ValueError, "label_output", {"a": AGE, "b": AGE}, {}),
        (KeyError, r"label_output.*\['a', 'b'\]", {"a": IDS, "b": AGE}, {"label_output": "c"}),
        (KeyError, "label_output", {"a": IDS, "b": AGE}, {"label_output": ["a"]}),
        (ValueError, "must have an entry", {}, {}),
        (ValueError, "label_output.*Leave it out", IDS, {"label_output": "a"}),
        (ValueError, r"y\['b'\].*expected 40", {"a": IDS, "b": AGE[1:]}, {}),
        (ValueError, r"y\['b'\].*expected 39", {"a": IDS[1:], "b": AGE}, {}),
        (ValueError, "same number.*39 labels", {"a": IDS[1:], "b": AGE[1:]}, {}),
        (TypeError, "pairs.*RowSampler", Targets.pairs(IDS > 2), {}),
        (TypeError, "relevance.*multi_hot", Targets.relevance(np.eye(N)), {}),
        (ValueError, "Targets.hierarchy", [("a", "b")] * N, {}),
        (ValueError, "None for an unknown", [float("nan")] + [1.0] * (N - 1), {}),
    ],
)
def test_what_is_no_class_is_refused_with_what_to_write(error, match, y, options):
    with pytest.raises(error, match=match):
        sampler(y, **options)


def test_weights_come_along():
    weights = np.linspace(0, 1, N)
    for weight in (weights, weights[:, None], weights.astype("float32"), np.arange(N)):
        for batch in (sampler(IDS, sample_weight=weight), file_sampler(IDS, sample_weight=weight)):
            x, _, w = batch[0]
            np.testing.assert_allclose(w, np.ravel(weight)[rows(x)])
    assert len(sampler(IDS, sample_weight=weights).get_slice()) == 2
    both = {"a": weights, "b": 1 - weights}
    x, _, w = sampler({"a": IDS, "b": AGE}, sample_weight=both)[0]
    np.testing.assert_allclose(w["b"], both["b"][rows(x)])


@pytest.mark.parametrize("bad", [np.ones(3), np.full(N, np.nan), ["a"] * N, np.ones((N, 2))])
def test_bad_weights_are_refused(bad):
    with pytest.raises((TypeError, ValueError), match="sample_weight"):
        sampler(IDS, sample_weight=bad)


def test_selected_examples_keep_their_labels_as_they_were():
    x, y = select_examples(X, NAMES, class_list=["cat"])
    assert set(y.tolist()) == {"cat"}
    np.testing.assert_array_equal(NAMES[rows(x)], y)
    x, y = select_examples(X, {"a": IDS, "b": AGE}, class_list=[2], num_examples_per_class=3)
    np.testing.assert_array_equal(AGE[rows(x)], y["b"])
    assert len(x) == 3
    _, y = select_examples(X, [None, *IDS[1:]])
    assert len(y) == N - 1


@pytest.mark.further
def test_an_embedding_and_a_classifier_train_together():
    inputs = keras.Input((2,))
    embedding = L2Embedding(4, name="embedding")(inputs)
    aux = keras.layers.Dense(1, name="aux")(inputs)
    model = SimilarityModel(inputs, {"embedding": embedding, "aux": aux})
    model.compile("sgd", loss={"embedding": TripletLoss(), "aux": "mse"}, run_eagerly=True)
    made = sampler(
        {"embedding": NAMES, "aux": AGE.astype("float32")},
        sample_weight=np.ones(N),
        steps_per_epoch=1,
    )
    history = model.fit(made, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert {"embedding_loss", "aux_loss"} <= set(history)
