"""The ways to tell people, each a block of Prefect's own, made from an address."""

import asyncio
from collections.abc import Callable
from types import MappingProxyType
from urllib.parse import urlsplit

import httpx
from apprise import Apprise
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from pydantic import SecretStr

from deployments.changes import DeploymentFailed, DeploymentRefused

SUBJECT = "segment-export: a test message"
BODY = (
    "Messages about exports arrive here: when one fails, is degraded, or has recovered.\n\n"
    "There is nothing to do."
)


def make_webhook(address: str) -> NotificationBlock:
    """POST a JSON object with `subject` and `body`; the address is kept as a secret."""
    if not _is_web_address(address):
        raise DeploymentRefused(
            "The file holds no address of a webhook: one begins with https:// (or http://, inside "
            "a network of your own) and names a host. Put the whole address there; nothing was "
            "saved."
        )
    return CustomWebhookNotificationBlock(
        name="segment-export",
        url="{{ address }}",
        json_data={"subject": "{{ subject }}", "body": "{{ body }}"},
        secrets={"address": address},
    )


def _is_web_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        has_port = parts.port is None or parts.port > 0
    except ValueError:  # brackets, or a port that is no number
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and has_port


def make_slack(address: str) -> NotificationBlock:
    """Post into the channel of a Slack incoming webhook."""
    if not address.startswith(("https://hooks.slack.com/", "https://hooks.slack-gov.com/")):
        raise DeploymentRefused(
            "The file holds no address of Slack's: one begins with https://hooks.slack.com/. Copy "
            "it from Slack, or give --webhook-file for whatever else takes a POST; nothing was "
            "saved."
        )
    return _make_apprise(address)


def make_email(address: str) -> NotificationBlock:
    """Send e-mail over SMTP, as an address of Apprise's mail service says.

    Prefect has no block for SMTP. Its Slack block hands any address that is none of Slack's to
    Apprise, which knows mail servers, and every Prefect server can load it.
    """
    if not address.startswith(("mailtos://", "mailto://")):
        raise DeploymentRefused(
            "The file holds no mail server: write it as Apprise does, for instance "
            "mailtos://user:password@smtp.example.com?from=exports@example.com"
            "&to=team@example.com; nothing was saved."
        )
    return _make_apprise(address)


CHANNELS: MappingProxyType[str, Callable[[str], NotificationBlock]] = MappingProxyType(
    {"webhook": make_webhook, "slack": make_slack, "email": make_email}
)


def _make_apprise(address: str) -> NotificationBlock:
    if Apprise.instantiate(address) is None:
        raise DeploymentRefused("The address is incomplete; nothing was saved.")
    return SlackWebhook(url=SecretStr(address))


def send_test(block: NotificationBlock) -> None:
    """Send a message that says that it is a test.

    Raises:
        DeploymentFailed: it was not taken; where to, and with which secret, is not told.
    """
    try:
        with block.raise_on_failure():
            asyncio.run(_notify(block))
    except httpx.HTTPStatusError as error:
        trouble = f"HTTP {error.response.status_code}"
    except (NotificationError, httpx.HTTPError, OSError) as error:
        trouble = type(error).__name__
    else:
        return
    raise DeploymentFailed(
        f"The test message was not taken ({trouble}), and nothing was changed. Check the address, "
        "and whether it can be reached from here, and run this again."
    )


async def _notify(block: NotificationBlock) -> None:
    await block.notify(BODY, SUBJECT)
