# ruff: noqa: INP001 -- a script, not a package
"""Write docs/reference from the code, so that it cannot say anything else.

python docs/generate.py            write the pages
python docs/generate.py --check    exit 1, naming the pages that are stale
"""

import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, fields
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Any

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from cli.main import app
from pipeline import text_forms
from sandbox import Fault, SandboxSettings, _admin
from sandbox._operations import list_operations
from sandbox._sign_in_service import SIGN_IN_SERVICE
from schemas import outcome
from schemas.contact import HEADINGS, describe_rules
from schemas.export import AttributeMapping, ExportRequest
from tasks import events
from tests.contract import answer_scripts, answers, endings

REFERENCE = Path(__file__).parent / "reference"
HEADER = (
    "<!-- Generated from the code by docs/generate.py: change the code, then run it. -->\n\n"
    "*This page is generated from the code by `docs/generate.py`.*"
)
# A setting's option is called like it, with dashes, but for these.
OPTION_OF_SETTING = MappingProxyType({"segments": "--segment", "attributes": "--attribute"})
OUTCOME_PARTS = (outcome.Counts, outcome.BatchOutcome, outcome.RequestCounts)
OUTCOME_STATES = (outcome.Status, outcome.BatchState)

# Numbers of cases in the sandbox's own table of tests, of no use to a reader.
_CASE_NUMBERS = re.compile(r" \((?:cases? )?\d+(?:(?:, | and )\d+)*\)")


def build_contact_rules() -> str:
    """Build the page of what Constant Contact takes as a contact."""
    rules = [(f"`{r.code}`", f"`{r.field}`", r.rule, r.effect, r.source) for r in describe_rules()]
    headings = [(f"`{name}`", most or "–") for name, most in HEADINGS.items()]
    cleaning = [
        ("e-mail address", text_forms.email_text),
        ("first and last name", text_forms.name_text),
        ("any other text", text_forms.plain_text),
    ]
    cleaned = [(what, one_paragraph(doc(function))) for what, function in cleaning]
    return page(
        "Contact rules",
        "What happens to a value on its way into a contact: it is written as text, cleaned, then "
        "held against the rules. A profile that breaks a rule of its key or e-mail address is "
        "*rejected*; any other field that breaks a rule is left out, and the contact still goes.",
        "## Rules",
        table(("reason code", "field", "rule", "effect", "source"), rules),
        "## Fields",
        "The headings of a contact file, and the most characters of each. Beside them up to 25 "
        "custom fields, as `cf:` and the field's name.",
        table(("heading", "most characters"), headings),
        "## Text forms",
        *paragraphs(doc(text_forms))[1:],
        "## Cleaning",
        table(("text", "what is done"), cleaned),
    )


def build_command_line() -> str:
    """Build the page of commands and options."""
    root = typer.main.get_command(app)
    parts = [str(root.help), str(root.epilog), option_table(root)]
    for name, command in sorted(vars(root)["commands"].items()):
        parts += [f"## segment-export {name}", *paragraphs(str(command.help))]
        parts.append(option_table(command))
        for part, inner in sorted(getattr(command, "commands", {}).items()):
            parts += [f"### segment-export {name} {part}", *paragraphs(str(inner.help))]
            parts.append(option_table(inner))
    return page("Command line", *parts)


def option_table(command: Any) -> str:
    """Tabulate the arguments and options of a command, the required ones first."""
    hints = typing.get_type_hints(command.callback)
    ordered = sorted(command.params, key=lambda parameter: not parameter.required)
    rows = [
        (
            f"`{usage_of(parameter, hints.get(parameter.name, bool))}`",
            parameter.help or "",
            "required" if parameter.required else default_text(parameter.default),
        )
        for parameter in ordered
        if parameter.name != "help"
    ]
    return table(("option", "what it does", "default"), rows)


