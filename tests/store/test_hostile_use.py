"""What a careless or hostile user of the ledger tries: bypasses, poison values, swallowed rows, forged rows, odd input."""

from __future__ import annotations

import pytest
import structlog

from proofgap.access import Role
from proofgap.audit import Actor
from proofgap.errors import BadInputError, ForbiddenError, GuardRefusedError, NotFoundError, ProofgapError
from proofgap.facts import Counts, ItemResult, RunEvent, SnapshotEvent
from proofgap.records import Item, PreviewFacts, RunDetails, SnapshotDetails
from proofgap_store import Ledger, NewRun, Query
from tests.conformance.faults import Plan, armed, broken, count, expose, interrupted
from tests.conformance.lives import (
    ADA,
    HOME,
    OLGA,
    VERA,
    facts,
    fire,
    lines,
    live,
    open_scope,
    operation,
    prove,
    settle,
    tables,
)
from tests.store.raw import connect, refused

EVE = Actor(id="eve")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path):
    with Ledger.open(f"sqlite:///{path}", owner=ADA.id, synchronous="NORMAL") as opened:
        yield settle(opened)


def test_an_approval_of_one_plan_does_not_release_another_plan_that_was_previewed_afterwards(ledger):
    ledger.access.declare_environment(HOME, ADA, approvals_required=1)
    run_id = live(ledger, "scoped")
    ledger.fire(run_id, RunEvent.CHECK, ADA, given=RunDetails(plan_digest="A"))
    fire(ledger, run_id, "preview")
    ledger.fire(run_id, RunEvent.APPROVE, OLGA)
    ledger.fire(run_id, RunEvent.PREVIEW, ADA, given=RunDetails(preview=PreviewFacts(plan_digest="B")))
    with pytest.raises(GuardRefusedError):
        ledger.fire(run_id, RunEvent.QUEUE, ADA, given=RunDetails(plan_digest="B"))


POISON = {
    "selected": ("draft", "scope", RunDetails(selected=-1)),
    "selected as text": ("draft", "scope", RunDetails(selected="3")),
    "counts": ("running", "complete", RunDetails(counts=Counts(total=-1))),
    "counts, half": ("running", "complete", RunDetails(counts=Counts(total=1.5))),
    "a status in place of a fact": ("running", "fail", RunDetails(end_reason="because")),
    "nan": ("running", "complete", RunDetails(exit_code=float("nan"))),
    "beyond 2**53": ("running", "complete", RunDetails(exit_code=2**60)),
    "a NUL in a text": ("draft", "scope", RunDetails(backup="a\0b")),
}


@pytest.mark.parametrize(("status", "event", "given"), POISON.values(), ids=POISON)
def test_a_value_that_cannot_be_read_back_is_refused_where_it_enters(ledger, status, event, given):
    run_id = live(ledger, status)
    before = tables(ledger)
    with pytest.raises(BadInputError):
        ledger.fire(run_id, RunEvent(event), ADA, given=given)
    assert tables(ledger) == before
    assert ledger.list_runs(ADA.id, ADA).rows


def test_a_new_run_with_a_value_that_cannot_be_read_back_is_refused(ledger):
    with pytest.raises(BadInputError):
        ledger.create(NewRun(details=RunDetails(counts=Counts(total=-5))), ADA)


def test_evidence_and_items_with_such_values_are_refused_too(ledger):
    run_id = live(ledger, "running")
    with pytest.raises(BadInputError):
        ledger.fire(run_id, RunEvent.REPORT, ADA, items=[Item(key="a", result=ItemResult.FAILED, bytes=-1)])
    fire(ledger, run_id, "complete")
    snapshot = ledger.begin_evidence(run_id, ADA).subject
    with pytest.raises(BadInputError):
        ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, ADA, given=SnapshotDetails(checks_total=-1))


SWALLOWED = {
    "restore_run insert": ("BEFORE INSERT", "restore_run", lambda ledger, r: ledger.create(NewRun(), ADA)),
    "receipt insert": ("BEFORE INSERT", "receipt", lambda ledger, r: ledger.fire(r, RunEvent.COMPLETE, ADA, key="k")),
    "result_item insert": (
        "BEFORE INSERT",
        "result_item",
        lambda ledger, r: ledger.fire(r, RunEvent.REPORT, ADA, items=[Item(key="a", result=ItemResult.FAILED)]),
    ),
    "access_grant insert": (
        "BEFORE INSERT",
        "access_grant",
        lambda ledger, r: ledger.access.grant("sam", "viewer", HOME, ADA),
    ),
    "environment insert": (
        "BEFORE INSERT",
        "environment",
        lambda ledger, r: ledger.access.declare_environment(("default", "e2"), ADA),
    ),
    "access_grant update": (
        "BEFORE UPDATE",
        "access_grant",
        lambda ledger, r: ledger.access.grant("vera", "viewer", HOME, ADA, revoke=True),
    ),
    "environment update": (
        "BEFORE UPDATE",
        "environment",
        lambda ledger, r: ledger.access.declare_environment(HOME, ADA, approvals_required=2),
    ),
    "audit_stream update": (
        "BEFORE UPDATE",
        "audit_stream",
        lambda ledger, r: ledger.access.grant("sam", "viewer", HOME, ADA),
    ),
    "restore_run update": ("BEFORE UPDATE", "restore_run", lambda ledger, r: ledger.fire(r, RunEvent.COMPLETE, ADA)),
    "operation_run update": (
        "BEFORE UPDATE",
        "operation_run",
        lambda ledger, r: ledger.fire(r, RunEvent.COMPLETE, ADA),
    ),
    "operation_run insert": (
        "BEFORE INSERT",
        "operation_run",
        lambda ledger, r: ledger.fire(live(ledger, "previewed"), RunEvent.QUEUE, ADA),
    ),
}


