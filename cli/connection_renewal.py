"""Connect again under a name that is there: all that is not said anew stays as it is."""

from pydantic import SecretStr

from cli.connection_form import ConnectionForm, open_vault, read_secret
from cli.errors import CommandRefused
from tasks.connection_block import ConstantContactConnection, load_connection
from tasks.errors import ExportRefused, UnknownConnection, VaultUnusable
from tasks.permission import find_asker, require_administrator
from tasks.token_store import ConnectionTokenStore


async def find_renewable(form: ConnectionForm) -> ConstantContactConnection | None:
    """Return the saved connection without its sign-in, changed as the form says; None if new.

    Raises:
        CommandRefused: it is for others to change, or its client secret cannot be read.
    """
    try:
        connection = await load_connection(form.name)
        # Before anybody signs in: that may end the sign-in which others use.
        require_administrator(form.name, connection, await find_asker())
    except UnknownConnection:
        return None
    except ExportRefused as error:
        raise CommandRefused(str(error)) from error
    is_same_application = form.client_id in {"", connection.client_id}
    connection.client_secret = await _find_secret(form, is_same_application=is_same_application)
    connection.refresh_token = connection.access_token = SecretStr("")
    if form.refresh_token_file is not None:
        connection.refresh_token = read_secret(form.refresh_token_file)
    connection.access_token_expires_at = 0.0
    if (form.vault or connection.vault) == "block":
        connection.vault, connection.vault_file = "block", ""
    else:
        # A file of its own: the one at hand is removed when the new sign-in is kept.
        connection.vault_file = open_vault(form, beside=connection.vault_file)
        connection.vault = "file"
    for name, value in form.said.items():
        setattr(connection, name, value)
    return connection


async def _find_secret(form: ConnectionForm, *, is_same_application: bool) -> SecretStr | None:
    """Find the application's secret; of another application than before it has to be given."""
    if form.client_secret_file is not None:
        return read_secret(form.client_secret_file)
    if form.client_secret is not None or not is_same_application:
        return form.client_secret
    try:
        return (await ConnectionTokenStore(form.name).load_secrets()).client_secret
    except VaultUnusable as error:
        raise CommandRefused(
            f"{error} To connect all the same, give --client-secret-file; an application that has "
            "no secret is connected again after `segment-export connections remove`."
        ) from error
