"""One test of many things fails where one of them does, and names it."""

import pytest

from every import every


def positive(number):
    assert number > 0, f"{number} is not positive"


def test_all_that_fail_are_named():
    with pytest.raises(pytest.fail.Exception, match=r"(?s)2 of 3 fail:\n-1: .*\n-2: ") as caught:
        every(positive, [-1, 1, -2])
    assert "-1 is not positive" in str(caught.value)
    every(positive, [1, 2], count=2)


def test_tuples_are_arguments():
    with pytest.raises(pytest.fail.Exception, match="1 of 2 fail"):
        every(lambda a, b: positive(a - b), [(2, 1), (1, 2)])


@pytest.mark.parametrize(("cases", "count"), [([], None), ([1], 2)])
def test_a_check_of_nothing_fails(cases, count):
    with pytest.raises(AssertionError, match="cases"):
        every(positive, cases, count=count)
