"""A step of a flow: a Prefect task of which no more than a sentence gets out when it fails."""

import functools
import logging
import os
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import httpx
from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Failed

from tasks.errors import Defect, PrefectOutOfReach
from tasks.stops import EXPORT_ERRORS, ExportError

DEBUG_VARIABLE = "SEGMENT_EXPORT_DEBUG"

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("segment_export.tasks")


def step(
    name: str, *, run_name: str
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """Make an async function a Prefect task that is neither cached nor repeated.

    A step works on the session, so that a cached result would stand for work not done; the client
    owns retries. Of an error that is none of ours only type and place get out: Prefect keeps what
    an exception says, and another library's may quote values.

    Prefect writes the traceback of whatever exception leaves a task into the run's log. So the task
    ends in a failed state that carries the error, and it is raised where the task was called.
    """

    def decorate(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> R | State[ExportError]:
            try:
                return await function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 -- turned into one of ours
                stop = error if isinstance(error, EXPORT_ERRORS) else _name_and_show(error)
                return Failed(message=str(stop), data=stop)

        as_task = task(
            name=name,
            task_run_name=run_name,
            # Of a failure that may not be repeated Prefect tells no more than the state's message;
            # of one without any retries it tells the state's insides as well.
            retries=1,
            retry_condition_fn=_never,
            cache_policy=NO_CACHE,
            persist_result=False,
        )(guarded)

        @functools.wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> R:
            result = await as_task(*args, **kwargs)
            if isinstance(result, State):
                raise await result.aresult(raise_on_failure=False)
            return result

        return call

    return decorate


def _never(_task: Task[..., Any], _run: TaskRun, _state: State[Any]) -> bool:
    return False


def _name_and_show(error: Exception) -> ExportError:
    """Name an unexpected error; all of it is shown to whoever looks for the defect."""
    defect = name_defect(error)
    if DEBUG_VARIABLE in os.environ:
        _log.error("%s", defect, exc_info=error)
    return defect


def name_defect(error: Exception) -> ExportError:
    """Say of which type an unexpected error is and where it came up, but not what it says.

    One of ours that comes in a group, as task groups wrap errors, is no defect and stays. Nor is
    it one when Prefect's API does not answer: its client is the only one whose errors come here.
    """
    cause = _sole_cause(error)
    if isinstance(cause, EXPORT_ERRORS):
        return cause
    if isinstance(cause, httpx.HTTPError):
        return PrefectOutOfReach(
            f"Prefect's API does not answer as it should ({type(cause).__name__}): see whether its "
            "server runs."
        )
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
