"""Whoever only looks is recorded as having seen nothing, and is given nothing again that they may not see any more."""

from __future__ import annotations

import pytest

from proofgap.access import Role
from proofgap_app.web import site
from proofgap_app.web.site_settings import SiteSettings
from tests.conformance.lives import ADA
from tests.web.world import created

ROOT = "/v1/workspaces/default/restore-runs"
GETS = [route for route in site.routes_of(SiteSettings(origin="http://127.0.0.1:1")) if route.method == "GET"]


def parts(world):
    """Name something that is there in every place that a path has."""
    run = world.runs["completed_with_evidence"]
    event = world.ledger.show(run, ADA.id, ADA).event_id
    there = {"snapshot": world.runs["snapshot"], "environment": "local", "file": "console.css", "machine": "run"}
    return {**there, "run": run, "event_id": event, "ws": "default", "code": "not-found", "worker": "w"}


@pytest.mark.parametrize("route", GETS, ids=lambda route: route.path)
def test_asking_for_headers_records_nothing(world, route):
    """What is recorded as shown was shown: HEAD shows nothing, so it is not served where that would be recorded."""
    path = route.path.format(**parts(world))
    before = world.ledger.feed.settled()
    answer = world.as_("ada").send("HEAD", path)
    assert before == world.ledger.feed.settled()
    assert b"" == answer.body
    if route.is_event:
        assert 405 == answer.status
        assert "HEAD" not in answer.headers["allow"]
        assert 200 == world.as_("ada").get(path).status
        assert before < world.ledger.feed.settled()
    else:
        assert 405 != answer.status


def test_a_run_is_shown_anew_to_whoever_may_see_less_of_it_now(world):
    """Its version is the same; what they were shown is not, and is what a 304 would let them keep."""
    run, nina = world.runs["completed_with_evidence"], world.as_("nina")
    for role in (Role.VIEWER, Role.OPERATOR):
        world.ledger.access.grant("nina", role, ("default", "*"), ADA)
    first = nina.get(f"{ROOT}/{run}")
    known = {"If_None_Match": first.headers["etag"]}
    assert 304 == nina.get(f"{ROOT}/{run}", **known).status
    world.ledger.access.grant("nina", Role.OPERATOR, ("default", "*"), ADA, revoke=True)
    again = nina.get(f"{ROOT}/{run}", **known)
    assert (200, None) == (again.status, again.json["operation_run_id"])
    assert first.json["operation_run_id"] is not None
    assert first.json["version"] == again.json["version"]


@pytest.mark.parametrize("short", [True, False])
def test_an_event_is_fired_on_the_etag_of_the_run_or_on_its_version_alone(world, short):
    run, olga = created(world), world.as_("olga")
    seen = olga.get(f"{ROOT}/{run}").headers["etag"]
    assert seen.startswith('"1-')
    sent = {"Idempotency_Key": f"etag{short}", "If_Match": '"1"' if short else seen}
    fired = olga.post(f"{ROOT}/{run}/transitions", {"event": "scope"}, **sent)
    assert (201, '"2"') == (fired.status, fired.headers["etag"])
    sent |= {"Idempotency_Key": f"again{short}"}
    assert 412 == olga.post(f"{ROOT}/{run}/transitions", {"event": "scope"}, **sent).status
