"""Bundles: who may take one, what is in it, and that there is none without its event."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace

from proofgap.audit import EventType
from proofgap.bundles import CHECKS as CHECKS_FILE
from proofgap.bundles import EVENTS, PAGE
from proofgap.bundles import ITEMS as ITEMS_FILE
from proofgap.checkpoints import parse_checkpoint, sign_checkpoint
from proofgap.decision_page import FORM
from proofgap.errors import BadInputError, ForbiddenError, NotFoundError
from proofgap.facts import ItemResult, RunEvent
from proofgap.findings import Code, Verdict
from proofgap.notes import parse_note
from proofgap.records import Item, RunDetails
from proofgap_store import LogQuery, NewRun, gate, packing
from proofgap_store.engine import RefusedByDatabaseError
from proofgap_store.pruning import PruneOrder
from tests.conformance.bundled import as_programs, both, content_of, first_word, made, rotate, signed, whole_life
from tests.conformance.lives import (
    ADA,
    OLGA,
    PATHS,
    SAM,
    UDO,
    VERA,
    facts,
    fire,
    lines,
    live,
    log,
    log_since,
    open_memory,
    open_scope,
    operation,
    settle,
    snapshot,
    tables,
)


def test_a_bundle_is_verified_by_two_verifiers_that_share_no_code(ledger, tmp_path):
    run = whole_life(ledger)
    bundle = made(ledger, run, tmp_path / "b.zip")
    (tmp_path / "policy").write_text(bundle.policy)
    assert as_programs(bundle.path, tmp_path / "policy") is Verdict.OK
    assert both(bundle.files, bundle.policy) == set()


def test_it_holds_every_event_of_the_run_and_of_its_views_and_nothing_of_other_runs(ledger, tmp_path):
    run, other = whole_life(ledger), whole_life(ledger)
    bundle = made(ledger, run, tmp_path / "b.zip")
    found = [json.loads(line) for line in bundle.files[EVENTS].splitlines()]
    held = {entry["id"] for entry in found if not entry["stream"].startswith("system/")}
    assert held == {
        event.entry["id"] for event in log(ledger) if event.entry["run"] == run and "format" not in event.data
    }
    assert {entry["type"] for entry in found if entry["stream"].startswith("system/")} == {
        "machine.defined",
        "audit.key_rotated",
    }
    assert not any(other.encode() in data for data in bundle.files.values())


def test_items_and_checks_are_in_it_as_they_were_reported(ledger, tmp_path):
    bundle = made(ledger, whole_life(ledger), tmp_path / "b.zip")
    items = [json.loads(line)["item"] for line in bundle.files[ITEMS_FILE].splitlines()]
    checks = [json.loads(line)["check"] for line in bundle.files[CHECKS_FILE].splitlines()]
    assert [item["key"] for item in items] == ["a.txt", "b.txt", "ü/\N{GRINNING FACE}"]
    assert [(check["subject"], check["result"]) for check in checks] == [("b.txt", "passed"), ("a.txt", "failed")]


@pytest.mark.parametrize("status", PATHS)
def test_a_run_in_any_status_can_be_bundled(ledger, tmp_path, status):
    bundle = made(ledger, live(ledger, status), tmp_path / "b.zip")
    assert both(bundle.files, bundle.policy) == set()


def test_an_imported_run_can_be_bundled_and_its_times_are_not_made_up(ledger, tmp_path):
    ledger.import_facts(lines(facts("x1", "completed", operation(), snapshot())), ADA)
    bundle = made(ledger, "x1", tmp_path / "b.zip")
    assert both(bundle.files, bundle.policy) == set()
    page = bundle.files[PAGE].decode()
    assert re.search(r"Recovery time \(RTO\)</td>(<td[^>]*>not reported</td>){3}", page)
    assert "Started</td><td class=short>not reported" in page


def test_a_bundle_after_another_proves_that_the_log_only_grew(ledger, tmp_path):
    run = whole_life(ledger)
    before = made(ledger, run, tmp_path / "a.zip")
    ledger.show(run, VERA.id, VERA)
    after = made(ledger, run, tmp_path / "b.zip", previous=before.path)
    assert "consistency" in after.files
    assert both(after.files, after.policy) == set()
    assert both(made(ledger, run, tmp_path / "c.zip", previous=after.path).files, after.policy) == set()


def test_a_bundle_of_another_ledger_is_no_earlier_one(ledger, tmp_path):
    with settle(open_memory()) as other:
        foreign = made(other, live(other), tmp_path / "foreign.zip")
    run = live(ledger)
    before = tables(ledger)
    with pytest.raises(BadInputError, match="was not signed by a key of this ledger"):
        ledger.audit.bundle(run, UDO, tmp_path / "b.zip", previous=foreign.path)
    assert not (tmp_path / "b.zip").exists()
    assert tables(ledger) == before


def test_that_a_bundle_was_taken_is_an_event_with_the_digest_of_the_file(ledger, tmp_path):
    run = whole_life(ledger)
    last = log(ledger)[-1].event_id
    told = ledger.audit.bundle(run, UDO, tmp_path / "b.zip")
    (event,) = log_since(ledger, last)
    assert (event.event_id, event.type) == (told.event_id, "audit.exported")
    assert (event.entry["actor"]["id"], event.entry["run"], event.entry["stream"]) == (UDO.id, run, "system/audit")
    assert event.data["sha256"] == told.sha256 == sha256((tmp_path / "b.zip").read_bytes()).hexdigest()
    assert (event.data["format"], event.data["file"], event.data["count"]) == ("bundle", "b.zip", told.events)
    assert [line["id"] for line in (event.data["first"], event.data["last"])] == [
        json.loads(line)["id"] for line in packing.unpack(tmp_path / "b.zip")[EVENTS].splitlines()[:: told.events - 1]
    ]
    seen = ledger.audit.list(LogQuery(types=(EventType.LOG_EXPORTED,)), UDO).events
    assert [found.event_id for found in seen] == [told.event_id]


@pytest.mark.parametrize(
    ("actor", "error", "recorded"),
    [(VERA, ForbiddenError, ["access.denied"]), (OLGA, ForbiddenError, ["access.denied"]), (SAM, NotFoundError, [])],
    ids=["viewer", "operator", "stranger"],
)
def test_nobody_else_gets_a_bundle_and_nothing_is_signed_for_them(ledger, tmp_path, actor, error, recorded):
    run = live(ledger)
    open_scope(ledger, ("w2", "e2"), UDO, "elsewhere")
    last, waiting = log(ledger)[-1].event_id, ledger.audit.waiting()
    with pytest.raises(error):
        ledger.audit.bundle(run, actor, tmp_path / "b.zip")
    assert list(tmp_path.iterdir()) == []
    assert [event.type for event in log_since(ledger, last)] == recorded
    assert ledger.audit.waiting() == waiting + len(recorded)


def test_a_bundle_takes_the_place_of_no_other_file(ledger, tmp_path):
    run, file = live(ledger), tmp_path / "b.zip"
    file.write_bytes(b"mine")
    before = tables(ledger)
    with pytest.raises(BadInputError, match="is there already"):
        ledger.audit.bundle(run, UDO, file)
    assert file.read_bytes() == b"mine"
    assert tables(ledger) == before


def test_where_it_cannot_be_recorded_there_is_no_bundle(ledger, tmp_path, monkeypatch):
    run = live(ledger)
    ledger.audit.checkpoint()
    before = tables(ledger)

    def inserting(_events):
        raise RefusedByDatabaseError("no more")

    monkeypatch.setattr(gate, "inserting", inserting)
    with pytest.raises(RefusedByDatabaseError):
        ledger.audit.bundle(run, UDO, tmp_path / "b.zip")
    assert list(tmp_path.iterdir()) == []
    assert tables(ledger) == before


def test_where_it_cannot_get_its_name_the_event_stays_and_no_file_does(ledger, tmp_path, monkeypatch):
    run = live(ledger)

    def rename(_self, _target):
        raise OSError("disk is gone")

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="disk is gone"):
        ledger.audit.bundle(run, UDO, tmp_path / "b.zip")
    assert list(tmp_path.iterdir()) == []
    assert log(ledger)[-1].type == "audit.exported"


def test_equal_files_are_packed_into_equal_bytes(ledger, tmp_path):
    bundle = made(ledger, live(ledger), tmp_path / "b.zip")
    for name in ("x.zip", "y.zip"):
        with (tmp_path / name).open("wb") as stream:
            packing.pack(bundle.files, stream)
    assert bundle.path.read_bytes() == (tmp_path / "x.zip").read_bytes() == (tmp_path / "y.zip").read_bytes()
    assert bundle.path.stat().st_mode & 0o077 == 0


def believing(*keys):
    return "".join(f"log {key.verifier.text}\n" for key in keys) + "quorum none\n"


def test_after_a_new_key_only_that_one_signs_and_the_old_one_does_not_vouch_for_it_by_itself(ledger, tmp_path):
    run = live(ledger)
    before = made(ledger, run, tmp_path / "a.zip")
    old, new = rotate(ledger)
    after = made(ledger, run, tmp_path / "b.zip", previous=before.path)
    assert after.policy == believing(new)
    assert both(after.files, believing(old, new)) == set()
    assert both(after.files, believing(old)) == {Code.KEY_UNKNOWN}
    assert both(after.files, believing(new)) == {Code.KEY_UNKNOWN}  # that of the earlier checkpoint
    assert both(before.files, believing(old)) == set()


def test_an_old_key_that_signs_on_and_a_new_one_without_its_word_are_found_by_both(ledger, tmp_path):
    run = live(ledger)
    old, new = rotate(ledger, lost=True)
    files = made(ledger, run, tmp_path / "b.zip").files
    assert both(files, believing(old, new)) == {Code.KEY_UNENDORSED}
    content, _ = content_of(ledger, run)
    opened = parse_checkpoint(parse_note(content.checkpoint).text)
    stolen = signed(content._replace(checkpoint=sign_checkpoint(opened, old, 2_000_000_000)), old)
    assert both(stolen, believing(old, new)) >= {Code.KEY_RETIRED}


@pytest.mark.owner
def test_a_run_whose_events_were_pruned_is_no_longer_bundled_and_the_export_is_named_instead(ledger, tmp_path):
    run = live(ledger)
    size = ledger.audit.checkpoint().size
    ledger.audit.prune(PruneOrder(file=str(tmp_path / "pruned.jsonl"), events=size), ADA)
    last = log(ledger)[-1].event_id
    with pytest.raises(BadInputError, match="has events that were pruned"):
        ledger.audit.bundle(run, UDO, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()
    assert log_since(ledger, last) == []


def test_what_was_declared_of_the_ledger_is_in_every_bundle_and_is_told(ledger, tmp_path):
    run = live(ledger)
    ledger.audit.declare_restore("a test", ADA)
    bundle = made(ledger, run, tmp_path / "b.zip")
    assert both(bundle.files, bundle.policy) == {Code.RESTORE_DECLARED}
    assert first_word(bundle.files, bundle.policy)[0] is Verdict.OK


@pytest.mark.owner
def test_a_pruning_is_in_every_bundle_and_is_told(ledger, tmp_path):
    live(ledger)
    size = ledger.audit.checkpoint().size
    ledger.audit.prune(PruneOrder(file=str(tmp_path / "pruned.jsonl"), events=size), ADA)
    bundle = made(ledger, live(ledger), tmp_path / "b.zip")
    assert both(bundle.files, bundle.policy) == {Code.PRUNED}
    assert first_word(bundle.files, bundle.policy)[0] is Verdict.OK


@pytest.mark.parametrize("left_out", ["every key", "the first key", "the next key"])
def test_a_key_signs_only_if_the_events_put_it_in_force(ledger, tmp_path, left_out):
    run = live(ledger)
    _, new = rotate(ledger)
    content, signer = content_of(ledger, run)
    assert signer.verifier == new.verifier
    first, second = (event for event in content.events if b"audit.key_rotated" in event.payload)
    gone = {"every key": {first, second}, "the first key": {first}, "the next key": {second}}[left_out]
    events = [event for event in content.events if event not in gone]
    assert both(signed(content, signer, events=events), believing(new)) == {Code.KEY_UNENDORSED}


def test_whoever_holds_the_key_can_leave_out_what_only_the_ledger_shows(ledger):
    """The bundle's blind spot, as docs/audit-format.md states it: if this fails, a bundle shows more than is said."""
    run = whole_life(ledger)
    ledger.audit.declare_restore("a test", ADA)
    content, signer = content_of(ledger, run)
    wanted = [event for event in content.events if b"restore_declared" not in event.payload]
    seen = [event for event in wanted if b'"stream":"view/' not in event.payload]
    ends = tuple(end for end in content.facts.streams if not end.stream.startswith("view/"))
    assert len(seen) < len(wanted) < len(content.events)
    files = signed(content, signer, events=seen, facts=replace(content.facts, streams=ends))
    assert both(files, believing(signer)) == set()
    assert "can leave out the end of a stream" in files[PAGE].decode()


HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'&{}${x}"


def test_hostile_names_reach_the_page_as_text_only(ledger, tmp_path):
    details = RunDetails(backup=HOSTILE, target=HOSTILE, purpose=HOSTILE, driver=HOSTILE)
    run = ledger.create(NewRun(details=details), ADA).run_id
    fire(ledger, run, "scope", "check", "preview", "queue", "start")
    items = [Item(key=HOSTILE, result=ItemResult.FAILED, reason_code=HOSTILE, message=HOSTILE)]
    ledger.fire(run, RunEvent.REPORT, ADA, items=items)
    fire(ledger, run, "fail")
    bundle = made(ledger, run, tmp_path / "b.zip")
    page = bundle.files[PAGE].decode()
    assert "&lt;script&gt;alert(1)" in page
    assert not re.search(r"<(script|img|iframe|object|link|a|form)\b", page)
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    assert both(bundle.files, bundle.policy) == set()


FORM_1 = "49ee3ff5081cfcf74932bac53a42c3a6b1895a368ad19da09da7daad01463f99"
"""SHA-256 of a page of form 1 without what differs from run to run."""


def test_a_page_whose_words_or_looks_change_has_another_form(ledger, tmp_path):
    """Whoever sees this fail counts `FORM` up: pages that were signed before are no longer written as they were."""
    page = made(ledger, whole_life(ledger), tmp_path / "b.zip").files[PAGE].decode()
    lasted = re.sub(r"\d+(\.\d)? (ms|s|min|h|d)\b( \d+ (s|min|h)\b)?", "#", page)
    plain = re.sub(r"[\w+/=:.,-]*\d[\w+/=:.,-]*", "#", lasted)
    assert (FORM, sha256(plain.encode()).hexdigest()) == (1, FORM_1)
