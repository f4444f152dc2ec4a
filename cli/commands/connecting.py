"""Commands about connections: `connect`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import JsonOption

app = typer.Typer()
PANEL = "Connections"


@app.command(rich_help_panel=PANEL)
def connect(
    name: Annotated[str, typer.Argument(help="How to call the connection.")],
    client_id: Annotated[
        str, typer.Option(help="The API key (client id) of the Constant Contact application.")
    ] = "",
    client_secret_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A file that holds the client secret; none for a public client."
        ),
    ] = None,
    refresh_token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A file that holds a refresh token: nobody has to sign in."
        ),
    ] = None,
    device: Annotated[
        bool,
        typer.Option("--device", help="Sign in on any other device, with a code that is shown."),
    ] = False,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Show the address to sign in at; open no browser.")
    ] = False,
    redirect_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65_535,
            help="The port of this machine at which the browser comes back; 8976 if not given.",
        ),
    ] = None,
    redirect_url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="The redirect URI as registered for the application; "
            "http://127.0.0.1:PORT/signed-in if not given.",
        ),
    ] = "",
    sign_in_minutes: Annotated[
        float, typer.Option(min=0.01, help="How long to wait for somebody to sign in.")
    ] = 10,
    api_url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="The API's address, up to and with /v3; https://api.cc.email/v3 if not given.",
        ),
    ] = "",
    auth_url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="The sign-in service's address; "
            "https://authz.constantcontact.com/oauth2/default/v1 if not given.",
        ),
    ] = "",
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
        int | None,
        typer.Option(
            min=1,
            help="The most requests a day under this API key, of which partners may have more; "
            "10,000 if not given.",
        ),
    ] = None,
    vault: Annotated[
        Literal["block", "file"] | None,
        typer.Option(
            help="Keep tokens in Prefect (block), or in an encrypted file of the workers; in "
            "Prefect if not given."
        ),
    ] = None,
    vault_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The folder of that file; ~/.segment-export/vault if not given."
        ),
    ] = None,
    accept_data_privacy: Annotated[
        bool,
        typer.Option(
            "--accept-data-privacy", help="Agree that personal data leaves to Constant Contact."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Create a connection to a Constant Contact account, and check that it works.

    You sign in with your browser, or on another device (--device); where nobody can, give a
    refresh token. At a terminal it asks for what is missing. Secrets are read from files or typed,
    never on the command line. With the name of a connection that is there you sign in anew: all
    else about it stays, but for what you say.
    """
    from cli.connect import ConnectionForm, connect_account
    from cli.sign_in import SignInWay

    form = ConnectionForm(
        name=name,
        client_id=client_id,
        client_secret_file=client_secret_file,
        refresh_token_file=refresh_token_file,
        api_url=api_url,
        auth_url=auth_url,
        display_name=display_name,
        may_use=tuple(may_use or ()),
        contact_allowance=contact_allowance,
        daily_requests=daily_requests,
        vault="file" if vault_dir else vault or "",
        vault_dir=vault_dir,
        accepts_data_privacy=accept_data_privacy,
        way=SignInWay(
            is_by_device=device,
            redirect_port=redirect_port,
            redirect_url=redirect_url,
            opens_browser=not no_open,
            minutes=sign_in_minutes,
        ),
    )
    connect_account(form, as_json=as_json)
