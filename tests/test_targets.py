"""What is known of examples is said explicitly: nothing is guessed from a shape."""

import warnings

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tensorflow_similarity import targets
from tensorflow_similarity.targets import Targets

INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


class TestIds:
    @pytest.mark.parametrize("dtype", INTEGERS)
    def test_any_integer_type(self, dtype):
        found = targets.get(np.array([0, 5, 5], dtype))
        assert found.ids.dtype == np.int64
        assert found.ids.tolist() == [0, 5, 5]
        assert found.class_names is None
        assert found.decode([5]).tolist() == [5]

    @pytest.mark.parametrize("big", [2**24, 2**53, 2**62])
    def test_large_neighbours_stay_apart(self, big):
        assert targets.get([big, big + 1]).ids.tolist() == [big, big + 1]

    def test_unsigned_ids_beyond_int64_stay_apart(self):
        found = targets.get(np.array([2**64 - 2, 2**64 - 3, 2**63, 7], np.uint64))
        assert found.known.all()
        assert len(set(found.ids.tolist())) == 4

    @pytest.mark.parametrize(
        "y", [[[3], [4]], (3, 4), tf.constant([3, 4]), range(3, 5), iter([3, 4])]
    )
    def test_columns_tensors_and_sequences(self, y):
        assert targets.get(y).ids.tolist() == [3, 4]

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ml_dtypes.bfloat16, object])
    def test_whole_floats_are_ids_with_a_warning(self, dtype):
        with pytest.warns(UserWarning, match="astype") as caught:
            assert targets.get(np.array([0.0, 7.0], dtype)).ids.tolist() == [0, 7]
        assert len(caught) == 1

    @pytest.mark.parametrize(
        ("dtype", "first"),
        [("float16", 2**11), ("float32", 2**24), ("float64", 2**24), (ml_dtypes.bfloat16, 2**8)],
    )
    def test_floats_that_may_have_been_rounded_are_refused(self, dtype, first):
        with pytest.raises(TypeError, match=f"below {first} are exact"):
            targets.get(np.array([1, first], dtype))

    def test_nothing(self):
        assert len(targets.get([])) == 0

    @given(st.lists(st.one_of(st.none(), st.integers(0, 2**63 - 1)), min_size=1))
    @pytest.mark.further
    def test_none_is_unknown_and_ids_are_kept(self, y):
        found = targets.get(y)
        assert found.known.tolist() == [value is not None for value in y]
        assert found.ids.tolist() == [-1 if value is None else value for value in y]

    def test_minus_one_is_no_class(self):
        with pytest.warns(UserWarning, match="`labels` holds -1 at 2 of 3"):
            found = targets.get([-1, 4, -1], "labels")
        assert found.known.tolist() == [False, True, False]

    @pytest.mark.parametrize("ignored", [-1, 255])
    def test_an_ignored_class_is_unknown(self, ignored):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = targets.get([3, ignored, 4], ignore_class=ignored)
        assert found.ids.tolist() == [3, -1, 4]
        again = targets.get(found, ignore_class=4)
        assert again.known.tolist() == [True, False, False]


