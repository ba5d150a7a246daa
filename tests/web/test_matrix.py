"""Who may do what over the network: a row for every route, held against the table of routes and against the server."""

from __future__ import annotations

from itertools import count
from urllib.parse import urlencode

import pytest

from proofgap.access import MAY, Role
from proofgap.audit import Actor
from proofgap.facts import RunEvent
from proofgap_app.web import site
from proofgap_app.web.site_settings import SiteSettings
from proofgap_app.web.table import Scope
from tests.conformance.lives import ADA
from tests.web.world import AWAY_ROLES, ROLES, created, led

RUN = "/v1/workspaces/{ws}/restore-runs/{run}"
PEOPLE = ("ada", "olga", "wim", "udo", "vera", "sam", "admin-away", "")
"""An admin, an operator, a worker, an auditor, a viewer, nobody in particular, somebody else's admin, and nobody at all."""

EVERYBODY = "200 200 200 200 200 200 200 200"
OF_RUN = "200 200 200 200 200 404 404 401"
OF_WORKSPACE = "200 200 200 200 200 200 200 401"  # whoever may see nothing in it finds nothing in it
MATRIX = {
    ("GET", "/healthz"): EVERYBODY,
    ("GET", "/readyz"): EVERYBODY,
    ("GET", "/problems/{code}"): EVERYBODY,
    ("GET", "/sign-in"): EVERYBODY,
    ("GET", "/sign-in/provider"): "404 404 404 404 404 404 404 404",  # there is none here: test_openid.py has one
    ("GET", "/sign-in/callback"): "404 404 404 404 404 404 404 404",  # as above
    ("POST", "/sign-out"): "303 303 303 303 303 303 303 401",
    ("GET", "/openapi.json"): "200 200 200 200 200 200 200 401",
    ("GET", "/metrics"): "200 403 403 200 403 403 200 401",
    ("GET", "/v1/workspaces/{ws}/machine"): "200 200 200 200 200 200 200 401",
    ("GET", "/v1/workspaces/{ws}/events"): OF_WORKSPACE,
    ("GET", "/v1/workspaces/{ws}/audit-events"): "200 403 403 200 403 403 200 401",
    ("GET", "/v1/workspaces/{ws}/audit-events/export"): "200 403 403 200 403 403 200 401",
    ("GET", "/v1/workspaces/{ws}/queue"): OF_WORKSPACE,
    ("POST", "/v1/workspaces/{ws}/workers"): "201 403 201 403 403 403 404 401",
    ("DELETE", "/v1/workspaces/{ws}/workers/{worker}"): "204 404 404 404 404 404 404 401",  # it is the admin's own
    ("POST", "/v1/workspaces/{ws}/workers/{worker}/heartbeat"): "200 404 404 404 404 404 404 401",
    ("POST", "/v1/workspaces/{ws}/claims"): "204 404 404 404 404 404 404 401",
    ("POST", "/v1/workspaces/{ws}/environments/{environment}/release"): "404 404 403 403 403 404 404 401",  # it is free
    ("GET", "/v1/workspaces/{ws}/restore-runs"): OF_WORKSPACE,
    ("POST", "/v1/workspaces/{ws}/restore-runs"): "201 201 201 403 403 404 404 401",
    ("GET", RUN): OF_RUN,
    ("GET", RUN + "/decision"): OF_RUN,
    ("GET", RUN + "/decisions/{event_id}"): "200 404 404 200 404 404 404 401",  # it was shown to the admin
    ("GET", RUN + "/transitions"): "200 200 200 200 403 404 404 401",
    ("POST", RUN + "/transitions"): "201 201 201 403 403 404 404 401",
    ("GET", RUN + "/operation"): "200 200 200 200 404 404 404 401",
    ("GET", RUN + "/evidence"): OF_RUN,
    ("GET", RUN + "/evidence/{snapshot}"): "200 200 404 200 404 404 404 401",
    ("PUT", RUN + "/evidence/{snapshot}"): "201 403 201 403 403 404 404 401",
    ("GET", RUN + "/item-outcomes"): OF_RUN,
    ("POST", RUN + "/item-outcomes"): "202 403 202 403 403 404 404 401",
    ("GET", RUN + "/stream"): OF_RUN,
}
OF_LOG = "200 200 200 200 403 404 404 401"
OF_AUDIT = "200 403 403 200 403 403 200 401"  # whoever audits anything
PAGES = {
    ("GET", "/"): "303 303 303 303 303 303 303 401",
    ("GET", "/static/{file}"): EVERYBODY,
    ("GET", "/runs"): OF_WORKSPACE,
    ("GET", "/runs/{run}"): OF_RUN,
    ("GET", "/runs/{run}/decisions/{event_id}"): "200 404 404 200 404 404 404 401",  # as above
    ("GET", "/runs/{run}/decisions/{event_id}/decision.json"): "200 404 404 200 404 404 404 401",
    ("GET", "/runs/{run}/events"): OF_LOG,
    **{("GET", f"/runs/{{run}}/{page}"): OF_RUN for page in (
        *("items", "evidence", "operation", "failure", "blocker", "proof-gap", "preview", "preparation"),
    )},
    ("GET", "/runs/{run}/cancel"): "200 200 200 403 403 404 404 401",
    ("GET", "/runs/{run}/retry"): "200 200 200 403 403 404 404 401",
    ("POST", "/runs/{run}/prepare"): "422 422 422 403 403 404 404 401",  # the run does not say what is restored
    ("POST", "/runs/{run}/queue"): "303 303 303 403 403 404 404 401",
    ("POST", "/runs/{run}/approve"): "409 409 403 403 403 404 404 401",  # its preview names no plan
    ("POST", "/runs/{run}/reject"): "303 303 403 403 403 404 404 401",
    ("POST", "/runs/{run}/cancel"): "303 303 303 403 403 404 404 401",
    ("POST", "/runs/{run}/retry"): "303 303 303 403 403 404 404 401",
    ("POST", "/runs/{run}/review"): "303 303 403 303 403 404 404 401",
    ("GET", "/new"): OF_WORKSPACE,
    ("POST", "/new"): "303 303 303 403 403 404 404 401",
    ("POST", "/runs/{run}/bundle"): "200 403 403 200 403 404 404 401",
    ("GET", "/audit"): OF_AUDIT,
    ("GET", "/audit/events/{event_id}"): "200 403 403 200 403 403 404 401",
    ("POST", "/audit/verify"): OF_AUDIT,
    ("POST", "/audit/checkpoint"): OF_AUDIT,
    ("GET", "/machine"): OF_WORKSPACE,
    ("GET", "/machine/{machine}.svg"): OF_WORKSPACE,
}  # fmt: skip
"""The same for the pages that people read."""

