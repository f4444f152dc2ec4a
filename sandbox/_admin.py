"""The sandbox's back door over HTTP, for tests and demos that run it in a process of its own.

On the same port, outside /v3, without token or limits, never logged. Bodies and answers are JSON
unless said otherwise; a request that makes no sense is answered 400 with `{"error": …}`.

    GET    /sandbox                      where it is and how to get in: api_url, auth_url,
                                         client_id, client_secret, refresh_token
    POST   /sandbox/lists                {"name"} -> {"list_id", "sequence_id"}
    POST   /sandbox/custom_fields        {"label", "type"?} -> {"name"}
    POST   /sandbox/contacts             {"email", "list_ids"?, "permission_to_send"?,
                                         "properties"?, "is_deleted"?} -> the contact
    GET    /sandbox/contacts?email=      the contact; 404 when there is none
    POST   /sandbox/unsubscribe          {"email"}
    POST   /sandbox/list_removals        {"email", "list_id"}
    POST   /sandbox/clients              {"client_id"?, "is_rotating"?, "is_public"?,
                                         "redirect_uris"?, "scopes"?, "privileges"?}
                                         -> {"client_id", "client_secret", "refresh_token"}
    POST   /sandbox/revocations          {"client_id"}: all of its tokens stop working
    POST   /sandbox/faults               [{"operation", "kind", …}] as the fields of `Fault`
    DELETE /sandbox/faults               forget all faults
    GET    /sandbox/requests             {"requests": […], "most_in_any_second": n}
    GET    /sandbox/activities           {"activities": […]}, hidden ones too
    GET    /sandbox/lists/{id}/contacts  CSV: email, first_name, last_name, then `cf:` and the name
                                         of every custom field; streamed
"""

import asyncio
import csv
import dataclasses
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sandbox._contact_book import Contact
from sandbox._faults import Fault
from sandbox._operations import list_operations
from sandbox._request_log import most_in_any_second
from sandbox._sign_in_service import SIGN_IN_SERVICE
from sandbox._world import World

ROWS_PER_PIECE = 2_000

Endpoint = Callable[[Request], Awaitable[Response]]


def build_admin(world: World, urls: dict[str, str]) -> Starlette:
    """Return the application behind /sandbox; `urls` tells api_url and auth_url."""
    admin = _Admin(world, urls)
    return Starlette(
        routes=[
            Route("/sandbox", admin.tell),
            Route("/sandbox/lists", _checked(admin.add_list), methods=["POST"]),
            Route("/sandbox/lists/{list_id}/contacts", admin.dump_members),
            Route("/sandbox/custom_fields", _checked(admin.add_custom_field), methods=["POST"]),
            Route("/sandbox/contacts", _checked(admin.add_contact), methods=["POST"]),
            Route("/sandbox/contacts", admin.find_contact, methods=["GET"]),
            Route("/sandbox/unsubscribe", _checked(admin.unsubscribe), methods=["POST"]),
            Route("/sandbox/list_removals", _checked(admin.remove_from_list), methods=["POST"]),
            Route("/sandbox/clients", _checked(admin.add_client), methods=["POST"]),
            Route("/sandbox/revocations", _checked(admin.revoke), methods=["POST"]),
            Route("/sandbox/faults", _checked(admin.add_faults), methods=["POST"]),
            Route("/sandbox/faults", admin.clear_faults, methods=["DELETE"]),
            Route("/sandbox/requests", admin.list_requests),
            Route("/sandbox/activities", admin.list_activities),
        ]
    )


