"""Verification of a log against whoever owns its file: every edit is found and named, and nothing honest is."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from proofgap.audit import EventType, canonical, leaf_hash
from proofgap.findings import MEANINGS, Code, Severity, Verdict, verdict
from proofgap.notes import SignerKey
from proofgap.replay import Definitions, Stored, StreamReplay
from proofgap_store import Ledger, UnavailableError
from proofgap_store.sqlite_library import sqlite
from tests.conformance.lives import ADA, live, log
from tests.store.tampering import URL, Made, codes, copied, find, forge, make, payloads, rewrite, unguarded, verified


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    """A ledger in which everything happened."""
    return make(tmp_path_factory.mktemp("made") / "ledger.db")


@pytest.fixture
def path(made, tmp_path) -> Path:
    """A copy of it, to do as one likes with."""
    return copied(made, tmp_path / "copy.db")


@pytest.fixture(scope="module")
def numbers(made) -> range:
    """The numbers of its events."""
    with Ledger.open(URL(made.path)) as ledger:
        return range(1, len(log(ledger)) + 1)


def test_an_honest_log_comes_to_ok_and_names_what_it_was_held_against(made, numbers):
    assert len(numbers) >= 50
    bare = verified(made.path)
    assert (bare.verdict, bare.counts, bare.anchor, bare.size) == (Verdict.OK, {}, "none", len(numbers))
    pinned = verified(made.path, pin=made.notes[1], head=made.notes[-1])
    assert (pinned.verdict, pinned.anchor) == (Verdict.OK, f"pin of {made.notes[1].splitlines()[1]} events")
    assert verified(made.path, head=made.notes[0]).anchor.startswith("head file of ")
    assert "The key is the log's own word" in bare.unseen
    with Ledger.open(URL(made.path)) as ledger:
        assert ledger.verify().verdict == Verdict.OK
        assert ledger.verify(is_quick=True).verdict == Verdict.QUICK


def test_a_ledger_in_memory_verifies_too():
    with Ledger.open("sqlite://", owner=ADA.id) as ledger:
        live(ledger)
        ledger.audit.checkpoint()
        assert (ledger.verify().verdict, ledger.verify().counts) == (Verdict.OK, {})


def test_every_event_that_is_deleted_is_found_and_named(path, numbers):
    for number in numbers:
        with unguarded(path) as connection:
            row = connection.execute("SELECT payload, leaf FROM audit_event WHERE event_id = ?", (number,)).fetchone()
            connection.execute("DELETE FROM audit_event WHERE event_id = ?", (number,))
        found = [finding for finding in verified(path).findings if finding.code == Code.EVENT_MISSING]
        assert [(finding.index, finding.event_id) for finding in found] == [(number - 1, number)]
        with unguarded(path) as connection:
            connection.execute("INSERT INTO audit_event (event_id, payload, leaf) VALUES (?, ?, ?)", (number, *row))
    assert codes(path) == set()


def test_every_pair_of_neighbours_that_changes_places_is_found_and_named(path, numbers):
    for number in numbers[:-1]:
        with unguarded(path) as connection:
            swap(connection, number, number + 1)
        found = [finding for finding in verified(path).findings if finding.code == Code.LEAF_MISMATCH]
        assert [finding.event_id for finding in found] == [number, number + 1]
        with unguarded(path) as connection:
            swap(connection, number, number + 1)
    assert codes(path) == set()


def swap(connection, one, other):
    """Let two events change places, with their hashes."""
    for number, to in ((one, -1), (other, one), (-1, other)):
        connection.execute("UPDATE audit_event SET event_id = ? WHERE event_id = ?", (to, number))


def test_every_event_that_is_there_twice_is_found_and_named(path, numbers):
    with unguarded(path) as connection:
        connection.execute("DROP INDEX audit_event_id")
        connection.execute("DROP INDEX audit_event_link")
    for number in numbers:
        with unguarded(path) as connection:
            copy = "INSERT INTO audit_event (payload, leaf) SELECT payload, leaf FROM audit_event WHERE event_id = ?"
            added = connection.execute(copy, (number,)).lastrowid
        found = verified(path).findings
        assert {finding.code for finding in found} >= {Code.EVENT_UNQUEUED, Code.CHAIN_GAP, Code.GUARD_MISSING}
        assert added in {finding.event_id for finding in found if finding.code == Code.EVENT_UNQUEUED}
        with unguarded(path) as connection:
            connection.execute("DELETE FROM audit_event WHERE event_id = ?", (added,))


def test_an_event_that_is_slipped_in_after_the_others_is_found_and_named(path):
    with unguarded(path) as connection:
        event_id, event = find(connection, "access.granted")
        seq, head = connection.execute("SELECT seq, head FROM audit_stream WHERE stream = 'system/ledger'").fetchone()
        event |= {"seq": seq + 1, "prev": head, "id": "forged", "rec_us": 2**52}
        event["data"] |= {"principal": "mallory", "role": "admin"}
        payload = canonical(event)
        added = connection.execute(
            "INSERT INTO audit_event (payload, leaf) VALUES (?, ?)", (payload.decode(), leaf_hash(payload))
        ).lastrowid
    assert added > event_id
    assert codes(path) == {Code.EVENT_UNQUEUED, Code.STREAM_HEAD, Code.ROW_MISSING}


CUT = (
    "DELETE FROM audit_event WHERE event_id > {0}",
    "DELETE FROM audit_leaf WHERE event_id > {0}",
    "DELETE FROM audit_node WHERE ((idx + 1) << level) > {0}",
    "DELETE FROM audit_checkpoint WHERE size > {0}",
    "DELETE FROM audit_stream WHERE stream NOT IN (SELECT stream FROM audit_event)",
    "UPDATE audit_stream SET seq = (SELECT max(seq) FROM audit_event AS e WHERE e.stream = audit_stream.stream)",
    (
        "UPDATE audit_stream SET (last_event_id, head) = (SELECT event_id, leaf FROM audit_event AS e "
        "WHERE e.stream = audit_stream.stream AND e.seq = audit_stream.seq)"
    ),
)


def test_every_cut_at_the_end_is_found_by_whoever_saw_the_end(path, made, numbers, tmp_path):
    for number in [*numbers[5:]][::-1][1:]:
        cut = copied(made, tmp_path / "cut.db")
        with unguarded(cut) as connection:
            for statement in CUT:
                connection.execute(statement.format(number))
        found = {finding.code: finding for finding in verified(cut, pin=made.notes[-1]).findings}
        assert found[Code.ROLLBACK].index == number
        assert codes(cut, head=made.notes[-1]) >= {Code.ROLLBACK}


def test_a_cut_to_an_earlier_checkpoint_leaves_records_behind_that_the_log_does_not_know(path, made):
    size = int(made.notes[1].splitlines()[1])
    with unguarded(path) as connection:
        for statement in CUT:
            connection.execute(statement.format(size))
    assert codes(path) == {Code.ROW_FOREIGN}
    assert codes(path, pin=made.notes[1]) == {Code.ROW_FOREIGN}
    assert codes(path, pin=made.notes[2]) == {Code.ROW_FOREIGN, Code.ROLLBACK}


def test_every_flipped_bit_in_every_byte_of_every_event_is_found_and_named(made):
    """In memory, by the replay that the verifier runs on each stored event: two bits of each byte of the whole log."""
    with Ledger.open(URL(made.path)) as ledger:
        events = log(ledger)
    flips = 0
    for event in events:
        payload = event.payload.encode()
        for place, byte in enumerate(payload):
            for bit in (0x01, 0x80):
                found = []
                changed = payload[:place] + bytes([byte ^ bit]) + payload[place + 1 :]
                replay = StreamReplay(event.entry["stream"], Definitions(), found.append)
                replay.take(Stored(event.event_id, changed, event.leaf))
                assert {Code.EVENT_EDITED, Code.FORM_INVALID} & {row.code for row in found}, (event, place, bit)
                assert {row.event_id for row in found} == {event.event_id}
                flips += 1
    assert flips > 50 * 2 * 500


def test_bytes_that_are_flipped_in_the_file_itself_are_found_and_named(path, made, numbers):
    """Past the database: the guards are all there, and no statement was ever run."""
    original = made.path.read_bytes()
    with Ledger.open(URL(made.path)) as ledger:
        events = log(ledger)
    for event in events:
        start = event.payload.encode()[:400]  # a long payload may go on in another page
        assert start in original
        for place, bit in ((len('{"actor":{"id":"'), 0x01), (2, 0x80), (0, 0x02), (200, 0x01), (len(start) - 1, 0x80)):
            flipped = start[:place] + bytes([start[place] ^ bit]) + start[place + 1 :]
            path.write_bytes(original.replace(start, flipped))
            found = verified(path).findings
            assert event.event_id in {row.event_id for row in found if row.code == Code.LEAF_MISMATCH}, (event, place)


def test_a_chain_that_was_recomputed_without_the_key_does_not_lead_to_the_root_that_was_signed(path):
    event_id = forge(path, "access.granted", with_key=False, principal="olga", said={"principal": "mallory"})
    found = verified(path)
    assert found.verdict == Verdict.TAMPERED
    assert Code.NOTE_INVALID in found.counts
    assert not {Code.LEAF_MISMATCH, Code.CHAIN_BROKEN, Code.NODE_MISMATCH, Code.EVENT_EDITED} & set(found.counts)
    assert event_id < 12


def test_a_log_that_was_rewritten_with_the_key_is_another_log_for_whoever_pinned_it(path, made):
    forge(path, "environment.declared", said={"approvals_required": 0, "note": "rewritten"})
    assert codes(path) == set(), "this is what no check without an anchor can see"
    assert codes(path, pin=made.notes[0]) == {Code.FORK}
    assert codes(path, head=made.notes[-1]) == {Code.FORK}


FORGED = {
    "a move that is no edge": (
        {"kind": "restore.run.transitioned", "event": "check", "said": {"event": "queue"}},
        {Code.MOVE_ILLEGAL},
    ),
    "a version that was left out": (
        {"kind": "restore.run.transitioned", "event": "check", "said": {"version": 7}},
        {Code.MOVE_ILLEGAL},
    ),
    "a status from nowhere": (
        {"kind": "restore.run.transitioned", "event": "start", "said": {"source": "previewed"}},
        {Code.MOVE_ILLEGAL},
    ),
    "a definition that was never in force": (
        {"kind": "restore.run.transitioned", "event": "check", "said": {"definition": "0" * 64}},
        {Code.DEFINITION_UNKNOWN},
    ),
    "a run that begins at its end": (
        {"kind": "restore.run.created", "said": {"target": "completed"}},
        {Code.MOVE_ILLEGAL, Code.FACTS_MISMATCH, Code.RECEIPT_MISMATCH},
    ),
    "an outcome that is not the record's": (
        {"kind": "restore.operation.transitioned", "event": "succeed", "said": {"outcome": "failed"}},
        {Code.ROW_MISMATCH},
    ),
    "an edge that nobody defined": (
        {"kind": "machine.defined", "machine": "run", "said": {"edges": [["completed", "scope", "draft"]]}},
        {Code.DEFINITION_UNKNOWN, Code.MOVE_ILLEGAL, Code.ROW_MISSING, Code.ROW_FOREIGN},
    ),
    "a grant that was never given": (
        {"kind": "access.granted", "principal": "olga", "said": {"role": "admin"}},
        {Code.ROW_MISSING, Code.ROW_FOREIGN},
    ),
    "item rows of another report": (
        {"kind": "restore.run.transitioned", "event": "report", "said": {"rows_digest": "0" * 64}},
        {Code.ROWS_DIGEST},
    ),
    "a receipt for another request": (
        {"kind": "restore.run.transitioned", "event": "report", "said": {"request": "0" * 64}},
        {Code.RECEIPT_MISMATCH},
    ),
    "a decision from another set of rules": (
        {"kind": "restore.decision.projected", "trigger": "show", "said": {"rules_version": "0"}},
        {Code.RULES_UNKNOWN},
    ),
    "a rule that does not lead there": (
        {"kind": "restore.decision.projected", "trigger": "show", "said": {"rule": 1}},
        {Code.PROJECTION_MISMATCH},
    ),
    "a digest of other facts": (
        {"kind": "restore.decision.projected", "trigger": "show", "said": {"facts_digest": "0" * 64}},
        {Code.PROJECTION_MISMATCH, Code.FACTS_MISMATCH},
    ),
    "data of another type": (
        {"kind": "restore.decision.projected", "trigger": "show", "said": {"facts": {"run": None}}},
        {Code.FORM_INVALID},
    ),
    "a list of facts that were never the case": (
        {"kind": "restore.decision.listed", "said": {"rows": [["x9", "failed", "0" * 64]]}},
        {Code.FACTS_MISMATCH},
    ),
}


@pytest.mark.parametrize(("forgery", "expected"), FORGED.values(), ids=FORGED)
def test_what_was_never_so_is_found_even_where_the_forger_had_the_key(path, forgery, expected):
    """Everything else follows: links, leaves, roots, signatures. What is found is what the event says."""
    event_id = forge(path, **forgery)
    found = verified(path)
    assert set(found.counts) == expected
    assert found.verdict == (Verdict.WARN if expected == {Code.RULES_UNKNOWN} else Verdict.TAMPERED)
    named = {finding.event_id for finding in found.findings} - {None}
    assert not named or event_id <= max(named)


def test_a_rosier_decision_is_found_and_names_the_fields_that_do_not_follow(path):
    with unguarded(path) as connection:
        event_id, event = find(connection, "restore.decision.projected", trigger="show")
        event["data"]["decision"]["claims"]["allowed"] = ["Evidence snapshot available"]
        event["data"]["decision"]["status"] = "Completed with evidence available"
        rewrite(connection, path, **{f"e{event_id}": canonical(event).decode()})
    (finding,) = verified(path).findings
    assert (finding.code, finding.event_id, finding.index) == (Code.PROJECTION_MISMATCH, event_id, event_id - 1)
    assert "status, claims" in finding.detail
    assert "Completed, recovery proof incomplete" in finding.detail


def test_facts_that_were_not_the_case_are_found_although_the_decision_follows_from_them(path):
    with unguarded(path) as connection:
        event_id, event = find(connection, "restore.decision.projected", trigger="hook", rule=9)
        event["data"]["facts"]["run"]["status"] = "checked"
        rewrite(connection, path, **{f"e{event_id}": canonical(event).decode()})
    assert Code.FACTS_MISMATCH in codes(path)


def test_a_clock_that_went_back_is_a_warning_and_a_key_that_comes_twice_is_no_form(path):
    with unguarded(path) as connection:
        event_id, event = find(connection, "restore.run.transitioned", event="check")
        rewrite(connection, path, **{f"e{event_id}": canonical(event | {"rec_us": 5, "at_us": 5}).decode()})
    found = verified(path)
    assert (found.verdict, set(found.counts)) == (Verdict.WARN, {Code.TIME_BACKWARDS})
    with unguarded(path) as connection:
        payload = dict(payloads(connection))[event_id].replace('"at_us":5,', '"at_us":5,"at_us":5,')
        connection.execute(
            "UPDATE audit_event SET payload = ?, leaf = ? WHERE event_id = ?",
            (payload, leaf_hash(payload.encode()), event_id),
        )
    assert codes(path) >= {Code.FORM_INVALID, Code.LEAF_MISMATCH, Code.CHAIN_BROKEN}


def test_an_event_that_was_recorded_after_its_checkpoint_is_a_warning(path):
    with unguarded(path) as connection:
        event_id, event = find(connection, "restore.run.transitioned", event="cancel")
        later = event["rec_us"] + 3_600_000_000
        changed = {f"e{event_id}": canonical(event | {"rec_us": later}).decode()}
        number, projected = event_id + 1, msgspec.json.decode(dict(payloads(connection))[event_id + 1])
        rewrite(connection, path, **changed, **{f"e{number}": canonical(projected | {"rec_us": later}).decode()})
    assert codes(path) == {Code.TIME_WINDOW}


EDITED = {
    "a status": ("UPDATE restore_run SET status = 'completed' WHERE status = 'cancelled'", {Code.ROW_MISMATCH}),
    "details": ("UPDATE restore_run SET details = '{}' WHERE id NOT LIKE 'x%'", {Code.ROW_MISMATCH}),
    "an outcome": ("UPDATE operation_run SET outcome = 'failed' WHERE imported = 0", {Code.ROW_MISMATCH}),
    "evidence": ("UPDATE evidence_snapshot SET status = 'failed' WHERE imported = 0", {Code.ROW_MISMATCH}),
    "a run that is gone": ("DELETE FROM restore_run WHERE status = 'cancelled'", {Code.ROW_MISSING}),
    "a run from nowhere": (
        ("INSERT INTO restore_run SELECT 'rr_forged', workspace, environment, status, version, is_dry_run, "
        "operation_run_id, operation_run_ref, details, imported, created_at_us, last_event_id, 0 FROM restore_run LIMIT 1"),
        {Code.ROW_FOREIGN},
    ),
    "a snapshot from nowhere": (
        ("INSERT INTO evidence_snapshot SELECT 'ev_forged', workspace, environment, operation_run_id, operation_run_ref, "
        "run, 'expired', version, captured_at_us, details, imported, last_event_id FROM evidence_snapshot LIMIT 1"),
        {Code.ROW_FOREIGN},
    ),
    "an item": ("UPDATE result_item SET document = replace(document, 'succeeded', 'skipped')", {Code.ROWS_DIGEST}),
    "an item that is gone": ("DELETE FROM result_item WHERE item_key = 'a'", {Code.ROWS_DIGEST}),
    "an item from nowhere": (
        "INSERT INTO result_item SELECT run, 'c', result, document, event_id FROM result_item LIMIT 1",
        {Code.ROWS_DIGEST},
    ),
    "a check": ("UPDATE evidence_check SET document = replace(document, 'passed', 'failed')", {Code.ROWS_DIGEST}),
    "a receipt": ("UPDATE receipt SET body = replace(body, 'running', 'failed')", {Code.RECEIPT_MISMATCH}),
    "a role": ("UPDATE access_grant SET role = 'admin' WHERE principal = 'olga'", {Code.ROW_MISSING, Code.ROW_FOREIGN}),
    "a role that is gone": ("DELETE FROM access_grant WHERE principal = 'vera'", {Code.ROW_MISSING}),
    "approvals": ("UPDATE environment SET approvals_required = 9", {Code.ROW_MISSING, Code.ROW_FOREIGN}),
    "an edge": ("INSERT INTO machine_edge SELECT definition, 'x', 'y', 'z' FROM machine_definition LIMIT 1",
                {Code.ROW_FOREIGN}),
    "a head": ("UPDATE audit_stream SET head = printf('%064d', 7) WHERE stream = 'system/audit'", {Code.STREAM_HEAD}),
    "a head without a stream": ("INSERT INTO audit_stream VALUES ('run/x', 0, printf('%064d', 0), 1)", {Code.STREAM_HEAD}),
    "a leaf": ("UPDATE audit_leaf SET hash = printf('%064d', 7) WHERE idx = 20",
               {Code.LEAF_MISMATCH, Code.NODE_MISMATCH, Code.ROOT_MISMATCH}),
    "a leaf that is gone": ("DELETE FROM audit_leaf WHERE idx = 20",
                            {Code.LEAF_GAP, Code.EVENT_UNQUEUED}),
    "leaves in another order": (
        "UPDATE audit_leaf SET event_id = CASE event_id WHEN 20 THEN -21 ELSE -20 END WHERE event_id IN (20, 21)",
        {Code.EVENT_ORDER, Code.EVENT_MISSING, Code.EVENT_UNQUEUED}),
    "a node": ("UPDATE audit_node SET hash = printf('%064d', 7) WHERE level = 1 AND idx = 3", {Code.NODE_MISMATCH}),
    "a root": ("UPDATE audit_checkpoint SET root = printf('%064d', 7) WHERE size = (SELECT min(size) FROM audit_checkpoint)",
               {Code.NOTE_INVALID, Code.ROOT_MISMATCH}),
    "a signature": ("UPDATE audit_checkpoint SET note = substr(note, 1, length(note) - 20) || 'AAAAAAAAAAAAAAAAAAA' || char(10)",
                    {Code.NOTE_INVALID}),
    "a time": ("UPDATE audit_checkpoint SET at_us = 5 WHERE size = (SELECT max(size) FROM audit_checkpoint)",
               {Code.CHECKPOINT_TIME, Code.TIME_WINDOW}),
    "the last checkpoint": ("DELETE FROM audit_checkpoint WHERE size = (SELECT max(size) FROM audit_checkpoint)",
                            {Code.CHECKPOINT_MISSING}),
    "the queue": ("INSERT INTO audit_unsequenced VALUES (3)", {Code.EVENT_UNQUEUED, Code.UNSEQUENCED}),
}  # fmt: skip


@pytest.mark.parametrize(("statement", "expected"), EDITED.values(), ids=EDITED)
def test_every_table_that_is_edited_behind_the_log_is_found(path, statement, expected):
    with unguarded(path) as connection:
        assert connection.execute(statement).rowcount > 0
    assert codes(path) - {Code.UNSEQUENCED} == expected - {Code.UNSEQUENCED}


def test_a_checkpoint_whose_signed_time_was_cut_off_is_found(path):
    with unguarded(path) as connection:
        (note,) = connection.execute("SELECT note FROM audit_checkpoint ORDER BY size LIMIT 1").fetchone()
        kept = "".join(note.splitlines(keepends=True)[:-1])
        connection.execute("UPDATE audit_checkpoint SET note = ? WHERE note = ?", (kept, note))
    assert codes(path) == {Code.CHECKPOINT_TIME}


def test_guards_that_are_missing_or_foreign_are_named(path):
    connection = sqlite.connect(str(path), isolation_level=None)
    connection.execute("DROP TRIGGER audit_leaf_is_never_deleted")
    connection.execute("CREATE TRIGGER zz AFTER INSERT ON receipt BEGIN SELECT 1; END")
    connection.close()
    found = {finding.code: finding.detail for finding in verified(path, is_quick=True).findings}
    assert found == {Code.GUARD_MISSING: "audit_leaf_is_never_deleted", Code.GUARD_FOREIGN: "zz"}


def test_a_key_that_nobody_vouches_for_makes_a_log_unverifiable_and_the_right_key_does_not(path, made):
    with Ledger.open(URL(path)) as ledger:
        key = SignerKey.parse(Path(f"{path}.key").read_text("ascii").strip()).verifier
        assert ledger.verify().verdict == Verdict.OK
    stranger = SignerKey.from_seed(key.name, bytes(32)).verifier
    found = verified(path, keys=(stranger,))
    assert (found.verdict, set(found.counts)) == (Verdict.UNVERIFIABLE, {Code.KEY_UNKNOWN})
    found = verified(path, keys=(key,), pin=made.notes[0])
    assert (found.verdict, "own word" in found.unseen) == (Verdict.OK, False)


def test_what_waits_for_long_is_a_warning_and_what_just_came_is_not(path):
    with Ledger.open(URL(path)) as ledger:
        live(ledger, "draft")
        assert ledger.verify().verdict == Verdict.OK
        later = ledger._clock() + 3_600_000_000
        ledger._clock = lambda: later
        found = ledger.verify()
        assert (found.verdict, set(found.counts)) == (Verdict.WARN, {Code.UNSEQUENCED})


def test_a_checkpoint_that_is_older_than_it_may_be_is_a_warning(made):
    assert verified(made.path, age_us_max=3_600_000_000).verdict == Verdict.OK
    found = verified(made.path, age_us_max=1)
    assert (found.verdict, set(found.counts)) == (Verdict.WARN, {Code.STALE})


def test_only_what_came_after_a_checkpoint_is_read_again_and_a_foreign_one_is_refused(path, made):
    found = verified(path, since=made.notes[1])
    assert (found.verdict, found.since) == (Verdict.OK, int(made.notes[1].splitlines()[1]))
    forge(path, "environment.declared", said={"note": "rewritten"})
    assert codes(path, since=made.notes[1]) == {Code.FORK}


def test_an_edit_after_the_checkpoint_is_found_and_one_before_it_is_not_looked_for(path, made):
    since = made.notes[1]
    with unguarded(path) as connection:
        old, new = (
            find(connection, "access.granted", principal="olga")[0],
            find(connection, "restore.decision.listed")[0],
        )
        connection.execute(
            "UPDATE audit_event SET payload = replace(payload, 'olga', 'mary') WHERE event_id = ?", (old,)
        )
    assert Code.LEAF_MISMATCH not in codes(path, since=since)
    with unguarded(path) as connection:
        connection.execute(
            "UPDATE audit_event SET payload = replace(payload, 'olga', 'mary') WHERE event_id = ?", (new,)
        )
    assert {row.event_id for row in verified(path, since=since).findings if row.code == Code.LEAF_MISMATCH} == {new}


def test_work_that_is_shared_out_finds_the_same(path, made):
    assert verified(path, jobs=2).verdict == Verdict.OK
    with unguarded(path) as connection:
        connection.execute("UPDATE audit_event SET payload = replace(payload, 'olga', 'mary') WHERE event_id > 20")
        connection.execute("UPDATE restore_run SET status = 'failed' WHERE status = 'cancelled'")
    alone, shared = verified(path), verified(path, jobs=2)
    assert alone.counts == shared.counts
    assert set(alone.findings) == set(shared.findings)


def test_verifying_changes_no_byte_and_works_on_a_copy_without_its_key(path, made, tmp_path):
    lone = tmp_path / "lone" / "copy.db"
    lone.parent.mkdir()
    shutil.copy(made.path, lone)
    before = lone.read_bytes()
    assert verified(lone).verdict == Verdict.OK
    assert lone.read_bytes() == before
    with pytest.raises(UnavailableError):
        verified(tmp_path / "nothing.db")
    assert not (tmp_path / "nothing.db").exists()


def test_every_code_has_a_meaning_and_the_gravest_finding_decides():
    assert set(MEANINGS) == set(Code)
    assert verdict(frozenset(), is_quick=False) == Verdict.OK
    assert verdict(frozenset({Severity.NOTE}), is_quick=False) == Verdict.OK
    assert verdict(frozenset({Severity.NOTE, Severity.WARNING}), is_quick=True) == Verdict.WARN
    assert verdict(frozenset({Severity.WARNING, Severity.UNVERIFIABLE}), is_quick=False) == Verdict.UNVERIFIABLE
    assert verdict(frozenset(Severity), is_quick=True) == Verdict.TAMPERED


def test_every_type_of_event_is_one_that_the_replay_knows_how_to_read(made):
    with Ledger.open(URL(made.path)) as ledger:
        seen = {event.type for event in log(ledger)}
    assert seen <= {kind.value for kind in EventType}
    assert len(seen) >= 15
