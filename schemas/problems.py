"""What pydantic found wrong, in words for a person."""

from pydantic import ValidationError

_PREFIXES = ("Value error, ", "Assertion failed, ")  # which pydantic puts before words of ours


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Give the place of the first problem (empty where it is the whole) and what it is.

    The value itself is not repeated, as far as pydantic is concerned: it may be personal.
    """
    problem = error.errors(include_input=False, include_url=False)[0]
    words = problem["msg"]
    for prefix in _PREFIXES:
        words = words.removeprefix(prefix)
    return ".".join(map(str, problem["loc"])), words.removesuffix(".")


def phrase_problem(error: ValidationError) -> str:
    """Tell the first problem in one sentence, its place before it."""
    place, words = first_problem(error)
    return f"{place}: {words}." if place else f"{words}."
