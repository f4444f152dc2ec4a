"""What every answer of Constant Contact means: to the client, to a run, to the person who reads.

`TABLE` holds a meaning for every operation and every answer that it may get. The tests hold the
client against it, and docs/reference/answers.md is written from it.
"""

from dataclasses import dataclass, replace

from constant_contact import (
    AccessDenied,
    ApiUnreachable,
    ConstantContactError,
    ListNotFound,
    MalformedAnswer,
    NotAuthorised,
    NotFound,
    OutcomeUnknown,
    QuotaExceeded,
    RequestRefused,
    ServerFault,
    SignInExpired,
    SignInUnavailable,
    WindowClosed,
)
from tests.contract.answer_scripts import ANSWERS, Operation


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one answer to one operation means.

    `does` is what the client does. `passes`: a single such answer is not noticed. The rest is of
    an answer that stays: after at most `requests` of the operation the client raises `error` and
    says `says` (… for what varies); without an error it has what it wanted, unless the import
    `pends` at the window's end. `accepted` are the imports of the file that the account has then.
    `comes_once`: it cannot stay, and the rest is of a single one.
    """

    does: str
    requests: int = 1
    passes: bool = False
    error: type[ConstantContactError] | None = None
    says: str = ""
    pends: bool = False
    accepted: int = 0
    comes_once: bool = False


GOES_ON = Meaning("takes it", passes=True)
ONCE = "stops at once"
ASKS_AGAIN = "asks again, up to 6 times within 3 minutes"
WAITS = "waits a second or more and asks again, until the window ends or for an hour"
POLLS = 10  # rounds until the tests' import is done
IN_A_WINDOW = 100  # requests in the minutes that the tests give to what is waited out

NO_JSON = (
    "Constant Contact's answer … is not JSON; check the API address and any proxy, then run again."
)
FAULT = "Constant Contact has a problem of its own (status …); run again later."
SILENT = "Constant Contact did not answer (…); check the network and run again."
SLOW = "Constant Contact did not finish answering … in time; run again."
NOBODY = "Constant Contact cannot be reached (…); check the network and run again."
QUOTA = "Today's quota of requests is used up; it returns at 00:00 UTC, in …. Run again then."
TOKEN_REFUSED = "Constant Contact refuses this connection's access token; connect again."
KEY_REFUSED = "Constant Contact refuses the API key or its secret; check both and connect again."
EXPIRED = "This connection's sign-in has expired or was used elsewhere; connect again."
SIGN_IN_LOST = (
    "The answer that held this connection's new sign-in was lost, and the old one works only "
    "once; connect again."
)
NO_SIGN_IN = "Constant Contact's sign-in service does not answer as it should (…); run again later."
WINDOW = "The export's window has ended while {}; run again to go on where it stopped."
UNKNOWN = (
    "Whether … was accepted could not be found out; run again: it is looked up before it is sent."
)
DENIED = "Constant Contact denies access: {}."
PRIVILEGE = DENIED.format(
    "the signed-in user lacks the privilege, sign in as an Account Owner or Account Manager"
)
SCOPE = DENIED.format(
    "the sign-in lacks the scopes contact_data and account_read, or the application is "
    "deactivated; check the application and connect again"
)
GATEWAY = DENIED.format(
    "the gateway turned the request away, check the API address and connect again"
)
DENIED_ON_THE_WAY = (
    "Access is denied (status 403) by an answer that does not look like Constant Contact's; check "
    "the connection's addresses, and any proxy or firewall on the way, then run again."
)
REFUSED = "Constant Contact refuses the request (status …): {}."
ELSEWHERE = REFUSED.format("it points elsewhere, check the API address")
WRONG = REFUSED.format("check the list, the columns and the custom fields")
MISSING = REFUSED.format("check the id, it may have been deleted")
CONFLICT = REFUSED.format("it conflicts with something that exists already")
TOO_LARGE = REFUSED.format("it is too large, send fewer contacts in it")
NO_FILE = REFUSED.format("a file must be a .csv sent as multipart/form-data")
NOT_THE_LIST = (
    "Constant Contact's answer about a contact list is not of the list that was asked for; check "
    "the API address, then run again."
)
NOT_THE_NUMBER = (
    "Constant Contact's answer about the number of a contact list does not say which list it is; "
    "check the API address, then run again."
)
NO_LIST = 'The account has no contact list "…"; its lists include: ….'
TROUBLE = "From … UTC on, for …, {}."


def final(error: type[ConstantContactError], says: str, does: str = ONCE) -> Meaning:
    """Stop at the first such answer."""
    return Meaning(does, error=error, says=says)


def asked_again(error: type[ConstantContactError], says: str) -> Meaning:
    """Ask again for a while."""
    return Meaning(ASKS_AGAIN, requests=6, passes=True, error=error, says=says)


DENIALS = {
    "403 for lack of a privilege": final(AccessDenied, PRIVILEGE),
    "403 for lack of a scope, or of an application that is switched off": final(
        AccessDenied, SCOPE
    ),
    "403 from the gateway": final(AccessDenied, GATEWAY),
    **dict.fromkeys(("403 with HTML", "403 with nothing"), final(AccessDenied, DENIED_ON_THE_WAY)),
    "429 quota_exceeded": final(
        QuotaExceeded, QUOTA, "stops at once and sends nothing more in this run"
    ),
}
REFUSALS = {
    "302": final(RequestRefused, ELSEWHERE),
    "400": final(RequestRefused, WRONG),
    "404": final(NotFound, MISSING),
    "409": final(RequestRefused, CONFLICT),
    "413": final(RequestRefused, TOO_LARGE),
    "415": final(RequestRefused, NO_FILE),
}
RENEWED = Meaning(
    "refreshes the sign-in once and asks again once",
    requests=2,
    passes=True,
    error=NotAuthorised,
    says=TOKEN_REFUSED,
)
MALFORMED = ("JSON cut short", "200 with HTML")
FAULTS = ("408", "500", "502", "503")
CARRIED_OUT = tuple(name for name in ANSWERS if name.endswith("and it was carried out"))
THROTTLED = "too many requests a second came in under this API key"
TROUBLES = {
    MalformedAnswer: "Constant Contact's answers could not be read",
    ServerFault: "Constant Contact had a problem of its own",
    ApiUnreachable: "Constant Contact did not answer",
    WindowClosed: THROTTLED,
}
NAMES_NO_ACTIVITY = "Constant Contact's answer to the import of … names no activity; run again."

READING: dict[str, Meaning] = {
    "as promised": GOES_ON,
    **dict.fromkeys(MALFORMED, asked_again(MalformedAnswer, NO_JSON)),
    **REFUSALS,
    **DENIALS,
    "401": RENEWED,
    **dict.fromkeys(
        ("429 throttled", "429 without a known key"),
        Meaning(
            WAITS,
            requests=IN_A_WINDOW,
            passes=True,
            error=WindowClosed,
            says=WINDOW.format(THROTTLED),
        ),
    ),
    **dict.fromkeys(FAULTS, asked_again(ServerFault, FAULT)),
    "no answer in time": asked_again(ApiUnreachable, SILENT),
    "a dropped connection": asked_again(ApiUnreachable, SILENT),
    "a body slower than the time limit": asked_again(ApiUnreachable, SLOW),
    "no connection": asked_again(ApiUnreachable, NOBODY),
}


def holding_no(what: str) -> Meaning:
    """Ask again for a collection whose answer is about something else."""
    return asked_again(
        MalformedAnswer,
        f"Constant Contact's answer to … holds no {what}; check the API address, then run again.",
    )


def polling() -> dict[str, Meaning]:
    """Wait over what may pass, until the window ends, and remember what it was."""
    does = "goes on asking until the window ends"
    return {
        name: Meaning(
            does,
            requests=IN_A_WINDOW,
            passes=True,
            says=TROUBLE.format(TROUBLES[meaning.error]),
            pends=True,
        )
        if meaning.error in TROUBLES
        else meaning
        for name, meaning in (READING | {"200 about something else": holding_no("")}).items()
    }


NO_ID = "Constant Contact's answer about activity … holds no id; run again."
NOT_THE_ACTIVITY = (
    "Constant Contact's answer about activity … is about another one; check the API address, then "
    "run again."
)
AMONG_ALL = replace(
    GOES_ON,
    does="looks for it among all lists; the run is refused if it is not there either",
    requests=2,
    passes=True,
)
EMPTY = replace(
    GOES_ON,
    does="asks once more, and then takes it for an empty collection",
    requests=2,
    passes=True,
)

SIGN_IN_AGAIN = Meaning(
    "asks again, up to 5 times within 90 seconds",
    requests=5,
    passes=True,
    error=SignInUnavailable,
    says=NO_SIGN_IN,
)
SIGN_IN_GONE = Meaning(
    "asks again, and learns that the refresh token is spent",
    requests=2,
    error=SignInExpired,
    says=SIGN_IN_LOST,
    comes_once=True,
)
SENDS_AGAIN = (
    "looks for the file among the activities, 5 times within 15 seconds, and sends it again when "
    "it is not there, up to 5 times"
)
FOUND = Meaning(
    "looks for the file among the activities, finds it, and goes on with its activity",
    passes=True,
    accepted=1,
)


def sent_again(error: type[ConstantContactError], says: str) -> Meaning:
    """Look, and send the file again."""
    return Meaning(SENDS_AGAIN, requests=5, passes=True, error=error, says=says)


HALVED = (
    "stops at once; the batch is halved down to the contacts at fault, and these are rejected as "
    "`refused_by_api`"
)

TABLE: dict[Operation, dict[str, Meaning]] = {
    Operation.TOKEN: {
        "as promised": GOES_ON,
        **DENIALS,
        **dict.fromkeys(
            (
                *REFUSALS,
                *FAULTS,
                "200 with HTML",
                "200 about something else",
                "no answer in time",
                "a dropped connection",
                "no connection",
            ),
            SIGN_IN_AGAIN,
        ),
        **dict.fromkeys(
            ("429 throttled", "429 without a known key"),
            replace(
                SIGN_IN_AGAIN,
                does="waits a second or more and asks again, for up to 2 minutes",
                requests=30,
            ),
        ),
        **dict.fromkeys(
            (
                *CARRIED_OUT,
                "JSON cut short",
                "2xx without what it is for",
                "a body slower than the time limit",
            ),
            SIGN_IN_GONE,
        ),
        "401": final(NotAuthorised, KEY_REFUSED),
        "invalid_client": final(NotAuthorised, KEY_REFUSED),
        "invalid_grant": final(SignInExpired, EXPIRED),
    },
    Operation.LIST: READING
    | {
        "2xx without what it is for": asked_again(MalformedAnswer, NOT_THE_LIST),
        "200 about something else": asked_again(MalformedAnswer, NOT_THE_LIST),
        "200 about another one": asked_again(MalformedAnswer, NOT_THE_LIST),
        "400": AMONG_ALL,
        "404": AMONG_ALL,
        "404, and it is not among all lists": Meaning(
            "looks for it among all lists, to name some",
            requests=2,
            error=ListNotFound,
            says=NO_LIST,
        ),
    },
    Operation.NUMBER: READING
    | {
        **dict.fromkeys(
            (
                "2xx without what it is for",
                "200 about something else",
                "200 about another one",
            ),
            asked_again(MalformedAnswer, NOT_THE_NUMBER),
        ),
        **dict.fromkeys(
            ("200 with no list", "400", "404"),
            final(ListNotFound, NO_LIST, "reads all lists, to name some"),
        ),
    },
    Operation.FIELDS: READING
    | {
        "2xx without what it is for": EMPTY,
        "200 about something else": holding_no("custom_fields"),
    },
    Operation.JOURNAL: READING
    | {
        "2xx without what it is for": EMPTY,
        "200 about something else": holding_no("activities"),
        "an activity in an unknown state": replace(
            GOES_ON, does="counts it as accepted and not finished"
        ),
    },
    Operation.IMPORT: {
        "as promised": replace(GOES_ON, accepted=1),
        "an activity in an unknown state": replace(GOES_ON, accepted=1),
        **dict.fromkeys(
            (
                "JSON cut short",
                "2xx without what it is for",
                "a body slower than the time limit",
                *CARRIED_OUT,
                "503, and it was carried out and shows late",
            ),
            FOUND,
        ),
        "200 with HTML": sent_again(MalformedAnswer, NO_JSON),
        "200 about something else": sent_again(MalformedAnswer, NAMES_NO_ACTIVITY),
        **REFUSALS,
        "400": final(RequestRefused, WRONG, HALVED),
        "413": final(RequestRefused, TOO_LARGE, HALVED),
        **DENIALS,
        "401": replace(RENEWED, does="refreshes the sign-in once and sends it again once"),
        "429 throttled": replace(READING["429 throttled"], does=WAITS.replace("asks", "sends")),
        "429 without a known key": Meaning(
            "takes the account's queue for full: reads the activities until fewer than 1,000 are "
            "unfinished, and sends it again",
            requests=IN_A_WINDOW,
            passes=True,
            error=WindowClosed,
            says=WINDOW.format("the account's queue of 1,000 activities was full"),
        ),
        **dict.fromkeys(FAULTS, sent_again(ServerFault, FAULT)),
        "no answer in time": sent_again(ApiUnreachable, SILENT),
        "a dropped connection": sent_again(ApiUnreachable, SILENT),
        "no connection": replace(
            sent_again(ApiUnreachable, NOBODY),
            does="sends it again, up to 5 times: nothing can have arrived",
        ),
        "503, and it was carried out and the activities cannot be read": Meaning(
            "looks for the file, in vain, and sends nothing again",
            error=OutcomeUnknown,
            says=UNKNOWN,
            accepted=1,
        ),
        **dict.fromkeys(
            (
                "201 cut short, and it does not show for 15 seconds",
                "201 slower than the time limit, and it does not show for 15 seconds",
            ),
            Meaning(
                "looks for the file, in vain, and sends nothing again: 201 says that it was "
                "accepted",
                error=OutcomeUnknown,
                says=UNKNOWN,
                accepted=1,
            ),
        ),
    },
    Operation.POLL: polling()
    | {
        "as promised": replace(GOES_ON, requests=POLLS),
        "2xx without what it is for": replace(
            GOES_ON, does="asks for each import by its id after five rounds", requests=POLLS + 2
        ),
        "an activity in an unknown state": Meaning(
            "takes it for unfinished, until the window ends", requests=IN_A_WINDOW, pends=True
        ),
    },
    Operation.ACTIVITY: READING
    | {
        "2xx without what it is for": asked_again(MalformedAnswer, NO_ID),
        "200 about something else": asked_again(MalformedAnswer, NO_ID),
        "200 about another one": asked_again(MalformedAnswer, NOT_THE_ACTIVITY),
        "404": final(
            NotFound,
            MISSING,
            "takes it for late; after five such answers in a row, waits for this import no more",
        ),
        "an activity in an unknown state": replace(GOES_ON, does="takes it for unfinished"),
    },
}
