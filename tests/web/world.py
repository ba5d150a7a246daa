"""Two workspaces, a person in each role of both, and a run in every decision state: what tests of the API look at."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from starlette.requests import Request

from proofgap.access import Role
from proofgap.audit import Actor
from proofgap.facts import ItemResult, RunEvent
from proofgap.records import Item, RunDetails
from proofgap_app.web.calls import Means, Principal
from proofgap_store import Ledger
from tests.conformance.lives import ADA, live, prove, settle
from tests.web.serving import Client

HOME, AWAY = "default", "away"
_NUMBERS = count()
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
    for name, role in ROLES.items():
        if role is not None:
            ledger.access.grant(name, role, (HOME, "*"), ADA)
    ledger.access.declare_environment((AWAY, "local"), ADA)
    for name, role in AWAY_ROLES.items():
        ledger.access.grant(name, role, (AWAY, "local"), ADA)
    ledger.access.grant("ada", Role.ADMIN, (AWAY, "local"), Actor(id="admin-away"), revoke=True)
    runs = {
        "not_executed": live(ledger, "draft"),
        "previewed": live(ledger, "previewed"),
        "in_progress": led(ledger, "running"),
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
    run = led(ledger, "running")
    items = [Item(key=f"k{n}", result=ItemResult.SUCCEEDED if n else ItemResult.FAILED) for n in range(5)]
    ledger.fire(run, RunEvent.REPORT, ADA, items=items)
    ledger.fire(run, RunEvent.COMPLETE_PARTIALLY, ADA)
    return run


def created(world: World) -> str:
    """Create a run at home, for a test that changes it."""
    return led(world.ledger, "draft")


def led(ledger: Ledger, status: str) -> str:
    """Lead a run to a status, in an environment of its own: one that executes lets no other begin there."""
    environment = f"e{next(_NUMBERS)}"
    ledger.access.declare_environment((HOME, environment), ADA)
    return live(ledger, status, environment=environment)
