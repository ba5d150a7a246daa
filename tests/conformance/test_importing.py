"""Records of other systems: all of a file or none of it, never twice, never over what is there, no link on trust."""

from __future__ import annotations

from hashlib import sha256

import pytest
from msgspec.structs import replace

from proofgap.errors import BadInputError, ForbiddenError, GuardRefusedError, NotFoundError
from proofgap.facts import Attention, Counts, RunEvent, SnapshotEvent
from proofgap_store import ImportResult, NewRun
from tests.conformance.lives import (
    ADA,
    OLGA,
    PATHS,
    SAM,
    VERA,
    chain_faults,
    denials_beside,
    facts,
    last,
    lines,
    live,
    log,
    log_since,
    open_scope,
    operation,
    snapshot,
    tables,
)

OTHER = ("default", "second")


def shown(ledger, run_id, actor=ADA):
    """Give a run and what its viewer is told."""
    found = ledger.show(run_id, actor.id, actor)
    return found.record, found.decision


@pytest.mark.parametrize("status", PATHS)
def test_a_run_of_any_status_is_taken_in_as_it_is_and_begins_its_log_with_the_digest_of_its_line(ledger, status):
    taken = lines(facts("x1", status, counts=Counts(total=4, skipped=1), attention=Attention.PARTIAL))
    before = last(ledger)
    assert ledger.import_facts(taken, ADA) == ImportResult(imported=1, unchanged=0, conflicts=0)
    first, projection = log_since(ledger, before)
    assert (first.type, first.entry["seq"], first.entry["stream"]) == ("restore.run.imported", 0, "run/x1")
    assert first.data["line_digest"] == sha256(taken[0][1]).hexdigest()
    assert (projection.type, projection.data["trigger"]) == ("restore.decision.projected", "import")
    record, _ = shown(ledger, "x1")
    assert (record.status, record.version, record.details.counts) == (status, 1, Counts(total=4, skipped=1))
    assert record.details.attention == Attention.PARTIAL


def test_an_imported_run_comes_with_its_operation_run_and_its_evidence(ledger):
    ledger.import_facts(lines(facts("x1", "completed", operation(), snapshot())), ADA)
    record, decision = shown(ledger, "x1")
    assert (record.operation.id, record.operation.outcome) == ("o1", "succeeded")
    assert (decision.state, decision.evidence.snapshot_id) == ("completed_with_evidence", "s1")
    assert shown(ledger, "x1", VERA)[1].state == "completed_proof_incomplete"


MANY = (facts("x1", "completed", operation(), snapshot()), facts("x2", "failed"), facts("x3", "draft"))


def test_a_second_import_of_the_same_file_changes_nothing(ledger):
    assert ledger.import_facts(lines(*MANY), ADA) == ImportResult(imported=3, unchanged=0, conflicts=0)
    before = tables(ledger)
    assert ledger.import_facts(lines(*MANY), ADA) == ImportResult(imported=0, unchanged=3, conflicts=0)
    assert tables(ledger) == before


def test_a_longer_file_adds_only_what_is_new_and_a_repeated_line_counts_once(ledger):
    ledger.import_facts(lines(MANY[0]), ADA)
    result = ledger.import_facts(lines(*MANY, MANY[1]), ADA)
    assert result == ImportResult(imported=2, unchanged=2, conflicts=0)


def test_an_empty_file_is_no_error_and_writes_nothing(ledger):
    before = tables(ledger)
    assert ledger.import_facts([], ADA) == ImportResult(imported=0, unchanged=0, conflicts=0)
    assert tables(ledger) == before


