"""Retention: what leaves the ledger was exported and read back, and everything else goes on as if it were still there."""

from __future__ import annotations

import json
from hashlib import sha256

import msgspec
import pytest
from msgspec.structs import replace

from proofgap.audit import ACTOR_NAME, NOTE, canonical, run_stream
from proofgap.errors import BadInputError, ForbiddenError, NotFoundError
from proofgap.facts import RunEvent
from proofgap.findings import Finding
from proofgap.merkle import inclusion_proof, verify_inclusion
from proofgap.replay import Definitions, Stored, StreamReplay
from proofgap_store import DecisionHistory, Erasure, Export, HoldOn, LogQuery, PruneOrder, StayQuery
from proofgap_store.engine import RefusedByDatabaseError, connected, transaction
from proofgap_store.pruning import HeldError
from proofgap_store.questions import PrunedError
from proofgap_store.tree import node_reader
from tests.conformance.lives import (
    ADA,
    HOME,
    OLGA,
    OTTO,
    SAM,
    UDO,
    VERA,
    WIM,
    denials_beside,
    facts,
    fire,
    last,
    lines,
    live,
    log,
    log_since,
    open_scope,
    operation,
    prove,
    snapshot,
    tables,
)
from tests.conformance.pruning import everything, hold, leaf_of, prune, read, remaining, say_pruned, stood_on

NAMED = replace(OTTO, name="Otto Normal")

pytestmark = pytest.mark.owner  # pruning takes bytes out of the log: nobody else may


@pytest.fixture
def file(tmp_path):
    """A place for an export."""
    return tmp_path / "oldest.jsonl"


@pytest.fixture
def ended(ledger):
    """A run that ended with evidence and was shown, covered by a checkpoint."""
    run = live(ledger)
    prove(ledger, run)
    ledger.show(run, ADA.id, ADA)
    ledger.list_runs(ADA.id, ADA)
    ledger.audit.checkpoint()
    return run


def kept(file):
    """Read the lines of an export."""
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def test_pruning_takes_payloads_and_leaves_places_hashes_records_and_what_they_stand_on(ledger, ended, file):
    before, logged, standing = everything(ledger), log(ledger), stood_on(ledger)
    done = prune(ledger, file)
    after = {found.event_id: found for found in log(ledger)}
    for found in logged:
        now = after[found.event_id]
        assert now.leaf == found.leaf
        if found.entry["stream"].startswith("system/") or found.event_id in standing:
            assert now.payload == found.payload
        else:
            assert now.entry == {
                **{name: found.entry[name] for name in ("at_us", "env", "id", "rec_us", "run", "seq", "stream")},
                **{name: found.entry[name] for name in ("type", "v", "ws")},
                "actor": {"id": "pruned"},
                "pruned": found.event_id,
            }
    now = everything(ledger)
    assert 0 < done.tombstones == sum("pruned" in found.entry for found in after.values())
    untouched = set(before) - {"audit_event", "audit_stream", "audit_unsequenced"}
    assert {name: now[name] for name in untouched} == {name: before[name] for name in untouched}
    assert (done.first, done.last, done.stopped) == (0, len(logged) - 1, None)


def test_the_event_names_the_prefix_the_signed_tree_and_the_file(ledger, ended, file):
    number = last(ledger)
    done = prune(ledger, file, events=20)
    (recorded,) = log_since(ledger, number)
    signed = read(ledger, "SELECT size, root FROM audit_checkpoint")[0]
    left = [f"{found.payload}\n".encode() for found in log(ledger) if "pruned" in found.entry]
    assert (recorded.type, recorded.entry["stream"], recorded.event_id) == (
        "audit.pruned", "system/audit", done.event_id,
    )  # fmt: skip
    assert recorded.data == {
        "first": 0, "last": 19, "size": signed["size"], "root": signed["root"],
        "export_sha256": sha256(file.read_bytes()).hexdigest(), "kept_as": file.name,
        "tombstones": len(left), "tombstones_sha256": sha256(b"".join(left)).hexdigest(),
    }  # fmt: skip


