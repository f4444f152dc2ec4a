"""Sign in again for a connection that is there: all else about it stays as it is."""

from pathlib import Path

from pydantic import SecretStr

from cli.connection_form import ConnectionForm, open_vault, read_secret
from cli.errors import CommandRefused
from tasks.connection_block import ConstantContactConnection, connection_slug, load_connection
from tasks.errors import UnknownConnection, VaultUnusable
from tasks.token_store import ConnectionTokenStore
from tasks.vaults import new_vault_file


def is_renewal(form: ConnectionForm) -> bool:
    """Say whether the form names no application: then it is that of the connection it names."""
    return not form.client_id and form.refresh_token_file is None


async def find_renewable(form: ConnectionForm) -> ConstantContactConnection | None:
    """Return the saved connection without its sign-in, changed as the form says; None if new.

    Raises:
        CommandRefused: its client secret cannot be read.
    """
    try:
        connection = await load_connection(form.name)
    except UnknownConnection:
        return None
    slug = connection_slug(form.name)
    try:
        kept = await ConnectionTokenStore(form.name).load_secrets()
        if (form.vault or connection.vault) == "block":
            connection.vault, connection.vault_file = "block", ""
        elif connection.vault == "block" or form.vault_dir is not None:
            connection.vault, connection.vault_file = "file", open_vault(form)
        else:
            # A file of its own: the one at hand is removed when the new sign-in is kept.
            folder = Path(connection.vault_file).parent
            connection.vault_file = str(new_vault_file(folder, slug))
    except VaultUnusable as error:
        raise CommandRefused(
            f"{error} To connect anew, give --client-id and --client-secret-file."
        ) from error
    given = form.client_secret_file
    connection.client_secret = read_secret(given) if given else kept.client_secret
    connection.access_token = connection.refresh_token = SecretStr("")
    connection.access_token_expires_at = 0.0
    connection.display_name = form.display_name or connection.display_name
    connection.may_use = list(form.may_use) or connection.may_use
    if form.contact_allowance is not None:
        connection.contact_allowance = form.contact_allowance
    return connection
