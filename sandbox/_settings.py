"""Every choice the sandbox makes where Constant Contact's documentation makes none."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """How a sandbox behaves.

    Numbers are those of the published contract unless marked; switches choose between readings
    of what is undocumented. Case numbers are those of the conformance table.

    Identity
        client_id, client_secret: the API key and secret of the first application; without a
            secret it is a public one.
        redirect_uris: where a browser may be sent back to with a code for that application;
            compared character by character.
        encoded_account_id, organization_name: what /account/summary tells.

    OAuth
        rotating_refresh_tokens: a refresh token is single-use and each refresh returns a new one
            (case 15); False: the long-lived setting, the same one every time (case 18).
        reuse_revokes_family: using a spent refresh token kills the newest one too (case 17).
        token_query_without_body: accept token requests that carry their fields in the query
            string and an empty body (case 5).
        access_token_life_s: 24 hours.
        refresh_token_idle_life_s: 180 days since it was made or last used (case 19).
        authorization_code_life_s: 5 minutes (case 8).
        device_code_life_s: how long a device code waits for a person (case 14; undocumented).
        device_interval_s: how far apart a device may ask (case 13; undocumented); asking sooner
            is answered slow_down and adds 5 seconds.

    Limits
        requests_per_second: of one API key, in any sliding second, by arrival (case 28).
        requests_per_day: of one API key, back at 00:00 UTC (case 30).
        token_requests_per_second: of one application at the token endpoint (case 21).
        activity_queue: unfinished activities of the account (case 31).
        body_limit_bytes: a request body must be smaller than this; the rest of an import is
            silently dropped, and always at least its last row (case 52). Undocumented whether
            4,000,000 or 4,194,304: the smaller.
        csv_row_limit, json_row_limit: contacts in one import; further rows are silently dropped
            (cases 53 and 64).
        custom_field_limit: custom fields of the account (case 95).
        lists_per_contact: a row that would exceed it counts as an error.

    Time that activities take (not documented; real seconds unless the clock is a manual one)
        initialized_s: before processing begins.
        processing_s: from then on, for any activity.
        processing_s_per_1000_rows: on top, for imports.
        activity_retention_s: activities are forgotten 10 days after they were made (case 73).

    Readings of the undocumented
        echo_file_name: activities tell `source_file_name` (case 65).
        activity_errors: list lines in error, as strings (case 44); False: always empty.
        activity_errors_most: at most so many of them.
        person_count_counts: `rows`, all rows read without the header, as the contract words it
            ("total number of contacts in the import file"); `imported`, those that landed.
        json_total_counts_header: items_total_count of a JSON import is rows + 1, as if it had
            been turned into a file.
        unknown_list: `refuse`, 400 for JSON and 404 for a file (case 51); `fail`, 201 and an
            activity that fails.
        unknown_headings: `refuse`, 400 for a column that the contract does not name; `ignore`.
        unknown_custom_fields: `ignore` a `cf:` column that names no field (case 55); `refuse`.
        too_many_custom_fields: `refuse`, 400 for more than 25 `cf:` columns (case 56); `ignore`
            those after the 25th.
        over_long_values: `correctable`, a row with a name over 50, a custom value over 255 and so
            on counts as correctable (case 57); `truncate` cuts the value.
        email_max_length: over it, a row counts as correctable (80; the contract says 50 for JSON
            in one place and 80 in five others).
        json_email_max_length: the same for JSON imports (case 54).
        over_long_json_email: `correctable`, or `refuse` the whole request with 400.
        over_long_json: `ignore` rows after the 40,000th (case 53); `refuse` with 400.
        lower_case_custom_field_names: `Customer ID` becomes customer_id, not Customer_ID (94).
        unsubscribed_can_be_added: add_list_memberships adds unsubscribed contacts (case 100).
        refuse_unknown_parameters: 400 for a query parameter that the contract does not name,
            and for a `cursor` together with any other.
        encoded_body_status: the answer to a body with a Content-Encoding (case 68).
        abused_addresses: addresses under the sign-up abuse flag, taken for invalid (case 107).
        refused_addresses: addresses for which a whole file is refused with 400; what a 400 may
            be about is undocumented.
    """

    client_id: str = "5a9d0b1c-3f52-4e0b-9c1e-a7d2f6b84e10"
    client_secret: str = "sandbox-secret-2Xq8vT"  # noqa: S105 - opens nothing but this sandbox
    redirect_uris: tuple[str, ...] = ("http://127.0.0.1:8976/signed-in",)
    encoded_account_id: str = "p07e1l8cdif9dl"
    organization_name: str = "Sandbox Outfitters"

    rotating_refresh_tokens: bool = True
    reuse_revokes_family: bool = False
    token_query_without_body: bool = True
    access_token_life_s: int = 86_400
    refresh_token_idle_life_s: float = 180 * 86_400.0
    authorization_code_life_s: float = 300.0
    device_code_life_s: float = 600.0
    device_interval_s: float = 5.0

    requests_per_second: int = 4
    requests_per_day: int = 10_000
    token_requests_per_second: int = 1
    activity_queue: int = 1_000
    body_limit_bytes: int = 4_000_000
    csv_row_limit: int = 39_999
    json_row_limit: int = 40_000
    custom_field_limit: int = 100
    lists_per_contact: int = 50

    initialized_s: float = 0.2
    processing_s: float = 0.8
    processing_s_per_1000_rows: float = 0.0
    activity_retention_s: float = 10 * 86_400.0

    echo_file_name: bool = True
    activity_errors: bool = True
    activity_errors_most: int = 100
    person_count_counts: Literal["rows", "imported"] = "rows"
    json_total_counts_header: bool = True
    unknown_list: Literal["refuse", "fail"] = "refuse"
    unknown_headings: Literal["refuse", "ignore"] = "refuse"
    unknown_custom_fields: Literal["refuse", "ignore"] = "ignore"
    too_many_custom_fields: Literal["refuse", "ignore"] = "refuse"
    over_long_values: Literal["correctable", "truncate"] = "correctable"
    email_max_length: int = 80
    json_email_max_length: int = 80
    over_long_json_email: Literal["correctable", "refuse"] = "correctable"
    over_long_json: Literal["ignore", "refuse"] = "ignore"
    lower_case_custom_field_names: bool = False
    unsubscribed_can_be_added: bool = False
    refuse_unknown_parameters: bool = True
    encoded_body_status: int = 415
    abused_addresses: frozenset[str] = frozenset()
    refused_addresses: frozenset[str] = frozenset()