class TestNames:
    @pytest.mark.parametrize(
        "y",
        [
            ["dog", "cat", "dog"],
            np.array(["dog", "cat", "dog"]),
            np.array(["dog", "cat", "dog"], object),
            np.array([b"dog", b"cat", b"dog"]),
            [b"dog", "cat", np.str_("dog")],
            tf.constant(["dog", "cat", "dog"]),
            np.array([["dog"], ["cat"], ["dog"]]),
        ],
    )
    def test_any_text(self, y):
        found = targets.get(y)
        assert found.class_names == ("cat", "dog")
        assert found.ids.tolist() == [1, 0, 1]
        assert found.decode(found.ids).tolist() == ["dog", "cat", "dog"]

    def test_pandas(self):
        pandas = pytest.importorskip("pandas")
        for y in (
            pandas.Series(["dog", None, "cat"], index=[7, 8, 9]),
            pandas.Series(["dog", None, "cat"], dtype="string"),
            pandas.Categorical(["dog", None, "cat"], categories=["rat", "dog", "cat"]),
            pandas.DataFrame({"animal": ["dog", None, "cat"]}),
        ):
            found = targets.get(y)
            assert found.decode(found.ids).tolist() == ["dog", None, "cat"]
        assert targets.get(pandas.Series([4, None], dtype="Int64")).ids.tolist() == [4, -1]
        with pytest.raises(ValueError, match="NaN at 1 of 2"):
            targets.get(pandas.Series([4, None]))

    def test_names_given(self):
        found = Targets.classes(["b", None, "a"], names=["c", "b", "a"])
        assert found.ids.tolist() == [1, -1, 2]
        assert Targets.classes([1, 2], names={0: "c", 1: "b", 2: "a"}).decode([2]) == ["a"]
        with pytest.raises(ValueError, match="'d', which is not among"):
            Targets.classes(["d"], names=["c", "b"])
        with pytest.raises(ValueError, match="from 0 to 1"):
            Targets.classes([2], names=["c", "b"])
        with pytest.raises(ValueError, match="'c' twice"):
            Targets.classes([0], names=["c", "c"])

    def test_ignored_name(self):
        found = targets.get(["cat", "junk", "dog", "junk"], ignore_class="junk")
        assert found.ids.tolist() == [0, -1, 1, -1]
        assert found.class_names == ("cat", "dog")
        with pytest.raises(TypeError, match="`ignore_class` must be a class name"):
            targets.get(["cat"], ignore_class=3)
        with pytest.raises(TypeError, match="`ignore_class` must be an integer class id"):
            targets.get([1], ignore_class="cat")

    @given(st.lists(st.text("abc", max_size=2)), st.lists(st.text("abc", max_size=2)))
    @pytest.mark.further
    def test_aligned_names_compare_as_names(self, left, right):
        first, second = targets.align(targets.get(left), targets.get(right))
        same = [[a == b for b in right] for a in left]
        assert (first.ids[:, None] == second.ids[None, :]).tolist() == same
        assert first.decode(first.ids).tolist() == left
        assert second.decode(second.ids).tolist() == right

    def test_names_and_ids_do_not_compare(self):
        with pytest.raises(TypeError, match="`labels` must be class names"):
            targets.align(targets.get(["a"]), targets.get([3]))
        with pytest.raises(TypeError, match="`y` must be class names"):
            targets.align(targets.get([3]), targets.get(["a"]))
        # Unknown on one side compares with anything.
        assert not targets.get([None]).relevance_to(targets.get(["a"])).any()

    def test_decoding_checks_ids(self):
        with pytest.raises(ValueError, match="from 0 to 1"):
            targets.decode([2], ["a", "b"])
        assert targets.decode([[1, -1]], ["a", "b"]).tolist() == [["b", None]]


@pytest.mark.parametrize(
    ("y", "error", "advice"),
    [
        (np.eye(3), ValueError, "Targets.one_hot"),
        ([[1, 1], [0, 1]], ValueError, "Targets.multi_hot"),
        ([[0.5, 0.5]], ValueError, "Targets.soft"),
        ([[1, 2], [1, 3]], ValueError, "Targets.hierarchy"),
        ([("shoes", "boot"), ("shoes", "clog")], ValueError, "Targets.hierarchy"),
        ([["a"], ["b", "c"]], ValueError, "Targets.label_sets"),
        ([{"a"}, {"b"}], ValueError, "Targets.label_sets"),
        ([True, False], TypeError, "Targets.pairs"),
        ([True, None], TypeError, "True of type bool"),
        ([1j], TypeError, "complex128"),
        (np.array(["2020-01-01"], "datetime64[D]"), TypeError, "astype"),
        (np.ma.array([1, 2], mask=[0, 1]), TypeError, "masked"),
        ([np.nan, 1], ValueError, "None for an unknown class"),
        (["a", np.nan], ValueError, "None for an unknown class"),
        ([1.5], TypeError, "1.5"),
        ([np.inf], TypeError, "inf"),
        (["a", 1], TypeError, "not both"),
        ([2**64], ValueError, "64 bits"),
        ([2**64 - 1], ValueError, "no class"),
        (np.zeros((2, 2, 2), int), ValueError, "one id or name"),
        (3, ValueError, "one id or name"),
        ("cat", TypeError, "list"),
        ({"class": [1]}, TypeError, "class"),
        ({1, 2}, TypeError, "list"),
    ],
    ids=repr,
)
def test_what_is_no_class_is_refused_with_advice(y, error, advice):
    with pytest.raises(error, match="`species` must") as caught:
        targets.get(y, "species")
    assert advice in str(caught.value)
    assert "argmax" not in str(caught.value)