def test_the_export_holds_the_exact_bytes_and_a_manifest_says_what_they_lead_to(ledger, ended, file):
    logged = log(ledger)
    done = prune(ledger, file)
    found = kept(file)
    assert [(row["idx"], row["event_id"], row["leaf"], row["payload"]) for row in found] == [
        (number, event.event_id, event.leaf, event.payload) for number, event in enumerate(logged)
    ]
    manifest = json.loads(file.with_name("oldest.jsonl.manifest.json").read_bytes())
    assert (manifest["first"], manifest["last"], manifest["sha256"]) == (done.first, done.last, done.export_sha256)
    assert (manifest["size"], manifest["root"]) == (done.size, done.root)
    assert manifest["note"] == read(ledger, "SELECT note FROM audit_checkpoint")[0]["note"]
    assert manifest["bytes"] == file.stat().st_size


def test_proofs_made_before_pruning_verify_after_it_and_new_ones_too(ledger, ended, file):
    logged = log(ledger)
    signed = read(ledger, "SELECT size, root FROM audit_checkpoint")[0]

    def proof(index):
        with connected(ledger._gate.engine) as connection, transaction(connection, writes=False):
            return inclusion_proof(index, signed["size"], node_reader(connection))

    old = [proof(index) for index in range(signed["size"])]
    prune(ledger, file)
    for index, row in enumerate(kept(file)):
        for found in (old[index], proof(index)):
            verify_inclusion(row["payload"].encode(), index, signed["size"], found, bytes.fromhex(signed["root"]))
    assert kept(file)[-1]["payload"] == logged[-1].payload


def test_the_sequencer_goes_on_after_a_pruning(ledger, ended, file):
    prune(ledger, file)
    before = read(ledger, "SELECT max(size) AS n FROM audit_checkpoint")[0]["n"]
    live(ledger)
    assert ledger.audit.checkpoint().size > before + 10


def test_every_stream_still_replays_without_a_finding(ledger, ended, file):
    prune(ledger, file, events=leaf_of(ledger, last(ledger)) - 4)
    ledger.retry(ended, ADA)
    findings: list[Finding] = []
    definitions, streams = Definitions(), {}
    for row in read(ledger, "SELECT event_id, payload FROM audit_event WHERE type = 'machine.defined'"):
        definitions.define(row["event_id"], msgspec.json.decode(row["payload"])["data"])
    for found in log(ledger):
        stream = found.entry["stream"]
        replayed = streams.setdefault(stream, StreamReplay(stream, definitions, findings.append))
        replayed.take(Stored(found.event_id, found.payload.encode(), found.leaf))
    assert findings == []
    assert streams[run_stream(ended)].is_pruned


def test_a_run_whose_beginning_was_pruned_goes_on(ledger, file):
    run = live(ledger, "running")
    ledger.audit.checkpoint()
    prune(ledger, file)
    assert ledger.show(run, OLGA.id, OLGA).record.status == "running"
    assert fire(ledger, run, "complete", actor=WIM).status == "completed"
    prove(ledger, run)
    assert ledger.show(run, ADA.id, ADA).decision.state == "completed_with_evidence"
    known = ledger.audit.history(run, UDO)
    assert known.pruned > 0
    assert [cause.event for cause in known.changes[0].causes] == ["succeed", "complete"], "start caused what was pruned"
    retried = ledger.retry(run, OLGA).run_id
    assert ledger.peek(retried, OLGA).status == "draft"
    assert len(ledger.list_runs(ADA.id, ADA).rows) == 2


def test_a_receipt_is_given_again_after_its_event_was_pruned(ledger, file):
    run = live(ledger, "queued")
    first = ledger.fire(run, RunEvent.CANCEL, NAMED, key="k1", note="moved to Monday")
    ledger.audit.checkpoint()
    prune(ledger, file)
    again = ledger.fire(run, RunEvent.CANCEL, NAMED, key="k1", note="moved to Monday")
    assert (again.event_id, again.replayed) == (first.event_id, True)


def test_the_log_of_a_run_is_read_with_its_places_only(ledger, ended, file):
    prune(ledger, file)
    found = ledger.history(ended, ADA.id)
    assert {event.event_id for event in found if not event.is_pruned} == stood_on(ledger)
    assert ledger.audit.get(found[0].event_id, UDO).is_pruned
    assert [event.event_id for event in ledger.audit.list(LogQuery(run=ended), UDO).events][::-1] == [
        event.event_id for event in found
    ]


