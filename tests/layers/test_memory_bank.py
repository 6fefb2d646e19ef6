import numpy as np
import pytest
from keras import ops

from tensorflow_similarity.layers import MemoryBank


def rows(*labels):
    """Embeddings that say which label they belong to."""
    return ops.convert_to_tensor(np.array(labels, "float32")[:, None] * np.ones(2, "float32"))


def ids(*labels):
    return ops.convert_to_tensor(np.array(labels, "int64"))


def held(bank):
    count = int(bank.filled)
    labels = bank.labels.numpy()[:count].tolist()
    np.testing.assert_array_equal(bank.embeddings.numpy()[:count, 0], labels)
    return labels


def test_newest_first_and_the_oldest_leave():
    bank = MemoryBank(5)
    expected = []
    for batch in ([1, 2], [3, 4], [5, 6], [7], [8, 9, 10, 11, 12, 13, 14]):
        bank.add(rows(*batch), ids(*batch))
        expected = (batch + expected)[:5]
        assert held(bank) == expected
    assert int(bank.steps) == 5
    bank.clear()
    assert (held(bank), int(bank.steps)) == ([], 0)


def test_nothing_is_kept_while_it_warms_up():
    bank = MemoryBank(3)
    for step, expected in enumerate([[], [], [2], [3, 2]]):
        bank.add(rows(step), ids(step), warmup_steps=2)
        assert held(bank) == expected


@pytest.mark.parametrize("size", [3, 5, 8])
@pytest.mark.further("3", "8")
def test_saved_and_loaded_at_any_size(size):
    bank, other, store = MemoryBank(5), MemoryBank(size), {}
    for batch in ([1, 2], [3, 4], [5, 6]):
        bank.add(rows(*batch), ids(*batch), ids(*(10 * i for i in batch)))
    bank.save_own_variables(store)
    store = {name: np.asarray(value) for name, value in store.items()}
    other.load_own_variables(store)
    assert held(other) == held(bank)[:size]
    assert other.examples.numpy()[:3].tolist() == [50, 60, 30]
    assert int(other.steps) == 3
    other.load_own_variables({})
    assert held(other) == []
    unbuilt = MemoryBank(2)
    unbuilt.save_own_variables({})
    unbuilt.load_own_variables({})
    assert not unbuilt.built
