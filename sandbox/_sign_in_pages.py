"""The pages on which a person allows an application access, or does not."""

from collections.abc import Iterable
from html import escape

from sandbox._http import Answer
from sandbox._tokens import ACCOUNT_OWNER, CAMPAIGN_CREATOR, Client

USERS = {
    "owner": ("Olga Owner, Account Owner", ACCOUNT_OWNER),
    "creator": ("Carl Creator, Campaign Creator", CAMPAIGN_CREATOR),
}
"""Who may sign in at the sandbox, and with what privileges."""

SCOPES_IN_WORDS = {
    "account_read": "read the account's name and settings",
    "account_update": "change the account's settings",
    "campaign_data": "read and write campaigns",
    "contact_data": "read, add and change contacts and lists",
    "offline_access": "do so also when nobody is signed in",
}
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}"
    "button,select,input{font:inherit;padding:.4rem 1rem;margin:.5rem .5rem .5rem 0}"
)


def ask_consent(
    client: Client, account: str, scopes: Iterable[str], *, path: str, ticket: str
) -> Answer:
    """Ask whether an application may; `ticket` comes back with the decision."""
    users = "".join(
        f'<option value="{key}">{escape(name)}</option>' for key, (name, _) in USERS.items()
    )
    wishes = "".join(
        f"<li>{escape(SCOPES_IN_WORDS[scope])} (<code>{scope}</code>)</li>"
        for scope in sorted(scopes)
    )
    return page(
        "Allow access?",
        f"<p><b>{escape(client.name)}</b> asks for access to the account "
        f"<b>{escape(account)}</b>. It wants to:</p><ul>{wishes}</ul>"
        f'<form method="post" action="{path}">'
        f'<input type="hidden" name="ticket" value="{escape(ticket)}">'
        f'<label>You are <select name="user">{users}</select></label><br>'
        '<button name="decision" value="allow">Allow</button>'
        '<button name="decision" value="deny">Deny</button></form>',
    )


def ask_user_code(*, path: str, remark: str = "") -> Answer:
    """Ask for the code that a device shows."""
    return page(
        "Activate your device",
        f"<p>{escape(remark)}</p>"
        f'<form method="get" action="{path}">'
        '<label>Code on the device <input name="user_code" autofocus></label>'
        "<button>Next</button></form>",
    )


def page(title: str, content: str, status: int = 200) -> Answer:
    """Return a page; `content` is HTML."""
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        f"</title><style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{content}"
        "<p><small>This is a stand-in for Constant Contact.</small></p></body></html>"
    )
    headers = {"Cache-Control": "no-store", "X-Frame-Options": "DENY"}
    return Answer(status, html, "text/html; charset=utf-8", headers)
