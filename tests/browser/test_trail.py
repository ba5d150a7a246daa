"""Rows of the log as people read them, without the secrets in them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofgap.audit import EventType
from proofgap.findings import Code, Finding, Verdict
from proofgap_app.web.pages import audit, trail, words
from proofgap_store import HistoryEvent, Opening, Verification

MOVED = {"subject": "x", "event": "queue", "source": "previewed", "target": "queued", "details": {}}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(2**62) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["decision", "viewer", "trigger", "guard", "event", "source", "target", "machine", "details", "rows", "principal",
     "role", "snapshot", "verdict", "action", "kind", "subject", "link"]
)  # fmt: skip
FORGED = st.dictionaries(NAMES, VALUES, max_size=8) | VALUES


def event(type_: str, data: object, **openings: str) -> HistoryEvent:
    """Give an event of the log."""
    opened = {path: Opening(salt="00", value=value) for path, value in openings.items()}
    entry = {"type": type_, "at_us": 0, "actor": {"id": "ada"}, "op": "op1", "data": data}
    return HistoryEvent(event_id=7, leaf="", entry=entry, openings=opened)


@pytest.mark.parametrize(
    ("type_", "data", "expected"),
    [
        (EventType.RUN_TRANSITIONED, MOVED, ("transition", "previewed → queued", "")),
        (EventType.RUN_TRANSITIONED, MOVED | {"event": "start", "target": "running"}, ("transition", "previewed → running", "operation op1")),
        (EventType.RUN_TRANSITIONED, MOVED | {"event": "fail", "details": {"exit_code": 3, "end_reason": "tool_aborted"}},
         ("transition", "previewed → queued", "exit code 3, tool aborted, operation op1")),
        (EventType.RUN_CREATED, MOVED | {"event": None, "source": None, "target": "draft"}, ("transition", "created as draft", "")),
        (EventType.EVIDENCE_TRANSITIONED, MOVED, ("transition", "evidence: previewed → queued", "x")),
        (EventType.RUN_TRANSITION_REFUSED, {"guard": "is_approved", "event": "queue", "source": "previewed", "machine": "run"},
         ("refusal", "Refused: queue while previewed", "is approved")),
        (EventType.RUN_TRANSITION_REFUSED, {"guard": None, "event": "queue", "source": "draft", "machine": "run"},
         ("refusal", "Refused: queue while draft", "not possible there")),
        (EventType.DECISIONS_LISTED, {"rows": [1, 2], "viewer": "vera"}, ("projection", "Runs listed for vera", "2 runs")),
        (EventType.ACCESS_GRANTED, {"principal": "vera", "role": "viewer"}, ("transition", "Access granted", "viewer: vera")),
        (EventType.ACCESS_DENIED, {"action": "approve runs", "kind": None, "subject": None}, ("refusal", "Access denied", "approve runs")),
        (EventType.LINK_CONFLICTED, {"kind": "operation_run", "link": "o1"}, ("refusal", "Link out of scope", "operation run o1")),
        (EventType.MACHINE_DEFINED, {"definition": "x"}, ("transition", "Machine defined", "")),
        (EventType.EVIDENCE_REVIEWED, {"snapshot": "ev1", "verdict": "match"}, ("transition", "Evidence reviewed", "ev1")),
    ],
)  # fmt: skip
def test_an_event_is_told_in_a_few_words(type_, data, expected):
    (row,) = trail.rows("r", [event(type_, data)])
    assert (row.kind, row.what, row.detail) == expected


@settings(max_examples=150, deadline=None)
@given(type_=st.sampled_from([*EventType, "", "restore", "a.b"]), data=FORGED, actor=VALUES, at_us=VALUES)
def test_a_forged_event_is_told_by_what_it_holds_and_does_no_harm(type_, data, actor, at_us):
    forged = HistoryEvent(event_id=1, leaf="", entry={"type": type_, "data": data, "actor": actor, "at_us": at_us})
    (row,) = trail.rows_of_log([forged])
    assert all(isinstance(text, str) for text in (row.what, row.detail, row.actor, row.time))


def test_a_pruned_event_keeps_its_place_and_says_that_it_was_pruned():
    (row,) = trail.rows("r", [HistoryEvent(event_id=3, leaf="", entry={"pruned": 1})])
    assert (row.event_id, row.what, row.actor) == (3, "Payload pruned", "not reported")


def test_a_note_in_the_trail_is_shown_without_secrets():
    told = event(EventType.RUN_TRANSITIONED, MOVED | {"event": "cancel"}, **{"data.note": "password=hunter2"})
    (row,) = trail.rows("r", [told])
    assert "hunter2" not in row.detail


def test_findings_of_a_verification_are_told_with_their_place_and_meaning():
    code = next(iter(Code))
    finding = Finding(code=code, detail="it is not", index=None, event_id=7, stream="run/x")
    found = Verification(
        verdict=next(iter(Verdict)), anchor="a", unseen="b", events=9,
        size=8, root="ab", checkpoint=None, pruned_before=0, since=0, counts={code: 3}, findings=(finding,),
    )  # fmt: skip
    page = audit.verify_page(found, 1_795_227_587_000_000, is_all=True)
    assert ("Ended", "21 Nov 2026, 02:19:47 UTC") in page.pairs
    assert page.findings == (
        (code, f"{words.sentence(code.meaning.says)}: it is not. {code.meaning.hint}", "event 7, stream run/x"),
    )
    assert page.more == 2
    (told,) = audit.verify_page(found, 0, is_all=False).findings
    assert (told[0], told[2]) == (code, "")
    assert "it is not" not in told[1]
