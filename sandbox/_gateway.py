"""The way of a request through the sandbox: gate, limits, scripted faults, operation, answer."""

import asyncio
import re
from dataclasses import replace
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox._bodies import check_encoding
from sandbox._errors import (
    RefusedError,
    access_denied,
    gateway_forbidden,
    invalid,
    not_found,
    oauth_error,
    quota_exceeded,
    throttled,
    unauthorized,
    wrap,
)
from sandbox._faults import RESHAPES, TWISTS, Fault, drop_keys
from sandbox._http import Answer, Call
from sandbox._oauth import presented_client_id
from sandbox._operations import Operation, list_operations
from sandbox._request_log import RequestRecord
from sandbox._sign_in_service import SIGN_IN_SERVICE, Door
from sandbox._tokens import AccessToken
from sandbox._world import World

DROP = "sandbox.drop"
"""Name of the ASGI extension that closes the connection; the server offers it."""

FILE_NAME = re.compile(rb'filename="([^"\r\n]*)"')
PIECES = 10


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


class Gateway:
    """The ASGI application: /v3, the sign-in service, and /sandbox for whoever runs it."""

    def __init__(self, world: World, admin: ASGIApp) -> None:
        self._world = world
        self._admin = admin
        self._operations = list_operations()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"]
        if path == "/sandbox" or path.startswith("/sandbox/"):
            await self._world.account.activities.settle()
            await self._admin(scope, receive, send)
            return
        arrived_s = self._world.clock.monotonic_s()
        record = self._world.requests.open(scope["method"], path, arrived_s)
        try:
            answer, slow_s = await self._answer(scope, receive, record)
        except ClientGoneError:
            return
        if answer is None:
            scope["extensions"][DROP]()
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        record.status = answer.status
        await _send(answer, send, slow_s)

    async def _answer(
        self, scope: Scope, receive: Receive, record: RequestRecord
    ) -> tuple[Answer | None, float]:
        """Return the answer, None for a dropped connection, and how slowly it goes out.

        Limits are decided when the headers have arrived; a refused request's body is still read,
        for a client that is writing would not see the answer.
        """
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        call = Call(
            method=record.method,
            path=record.path,
            path_values={},
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
            body=b"",
            token=None,
        )
        operation: Operation | None = None
        refused: Answer | None = None
        door = SIGN_IN_SERVICE.get(record.path)
        if door is not None:
            record.operation = door.name
        else:
            try:
                operation, call = self._admit(call, record)
            except RefusedError as refusal:
                refused = refusal.answer
        call = replace(call, body=await _read_body(receive))
        record.body_bytes = len(call.body)
        if record.operation == "file_import" and (match := FILE_NAME.search(call.body)):
            record.file_name = match[1].decode(errors="replace")
        if door is not None:
            try:
                self._admit_to_sign_in(door, call, record)
            except RefusedError as refusal:
                refused = refusal.answer
        inside = door or operation
        if refused is not None or inside is None:
            return refused, 0.0
        return await self._carry_out(inside, call, self._world.script.take(record.operation))

    def _admit(self, call: Call, record: RequestRecord) -> tuple[Operation, Call]:
        """Let a request to the API in, in the order of a gateway: key, limits, token, rights."""
        world = self._world
        if not call.path.startswith("/v3/"):
            raise gateway_forbidden()
        matches = [(one, one.match(call.path)) for one in self._operations]
        found = [(one, values) for one, values in matches if values is not None]
        chosen = next(((one, v) for one, v in found if one.method == call.method), None)
        record.operation = chosen[0].name if chosen else ""
        if "authorization" not in call.headers:
            raise gateway_forbidden()
        scheme, _, text = call.headers["authorization"].partition(" ")
        token = world.desk.find_access_token(text) if scheme.lower() == "bearer" else None
        if token is None:
            raise unauthorized()
        record.client_id = token.consent.client.client_id
        utc_s = world.clock.utc_s()
        refusal = world.limits.refusal(record.client_id, arrived_s=record.arrived_s, utc_s=utc_s)
        if refusal is not None:
            raise throttled() if refusal == "throttled" else quota_exceeded()
        if token.expires_at_s <= utc_s:
            raise unauthorized()
        if chosen is None:
            raise invalid("Method not allowed", 405) if found else not_found("No such resource")
        _check_rights(token, chosen[0])
        check_encoding(call.headers, world.settings.encoded_body_status)
        return chosen[0], replace(call, path_values=chosen[1], token=token)

    def _admit_to_sign_in(self, door: Door, call: Call, record: RequestRecord) -> None:
        """Let a request to the sign-in service in (case 21; its 429 is documented nowhere)."""
        if call.method not in door.methods:
            raise oauth_error(405, "invalid_request", f"It takes {' or '.join(door.methods)} only.")
        if not door.is_limited:
            return
        claimed = presented_client_id(call)
        if claimed in self._world.desk.clients:
            record.client_id = claimed
        if not self._world.limits.admits_token_request(claimed, arrived_s=record.arrived_s):
            raise oauth_error(429, "throttled", "Too Many Requests")

    async def _carry_out(
        self, operation: Operation | Door, call: Call, faults: tuple[Fault, ...]
    ) -> tuple[Answer | None, float]:
        """Carry out an operation between the faults that come before and those after it."""
        for fault in faults:
            if fault.when == "before" and fault.kind in {"delay", "drop", "status"}:
                replaced = await _interrupt(fault)
                if fault.kind != "delay":
                    return replaced, 0.0
        await self._world.account.activities.settle()
        twists = tuple(fault for fault in faults if fault.kind in TWISTS)
        answer = self._perform(operation, replace(call, twists=twists))
        slow_s = 0.0
        for fault in faults:
            if fault.kind in RESHAPES:
                answer = _reshape(answer, fault)
                slow_s += fault.seconds if fault.kind == "slow_body" else 0.0
        for fault in faults:
            if fault.when == "after" and fault.kind in {"delay", "drop", "status"}:
                replaced = await _interrupt(fault)
                if fault.kind != "delay":
                    return replaced, 0.0
        return answer, slow_s

    def _perform(self, operation: Operation | Door, call: Call) -> Answer:
        try:
            if isinstance(operation, Door):
                return operation.answer(self._world, call)
            return operation.carry_out(self._world.account, call)
        except RefusedError as refusal:
            return refusal.answer