def test_questions_say_that_it_was_pruned_and_make_nothing_up(ledger, ended, file, tmp_path):
    seen = ledger.audit.as_seen(ADA.id, ended, ledger._clock(), UDO)
    told = [
        event.entry["type"] for event in ledger.history(ended, ADA.id) if event.entry["stream"] == run_stream(ended)
    ]
    prune(ledger, file)
    with pytest.raises(PrunedError, match=r"was pruned.*audit\.pruned"):
        ledger.audit.why(ended, UDO)
    assert ledger.audit.history(ended, UDO) == DecisionHistory(
        changes=(), pruned=told.count("restore.decision.projected")
    )
    assert ledger.audit.replay(None, UDO).projections == 0
    assert {stay.count for stay in ledger.audit.durations(StayQuery(), UDO)} == {0}
    now = ledger.audit.as_seen(ADA.id, ended, ledger._clock(), UDO)
    assert (seen.state, seen.is_pruned) == ("completed_with_evidence", False)
    assert (now.state, now.is_pruned) == (None, True)
    manifest = ledger.audit.export(Export(file=str(tmp_path / "log.jsonl"), query=LogQuery(run=ended)), UDO)
    assert manifest.count == len(stood_on(ledger))


def test_a_status_that_was_entered_before_the_pruning_is_not_measured(ledger, file):
    run = live(ledger, "running")
    ledger.audit.checkpoint()
    prune(ledger, file)
    fire(ledger, run, "request_cancel", "complete")
    left = [event.entry["data"] for event in ledger.history(run, ADA.id) if not event.is_pruned]
    assert (left[0]["source"], left[0]["target"]) == ("queued", "running")
    live(ledger)
    found = {stay.status: stay.count for stay in ledger.audit.durations(StayQuery(), UDO)}
    assert (found["running"], found["queued"]) == (2, 1)


def test_a_pruned_list_is_seen_by_nobody_as_it_does_not_tell_whom_it_concerned(ledger, ended, file):
    listed = next(found.event_id for found in log(ledger) if found.type == "restore.decision.listed")
    assert ledger.audit.get(listed, UDO)
    prune(ledger, file)
    with pytest.raises(NotFoundError):
        ledger.audit.get(listed, UDO)


def test_importing_the_same_file_again_after_pruning_changes_nothing(ledger, file):
    records = lines(facts("x1", "completed", operation(), snapshot()), facts("x2", "failed"))
    ledger.import_facts(records, ADA)
    ledger.audit.checkpoint()
    prune(ledger, file)
    before = everything(ledger)
    found = ledger.import_facts(records, ADA)
    assert (found.imported, found.unchanged) == (0, 2)
    with pytest.raises(BadInputError, match="was imported with other facts"):
        ledger.import_facts(lines(facts("x2", "completed")), ADA)
    assert everything(ledger) == before


def test_names_and_notes_go_with_their_events_and_are_not_in_the_export(ledger, file):
    run = live(ledger, "previewed", actor=NAMED)
    fire(ledger, run, "queue", actor=NAMED)
    event = ledger.fire(run, RunEvent.CANCEL, NAMED, note="moved to Monday").event_id
    ledger.audit.checkpoint()
    gone = {row["event_id"] for row in read(ledger, "SELECT event_id FROM audit_private")} - stood_on(ledger)
    prune(ledger, file)
    found = {row["event_id"] for row in read(ledger, "SELECT event_id FROM audit_private")}
    assert gone
    assert not gone & found
    assert event in found
    assert b"Monday" not in file.read_bytes()
    assert b"Normal" not in file.read_bytes()


def test_names_and_notes_of_events_that_stay_can_be_erased(ledger, file):
    run = live(ledger, "queued")
    event = ledger.fire(run, RunEvent.CANCEL, NAMED, note="moved to Monday").event_id
    ledger.audit.checkpoint()
    prune(ledger, file)
    for erased in (NOTE, ACTOR_NAME):
        ledger.audit.redact(Erasure(event=str(event), path=erased, reason="gdpr-17"), ADA)
    assert ledger.audit.get(event, ADA).openings == {}
    ledger.audit.checkpoint()
    assert ledger.verify().verdict == "OK"


def test_what_the_ledger_says_of_itself_keeps_its_openings(ledger, file):
    granted = ledger.access.grant("sam", "viewer", HOME, replace(ADA, name="Ada L."))
    ledger.audit.checkpoint()
    prune(ledger, file)
    assert [row["value"] for row in read(ledger, "SELECT value FROM audit_private WHERE event_id = :e", e=granted)] == [
        "Ada L."
    ]


