"""The command line as a person meets it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import sandbox
from sandbox import Fault
from tests.conftest import Commands, World, clean_env, connect


@pytest.fixture
def alone(tmp_path: Path) -> Commands:
    """The command where no Prefect API is configured."""
    (tmp_path / "home").mkdir()
    return Commands(clean_env(tmp_path / "home"), tmp_path, is_anew=True)


@pytest.mark.parametrize("arguments", [[], ["--help"]], ids=["alone", "--help"])
def test_command_teaches(alone: Commands, arguments: list[str]) -> None:
    done = alone.run(*arguments)
    assert done.code == 0
    for word in ("run", "connect", "demo", "sandbox", "Exit codes"):
        assert word in done.out


@pytest.mark.parametrize("command", ["run", "connect", "demo", "sandbox"])
def test_every_command_explains_itself(alone: Commands, command: str) -> None:
    done = alone.run(command, "--help")
    assert done.code == 0
    assert "Usage" in done.out


def test_missing_options_are_refused_with_exit_code_2(alone: Commands) -> None:
    done = alone.run("run", "--connection", "x")
    assert done.code == 2
    assert "--list-id" in done.err
    assert done.out == ""


def test_missing_options_are_one_json_document_when_asked(alone: Commands) -> None:
    done = alone.run("run", "--connection", "x", "--json")
    assert done.code == 2
    assert done.document["refused"] is True


def test_demo_delivers_into_the_sandbox_with_an_embedded_prefect(alone: Commands) -> None:
    done = alone.run("demo", "--profiles", "3000")
    assert done.code == 0, done.err
    assert done.err.count("starting an embedded one") == 1
    assert "exactly those sent" in done.out
    assert "Where to look next" in done.out
    folder = alone.folder / "segment-export-demo"
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "report" / "report.md").read_text().startswith("# Delivered")


def test_bad_input_does_not_wait_for_an_embedded_prefect(alone: Commands) -> None:
    done = alone.run(
        "run", "--connection", "x", "--list-id", "x", "--profiles", "nowhere.parquet",
        "--segment", "Gold", "--email", "EMail", "--json",
    )  # fmt: skip
    assert done.code == 2
    assert "nowhere.parquet" in done.document["message"]
    assert not (alone.folder / "home" / ".segment-export" / "reports").exists() or not list(
        (alone.folder / "home" / ".segment-export" / "reports").iterdir()
    )


def test_unreachable_prefect_api_is_named(alone: Commands, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("r")
    done = alone.run(
        "connect", "x", "--client-id", "id", "--refresh-token-file", tmp_path / "token",
        "--accept-data-privacy", PREFECT_API_URL="http://127.0.0.1:9/api",
    )  # fmt: skip
    assert done.code == 1
    assert "http://127.0.0.1:9/api does not answer as one" in done.err
    assert "defect" not in done.err


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_interrupt_says_how_to_go_on(world: World, tmp_path: Path, ending: signal.Signals) -> None:
    profiles = tmp_path / "profiles.parquet"
    pl.DataFrame(
        {"CustomerId": ["a"], "EMail": [f"{world.list_id}@x.com"], "Segments": [["Gold"]]}
    ).write_parquet(profiles)
    world.box.script(Fault(operation="file_import", kind="duration", seconds=60))
    with subprocess.Popen(
        [
            sys.executable, "-m", "cli.main", "run", "--connection", world.connection,
            "--list-id", world.list_id, "--profiles", profiles, "--segment", "Gold",
            "--email", "EMail",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=world.commands.env, cwd=tmp_path,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if "Waiting for imports" in line:
                break
        process.send_signal(ending)
        said = "".join(process.communicate(timeout=120))
        code = process.returncode
    assert code == 1
    assert "Run the same export again to continue" in said
    assert "Traceback" not in said


def test_connect_refuses_without_consent_and_says_what_is_agreed_to(
    alone: Commands, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("r")
    done = alone.run(
        "connect", "x", "--client-id", "id", "--refresh-token-file", tmp_path / "token"
    )
    assert done.code == 2
    assert "personal data" in done.err
    assert "--accept-data-privacy" in done.err


def test_connect_tells_the_account_and_refuses_a_spent_token(world: World, tmp_path: Path) -> None:
    with sandbox.running() as box:
        first = connect(world.commands, box, f"{tmp_path.name} One", tmp_path, "--json")
        assert first.code == 0, first.err
        assert json.loads(first.out)["account_name"] == "Sandbox Outfitters"
        second = connect(world.commands, box, f"{tmp_path.name} Two", tmp_path)
        assert second.code == 2
        assert "Nothing was saved" in second.err
        renewed = connect(world.commands, box, f"{tmp_path.name} One", tmp_path)
        assert renewed.code == 2
        assert "Nothing was saved" in renewed.err
        profiles = tmp_path / "profiles.parquet"
        pl.DataFrame(
            {"CustomerId": ["a"], "EMail": ["a@x.com"], "Segments": [["Gold"]]}
        ).write_parquet(profiles)
        still_works = world.export(
            "--profiles", profiles, "--segment", "Gold", "--email", "EMail",
            connection=f"{tmp_path.name} One", list_id=box.add_list("Gold"),
        )  # fmt: skip
        assert still_works.code == 0, still_works.err
        assert box.refresh_token not in first.out + first.err + second.out + second.err


def test_connect_that_fails_leaves_the_connection_of_that_name_as_it_was(
    world: World, tmp_path: Path
) -> None:
    profiles = tmp_path / "profiles.parquet"
    pl.DataFrame({"CustomerId": ["a"], "EMail": ["a@x.com"], "Segments": [["Gold"]]}).write_parquet(
        profiles
    )
    with sandbox.running() as box:
        name = f"{tmp_path.name}-secret"
        assert connect(world.commands, box, name, tmp_path).code == 0
        (tmp_path / "wrong").write_text("wrong")
        done = connect(
            world.commands, box, name, tmp_path, "--client-secret-file", str(tmp_path / "wrong")
        )
        assert done.code == 2
        assert "Nothing was saved" in done.err
        works = world.export(
            "--profiles", profiles, "--segment", "Gold", "--email", "EMail",
            connection=name, list_id=box.add_list("Gold"),
        )  # fmt: skip
        assert works.code == 0, works.err


def test_senseless_attribute_is_one_json_document_when_asked(alone: Commands) -> None:
    done = alone.run(
        "run", "--connection", "x", "--list-id", "x", "--profiles", "x", "--segment", "Gold",
        "--email", "EMail", "--attribute", "City", "--json",
    )  # fmt: skip
    assert done.code == 2
    assert done.document["refused"] is True
    assert "COLUMN=HEADING" in done.document["message"]


@pytest.mark.parametrize(
    ("file", "content"), [("missing", None), ("empty", "")], ids=["missing", "empty"]
)
def test_connect_refuses_a_secret_file_that_holds_none(
    alone: Commands, tmp_path: Path, file: str, content: str | None
) -> None:
    if content is not None:
        (tmp_path / file).write_text(content)
    done = alone.run(
        "connect", "x", "--client-id", "id", "--refresh-token-file", tmp_path / file,
        "--accept-data-privacy",
    )  # fmt: skip
    assert done.code == 2
    assert file in done.err


def test_more_contacts_than_the_contract_allows_are_refused(world: World, tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.parquet"
    pl.DataFrame(
        {
            "CustomerId": ["a", "b"],
            "EMail": ["a@example.com", "b@example.com"],
            "Segments": [["Gold"]] * 2,
        }
    ).write_parquet(profiles)
    with sandbox.running() as box:
        list_id = box.add_list("Gold")
        name = f"{tmp_path.name}-small"
        done = connect(world.commands, box, name, tmp_path, "--contact-allowance", "1")
        assert done.code == 0, done.err
        done = world.export(
            "--profiles", profiles, "--segments-column", "Segments", "--segment", "Gold",
            "--email", "EMail", list_id=list_id, connection=name,
        )  # fmt: skip
        assert done.code == 2
        assert "allows 1" in done.document["message"]
        assert box.state.requests("file_import") == []
