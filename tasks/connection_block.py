"""A connection to one Constant Contact account, as it is kept: a Prefect block."""

import re
from datetime import datetime
from difflib import get_close_matches
from typing import Any, ClassVar, Literal

from prefect.blocks.core import Block
from prefect.blocks.system import Secret
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import BlockDocumentUpdate
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectNotFound
from pydantic import ConfigDict, Field, HttpUrl, SecretStr, ValidationError

from constant_contact import API_URL, AUTH_URL, DAILY_REQUESTS
from tasks.errors import BrokenConnection, UnknownConnection

ADMINISTRATORS = "administrators"

DETACHED = (
    "The export has no connection any more: it was taken away. Give it one with `segment-export "
    "exports attach EXPORT --connection NAME`, and run it again; an administrator makes one with "
    "`segment-export connect NAME`."
)


class ConstantContactConnection(Block):
    """Sign-in to one Constant Contact account: who may use it, and what the contract allows.

    Made by `segment-export connect`; exports refer to it by name.
    """

    _block_type_name: ClassVar[str | None] = "Constant Contact Connection"
    _block_type_slug: ClassVar[str | None] = "constant-contact-connection"
    _description: ClassVar[str | None] = (
        "Sign-in to one Constant Contact account. Make it with `segment-export connect NAME` in a "
        "terminal, which signs in; here it is looked at, and who may use it is changed."
    )
    # From where Prefect's own come: its client takes no image that is in the address itself.
    _logo_url: ClassVar[HttpUrl | None] = Secret._logo_url  # noqa: SLF001 -- meant for subclasses
    _code_example: ClassVar[str | None] = """
        # In a terminal: make a connection, or sign in to it again.
        segment-export connect acme

        # Exports refer to it by its name.
        segment-export connections test acme
        segment-export run --connection acme --help
        """

    model_config = ConfigDict(hide_input_in_errors=True)

    display_name: str = Field(title="Name for people", description="How people call it.")
    client_id: str = Field(title="API key", description="Of the Constant Contact application.")
    vault: Literal["block", "file"] = Field(
        default="block",
        title="Where secrets are kept",
        description="`block`: here, in client secret, refresh token and access token. `file`: in "
        "an encrypted file on the workers, and those three are empty. `segment-export connect` "
        "moves them; changing this alone loses the sign-in.",
    )
    vault_file: str = Field(
        default="", title="Encrypted file", description="Its path on the workers, if there is one."
    )
    client_secret: SecretStr | None = Field(
        default=None,
        title="Client secret",
        description="Of the application; a public client has none.",
    )
    refresh_token: SecretStr = Field(
        default=SecretStr(""),
        title="Refresh token",
        description="Replaced at each refresh by a new one.",
    )
    access_token: SecretStr = Field(
        default=SecretStr(""), title="Access token", description="The current one, if any."
    )
    access_token_expires_at: float = Field(
        default=0.0, title="Access token expires at", description="Seconds since 1970, UTC."
    )
    api_url: str = Field(default=API_URL, title="API address", description="Up to and with /v3.")
    auth_url: str = Field(
        default=AUTH_URL, title="Sign-in address", description="Of Constant Contact's sign-in."
    )
    may_use: list[str] = Field(
        default=[ADMINISTRATORS],
        title="Who may use it",
        description="`administrators`, names of users, or `group:NAME`.",
    )
    administrators: list[str] = Field(
        default=[],
        title="Administrators",
        description="Written down when it was made: names of users, or `group:NAME`.",
    )
    contact_allowance: int | None = Field(
        default=None,
        ge=0,
        title="Contact allowance",
        description="The most contacts the customer's contract allows in one export.",
    )
    daily_requests: int = Field(
        default=DAILY_REQUESTS,
        ge=1,
        title="Requests a day",
        description="The most under this API key; partners may have more.",
    )
    account_id: str = Field(
        default="", title="Account ID", description="Of the account it reaches."
    )
    account_name: str = Field(
        default="", title="Account name", description="Of the account it reaches."
    )
    privacy_accepted_at: datetime | None = Field(
        default=None,
        title="Privacy statement agreed to at",
        description="When it was agreed that personal data leaves.",
    )
    privacy_accepted_by: str = Field(
        default="", title="Privacy statement agreed to by", description="Who agreed to it."
    )


def connection_slug(name: str) -> str:
    """Turn a connection's name into the name of its block: lower-case letters, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


async def load_connection(name: str) -> ConstantContactConnection:
    """Load a connection by name.

    Raises:
        UnknownConnection: with near names, or the command that makes one.
        BrokenConnection: with the fields at fault.
    """
    connection, trouble = await salvage_connection(name)
    if trouble:
        raise BrokenConnection(trouble)
    return connection


async def salvage_connection(name: str) -> tuple[ConstantContactConnection, str]:
    """Load what is good of a connection, for whoever removes it, and say what is not.

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


async def read_connections() -> dict[str, tuple[ConstantContactConnection, str]]:
    """Read what is good of all connections by their names, without secrets, and what is not."""
    slug = ConstantContactConnection.get_block_type_slug()
    async with get_client() as client:
        try:
            await client.read_block_type_by_slug(slug)
        except ObjectNotFound:  # a deployment registers the type, or the first connection
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


def _read_document(document: BlockDocument) -> tuple[ConstantContactConnection, str]:
    """Read a block field by field where need be: anybody may have edited it in Prefect's UI."""
    # Not by Prefect's own way: it warns where the block was saved by an earlier version of ours.
    data = dict(document.data)
    try:
        return ConstantContactConnection.model_validate(data), ""
    except ValidationError as error:
        wrong = {str(one["loc"][0]): one["msg"] for one in error.errors(include_input=False)}
    good = {name: value for name, value in data.items() if name not in wrong}
    if "vault" in wrong and good.get("vault_file"):
        good["vault"] = "file"
    connection = ConstantContactConnection.model_validate(
        {"display_name": "", "client_id": "", **good}
    )
    told = "; ".join(f"{name}: {why[:1].lower()}{why[1:]}" for name, why in sorted(wrong.items()))
    return connection, (
        f"The connection “{document.name}” was edited so that it cannot be used ({told}). Put that "
        "right in Prefect's UI, under Blocks, or remove it and connect again."
    )
