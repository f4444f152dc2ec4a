"""Turn what was asked for on the command line into a request."""

from typing import Any

from pydantic import ValidationError

from cli.errors import CommandRefused
from schemas.export import ExportRequest
from schemas.problems import first_problem

# Where an option is not called like the request's field.
OPTION_OF_FIELD = {"segments": "segment", "attributes": "attribute"}


def build_request(*, attributes: list[str], **options: Any) -> ExportRequest:
    """Turn options into a request.

    Raises:
        CommandRefused: naming the option that makes no sense.
    """
    mappings = []
    for attribute in attributes:
        column, separator, heading = attribute.rpartition("=")
        if not (separator and column and heading):
            raise CommandRefused(
                f"--attribute {attribute!r} is not of the form COLUMN=HEADING, for instance "
                "--attribute City=city or --attribute Tier=cf:loyalty_tier."
            )
        mappings.append({"column": column, "heading": heading})
    try:
        return ExportRequest(attributes=mappings, **options)
    except ValidationError as error:
        place, words = first_problem(error)
        field = place.partition(".")[0]
        option = OPTION_OF_FIELD.get(field, field.replace("_", "-"))
        raise CommandRefused(f"--{option}: {words}." if option else f"{words}.") from None
