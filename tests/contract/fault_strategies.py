"""Any fault of the sandbox, on any operation that the client uses.

What is left out would be a lie that no client can see through: a refusal (3xx, 4xx) of an import
that was carried out all the same, and a body that names another activity.
"""

from hypothesis import strategies as st

from sandbox import Fault

# More than one request that takes longer than the client's patience costs too much real time.
SLOW_S, TIME_OUT_S = 0.8, 0.4
FOR_EVER = 1_000

IMPORT, COLLECTION, TOKEN = "file_import", "activities", "token"
LOOKUPS = ("activity", "lists", "list", "xrefs", "account", "privileges", "custom_fields")
OPERATIONS = (IMPORT,) * 5 + (COLLECTION,) * 4 + (TOKEN,) * 2 + ("activity",) + LOOKUPS

REFUSALS = (302, 400, 401, 403, 404, 409, 413, 415, 429)
TROUBLES = (408, 500, 502, 503, 504)
ENVELOPES = ("array", "object", "gateway", "oauth", "html", "empty", "malformed")
QUOTING = (
    '[{"error_key": "contacts.api.validation.error", "error_message": "ann@quoted.example"}]',
    '{"error_key": "ann@quoted.example", "error_message": "ann@quoted.example"}',
    '{"error": "invalid_grant", "error_description": "of ann@quoted.example"}',
)
LIMITS = (
    '{"error_key": "throttled", "error_message": "Too Many Requests"}',
    '{"error_key": "quota_exceeded", "error_message": "Limit Exceeded"}',
    '[{"error_key": "contacts.api.too_many_activities", "error_message": "1,000 queued"}]',
)
NO_USE = ("", "null", "[]", "{}", '"ann@quoted.example"', "<html>ann@quoted.example", "[" * 5_000)
MISSING = {
    IMPORT: ("activity_id", "state", "source_file_name", "_links"),
    COLLECTION: ("activities", "activity_id", "source_file_name", "state", "_links", "status"),
    TOKEN: ("access_token", "refresh_token", "expires_in"),
}
TWISTS = ("outcome", "hidden", "unnamed", "duration")
ENDS = ("failed", "cancelled", "timed_out", "time_out", "processing", "resting")


@st.composite
def faults(draw: st.DrawFn, operations: tuple[str, ...] = OPERATIONS) -> Fault:
    operation = draw(st.sampled_from(operations))
    occurrence, repeat = draw(st.integers(1, 3)), draw(st.sampled_from((1, 1, 2, 6, FOR_EVER)))
    when = draw(st.sampled_from(("before", "after")))
    kinds = ["trouble", "refusal", "no use", "drop", "delay", "slow_body", "truncated", "missing"]
    if operation == IMPORT:
        kinds += ["trouble", "drop", *TWISTS]
    match kind := draw(st.sampled_from(kinds)):
        case "trouble":
            status, body = draw(st.sampled_from(TROUBLES)), None
        case "refusal":
            status = draw(st.sampled_from(REFUSALS))
            body = draw(st.sampled_from((None, *(LIMITS if status == 429 else QUOTING))))
            when = "before" if operation == IMPORT else when
        case "no use":
            status, body = draw(st.sampled_from((200, 201))), draw(st.sampled_from(NO_USE))
        case _:
            return draw(_other(operation, kind, occurrence, repeat, when))
    envelope = draw(st.sampled_from(ENVELOPES))
    return Fault(
        operation, "status", occurrence, repeat, when, status=status, envelope=envelope, body=body
    )


@st.composite
def lost_answers(draw: st.DrawFn) -> list[Fault]:
    """Lose the answer to an import that was carried out, and make the job hard to find too."""
    occurrence, repeat = draw(st.sampled_from((1, 1, 1, 2, 3))), draw(st.sampled_from((1, 1, 2, 5)))
    at = {"occurrence": occurrence, "repeat": repeat}
    lost = (
        Fault(IMPORT, "drop", when="after", **at),
        Fault(IMPORT, "status", when="after", status=draw(st.sampled_from(TROUBLES)), **at),
        Fault(IMPORT, "status", when="after", status=200, body=draw(st.sampled_from(NO_USE)), **at),
        Fault(IMPORT, "truncated", **at),
        Fault(IMPORT, "missing", fields=("activity_id",), **at),
        Fault(IMPORT, "delay", when="after", seconds=SLOW_S, occurrence=occurrence),
    )
    twists = _other(IMPORT, draw(st.sampled_from(TWISTS)), occurrence, repeat, "before")
    in_reading = faults((COLLECTION, COLLECTION, TOKEN))
    return [draw(st.sampled_from(lost)), *draw(st.lists(twists | in_reading, max_size=3))]


@st.composite
def _other(
    draw: st.DrawFn, operation: str, kind: str, occurrence: int, repeat: int, when: str
) -> Fault:
    match kind:
        case "delay":
            # Carried out late would be accepted after the client has given up looking.
            slow = when == "after" and draw(st.booleans())
            given = {"seconds": SLOW_S if slow else 0.01, "repeat": 1}
        case "slow_body":
            given = {"seconds": 0.02, "repeat": 1}
        case "missing":
            fields = MISSING.get(operation, ("_links", "list_id", "lists", "status", "state"))
            given = {"fields": tuple(draw(st.sets(st.sampled_from(fields), min_size=1)))}
        case "outcome":
            given = {"state": draw(st.sampled_from(ENDS))}
        case "hidden":
            seconds = draw(st.sampled_from((0.0, 2.0, 10.0, 20.0, 5_000.0, 1e7)))
            given = {"reads": draw(st.integers(0, 12)), "seconds": seconds}
        case "duration":
            given = {"seconds": draw(st.sampled_from((0.0, 5.0, 60.0, 900.0)))}
        case _:
            given = {}
    common = {"occurrence": occurrence, "repeat": repeat, "when": when}
    return Fault(operation, kind, **common | given)
