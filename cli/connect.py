"""`segment-export connect`: create a connection and check that it works."""

import asyncio
import json
import sys
from contextlib import ExitStack, suppress

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException
from rich.console import Console

from cli.connect_questions import ask_for_secret, ask_for_the_rest, asks_questions
from cli.connection_check import save_and_check
from cli.connection_form import ConnectionForm, check_form, fill_in
from cli.connection_renewal import find_renewable
from cli.embedded import configured_api_url
from cli.prefect_api import prefect_api
from cli.printing import say
from cli.sign_in import Application, listening, sign_in
from constant_contact import Account, Credentials
from deployments.form_choices import renew_connections
from tasks.connection import token_pacer
from tasks.connection_block import ConstantContactConnection, connection_slug
from tasks.permission import find_asker

__all__ = ["ConnectionForm", "connect_account", "fill_in", "save_and_check"]


def connect_account(form: ConnectionForm, *, as_json: bool) -> None:
    """Create or renew a connection, with an embedded Prefect API where there is none; say so.

    Raises:
        CommandError: as `check_form`, `find_renewable`, `fill_in`, `sign_in` and `save_and_check`.
    """
    check_form(form)
    signs_in = form.refresh_token_file is None
    with ExitStack() as stack:
        stack.enter_context(prefect_api(say))
        connection = asyncio.run(find_renewable(form))
        if connection is None:
            form = ask_for_the_rest(form) if asks_questions(form) else form
            connection = fill_in(form, agreed_by=asyncio.run(find_asker()).name)
        elif form.client_id and connection.client_secret is None and asks_questions(form):
            connection.client_secret = ask_for_secret()
        # Before anybody signs in: a port that is taken is no news for afterwards.
        listener = stack.enter_context(listening(form.way)) if signs_in else None
        granted = None
        if signs_in:
            application = Application(
                Credentials(connection.client_id, connection.client_secret),
                connection.auth_url,
                token_pacer(connection),
            )
            granted = sign_in(application, form.way, listener, say)
        account = asyncio.run(save_and_check(form.name, connection, granted))
        offer_in_forms()
    _tell(form, connection, account, as_json=as_json)


def offer_in_forms() -> None:
    """Let the run forms of saved exports on a server offer the connections there are by now."""
    if configured_api_url() is None:
        return
    # Of no consequence to the connection, which is kept: the next deployment does it as well.
    with suppress(httpx.HTTPError, PrefectException), get_client(sync_client=True) as client:
        renew_connections(client)


def _tell(
    form: ConnectionForm, connection: ConstantContactConnection, account: Account, *, as_json: bool
) -> None:
    slug = connection_slug(form.name)
    if as_json:
        document = {
            "connection": slug,
            "display_name": connection.display_name,
            "account_id": account.encoded_account_id,
            "account_name": account.organization_name,
            "account_address": account.address,
            "may_use": connection.may_use,
            "contact_allowance": connection.contact_allowance,
            "daily_requests": connection.daily_requests,
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    console = Console()
    name = account.organization_name or "an account without a name"
    place = f", {account.address}" if account.address else ""
    console.print(
        f"✓ Connected “{slug}” to {name}{place} ({account.encoded_account_id}). "
        f"Who may use it: {', '.join(connection.may_use)}.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    console.print(
        f"Next: segment-export run --connection {slug} --help", highlight=False, soft_wrap=True
    )
