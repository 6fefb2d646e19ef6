"""`@pytest.mark.further`: what is slow, and what of it is run with the fast tests."""

from types import SimpleNamespace

import pytest


@pytest.mark.further("shown", "shown too")
@pytest.mark.parametrize("case", ["shown", "shown too", "again"])
def test_all_but_the_cases_named_are_slow(case, request):
    assert (request.node.get_closest_marker("slow") is None) == (case != "again")


@pytest.mark.further
def test_without_cases_all_are_slow(request):
    assert request.node.get_closest_marker("slow")


@pytest.mark.further("shown")
@pytest.mark.parametrize("case", ["shown"])
def test_a_case_that_does_not_exist_is_refused(case, request):
    conftest = request.config.pluginmanager.get_plugin(
        str(request.config.rootpath / "tests/conftest.py")
    )
    mark = pytest.mark.further("shwon").mark
    item = SimpleNamespace(
        nodeid="test_it[shown]",
        callspec=SimpleNamespace(id="shown"),
        get_closest_marker=lambda name: mark,
        add_marker=lambda mark: None,
    )
    config = SimpleNamespace(args=["tests"])
    with pytest.raises(pytest.UsageError, match=r"test_it.*shwon"):
        conftest.pytest_collection_modifyitems(config, [item])
