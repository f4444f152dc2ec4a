"""Keep what other libraries say inside the core: their words may quote values of customers."""

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import polars as pl

from pipeline.errors import PipelineError, PreparationFailed

_OUR_FOLDERS = tuple(Path(__file__).resolve().parents[1] / name for name in ("pipeline", "schemas"))

# What Polars may end with when a file is damaged or out of reach. A panic of its Rust part is no
# Exception to Python.
READ_FAILURES = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)

T = TypeVar("T")


def in_own_words(step: Callable[[], T]) -> T:
    """Take a step from which only a PipelineError leaves; running out of memory aside.

    Raises PreparationFailed in place of anything unforeseen: its type and where it happened,
    without its text and without a link to it.
    """
    try:
        return step()
    except (PipelineError, MemoryError):
        raise
    except (Exception, pl.exceptions.PanicException) as unforeseen:  # noqa: BLE001 -- see above
        failed = _describe(unforeseen)
    raise failed  # outside of the handler, or Python would link it to the other one


def iter_in_own_words(items: Iterator[T]) -> Iterator[T]:
    """Yield the items, made under `in_own_words`."""
    nothing = object()
    while (item := in_own_words(lambda: next(items, nothing))) is not nothing:
        yield item  # type: ignore[misc]  # object() is not among the items


def _describe(unforeseen: BaseException) -> PreparationFailed:
    frames = traceback.extract_tb(unforeseen.__traceback__)
    ours = [
        frame
        for frame in frames
        if Path(frame.filename).parent in _OUR_FOLDERS and frame.filename != __file__
    ]
    place = (ours or frames)[-1]
    return PreparationFailed(
        f"The contacts could not be prepared: an unexpected {type(unforeseen).__name__} in "
        f"{Path(place.filename).parent.name}/{Path(place.filename).name}:{place.lineno}. This is a "
        "defect of segment-export, please report it."
    )
