"""No secret in an address becomes a parameter, be it of the form, the file or the command."""

import re

import pytest
from pydantic import ValidationError

from schemas.export import ExportRequest
from schemas.locations import HARMLESS_PATTERN

SECRET = [
    "s3://KEY:hidden@bucket/p.parquet",
    "abfs://:hidden@account.dfs.core.windows.net/p.parquet",
    "https://account.blob.core.windows.net/c/p.parquet?sv=2024&sig=hidden",
    "abfss://c@account.dfs.core.windows.net/{as_of}?client_secret=hidden",
]
PLAIN = [
    "",
    "profiles.parquet",
    "snapshots/{as_of:%Y/%m}/p.parquet",
    "s3://minio:9000/bucket/a@b.parquet",
    "s3://bucket/day={as_of:%Y}/a@b.parquet",
    "abfss://container@account.dfs.core.windows.net/p.parquet",
    "/home/a:b@c/p.parquet",
]


def request(**changes: str) -> ExportRequest:
    options = {"connection": "c", "list_id": "l", "profiles": "p", "email": "e", **changes}
    return ExportRequest.model_validate({**options, "segments": ["Gold"]})


@pytest.mark.parametrize("address", SECRET)
@pytest.mark.parametrize("field", ["profiles", "memberships"])
def test_address_with_a_secret_is_refused_by_form_and_request_without_quoting_it(
    field: str, address: str
) -> None:
    with pytest.raises(ValidationError, match="into the environment") as refused:
        request(**{field: address})
    assert "hidden" not in str(refused.value)
    pattern = ExportRequest.model_json_schema()["properties"][field]["pattern"]
    assert re.search(pattern, address) is None


@pytest.mark.parametrize("address", PLAIN)
def test_address_without_a_secret_is_taken_by_form_and_request(address: str) -> None:
    assert request(memberships=address).memberships == address
    assert re.search(HARMLESS_PATTERN, address)