FORMS = {
    "prepare_run": (), "queue_run": ("version", "confirm"), "approve_plan": ("version",), "reject_plan": ("version",),
    "cancel_run": ("version",), "retry_run": ("once",), "review_evidence": ("snapshot",),
}  # fmt: skip
"""What each form of a page about a run sends."""

NUMBERS = count()
SETTINGS = SiteSettings(origin="http://127.0.0.1:1")
ROUTES = {(route.method, route.path): route for route in site.routes_of(SETTINGS)}


def test_every_route_has_its_row_and_every_row_its_route():
    assert {*ROUTES} == {*MATRIX, *PAGES}


def ready(world, route):
    """Give a run on which a route can do what it is for."""
    if route.method == "GET":
        return world.runs["completed_with_evidence"]
    steps = {"put_evidence": ("scope", "check", "preview", "queue", "start", "complete")}
    steps["report"] = steps["put_evidence"][:5]
    steps |= dict.fromkeys(("queue_run", "approve_plan", "reject_plan"), steps["put_evidence"][:3])
    steps["retry_run"] = ("scope", "cancel")
    if route.name == "review_evidence":
        return world.runs["completed_with_evidence"]
    run = created(world)
    for event in steps.get(route.name, ()):
        world.ledger.fire(run, RunEvent(event), ADA)
    return run


