"""Traces: what a request, a transition and the steps of a restore say of themselves, and what they never say."""

from __future__ import annotations

import json

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from proofgap.audit import Actor
from proofgap.errors import NotAllowedError
from proofgap.facts import RunEvent
from proofgap.records import RunDetails
from proofgap_app import logs, tracing
from proofgap_app.settings import LogStyle
from proofgap_app.spans import OtelSpans
from proofgap_app.web.people import identify
from proofgap_store import Ledger, NewRun
from tests.app.restoring import Shell, backup_of
from tests.conformance.lives import ADA, live, open_memory, prove, settle
from tests.web.serving import served
from tests.web.world import named

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
BEGUN = f"00-{TRACE}-{PARENT}-01"
ROOT = "/v1/workspaces/default/restore-runs"


class Seen:
    """The spans that have ended."""

    def __init__(self) -> None:
        self._exporter, self.provider = InMemorySpanExporter(), TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def __iter__(self):
        return iter(self._exporter.get_finished_spans())

    def one(self, name):
        """Give the only span of a name."""
        (found,) = [span for span in self if span.name == name]
        return found

    def below(self, span):
        """Give the names of the spans right below one, in the order in which they began."""
        children = [row for row in self if row.parent and row.parent.span_id == span.context.span_id]
        return [row.name for row in sorted(children, key=lambda row: row.start_time)]

    def text(self):
        """Give everything that they say."""
        return "\n".join(span.to_json() for span in self)


@pytest.fixture
def seen():
    """Trace whatever happens in this test."""
    found = Seen()
    with tracing.tracing_by(OtelSpans(found.provider)):
        yield found


@pytest.fixture
def ledger():
    """A ledger in memory, whose transitions are traced where anything is."""
    with open_memory() as opened:
        settle(opened).trace_by(tracing.transition)
        yield opened