BAD_LINES = {
    "other facts of a run in the same file": (facts("x1", "failed"), "run.id"),
    "a run without a workspace": (replace(MANY[2], run=replace(MANY[2].run, workspace=None, id="x9")), "run.workspace"),
    "a run without an environment": (
        replace(MANY[2], run=replace(MANY[2].run, environment=None, id="x9")), "run.environment",
    ),
    "other facts of an operation run": (facts("x9", "completed", operation("o1", outcome="failed")), "operation.id"),
    "other facts of a snapshot": (
        facts("x9", "completed", operation("o1"), snapshot("s1", status="expired")), "evidence.id",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("bad", "field"), BAD_LINES.values(), ids=BAD_LINES)
def test_one_bad_line_and_nothing_of_the_file_is_stored(ledger, bad, field):
    before = tables(ledger)
    with pytest.raises(BadInputError) as caught:
        ledger.import_facts(lines(*MANY, bad), ADA)
    assert caught.value.field == f"line 4: {field}"
    assert tables(ledger) == before


def test_an_imported_run_is_never_overwritten_by_other_facts(ledger):
    ledger.import_facts(lines(*MANY), ADA)
    before = tables(ledger)
    with pytest.raises(BadInputError, match="was imported with other facts"):
        ledger.import_facts(lines(facts("x2", "completed")), ADA)
    assert tables(ledger) == before


def test_a_native_run_is_never_overwritten(ledger):
    run_id = live(ledger, "running")
    before = tables(ledger)
    with pytest.raises(BadInputError, match="is a native run"):
        ledger.import_facts(lines(facts("x1"), facts(run_id, "failed")), ADA)
    assert tables(ledger) == before


DANGLING = {
    "an operation run that does not exist": (facts("x1", operation_run_id="o9"), "operation_run", "o9"),
    "an operation run of another environment": (
        facts("x1", "completed", operation(scope=OTHER)), "operation_run", "o1",
    ),
    "an operation run of another workspace": (
        facts("x1", "completed", operation(scope=("w9", "local"))), "operation_run", "o1",
    ),
    "an operation run that the run does not name": (
        facts("x1", "completed", operation("o2"), operation_run_id="o1"), "operation_run", "o1",
    ),
    "evidence of another operation run": (
        facts("x1", "completed", operation(), snapshot("s1", "o2")), "evidence_snapshot", "s1",
    ),
    "evidence of another environment": (
        facts("x1", "completed", operation(), snapshot(scope=OTHER)), "evidence_snapshot", "s1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("record", "kind", "link"), DANGLING.values(), ids=DANGLING)
def test_a_link_that_leads_nowhere_is_kept_as_text_counts_as_none_and_is_recorded(ledger, record, kind, link):
    assert ledger.import_facts(lines(record), ADA) == ImportResult(imported=1, unchanged=0, conflicts=1)
    (conflict,) = [event for event in log(ledger) if event.type == "restore.link.conflicted"]
    assert (conflict.data["kind"], conflict.data["link"], conflict.data["counts_as"]) == (kind, link, "no link")
    stored, decision = shown(ledger, "x1")
    assert (stored.evidence, decision.state) == ((), "completed_proof_incomplete")
    linked = kind == "evidence_snapshot"
    assert (stored.operation is not None) is linked
    (row,) = tables(ledger)["restore_run"]
    assert (row["operation_run_id"], row["operation_run_ref"]) == (("o1", None) if linked else (None, link))


@pytest.mark.parametrize("record", [record for record, _, _ in DANGLING.values()], ids=DANGLING)
def test_the_decision_at_the_import_is_the_one_that_is_shown_afterwards(ledger, record):
    ledger.import_facts(lines(record), ADA)
    projected = log(ledger)[-1].data["decision"]
    decision = shown(ledger, "x1")[1]
    assert (projected["state"], projected["rule"]) == (decision.state, decision.rule)
    assert projected["operation_proof"]["state"] == decision.operation_proof.state


def test_two_runs_may_name_the_same_operation_run_with_the_same_facts(ledger):
    two = lines(facts("x1", "completed", operation()), facts("x2", "completed", operation()))
    assert ledger.import_facts(two, ADA) == ImportResult(imported=2, unchanged=0, conflicts=0)
    assert {shown(ledger, run_id)[0].operation.id for run_id in ("x1", "x2")} == {"o1"}


def test_a_workspace_that_nobody_has_comes_into_being_with_the_importer_as_its_admin(ledger):
    ledger.import_facts(lines(facts("x1", scope=("w2", "e2"))), ADA)
    assert ledger.access.grant("vera", "viewer", ("w2", "e2"), ADA) > 0
    assert shown(ledger, "x1", VERA)[0].workspace == "w2"
    declared = [event.entry["ws"] for event in log(ledger) if event.type == "environment.declared"]
    assert declared == ["default", "w2"]


@pytest.mark.parametrize("scope", [OTHER, ("w2", "e2")])
def test_whoever_is_admin_nowhere_opens_no_environment_by_an_import_or_otherwise(ledger, scope):
    before = tables(ledger)
    for actor in (OLGA, SAM):
        for open_it in (
            lambda: ledger.import_facts(lines(facts("x1", scope=scope)), actor),  # noqa: B023 - called at once
            lambda: ledger.access.declare_environment(scope, actor),  # noqa: B023 - called at once
        ):
            with pytest.raises((ForbiddenError, NotFoundError)):
                open_it()
    assert denials_beside(ledger, before) in ([], [(OLGA.id, "environment", "/".join(scope))] * 2)


def test_a_new_environment_is_declared_by_an_admin_of_its_workspace_who_is_its_first_admin(ledger):
    ledger.access.declare_environment(OTHER, ADA, approvals_required=1)
    assert ledger.create(NewRun(environment="second"), ADA).status == "draft"
    open_scope(ledger, ("w2", "e2"), SAM)
    with pytest.raises(NotFoundError):
        ledger.access.declare_environment(("w2", "e3"), ADA)
    ledger.access.declare_environment(("w2", "e3"), SAM)
    assert ledger.access.grant("vera", "viewer", ("w2", "e3"), SAM) > 0


def test_an_imported_run_never_moves_here_and_takes_no_evidence_but_can_be_retried(ledger):
    ledger.import_facts(lines(facts("x1", "running", operation("o1", "running", None)), facts("x2", "completed")), ADA)
    for run_id, event in (("x1", RunEvent.COMPLETE), ("x2", RunEvent.SCOPE)):
        with pytest.raises(GuardRefusedError, match="imported records never move"):
            ledger.fire(run_id, event, ADA)
    with pytest.raises(GuardRefusedError, match="imported records never move"):
        ledger.begin_evidence("x2", ADA)
    again = ledger.retry("x2", ADA)
    assert ledger.peek(again.run_id, ADA).details.retry_of == "x2"
    assert chain_faults(log(ledger)) == []


def test_runs_of_one_operation_run_bring_the_same_evidence_or_the_file_is_refused(ledger):
    alone, proven = facts("x1", "completed", operation()), facts("x2", "completed", operation(), snapshot())
    before = tables(ledger)
    with pytest.raises(BadInputError, match="differs from that of another run"):
        ledger.import_facts(lines(alone, proven), ADA)
    assert tables(ledger) == before
    ledger.import_facts(lines(alone), ADA)
    with pytest.raises(BadInputError, match="differs from that of another run"):
        ledger.import_facts(lines(proven), ADA)


@pytest.mark.parametrize("name", ["*"])
def test_all_environments_are_no_environment_to_import_into(ledger, name):
    with pytest.raises(BadInputError, match="means all environments"):
        ledger.import_facts(lines(facts("x1", "draft", scope=("default", name))), ADA)


@pytest.mark.parametrize(
    ("status", "event"),
    [("queued", "generate"), ("generating", "activate"), ("generating", "fail"), ("active", "supersede"), ("active", "expire")],
)  # fmt: skip
def test_evidence_of_an_imported_run_stays_as_it_came_and_the_attempt_is_recorded(ledger, status, event):
    ledger.import_facts(lines(facts("x1", "completed", operation(), snapshot(status=status))), ADA)
    before = tables(ledger)
    with pytest.raises(GuardRefusedError, match="imported records never move") as caught:
        ledger.fire_evidence("s1", SnapshotEvent(event), ADA)
    assert (caught.value.guard, caught.value.allowed) == ("is_native", ())
    after = tables(ledger)
    assert after["evidence_snapshot"] == before["evidence_snapshot"]
    (refusal,) = log(ledger)[len(before["audit_event"]) :]
    assert (refusal.type, refusal.data["subject"], refusal.data["guard"], refusal.data["source"]) == (
        "restore.run.transition_refused", "s1", "is_native", status,
    )  # fmt: skip


def test_what_is_shown_of_an_imported_run_was_said_before_whatever_its_links_were(ledger):
    links = (operation(), snapshot("s3"), snapshot("s1"), snapshot("s2", "o9"), snapshot("s4", scope=("w9", "e9")))
    ledger.import_facts(
        lines(facts("x1", "completed", *links), facts("x2", "failed", operation("o2", scope=("w9", "e9")))), ADA
    )
    for run in ("x1", "x2"):
        shown = ledger.show(run, ADA.id, ADA)
        (said,) = [row.entry["data"] for row in ledger.history(run, ADA.id) if row.entry["type"].endswith("projected")][
            :1
        ]
        assert said["facts_digest"] == shown.facts_digest
    ledger.list_runs(ADA.id, ADA)
    assert (ledger.verify().verdict, ledger.verify().counts) == ("OK", {})
