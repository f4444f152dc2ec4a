"""What is said of an error that a task group has wrapped."""

import asyncio

import httpx
import pytest

from constant_contact import WindowClosed
from tasks.errors import Defect, PrefectOutOfReach
from tasks.step import name_defect
from tasks.stops import explain_stop


async def fail_in_groups(error: Exception) -> None:
    async def fail() -> None:
        raise error

    async with asyncio.TaskGroup() as outer, asyncio.TaskGroup() as inner:
        inner.create_task(fail())
        outer.create_task(asyncio.sleep(0))


def test_error_in_groups_is_named_by_itself() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(fail_in_groups(ZeroDivisionError("secret")))
    defect = name_defect(caught.value)
    assert isinstance(defect, Defect)
    assert "ZeroDivisionError came up in test_step.py" in str(defect)
    assert "secret" not in str(defect)


def test_error_of_ours_in_groups_stays_what_it_is() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(fail_in_groups(WindowClosed("over")))
    assert isinstance(name_defect(caught.value), WindowClosed)


@pytest.mark.parametrize("error", [httpx.ConnectError("secret"), httpx.ReadTimeout("secret")])
def test_prefect_s_api_that_is_away_is_no_defect_and_the_run_goes_on_later(
    error: httpx.HTTPError,
) -> None:
    named = name_defect(error)
    assert isinstance(named, PrefectOutOfReach)
    assert type(error).__name__ in str(named)
    assert "secret" not in str(named)
    stop = explain_stop(named)
    assert (stop.can_continue, stop.is_refusal) == (True, False)