@pytest.fixture
def log(capsys):
    """Give the log lines that were written in this test."""

    def lines():
        return [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    yield lines
    structlog.reset_defaults()


def test_a_request_goes_on_with_the_trace_that_its_sender_began(seen, ledger, log):
    """The span of a request is below the sender's, that of the transition below it; log lines name both."""
    logs.configure(LogStyle.JSON)
    run = ledger.create(NewRun(), ADA).run_id
    with served(ledger, named) as client:
        sent = {"Authorization": "Bearer ada", "Idempotency_Key": "k", "If_Match": '"1"', "traceparent": BEGUN}
        assert 201 == client.post(f"{ROOT}/{run}/transitions", {"event": "scope"}, **sent).status
    request = seen.one("POST /v1/workspaces/{ws}/restore-runs/{run}/transitions")
    fired = seen.one("fire scope")
    assert (TRACE, PARENT) == (format_trace_id(request.context.trace_id), format_span_id(request.parent.span_id))
    assert (SpanKind.SERVER, ["fire scope"]) == (request.kind, seen.below(request))
    assert {
        "http.request.method": "POST",
        "http.response.status_code": 201,
        "http.route": "/v1/workspaces/{ws}/restore-runs/{run}/transitions",
        "url.path": f"{ROOT}/{run}/transitions",
        "url.scheme": "http",
    } == dict(request.attributes)
    moved = next(line for line in log() if line.get("fired") == "scope")
    assert (TRACE, format_span_id(fired.context.span_id)) == (moved["trace_id"], moved["span_id"])


def test_a_transition_says_what_was_fired_on_which_run_and_what_it_led_to(seen, ledger):
    receipt = ledger.create(NewRun(), ADA)
    ledger.fire(receipt.run_id, RunEvent.SCOPE, ADA, key="once")
    ledger.fire(receipt.run_id, RunEvent.SCOPE, ADA, key="once")
    created, first, again = seen
    assert ("fire create", receipt.run_id) == (created.name, created.attributes["proofgap.run.id"])
    expected = {"event": "scope", "source": "draft", "target": "scoped", "version": 2, "replayed": False}
    for name, value in {**expected, "run.id": receipt.run_id, "subject.id": receipt.run_id}.items():
        assert value == first.attributes[f"proofgap.{name}"]
    assert again.attributes["proofgap.replayed"] is True
    assert first.attributes["proofgap.audit_event"] == again.attributes["proofgap.audit_event"]


def test_a_refused_transition_says_which_guard_said_no(seen, ledger):
    run = live(ledger, "previewed")
    with pytest.raises(NotAllowedError):
        ledger.fire(run, RunEvent.START, ADA)
    with pytest.raises(Exception, match="names no plan"):
        ledger.fire(run, RunEvent.APPROVE, Actor(id="olga"))
    started, approved = seen.one("fire start"), seen.one("fire approve")
    assert (True, "previewed", None) == tuple(
        started.attributes.get(f"proofgap.{name}") for name in ("refused", "source", "guard")
    )
    assert "preview_names_a_plan" == approved.attributes["proofgap.guard"]
    assert ("NotAllowedError", StatusCode.ERROR) == (started.attributes["error.type"], started.status.status_code)


def test_a_failure_of_the_server_is_found_by_the_id_of_its_trace(seen, ledger, log, monkeypatch):
    def torn(_ledger):
        raise OSError("the disk holds s3cret")

    monkeypatch.setattr(Ledger, "guards", torn)
    logs.configure(LogStyle.JSON)
    with served(ledger, named) as client:
        answer = client.get("/readyz", traceparent=BEGUN)
    request = seen.one("GET /readyz")
    (line,) = [line for line in log() if line["event"] == "web.failed"]
    assert {TRACE} == {answer.json["trace_id"], line["trace_id"], format_trace_id(request.context.trace_id)}
    assert (500, StatusCode.ERROR) == (request.attributes["http.response.status_code"], request.status.status_code)
    assert "s3cret" not in seen.text()


def test_a_span_tells_no_secret_and_nothing_of_what_is_restored(seen, ledger):
    """Neither tokens and links, nor backup, target, notes, items and what evidence found."""
    link = ledger.sessions.offer(Actor(id="ada", via="page"), 60)
    details = RunDetails(backup="/srv/hidden-backup", target="/srv/hidden-target")
    with served(ledger, lambda settings: identify(ledger, settings)) as site:
        kept = site.get(f"/sign-in?token={link.secret}").headers["set-cookie"].partition(";")[0]
        assert 200 == site.get("/runs?text=hidden-search", Cookie=kept).status
        site.get("/runs", Authorization="Bearer proofgap_token_hidden")
    run = live(ledger, "completed", details=details)
    prove(ledger, run)
    with pytest.raises(NotAllowedError):
        ledger.fire(run, RunEvent.START, ADA, note="hidden-note")
    assert {"fire create", "fire complete", "fire activate", "GET /sign-in", "GET /runs"} <= {s.name for s in seen}
    for hidden in ("hidden", link.secret, kept.partition("=")[2], "a.txt", "sha256"):
        assert hidden not in seen.text()


def test_a_name_that_no_route_has_becomes_no_name_of_a_span(seen, ledger):
    """Else whoever guesses addresses fills a collector with names."""
    with served(ledger, named) as client:
        assert 404 == client.get("/nowhere/at/all").status
        assert 405 == client.send("BREW", "/runs").status
        assert 421 == client.get("/runs", Host="elsewhere.example").status
        twice = f"{BEGUN}, {BEGUN}"
        assert 200 == client.get("/healthz", traceparent=twice).status
    assert ["GET", "GET", "GET /healthz", "_OTHER"] == sorted(span.name for span in seen)
    assert seen.one("GET /healthz").parent is None


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


def test_a_restore_is_one_trace_of_its_steps_and_its_events(seen, shell, tmp_path):
    ran = shell.restore_inside(backup_of("tar", tmp_path))
    assert 0 == ran.code
    restore = seen.one("restore")
    assert shell.last().run["id"] == restore.attributes["proofgap.run.id"]
    found = seen.below(restore)
    steps = [name for name in found if not name.startswith("fire ")]
    assert ["plan", "preview", "execute", "evidence"] == steps
    assert found.index("fire preview") < found.index("execute") < found.index("fire complete")
    assert found.index("evidence") < found.index("fire activate")
    assert {"files"} == {seen.one(name).attributes["proofgap.driver"] for name in steps}
    for hidden in (str(tmp_path), "a.txt", "backup"):
        assert hidden not in seen.text()


def test_nothing_is_traced_unless_somebody_says_so(ledger):
    assert (tracing.is_on(), tracing.tracer(), tracing.ids()) == (False, None, {})
    with tracing.span("restore", {}) as span:
        span.tell({"proofgap.run.id": "rr_1"})
        span.rename("other")
        span.fail("OSError")
    assert "draft" == ledger.create(NewRun(), ADA).status