def test_number_of_examples():
    with pytest.raises(ValueError, match=r"`y` .* expected 3\. Received: 2"):
        targets.get([1, 2], length=3)
    with pytest.raises(ValueError, match=r"expected 3\. Received: 2"):
        targets.get(Targets.multi_hot(np.eye(2)), length=3, kinds=("multi_hot",))


def test_kinds_that_a_part_cannot_take_are_refused_by_name():
    with pytest.raises(TypeError, match=r"kind classes here. Received: Targets\(multi_hot"):
        targets.get(Targets.multi_hot(np.eye(2)))


class TestRelevance:
    def test_classes(self):
        left, right = targets.get(["a", None, "b"]), targets.get(["b", "a", None])
        assert left.relevance_to(right).tolist() == [[False, True, False], [False] * 3, [1, 0, 0]]

    def test_one_hot(self):
        assert Targets.one_hot(np.eye(3)[[2, 0]], names=["a", "b", "c"]).decode([2]).tolist() == [
            "c"
        ]
        assert Targets.one_hot([[0, 1], [1, 0]]).ids.tolist() == [1, 0]
        for bad in ([[1, 1]], [[0, 0]], [[0.5, 0.5]], [[1, 2]]):
            with pytest.raises(ValueError, match="single 1 in each row"):
                Targets.one_hot(bad)

    @given(st.lists(st.sets(st.integers(0, 4)), min_size=1), st.lists(st.sets(st.integers(0, 4))))
    @pytest.mark.further
    def test_sets_and_multi_hot_agree(self, left, right):
        expected = [[bool(a & b) for b in right] for a in left]
        sets = Targets.label_sets(left).relevance_to(Targets.label_sets(right))
        assert sets.tolist() == expected
        rows = [
            np.array([[i in s for i in range(5)] for s in side]).reshape(-1, 5)
            for side in (left, right)
        ]
        hot = Targets.multi_hot(rows[0]).relevance_to(Targets.multi_hot(rows[1]))
        assert hot.tolist() == expected

    def test_multi_hot_is_zeros_and_ones(self):
        for bad in ([[2, 0]], [[0.5, 1]], [[np.nan, 1]]):
            with pytest.raises(ValueError, match="must be 0 and 1"):
                Targets.multi_hot(bad)

    def test_soft(self):
        mixed = Targets.soft([[0.7, 0.3], [0.0, 1.0]])
        np.testing.assert_allclose(mixed.relevance_to(mixed), [[0.58, 0.3], [0.3, 1]])
        for bad in ([[0.5, 0.6]], [[1.5, -0.5]], [[np.nan, 1]]):
            with pytest.raises(ValueError, match="sum to 1"):
                Targets.soft(bad)

    def test_hierarchy(self):
        paths = [("shoes", "small"), ("shoes", "large"), ("hats", "small"), ("hats", None)]
        shop = Targets.hierarchy(paths)
        expected = [[1, 0.5, 0, 0], [0.5, 1, 0, 0], [0, 0, 1, 0.5], [0, 0, 0.5, 0.5]]
        assert shop.relevance_to(shop).tolist() == expected
        columns = Targets.hierarchy(
            {"category": [p[0] for p in paths], "size": [p[1] for p in paths]}
        )
        assert columns.relevance_to(shop).tolist() == expected
        assert columns.level_names == ("category", "size")
        # By one class per example: the finest level, where "small" is two classes.
        finest = targets.get(shop)
        assert finest.decode(finest.ids).tolist() == [
            "shoes / small",
            "shoes / large",
            "hats / small",
            None,
        ]
        ids = Targets.hierarchy([(1, 7), (2, 7)])
        assert len(set(ids.ids.tolist())) == 2
        assert ids.matrix.tolist() == [[1, 7], [2, 7]]

    def test_levels_of_a_hierarchy(self):
        shop = Targets.hierarchy({"kind": ["shoes", "hats", None], "item": ["a", None, "a"]})
        assert shop.matrix.tolist() == [[1, 0], [0, -1], [-1, -1]]
        assert list(shop.levels()) == ["kind", "item"]
        assert shop.levels()["item"].decode(shop.level(-1).ids).tolist() == [
            "shoes / a",
            None,
            None,
        ]
        with pytest.raises(IndexError):
            shop.level(2)
        for other in (Targets.classes([1]), Targets.multi_hot([[1, 0]])):
            with pytest.raises(TypeError, match="have no levels"):
                other.level(0)
            with pytest.raises(TypeError, match="have no levels"):
                other.levels()

    def test_matrix(self):
        grades = Targets.relevance([[1.0, np.nan, 0.0]])
        np.testing.assert_array_equal(
            grades.relevance_to(Targets.relevance(np.zeros((3, 1)))), [[1.0, np.nan, 0.0]]
        )
        with pytest.raises(ValueError, match="from 0 up"):
            Targets.relevance([[-1.0]])

    def test_function(self):
        def close(a, b):
            return np.abs(a[:, None] - b[None, :]) < 2

        years = Targets.relevance(close, [1990, 1991, 2000])
        assert years.relevance_to(years, rows=[1]).tolist() == [[True, True, False]]
        with pytest.raises(ValueError, match="pass them"):
            Targets.relevance(close)
        wrong = Targets.relevance(lambda a, b: a, [1, 2])
        with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
            wrong.relevance_to(wrong)

    def test_pairs_and_triplets(self):
        pairs = Targets.pairs([1, 0, 0.5], [0, 1, 2], [3, 4, 5]).take([0, 2])
        assert (pairs.same.tolist(), pairs.left.tolist(), pairs.right.tolist()) == (
            [1, 0.5],
            [0, 2],
            [3, 5],
        )
        for bad in ([3, 7], [-1, 1], [np.nan, 1]):
            with pytest.raises(ValueError, match="from 0"):
                Targets.pairs(bad)
        triplets = Targets.triplets([0, 1], [2, 3], [4, 5])
        assert triplets.take([1]).negatives.tolist() == [5]
        with pytest.raises(ValueError, match=r"`negatives` must have shape \[2\]"):
            Targets.triplets([0, 1], [2, 3], [4])
        with pytest.raises(TypeError, match="do not say what is relevant"):
            triplets.relevance_to(triplets)


