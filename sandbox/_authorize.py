"""How an application asks a person for access: in the browser, or through a device code."""

from urllib.parse import parse_qsl, urlencode

from sandbox._errors import oauth_error
from sandbox._grants import BrowserRequest
from sandbox._http import Answer, Call
from sandbox._oauth import read_fields
from sandbox._sign_in_pages import USERS, ask_consent, ask_user_code, page
from sandbox._tokens import KNOWN_SCOPES, Client
from sandbox._world import World

AUTHORIZE_PATH = "/oauth2/default/v1/authorize"
DEVICE_PATH = "/oauth2/default/v1/device/authorize"
ACTIVATE_PATH = "/activate"
CHALLENGE_LENGTH = 43  # SHA-256 in base64 without padding


def authorize(world: World, call: Call) -> Answer:
    """Show the consent page of the browser flow, or take the decision (cases 1 and 2)."""
    if call.method == "POST":
        return _take_decision(world, call)
    fields = dict(parse_qsl(call.query))
    client = world.desk.clients.get(fields.get("client_id", ""))
    redirect_uri = fields.get("redirect_uri", "")
    # Until both are known to belong together nobody is sent anywhere: it might be a trap.
    if client is None:
        return page("Bad request", "<p>There is no application with this client_id.</p>", 400)
    if redirect_uri not in client.redirect_uris:
        return page(
            "Bad request",
            "<p>The redirect_uri is not one of those that the application has registered.</p>",
            400,
        )
    state, challenge = fields.get("state", ""), fields.get("code_challenge", "")
    scopes = frozenset(fields.get("scope", "").split())
    fault = _fault_of(client, fields, scopes)
    if fault:
        return _send_back(redirect_uri, state, error=fault[0], error_description=fault[1])
    granted = scopes & client.scopes
    ticket = world.grants.ask(BrowserRequest(client, redirect_uri, granted, state, challenge))
    account = world.settings.organization_name
    return ask_consent(client, account, granted, path=AUTHORIZE_PATH, ticket=ticket)


def _fault_of(
    client: Client, fields: dict[str, str], scopes: frozenset[str]
) -> tuple[str, str] | None:
    """Say what is wrong with a request whose sender is known; the words are ours."""
    if not client.is_active:
        return "unauthorized_client", "The application is deactivated."
    if fields.get("response_type") != "code":
        return "unsupported_response_type", "The response_type must be code."
    if not scopes or not scopes <= KNOWN_SCOPES:
        return "invalid_scope", "A requested scope is unknown, or none was requested."
    challenge, method = fields.get("code_challenge", ""), fields.get("code_challenge_method", "")
    if challenge and (method != "S256" or len(challenge) != CHALLENGE_LENGTH):
        return "invalid_request", "The code_challenge_method must be S256."
    if client.is_public and not challenge:
        return "invalid_request", "A public application needs PKCE."
    return None


def _take_decision(world: World, call: Call) -> Answer:
    fields = read_fields(call)
    request = world.grants.take_asked(fields.get("ticket", ""))
    if request is None:
        return page("Too late", "<p>This page was used already; begin again.</p>", 400)
    if fields.get("decision") != "allow":
        return _send_back(
            request.redirect_uri,
            request.state,
            error="access_denied",
            error_description="The resource owner denied the request.",
        )
    code = world.grants.issue_code(request, _privileges(fields))
    return _send_back(request.redirect_uri, request.state, code=code)


def _send_back(redirect_uri: str, state: str, **fields: str) -> Answer:
    told = fields | ({"state": state} if state else {})
    joint = "&" if "?" in redirect_uri else "?"
    location = f"{redirect_uri}{joint}{urlencode(told)}"
    return Answer(302, headers={"Location": location, "Cache-Control": "no-store"})


def authorize_device(world: World, call: Call) -> Answer:
    """Hand out a device code (case 11); fields come from the form body or the query string."""
    fields = read_fields(call)
    client = world.desk.clients.get(fields.get("client_id", ""))
    if client is None or not client.is_active:
        raise oauth_error(401, "invalid_client", "The client is unknown or deactivated.")
    scopes = frozenset(fields.get("scope", "").split())
    if not scopes or not scopes <= KNOWN_SCOPES:
        raise oauth_error(400, "invalid_scope", "A requested scope is unknown.")
    request = world.grants.ask_by_device(client, scopes & client.scopes)
    address = f"http://{call.headers['host']}{ACTIVATE_PATH}"
    return Answer(
        200,
        {
            "device_code": request.device_code,
            "user_code": request.user_code,
            "verification_uri": address,
            "verification_uri_complete": f"{address}?user_code={request.user_code}",
            "expires_in": int(world.settings.device_code_life_s),
            "interval": int(request.interval_s),
        },
        headers={"Cache-Control": "no-store"},
    )


def activate(world: World, call: Call) -> Answer:
    """Show the page on which a device's code is entered and decided about."""
    fields = read_fields(call)
    user_code = fields.get("ticket" if call.method == "POST" else "user_code", "")
    request = world.grants.find_device(user_code)
    if request is None:
        remark = "No device waits for this code; check it, or start again." if user_code else ""
        return ask_user_code(path=ACTIVATE_PATH, remark=remark)
    if call.method == "GET":
        account = world.settings.organization_name
        return ask_consent(
            request.client, account, request.scopes, path=ACTIVATE_PATH, ticket=request.user_code
        )
    if fields.get("decision") != "allow":
        request.decision = "denied"
        return page("Access denied", "<p>The device was told so. You may close this window.</p>")
    request.decision = "allowed"
    request.privileges = _privileges(fields)
    return page("Device activated", "<p>The device goes on. You may close this window.</p>")


def _privileges(fields: dict[str, str]) -> frozenset[str]:
    """Return what the chosen user may do."""
    return USERS.get(fields.get("user", ""), USERS["owner"])[1]
