"""Commands about connections: `connect`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption

app = typer.Typer()
PANEL = "Connections"


@app.command(rich_help_panel=PANEL)
def connect(
    name: Annotated[str, typer.Argument(help="How to call the connection.")],
    client_id: Annotated[
        str, typer.Option(help="The API key (client id) of the Constant Contact application.")
    ],
    refresh_token_file: Annotated[
        Path, typer.Option(metavar="FILE", help="A file that holds a refresh token.")
    ],
    client_secret_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A file that holds the client secret; none for a public client."
        ),
    ] = None,
    api_url: Annotated[
        str, typer.Option(metavar="URL", help="The API's address, up to and with /v3.")
    ] = "https://api.cc.email/v3",
    auth_url: Annotated[
        str, typer.Option(metavar="URL", help="The sign-in service's address.")
    ] = "https://authz.constantcontact.com/oauth2/default/v1",
    display_name: Annotated[str, typer.Option(help="A name for people; NAME if empty.")] = "",
    may_use: Annotated[
        list[str] | None,
        typer.Option(help="Who may use the connection; administrators if not given."),
    ] = None,
    contact_allowance: Annotated[
        int | None,
        typer.Option(min=0, help="The most contacts that the contract allows in one export."),
    ] = None,
    daily_requests: Annotated[
        int,
        typer.Option(
            min=1, help="The most requests a day under this API key; partners may have more."
        ),
    ] = 10_000,
    accept_data_privacy: Annotated[
        bool,
        typer.Option(
            "--accept-data-privacy", help="Agree that personal data leaves to Constant Contact."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Create a connection to a Constant Contact account, and check that it works.

    Secrets are read from files, never from the command line. Connecting a name again renews its
    sign-in.
    """
    from cli.connect import ConnectionForm, connect_account

    form = ConnectionForm(
        name=name,
        client_id=client_id,
        client_secret_file=client_secret_file,
        refresh_token_file=refresh_token_file,
        api_url=api_url,
        auth_url=auth_url,
        display_name=display_name or name,
        may_use=tuple(may_use or ["administrators"]),
        contact_allowance=contact_allowance,
        daily_requests=daily_requests,
        accepts_data_privacy=accept_data_privacy,
    )
    connect_account(form, as_json=as_json)