@pytest.mark.parametrize(
    "made",
    [
        targets.get(["a", "b", None, "a"]),
        Targets.multi_hot(np.eye(4)),
        Targets.soft(np.full((4, 2), 0.5)),
        Targets.hierarchy([(0, 1), (0, 2), (1, 3), (1, 1)]),
        Targets.relevance(lambda a, b: a[:, None] == b, [3, 3, 4, 5]),
    ],
    ids=lambda made: made.kind,
)
def test_taking_examples_takes_rows_of_relevance(made):
    rows = [3, 0]
    np.testing.assert_array_equal(made.take(rows).relevance_to(made), made.relevance_to(made)[rows])
    assert made.take(np.array([True, False, False, True])).known.shape == (2,)
    assert len(made.take(slice(1, 3))) == 2


def test_nothing_changes_targets():
    y = np.array([1, 2])
    found = targets.get(y)
    y[0] = 9
    assert found.ids.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        found.ids[0] = 5
    with pytest.raises(ValueError, match="read-only"):
        found.known[0] = False


@pytest.mark.parametrize("count", [3, 1000])
def test_a_few_of_many_names_are_decoded_as_all_are(count):
    names = [f"class {i}" for i in range(count)]
    ids = np.array([[2, -1], [0, 1]])
    wanted = [["class 2", None], ["class 0", "class 1"]]
    assert targets.decode(ids, names).tolist() == wanted
    assert targets.decode(ids[:, :0], names).shape == (2, 0)
    assert targets.decode(1, names).tolist() == "class 1"
    with pytest.raises(ValueError, match=f"from 0 to {count - 1}"):
        targets.decode([count], names)
