"""Compare what a run says with what the account holds: every difference is a sentence."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import polars as pl

from tests.reliability.delivery import CONTACTS, DUPLICATES, INVALID, Attempt, Delivery

ENDED_WELL = {"completed", "completed_with_rejects", "nothing_to_do"}
FIRST_REFUSAL = 300  # the first status that says that nothing was taken
WENT_WRONG = {"failed", "cancelled", "timed_out"}
ALL_PROFILES = CONTACTS + INVALID + DUPLICATES
IMPORT = "file_import"
READS_OF_ACTIVITIES = {"activities", "activity"}


def find_untruths(delivery: Delivery, attempt: Attempt) -> list[str]:
    """Say what is not true in what a run printed, or how it printed it."""
    ended = attempt.ended
    return [*_untold(delivery, ended.out, ended.err), *_document_untruths(delivery, attempt)]


def read_document(attempt: Attempt) -> dict[str, Any]:
    """Return a run's JSON document; empty for one that printed none."""
    try:
        document = json.loads(attempt.ended.out)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def find_differences(delivery: Delivery) -> list[str]:
    """Say how the list differs from what it should be."""
    return _compare_members(delivery, delivery.box.state.members(delivery.list_id))


def find_repeats(delivery: Delivery) -> list[str]:
    """Say which contacts were accepted more than once: by batch, and by the sum of all batches."""
    accepted = [
        activity
        for activity in delivery.box.state.activities()
        if activity["activity_id"] in _ids_of(delivery) and activity["state"] not in WENT_WRONG
    ]
    names = Counter(activity.get("source_file_name") for activity in accepted)
    repeats = [f"{name} was accepted {n} times" for name, n in names.items() if name and n > 1]
    rows = sum(_rows_of(activity) for activity in accepted)
    if rows > CONTACTS:
        repeats.append(f"{rows:,} contacts were accepted of {CONTACTS:,}")
    return repeats


def _ids_of(delivery: Delivery) -> frozenset[str]:
    """Return the activities that this delivery's runs made; others' are in the account too."""
    first = delivery.attempts[0]
    return frozenset(a["activity_id"] for a in delivery.attempts[-1].activities) - first.earlier_ids


def _rows_of(activity: dict[str, Any]) -> int:
    total: int = activity["status"].get("items_total_count", 0)
    return max(0, total - 1)  # it counts the header


def _untold(delivery: Delivery, out: str, err: str) -> Iterator[str]:
    if delivery.domain in out + err:
        yield "an e-mail address was printed"
    if "Traceback" in out + err or "this is a defect" in out + err:
        yield f"a defect showed: {(err or out)[-300:]}"


def _document_untruths(delivery: Delivery, attempt: Attempt) -> Iterator[str]:
    if attempt.was_killed:
        return
    document = read_document(attempt)
    if not document:
        yield f"no JSON document; exit code {attempt.ended.code}: {attempt.ended.err[-300:]}"
        return
    yield from _code_untruths(document, attempt)
    yield from _count_untruths(document)
    yield from _request_untruths(document["requests"], attempt)
    for batch in document["batches"]:
        yield from _batch_untruths(batch, attempt)
    if document["counts"]["imported"] > len(attempt.members):
        yield f"{document['counts']['imported']} imported, {len(attempt.members)} are in the list"
    if document["status"] in ENDED_WELL:
        for difference in _compare_members(delivery, attempt.members):
            yield f"the run says {document['status']}, but {difference}"


def _code_untruths(document: dict[str, Any], attempt: Attempt) -> Iterator[str]:
    code = 2 if document["refused"] else 0 if document["status"] in ENDED_WELL else 1
    if attempt.ended.code != code:
        yield f"exit code {attempt.ended.code} with status {document['status']}, wanted {code}"
    if not document["message"].strip() or "\n" in document["message"]:
        yield "the message is not one line"
    uploads = sum(
        request.operation == IMPORT and (request.status or FIRST_REFUSAL) < FIRST_REFUSAL
        for request in attempt.requests
    )
    is_begun = any(batch["activity_id"] for batch in document["batches"])
    if document["refused"] and (uploads or is_begun):
        yield "refused, though something was uploaded"


