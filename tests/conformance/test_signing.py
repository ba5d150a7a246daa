"""Checkpoints as an auditor meets them: by the verbs of the ledger alone, and held against the definition of the tree."""

from __future__ import annotations

from proofgap.checkpoints import open_checkpoint
from proofgap.notes import VerifierKey
from proofgap.proofs import accept, parse_policy
from proofgap_store import LogPage, LogQuery
from tests.conformance.lives import ADA, UDO, live, log, tables
from tests.store.trees import root_of


def entries(ledger):
    """Read the bytes of every event, oldest first, as an auditor can."""
    found, place = [], None
    while True:
        page = ledger.audit.list(LogQuery(), UDO, LogPage(limit=20, after=place, oldest_first=True))
        found += [event.payload for event in page.events]
        if page.next is None:
            return found
        place = page.next


def opened(ledger, note):
    """Open a checkpoint with the keys that the ledger names to its auditors."""
    return open_checkpoint(note, [VerifierKey.parse(key.key) for key in ledger.audit.keys(UDO)]).checkpoint


def test_an_auditor_recomputes_the_root_from_the_events_and_finds_it_signed(ledger):
    live(ledger)
    first = ledger.audit.checkpoint()
    live(ledger, "failed")
    second = ledger.audit.checkpoint()
    events = entries(ledger)
    assert len(events) == second.size > first.size
    for made in (first, second):
        root = root_of(events[: made.size])
        assert (made.root, opened(ledger, made.note).root, opened(ledger, made.note).size) == (
            root.hex(),
            root,
            made.size,
        )


def test_signing_is_no_event_and_changes_no_record(ledger):
    live(ledger)
    before = tables(ledger)
    ledger.audit.checkpoint()
    assert tables(ledger) == before


def test_what_waits_is_counted_and_a_checkpoint_leaves_nothing_waiting(ledger):
    assert ledger.audit.waiting() == len(log(ledger))
    ledger.audit.checkpoint()
    assert ledger.audit.waiting() == 0
    ledger.project(live(ledger, "draft"), ADA.id, ADA)
    assert ledger.audit.waiting() == 3
    assert ledger.diagnose().signing.unsequenced == 3


def test_the_oldest_event_that_waits_is_told_by_when_it_was_recorded(ledger):
    ledger.audit.checkpoint()
    assert ledger.diagnose().signing.unsequenced_since_us is None
    live(ledger, "draft")
    first = log(ledger)[ledger.diagnose().signing.checkpoint_size]
    assert ledger.diagnose().signing.unsequenced_since_us == first.entry["rec_us"]


def test_checkpoints_of_before_and_after_a_rotation_both_count_under_the_policy(ledger):
    before = ledger.audit.checkpoint()
    ledger.audit.rotate_key(ADA)
    after = ledger.audit.checkpoint()
    policy = parse_policy(ledger.audit.policy(UDO))
    assert [accept(made.note, policy).checkpoint.size for made in (before, after)] == [before.size, before.size + 1]


def test_a_checkpoint_says_when_it_was_signed_by_the_clock_of_the_ledger(ledger):
    made = ledger.audit.checkpoint()
    keys = [VerifierKey.parse(key.key) for key in ledger.audit.keys(UDO)]
    assert open_checkpoint(made.note, keys).at_seconds == made.at_us // 1_000_000
    assert made.at_us >= log(ledger)[-1].entry["rec_us"]
