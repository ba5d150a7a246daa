"""The HTTP API: `ROUTES` is all of it, a row for each way in.

Each module beside this one owns the routes of one subject. Refuses to know how a route is served (`table`).
"""

from __future__ import annotations

from proofgap_app.web.api import (
    auditing,
    decisions,
    events,
    evidence,
    fleet,
    items,
    machine,
    operations,
    runs,
    transitions,
)

ROUTES = (
    *runs.ROUTES,
    *transitions.ROUTES,
    *decisions.ROUTES,
    *evidence.ROUTES,
    *items.ROUTES,
    *events.ROUTES,
    *fleet.ROUTES,
    *auditing.ROUTES,
    *machine.ROUTES,
    *operations.ROUTES,
)