def form(world, route, run):
    """Give what the form of a page sends; ``None`` where the page sends none."""
    if route.name == "create_draft":
        return {"scope": "default/local", "backup": "restic:/srv/repo#latest", "target": "/srv/restored"}
    if route.name not in FORMS:
        return None
    version, environment = "1", "local"
    if run not in {UNKNOWN, *world.runs.values()}:
        found = world.ledger.peek(run, ADA)
        version, environment = str(found.version), found.environment
    sent = {"version": version, "confirm": environment, "snapshot": world.runs["snapshot"], "once": f"o{next(NUMBERS)}"}
    return {name: sent[name] for name in FORMS[route.name]}


def ask(world, route, name, **changed):
    """Send a request to a route that would do what it is for, if it may."""
    parts = {
        "ws": "default",
        "run": "",
        "code": "not-found",
        "snapshot": world.runs["snapshot"],
        "environment": "local",
        "file": "console.css",
        "machine": "evidence",
        **changed,
    }
    if "{run}" in route.path and not parts["run"]:
        parts["run"] = ready(world, route)
    if "{event_id}" in route.path and "event_id" not in parts:
        parts["run"] = parts["run"] or ready(world, route)
        parts["event_id"] = (
            world.as_("ada").get(f"/v1/workspaces/default/restore-runs/{parts['run']}/decision").json["event_id"]
        )
    check = {"subject": "a", "method": "sha256", "level": "L5", "result": "passed"}
    if route.name in {"retire", "beat", "claim"} and "worker" not in changed:
        made = world.as_("ada").post("/v1/workspaces/default/workers", {"name": "w", "environments": ["local"]})
        parts["worker"] = made.json["id"]
    body = {
        "register": {"name": "w"},
        "beat": {},
        "claim": {"worker": parts.get("worker")},
        "release": {},
        "create": {"environment": "local"},
        "fire": {"event": "scope"},
        "put_evidence": {"checks": [check]},
        "report": [{"key": "a", "result": "succeeded"}],
    }.get(route.name)
    headers = {"Idempotency_Key": f"m{next(NUMBERS)}", "If_Match": '"1"'} if route.method == "POST" else {}
    sent = form(world, route, parts["run"])
    if sent is not None:
        body, headers = urlencode(sent).encode(), {"Content_Type": "application/x-www-form-urlencoded"}
    method = "HEAD" if route.name == "stream" else route.method
    client = world.as_(name) if name else world.client
    return client.send(method, route.path.format(**parts), body, **headers)


@pytest.mark.parametrize("key", [*MATRIX, *PAGES], ids=" ".join)
def test_a_route_answers_each_role_as_its_row_says(world, key):
    route = ROUTES[key]
    answers = " ".join(str(ask(world, route, name).status) for name in PEOPLE)
    assert (MATRIX | PAGES)[key] == answers


@pytest.mark.parametrize("key", [key for key, route in ROUTES.items() if route.asks], ids=" ".join)
def test_a_row_says_what_the_roles_of_the_core_say(key):
    """The table of routes names the action; which roles may do it is written in the core, once."""
    route, row = ROUTES[key], dict(zip(PEOPLE, (MATRIX | PAGES)[key].split(), strict=True))
    may = frozenset().union(*(MAY[action] for action in route.asks))
    for name, role in ROLES.items():
        is_let_in = row[name] < "400"
        if role is None:
            assert not is_let_in or route.scope is Scope.WORKSPACE or route.path == "/runs", (
                name
            )  # a list of what is visible
        elif is_let_in:
            assert Role(role) in may, name
        elif row[name] == "403":
            assert Role(role) not in may, name


