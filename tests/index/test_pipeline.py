"""Work on several cores."""

import threading

import pytest

from tensorflow_similarity.index.engines import pipeline
from tensorflow_similarity.index.engines.pipeline import in_parallel, one_ahead


@pytest.fixture(params=[1, 3])
def cores(request, monkeypatch):
    monkeypatch.setattr(pipeline, "_CORES", request.param)
    return request.param


@pytest.mark.parametrize("n", [0, 1, 5, 8, 100])
def test_results_are_in_order(cores, n):
    threads = set()

    def square(i):
        threads.add(threading.get_ident())
        return i * i

    assert in_parallel(square, range(n)) == [i * i for i in range(n)]
    own = {threading.get_ident()}
    assert (threads <= own) == (n == 0 or n < 8 or cores == 1)


def test_an_error_is_passed_on(cores):
    def fail(i):
        raise ValueError(f"item {i}")

    with pytest.raises(ValueError, match="item"):
        in_parallel(fail, range(20))


def test_one_ahead():
    assert list(one_ahead(iter(range(5)))) == [0, 1, 2, 3, 4]