def _check_rights(token: AccessToken, operation: Operation) -> None:
    """Refuse what application, scopes or user do not allow (cases 26 and 27)."""
    if not token.consent.client.is_active:
        raise access_denied("Request forbidden because the application is deactivated.")
    if operation.scope and operation.scope not in token.scopes:
        raise access_denied("Request forbidden due to insufficient scope.")
    if operation.privilege and operation.privilege not in token.consent.privileges:
        raise access_denied("Request forbidden due to insufficient user privileges.")


async def _interrupt(fault: Fault) -> Answer | None:
    """Do what a fault does in place of an answer: wait, drop (None), or answer otherwise."""
    if fault.kind == "delay":
        await asyncio.sleep(fault.seconds)
    if fault.kind != "status":
        return None
    if fault.body is not None:
        return Answer(fault.status, fault.body)
    return wrap(fault.envelope, fault.status, "scripted_fault", "A scripted fault")


def _reshape(answer: Answer, fault: Fault) -> Answer:
    """Return an answer with its body damaged as a fault says."""
    content: Any = answer.content
    if fault.kind == "truncated":
        whole = answer.encode()
        content = whole[: len(whole) // 2]
    elif fault.kind == "missing":
        content = drop_keys(content, fault.fields)
    return replace(answer, content=content)


async def _read_body(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)


async def _send(answer: Answer, send: Send, slow_s: float) -> None:
    body = answer.encode()
    headers = [(b"content-length", str(len(body)).encode())]
    if body:
        headers.append((b"content-type", answer.media_type.encode()))
    headers += [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if slow_s > 0 and body:
        size = -(-len(body) // PIECES)
        for start in range(0, len(body), size):
            await asyncio.sleep(slow_s / PIECES)
            piece = body[start : start + size]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        body = b""
    await send({"type": "http.response.body", "body": body, "more_body": False})