class _Admin:
    """The endpoints behind /sandbox."""

    def __init__(self, world: World, urls: dict[str, str]) -> None:
        self._world = world
        self._urls = urls

    async def tell(self, _: Request) -> Response:
        consent = self._world.first_consent
        credentials = {
            "client_id": consent.client.client_id,
            "client_secret": consent.client.client_secret,
            "refresh_token": consent.refresh_token,
        }
        return JSONResponse(self._urls | credentials)

    async def add_list(self, body: Any) -> Response:
        created = self._world.account.add_list(body["name"])
        return JSONResponse({"list_id": created.list_id, "sequence_id": str(created.sequence_id)})

    async def add_custom_field(self, body: Any) -> Response:
        created = self._world.account.add_custom_field(body["label"], body.get("type", "string"))
        return JSONResponse({"name": created.name})

    async def add_contact(self, body: Any) -> Response:
        return self._show(self._world.put_contact(**body))

    async def find_contact(self, request: Request) -> Response:
        email = request.query_params.get("email", "").lower()
        contact = self._world.account.book.find(email)
        return self._show(contact) if contact else JSONResponse({"error": "Not found"}, 404)

    async def unsubscribe(self, body: Any) -> Response:
        self._world.unsubscribe(body["email"])
        return JSONResponse({})

    async def remove_from_list(self, body: Any) -> Response:
        self._world.remove_from_list(body["email"], body["list_id"])
        return JSONResponse({})

    async def add_client(self, body: Any) -> Response:
        consent = self._world.consent(**body)
        return JSONResponse(
            {
                "client_id": consent.client.client_id,
                "client_secret": consent.client.client_secret,
                "refresh_token": consent.refresh_token,
            }
        )

    async def revoke(self, body: Any) -> Response:
        self._world.desk.revoke(self._world.desk.clients[body["client_id"]].client_id)
        return JSONResponse({})

    async def add_faults(self, body: Any) -> Response:
        if not isinstance(body, list):
            raise TypeError("Faults are a list of objects")
        self._world.script.add(tuple(map(_read_fault, body)))
        return JSONResponse({})

    async def clear_faults(self, _: Request) -> Response:
        self._world.script.clear()
        return JSONResponse({})

    async def list_requests(self, _: Request) -> Response:
        requests = self._world.requests.records
        return JSONResponse(
            {
                "requests": [asdict(one) for one in requests],
                "most_in_any_second": most_in_any_second(requests),
            }
        )

    async def list_activities(self, _: Request) -> Response:
        now_s = self._world.clock.utc_s()
        activities = self._world.account.activities.newest_first()
        return JSONResponse({"activities": [one.show(now_s) for one in activities]})

    async def dump_members(self, request: Request) -> Response:
        one = self._world.account.find_list(request.path_params["list_id"])
        if one is None:
            return JSONResponse({"error": "Not found"}, 404)
        return StreamingResponse(self._iter_csv(one.bit), media_type="text/csv")

    def _show(self, contact: Contact) -> Response:
        view = asdict(self._world.view(contact))
        return JSONResponse(view | {"list_ids": sorted(view["list_ids"])})

    async def _iter_csv(self, list_bits: int) -> AsyncIterator[bytes]:
        custom = [f"cf:{one.name}" for one in self._world.account.custom_fields]
        columns = ["first_name", "last_name", *custom]
        sheet = io.StringIO()
        writer = csv.writer(sheet)
        writer.writerow(["email", *columns])
        for row, contact in enumerate(self._world.account.book.iter_members(list_bits), start=1):
            properties = contact.properties()
            writer.writerow([contact.email, *(properties.get(name, "") for name in columns)])
            if row % ROWS_PER_PIECE == 0:
                yield sheet.getvalue().encode()
                sheet.seek(0)
                sheet.truncate()
                await asyncio.sleep(0)
        yield sheet.getvalue().encode()


def _read_fault(item: Any) -> Fault:
    """Read a fault; one that could never come up is an error."""
    known = [field.name for field in dataclasses.fields(Fault)]
    if not isinstance(item, dict) or not {"operation", "kind"} <= set(item) <= set(known):
        raise ValueError(f"A fault has operation, kind, and further of {', '.join(known)}")
    operations = [one.name for one in list_operations()]
    operations += [door.name for door in SIGN_IN_SERVICE.values()]
    if item["operation"] not in operations:
        raise ValueError(
            f"A fault's operation is one of {', '.join(operations)}, not {item['operation']}"
        )
    return Fault(**(item | {"fields": tuple(item.get("fields", ()))}))


def _checked(act: Callable[[Any], Awaitable[Response]]) -> Endpoint:
    """Return an endpoint that hands its JSON body on and says what was wrong with it."""

    async def endpoint(request: Request) -> Response:
        try:
            return await act(json.loads(await request.body()))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 400)

    return endpoint
