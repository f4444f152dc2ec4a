"""The documents say what the code does: generated pages, options, settings and links."""

import ast
import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer

from cli.main import app
from sandbox import SandboxSettings
from schemas.contact import describe_rules
from schemas.export import ExportRequest
from schemas.outcome import BatchOutcome, Counts, ExportOutcome, RequestCounts

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


SPEAKING = ("pipeline", "constant_contact", "tasks", "cli")
# What differs from one message to the next: left out, quoted, or a number.
PLACEHOLDER = re.compile(r"…|(?<!\w)'[^']*'|“[^”]*”|\d[\d,]*")


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


generator = load_generator()
COMMANDS = vars(typer.main.get_command(app))["commands"]
SUBCOMMANDS = {
    f"{name} {part}": inner
    for name, command in COMMANDS.items()
    for part, inner in getattr(command, "commands", {}).items()
}
OPTIONS = {
    name: {option for parameter in command.params for option in parameter.opts} | {"--debug"}
    for name, command in {**COMMANDS, **SUBCOMMANDS}.items()
}


@pytest.mark.parametrize("name", generator.PAGES)
def test_reference_page_is_what_the_code_says(name: str) -> None:
    text = (REFERENCE / name).read_text(encoding="utf-8")
    assert text == generator.PAGES[name](), "run: .venv/bin/python docs/generate.py"


def test_check_names_the_page_that_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generator, "REFERENCE", tmp_path)
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0
    (tmp_path / "settings.md").write_text("older")
    assert generator.main(["--check"]) == 1
    assert "settings.md" in capsys.readouterr().err


def test_every_command_and_option_appears() -> None:
    text = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    for name, command in {**COMMANDS, **SUBCOMMANDS}.items():
        assert f"## segment-export {name}\n" in text
        section = text.partition(f"## segment-export {name}\n")[2].partition("\n##")[0]
        for parameter in command.params:
            option = parameter.opts[0]
            is_argument = not option.startswith("-")
            shown = (parameter.metavar or option.upper()) if is_argument else option
            if option != "--help":
                assert re.search(rf"`{shown}[ `]", section), f"{name} {option}"


def test_every_setting_appears_and_has_its_option() -> None:
    text = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    for name, field in ExportRequest.model_fields.items():
        assert f"| `{name}` | {field.title} |" in text
        option = generator.OPTION_OF_SETTING.get(name, f"--{name.replace('_', '-')}")
        assert option in OPTIONS["run"]


@pytest.mark.parametrize("model", [ExportOutcome, Counts, BatchOutcome, RequestCounts])
def test_every_key_of_the_outcome_appears(model: type[ExportOutcome]) -> None:
    text = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    section = text.partition(f"### {model.__name__}\n")[2].partition("\n### ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(model.model_fields)


def test_every_rule_and_every_sandbox_setting_appears() -> None:
    rules = (REFERENCE / "contact-rules.md").read_text(encoding="utf-8")
    assert [rule.code for rule in describe_rules() if f"| `{rule.code}` |" not in rules] == []
    sandbox = (REFERENCE / "sandbox.md").read_text(encoding="utf-8")
    settings = sandbox.partition("\n## Settings\n")[2]
    fields = SandboxSettings.__dataclass_fields__
    assert [name for name in fields if f"`{name}`" not in settings] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = [link.partition("#")[0] for link in LINK.findall(prose) if "://" not in link]
    missing = [target for target in targets if target and not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_documents_have_the_options_that_they_use(page: Path) -> None:
    blocks = "\n".join(FENCE.findall(page.read_text(encoding="utf-8"))).replace("\\\n", " ")
    for line in re.findall(r"^(?:\$ )?(?:\S*/)?segment-export (.+)$", blocks, re.MULTILINE):
        name, *arguments = shlex.split(line, comments=True)
        if name.startswith("-"):
            assert name in {"--help", "--version"}, line
            continue
        if arguments and f"{name} {arguments[0]}" in SUBCOMMANDS:
            name += f" {arguments[0]}"
        assert name in OPTIONS, f"segment-export {line}"
        used = {word.partition("=")[0] for word in arguments if word.startswith("--")}
        assert used <= OPTIONS[name] | {"--help"}, f"segment-export {line}"


def test_messages_in_the_readme_are_those_that_the_code_gives() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("| You see |")[2]
    quoted = re.findall(r"^\| `([^`]+)` \|", table.partition("\n## ")[0], re.MULTILINE)
    assert len(quoted) > 5
    said = said_by_the_code()
    assert [message for message in quoted if not is_said(message, said)] == []


def test_messages_in_the_guide_to_connecting_are_those_that_the_code_gives() -> None:
    guide = (ROOT / "docs" / "guides" / "connect.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `([^`]+)` \|", guide.partition("| It says |")[2], re.MULTILINE)
    assert len(quoted) > 10
    said = said_by_the_code()
    assert [message for message in quoted if not is_said(message, said)] == []


@pytest.mark.parametrize("message", ["There is no segment 'Gold' …", "… has no column 'Email'"])
def test_a_message_that_the_code_does_not_give_is_noticed(message: str) -> None:
    assert not is_said(message, said_by_the_code())


def said_by_the_code() -> str:
    """Put all texts of the code into one, implicitly joined ones as they are joined."""
    files = [file for folder in SPEAKING for file in (ROOT / folder).rglob("*.py")]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    texts = [
        node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)
    ]
    return "\n".join(text for text in texts if isinstance(text, str))


def is_said(message: str, said: str) -> bool:
    """Say whether all of a message but its placeholders is in what the code says."""
    return all(part.strip(" .,:;()?") in said for part in PLACEHOLDER.split(message))
