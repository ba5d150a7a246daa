"""One restore from the page alone: served as a user would, signed in by the link, queued by name, executed, looked at."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from tests.app.restoring import ROOTS
from tests.browser.reading import text_of

PATIENCE_SECONDS = 60


@pytest.fixture
def served(tmp_path):
    """A server of its own process, on a new ledger; gives its origin and the link that signs in."""
    env = {**os.environ, "PROOFGAP_LEDGER": f"sqlite:///{tmp_path / 'l.db'}", "PROOFGAP_LOG": "off"}
    env["PYTHONPATH"] = os.pathsep.join(ROOTS)
    command = [sys.executable, "-m", "proofgap_app", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        yield json.loads(process.stdout.readline())
        process.terminate()
        process.stdout.read()
        assert process.wait(30) == 0


class Browser:
    """As much of a browser as a form needs."""

    def __init__(self, origin: str) -> None:
        """Visit a site, unknown still."""
        self.origin, self.cookie = origin, ""

    def ask(self, method: str, place: str, **fields: object) -> tuple[int, str, str]:
        """Send a request; give its status, where it leads, and the page."""
        address = urlsplit(self.origin)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        headers = {"Accept": "text/html", "Cookie": self.cookie, "Origin": self.origin}
        headers |= {"Content-Type": "application/x-www-form-urlencoded"} if method == "POST" else {}
        connection.request(method, place, urlencode(fields) if method == "POST" else None, headers)
        answer = connection.getresponse()
        page = answer.read().decode()
        self.cookie = (answer.getheader("set-cookie") or self.cookie).partition(";")[0]
        connection.close()
        return answer.status, answer.getheader("location") or "", page


def test_a_restore_is_made_from_the_page_alone(served, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a.txt", "alpha")
    target = tmp_path / "target"
    browser = Browser(served["origin"])
    link = urlsplit(served["link"])
    assert browser.ask("GET", f"{link.path}?{link.query}")[0] == 303
    status, run, _ = browser.ask("POST", "/new", scope="default/local", backup=tmp_path / "b.zip", target=target)
    assert (status, run.startswith("/runs/rr_")) == (303, True)
    assert browser.ask("POST", f"{run}/prepare")[0] == 303
    assert not target.exists()
    assert browser.ask("POST", f"{run}/queue", version=4, confirm="local")[0] == 303
    end, state = time.monotonic() + PATIENCE_SECONDS, ""
    while state != "Completed with evidence available" and time.monotonic() < end:
        state = text_of(browser.ask("GET", run)[2], "status").strip()
    assert state == "Completed with evidence available"
    assert (target / "a.txt").read_text() == "alpha"
    assert "Match at level L5" in browser.ask("GET", f"{run}/evidence")[2]
    assert browser.ask("POST", "/sign-out")[:2] == (303, "/sign-in")
    assert browser.ask("GET", run)[0] == 303
