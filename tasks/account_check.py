"""Whether an account lets exports through: what its user and the application may do."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from constant_contact import AccessDenied, ConstantContact

SCOPE_USES = MappingProxyType(
    {
        "account_read": "tell which account it is",
        "contact_data": "read lists and send contacts",
        "offline_access": "sign in again by itself: without it exports stop after a day",
    }
)
PRIVILEGE_USES = MappingProxyType(
    {
        "account:read": "see which account it is",
        "contacts:lists:read": "read contact lists",
        "contacts:read": "read custom fields",
        "contacts:write": "import contacts, and see how an import ends",
    }
)


async def require_privileges(client: ConstantContact) -> None:
    """Refuse a user who may not do what exports do.

    Raises:
        AccessDenied: naming each privilege that is missing; or the application is deactivated,
            as this request asks for no scope and no privilege.
    """
    try:
        held = await client.get_privileges()
    except AccessDenied as error:
        if error.error_key is None:  # the gateway's: not about the application
            raise
        raise AccessDenied(
            "Constant Contact denies this application all access: it is deactivated. Activate it "
            "in the developer portal, then connect again.",
            status=error.status,
            error_key=error.error_key,
        ) from error
    missing = set(PRIVILEGE_USES) - held
    if held and missing:
        raise AccessDenied(
            f"The user who signed in lacks {listed(missing, PRIVILEGE_USES)}. Sign in as an "
            "Account Owner or Account Manager."
        )


@contextmanager
def naming_scope(scope: str) -> Iterator[None]:
    """Say which scope is missing where access is denied: privileges and application are good."""
    try:
        yield
    except AccessDenied as error:
        if error.error_key is None or "privilege" in str(error):
            raise
        raise AccessDenied(
            phrase_ungranted({scope}), status=error.status, error_key=error.error_key
        ) from error


async def require_activities(client: ConstantContact) -> None:
    """Read an activity; raises AccessDenied where the scope contact_data is missing."""
    # Importing and polling need contacts:write; reading one activity is the only harmless proof.
    async for _ in client.iter_activities():
        break


def phrase_ungranted(scopes: set[str]) -> str:
    """Say what scopes a sign-in lacks, and what to do."""
    return (
        f"Constant Contact did not grant this sign-in {listed(scopes, SCOPE_USES)}. Sign in again "
        "and allow all that is asked for; if it stays so, look at the application's settings in "
        "the developer portal."
    )


def listed(names: set[str], uses: Mapping[str, str]) -> str:
    """Name permissions and what each is for."""
    return ", ".join(f"{name} (to {uses[name]})" for name in sorted(names))
