"""`segment-export lists`: the contact lists that a connection reaches."""

import json
import sys

from rich.table import Table

from cli.connections import ask
from cli.prefect_api import prefect_api
from cli.printing import print_table, say
from constant_contact import ContactList
from tasks.connection_upkeep import open_account


def show_lists(connection: str, *, as_json: bool) -> None:
    """List the account's contact lists by name.

    Raises:
        CommandRefused: there is no such connection, or it may not be used.
        CommandFailed: the account could not be asked.
    """
    with prefect_api(say):
        found = ask(_read_lists(connection))
    found.sort(key=lambda one: (one.name.casefold(), one.list_id))
    if as_json:
        entries = [
            {
                "name": one.name,
                "list_id": one.list_id,
                "members": one.membership_count,
                "updated_at": one.updated_at.isoformat() if one.updated_at else None,
            }
            for one in found
        ]
        sys.stdout.write(json.dumps({"lists": entries}, indent=2) + "\n")
    elif found:
        print_table(tabulate(found))
    else:
        sys.stdout.write("The account has no contact list; create one in Constant Contact.\n")


async def _read_lists(connection: str) -> list[ContactList]:
    async with open_account(connection) as client:
        return await client.get_lists()


def tabulate(lists: list[ContactList]) -> Table:
    """Put contact lists into a table."""
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    table.add_column("name", overflow="fold")
    table.add_column("ID", no_wrap=True)
    table.add_column("members", justify="right")
    table.add_column("updated")
    for one in lists:
        members = "" if one.membership_count is None else f"{one.membership_count:,}"
        updated = f"{one.updated_at:%Y-%m-%d %H:%M} UTC" if one.updated_at else ""
        table.add_row(one.name, one.list_id, members, updated)
    return table
