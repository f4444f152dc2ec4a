"""The Prefect server that things are put on, and what its refusals mean."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from deployments.changes import DeploymentFailed


@contextmanager
def prefect_server() -> Iterator[SyncPrefectClient]:
    """Give a client of the configured server.

    Raises:
        DeploymentFailed: the server refused a request, or stopped answering.
    """
    try:
        with get_client(sync_client=True) as client:
            yield client
    except ObjectNotFound as error:
        raise DeploymentFailed(
            "Something was removed from the Prefect server while this was at work on it. Run this "
            "again: it goes on with what is missing."
        ) from error
    except ObjectAlreadyExists as error:
        raise DeploymentFailed(
            "Somebody else made the same thing on the Prefect server at the same time. Run this "
            "again: it takes what is there."
        ) from error
    except httpx.HTTPStatusError as error:
        raise DeploymentFailed(
            f"The Prefect API refused a request (HTTP {error.response.status_code}); "
            "PREFECT_API_AUTH_STRING may be wrong. Put that right and run this again."
        ) from error
    except httpx.HTTPError as error:
        raise DeploymentFailed(
            f"The Prefect API stopped answering ({type(error).__name__}). Run this again when it "
            "answers: it goes on with what is missing."
        ) from error
