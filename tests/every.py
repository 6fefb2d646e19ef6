"""Runs one check on many things, in one test that names all that fail.

A parametrised test costs pytest about a millisecond a case to collect, in every worker, and a
seeded fixture each. Where a check takes less than that, one test runs it on everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def every(check: Callable[..., object], cases: Iterable[Any], *, count: int | None = None) -> None:
    """Calls `check(case)` for each case, with a tuple's items as arguments, and lists the failures.

    Args:
        check: Raises where a case does not hold.
        cases: The cases; there must be some.
        count: How many cases there must be, where that is known.
    """
    cases = list(cases)
    assert cases, "no cases: the check was run on nothing"
    if count is not None:
        assert len(cases) == count, f"{len(cases)} cases, expected {count}"
    failed = []
    for case in cases:
        try:
            check(*case) if isinstance(case, tuple) else check(case)
        except (Exception, pytest.fail.Exception) as error:
            failed.append(f"{case}: {type(error).__name__}: {error}")
    if failed:
        listed = "\n".join(failed)
        pytest.fail(f"{len(failed)} of {len(cases)} fail:\n{listed}", pytrace=False)
