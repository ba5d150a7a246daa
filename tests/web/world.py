"""Two workspaces, a person in each role of both, and a run in every decision state: what tests of the API look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.requests import Request

from proofgap.access import Role
from proofgap.audit import Actor
from proofgap.facts import ItemResult, RunEvent
from proofgap.records import Item, RunDetails
from proofgap_app.web.calls import Means, Principal
from proofgap_store import Ledger, NewRun
from tests.conformance.lives import ADA, live, prove, settle
from tests.web.serving import Client

HOME, AWAY = "default", "away"
ROLES = {"ada": "admin", "olga": "operator", "wim": "worker", "vera": "viewer", "udo": "auditor", "sam": None}
"""Who holds which role at home; sam holds none anywhere."""

AWAY_ROLES = {f"{role}-away": role for role in Role}


class World(NamedTuple):
    """A served ledger, and the runs in it by what became of them."""

    ledger: Ledger
    client: Client
    runs: dict[str, str]

    def as_(self, name: str) -> Client:
        """Give a client that is known by a name."""
        return self.client._replace(headers={"Authorization": f"Bearer {name}"})


def named(_settings: object) -> Callable[[Request], Principal | None]:
    """Believe whoever says who they are."""

    def who(request: Request) -> Principal | None:
        name = request.headers.get("authorization", "").removeprefix("Bearer ")
        return Principal(Actor(id=name, via="api"), Means.TOKEN) if name else None

    return who


def populate(ledger: Ledger) -> dict[str, str]:
    """Give everybody their role in both workspaces, and lead runs to every state."""
    settle(ledger)
    ledger.access.declare_environment((AWAY, "local"), ADA)
    for name, role in AWAY_ROLES.items():
        ledger.access.grant(name, role, (AWAY, "local"), ADA)
    ledger.access.grant("ada", Role.ADMIN, (AWAY, "local"), Actor(id="admin-away"), revoke=True)
    runs = {
        "not_executed": live(ledger, "draft"),
        "previewed": live(ledger, "previewed"),
        "in_progress": live(ledger, "running"),
        "completed_proof_incomplete": live(ledger, "completed"),
        "completed_with_evidence": live(ledger, "completed", details=RunDetails(backup="b.tar", target="/srv")),
        "needs_review": _reported(ledger),
        "failed": live(ledger, "failed"),
        "blocked_or_cancelled": live(ledger, "cancelled"),
    }
    runs["snapshot"] = prove(ledger, runs["completed_with_evidence"])
    away = Actor(id="admin-away")
    runs["away"] = live(ledger, "completed", away, workspace=AWAY)
    return runs


def _reported(ledger: Ledger) -> str:
    run = live(ledger, "running")
    items = [Item(key=f"k{n}", result=ItemResult.SUCCEEDED if n else ItemResult.FAILED) for n in range(5)]
    ledger.fire(run, RunEvent.REPORT, ADA, items=items)
    ledger.fire(run, RunEvent.COMPLETE_PARTIALLY, ADA)
    return run


def created(world: World, **changed: Any) -> str:
    """Create a run at home, for tests that change it."""
    return world.ledger.create(NewRun(**changed), ADA).run_id
