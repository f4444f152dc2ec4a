"""What may come back from Constant Contact, and how the sandbox is made to give it."""

import json
from dataclasses import dataclass, replace
from enum import StrEnum

from sandbox import Fault


class Operation(StrEnum):
    """What the client does in an export; the value is how a person calls it."""

    TOKEN = "Refreshing the sign-in"
    LIST = "Looking up the contact list"
    NUMBER = "Looking up the contact list by its number"
    FIELDS = "Reading the custom fields"
    JOURNAL = "Reading what was accepted earlier"
    IMPORT = "Uploading a batch"
    POLL = "Waiting for the imports"
    ACTIVITY = "Asking for one import"


REQUESTS = {
    Operation.TOKEN: "token",
    Operation.LIST: "list",
    Operation.NUMBER: "xrefs",
    Operation.FIELDS: "custom_fields",
    Operation.JOURNAL: "activities",
    Operation.IMPORT: "file_import",
    Operation.POLL: "activities",
    Operation.ACTIVITY: "activity",
}
EVERY = tuple(Operation)
READS = (
    Operation.LIST,
    Operation.NUMBER,
    Operation.FIELDS,
    Operation.JOURNAL,
    Operation.POLL,
    Operation.ACTIVITY,
)
OF_ACTIVITIES = (Operation.JOURNAL, Operation.IMPORT, Operation.POLL, Operation.ACTIVITY)
CHANGES = (Operation.TOKEN, Operation.IMPORT)
API = tuple(one for one in Operation if one is not Operation.TOKEN)

# What is left out when an answer lacks what the operation is there for.
NEEDED = {
    Operation.TOKEN: ("access_token",),
    Operation.LIST: ("list_id", "name"),
    Operation.NUMBER: ("list_id",),
    Operation.FIELDS: ("custom_fields",),
    Operation.JOURNAL: ("activities",),
    Operation.IMPORT: ("activity_id",),
    Operation.POLL: ("activity_id",),
    Operation.ACTIVITY: ("activity_id",),
}

READ_WITHIN_S = 0.15  # the time limits of the answers that are late, in real time
WHOLE_REQUEST_S = 0.2
SLOWER_S = 1.0


