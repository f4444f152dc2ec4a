"""A strict stand-in for Constant Contact over real HTTP, built from its published contract.

It keeps one account in memory and answers the V3 operations that an export needs, and the
authorisation server's: consent in the browser, device codes, refreshes. Two ways to run it:

- `serve(settings, port=…)` until it is interrupted, with a back door for tests and demos under
  /sandbox (`sandbox._admin` lists it);
- `with running(settings) as box:` in a thread of this process.

Nothing happens by chance: time comes from a clock that may be given, trouble from a script of
`Fault`s, and every reading of something undocumented is a field of `SandboxSettings`.
"""

from sandbox._box import Box, State
from sandbox._clock import Clock, ManualClock, SystemClock
from sandbox._faults import Fault
from sandbox._request_log import RequestRecord, most_in_any_second
from sandbox._server import running, serve
from sandbox._settings import SandboxSettings
from sandbox._tokens import ACCOUNT_OWNER, ALL_SCOPES, CAMPAIGN_CREATOR
from sandbox._world import AppCredentials, ContactView

__all__ = [
    "ACCOUNT_OWNER",
    "ALL_SCOPES",
    "CAMPAIGN_CREATOR",
    "AppCredentials",
    "Box",
    "Clock",
    "ContactView",
    "Fault",
    "ManualClock",
    "RequestRecord",
    "SandboxSettings",
    "State",
    "SystemClock",
    "most_in_any_second",
    "running",
    "serve",
]
