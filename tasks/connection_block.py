"""A connection to one Constant Contact account, as it is kept: a Prefect block."""

import re
from datetime import datetime
from difflib import get_close_matches
from typing import Any, ClassVar, Literal

from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import BlockDocumentUpdate
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectNotFound
from pydantic import ConfigDict, Field, SecretStr

from constant_contact import DAILY_REQUESTS
from tasks.errors import UnknownConnection

ADMINISTRATORS = "administrators"

DETACHED = (
    "The export has no connection any more: it was taken away. Ask an administrator for one "
    "(`segment-export connect NAME`), name it as the export's connection, and run it again."
)


class ConstantContactConnection(Block):
    """Sign-in to one Constant Contact account: who may use it, and what the contract allows.

    Made by `segment-export connect`; exports refer to it by name.
    """

    _block_type_name: ClassVar[str | None] = "Constant Contact Connection"
    _block_type_slug: ClassVar[str | None] = "constant-contact-connection"
    _description: ClassVar[str | None] = (
        "Sign-in to one Constant Contact account. Make it with `segment-export connect`."
    )

    model_config = ConfigDict(hide_input_in_errors=True)

    display_name: str = Field(description="How people call this connection.")
    client_id: str = Field(title="API key", description="Of the Constant Contact application.")
    vault: Literal["block", "file"] = Field(
        default="block",
        description="Where tokens and client secret are kept: `block`, in the three fields below; "
        "`file`, in an encrypted file on the workers, and those fields are empty.",
    )
    vault_file: str = Field(default="", description="The encrypted file, where there is one.")
    client_secret: SecretStr | None = Field(
        default=None, description="Of the application; a public client has none."
    )
    refresh_token: SecretStr = Field(
        default=SecretStr(""), description="Replaced at each refresh by a new one."
    )
    access_token: SecretStr = Field(default=SecretStr(""), description="The current one, if any.")
    access_token_expires_at: float = Field(default=0.0, description="Seconds since 1970, UTC.")
    api_url: str = Field(default="https://api.cc.email/v3", title="API address")
    auth_url: str = Field(
        default="https://authz.constantcontact.com/oauth2/default/v1", title="Sign-in address"
    )
    may_use: list[str] = Field(
        default=[ADMINISTRATORS],
        description="Who may use this connection: `administrators`, names of users, or "
        "`group:NAME`.",
    )
    administrators: list[str] = Field(
        default=[],
        description="Who the administrators are, written down when it was made: names of users, "
        "or `group:NAME`.",
    )
    contact_allowance: int | None = Field(
        default=None,
        ge=0,
        description="The most contacts the customer's contract allows in one export.",
    )
    daily_requests: int = Field(
        default=DAILY_REQUESTS,
        ge=1,
        description="The most requests a day under this API key; partners may have more.",
    )
    account_id: str = Field(default="", description="Of the account it reaches.")
    account_name: str = Field(default="", description="Of the account it reaches.")
    privacy_accepted_at: datetime | None = Field(
        default=None, description="When it was agreed that personal data leaves."
    )
    privacy_accepted_by: str = Field(default="", description="Who agreed to it.")


def connection_slug(name: str) -> str:
    """Turn a connection's name into the name of its block: lower-case letters, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


async def load_connection(name: str) -> ConstantContactConnection:
    """Load a connection by name.

    Raises:
        UnknownConnection: with near names, or the command that makes one.
    """
    if not name.strip():
        raise UnknownConnection(DETACHED)
    slug = connection_slug(name)
    async with get_client() as client:
        document = await _find_document(client, slug)
    if document is not None:
        return _read_document(document)
    names = await list_connections()
    near = get_close_matches(slug, names, n=3)
    if near:
        hint = f"Did you mean {' or '.join(near)}?"
    elif names:
        hint = f"There are: {', '.join(names)}."
    else:
        hint = "There is none yet; ask an administrator to run `segment-export connect NAME`."
    raise UnknownConnection(f"There is no connection “{name}”. {hint}")


async def list_connections() -> list[str]:
    """List the names of all connections, sorted."""
    return sorted(await read_connections())


async def read_connections() -> dict[str, ConstantContactConnection]:
    """Read all connections by their names, without their secrets."""
    slug = ConstantContactConnection.get_block_type_slug()
    async with get_client() as client:
        try:
            await client.read_block_type_by_slug(slug)
        except ObjectNotFound:  # the first connection registers the type
            return {}
        documents = await client.read_block_documents_by_type(slug, include_secrets=False)
    return {one.name: _read_document(one) for one in documents if one.name}


async def save_connection(slug: str, connection: ConstantContactConnection) -> None:
    """Save a connection whole; the token's lock keeps others from renewing what it replaces."""
    await connection.asave(slug, overwrite=True)


async def change_connection(slug: str, values: dict[str, Any]) -> None:
    """Change some values of a saved connection, and none that another process changes meanwhile.

    Raises:
        UnknownConnection: it was removed.
    """
    async with get_client() as client:
        document = await _find_document(client, slug)
        if document is None:
            raise UnknownConnection(_removed(slug))
        await client.update_block_document(document.id, BlockDocumentUpdate(data=values))


async def delete_connection(slug: str) -> None:
    """Delete a connection's block, if it is there."""
    async with get_client() as client:
        document = await _find_document(client, slug)
        if document is not None:
            await client.delete_block_document(document.id)


def _removed(slug: str) -> str:
    return (
        f"The connection “{slug}” was removed or renamed meanwhile; look at "
        "`segment-export connections`, and name another."
    )


async def _find_document(client: PrefectClient, slug: str) -> BlockDocument | None:
    try:
        return await client.read_block_document_by_name(
            slug, ConstantContactConnection.get_block_type_slug()
        )
    except ObjectNotFound:
        return None


def _read_document(document: BlockDocument) -> ConstantContactConnection:
    # Not by Prefect's own way: it warns where the block was saved by an earlier version of ours.
    return ConstantContactConnection.model_validate(document.data)
