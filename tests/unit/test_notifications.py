"""The messages to people: through which channel, and in which words."""

import socketserver
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from prefect.client.schemas.objects import State, StateType
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.server.utilities.user_templates import (
    render_user_template_sync,
    validate_user_template,
)
from prefect.settings import PREFECT_API_URL, temporary_settings

from cli import notify
from cli.errors import CommandRefused
from deployments.automations import FLOWS
from deployments.changes import DeploymentFailed, DeploymentRefused
from deployments.channels import CHANNELS, make_webhook, send_test
from deployments.notifications import NAMES, define_notifications
from tests.conftest import Commands, clean_env

# Apprise looks for an old module of Python.
pytestmark = pytest.mark.filterwarnings("ignore:.imghdr. is deprecated:DeprecationWarning")

SLACK = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
MAIL = "mailtos://user:s3cret@smtp.example.com?from=a@example.com&to=b@example.com"
RUN = SimpleNamespace(
    id="run-id",
    name="Gold → shop",
    state=State(type=StateType.FAILED, name="TimedOut", message="It took too long."),
)
EVENT = SimpleNamespace(
    payload={"message": "Delivered 8.", "warn_rejects_percent": 5.0, "previous": "crashed"}
)


@pytest.fixture
def defined() -> dict[str, AutomationCore]:
    with temporary_settings({PREFECT_API_URL: "http://prefect.example.com:4200/api"}):
        return {one.name: one for one in define_notifications(uuid4())}


def message_of(automation: AutomationCore, **context: Any) -> tuple[str, str]:
    """Subject and body as Prefect's server renders them."""
    (action,) = automation.actions
    assert isinstance(action, SendNotification)
    for template in (action.subject, action.body):
        validate_user_template(template)
    return (
        render_user_template_sync(action.subject, context),
        render_user_template_sync(action.body, context),
    )


def test_messages_say_which_export_what_came_of_it_where_to_look_and_what_to_do(
    defined: dict[str, AutomationCore],
) -> None:
    deployment = SimpleNamespace(name="nightly")
    messages = {
        name: message_of(one, flow_run=RUN, deployment=deployment, event=EVENT)
        for name, one in defined.items()
    }
    assert tuple(messages) == NAMES
    for subject, body in messages.values():
        assert subject.endswith(": Gold → shop")
        assert body.startswith("Gold → shop (saved export nightly) ")
        assert "http://prefect.example.com:4200/runs/flow-run/run-id" in body
        assert "to do" in body
        assert "{" not in subject + body
    failed, degraded, recovered = (body for _, body in messages.values())
    assert "ended as TimedOut.\n\nIt took too long.\n\n" in failed
    assert "more than 5.0 % of its profiles did not arrive.\n\nDelivered 8.\n\n" in degraded
    assert "its run before was crashed.\n\nDelivered 8.\n\n" in recovered


def test_run_that_is_of_no_saved_export_is_told_of_by_its_name(
    defined: dict[str, AutomationCore],
) -> None:
    for automation in defined.values():
        _, body = message_of(automation, flow_run=RUN, deployment=None, event=EVENT)
        assert "saved export" not in body


def test_failed_waits_for_every_bad_end_of_our_flows_only(
    defined: dict[str, AutomationCore],
) -> None:
    trigger = defined[NAMES[0]].trigger
    assert isinstance(trigger, EventTrigger)
    assert trigger.expect == {
        "prefect.flow-run.Failed", "prefect.flow-run.TimedOut", "prefect.flow-run.Crashed",
    }  # fmt: skip
    assert trigger.model_dump()["match_related"] == {
        "prefect.resource.role": "flow",
        "prefect.resource.name": list(FLOWS),
    }


@pytest.mark.parametrize(
    ("channel", "address", "kind"),
    [
        ("webhook", "https://example.com/hook?key=s3cret", CustomWebhookNotificationBlock),
        ("slack", SLACK, SlackWebhook),
        ("email", MAIL, SlackWebhook),
    ],
)
def test_channel_becomes_a_block_that_any_prefect_server_can_load_and_hides_its_address(
    channel: str, address: str, kind: type[NotificationBlock]
) -> None:
    block = CHANNELS[channel](address)
    assert type(block) is kind
    assert type(block).__module__.startswith("prefect."), "the server has none of our code"
    assert "s3cret" not in repr(block)
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in repr(block)


@pytest.mark.parametrize(
    ("channel", "address", "told"),
    [
        ("webhook", "ftp://example.com/s3cret", "begins with https://"),
        ("webhook", "https://", "begins with https://"),
        ("webhook", "http:///s3cret", "names a host"),
        ("webhook", "http://[s3cret", "Put the whole address there; nothing was saved."),
        ("slack", "https://example.com/s3cret", "begins with https://hooks.slack.com/"),
        ("slack", "http://example.com/s3cret", "or give --webhook-file"),
        ("slack", "https://hooks.slack.com/s3cret", "incomplete"),
        ("email", "somebody@example.com", "mailtos://user:password@"),
        ("email", "mailtos://", "incomplete"),
    ],
)
def test_address_that_makes_no_sense_is_refused_without_repeating_it(
    channel: str, address: str, told: str
) -> None:
    with pytest.raises(DeploymentRefused) as refusal:
        CHANNELS[channel](address)
    assert told in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_test_message_that_nobody_takes_is_told_without_the_address() -> None:
    with pytest.raises(DeploymentFailed) as failure:
        send_test(make_webhook("http://127.0.0.1:9/s3cret"))
    assert "The test message was not taken (ConnectError)" in str(failure.value)
    assert "s3cret" not in str(failure.value)


class MailServer(socketserver.StreamRequestHandler):
    """As much of SMTP as takes one message."""

    taken: ClassVar[list[bytes]] = []

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        message = b""
        for line in self.rfile:
            if message:
                message += line
                if line != b".\r\n":
                    continue
                self.taken.append(message)
                message = b""
            word = line[:4].upper()
            message = b"\n" if word == b"DATA" else b""
            self.wfile.write(b"354 go on\r\n" if message else b"250 ok\r\n")
            if word == b"QUIT":
                return


def test_email_goes_to_a_mail_server() -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), MailServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"127.0.0.1:{server.server_address[1]}"
        to = "from=exports@example.com&to=team@example.com&mode=insecure"
        send_test(CHANNELS["email"](f"mailto://{where}?{to}"))
        server.shutdown()
    (message,) = MailServer.taken
    assert b"To: team@example.com" in message
    assert b"Subject: segment-export: a test message" in message
    assert b"There is nothing to do." in message


@pytest.mark.parametrize("content", ["", "two words", "a\nb"])
def test_file_that_holds_no_single_address_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "address"
    file.write_text(content)
    with pytest.raises(CommandRefused, match="one address and no more"):
        notify.set_notifications("webhook", file, tests=False, as_json=False)


def test_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandRefused, match="cannot be read: No such file"):
        notify.set_notifications("webhook", tmp_path / "none", tests=False, as_json=False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Give one of"),
        (("--off", "--test"), "Give one of"),
        (("--webhook-file", "a", "--slack-file", "b"), "Give one of"),
        (("--test",), "prefect server start"),
    ],
)
def test_command_that_cannot_be_carried_out_is_refused_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = Commands(clean_env(tmp_path), tmp_path).run("notify", *arguments)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert told in done.err
