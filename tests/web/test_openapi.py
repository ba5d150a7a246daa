"""The OpenAPI document says what is served, and what is served is what it says: Schemathesis tries to find a difference."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proofgap.access import Role
from proofgap_app.web import site
from proofgap_app.web.openapi import document
from proofgap_app.web.people import identify
from proofgap_app.web.site_settings import Limits, SiteSettings
from proofgap_store import Ledger, NewToken
from tests.conformance.lives import ADA
from tests.web.serving import Client, served
from tests.web.world import populate

SETTINGS = SiteSettings(origin="http://127.0.0.1:1")
CONFIGURATION = """
[checks]
# Rules that no schema says: that a cursor was given out, that a key of an item is not empty.
positive_data_acceptance.enabled = false
# A missing If-Match is answered with 428 (RFC 6585).
missing_required_header.expected-statuses = [400, 401, 403, 404, 405, 406, 415, 422, 428]

[parameters]
"path.ws" = "default"
"path.run" = "{run}"
"path.environment" = "local"
"path.code" = "not-found"
"path.event_id" = "{event_id}"

[[operations]]  # those that need a run that has ended
include-path-regex = "/evidence"
parameters = {{ "path.run" = "{ended}", "path.snapshot" = "{snapshot}" }}
"""
PHASES = ("coverage", "fuzzing", "stateful")
"""Every phase that finds something to do: the document has no examples."""


@pytest.fixture(scope="module")
def described():
    """The document."""
    return document(site.routes_of(SETTINGS), SETTINGS.origin)


def test_every_route_for_programs_is_in_the_document_and_no_page_is(described):
    found = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert found == {(route.method, route.path) for route in site.routes_of(SETTINGS) if not route.is_page}


def test_every_operation_has_a_name_of_its_own_a_sentence_and_its_problems(described):
    operations = [operation for methods in described["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len({*names})
    for operation in operations:
        assert operation["description"].endswith("."), operation["operationId"]
        assert {"400", "413", "421", "503"} <= {*operation["responses"]}


def test_no_other_form_of_a_validation_error_is_left_in_the_document(described):
    """The one that frameworks put there by themselves would be a lie."""
    assert not any("ValidationError" in name for name in described["components"]["schemas"])
    assert "Problem" in described["components"]["schemas"]


@contextmanager
def tokened(folder) -> Iterator[tuple[Client, str, dict[str, object]]]:
    """Serve a world; gives the secret of a token that may do what any token may, and what there is to be found."""
    with Ledger.open(f"sqlite:///{folder}/ledger.db", owner=ADA.id, synchronous="NORMAL") as ledger:
        runs = populate(ledger)
        new = NewToken(
            name="st",
            workspace="default",
            environment="*",
            roles=(Role.OPERATOR, Role.WORKER, Role.AUDITOR),
            expires_at_us=ledger._clock() + 10**12,
        )
        ledger.access.grant("ada", Role.ADMIN, ("default", "*"), ADA)
        secret = ledger.sessions.create_token(new, ADA).secret
        event_id = ledger.show(runs["in_progress"], ADA.id, ADA).event_id
        found = {"run": runs["in_progress"], "ended": runs["completed_with_evidence"], "snapshot": runs["snapshot"]}
        limits = Limits(wait_seconds_max=0.05, stream_seconds_max=0.05)
        with served(ledger, lambda settings: identify(ledger, settings), poll_seconds=0.05, limits=limits) as client:
            yield client, secret, {**found, "event_id": event_id}


def test_the_headers_that_an_answer_bears_are_in_the_document(world, described):
    """Beside those of every answer. That none of them is missing where it must be is what Schemathesis looks at."""
    root, every = "/v1/workspaces/default", {*world.as_("ada").get("/healthz").headers}
    runs, wim = f"{root}/restore-runs", world.as_("wim")
    body, ended = {"environment": "local"}, world.runs["completed_with_evidence"]
    asked = [
        (f"{root}/claims", wim.post(f"{root}/claims", {"worker": "wk_none"})),
        (runs, wim.post(runs, body, Idempotency_Key="headers")),
        (runs, wim.post(runs, body, Idempotency_Key="headers")),
        *((path, world.as_("udo").get(f"{path}?limit=1")) for path in (runs, f"{root}/audit-events")),
        *(
            (f"{runs}/{{run}}{part}", world.as_("udo").get(f"{runs}/{ended}{part}"))
            for part in ("", "/decision", "/transitions", "/item-outcomes")
        ),
        (f"{root}/audit-events/export", world.as_("udo").get(f"{root}/audit-events/export")),
        (f"{root}/queue", world.client.get(f"{root}/queue")),
    ]
    borne = [(path, answer.status, {*answer.headers} - every) for path, answer in asked]
    said = {
        (path, status): {name.lower() for name in response.get("headers", {})}
        for path, methods in described["paths"].items()
        for operation in methods.values()
        for status, response in operation["responses"].items()
    }
    assert [] == [
        (path, status, name)
        for path, status, names in borne
        for name in names - said[path.replace("default", "{ws}"), str(status)] - {"vary", "accept-ranges"}
    ]
    assert {"etag", "location", "link", "idempotent-replayed", "repr-digest", "www-authenticate"} <= {
        name for *_, names in borne for name in names
    }


@pytest.mark.timeout(240)
@pytest.mark.parametrize("phase", PHASES)
def test_schemathesis_finds_no_difference_between_document_and_server(tmp_path, phase):
    """Each phase chooses its requests in its own way, and the same ones each time."""
    configuration = tmp_path / "schemathesis.toml"
    with tokened(tmp_path) as (client, secret, found):
        configuration.write_text(CONFIGURATION.format(**found))
        command = [
            *(Path(sys.executable).with_name("schemathesis"), "--config-file", configuration, "run"),
            *(f"http://127.0.0.1:{client.port}/openapi.json", "-H", f"Authorization: Bearer {secret}"),
            *("--phases", phase, "--max-examples", "2", "--generation-deterministic", "--no-color"),
        ]
        done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path, text=True)
    assert 0 == done.returncode, done.stdout