def usage_of(parameter: Any, kind: Any) -> str:
    """Write a parameter as it is typed: `--port N`, `--again`, `NAME`."""
    if not parameter.opts[0].startswith("-"):
        return str(parameter.metavar or parameter.name.upper())
    if kind is bool:
        return str(parameter.opts[0])
    is_number = bool({int, float} & {kind, *typing.get_args(kind)})
    return f"{parameter.opts[0]} {parameter.metavar or ('N' if is_number else 'TEXT')}"


def build_settings() -> str:
    """Build the page of an export's settings and of the document that tells its outcome."""
    return page(
        "Settings and outcome",
        "## Settings of an export",
        "What the run form asks for, and what `parameters: {request: …}` of a saved export holds. "
        "On the command line each is an option, `--` and its name with dashes; `segments` is "
        f"`{OPTION_OF_SETTING['segments']}` and `attributes` is "
        f"`{OPTION_OF_SETTING['attributes']}`, and both may be repeated.",
        setting_table(ExportRequest),
        "Each of `attributes` holds:",
        setting_table(AttributeMapping),
        "## The outcome document",
        "What `--json` prints and `outcome.json` in the report folder holds.",
        *described(outcome.ExportOutcome),
        *(part for model in OUTCOME_PARTS for part in described(model)),
        *(part for states in OUTCOME_STATES for part in listed(states)),
    )


def setting_table(model: type[BaseModel]) -> str:
    """Tabulate the fields that a person fills in."""
    rows = [
        (
            f"`{name}`",
            field.title or "",
            f"`{type_text(field.annotation)}`",
            default_of(field.default),
            field.description or "",
        )
        for name, field in model.model_fields.items()
    ]
    return table(("setting", "title", "type", "default", "description"), rows)


def described(model: type[BaseModel]) -> list[str]:
    """Describe a part of the outcome: what it is, and its keys."""
    rows = [
        (f"`{name}`", f"`{type_text(field.annotation)}`")
        for name, field in model.model_fields.items()
    ]
    return [f"### {model.__name__}", *paragraphs(doc(model)), table(("key", "type"), rows)]


def listed(states: type[StrEnum]) -> list[str]:
    """List the values of an enumeration."""
    values = ", ".join(f"`{state.value}`" for state in states)
    return [f"### {states.__name__}", *paragraphs(doc(states)), f"One of {values}."]


FAULT_EXAMPLES = r"""$ curl localhost:8080/sandbox/faults --data '[
    {"operation": "file_import", "kind": "status", "occurrence": 2, "status": 503}]'
$ curl localhost:8080/sandbox/faults --data '[
    {"operation": "file_import", "kind": "status", "status": 429, "body":
     "{\"error_key\": \"quota_exceeded\", \"error_message\": \"Limit Exceeded\"}"}]'"""


def build_sandbox() -> str:
    """Build the page of the stand-in API."""
    admin, _, endpoints = doc(_admin).partition("\n\n    ")
    summary, *rest = paragraphs(admin)
    operations = [(f"`{o.name}`", f"`{o.method} {o.path}`") for o in list_operations()]
    operations += [(f"`{door.name}`", f"`{path}`") for path, door in SIGN_IN_SERVICE.items()]
    fault, _, kinds = doc(Fault).partition("\nKinds, and")
    return page(
        "Sandbox",
        "A stand-in for Constant Contact over real HTTP: `segment-export sandbox` on the command "
        "line, `sandbox.running(SandboxSettings(…))` in a test. It keeps one account in memory.",
        "## Endpoints under /sandbox",
        summary,
        *rest,
        f"```text\n{inspect.cleandoc('    ' + endpoints)}\n```",
        "## Faults",
        *paragraphs(fault),
        f"Kinds, and{kinds.strip(chr(10))}",
        "The fields of a fault, as `POST /sandbox/faults` takes them:",
        dataclass_table(Fault),
        "The second import is answered 503; then the day's quota is used up:",
        f"```console\n{FAULT_EXAMPLES}\n```",
        "The operations that a fault may name:",
        table(("operation", "request"), operations),
        "## Settings",
        "For Python: the fields of `SandboxSettings`.",
        *sandbox_settings(),
    )


