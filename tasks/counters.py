"""Ask for the counters of an import that the collection of activities leaves out."""

from contextlib import suppress
from dataclasses import replace

from constant_contact import Activity, ActivityState, ConstantContactError
from tasks.session import ExportSession


async def ask_for_counters(session: ExportSession, activity_id: str) -> Activity | None:
    """Ask for one activity that is known to be completed; None where there is no answer.

    No field is promised, neither in the collection nor here: an answer that does not say that the
    import has ended undoes nothing.
    """
    with suppress(ConstantContactError):  # the import is done, whether it can be counted or not
        found = await session.require_client().get_activity(activity_id)
        return found if found.state.is_finished else replace(found, state=ActivityState.COMPLETED)
    return None
