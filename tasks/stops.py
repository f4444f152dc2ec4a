"""Turn an error that ends a run into what it means for the outcome."""

from constant_contact import (
    AccessDenied,
    ConstantContactError,
    InsecureAddress,
    ListNotFound,
    NotAuthorised,
    QuotaExceeded,
    RequestRefused,
    WindowClosed,
)
from pipeline import ConservationBroken, PipelineError
from pipeline.outcome import Stop
from tasks.errors import ExportRefused

ExportError = PipelineError | ConstantContactError | ExportRefused
EXPORT_ERRORS = (PipelineError, ConstantContactError, ExportRefused)

_WHAT_WAS_ASKED = (
    AccessDenied,
    ExportRefused,
    InsecureAddress,
    ListNotFound,
    NotAuthorised,
    PipelineError,
    RequestRefused,
)
_GOES_ON_LATER = (QuotaExceeded, WindowClosed)


def explain_stop(error: ExportError, *, was_begun: bool) -> Stop:
    """Say why a run stops, and whether it was refused or goes on when run again.

    Only before the first upload (`was_begun` false) is a run refused rather than failed.
    """
    is_refusal = isinstance(error, _WHAT_WAS_ASKED) and not isinstance(error, ConservationBroken)
    return Stop(
        reason=str(error),
        is_refusal=is_refusal and not was_begun,
        can_continue=isinstance(error, _GOES_ON_LATER),
    )
