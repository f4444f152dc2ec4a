"""Import a file exactly once, as far as an API without idempotency keys allows.

The service shows a job's `source_file_name`, so a file name that is unique to a batch is its
identity: after every answer that leaves the outcome open, the activities are read before
anything is sent again.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import httpx

from constant_contact._activities import find_import, is_import_of, iter_activities
from constant_contact._answers import read_json
from constant_contact._errors import (
    ApiUnreachable,
    BodyTooLarge,
    ConstantContactError,
    MalformedAnswer,
    NotAuthorised,
    OutcomeUnknown,
    QueueFull,
    QuotaExceeded,
    RequestRefused,
    SendingStopped,
    ServerFault,
    WindowClosed,
)
from constant_contact._events import ApiEvent, EventKind
from constant_contact._models import Activity, ImportReceipt
from constant_contact._retry import RetryPolicy
from constant_contact._session import Session

# "Must be less than 4 megabytes": over it the service drops the rest without a word. Read as
# decimal, the smaller of the two meanings, and for the whole body, the larger of the two.
REQUEST_LIMIT_BYTES = 4_000_000

# 1,000 activities of one account may wait.
QUEUE_LIMIT = 1_000

_PATH = "/activities/contacts_file_import"
_MOST_LISTS = 50
_CSV_TYPE = "text/csv"

# Plain ASCII, as the echoed name must be equal to the sent one to be recognised.
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+=@,()-]{0,250}\.csv", re.ASCII)

_SEND_POLICY = RetryPolicy(attempts=5, total_s=900.0, first_wait_s=1.0)


@dataclass(frozen=True, slots=True)
class Patience:
    """How a job is looked for whose answer was lost, or does not come.

    `looks_after_s` are the pauses before each look after a lost answer: new jobs may show late.
    After `silent_s` without an answer it is looked for as well, every `silent_looks_every_s`, while
    the answer is waited for: the service may be slow to take the file, or have lost the answer.
    """

    looks_after_s: tuple[float, ...] = (0.5, 1.5, 3.0, 4.0, 6.0)
    silent_s: float = 45.0
    silent_looks_every_s: float = 15.0


class MaySend(StrEnum):
    """What its caller says of a file before each sending of it, as hours may have passed.

    `UNLESS_FOUND`: somebody else may have sent it meanwhile, so that it is looked for first.
    """

    YES = "yes"
    UNLESS_FOUND = "unless_found"
    NO = "no"


def framing_bytes(file_name: str, list_ids: Collection[str]) -> int:
    """Return how many bytes of the request body are not the file."""
    # Made by the library that will send it; its boundary always has the same length.
    request = httpx.Request(
        "POST",
        "https://localhost",
        data=_form(list_ids),
        files={"file": (file_name, b"", _CSV_TYPE)},
    )
    return int(request.headers["Content-Length"])


async def import_file(
    session: Session,
    *,
    file_name: str,
    body: bytes,
    list_ids: Collection[str],
    known_ids: Collection[str],
    patience: Patience,
    may_send: Callable[[], Awaitable[MaySend]],
    on_send: Callable[[], None],
) -> ImportReceipt:
    """Import a CSV file into lists and return the activity that does it."""
    _check_import(file_name, body, list_ids)
    session.retrier.require_open_window()
    known = frozenset(known_ids)
    attempts = 0

    async def attempt() -> ImportReceipt:
        nonlocal attempts
        if found := await _ask_and_look(session, file_name, known, may_send):
            return ImportReceipt(found, reconciled=True)
        session.retrier.require_open_window()
        attempts += 1
        if attempts > 1:
            session.count_repeat()
        try:
            post = _post(session, file_name, body, list_ids, on_send)
            return await _watch(session, post, file_name, known, patience)
        except QueueFull as error:
            # Certainly not accepted. Faults while polling do not make it a fault of this request:
            # the next try says whether there is room.
            with suppress(ApiUnreachable, ServerFault, MalformedAnswer, RequestRefused):
                if found := await _drain_queue(session, file_name, known, may_send, error):
                    return ImportReceipt(found, reconciled=True)
            raise
        except (ApiUnreachable, ServerFault, MalformedAnswer) as error:
            if isinstance(error, ApiUnreachable) and not error.may_have_arrived:
                raise
            found = await _look_for(session, file_name, known, patience, error)
            if found is not None:
                return ImportReceipt(found, reconciled=True)
            if error.status == HTTPStatus.CREATED:
                # Accepted, by what the status says: it shows later than we can wait for it.
                raise _unknown_outcome(file_name) from error
            raise

    return await session.retrier.call(
        attempt, what=f"import {file_name}", policy=_SEND_POLICY, may_repeat=_may_send_again
    )


def _check_import(file_name: str, body: bytes, list_ids: Collection[str]) -> None:
    if not _FILE_NAME.fullmatch(file_name):
        raise ValueError("a file name ends in .csv and holds plain ASCII without quotes or slashes")
    if not 1 <= len(list_ids) <= _MOST_LISTS:
        raise ValueError(f"an import goes into 1 to {_MOST_LISTS} lists")
    size_bytes = framing_bytes(file_name, list_ids) + len(body)
    if size_bytes >= REQUEST_LIMIT_BYTES:
        raise BodyTooLarge(
            f"The request for {file_name} would hold {size_bytes:,} bytes, and has to stay under "
            f"{REQUEST_LIMIT_BYTES:,}; send fewer contacts in it.",
            size_bytes=size_bytes,
        )


def _form(list_ids: Collection[str]) -> dict[str, str]:
    return {"list_ids": ",".join(list_ids)}


async def _ask(may_send: Callable[[], Awaitable[MaySend]]) -> MaySend:
    permission = await may_send()
    if permission is MaySend.NO:
        raise SendingStopped
    return permission


async def _ask_and_look(
    session: Session,
    file_name: str,
    known: frozenset[str],
    may_send: Callable[[], Awaitable[MaySend]],
) -> Activity | None:
    if await _ask(may_send) is not MaySend.UNLESS_FOUND:
        return None
    try:
        return await find_import(session, file_name, ignored_ids=known)
    except RequestRefused as error:  # of the look, which says nothing of the file
        raise _unknown_outcome(file_name) from error


def _may_send_again(error: BaseException) -> bool:
    # What may have been accepted has been looked for, in vain, by the time it gets here.
    return isinstance(error, ConstantContactError) and (
        error.retryable or isinstance(error, MalformedAnswer)
    )


async def _post(
    session: Session,
    file_name: str,
    body: bytes,
    list_ids: Collection[str],
    on_send: Callable[[], None],
) -> Activity:
    response = await session.post_file(
        _PATH, form=_form(list_ids), file=(file_name, body, _CSV_TYPE), on_send=on_send
    )
    activity = Activity.from_json(read_json(response))
    if activity is None:
        raise MalformedAnswer(
            f"Constant Contact's answer to the import of {file_name} names no activity; run again.",
            status=response.status_code,
        )
    return activity


async def _watch(
    session: Session,
    post: Coroutine[Any, Any, Activity],
    file_name: str,
    known: frozenset[str],
    patience: Patience,
) -> ImportReceipt:
    """Wait for the answer to a file, and when it is long in coming, look for the job as well."""
    answer = asyncio.ensure_future(post)
    wait_s = patience.silent_s
    try:
        while not (await asyncio.wait({answer}, timeout=wait_s))[0]:
            wait_s = patience.silent_looks_every_s
            session.retrier.announce(
                ApiEvent(EventKind.RECONCILE, f"look for {file_name}", reason="no answer yet")
            )
            with suppress(ConstantContactError):  # the answer may still come
                if found := await find_import(session, file_name, ignored_ids=known):
                    return ImportReceipt(found, reconciled=True)
        return ImportReceipt(answer.result())
    finally:
        answer.cancel()
        await asyncio.gather(answer, return_exceptions=True)


async def _look_for(
    session: Session,
    file_name: str,
    known: frozenset[str],
    patience: Patience,
    cause: ConstantContactError,
) -> Activity | None:
    """Look for a file's activity, several times; a fault that may pass costs one of them.

    Raises:
        OutcomeUnknown: the activities cannot be read either, or not before the window ends; where
            the day's quota or the sign-in is over it says so.
    """
    fault: ConstantContactError | None = None
    for attempt, wait_s in enumerate(patience.looks_after_s, start=1):
        session.retrier.announce(
            ApiEvent(
                EventKind.RECONCILE,
                f"look for {file_name}",
                reason=cause.brief,
                attempt=attempt,
                wait_s=wait_s,
            )
        )
        try:
            await session.retrier.pause(wait_s)
            found = await find_import(session, file_name, ignored_ids=known)
        except (QuotaExceeded, NotAuthorised) as error:
            # They say how to go on; that the file may have arrived is not to get lost with them.
            raise OutcomeUnknown(
                f"{error} Whether {file_name} was accepted is not known: it is looked up before it "
                "is sent again.",
                lacks_quota=isinstance(error, QuotaExceeded),
            ) from error
        except (ApiUnreachable, ServerFault, MalformedAnswer) as error:
            fault = error
            continue
        except ConstantContactError as error:
            raise _unknown_outcome(file_name) from error
        if found:
            return found
        fault = None
    if fault is not None:
        raise _unknown_outcome(file_name) from fault
    return None


def _unknown_outcome(file_name: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"Whether {file_name} was accepted could not be found out; run again: it is looked up "
        "before it is sent."
    )


async def _drain_queue(
    session: Session,
    file_name: str,
    known: frozenset[str],
    may_send: Callable[[], Awaitable[MaySend]],
    cause: QueueFull,
) -> Activity | None:
    """Wait until fewer activities are unfinished than a full queue holds, or than at first.

    The file's activity is returned if somebody else has sent it meanwhile.

    Raises:
        WindowClosed: they are as many when the window ends.
        SendingStopped: nothing is waited for any more.
    """
    at_first: int | None = None
    wait_s = 1.0
    while True:
        try:
            await session.retrier.pause(wait_s)
        except WindowClosed:
            raise WindowClosed.during(cause) from cause
        await _ask(may_send)
        unfinished = 0
        async with aclosing(iter_activities(session)) as activities:
            async for activity in activities:
                if is_import_of(activity, file_name, known):
                    return activity
                unfinished += not activity.state.is_finished
        if unfinished < QUEUE_LIMIT or (at_first is not None and unfinished < at_first):
            return None
        at_first = unfinished if at_first is None else at_first
        wait_s = min(wait_s * 2, 30.0)