def test_a_second_pruning_takes_up_where_the_first_ended(ledger, ended, file, tmp_path):
    first = prune(ledger, file, events=15)
    live(ledger)
    ledger.audit.checkpoint()
    second = prune(ledger, tmp_path / "more.jsonl")
    assert (first.last, second.first) == (14, 15)
    assert [row["idx"] for row in kept(tmp_path / "more.jsonl")] == list(range(15, second.last + 1))
    with pytest.raises(BadInputError, match="out of range"):
        ledger.audit.prune(PruneOrder(file=str(tmp_path / "none.jsonl"), events=1_000), ADA)


def test_a_time_prunes_what_was_recorded_before_it(ledger, ended, file):
    number = last(ledger)
    later = live(ledger, "draft")
    ledger.audit.checkpoint()
    moment = log_since(ledger, number)[0].entry["rec_us"]
    done = prune(ledger, file, before_us=moment)
    assert done.last == leaf_of(ledger, number)
    assert not any(event.is_pruned for event in ledger.history(later, ADA.id))


def test_what_no_checkpoint_covers_is_not_pruned(ledger, ended, file):
    later = live(ledger)
    before = everything(ledger)
    with pytest.raises(BadInputError, match="checkpoints cover"):
        prune(ledger, file, events=remaining(ledger) + 1)
    assert everything(ledger) == before
    assert not file.exists()
    prune(ledger, file, before_us=2**52)
    assert not any(event.is_pruned for event in ledger.history(later, ADA.id))


@pytest.mark.parametrize("order", [{}, {"events": 1, "before_us": 1}, {"events": 0}, {"before_us": 0}])
def test_an_order_that_says_nothing_or_too_much_is_refused(ledger, ended, file, order):
    before = everything(ledger)
    with pytest.raises(BadInputError):
        ledger.audit.prune(PruneOrder(file=str(file), **order), ADA)
    assert everything(ledger) == before
    assert not file.exists()