def _count_untruths(document: dict[str, Any]) -> Iterator[str]:
    counts, is_done = document["counts"], document["status"] in ENDED_WELL
    profiles = counts["profiles_in_segment"]
    if profiles != counts["sent"] + counts["rejected"] + counts["duplicates"]:
        yield f"the conservation law is broken: {counts}"
    found = (profiles, counts["rejected"], counts["duplicates"])
    was_prepared = is_done or profiles > 0
    if was_prepared and found != (ALL_PROFILES, INVALID, DUPLICATES):
        yield f"profiles, rejected, duplicates are {found}"
    rows = sum(batch["rows"] for batch in document["batches"])
    if rows > counts["sent"] or (is_done and rows != counts["sent"]):
        yield f"the batches hold {rows} of {counts['sent']} contacts sent"
    completed = sum(b["rows"] for b in document["batches"] if b["state"] == "completed")
    if counts["imported"] != completed:
        yield f"{counts['imported']} imported, completed batches hold {completed}"
    if was_prepared and document["rejects_path"]:
        named = pl.read_parquet(document["rejects_path"]).height
        if named != counts["rejected"] + counts["duplicates"]:
            yield f"rejects.parquet names {named} profiles"


def _request_untruths(told: dict[str, int], attempt: Attempt) -> Iterator[str]:
    api = [request for request in attempt.requests if request.path.startswith("/v3/")]
    seen = {
        "total": len(api),
        "uploads": sum(request.operation == IMPORT for request in api),
        "polls": sum(request.operation in READS_OF_ACTIVITIES for request in api),
    }
    for count, number in seen.items():
        if told[count] != number:
            yield f"{told[count]} requests ({count}) are told, {number} arrived"
    refused = sum(request.status == 429 for request in api)
    if told["throttled"] > refused:
        yield f"{told['throttled']} throttled requests are told, there were {refused}"


def _batch_untruths(batch: dict[str, Any], attempt: Attempt) -> Iterator[str]:
    name, activity_id = batch["file_name"], batch["activity_id"]
    if activity_id is None:
        if batch["state"] == "completed":
            yield f"{name} is completed without an activity"
        took = [a for a in attempt.activities if a.get("source_file_name") == name]
        if batch["state"] != "unknown" and any(a["state"] not in WENT_WRONG for a in took):
            yield f"{name} is told to be {batch['state']}, and was accepted"
        return
    activity = next((a for a in attempt.activities if a["activity_id"] == activity_id), None)
    if activity is None:
        yield f"{name} names an activity that does not exist"
        return
    if activity.get("source_file_name") not in {name, None}:
        yield f"{name} names the activity of {activity.get('source_file_name')}"
    if batch["already_accepted"] and activity_id not in attempt.earlier_ids:
        yield f"{name} was not accepted by an earlier run"
    if batch["state"] in {"completed", *WENT_WRONG} and activity["state"] != batch["state"]:
        yield f"{name} is told to be {batch['state']} and is {activity['state']}"
    if batch["state"] == "completed" and _rows_of(activity) != batch["rows"]:
        yield f"{name} holds {batch['rows']} contacts and imported {_rows_of(activity)}"


def _compare_members(delivery: Delivery, members: dict[str, dict[str, str]]) -> list[str]:
    expected = delivery.expected
    wrong = [
        key
        for key in expected.keys() & members.keys()
        if expected[key].items() - members[key].items()
    ]
    found = (
        ("are missing", len(expected.keys() - members.keys())),
        ("are too many", len(members.keys() - expected.keys())),
        ("have wrong fields", len(wrong)),
    )
    return [f"{number:,} of {CONTACTS:,} contacts {what}" for what, number in found if number]
