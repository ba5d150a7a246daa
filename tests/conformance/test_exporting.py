"""What is taken out of the log: complete, checkable without us, and never without the event that says so."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from proofgap.access import Role
from proofgap.audit import Actor, EventType
from proofgap.errors import BadInputError, ForbiddenError, StaleError
from proofgap.records import RunDetails
from proofgap_store import LogQuery, NewRun, RefusedByDatabaseError
from proofgap_store.audit_log import SwallowedError
from proofgap_store.documents import DamagedError
from proofgap_store.exporting import Export
from proofgap_store.formats import COLUMNS, ExportFormat
from proofgap_store.gate import Gate
from proofgap_store.schema import NO_DRIFT
from tests.conformance.lives import (
    ADA,
    SAM,
    UDO,
    VERA,
    denials_beside,
    facts,
    lines,
    live,
    log,
    log_since,
    open_scope,
    prove,
    tables,
)
from tests.conformance.tampering import sabotage
from tests.conformance.test_reasons import rewrite

FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    " =cmd|' /C calc'!A0",
    "\N{FULLWIDTH EQUALS SIGN}1",
    '=HYPERLINK("http://x")',
]


@pytest.fixture
def eventful(ledger):
    """A ledger with runs of all kinds, here and elsewhere, and names that a spreadsheet would run."""
    for text in FORMULAS:
        details = RunDetails(backup=text.strip(), target='a"b,c;🧟')
        ledger.show(ledger.create(NewRun(details=details), ADA).run_id, VERA.id, VERA)
        ledger.import_facts(lines(facts(text.strip(), "failed")), ADA)
        ledger.show(text.strip(), ADA.id, Actor(id="ada", via="cli"))
    prove(ledger, live(ledger))
    open_scope(ledger, ("w2", "e2"), SAM, "foreign")
    ledger.list_runs(UDO.id, UDO)
    return ledger


def take(ledger, tmp_path, form="jsonl", actor=UDO, **query):
    """Export to a new file; give the file and its manifest."""
    file = tmp_path / f"out.{form}"
    manifest = ledger.audit.export(Export(file=str(file), format=form, query=LogQuery(**query)), actor)
    return file, manifest


def visible(ledger, **query):
    found, after = [], 0
    while events := ledger.audit.tail(after, UDO, LogQuery(**query)):
        found += events
        after = events[-1].event_id
    return found


def check_export(folder, name):
    """Verify an export without any code of ours: digest, count, ends, and the links of every stream within it."""
    manifest = json.loads((folder / f"{name}.manifest.json").read_bytes())
    content = (folder / name).read_bytes()
    assert sha256(content).hexdigest() == manifest["sha256"]
    assert len(content) == manifest["bytes"]
    payloads = content.split(b"\n")[:-1]
    assert len(payloads) == manifest["count"]
    leaves = [sha256(b"\x00" + payload).hexdigest() for payload in payloads]
    heads = {}
    for payload, leaf in zip(payloads, leaves, strict=True):
        entry = json.loads(payload)
        seq, prev = heads.get(entry["stream"], (-1, "0" * 64))
        assert (entry["seq"], entry["prev"]) == (seq + 1, prev)
        heads[entry["stream"]] = (entry["seq"], leaf)
    for end, place in (("first", 0), ("last", -1)):
        assert manifest[end]["leaf"] == leaves[place]
        assert manifest[end]["id"] == json.loads(payloads[place])["id"]
    return manifest


def test_an_export_can_be_verified_by_whoever_has_nothing_but_its_files(eventful, tmp_path):
    expected = [event.payload for event in visible(eventful)]
    file, _ = take(eventful, tmp_path)
    check_export(tmp_path, file.name)
    assert file.read_bytes().split(b"\n")[:-1] == expected


@pytest.mark.parametrize("at", [0, 100, -2])
def test_one_changed_byte_in_an_export_is_found(eventful, tmp_path, at):
    file, _ = take(eventful, tmp_path)
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    with pytest.raises(AssertionError):
        check_export(tmp_path, file.name)


def test_the_manifest_says_what_was_asked_by_whom_and_which_event_recorded_it(eventful, tmp_path):
    before = log(eventful)[-1].event_id
    file, manifest = take(eventful, tmp_path, types=(EventType.RUN_CREATED,), workspace="default")
    written = json.loads(Path(f"{file}.manifest.json").read_bytes())
    (event,) = log_since(eventful, before)
    assert (event.type, event.entry["stream"], event.entry["actor"]["id"]) == ("audit.exported", "system/audit", "udo")
    assert written["event"] == {"event_id": event.event_id, "id": event.entry["id"], "leaf": event.leaf}
    assert written["query"] == event.data["query"]
    assert (written["query"]["types"], written["query"]["workspace"]) == (["restore.run.created"], "default")
    assert written["scopes"] == [["default", "local"]]
    assert (written["actor"], written["exported_us"]) == ("udo", event.entry["rec_us"])
    for name in ("file", "format", "count", "sha256", "bytes", "first", "last"):
        assert written[name] == event.data[name]
    assert manifest.sha256 == event.data["sha256"]
    assert manifest.event.event_id == event.event_id


def test_an_export_of_nothing_has_no_first_and_no_last_event_and_is_recorded_all_the_same(ledger, tmp_path):
    file, manifest = take(ledger, tmp_path, run="nothing")
    assert (file.read_bytes(), manifest.count, manifest.first, manifest.last) == (b"", 0, None, None)
    assert log(ledger)[-1].type == "audit.exported"


def test_nobody_but_the_owner_may_read_the_files(eventful, tmp_path):
    file, _ = take(eventful, tmp_path)
    assert {path.stat().st_mode & 0o777 for path in (file, Path(f"{file}.manifest.json"))} == {0o600}
    assert sorted(tmp_path.iterdir()) == sorted([file, Path(f"{file}.manifest.json")])


# Forms


def test_a_csv_has_a_row_for_every_event_ends_in_its_exact_bytes_and_runs_no_formula(eventful, tmp_path):
    file, _ = take(eventful, tmp_path, "csv")
    with file.open(encoding="utf-8", newline="") as stream:
        head, *found = csv.reader(stream)
    events = visible(eventful)[: len(found)]
    assert head == [*COLUMNS, "payload"]
    assert [row[-1].encode() for row in found] == [event.payload for event in events]
    cells = [cell for row in found for cell in row]
    assert not [cell for cell in cells if cell.strip()[:1] in {*"=+-@\N{FULLWIDTH EQUALS SIGN}", "\t"}]
    named = {row[head.index("run")] for row in found}
    assert {f"'{text.strip()}" for text in FORMULAS} <= named
    for row, event in zip(found, events, strict=True):
        assert row[0] == str(event.event_id)
        assert row[head.index("leaf")] == event.leaf
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row[head.index("rec")])


def test_a_cloud_event_has_the_attributes_of_version_1_and_nothing_that_is_unknown(eventful, tmp_path):
    file, _ = take(eventful, tmp_path, "cloudevents")
    found = [json.loads(line) for line in file.read_bytes().splitlines()]
    events = visible(eventful)[: len(found)]
    first = log(eventful)[0].entry["id"]
    for cloud, event in zip(found, events, strict=True):
        entry = event.entry
        assert (cloud["specversion"], cloud["id"], cloud["type"]) == ("1.0", entry["id"], entry["type"])
        assert cloud["source"] == f"urn:uuid:{first}"
        assert cloud.get("subject") == entry["run"]
        assert cloud["data"] == entry["data"]
        assert (cloud["authid"], cloud["leafhash"]) == (entry["actor"]["id"], event.leaf)
        assert cloud["authtype"] in {"user", "service_account", "system", "unknown"}
        assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in cloud)
        assert None not in cloud.values()
        assert all(cloud[name].endswith("Z") for name in ("time", "recordedtime"))
    sequences = [cloud["sequence"] for cloud in found]
    assert sequences == sorted(sequences)
    assert [int(sequence) for sequence in sequences] == [event.event_id for event in events]


def test_parquet_holds_the_same_rows_with_numbers_and_times_as_such(eventful, tmp_path):
    from pyarrow import parquet, types  # noqa: PLC0415 - large, and needed here only

    file, manifest = take(eventful, tmp_path, "parquet")
    table = parquet.read_table(file)
    events = visible(eventful)[: manifest.count]
    assert table.column_names == [*COLUMNS, "payload"]
    assert [payload.encode() for payload in table["payload"].to_pylist()] == [event.payload for event in events]
    assert table["event_id"].to_pylist() == [event.event_id for event in events]
    assert types.is_timestamp(table.schema.field("rec").type)
    assert sha256(file.read_bytes()).hexdigest() == manifest.sha256


def test_a_parquet_of_more_than_one_batch_and_one_of_nothing_are_whole(ledger, tmp_path):
    from pyarrow import parquet  # noqa: PLC0415 - as above

    ledger.import_facts(lines(*(facts(f"x{n}", "draft") for n in range(700))), ADA)
    file, manifest = take(ledger, tmp_path, "parquet")
    assert parquet.read_table(file).num_rows == manifest.count > 1400
    file.unlink()
    Path(f"{file}.manifest.json").unlink()
    file, manifest = take(ledger, tmp_path, "parquet", run="nothing")
    assert parquet.read_table(file).num_rows == manifest.count == 0


def test_without_pyarrow_there_is_an_error_that_says_what_to_install_and_no_file(ledger, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    nothing_done(ledger, tmp_path, lambda: take(ledger, tmp_path, "parquet"), BadInputError, "proofgap\\[parquet\\]")


# No export without its event, no event without its export


def nothing_done(ledger, tmp_path, ask, error, match=None):
    """Let an export fail; afterwards there is no file and no event."""
    before = tables(ledger)
    with pytest.raises(error, match=match):
        ask()
    assert tables(ledger) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.owner
@pytest.mark.parametrize(("swallows", "error"), [(False, RefusedByDatabaseError), (True, SwallowedError)])
def test_an_event_that_cannot_be_written_leaves_no_file(eventful, tmp_path, monkeypatch, swallows, error):
    monkeypatch.setattr(
        Gate, "guards", lambda _gate, _connection, _found=None: NO_DRIFT
    )  # else nothing would be written at all
    sabotage(eventful, "audit.exported", swallows=swallows)
    nothing_done(eventful, tmp_path, lambda: take(eventful, tmp_path), error)


@pytest.mark.parametrize("form", ExportFormat)
def test_a_disk_that_is_full_leaves_neither_file_nor_event(eventful, tmp_path, monkeypatch, form):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    nothing_done(eventful, tmp_path, lambda: take(eventful, tmp_path, form), OSError, "No space left")


def test_an_interrupt_leaves_neither_file_nor_event(eventful, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    wanted = Export(file=str(tmp_path / "out"))
    nothing_done(eventful, tmp_path, lambda: eventful.audit.export(wanted, UDO, interrupt), KeyboardInterrupt)


def test_a_file_that_cannot_get_its_name_leaves_no_manifest_but_the_event_stays(eventful, tmp_path, monkeypatch):
    rename = Path.rename

    def refuse(self, target):
        if str(target).endswith(".manifest.json"):
            return rename(self, target)
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="Permission denied"):
        take(eventful, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert log(eventful)[-1].type == "audit.exported", "more was claimed than handed out, never less"


def test_a_role_that_is_revoked_while_the_file_is_written_stops_the_export(eventful, tmp_path, monkeypatch):
    fsync, before = os.fsync, tables(eventful)["audit_event"]

    def revoke(descriptor):
        eventful.access.grant(UDO.id, Role.AUDITOR, ("default", "second"), ADA)
        fsync(descriptor)

    eventful.access.declare_environment(("default", "second"), ADA)
    monkeypatch.setattr(os, "fsync", revoke)
    with pytest.raises(StaleError):
        take(eventful, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "audit.exported" not in {row["type"] for row in tables(eventful)["audit_event"][len(before) :]}


@pytest.mark.parametrize("suffix", ["", ".manifest.json"])
def test_nothing_that_is_there_is_overwritten(eventful, tmp_path, suffix):
    taken = tmp_path / f"out.jsonl{suffix}"
    taken.write_text("precious")
    before = tables(eventful)
    with pytest.raises(BadInputError, match="is there already"):
        take(eventful, tmp_path)
    assert tables(eventful) == before
    assert [(path, path.read_text()) for path in tmp_path.iterdir()] == [(taken, "precious")]


def test_a_link_that_leads_nowhere_is_not_followed(eventful, tmp_path):
    (tmp_path / "out.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInputError, match="is there already"):
        take(eventful, tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "name", ["", "a\x00b", "a\nb", "a\x1b[2Jb", "no/such/folder/file", "/proc/x", "..", "\ud800", "x" * 300, "ü" * 200]
)
def test_a_name_that_cannot_be_a_file_is_refused(ledger, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    nothing_done(ledger, tmp_path, lambda: ledger.audit.export(Export(file=name), UDO), BadInputError)


@pytest.mark.parametrize("actor", [VERA, SAM], ids=lambda actor: actor.id)
def test_who_audits_nothing_takes_nothing_out(ledger, tmp_path, actor):
    before = tables(ledger)
    with pytest.raises(ForbiddenError):
        take(ledger, tmp_path, actor=actor)
    assert [who for who, *_ in denials_beside(ledger, before)] == [actor.id]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.owner
def test_an_event_that_is_damaged_stops_an_export_that_has_to_read_it_and_not_one_of_exact_bytes(eventful, tmp_path):
    victim = log(eventful)[20]
    rewrite(eventful, victim.event_id, lambda entry: entry.pop("actor", None) and entry.update(actor={"id": "x"}))
    nothing_done(eventful, tmp_path, lambda: take(eventful, tmp_path, "csv"), DamagedError, str(victim.event_id))
    take(eventful, tmp_path)


# Who sees that something was taken out


def test_an_export_over_foreign_scopes_is_seen_by_those_who_audit_all_of_them(eventful, tmp_path):
    eventful.access.grant(UDO.id, Role.AUDITOR, ("w2", "e2"), SAM)
    _, manifest = take(eventful, tmp_path)
    assert manifest.scopes == (("default", "local"), ("w2", "e2"))
    exported = LogQuery(types=(EventType.LOG_EXPORTED,))
    assert [e.event_id for e in eventful.audit.list(exported, UDO).events] == [manifest.event.event_id]
    assert eventful.audit.list(exported, ADA).events == ()


@pytest.mark.parametrize("workspace", ["w2", "nowhere"])
def test_an_export_of_a_workspace_that_its_exporter_does_not_audit_is_empty_and_no_event_of_that_workspace(
    eventful, tmp_path, workspace
):
    """Nobody writes into the log of a workspace that is not theirs; on a server the rows' own guard refuses it."""
    file, manifest = take(eventful, tmp_path, workspace=workspace)
    assert (file.read_bytes(), manifest.count, manifest.query.workspace) == (b"", 0, workspace)
    event = log(eventful)[-1]
    assert (event.type, event.entry["ws"], event.entry["env"]) == ("audit.exported", None, None)


def test_progress_is_told_with_every_event_and_ends_with_the_count(eventful, tmp_path):
    told = []
    manifest = eventful.audit.export(Export(file=str(tmp_path / "out")), UDO, lambda *progress: told.append(progress))
    assert [count for _, _, count in told] == [*range(1, manifest.count + 1)]
    assert all(reached <= end for reached, end, _ in told)