@pytest.mark.parametrize(("when", "table", "write"), SWALLOWED.values(), ids=SWALLOWED)
def test_a_table_that_swallows_a_row_makes_the_write_fail(ledger, path, when, table, write):
    run_id = live(ledger, "running")
    connection = connect(path)
    connection.execute(f"CREATE TRIGGER zz {when} ON {table} BEGIN SELECT RAISE(IGNORE); END")
    with pytest.raises(ProofgapError):
        write(ledger, run_id)


@pytest.mark.parametrize("when", ["BEFORE INSERT", "BEFORE UPDATE"])
def test_evidence_that_swallows_a_row_makes_the_write_fail(ledger, path, when):
    run_id = live(ledger)
    snapshot = ledger.begin_evidence(run_id, ADA).subject
    connect(path).execute(f"CREATE TRIGGER zz {when} ON evidence_snapshot BEGIN SELECT RAISE(IGNORE); END")
    with pytest.raises(ProofgapError):
        ledger.begin_evidence(run_id, ADA) if when == "BEFORE INSERT" else ledger.fire_evidence(
            snapshot, SnapshotEvent.GENERATE, ADA
        )


@pytest.mark.parametrize("fault", [broken, interrupted])
@pytest.mark.parametrize(("verb", "side"), [("BEGIN", "after"), ("ROLLBACK", "before")])
def test_a_connection_with_an_open_transaction_never_comes_back_to_the_pool(ledger, fault, verb, side):
    exposed, run_id = expose(ledger), live(ledger, "draft")

    def refusal():
        with pytest.raises(ProofgapError):
            exposed.fire(run_id, RunEvent.START, ADA)

    for number in [n for n, found in enumerate(count(refusal)) if found == verb]:
        with pytest.raises(BaseException):  # noqa: B017, PT011 - whichever fault was planted
            armed(Plan(number, side, fault), lambda: exposed.fire(run_id, RunEvent.START, ADA))
        assert exposed.fire(run_id, RunEvent.SCOPE, ADA).status == "scoped"


def test_a_revoked_role_does_not_come_back_by_pointing_to_the_event_that_gave_it(ledger, path):
    given = ledger.access.grant("sam", "admin", HOME, ADA)
    ledger.access.grant("sam", "admin", HOME, ADA, revoke=True)
    statement = "UPDATE access_grant SET active = 1, last_event_id = ? WHERE principal = 'sam'"
    assert refused(connect(path), statement, given) is not None


def test_fewer_approvals_do_not_come_back_by_pointing_to_an_older_declaration(ledger, path):
    ledger.access.declare_environment(HOME, ADA, approvals_required=2)
    statement = "UPDATE environment SET approvals_required = 0, last_event_id = (SELECT min(event_id) FROM audit_event WHERE type = 'environment.declared')"
    assert refused(connect(path), statement) is not None


def test_the_head_of_a_stream_never_goes_back(ledger, path):
    stream = f"run/{live(ledger)}"
    statement = "UPDATE audit_stream SET (seq, head, last_event_id) = (SELECT seq, leaf, event_id FROM audit_event WHERE stream = ?1 AND seq = 0) WHERE stream = ?1"
    assert refused(connect(path), statement, stream) is not None


def test_a_foreign_guard_is_named_whatever_it_is_called(ledger, path):
    connect(path).execute("CREATE TRIGGER sqlitex BEFORE INSERT ON receipt BEGIN SELECT RAISE(IGNORE); END")
    assert ledger.diagnose().foreign_guards == ("sqlitex",)


@pytest.mark.parametrize(
    "verb",
    [lambda ledger, s: ledger.fire_evidence(s, SnapshotEvent.EXPIRE, EVE), lambda ledger, s: ledger.checks(s, EVE.id)],
    ids=["fire", "checks"],
)
def test_a_foreign_snapshot_answers_exactly_like_an_unknown_one(ledger, verb):
    answers = []
    for snapshot in (prove(ledger, live(ledger)), "ev_NONE"):
        with pytest.raises(NotFoundError) as caught:
            verb(ledger, snapshot)
        answers.append(str(caught.value).replace(snapshot, "ID"))
    assert answers[0] == answers[1]


