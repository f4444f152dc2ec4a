"""What every task of an export has in common."""

import functools
import os
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from tasks.errors import Defect
from tasks.stops import EXPORT_ERRORS, ExportError

DEBUG_VARIABLE = "SEGMENT_EXPORT_DEBUG"

P = ParamSpec("P")
R = TypeVar("R")


def step(
    name: str, *, run_name: str
) -> Callable[[Callable[P, Awaitable[R]]], Task[P, Awaitable[R]]]:
    """Make an async function a Prefect task that is neither cached nor repeated.

    A step works on the session, so that a cached result would stand for work not done; the client
    owns retries. Of an error that is none of ours only type and place get out: Prefect keeps what
    an exception says, and another library's may quote values.
    """

    def decorate(function: Callable[P, Awaitable[R]]) -> Task[P, Awaitable[R]]:
        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return await function(*args, **kwargs)
            except EXPORT_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001 -- turned into one of ours
                defect = name_defect(error)
                raise defect from (error if DEBUG_VARIABLE in os.environ else None)

        return task(
            name=name,
            task_run_name=run_name,
            retries=0,
            cache_policy=NO_CACHE,
            persist_result=False,
        )(guarded)

    return decorate


def name_defect(error: Exception) -> ExportError:
    """Say of which type an unexpected error is and where it came up, but not what it says.

    One of ours that comes in a group, as task groups wrap errors, is no defect and stays.
    """
    cause = _sole_cause(error)
    if isinstance(cause, EXPORT_ERRORS):
        return cause
    place = traceback.extract_tb(cause.__traceback__)[-1]
    return Defect(
        f"An unexpected {type(cause).__name__} came up in {Path(place.filename).name} line "
        f"{place.lineno}; this is a defect of segment-export. Please report it; run again to "
        "continue."
    )


def _sole_cause(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