def build_answers() -> str:
    """Build the page of what every answer of Constant Contact means."""
    ends = [(f"**{e.name}**", f"`{e.status}`", e.exit_code, e.words) for e in endings.ENDS]
    messages = [(m.text, m.happened, m.means, m.do) for m in endings.MESSAGES]
    return page(
        "Answers",
        "What every answer of Constant Contact means: to the client, to the run, to whoever reads "
        "the message. An answer that comes once and is then gone goes unnoticed, unless the table "
        "says that the client stops at once; the message and the run's end are of an answer that "
        "stays. All of it is tested, answer by answer, against the [sandbox](sandbox.md). In "
        "messages … stands for what varies.",
        "An upload is repeated only when the activities do not show it. One that they show more "
        "than 15 seconds after its answer was lost cannot be told from one that never arrived: the "
        "file is sent again, which updates the same contacts.",
        "## How a run ends",
        table(("name", "status", "exit code", "in words"), ends),
        "## Reading in general",
        "What holds for every reading of the API, but for what its own section says.",
        meaning_table(answers.READING, answer_scripts.READS),
        *(part for one in answer_scripts.Operation for part in answers_of(one)),
        "## Messages",
        table(("message", "what happened", "what it means", "what to do"), messages),
    )


def answers_of(operation: answer_scripts.Operation) -> list[str]:
    """Tabulate what the answers to one operation mean; of a reading, what is special about it."""
    meanings, introduction = dict(answers.TABLE[operation]), []
    if operation in answer_scripts.READS:
        general = answers.READING.items()
        meanings = dict(item for item in meanings.items() if item not in general)
        introduction = ["Every other answer means what it means to readings in general."]
    return [f"## {operation.value}", *introduction, meaning_table(meanings, [operation])]


def meaning_table(
    meanings: dict[str, answers.Meaning], operations: Sequence[answer_scripts.Operation]
) -> str:
    """Tabulate meanings, answers that mean the same in one row."""
    names_by_meaning: dict[answers.Meaning, list[str]] = {}
    for name, meaning in meanings.items():
        names_by_meaning.setdefault(meaning, []).append(name)
    rows = [
        ("; ".join(names), meaning.does, meaning.says or "–", run_end(operations, meaning))
        for meaning, names in names_by_meaning.items()
    ]
    return table(("answer", "the client", "if it stays, the message", "and the run"), rows)


def run_end(operations: Sequence[answer_scripts.Operation], meaning: answers.Meaning) -> str:
    """Name how a run ends of an answer that stays; by stage where that makes a difference."""
    if meaning.pends:
        return endings.WAITS_ON.name
    if meaning.error is None:
        return "goes on"
    if meaning.does == answers.HALVED:
        return "goes on, with rejects"
    error = meaning.error
    stages = {stage: None for one in operations for stage in endings.STAGES[one]}
    ends = {stage: endings.RUNS[error, stage].name for stage in stages}
    if len(set(ends.values())) == 1:
        return next(iter(ends.values()))
    return "; ".join(f"{name} {stage}" for stage, name in ends.items())


def dataclass_table(kind: Any) -> str:
    """Tabulate a dataclass's fields with their types and defaults."""
    hints = typing.get_type_hints(kind)
    rows = [
        (
            f"`{field.name}`",
            type_text(hints[field.name]),
            "required" if field.default is MISSING else default_text(field.default),
        )
        for field in fields(kind)
    ]
    return table(("field", "type", "default"), rows)


