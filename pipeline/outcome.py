"""What a run amounts to: one status and one sentence, decided from counts alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.outcome import BatchOutcome, BatchState, Counts, Status

CONTINUE = "Run the same export again to continue."
CONTINUE_REPEAT = (
    "Run the same export again to continue, without --again (in the form: without Deliver again)."
)
BEGIN_REPEAT = (
    "Run the same export again to continue, with --again (in the form: with Deliver again)."
)

_RUN_AGAIN = re.compile(r"\brun (?:it )?again\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run ended early.

    `is_refusal`: what was asked for cannot be done, which refuses a run that has uploaded nothing
    and cuts short one that has. `can_continue`: nothing is wrong with the
    export itself, so that running it again goes on from here. `is_for_quota`: the day's requests
    do not suffice.
    """

    reason: str
    is_refusal: bool = False
    can_continue: bool = False
    is_for_quota: bool = False


def add_up(judged: Counts, batches: Sequence[BatchOutcome]) -> Counts:
    """Complete the counts of verdicts by what Constant Contact counted, over all batches."""
    return judged.model_copy(
        update={
            "imported": sum(batch.imported_rows for batch in batches),
            "cannot_add_to_list": sum(batch.cannot_add_to_list_count or 0 for batch in batches),
            "api_errors": sum(batch.error_count or 0 for batch in batches),
            "api_correctable": sum(batch.correctable_count or 0 for batch in batches),
        }
    )


def find_imbalance(counts: Counts, batches: Sequence[BatchOutcome], *, all_cut: bool) -> str:
    """Say in one sentence which profiles a run cannot account for; empty when it can for all.

    The conservation law of an export: every profile of the segments is sent, rejected or a
    duplicate, and the batches together hold what was sent.
    """
    accounted = counts.sent + counts.rejected + counts.duplicates
    if counts.profiles_in_segment != accounted:
        return (
            f"{counts.profiles_in_segment:,} profiles are in the segments but {accounted:,} have "
            "a verdict; this is a defect of segment-export, please report it."
        )
    in_batches = sum(batch.rows for batch in batches)
    if all_cut and in_batches != counts.sent:
        return (
            f"{counts.sent:,} contacts were to be sent but the batches hold {in_batches:,}; this "
            "is a defect of segment-export, please report it."
        )
    unexplained = sum(batch.unexplained_rows for batch in batches)
    if unexplained:
        return (
            f"Constant Contact completed the import but does not account for {unexplained:,} of "
            f"{in_batches:,} contacts. Run the export again: the batches in question are sent anew."
        )
    return ""


def decide_status(
    counts: Counts,
    batches: Sequence[BatchOutcome],
    *,
    stop: Stop | None = None,
    imbalance: str = "",
    has_waited: bool = False,
) -> Status:
    """Name how the run ended, the worst thing first.

    `has_waited`: an import was still under way, so that the run did have something to do.
    """
    if imbalance or any(batch.state.is_lost for batch in batches):
        return Status.FAILED
    if stop is not None:
        was_begun = any(batch.activity_id is not None for batch in batches)
        return Status.INCOMPLETE if stop.can_continue or was_begun else Status.FAILED
    if any(batch.state is not BatchState.COMPLETED for batch in batches):
        return Status.INCOMPLETE
    was_complete_before = all(batch.already_accepted for batch in batches) and not has_waited
    if counts.profiles_in_segment == 0 or (batches and was_complete_before):
        return Status.NOTHING_TO_DO
    refused = counts.api_errors + counts.api_correctable + counts.cannot_add_to_list
    if counts.rejected or refused or any(batch.unexplained_errors for batch in batches):
        return Status.COMPLETED_WITH_REJECTS
    return Status.COMPLETED


