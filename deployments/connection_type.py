"""The type of a connection on the server: the form that Prefect's UI shows under Blocks."""

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockType
from prefect.exceptions import ObjectNotFound

from deployments.changes import Change, Outcome
from tasks.connection_block import ConstantContactConnection


def apply_connection_type(client: SyncPrefectClient) -> Change:
    """Have the server know what a connection is, as this version describes it."""
    before = _read_type(client)
    knew_form = before is not None and _has_form(client)
    ConstantContactConnection.register_type_and_schema()
    after = _read_type(client)
    name = ConstantContactConnection.get_block_type_name()
    if before is None:
        return Change("block type", name, Outcome.CREATED)
    is_same = knew_form and _describe(before) == _describe(after)
    return Change("block type", name, Outcome.UNCHANGED if is_same else Outcome.UPDATED)


def _read_type(client: SyncPrefectClient) -> BlockType | None:
    try:
        return client.read_block_type_by_slug(ConstantContactConnection.get_block_type_slug())
    except ObjectNotFound:
        return None


def _has_form(client: SyncPrefectClient) -> bool:
    checksum = ConstantContactConnection._calculate_schema_checksum()  # noqa: SLF001 -- Prefect has no public name for it
    try:
        client.read_block_schema_by_checksum(checksum)
    except ObjectNotFound:
        return False
    return True


def _describe(block_type: BlockType | None) -> dict[str, object]:
    shown = {"description", "code_example", "logo_url", "documentation_url"}
    return block_type.model_dump(include=shown) if block_type else {}
