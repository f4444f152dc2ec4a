"""What a run tells Prefect as it goes on: events that automations and others can act on.

Each concerns the resource `segment-export.export.<export>` and is related by Prefect to the flow
run. Payloads hold counts, names of things, and the sentence of the outcome; no personal data.
"""

from enum import StrEnum
from typing import Any

from prefect.events import emit_event

from schemas.outcome import BatchState, Counts, ExportOutcome
from tasks.history import ExportPast, RunResult, has_recovered, is_known_degraded, read_past
from tasks.session import ExportSession

RESOURCE = "segment-export.export"


class RunEvent(StrEnum):
    """The events of a run, in their order; delivered, degraded, failed or stopped ends it."""

    STARTED = "segment-export.run.started"
    PREPARED = "segment-export.run.prepared"
    UPLOADING = "segment-export.run.uploading"
    IMPORTED = "segment-export.run.imported"
    DELIVERED = "segment-export.run.delivered"
    DEGRADED = "segment-export.run.degraded"
    FAILED = "segment-export.run.failed"
    STOPPED = "segment-export.run.stopped"
    RECOVERED = "segment-export.run.recovered"


# What "outcome" stands for in payloads.
OUTCOME_KEYS = (
    *("result", "status", "message", "list_id", "delivery", *Counts.model_fields),
    *("requests", "seconds", "warn_rejects_percent"),
)

# For the reference: when each is emitted, and what its payload holds beside export and connection.
EVENTS = {
    RunEvent.STARTED: ("The run has begun.", ""),
    RunEvent.PREPARED: (
        "Every profile has its verdict, and the delivery its name.",
        "profiles_in_segment, sent, rejected, duplicates",
    ),
    RunEvent.UPLOADING: ("Constant Contact has accepted the first batch.", "sent"),
    RunEvent.IMPORTED: ("All imports are complete.", "batches, imported"),
    RunEvent.DELIVERED: (
        "The run ended well. Also where it had nothing to do after one that was degraded.",
        "outcome",
    ),
    RunEvent.DEGRADED: (
        "The run ended well, but more profiles than `warn_rejects_percent` did not arrive.",
        "outcome",
    ),
    RunEvent.FAILED: ("The run failed, or has to be continued.", "outcome"),
    RunEvent.STOPPED: ("The run was stopped, which says nothing about the export.", "outcome"),
    RunEvent.RECOVERED: (
        "Beside delivered: the run before had failed, died, or was degraded.",
        "outcome, previous",
    ),
}

_ENDS = {
    RunResult.DELIVERED: RunEvent.DELIVERED,
    RunResult.DEGRADED: RunEvent.DEGRADED,
    RunResult.INCOMPLETE: RunEvent.FAILED,
    RunResult.FAILED: RunEvent.FAILED,
    RunResult.CRASHED: RunEvent.FAILED,
    RunResult.STOPPED: RunEvent.STOPPED,
}


def list_stages(session: ExportSession) -> dict[RunEvent, dict[str, Any]]:
    """List the stages that a run has reached, each with its counts."""
    reached: dict[RunEvent, dict[str, Any]] = {RunEvent.STARTED: {}}
    if session.prepared is None or not session.delivery:
        return reached
    verdicts = session.prepared.verdicts
    reached[RunEvent.PREPARED] = {
        "profiles_in_segment": verdicts.profiles_in_segment,
        "sent": verdicts.sent,
        "rejected": verdicts.rejected,
        "duplicates": verdicts.duplicates,
    }
    batches = session.batches.values()
    if any(batch.activity_id is not None for batch in batches):
        reached[RunEvent.UPLOADING] = {"sent": verdicts.sent}
        if session.all_cut and all(batch.state is BatchState.COMPLETED for batch in batches):
            reached[RunEvent.IMPORTED] = {
                "batches": len(batches),
                "imported": sum(batch.imported_rows for batch in batches),
            }
    return reached


def list_ends(
    session: ExportSession, outcome: ExportOutcome, result: RunResult
) -> dict[RunEvent, dict[str, Any]]:
    """List what is to be told of a run's end, with its outcome in numbers and a sentence."""
    told = {
        "result": result.value,
        "status": outcome.status.value,
        "message": outcome.message,
        "list_id": outcome.list_id,
        "delivery": outcome.delivery,
        **outcome.counts.model_dump(),
        "requests": outcome.requests.total,
        "seconds": round((outcome.finished_at - outcome.started_at).total_seconds()),
        "warn_rejects_percent": session.request.warn_rejects_percent,
    }
    before = session.past.last_judged if session.past else None
    end = RunEvent.DELIVERED if is_known_degraded(outcome, result, before) else _ENDS[result]
    ends = {end: told}
    if before is not None and has_recovered(result, before):
        ends[RunEvent.RECOVERED] = {**told, "previous": before.result.value}
    return ends


async def recall_past(session: ExportSession) -> ExportPast:
    """Find out once which export a run is of, and how its runs before went."""
    if session.past is None:
        session.past = await read_past(session.request)
    return session.past


def tell_stages(session: ExportSession) -> None:
    """Emit the events of the stages that have been reached since last time."""
    for event, counts in list_stages(session).items():
        if event not in session.told:
            session.told.add(event)
            _emit(session, event, counts)


def tell_end(session: ExportSession, outcome: ExportOutcome, result: RunResult) -> None:
    """Emit what a run came to, after the stages that it reached on the way."""
    tell_stages(session)
    for event, told in list_ends(session, outcome, result).items():
        _emit(session, event, told)


def _emit(session: ExportSession, event: RunEvent, told: dict[str, Any]) -> None:
    if session.past is None:
        return
    slug = session.past.slug
    emit_event(
        event=event.value,
        resource={"prefect.resource.id": f"{RESOURCE}.{slug}", "prefect.resource.name": slug},
        payload={"export": slug, "connection": session.request.connection, **told},
    )