def phrase_outcome(
    status: Status,
    counts: Counts,
    batches: Sequence[BatchOutcome],
    *,
    list_name: str,
    stop: Stop | None = None,
    imbalance: str = "",
    is_repeat: bool = False,
) -> str:
    """Tell the outcome in one line for a person, holding counts and no personal data.

    `is_repeat`: the run was to send once more what is complete.
    """
    match status:
        case Status.NOTHING_TO_DO if counts.profiles_in_segment == 0:
            return "Nothing to do: the segments have no members."
        case Status.NOTHING_TO_DO:
            return (
                f"Nothing to do: Constant Contact already has this delivery "
                f"({_count(counts.sent, 'contact')} in list “{list_name}”). To send it once "
                "more: --again (in the form: Deliver again)."
            )
        case Status.COMPLETED | Status.COMPLETED_WITH_REJECTS:
            delivered = (
                f"Delivered {_count(counts.sent, 'contact')} to list “{list_name}” in "
                f"{_count(len(batches), 'batch', 'batches')}"
            )
            return "; ".join([delivered, *_remainders(counts)]) + "."
        case Status.FAILED | Status.INCOMPLETE:
            how_to_go_on = _say_how_to_go_on(batches) if is_repeat else CONTINUE
            troubles = _troubles(counts, batches, stop, how_to_go_on)
            return " ".join(part for part in [*troubles, imbalance] if part)


def _say_how_to_go_on(batches: Sequence[BatchOutcome]) -> str:
    """Say how a repeat goes on: it is known to have begun by its first batch that is accepted.

    What was complete before may be of the delivery that was to be repeated.
    """
    has_begun = any(
        batch.activity_id is not None
        and not (batch.already_accepted and batch.state is BatchState.COMPLETED)
        for batch in batches
    )
    return CONTINUE_REPEAT if has_begun else BEGIN_REPEAT


def _remainders(counts: Counts) -> list[str]:
    parts = []
    if counts.rejected:
        parts.append(f"{_count(counts.rejected, 'profile')} rejected")
    if counts.duplicates:
        parts.append(_count(counts.duplicates, "duplicate"))
    if counts.cannot_add_to_list:
        parts.append(
            f"{_count(counts.cannot_add_to_list, 'unsubscribed contact')} not added to the list"
        )
    if counts.api_errors or counts.api_correctable:
        refused = counts.api_errors + counts.api_correctable
        parts.append(f"{_count(refused, 'contact')} refused by Constant Contact")
    return parts


def _troubles(
    counts: Counts, batches: Sequence[BatchOutcome], stop: Stop | None, how_to_go_on: str
) -> list[str]:
    refused = [batch for batch in batches if batch.state is BatchState.REFUSED]
    lost = [batch for batch in batches if batch.state.is_lost and batch not in refused]
    parts = []
    says_so = False  # that running again goes on
    if stop is not None:
        parts.append(stop.reason)
        says_so = _RUN_AGAIN.search(stop.reason) is not None
    if refused:
        parts.append(
            f"Constant Contact refused {_count(len(refused), 'batch', 'batches')} of "
            f"{len(batches):,} ({_count(sum(batch.rows for batch in refused), 'contact')}); the "
            "report's notes say why."
        )
    if lost:
        states = ", ".join(sorted({batch.state.value for batch in lost}))
        parts.append(
            f"{_count(len(lost), 'batch', 'batches')} of {len(batches):,} did not arrive "
            f"({states}; {_count(sum(batch.rows for batch in lost), 'contact')}). Run the export "
            "again to send them once more."
        )
    unclear = [b for b in batches if b.state is BatchState.UNKNOWN and b.activity_id is None]
    pending = [b for b in batches if b.state.is_pending and b not in unclear]
    unsent = [batch for batch in batches if batch.state is BatchState.NOT_SENT]
    uncut = counts.sent - sum(batch.rows for batch in batches) if batches else 0
    if pending or unsent or unclear or uncut > 0:
        imported = sum(batch.state is BatchState.COMPLETED for batch in batches)
        listed = [
            f"{_count(imported, 'batch', 'batches')} imported",
            f"{len(pending):,} still being imported",
            *([f"{len(unclear):,} sent without an answer"] if unclear else []),
            f"{len(unsent):,} not sent",
            *([f"{_count(uncut, 'contact')} not in a batch yet"] if uncut > 0 else []),
        ]
        is_said = how_to_go_on == CONTINUE and says_so
        parts.append(f"{', '.join(listed)}.{'' if is_said else f' {how_to_go_on}'}")
        if any(batch.state is BatchState.UNKNOWN for batch in pending):
            parts.append(
                "Constant Contact shows an import in a state that it does not document: if that "
                "stays so, look at it there, and send the delivery once more with --again "
                "(in the form: Deliver again)."
            )
    elif stop is not None and stop.can_continue and not says_so:
        parts.append(how_to_go_on)
    return parts


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