def test_an_import_does_not_tell_strangers_which_ids_exist(ledger):
    open_scope(ledger, ("w2", "e2"), EVE)
    foreign = live(ledger, "draft")
    with pytest.raises(BadInputError) as caught:
        ledger.import_facts(lines(facts(foreign, scope=("w2", "e2"))), EVE)
    assert "is a native run" not in str(caught.value)


def test_an_import_by_somebody_without_the_role_is_refused_before_it_says_what_is_there(ledger):
    taken = lines(facts("x1"))
    ledger.import_facts(taken, ADA)
    with pytest.raises(ProofgapError):
        ledger.import_facts(taken, EVE)


def test_a_viewer_is_handed_no_operation_run_and_no_evidence(ledger):
    run_id = live(ledger)
    prove(ledger, run_id)
    shown = ledger.show(run_id, VERA.id, VERA)
    assert (shown.record.operation, shown.record.evidence) == (None, ())


def test_an_admin_can_give_a_role_in_all_environments_of_a_workspace(ledger):
    assert ledger.access.grant("sam", Role.VIEWER, ("default", "*"), ADA) > 0


def test_an_empty_report_counts_nothing_so_the_workers_counts_stand(ledger):
    run_id = live(ledger, "running")
    ledger.fire(run_id, RunEvent.REPORT, ADA)
    decision = ledger.fire(
        run_id, RunEvent.COMPLETE, ADA, given=RunDetails(counts=Counts(total=48, succeeded=48))
    ).decision
    assert decision.result_summary.counts.total == 48


def test_a_new_run_takes_no_results_that_only_an_execution_can_have(ledger):
    with pytest.raises(BadInputError):
        ledger.create(NewRun(details=RunDetails(item_counts=Counts(total=48, succeeded=48), items=48)), ADA)


def test_an_imported_run_does_not_move_the_operation_run_of_a_native_one(ledger):
    run_id = live(ledger, "running")
    native = ledger.show(run_id, ADA.id, ADA).record.operation
    claimed = operation(native.id, "running", None)
    try:
        ledger.import_facts(lines(facts("x1", "running", claimed)), ADA)
        ledger.fire("x1", RunEvent.FAIL, ADA)
    except ProofgapError:
        pass
    assert ledger.show(run_id, ADA.id, ADA).decision.state == "in_progress"


def test_two_lines_may_share_one_operation_object(ledger):
    shared = operation()
    assert (
        ledger.import_facts(lines(facts("x1", "completed", shared), facts("x2", "completed", shared)), ADA).imported
        == 2
    )


@pytest.mark.parametrize("time", [-1, 1.5, True, 2**70, 10**18])
def test_a_capture_that_is_no_time_or_lies_in_the_future_is_refused(ledger, time):
    run_id = live(ledger)
    with pytest.raises(BadInputError):
        ledger.begin_evidence(run_id, ADA, captured_at_us=time)


def test_a_capture_at_the_beginning_of_time_is_a_time_and_too_early(ledger):
    run_id = live(ledger)
    with pytest.raises(GuardRefusedError):
        ledger.begin_evidence(run_id, ADA, captured_at_us=0)


ODD = {
    "a place far beyond": lambda ledger: ledger.list_runs(ADA.id, ADA, Query(after="9" * 30 + ":x")),
    "a lone surrogate": lambda ledger: ledger.show("\ud800", ADA.id, ADA),
    "a member of the machine as an event": lambda ledger: ledger.fire(live(ledger, "draft"), "completed", ADA),
    "another driver": lambda ledger: Ledger.open("sqlite+nothing://x"),
}


@pytest.mark.parametrize("ask", ODD.values(), ids=ODD)
def test_odd_input_gets_an_error_of_ours(ledger, ask):
    with pytest.raises(ProofgapError):
        ask(ledger)


def test_a_log_line_that_cannot_be_rendered_is_lost_and_counted(ledger):
    class Stream:
        def write(self, _text):
            raise RuntimeError("reentrant call")

        def flush(self):
            return None

    structlog.configure(
        processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.WriteLoggerFactory(Stream())
    )
    try:
        assert ledger.create(NewRun(), ADA).status == "draft"
    finally:
        structlog.reset_defaults()
    assert ledger.diagnose().log_failures == 2


def test_an_operator_asks_a_run_that_executes_to_stop_and_cannot_end_it(ledger):
    run_id = live(ledger, "running")
    with pytest.raises(ForbiddenError):
        ledger.fire(run_id, RunEvent.CANCEL, OLGA, given=RunDetails(nothing_written=True))
    assert ledger.fire(run_id, RunEvent.REQUEST_CANCEL, OLGA).status == "running"


def test_the_last_admin_of_a_workspace_stays_one(ledger):
    with pytest.raises(BadInputError, match="last admin"):
        ledger.access.grant(ADA.id, Role.ADMIN, HOME, ADA, revoke=True)
