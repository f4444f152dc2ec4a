"""The run form of Prefect's UI, in a browser: it explains itself, refuses mistakes, and runs.

With SEGMENT_EXPORT_SCREENSHOTS=1 the pictures of docs/images are taken anew.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from schemas.export import ExportRequest
from tests.conftest import ROOT
from tests.e2e.bringing_up import PATIENCE_S, Up
from tests.waiting import ask_prefect

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
MESSAGE = "Delivered 97,066 contacts to list “Sandbox list” in 3 batches"
PRESSES = 10
ONE_PRESS_MS = 15_000
DEPLOYMENTS = "/v2/deployments"

expect.set_options(timeout=PATIENCE_S * 1000)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Server, worker, sandbox and the examples, as a person has them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = Up(tmp_path_factory.mktemp("up"), port)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.end()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM.exists(), (
        "These tests drive Chromium, and there is none. Install it: "
        "apt-get update && apt-get install --no-install-recommends chromium"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, up: Up) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, color_scheme="light", base_url=up.ui_url
    )
    context.set_default_timeout(PATIENCE_S * 1000)
    # Nothing outside is asked for: the pages are the server's own.
    context.route(
        lambda url: not url.startswith(up.ui_url), lambda route: route.abort("connectionrefused")
    )
    yield context.new_page()
    context.close()


def take(page: Page, name: str, tmp_path: Path) -> None:
    """Take a picture, for the documentation only when asked."""
    is_wanted = os.environ.get("SEGMENT_EXPORT_SCREENSHOTS") == "1"
    folder = ROOT / "docs" / "images" if is_wanted else tmp_path
    folder.mkdir(exist_ok=True)
    page.mouse.move(0, 0)
    # The timeline takes its time to draw itself, and notices to fade.
    page.wait_for_timeout(15_000 if is_wanted else 0)
    page.screenshot(path=folder / f"{name}.png", animations="disabled")


def open_form(page: Page) -> Locator:
    """Go to the form of the export "ad-hoc" as a person does, and give its button to submit."""
    page.goto(DEPLOYMENTS)
    page.get_by_role("link", name="ad-hoc").click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    expect(page.get_by_label("Contact list", exact=True)).to_be_visible()
    return page.get_by_role("button", name="Submit")


def press_until_taken(page: Page, submit: Locator) -> None:
    """Press the button as a person does: form and server may be busy and take no notice."""
    for _ in range(PRESSES):
        with suppress(PlaywrightTimeout):
            with page.expect_request("**/create_flow_run", timeout=ONE_PRESS_MS) as asked:
                submit.click()
            answer = asked.value.response()
            if answer is not None and answer.ok:
                return
    raise AssertionError("the form got no run")


def count_runs(up: Up) -> int:
    answer = ask_prefect(
        "POST",
        f"{up.api_url}/flow_runs/count",
        json={"deployments": {"name": {"any_": ["ad-hoc"]}}},
    )
    return int(answer.raise_for_status().text)


def test_form_shows_every_setting_with_its_title_description_and_value(
    page: Page, tmp_path: Path
) -> None:
    open_form(page)
    take(page, "run-form", tmp_path)
    text = " ".join(page.locator("form").inner_text().split())
    places = []
    for name, field in ExportRequest.model_fields.items():
        assert field.title is not None, name
        assert field.description is not None, name
        assert field.title in text
        assert field.description in text
        places.append(text.index(field.description))
    assert places == sorted(places)
    assert "NoneType" not in text
    assert "is type None" not in text
    for title, value in {
        "Unified profiles": "segment-export-demo/profiles.parquet",
        "Window (minutes) (Optional)": "60",
        "Key column (Optional)": "CustomerId",
    }.items():
        expect(page.get_by_label(title, exact=True)).to_have_value(value)
    expect(page.get_by_text("Loyalty_High").first).to_be_visible()
    expect(page.get_by_text("Newsletter")).to_be_visible()
    page.get_by_label("Select Connection").click()
    expect(page.get_by_role("option", name="sandbox")).to_be_visible()
    page.keyboard.press("Escape")


def test_mistake_is_refused_in_words_before_a_run_is_created(page: Page, up: Up) -> None:
    before = count_runs(up)
    submit = open_form(page)
    page.get_by_label("Window (minutes)").fill("0")
    submit.click()
    expect(page.get_by_text("0 is less than or equal to the minimum of 0").first).to_be_visible()
    assert page.url.partition("?")[0].endswith("/run")
    assert count_runs(up) == before


def test_run_with_a_changed_setting_is_carried_out_and_shown(
    page: Page, up: Up, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    submit = open_form(page)
    page.get_by_label("Report folder").fill(str(report))
    press_until_taken(page, submit)
    page.wait_for_url("**/deployments/deployment/*?tab=Runs")
    run, *_ = ask_prefect(
        "POST",
        f"{up.api_url}/flow_runs/filter",
        json={"deployments": {"name": {"any_": ["ad-hoc"]}}, "sort": "EXPECTED_START_TIME_DESC"},
    ).json()
    state = up.end_of(run["id"])
    assert state["type"] == "COMPLETED", state
    assert (report / "outcome.json").is_file()

    page.goto(f"/v2/runs/flow-run/{run['id']}?tab=Details")
    expect(page.get_by_text("Loyalty_High → sandbox").first).to_be_visible()
    expect(page.get_by_text(MESSAGE).first).to_be_visible()
    page.get_by_role("tab", name="Task Runs").click()
    for name in ("Upload batch 1 · 39,999 contacts", "Wait for the imports to finish"):
        expect(page.get_by_role("link", name=name)).to_be_visible()
    take(page, "run", tmp_path)

    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("export-report-ad-hoc", exact=True).click()
    page.locator('a[href*="/artifacts/artifact/"]').click()  # the newest of its kind
    expect(page.get_by_role("cell", name="97,066").first).to_be_visible()
    take(page, "report", tmp_path)

    page.goto(DEPLOYMENTS)
    expect(page.get_by_role("link", name="nightly-loyalty")).to_be_visible()
    take(page, "deployments", tmp_path)
