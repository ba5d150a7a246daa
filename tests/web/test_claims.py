"""No answer of the API, whoever asks and whatever became of the run, says one of the forbidden claims outside the list of them."""

from __future__ import annotations

import json
import re

import pytest

from proofgap.claims import FORBIDDEN_CLAIMS
from proofgap_app.web import site
from proofgap_app.web.problems import Code
from proofgap_app.web.site_settings import SiteSettings
from tests.web.world import ROLES

ROUTES = [
    route
    for route in site.routes_of(SiteSettings(origin="http://127.0.0.1:1"))
    if route.method == "GET" and route.name != "stream" and not route.is_page
]


def words(document):
    """Give every text of a JSON document, but for what stands under a key that says it is forbidden."""
    if isinstance(document, dict):
        return [part for key, value in document.items() if key != "forbidden" for part in (key, *words(value))]
    if isinstance(document, list):
        return [part for value in document for part in words(value)]
    return [str(document)]


def texts(body):
    """Give every text of an answer, whether it is JSON, JSON lines, or something else."""
    try:
        return words([json.loads(line) for line in ([body] if body.count("\n") < 2 else body.splitlines())])
    except ValueError:
        return [body]


def claims(text):
    """Give the forbidden claims that an answer makes: the list that forbids them makes none."""
    said = "\n".join(texts(text)).lower()
    return [claim for claim in FORBIDDEN_CLAIMS if re.search(rf"\b{re.escape(claim.lower())}\b", said)]


def paths(world, route):
    """Give every path of a route in this world."""
    runs = [run for name, run in world.runs.items() if not name.endswith("snapshot")] if "{run}" in route.path else [""]
    codes = [*Code] if "{code}" in route.path else [""]
    for run in runs:
        for code in codes:
            yield route.path.format(ws="default", run=run, code=code, snapshot=world.runs["snapshot"], event_id="9")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_no_answer_claims_more_than_the_evidence_proves(world, route):
    for path in paths(world, route):
        for name in ROLES:
            answer = world.as_(name).get(path)
            assert [] == claims(answer.body.decode()), (path, name)


def test_the_scan_would_find_a_claim():
    assert [FORBIDDEN_CLAIMS[0]] == claims(f'{{"status": "{FORBIDDEN_CLAIMS[0]}"}}')
    assert [] == claims(f'{{"forbidden": ["{FORBIDDEN_CLAIMS[0]}"]}}')
