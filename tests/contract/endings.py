"""What a run makes of the client's errors, and what the messages of the table of answers mean."""

from dataclasses import dataclass
from enum import StrEnum

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
from schemas.outcome import Status
from tests.contract import answers as a
from tests.contract.answer_scripts import Operation


class Stage(StrEnum):
    """How far a run is when an error comes up."""

    BEFORE = "before the uploads"
    UPLOAD = "during them, some being accepted"
    WAIT = "after them"


STAGES = {
    Operation.TOKEN: (Stage.BEFORE, Stage.UPLOAD, Stage.WAIT),
    Operation.LIST: (Stage.BEFORE,),
    Operation.NUMBER: (Stage.BEFORE,),
    Operation.FIELDS: (Stage.BEFORE,),
    Operation.JOURNAL: (Stage.BEFORE,),
    Operation.IMPORT: (Stage.UPLOAD,),
    Operation.POLL: (Stage.WAIT,),
    Operation.ACTIVITY: (Stage.WAIT,),
}


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ends: what we call it here, its status, the command's exit code, and in words."""

    name: str
    status: Status
    exit_code: int
    words: str


REFUSED = RunEnd(
    "refused", Status.FAILED, 2, "Nothing was uploaded, and what the message names is to be mended."
)
FAILED = RunEnd(
    "failed", Status.FAILED, 1, "Nothing was uploaded. Running it again, as it is, begins anew."
)
NOT_BEGUN = RunEnd(
    "not begun", Status.INCOMPLETE, 1, "Nothing was uploaded. Running it again later begins anew."
)
CUT_OFF = RunEnd(
    "cut off",
    Status.INCOMPLETE,
    1,
    "No further batch is uploaded. Those that are accepted are waited for, if they can be asked "
    "about. Running it again sends the rest and nothing twice.",
)
BATCH_REFUSED = RunEnd(
    "batch refused",
    Status.FAILED,
    1,
    "The batch counts as refused, and the others are delivered. Running it again sends the batch "
    "once more.",
)
UNWATCHED = RunEnd(
    "unwatched",
    Status.INCOMPLETE,
    1,
    "What is uploaded goes on at Constant Contact, but is not waited for. Running it again finds "
    "what was imported meanwhile.",
)
WAITS_ON = RunEnd(
    "waits on",
    Status.INCOMPLETE,
    1,
    "The run goes on by itself if the trouble passes before the window ends, and then ends as if "
    "nothing had been. Else running it again finds what was imported meanwhile.",
)
ENDS = (REFUSED, FAILED, NOT_BEGUN, CUT_OFF, BATCH_REFUSED, UNWATCHED, WAITS_ON)

_PASSING = (ApiUnreachable, ServerFault, MalformedAnswer, SignInUnavailable)
_REFUSING = (AccessDenied, NotAuthorised, SignInExpired)

RUNS: dict[tuple[type[ConstantContactError], Stage], RunEnd] = {
    **{(error, Stage.BEFORE): FAILED for error in _PASSING},
    **{(error, Stage.UPLOAD): CUT_OFF for error in (*_PASSING, *_REFUSING)},
    **{(error, Stage.WAIT): WAITS_ON for error in (*_PASSING, WindowClosed)},
    **{(error, Stage.BEFORE): REFUSED for error in (*_REFUSING, RequestRefused, NotFound)},
    **{(error, Stage.WAIT): UNWATCHED for error in (*_REFUSING, RequestRefused, NotFound)},
    **{(error, Stage.UPLOAD): BATCH_REFUSED for error in (RequestRefused, NotFound)},
    (ListNotFound, Stage.BEFORE): REFUSED,
    (QuotaExceeded, Stage.BEFORE): NOT_BEGUN,
    (QuotaExceeded, Stage.UPLOAD): CUT_OFF,
    (QuotaExceeded, Stage.WAIT): UNWATCHED,
    (WindowClosed, Stage.BEFORE): NOT_BEGUN,
    (WindowClosed, Stage.UPLOAD): CUT_OFF,
    (OutcomeUnknown, Stage.UPLOAD): CUT_OFF,
}


@dataclass(frozen=True, slots=True)
class Message:
    """A text that a person may read: what happened, what it means, what to do."""

    text: str
    happened: str
    means: str
    do: str


AGAIN = "Run the same export again."
CONNECT = "`segment-export connect` again."