def sandbox_settings() -> list[str]:
    """Turn the docstring of the sandbox's settings into a table a group."""
    defaults = {field.name: field.default for field in fields(SandboxSettings)}
    _, introduction, *groups = doc(SandboxSettings).split("\n\n")
    parts = [one_paragraph(introduction.partition(" Case numbers")[0])]
    for group in groups:
        title, _, entries = group.partition("\n")
        joined = re.sub(r"\n {8,}", " ", entries)
        rows = []
        for entry in joined.splitlines():
            names, _, meaning = entry.strip().partition(": ")
            values = [default_text(defaults[name]) for name in names.split(", ")]
            shown = ", ".join(f"`{name}`" for name in names.split(", "))
            rows.append((shown, ", ".join(values), _CASE_NUMBERS.sub("", meaning)))
        parts += [f"### {title}", table(("setting", "default", "meaning"), rows)]
    return parts


def page(title: str, *parts: str) -> str:
    """Put a page together."""
    return "\n\n".join([HEADER, f"# {title}", *parts]) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell(value) for value in line)} |" for line in lines)


def cell(value: object) -> str:
    """Write a value so that it stays in its cell."""
    return one_paragraph(str(value)).replace("|", "\\|")


def doc(thing: object) -> str:
    """Return a docstring without its indentation."""
    return inspect.cleandoc(getattr(thing, "__doc__", None) or "")


def paragraphs(text: str) -> list[str]:
    """Split text into paragraphs, each on one line."""
    return [one_paragraph(part) for part in text.strip().split("\n\n")]


def one_paragraph(text: str) -> str:
    """Put text on one line."""
    return " ".join(text.split())


def type_text(kind: Any) -> str:
    """Name a type for a reader who knows JSON rather than Python."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is NoneType:
        return "nothing"
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin in (UnionType, typing.Union):
        return " or ".join(type_text(one) for one in arguments)
    if origin in (tuple, frozenset):
        return f"list of {type_text(arguments[0])}"
    if origin is dict:
        return f"{type_text(arguments[0])} to {type_text(arguments[1])}"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(kind) or str(kind.__name__)


def default_of(default: object) -> str:
    """Write the default of a pydantic field."""
    return "required" if default is PydanticUndefined else default_text(default)


def default_text(default: object) -> str:
    """Write a default value; a dash where leaving it out means nothing is there."""
    if default is None or default in ("", (), frozenset()):
        return "–"
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, float) and default.is_integer():
        return str(int(default))
    if isinstance(default, int | float):
        return str(default)
    return f"`{default}`"


def build_events() -> str:
    """Build the page of the events that a run emits."""
    rows = [(f"`{event}`", when, held or "–") for event, (when, held) in events.EVENTS.items()]
    keys = ", ".join(f"`{key}`" for key in events.OUTCOME_KEYS)
    return page(
        "Events",
        *paragraphs(doc(events))[1:],
        "The export's name is that of the saved export where the run is of one. Each payload "
        "holds `export` and `connection`, and beside them:",
        table(("event", "when", "payload"), rows),
        f"The *outcome* is {keys}.",
    )


PAGES: MappingProxyType[str, Callable[[], str]] = MappingProxyType(
    {
        "contact-rules.md": build_contact_rules,
        "command-line.md": build_command_line,
        "settings.md": build_settings,
        "sandbox.md": build_sandbox,
        "answers.md": build_answers,
        "events.md": build_events,
    }
)


def build_pages() -> dict[Path, str]:
    """Build every page of the reference."""
    return {REFERENCE / name: build() for name, build in PAGES.items()}


def find_stale(pages: dict[Path, str]) -> list[Path]:
    """Find the pages whose file is missing or says something else."""
    return [
        path
        for path, text in pages.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with `--check` only compare them; return the exit code."""
    pages = build_pages()
    stale = find_stale(pages)
    if "--check" in arguments:
        for path in stale:
            sys.stderr.write(f"{path.name} is stale: run docs/generate.py\n")
        return 1 if stale else 0
    REFERENCE.mkdir(exist_ok=True)
    for path in stale:
        path.write_text(pages[path], encoding="utf-8")
        sys.stdout.write(f"wrote {path.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