@pytest.mark.parametrize(
    ("event", "status", "expected"),
    [
        ("start", "queued", "201 403 201 403 403 404 404 401"),
        ("request_cancel", "running", "201 201 201 403 403 404 404 401"),
        ("approve", "previewed", "409 409 403 403 403 404 404 401"),
    ],
)
def test_what_an_event_asks_for_depends_on_the_event(world, event, status, expected):
    answers = []
    for name in PEOPLE:
        run = led(world.ledger, status)
        version = world.as_("ada").get(f"/v1/workspaces/default/restore-runs/{run}").json["version"]
        headers = {"Idempotency_Key": f"e{next(NUMBERS)}", "If_Match": f'"{version}"'}
        client = world.as_(name) if name else world.client
        path = f"/v1/workspaces/default/restore-runs/{run}/transitions"
        answers.append(str(client.post(path, {"event": event}, **headers).status))
    assert expected == " ".join(answers)


def same(answer, *ids):
    """Give an answer without what must differ: the ids that were asked for, and the time."""
    kept = {name: value for name, value in answer.headers.items() if name not in {"date", "content-length"}}
    said = [*kept.values(), answer.body.decode()]
    for number, named in enumerate(ids):
        said = [text.replace(named, f"<{number}>") for text in said]
    return answer.status, [*kept], said


UNKNOWN = "rr_0123456789ABCDEFGHJKMNPQRS"


@pytest.mark.parametrize("name", ["ada", "olga", "wim", "udo", "vera", "sam", *AWAY_ROLES])
@pytest.mark.parametrize("key", [key for key in ROUTES if "{run}" in key[1]], ids=" ".join)
def test_a_run_of_somebody_else_answers_byte_for_byte_like_one_that_is_not_there(world, key, name):
    """Whoever guesses an id learns nothing, whatever they do with it, and wherever they say it is."""
    route = ROUTES[key]
    foreign = world.runs["completed_with_evidence" if name in {*AWAY_ROLES, "sam"} else "away"]
    for workspace in ("default", "away", "nowhere"):
        if (name in AWAY_ROLES) != (workspace == "away") or name == "sam":
            found = [
                same(ask(world, route, name, ws=workspace, run=run, event_id="1", snapshot=snapshot), run, snapshot)
                for run, snapshot in ((foreign, world.runs["snapshot"]), (UNKNOWN, "ev_nobody"))
            ]
            assert found[0] == found[1]
            assert 404 == found[0][0]


def test_a_workspace_of_somebody_else_is_as_empty_as_one_that_is_not_there(world):
    for path in ("restore-runs", "events", "audit-events"):
        for name in ("olga", "udo", "sam"):
            answers = [world.as_(name).get(f"/v1/workspaces/{ws}/{path}") for ws in ("away", "nowhere")]
            assert same(answers[0], "away") == same(answers[1], "nowhere")
            assert answers[0].status == 403 or [] == answers[0].json["items"] == answers[1].json["items"]


def test_a_run_is_not_made_in_a_workspace_of_somebody_else(world):
    bodies = []
    for workspace in ("away", "nowhere"):
        answer = world.as_("ada").post(
            f"/v1/workspaces/{workspace}/restore-runs", {"environment": "local"}, Idempotency_Key=f"w{workspace}"
        )
        bodies.append(same(answer, workspace))
    assert bodies[0] == bodies[1]
    assert 404 == bodies[0][0]


def test_a_role_for_every_environment_is_none_for_one_that_was_never_declared(world):
    sent = {"environment": "never-declared"}
    answer = world.as_("ada").post("/v1/workspaces/default/restore-runs", sent, Idempotency_Key="undeclared")
    assert (404, "not-found") == (answer.status, answer.json["code"])


def test_somebody_who_holds_roles_in_two_workspaces_finds_each_run_in_its_own_only(world):
    away = world.runs["away"]
    world.ledger.access.grant("both", Role.AUDITOR, ("default", "local"), ADA)
    world.ledger.access.grant("both", Role.AUDITOR, ("away", "local"), Actor(id="admin-away"))
    both = world.as_("both")
    assert 200 == both.get(f"/v1/workspaces/away/restore-runs/{away}").status
    assert 404 == both.get(f"/v1/workspaces/default/restore-runs/{away}").status
    assert [away] == [row["run"]["id"] for row in both.get("/v1/workspaces/away/restore-runs").json["items"]]
