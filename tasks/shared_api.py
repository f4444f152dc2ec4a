"""Whether other machines work with the same Prefect API: only then it can settle who is next."""

import os

from prefect.settings import get_current_settings

# Set by whoever starts an API that lives as long as one command, to that API's address.
EMBEDDED_API_VARIABLE = "SEGMENT_EXPORT_EMBEDDED_API"


def has_shared_api() -> bool:
    """Say whether a Prefect API is configured that others may use too."""
    api_url = get_current_settings().api.url
    return api_url is not None and api_url != os.environ.get(EMBEDDED_API_VARIABLE)
