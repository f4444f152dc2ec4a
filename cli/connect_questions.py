"""What `segment-export connect` asks at a terminal, where the command line does not say."""

import sys
from dataclasses import replace

import typer
from pydantic import SecretStr

from cli.connection_form import PRIVACY_STATEMENT, ConnectionForm
from cli.errors import CommandRefused

STOPPED = "Stopped; nothing was saved."


def asks_questions(form: ConnectionForm) -> bool:
    """Say whether somebody is there to be asked: with a refresh token in a file nobody is."""
    return form.refresh_token_file is None and sys.stdin.isatty() and sys.stderr.isatty()


def ask_for_the_rest(form: ConnectionForm) -> ConnectionForm:
    """Ask for everything that the command line leaves open.

    One that agrees to the privacy statement is complete, but for the API key.

    Raises:
        CommandRefused: the privacy statement is not agreed to, or somebody stops.
    """
    try:
        is_complete = form.accepts_data_privacy
        if not is_complete:
            form = _ask_who(form)
        if not form.client_id:
            form = replace(form, client_id=_ask("API key of the application"))
            is_complete = False
        if not is_complete and form.client_secret_file is None:
            form = replace(form, client_secret=_ask_secret())
    except typer.Abort:
        raise CommandRefused(STOPPED) from None
    return form


def ask_for_secret() -> SecretStr | None:
    """Ask for the secret of another application; None where it has none.

    Raises:
        CommandRefused: somebody stops.
    """
    try:
        return _ask_secret()
    except typer.Abort:
        raise CommandRefused(STOPPED) from None


def _ask_who(form: ConnectionForm) -> ConnectionForm:
    display_name = form.display_name or _ask("Display name", default=form.name)
    may_use = form.may_use
    if not may_use:
        named = _ask("Who may use it, separated by commas", default="administrators")
        may_use = tuple(name.strip() for name in named.split(",") if name.strip())
    typer.echo(f"\n{PRIVACY_STATEMENT}\n", err=True)
    if _ask("Type yes if you agree").lower() != "yes":
        raise CommandRefused("Without your agreement there is no connection; nothing was saved.")
    return replace(form, display_name=display_name, may_use=may_use, accepts_data_privacy=True)


def _ask_secret() -> SecretStr | None:
    secret = typer.prompt(
        "Client secret (not shown; Enter when the application has none)",
        default="", hide_input=True, show_default=False, err=True,
    )  # fmt: skip
    return SecretStr(secret) if secret else None


def _ask(question: str, default: str | None = None) -> str:
    answer: str = typer.prompt(question, default=default, err=True)
    return answer.strip()
