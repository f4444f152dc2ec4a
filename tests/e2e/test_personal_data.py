"""Addresses and names are in the contact files and the reject report, and nowhere else."""

import json
from pathlib import Path

import polars as pl

import sandbox
from sandbox import Fault
from tests.conftest import Commands, clean_env, connect

# Words that can come from nowhere but a profile.
MARKS = ("zanzibarina", "quokkaberg", "wolpertinger")


def test_no_personal_data_and_no_secret_in_anything_written_but_the_rejects(
    tmp_path: Path,
) -> None:
    profiles = tmp_path / "profiles.parquet"
    pl.DataFrame(
        {
            "CustomerId": [f"c{n}" for n in range(6)],
            "EMail": [
                "zanzibarina1@example.com",
                "zanzibarina1@example.com",  # a duplicate
                "zanzibarina at example.com",  # invalid
                "zanzibarina2@example.com",
                "zanzibarina3@example.com",
                f"zanzibarina{'x' * 80}@example.com",  # too long
            ],
            "FirstName": ["quokkaberg"] * 5 + ["quokkaberg " * 9],
            "LastName": ["wolpertinger", "wolpertinger " * 9] * 3,
            "Segments": [["Gold"]] * 6,
        }
    ).write_parquet(profiles)
    home = tmp_path / "home"
    home.mkdir()
    commands = Commands(clean_env(home), tmp_path)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    arguments = (
        "run", "--connection", "box", "--profiles", profiles, "--segments-column", "Segments",
        "--segment", "Gold", "--email", "EMail", "--first-name", "FirstName",
        "--last-name", "LastName", "--report-dir", tmp_path / "report", "--debug",
    )  # fmt: skip
    with sandbox.running() as box:
        list_id = box.add_list("Gold customers")
        outputs = [connect(commands, box, "box", secrets)]
        box.script(
            Fault(
                operation="file_import", kind="status", status=415,
                body='[{"error_key":"bad","error_message":"zanzibarina1@example.com is bad"}]',
            )
        )  # fmt: skip
        outputs.append(commands.run(*arguments, "--list-id", list_id))  # refused by the API
        box.clear_script()
        outputs.append(commands.run(*arguments, "--list-id", list_id, "--json"))
        outputs.append(commands.run(*arguments, "--list-id", list_id))  # nothing to do
        secret_words = (box.client_secret, box.refresh_token)
    assert [done.code for done in outputs] == [0, 1, 0, 0], outputs
    assert outputs[2].document["counts"]["sent"] == 3

    written = {
        path: path.read_bytes() for path in home.rglob("*") if path.is_file()
    } | {Path(f"output of command {n}"): (done.out + done.err).encode()
         for n, done in enumerate(outputs)}  # fmt: skip
    database = b"".join(content for path, content in written.items() if "prefect.db" in path.name)
    assert b"Gold customers" in database, "the search finds what Prefect stores"
    for path, content in written.items():
        for mark in (*MARKS, *secret_words):
            assert mark.encode() not in content, f"{mark} in {path}"
    report = (tmp_path / "report" / "report.md").read_text() + json.dumps(outputs[2].document)
    assert not [mark for mark in MARKS if mark in report]
    rejects = pl.read_parquet(tmp_path / "report" / "rejects.parquet")
    assert rejects.height == 3
    assert "zanzibarina" in "".join(rejects["value"].drop_nulls().to_list())