OTHER_LISTS = Fault(
    "lists",
    "status",
    status=200,
    body='{"lists":[{"list_id":"6f1b2a5e-8c1d-4b63-9a55-0e5f3f1d7c21","name":"Another"}]}',
    repeat=99,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What may come back: the faults that make the sandbox give it, and to which operations.

    The faults' operation and repetition are filled in by whoever scripts them.
    """

    faults: tuple[Fault, ...] = ()
    operations: tuple[Operation, ...] = EVERY
    is_refused_connection: bool = False

    def script(self, operation: Operation, *, repeat: int) -> tuple[Fault, ...]:
        """Return the faults of an operation."""
        given = {"repeat": repeat, "operation": REQUESTS[operation]}
        faults = []
        for fault in self.faults:
            if fault.operation != "?":  # of another request than the operation's own
                faults.append(fault)
            elif fault.kind == "missing":
                faults.append(replace(fault, **given, fields=NEEDED[operation]))
            elif fault.kind in {"outcome", "hidden"}:
                faults.append(replace(fault, operation="file_import"))
            else:
                faults.append(replace(fault, **given))
        return tuple(faults)


def status(code: int, *, says: str | None = None, when: str = "before", **more: str) -> Answer:
    """Answer with a status; `says` is the body as it is."""
    operations = CHANGES if when == "after" else EVERY
    return Answer((Fault("?", "status", status=code, body=says, when=when, **more),), operations)


def keyed(code: int, key: str, message: str) -> Answer:
    """Answer with a status and one key."""
    return status(code, says=f'{{"error_key":"{key}","error_message":"{message}"}}')


def oauth(code: int, key: str) -> Answer:
    """Answer as the sign-in service refuses."""
    return replace(status(code, says=f'{{"error":"{key}"}}'), operations=(Operation.TOKEN,))


CUT_SHORT = Fault("?", "truncated")
SLOW_BODY = Fault("?", "slow_body", seconds=SLOWER_S * 5)
HIDDEN = Fault("?", "hidden", reads=4)
NEVER_SHOWN = Fault("?", "hidden", seconds=3_600)
LATE, LATER = (Fault("?", "delay", seconds=SLOWER_S, when=w) for w in ("before", "after"))
DROPPED, DROPPED_LATER = (Fault("?", "drop", when=w) for w in ("before", "after"))
UNREADABLE = Fault("activities", "status", status=500, repeat=10_000)
LOST = Fault("?", "status", status=503, when="after")
ONLY_IMPORT = (Operation.IMPORT,)
ONE_OF_ITS_KIND = (Operation.LIST, Operation.NUMBER, Operation.ACTIVITY)
OTHER_ID = "6f1b2a5e-8c1d-4b63-9a55-0e5f3f1d7c21"
ANOTHER = json.dumps(
    {
        "list_id": OTHER_ID,
        "name": "Another",
        "xrefs": [{"sequence_id": "1", "list_id": OTHER_ID}],
        "activity_id": OTHER_ID,
        "state": "completed",
    }
)

ANSWERS: dict[str, Answer] = {
    "as promised": Answer(),
    "JSON cut short": Answer((CUT_SHORT,)),
    "200 with HTML": status(200, envelope="html"),
    "2xx without what it is for": Answer((Fault("?", "missing"),)),
    "200 about something else": status(200, says='{"message":"Down for maintenance"}'),
    "200 about another one": replace(status(200, says=ANOTHER), operations=ONE_OF_ITS_KIND),
    "200 with no list": replace(status(200, says='{"xrefs":[]}'), operations=(Operation.NUMBER,)),
    "an activity in an unknown state": Answer(
        (Fault("?", "outcome", state="archived"),), OF_ACTIVITIES
    ),
    "302": status(302),
    "400": status(400),
    "401": status(401, envelope="object"),
    "403 for lack of a privilege": keyed(
        403, "access_denied", "Request forbidden due to insufficient user privileges."
    ),
    "403 for lack of a scope, or of an application that is switched off": keyed(
        403, "access_denied", "Request forbidden due to insufficient scope."
    ),
    "403 from the gateway": status(403, says='{"message":"Forbidden"}'),
    "403 with HTML": status(403, envelope="html"),
    "403 with nothing": status(403, envelope="empty"),
    "404": status(404),
    "409": status(409),
    "413": status(413),
    "415": status(415),
    "429 throttled": keyed(429, "throttled", "Too Many Requests"),
    "429 quota_exceeded": keyed(429, "quota_exceeded", "Limit Exceeded"),
    "429 without a known key": status(429),
    "408": status(408),
    "500": status(500),
    "502": status(502, envelope="html"),
    "503": status(503, envelope="empty"),
    "500, and it was carried out": status(500, when="after"),
    "502, and it was carried out": status(502, when="after", envelope="html"),
    "503, and it was carried out": status(503, when="after"),
    "no answer in time": Answer((LATE, DROPPED)),
    "no answer in time, and it was carried out": Answer((LATER,), CHANGES),
    "a dropped connection": Answer((DROPPED,)),
    "a dropped connection, and it was carried out": Answer((DROPPED_LATER,), CHANGES),
    "a body slower than the time limit": Answer((SLOW_BODY,)),
    "no connection": Answer(is_refused_connection=True),
    "503, and it was carried out and shows late": Answer((LOST, HIDDEN), ONLY_IMPORT),
    "503, and it was carried out and the activities cannot be read": Answer(
        (LOST, UNREADABLE), ONLY_IMPORT
    ),
    "201 cut short, and it does not show for 15 seconds": Answer(
        (CUT_SHORT, NEVER_SHOWN), ONLY_IMPORT
    ),
    "201 slower than the time limit, and it does not show for 15 seconds": Answer(
        (SLOW_BODY, NEVER_SHOWN), ONLY_IMPORT
    ),
    "404, and it is not among all lists": Answer(
        (Fault("?", "status", status=404), OTHER_LISTS), (Operation.LIST,)
    ),
    "invalid_grant": oauth(400, "invalid_grant"),
    "invalid_client": oauth(401, "invalid_client"),
}
