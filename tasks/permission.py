"""Who may use a connection, and who is asking.

On Prefect's open-source server everybody shares one login, so who asks is the user of the
operating system whose process this is: a person's, or the worker's. On Prefect Cloud it is the
user who made the run, or who saved the export that a schedule has run.
"""

import grp
import os
import pwd
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
from prefect.client.base import ServerType
from prefect.client.cloud import get_cloud_client
from prefect.client.orchestration import PrefectClient, get_client
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

from tasks.connection_block import ADMINISTRATORS, ConstantContactConnection
from tasks.errors import NotAllowed

ADMINISTRATORS_VARIABLE = "SEGMENT_EXPORT_ADMINISTRATORS"
GROUP_MARK = "group:"
ROOT = "root"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for a connection: a name, and the groups of the operating system."""

    name: str
    groups: frozenset[str] = frozenset()

    def is_among(self, names: Iterable[str]) -> bool:
        """Say whether a list of names and of `group:NAME` means this one."""
        mine = {self.name, *(f"{GROUP_MARK}{group}" for group in self.groups)} - {""}
        return not mine.isdisjoint(names)


def require_permission(name: str, connection: ConstantContactConnection, asker: Asker) -> None:
    """Refuse whoever may not use a connection.

    Raises:
        NotAllowed: saying who may, and whom to ask.
    """
    administrators = administrators_of(connection)
    allowed = [one for one in connection.may_use if one != ADMINISTRATORS]
    if ADMINISTRATORS in connection.may_use:
        allowed += administrators
    if asker.is_among(allowed):
        return
    raise NotAllowed(
        f"The connection “{name}” is not for {_phrase(asker)}: "
        f"{', '.join(connection.may_use) or 'nobody'} may use it. Ask an administrator "
        f"({', '.join(administrators)}) to deliver it, or to connect again with --may-use."
    )


def require_administrator(name: str, connection: ConstantContactConnection, asker: Asker) -> None:
    """Refuse whoever is none of a connection's administrators.

    Raises:
        NotAllowed: saying who they are.
    """
    administrators = administrators_of(connection)
    if not asker.is_among(administrators):
        raise NotAllowed(
            f"The connection “{name}” is there, and only its administrators "
            f"({', '.join(administrators)}) may change it, not {_phrase(asker)}. Ask one of them, "
            "or choose another name."
        )


def _phrase(asker: Asker) -> str:
    return f"“{asker.name}”" if asker.name else "whoever asks (Prefect does not tell)"


def administrators_of(connection: ConstantContactConnection) -> list[str]:
    """Give the administrators of a connection: those written down, else who made it and root."""
    if connection.administrators:
        return connection.administrators
    return [ROOT, connection.privacy_accepted_by] if connection.privacy_accepted_by else [ROOT]


def list_administrators(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Give the administrators whom the operator lists, if there are any."""
    listed = environment.get(ADMINISTRATORS_VARIABLE, "").split(",")
    return [name for one in listed if (name := one.strip())]


def choose_administrators(creator: str, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Say who a new connection's administrators are: those whom the operator lists, else two."""
    return list_administrators(environment) or list(dict.fromkeys([ROOT, creator]))


def os_user() -> Asker:
    """Tell the user of the operating system whose process this is, whatever is in `USER`."""
    user_id = os.geteuid()
    try:
        entry = pwd.getpwuid(user_id)
    except KeyError:  # a container's user that nobody entered
        return Asker(str(user_id))
    groups = set()
    for group_id in os.getgrouplist(entry.pw_name, entry.pw_gid):
        with suppress(KeyError):
            groups.add(grp.getgrgid(group_id).gr_name)
    return Asker(entry.pw_name, frozenset(groups))


async def find_asker() -> Asker:
    """Tell who asks, as the server knows them where it has named users."""
    async with get_client() as client:
        if client.server_type != ServerType.CLOUD:
            return os_user()
        context = FlowRunContext.get()
        run = context.flow_run if context else None
        if run is None:
            return await _owner_of_key()
        deployment = await _read_deployment(client, run.deployment_id)
    return name_creator(run.created_by, deployment)


def name_creator(created_by: Any, deployment: Mapping[str, Any]) -> Asker:
    """Name the user behind a run on Prefect Cloud: who made it, or who saved what made it.

    Args:
        created_by: the run's, with `type` and `display_value`.
        deployment: as the API shows it; of a run without one it is empty.
    """
    makers = (created_by, deployment.get("updated_by"), deployment.get("created_by"))
    for maker in makers:
        found = maker if isinstance(maker, Mapping) else getattr(maker, "__dict__", {})
        if str(found.get("type")).upper() in {"USER", "SERVICE_ACCOUNT", "BOT"}:
            return Asker(str(found.get("display_value") or ""))
    return Asker("")


async def _read_deployment(client: PrefectClient, deployment_id: object) -> Mapping[str, Any]:
    if deployment_id is None:
        return {}
    answer = await client.request(
        "GET", "/deployments/{id}", path_params={"id": str(deployment_id)}
    )
    found = answer.json()
    return found if isinstance(found, Mapping) else {}


async def _owner_of_key() -> Asker:
    try:
        async with get_cloud_client() as cloud:
            me = await cloud.get("/me/")
    except (httpx.HTTPError, PrefectException):
        return Asker("")
    return Asker(str(me.get("handle") or me.get("name") or ""))
