"""A real browser on a real site: chromium as Debian packages it, and a ledger with a run in every state.

A browser lives as long as one module, because its driver keeps an event loop in the thread of the tests.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import sync_playwright

from tests.browser.site import COOKIE, address, serving
from tests.browser.world import make_states, open_world

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
WIDE = {"width": 1280, "height": 800}


@pytest.fixture(scope="session")
def ledger(tmp_path_factory):
    """A ledger with a run in every state."""
    with open_world(tmp_path_factory.mktemp("world")) as opened:
        yield opened


@pytest.fixture(scope="session")
def runs(ledger):
    """The ids of its runs, by what they show."""
    return make_states(ledger)


@pytest.fixture(scope="session")
def client(ledger, runs):
    """A client of the site that serves it."""
    with serving(ledger) as serves:
        yield serves


@pytest.fixture(scope="session")
def site(client):
    """The address of the site."""
    return address(client)


@pytest.fixture(scope="module")
def chromium():
    """The browser."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("chromium is missing; on Debian: apt-get install --no-install-recommends chromium", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, site, runs):
    """Open pages as somebody; every error in the console and every request to elsewhere fails the test."""
    opened, faults = [], []

    def see(path: str, who: str = "ada", *, live: bool = False, **options: object) -> object:
        context = chromium.new_context(**({"viewport": WIDE} | options))
        opened.append(context)
        context.add_cookies([{"name": COOKIE, "value": who, "url": site}])
        if not live:
            context.route("**/stream?*", lambda route: route.fulfill(status=204))
        page = context.new_page()
        page.faults = faults  # for tests that make them on purpose
        page.on("console", lambda said: faults.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda asked: None if asked.url.startswith((site, "data:", "blob:")) else faults.append(asked.url),
        )
        with arriving(page):
            page.goto(site + path)
        return page

    yield see
    for context in opened:
        context.close()
    assert faults == []


@contextmanager
def arriving(page) -> Iterator[None]:
    """See that what is done leads to another page, which has its styles and fonts before anybody looks at it."""
    with page.expect_navigation():
        yield
    page.evaluate("document.fonts.ready")


@contextmanager
def narrow(page, width: int) -> Iterator[None]:
    """Make the window so wide for a while."""
    page.set_viewport_size({"width": width, "height": 800})
    yield
    page.set_viewport_size(WIDE)
