"""What a decision record says of a run: only what the bundle holds, and never more than a log can know."""

from __future__ import annotations

import pytest

from proofgap.access import Role
from proofgap.audit import Actor
from proofgap.decision_record import record_of
from proofgap.facts import RunEvent
from proofgap.records import Completeness, PreviewFacts, RunDetails
from proofgap.run_log import NOT_REPORTED
from proofgap_store import NewRun, NewToken
from tests.conformance.bundled import content_of
from tests.conformance.lives import ADA, OLGA, OTTO, fire

NO_LONGER = "(of an earlier preview; it no longer counts)"
ALL_OF_IT = ("The target was not looked at", "nothing was refused", "Nobody was shown", "nobody:")


def previewed(ledger, **preview):
    """Lead a run to its preview; give its id."""
    run = ledger.create(NewRun(), OLGA).run_id
    ledger.fire(run, RunEvent.SCOPE, OLGA, given=RunDetails(selected=3))
    checked = RunDetails(plan_digest="1f0c" * 16, selected=3, source_completeness=Completeness.UNKNOWN)
    ledger.fire(run, RunEvent.CHECK, OLGA, given=checked)
    ledger.fire(run, RunEvent.PREVIEW, OLGA, given=RunDetails(preview=PreviewFacts(**preview)))
    return run


def record(ledger, run):
    """Give the record, and the answers of it by question."""
    content, signer = content_of(ledger, run)
    made = record_of(content, signer.verifier)
    return made, {pair.label: pair.text for section in made.sections for pair in section.pairs}


def test_an_approval_by_the_same_person_counts_only_for_the_preview_that_it_was_given_for(ledger):
    run = previewed(ledger)
    ledger.fire(run, RunEvent.APPROVE, OTTO)
    ledger.fire(run, RunEvent.PREVIEW, OLGA, given=RunDetails(preview=PreviewFacts(created=3)))
    ledger.fire(run, RunEvent.APPROVE, OTTO)
    fire(ledger, run, "queue", "start")
    _, said = record(ledger, run)
    first, second = said["Approved by"].split("; otto")
    assert first.endswith(NO_LONGER)
    assert NO_LONGER not in second


def test_a_run_that_a_token_asked_for_names_whoever_made_the_token(ledger):
    end_us = ledger._clock() + 10**9
    new = NewToken(name="ci", workspace="default", environment="local", roles=(Role.OPERATOR,), expires_at_us=end_us)
    token = ledger.sessions.create_token(new, ADA).token
    run = ledger.create(NewRun(), Actor(id=token, kind="token", via="api")).run_id
    assert record(ledger, run)[1]["Asked for by"].startswith(f"{token} (token, api), by a token of ada, ")
    assert record(ledger, previewed(ledger))[1]["Asked for by"].startswith("olga (user, api), ")


def test_an_approval_that_was_never_given_again_is_marked(ledger):
    run = previewed(ledger)
    ledger.fire(run, RunEvent.APPROVE, OTTO)
    ledger.fire(run, RunEvent.PREVIEW, OLGA)
    _, said = record(ledger, run)
    assert said["Approved by"].endswith(NO_LONGER)


def test_what_the_bundle_does_not_hold_is_said_of_the_bundle_and_not_of_the_world(ledger):
    run = previewed(ledger)
    made, said = record(ledger, run)
    notes = [note for section in made.sections for note in section.notes]
    assert len([note for note in notes if note.endswith("is recorded in this bundle.")]) == 3
    assert said["Approved by"] == "no approval is recorded in this bundle"
    everything = " ".join([*notes, *said.values()])
    assert not [claim for claim in ALL_OF_IT if claim in everything]


def test_completeness_that_is_unknown_was_not_reported(ledger):
    _, said = record(ledger, previewed(ledger))
    assert said["Completeness"] == NOT_REPORTED


@pytest.mark.parametrize(
    ("preview", "text"),
    [({"depth": "data"}, "data read before the start"), ({}, "made before the start; depth not reported")],
)
def test_a_preview_says_what_it_read_and_no_more(ledger, preview, text):
    _, said = record(ledger, previewed(ledger, **preview))
    assert said["Preview"] == text


def test_a_run_without_a_preview_has_none_reported(ledger):
    _, said = record(ledger, ledger.create(NewRun(), OLGA).run_id)
    assert said["Preview"] == NOT_REPORTED
