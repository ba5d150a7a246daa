"""The server as a program: where it may listen, how somebody gets in, how it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from proofgap.facts import RunEvent
from proofgap.records import RunDetails
from proofgap_app.cli.ledgers import me
from proofgap_store import Ledger, NewRun
from proofgap_store.clock import operating_system_user
from tests.app.cli.conftest import ROOTS
from tests.app.restoring import backup_of, wait_for

SECONDS_MAX = 60


@contextmanager
def serving(cli, *arguments):
    """Run a server as a program, and give what it said first."""
    command = [sys.executable, "-m", "proofgap_app", "serve", "--port", "0", "--json", *arguments]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def get(url, **headers):
    """Send one request; give status, headers and body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=SECONDS_MAX)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_lets_in_whoever_started_it_signs_the_log_and_ends_in_good_order(cli, number):
    with serving(cli) as (process, said):
        status, headers, _ = get(said["link"])
        assert 303 == status
        assert "HttpOnly" in headers["set-cookie"]
        assert 404 == get(said["link"])[0]  # it is good once
        process.send_signal(number)
        assert 0 == process.wait(SECONDS_MAX)
    with Ledger.open(cli.url, create=False) as ledger:
        assert 0 == ledger.audit.waiting()
        assert not ledger.verify().findings


def test_a_server_executes_what_is_queued_unless_it_is_told_not_to(cli, tmp_path):
    details = RunDetails(backup=str(backup_of("tar", tmp_path).path), target=str(tmp_path / "target"), driver="files")
    cli.ok("init")
    cli.ok("grant", operating_system_user(), "admin")  # whoever the program runs as
    with Ledger.open(cli.url, create=False) as ledger:
        run = ledger.create(NewRun(details=details), me()).run_id
        for event in ("scope", "check", "preview", "queue"):
            ledger.fire(run, RunEvent(event), me())
        with serving(cli, "--no-worker"):
            pass
        assert "queued" == ledger.peek(run, me()).status
        with serving(cli) as (process, _):
            wait_for(lambda: ledger.peek(run, me()).status == "completed")
            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(SECONDS_MAX)
        assert () == ledger.fleet.queue(me()).workers


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("--host", "0.0.0.0"), "--host"),  # noqa: S104 - that it is refused is what is tested
        (("--host", "0.0.0.0", "--behind-tls-proxy"), "--origin"),  # noqa: S104 - as above
        (("--host", "::", "--behind-tls-proxy", "--origin", "https://proofgap.example"), "--issuer"),
        (("--host", "10.0.0.1", "--issuer", "https://login.example", "--client-id", "x"), "--host"),
        (("--behind-tls-proxy", "--origin", "http://proofgap.example"), "--origin"),
        (("--behind-tls-proxy", "--origin", "https://proofgap.example"), "--issuer"),
        (("--origin", "http://proofgap.example"), "--origin"),
        (("--host", "proofgap.example"), "--host"),
        (("--port", "70000"), "--port"),
        (("--origin", "proofgap.example"), "origin"),
        (("--origin", "http://proofgap.example/path"), "origin"),
        (("--issuer", "https://login.example"), "--client-id"),
        (("--issuer", "https://login.example", "--client-id", "x", "--client-secret-file", "/dev/null"), "--client-secret-file"),
    ],
)  # fmt: skip
def test_a_server_that_others_could_misuse_does_not_start(cli, arguments, field):
    cli.ok("init")
    result = cli("serve", *(() if "--port" in arguments else ("--port", "0")), *arguments)
    assert 2 == result.code, result
    assert result.err.startswith(f"proofgap: {field}: ")
    assert 1 == len(result.err.splitlines())


def test_a_port_that_is_taken_is_named(cli):
    with serving(cli) as (_, said):
        result = cli("serve", "--port", str(urlsplit(said["origin"]).port))
    assert 2 == result.code
    assert "cannot listen on 127.0.0.1" in result.err