MESSAGES = (
    Message(
        a.NO_JSON,
        "Every one of several answers was a web page, or was cut short.",
        "Something between here and Constant Contact answers in its place, or cuts connections.",
        "Check the API address of the connection and the proxy; then run again.",
    ),
    *(
        Message(
            text,
            "Several answers in a row were JSON about something else.",
            "Another service answers at that address, or Constant Contact is being repaired.",
            "Check the API address of the connection; else run again later.",
        )
        for text in (
            a.holding_no("custom_fields").says,
            a.holding_no("activities").says,
            a.NO_ID,
            a.NAMES_NO_ACTIVITY,
        )
    ),
    Message(
        a.FAULT,
        "Constant Contact answered with 408 or 5… each time, over several tries.",
        "It is out of order for longer than a moment.",
        "Run again later. An upload that was accepted all the same is recognised.",
    ),
    Message(
        a.SILENT,
        "The connection was cut, or no answer came in time, over several tries.",
        "The network, a proxy or Constant Contact is in trouble.",
        "Check the network; run again. An upload that arrived all the same is recognised.",
    ),
    Message(
        a.SLOW,
        "Answers began and did not end, over several tries.",
        "The line is too slow, or something holds the answers back.",
        "Check the network and the proxy; run again.",
    ),
    Message(
        a.NOBODY,
        "No connection came about, over several tries.",
        "The address is wrong, or a firewall, a proxy or the name service is in the way.",
        "Check the network and the API address; run again.",
    ),
    Message(
        a.QUOTA,
        "Constant Contact said that the day's requests are used up.",
        "10,000 requests a day, over everything that uses the API key.",
        "Run again after 00:00 UTC; it goes on where it stopped.",
    ),
    Message(
        a.TOKEN_REFUSED,
        "A new access token was refused just like the one before.",
        "The sign-in was withdrawn, or belongs to another API address.",
        CONNECT,
    ),
    Message(
        a.KEY_REFUSED,
        "The sign-in service did not take the application's key and secret.",
        "The secret was made anew, or the two do not belong together.",
        f"Check both in Constant Contact's developer portal; {CONNECT}",
    ),
    Message(
        a.EXPIRED,
        "The sign-in service did not take the refresh token.",
        "It works once: it was used elsewhere, is older than 180 days, or was withdrawn.",
        CONNECT,
    ),
    Message(
        a.SIGN_IN_LOST,
        "The sign-in service renewed the sign-in, and its answer did not get here.",
        "The old refresh token is spent, and nobody has the new one.",
        f"{CONNECT} With long-lived refresh tokens, a setting of the application, it cannot "
        "happen.",
    ),
    Message(
        a.NO_SIGN_IN,
        "No access token was to be had, over several tries; the brackets name the last error.",
        "The sign-in service, or the way there, is out of order. The sign-in itself is intact.",
        "Check the sign-in address of the connection; run again later.",
    ),
    Message(
        a.PRIVILEGE,
        "Constant Contact knows who asks, and does not allow it.",
        "The user who signed in is a Campaign Creator, for instance.",
        "Connect again as an Account Owner or Account Manager.",
    ),
    Message(
        a.SCOPE,
        "Constant Contact knows who asks, and does not allow it.",
        "The sign-in was given for less than is needed, or the application is deactivated.",
        "Check the application in the developer portal; connect again with both scopes.",
    ),
    Message(
        a.GATEWAY,
        "The request was turned away before anybody looked at it.",
        "The API address is not Constant Contact's, or the token did not get through.",
        "Check the API address and the proxy; connect again.",
    ),
    Message(
        a.DENIED_ON_THE_WAY,
        "The request was turned away by a web page, or without a word.",
        "Constant Contact would say why. A proxy or a firewall, of yours or of theirs, may not let "
        "this machine through, or another service answers at that address.",
        "Ask those who run the network; check the connection's addresses; run again.",
    ),
    Message(
        a.ELSEWHERE,
        "The answer was a redirect, which is not followed: the token stays where it belongs.",
        "The API address is outdated, or a log-in page of the network is in the way.",
        "Check the API address of the connection, and the network.",
    ),
    Message(
        a.WRONG,
        "Constant Contact found the request itself wrong.",
        "A list, a column or a custom field is not as it was; for a batch, see `refused_by_api`.",
        "Check what the message names; correct the export's settings.",
    ),
    Message(
        a.MISSING,
        "Constant Contact does not know the address or what it names.",
        "A list was deleted meanwhile, or the API address is wrong.",
        "Check the list and the API address.",
    ),
    Message(
        a.CONFLICT,
        "Constant Contact says that the request conflicts with something.",
        "Nothing that an export asks for can; another service may be answering.",
        "Check the API address; tell Constant Contact's support if it stays so.",
    ),
    Message(
        a.TOO_LARGE,
        "Something on the way takes no request of this size.",
        "Requests stay under 4,000,000 bytes; a proxy may allow less.",
        "Have the proxy allow 4 MB.",
    ),
    Message(
        a.NO_FILE,
        "Constant Contact did not take the file for what it is.",
        "A proxy may have changed the request on its way.",
        "Check the proxy; report it if there is none.",
    ),
    *(
        Message(
            text,
            f"The answer was about something else than {what}.",
            "The API address is wrong, or a proxy answers in the place of Constant Contact.",
            "Check the connection's API address and the proxy.",
        )
        for text, what in (
            (a.NOT_THE_LIST, "the list"),
            (a.NOT_THE_NUMBER, "the list's number"),
            (a.NOT_THE_ACTIVITY, "the import"),
        )
    ),
    Message(
        a.NO_LIST,
        "No list has this id or number.",
        "It was deleted, or belongs to another account.",
        "Take an id from the message.",
    ),
    Message(
        a.WINDOW.format(a.THROTTLED),
        "Constant Contact kept asking to slow down.",
        "Other software uses the same API key at the same time.",
        f"{AGAIN} Give schedules different times.",
    ),
    Message(
        a.WINDOW.format("the account's queue of 1,000 activities was full"),
        "Constant Contact took no further import.",
        "Imports, exports or deletions of this account pile up.",
        "Run the same export again when they are done.",
    ),
    Message(
        a.UNKNOWN,
        "The answer to an upload was lost, and the activities could not be read, or did not show "
        "it within 15 seconds.",
        "The batch may have been accepted or not.",
        f"{AGAIN} It looks first, and sends the batch only if it is not there.",
    ),
    *(
        Message(
            a.TROUBLE.format(trouble),
            "The imports could not be asked about any more; the window ended meanwhile.",
            "They go on at Constant Contact by themselves.",
            f"{AGAIN} It finds what has been imported.",
        )
        for trouble in a.TROUBLES.values()
    ),
)
