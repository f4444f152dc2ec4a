"""What the API tells of the account and of what its user may do."""

from typing import Any

from sandbox._account import Account
from sandbox._errors import gateway_forbidden
from sandbox._http import Answer, Call
from sandbox._query import read_query
from sandbox._tokens import PRIVILEGE_IDS


def get_summary(account: Account, call: Call) -> Answer:
    """Return the account's details (case 92)."""
    strict = account.settings.refuse_unknown_parameters
    query = read_query(call.query, {"extra_fields"}, is_strict=strict)
    extras = query.choices("extra_fields", {"physical_address", "company_logo"})
    content: dict[str, Any] = {
        "contact_email": "owner@sandbox.example",
        "contact_phone": "5085550100",
        "country_code": "US",
        "encoded_account_id": account.settings.encoded_account_id,
        "first_name": "Olga",
        "last_name": "Owner",
        "organization_name": account.settings.organization_name,
        "organization_phone": "5085550101",
        "state_code": "MA",
        "time_zone_id": "US/Eastern",
        "website": "https://sandbox.example",
    }
    if "physical_address" in extras:
        content["physical_address"] = {
            "address_line1": "1 Sand Street",
            "city": "Boston",
            "state_code": "MA",
            "postal_code": "02451",
            "country_code": "US",
        }
    if "company_logo" in extras:
        content["company_logo"] = {
            "url": "https://files.sandbox.example/logo.jpg",
            "internal_id": "ACCOUNT.IMAGE.1",
        }
    return Answer(200, content)


def get_privileges(_: Account, call: Call) -> Answer:
    """Return the privileges of the user behind the token (case 93)."""
    if call.token is None:
        raise gateway_forbidden()
    held = sorted(call.token.consent.privileges, key=lambda name: PRIVILEGE_IDS.get(name, 0))
    return Answer(
        200,
        [{"privilege_id": PRIVILEGE_IDS.get(name, 0), "privilege_name": name} for name in held],
    )