CHANGES = {
    "a word of a payload": lambda text: text.replace(b"draft", b"queue", 1),
    "a line less": lambda text: text.split(b"\n", 1)[1],
    "the last line gone": lambda text: b"".join(text.splitlines(keepends=True)[:-1]),
    "the last byte gone": lambda text: text[:-1],
    "a line more": lambda text: text + text.splitlines(keepends=True)[-1],
    "two lines exchanged": lambda text: b"".join(
        [*text.splitlines(keepends=True)[1::-1], *text.splitlines(keepends=True)[2:]]
    ),
    "a space more": lambda text: text.replace(b",", b", ", 1),
    "something else": lambda _text: b"\xff\n",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_export_that_was_changed_is_refused_and_nothing_is_pruned(ledger, ended, file, tmp_path, change):
    count = remaining(ledger)
    export_only(ledger, file, count)
    file.write_bytes(change(file.read_bytes()))
    before, text = everything(ledger), file.read_bytes()
    with pytest.raises(BadInputError, match="is not the export of these events"):
        prune(ledger, file, events=count)
    assert everything(ledger) == before
    assert file.read_bytes() == text


def export_only(ledger, file, count):
    """Let a pruning die after its export was written, as a hold does that comes in between."""
    with connected(ledger._gate.engine) as connection, transaction(connection, writes=False):
        rows = connection.execute(
            "SELECT l.event_id, l.idx, l.hash, e.payload FROM audit_leaf AS l JOIN audit_event AS e USING (event_id) "
            "WHERE l.idx < :count ORDER BY l.idx",
            {"count": count},
        ).fetchall()
    names = ("event_id", "idx", "leaf", "payload")
    file.write_bytes(b"".join(canonical(dict(zip(names, row, strict=True))) + b"\n" for row in rows))


def test_an_export_that_an_interrupted_pruning_left_is_taken_up(ledger, ended, file):
    export_only(ledger, file, 10)
    text = file.read_bytes()
    assert prune(ledger, file, events=10).last == 9
    assert file.read_bytes() == text


def test_the_export_of_another_prefix_or_with_another_manifest_is_refused(ledger, ended, file, tmp_path):
    prune(ledger, file, events=10)
    before = everything(ledger)
    with pytest.raises(BadInputError, match="line 1 is not event"):
        prune(ledger, file, events=10)
    other = tmp_path / "other.jsonl"
    other.with_name("other.jsonl.manifest.json").write_text("{}")
    with pytest.raises(BadInputError, match="not the manifest of this export"):
        prune(ledger, other, events=10)
    assert everything(ledger) == before


@pytest.mark.parametrize("actor", [OLGA, WIM, VERA, UDO, SAM])
def test_only_an_admin_prunes(ledger, ended, file, actor):
    before = tables(ledger)
    with pytest.raises(ForbiddenError):
        ledger.audit.prune(PruneOrder(file=str(file), events=5), actor)
    assert len(denials_beside(ledger, before)) == 1
    assert not file.exists()


def test_an_admin_of_elsewhere_prunes_nothing_of_here(ledger, ended, file):
    open_scope(ledger, ("w2", "e2"), SAM)
    ledger.audit.checkpoint()
    before = tables(ledger)
    for actor in (SAM, ADA):
        with pytest.raises(ForbiddenError):
            ledger.audit.prune(PruneOrder(file=str(file), events=remaining(ledger)), actor)
        ledger.audit.checkpoint()
    assert [who for who, *_ in denials_beside(ledger, before)] == [SAM.id, ADA.id]
    assert not file.exists()


# holds


def runs_of(ledger, count=3):
    """Lead some runs to their end, each with its events in one piece, and cover them by a checkpoint."""
    found = [live(ledger) for _ in range(count)]
    ledger.audit.checkpoint()
    return found


def first_of(ledger, run):
    return ledger.history(run, ADA.id)[0].event_id


def test_a_hold_on_a_run_in_the_middle_stops_pruning_before_its_first_event_and_says_so(ledger, file):
    _, middle, _ = runs_of(ledger)
    held = hold(ledger, run=middle)
    done = prune(ledger, file)
    assert (done.stopped.hold, done.stopped.event_id) == (held.id, first_of(ledger, middle))
    assert done.last == leaf_of(ledger, first_of(ledger, middle)) - 1
    assert not any(event.is_pruned for event in ledger.history(middle, ADA.id))


def test_a_hold_on_the_first_event_stops_everything_and_nothing_is_written(ledger, file, tmp_path):
    first, *_ = runs_of(ledger)
    prune(ledger, file, events=leaf_of(ledger, first_of(ledger, first)))
    held = hold(ledger, run=first)
    before = everything(ledger)
    with pytest.raises(HeldError, match=rf"under the hold {held.id}.*audit release {held.id}"):
        prune(ledger, tmp_path / "more.jsonl")
    assert everything(ledger) == before
    assert not (tmp_path / "more.jsonl").exists()


def test_a_released_hold_stops_nothing(ledger, file):
    _, middle, _ = runs_of(ledger)
    held = hold(ledger, run=middle)
    assert not ledger.audit.release(held.id, ADA).active
    assert prune(ledger, file).stopped is None
    run_events = [event for event in ledger.history(middle, ADA.id) if event.entry["stream"].startswith("run/")]
    assert {event.event_id for event in run_events if not event.is_pruned} <= stood_on(ledger)
    assert run_events[0].is_pruned


def test_of_two_holds_each_stands_by_itself(ledger, file, tmp_path):
    _, middle, later = runs_of(ledger)
    first, second = hold(ledger, run=middle), hold(ledger, run=later)
    assert prune(ledger, file).stopped.hold == first.id
    ledger.audit.release(first.id, ADA)
    assert prune(ledger, tmp_path / "more.jsonl").stopped.hold == second.id


@pytest.mark.parametrize("what", [{"workspace": "default"}, {"workspace": "default", "environment": "local"}])
def test_a_hold_on_a_scope_covers_its_runs(ledger, file, what):
    first, *_ = runs_of(ledger)
    hold(ledger, **what)
    assert prune(ledger, file).stopped.event_id == first_of(ledger, first)


def test_a_hold_covers_the_lists_that_named_what_is_held(ledger, file):
    run = live(ledger, "draft")
    listed = ledger.list_runs(ADA.id, ADA).event_id
    ledger.audit.checkpoint()
    prune(ledger, file, events=leaf_of(ledger, listed))
    hold(ledger, run=run)
    with pytest.raises(HeldError, match=f"event {listed} "):
        prune(ledger, file.with_name("more.jsonl"))


def test_the_database_itself_refuses_to_prune_under_a_hold(ledger, file, monkeypatch):
    _, middle, _ = runs_of(ledger)
    hold(ledger, run=middle)
    monkeypatch.setattr("proofgap_store.pruning._HELD", "SELECT 1 WHERE :first > :last")
    before = everything(ledger)
    with pytest.raises(RefusedByDatabaseError, match="a hold is in force within the prefix"):
        prune(ledger, file)
    assert everything(ledger) == before


def test_holds_are_events_and_are_listed_with_their_reason(ledger):
    run = live(ledger)
    held = hold(ledger, run=run)
    ledger.audit.release(held.id, ADA)
    other = hold(ledger, reason="audit-2026", workspace="default", environment="local")
    found = {one.event_id: one for one in log(ledger)}
    assert found[held.event_id].data == {"hold": held.id, "reason": "case-4711"}
    assert found[held.event_id].entry["run"] == run
    assert [(one.id, one.active, one.run, one.reason) for one in ledger.audit.holds(UDO)] == [
        (held.id, False, run, "case-4711"), (other.id, True, None, "audit-2026"),
    ]  # fmt: skip


@pytest.mark.parametrize("what", [{}, {"environment": "local"}, {"run": "x", "workspace": "default"}])
def test_a_hold_that_names_nothing_or_too_much_is_refused(ledger, what):
    before = everything(ledger)
    with pytest.raises(BadInputError):
        hold(ledger, **what)
    assert everything(ledger) == before


@pytest.mark.parametrize(
    "what", [{"run": "rr_none"}, {"workspace": "w9"}, {"workspace": "default", "environment": "e9"}]
)
def test_what_does_not_exist_is_not_held(ledger, what):
    before = everything(ledger)
    with pytest.raises(NotFoundError):
        hold(ledger, **what)
    assert everything(ledger) == before


@pytest.mark.parametrize("actor", [OLGA, WIM, VERA, UDO])
def test_only_an_admin_holds_and_releases(ledger, actor):
    held = hold(ledger, workspace="default")
    before, holds = tables(ledger), ledger.audit.holds(ADA)
    for work in (
        lambda: ledger.audit.hold(HoldOn(workspace="default"), "x", actor),
        lambda: ledger.audit.release(held.id, actor),
    ):
        with pytest.raises(ForbiddenError):
            work()
    assert len(denials_beside(ledger, before)) == 2
    assert ledger.audit.holds(ADA) == holds


def test_a_hold_is_released_once_and_only_where_it_is_seen(ledger):
    held = hold(ledger, workspace="default")
    open_scope(ledger, ("w2", "e2"), SAM)
    assert ledger.audit.holds(SAM) == ()
    with pytest.raises(NotFoundError):
        ledger.audit.release(held.id, SAM)
    ledger.audit.release(held.id, ADA)
    before = everything(ledger)
    with pytest.raises(NotFoundError):
        ledger.audit.release(held.id, ADA)
    assert everything(ledger) == before


def test_the_database_refuses_an_event_that_says_something_else_than_a_pruning_does(ledger):
    live(ledger)
    ledger.audit.checkpoint()
    signed = read(ledger, "SELECT size, root FROM audit_checkpoint ORDER BY size DESC LIMIT 1")[0]
    size = signed["size"]
    count = read(ledger, "SELECT count(*) AS n FROM audit_tombstone WHERE idx < :size", size=size)[0]["n"]
    assert count > 0
    right = {"first": 0, "last": size - 1, **signed, "tombstones": count, "tombstones_sha256": "0" * 64}
    before = everything(ledger)
    for wrong in (
        *({"root": "0" * 64}, {"root": None}, {"size": None, "root": None}, {"size": size - 1}, {"first": 1}),
        *({"last": size}, {"last": None}, {"tombstones": count - 1}, {"tombstones": None}, {"tombstones_sha256": None}),
    ):
        with pytest.raises(RefusedByDatabaseError, match="proofgap: "):
            say_pruned(ledger, right | wrong)
    assert everything(ledger) == before
    say_pruned(ledger, right)
    assert len(read(ledger, "SELECT 1 FROM audit_event WHERE payload ->> '$.pruned' IS NOT NULL")) == count
