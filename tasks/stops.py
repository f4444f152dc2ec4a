"""Turn an error that ends a run into what it means for the outcome."""

from constant_contact import (
    AccessDenied,
    ConstantContactError,
    InsecureAddress,
    ListNotFound,
    NotAuthorised,
    OutcomeUnknown,
    QuotaExceeded,
    RequestRefused,
    SignInOutOfReach,
    WindowClosed,
)
from pipeline import ConservationBroken, PipelineError, PreparationFailed
from pipeline.outcome import Stop
from tasks.errors import Defect, ExportRefused, PrefectOutOfReach, QuotaTooSmall

ExportError = PipelineError | ConstantContactError | ExportRefused | PrefectOutOfReach | Defect
EXPORT_ERRORS = (PipelineError, ConstantContactError, ExportRefused, PrefectOutOfReach, Defect)

_REFUSALS = (
    AccessDenied,
    ExportRefused,
    InsecureAddress,
    ListNotFound,
    NotAuthorised,
    PipelineError,
    RequestRefused,
)
_DEFECTS = (ConservationBroken, PreparationFailed)
_GOES_ON_LATER = (
    OutcomeUnknown,
    PrefectOutOfReach,
    QuotaExceeded,
    SignInOutOfReach,
    WindowClosed,
)

STOPPED = Stop("The run was stopped.", can_continue=True)


def explain_stop(error: ExportError) -> Stop:
    """Say why a run stops, whether it is about what was asked for, and whether it goes on later."""
    return Stop(
        reason=str(error),
        is_refusal=isinstance(error, _REFUSALS) and not isinstance(error, _DEFECTS),
        can_continue=isinstance(error, _GOES_ON_LATER),
        is_for_quota=isinstance(error, QuotaExceeded | QuotaTooSmall)
        or (isinstance(error, OutcomeUnknown) and error.lacks_quota),
    )
