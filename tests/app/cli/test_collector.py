"""A real collector, as small as one can be: what a server, a command and a broken set-up send to it, or say instead."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proofgap_store.clock import operating_system_user
from tests.app.cli.test_serve import SECONDS_MAX, get, serving

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
WITHOUT = """
import sys
sys.modules["opentelemetry"] = None  # as where the extra is not installed
from proofgap_app.cli import main
main()
"""
LOADED = """
import sys
from proofgap_app.cli import run
code = run(["list"])
print(code, any(name.partition(".")[0] == "opentelemetry" for name in sys.modules))
"""


class Collector(BaseHTTPRequestHandler):
    """Takes spans in."""

    paths: ClassVar[list[str]] = []
    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        """Keep what was sent."""
        self.paths.append(self.path)
        self.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_given: object) -> None:
        """Say nothing."""


@contextmanager
def collecting() -> Iterator[tuple[str, type[Collector]]]:
    """Collect on a free port of this machine; gives its address, and what keeps what came."""
    kept = type("Kept", (Collector,), {"paths": [], "bodies": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), kept) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", kept
        finally:
            server.shutdown()
            thread.join()


def received(kept):
    """Give the spans that came, by name, and what they are all from."""
    requests = [ExportTraceServiceRequest.FromString(body) for body in kept.bodies]
    resources = [resource for request in requests for resource in request.resource_spans]
    source = {pair.key: pair.value.string_value for resource in resources for pair in resource.resource.attributes}
    spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
    return {span.name: span for span in spans}, source


@pytest.fixture
def without(cli, monkeypatch):
    """Run commands without what the tests' own environment may say of collectors."""
    for name in (ENDPOINT, "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)
    cli.as_user(operating_system_user())  # whoever the programs run as
    cli.ok("init")
    return cli


def test_a_server_sends_the_span_of_a_request_to_the_collector_that_the_environment_names(without, monkeypatch):
    with collecting() as (address, kept):
        monkeypatch.setenv(ENDPOINT, address)
        with serving(without, "--no-worker") as (process, said):
            sent = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
            assert 200 == get(f"{said['origin']}/healthz", **sent)[0]
            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(SECONDS_MAX)
    spans, source = received(kept)
    assert TRACE == spans["GET /healthz"].trace_id.hex()
    assert "proofgap" == source["service.name"]
    assert {"/v1/traces"} == {*kept.paths}


def test_a_command_sends_its_transitions_under_the_name_that_the_environment_gives_it(without, monkeypatch):
    with collecting() as (address, kept):
        monkeypatch.setenv(ENDPOINT, address)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "nightly")
        run = json.loads(without.program("run", "create", "b", "--into", "t", "--json").stdout)["run_id"]
    spans, source = received(kept)
    told = {pair.key: pair.value.string_value for pair in spans["fire create"].attributes}
    assert (run, "nightly") == (told["proofgap.run.id"], source["service.name"])


def test_where_the_extra_is_missing_a_command_names_it_and_does_what_it_is_for(without, monkeypatch):
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    command = [sys.executable, "-c", WITHOUT, "run", "create", "b", "--into", "t", "--json"]
    ran = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (0, True) == (ran.returncode, ran.stdout.startswith("{"))
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"Warning: nothing is traced. {ENDPOINT}: is set, and OpenTelemetry is not installed")
    assert "pip install 'proofgap[otel]'" in line


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' is not to be had here"),
        ("OTEL_TRACES_EXPORTER", "console", "OTEL_TRACES_EXPORTER: 'console' is not to be had here"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "What OTEL_* say cannot be meant"),
    ],
)
def test_what_the_environment_cannot_mean_is_said_and_stops_nothing(without, monkeypatch, variable, value, said):
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    monkeypatch.setenv(variable, value)
    ran = without("list")
    assert (0, True) == (ran.code, f"Warning: nothing is traced. {said}" in ran.err)


def test_a_collector_that_is_away_is_said_once_and_keeps_no_command_from_its_end(without, monkeypatch):
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    monkeypatch.setenv("PROOFGAP_LOG", "json")
    ran = without.program("run", "create", "b", "--into", "t", "--json")
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert (0, True) == (ran.returncode, b"run_id" in ran.stdout)
    (trouble,) = [line["error"] for line in lines if "Transient" in line.get("error", "")]
    assert "Connection refused" in trouble


@pytest.mark.parametrize("environment", [{}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_a_command_that_traces_nothing_does_not_even_load_what_would(without, environment, monkeypatch):
    for name, value in {ENDPOINT: "http://127.0.0.1:1" if environment else "", **environment}.items():
        monkeypatch.setenv(name, value)
    ran = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, check=False, text=True)
    assert ("0 False", False) == (ran.stdout.splitlines()[-1], "Warning" in ran.stderr)
