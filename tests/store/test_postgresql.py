"""What only PostgreSQL does: its guards against everybody up to the superuser, its races, its catalogs."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext

import psycopg
import pytest
from sqlalchemy import event

from proofgap.access import Role
from proofgap.audit import EventType
from proofgap.errors import BadInputError, ForbiddenError, NotFoundError
from proofgap.facts import RunEvent
from proofgap_store import (
    Anchors,
    Depth,
    GuardsError,
    HoldOn,
    Ledger,
    NewRun,
    NewWorker,
    PruneOrder,
    UnavailableError,
    gate,
    tree,
    upgrade,
    verify_file,
)
from proofgap_store.audit_log import Draft, alone
from proofgap_store.clock import now_us
from proofgap_store.engine import (
    RefusedByDatabaseError,
    connected,
    make_engine,
    shown_address,
    together,
    transaction,
)
from proofgap_store.migrations.scripts import statements
from proofgap_store.postgresql import translated
from proofgap_store.schema import REVISION
from tests import postgresql
from tests.conformance.faults import Plan, armed, expose, outpaced
from tests.conformance.lives import ADA, HOME, OLGA, SAM, WIM, chain_faults, live, log, prove, settle, tables
from tests.conformance.tampering import unguarded

GUARDED = sorted(
    {
        line.split(" ")[2].removesuffix("_is_never_emptied")
        for line in max(postgresql.recorded_files()).read_text("utf-8").splitlines()
        if line.endswith("_is_never_emptied")
    }
)
FOREIGN_FUNCTION = "CREATE FUNCTION public.zz() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
FOREIGN = {
    "a trigger": (
        (FOREIGN_FUNCTION, "CREATE TRIGGER zz BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION public.zz()"),
        "foreign: zz on audit_event",
    ),
    "a rule": (("CREATE RULE zz AS ON INSERT TO audit_event DO INSTEAD NOTHING",), "foreign: zz on audit_event"),
    "a function": (("CREATE FUNCTION zz() RETURNS int LANGUAGE sql AS 'SELECT 1'",), r"foreign: zz\(\)"),
    "a guard dropped": (("DROP TRIGGER receipt_is_never_deleted ON receipt",), "changed: receipt_is_never_deleted"),
    "a guard switched off": (
        ("ALTER TABLE receipt DISABLE TRIGGER receipt_is_never_deleted",),
        "changed: receipt_is_never_deleted",
    ),
    "a guard that replicas pass": (
        ("ALTER TABLE receipt ENABLE TRIGGER receipt_is_never_deleted",),
        "changed: receipt_is_never_deleted",
    ),
    "a function replaced": (
        ("CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",),
        r"changed: refuse\(\)",
    ),
    "a function dropped that a later migration made anew": (
        ("DROP FUNCTION names_a_key_twice(json)",),
        r"changed: names_a_key_twice\(json\)",
    ),
}
"""Table: what was done to the schema, and how it is named; each of these can be put right."""


@pytest.fixture
def url():
    """A database with the schema of a ledger."""
    with postgresql.database() as made:
        yield made


@pytest.fixture
def opening(url, tmp_path):
    """Give a way to open the ledger, as often as wanted."""

    def open_again(**more) -> Ledger:
        files = {"key": tmp_path / "key", "head": tmp_path / "head"}
        return Ledger.open(url, owner=ADA.id, synchronous="NORMAL", **files | more)

    return open_again


@pytest.fixture
def ledger(opening):
    """A new ledger, with everybody in their role."""
    with opening() as opened:
        yield settle(opened)


@pytest.fixture
def outside(url, ledger):
    """A connection of the superuser, past the ledger."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("SET search_path = proofgap, pg_temp")
        yield connection


def found_in(url, **depth):
    """Verify a ledger, and give the codes of what is found."""
    return set(verify_file(url, Anchors(), Depth(now_us=now_us(), **depth)).counts)


def denial(ledger):
    """Give payload and leaf of an event that the log would take next in its stream of denials."""
    with connected(ledger._gate.engine) as connection, transaction(connection, writes=False):
        draft = Draft(
            EventType.ACCESS_DENIED, None, None, None, None, {"action": "audit", "kind": None, "subject": None}
        )
        (event,) = alone(connection, "system/access", draft, SAM, now_us())
    return event.payload, event.leaf


# The guards


@pytest.mark.parametrize("table", GUARDED)
@pytest.mark.parametrize("statement", ["TRUNCATE {} CASCADE", "DELETE FROM {}", "UPDATE {0} SET {1} = {1}"])
def test_the_superuser_empties_and_changes_no_table_not_even_as_a_replica(ledger, outside, table, statement):
    prove(ledger, live(ledger))
    ledger.audit.checkpoint()
    ledger.create(NewRun(), OLGA, key="k1")
    ledger.audit.hold(HoldOn(workspace=HOME[0]), "case-1", ADA)
    before = tables(ledger)
    (column,) = outside.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1", (table,)
    ).fetchone()
    outside.execute("SET session_replication_role = replica")
    if outside.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,) and "TRUNCATE" not in statement:  # noqa: S608 - names only
        assert outside.execute(statement.format(table, column)).rowcount == 0
    else:
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="proofgap: "):
            outside.execute(statement.format(table, column))
    assert tables(ledger) == before


@pytest.mark.parametrize(("done", "named"), FOREIGN.values(), ids=FOREIGN)
def test_what_was_done_to_the_guards_is_named_stops_every_write_and_is_put_right_by_a_declaration(
    ledger, outside, url, done, named
):
    run_id = live(ledger, "running")
    ledger.audit.checkpoint()
    for statement in done:
        outside.execute(statement)
    before = tables(ledger)
    with pytest.raises(GuardsError, match=named):
        ledger.fire(run_id, RunEvent.COMPLETE, ADA)
    assert tables(ledger) == before
    assert found_in(url) & {"GUARD_MISSING", "GUARD_FOREIGN"}
    assert ledger.audit.declare_gap("a test of the guards", ADA).event_id
    assert (ledger.diagnose().missing_guards, ledger.diagnose().foreign_guards) == ((), ())
    assert ledger.fire(run_id, RunEvent.COMPLETE, ADA).status == "completed"


def test_a_table_that_inherits_from_the_log_is_named_and_cannot_be_put_right(ledger, outside):
    outside.execute("CREATE TABLE public.zz () INHERITS (audit_event)")
    assert ledger.diagnose().missing_guards == ("audit_event",)
    with pytest.raises(UnavailableError, match="its tables are not those that were made: audit_event"):
        ledger.audit.declare_gap("a test of the guards", ADA)


def test_another_view_of_what_may_be_pruned_is_named_and_cannot_be_put_right(ledger, outside):
    outside.execute(
        "CREATE OR REPLACE VIEW audit_tombstone AS SELECT l.idx, l.event_id, tombstone(e) AS tombstone "
        "FROM audit_leaf AS l JOIN audit_event AS e ON e.event_id = l.event_id"
    )
    assert ledger.diagnose().missing_guards == ("audit_tombstone",)
    with pytest.raises(UnavailableError, match="its tables are not those that were made: audit_tombstone"):
        ledger.audit.declare_gap("a test of the guards", ADA)


def test_temporary_tables_of_the_same_names_deceive_no_guard(ledger, outside):
    live(ledger)
    outside.execute("CREATE TEMP TABLE audit_event (event_id bigint, type text)")
    outside.execute("CREATE TEMP TABLE audit_stream (stream text)")
    outside.execute("SET search_path = pg_temp, proofgap")
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="through the log only"):
        outside.execute("UPDATE proofgap.restore_run SET status = 'running', version = version + 1")


@pytest.mark.parametrize(
    ("number", "payload", "reason"),
    [
        ("7", "{}", "event_id is given by the database"),
        (None, "no JSON", "invalid input syntax for type json"),
        (None, "{}", "null value in column"),
    ],
)
def test_an_event_of_no_form_is_refused(ledger, outside, number, payload, reason):
    before = tables(ledger)
    with pytest.raises(psycopg.Error, match=reason):
        outside.execute(
            "INSERT INTO audit_event (event_id, payload, leaf) VALUES (%s, %s, %s)", (number, payload, "0" * 64)
        )
    assert tables(ledger) == before


@pytest.mark.parametrize("change", ['{"actor": ', '{"actor":{},"actor":'])
def test_an_event_that_is_not_canonical_is_refused(ledger, outside, change):
    last = log(ledger)[-1].payload
    with pytest.raises(psycopg.Error, match=r"not in canonical form|there already|duplicate key"):
        outside.execute(
            "INSERT INTO audit_event (payload, leaf) VALUES (%s, %s)",
            (last.replace('{"actor":', change, 1).replace('"id":"0', '"id":"1').replace('"seq":', '"seq":9'), "0" * 64),
        )


# Races


def test_writers_on_the_same_run_take_turns_and_no_event_is_lost(ledger, opening):
    run_id = live(ledger, "running")

    def look(_number):
        with opening() as mine:
            for _ in range(5):
                mine.show(run_id, OLGA.id, OLGA)

    before = len(log(ledger))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, range(4)))
    assert len(log(ledger)) == before + 20
    assert chain_faults(log(ledger)) == []


def test_of_many_who_fire_the_same_event_one_wins_and_the_others_are_refused(ledger, opening):
    run_id = live(ledger, "running")

    def complete(_number):
        with opening() as mine:
            try:
                return mine.fire(run_id, RunEvent.COMPLETE, ADA).status
            except Exception as error:  # noqa: BLE001 - its kind is what is looked at
                return type(error).__name__

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(complete, range(4))) == ["NotAllowedError"] * 3 + ["completed"]
    assert ledger.peek(run_id, ADA).version == 7


def test_one_key_from_many_at_once_is_one_run_and_the_same_receipt(ledger, opening):
    def create(_number):
        with opening() as mine:
            return mine.create(NewRun(), OLGA, key="only-one").run_id

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(create, range(4)))) == 1
    assert len(ledger.list_runs(OLGA.id, OLGA).rows) == 1


def test_an_event_that_is_numbered_earlier_and_committed_later_gets_its_leaf_in_order(ledger, url, opening):
    """The sequencer goes up to whoever has a number and is not through yet, and waits for nobody."""
    signed = ledger.audit.checkpoint().size
    with opening() as slow, closing(psycopg.connect(url)) as held:
        held.execute("SET search_path = proofgap")
        held.execute("SET proofgap.reader = '*'")
        text, leaf = denial(ledger)
        held.execute("INSERT INTO audit_event (payload, leaf) VALUES (%s, %s)", (text, leaf))
        live(slow, "draft")
        assert ledger.audit.checkpoint().size == signed
        held.commit()
        assert ledger.audit.checkpoint().size == len(log(ledger)) == signed + 3
    assert found_in(url) == set()


def test_a_tail_gives_nothing_beyond_a_write_that_is_under_way(ledger, url, monkeypatch):
    """Else whoever goes on after the last event that was given would never see the earlier one."""
    seen = log(ledger)[-1].event_id
    monkeypatch.setattr(tree, "settled", lambda _connection: seen)  # as if a number after it was still under way
    live(ledger, "draft")
    assert ledger.audit.tail(seen, ADA) == ()
    monkeypatch.undo()
    assert [event.event_id for event in ledger.audit.tail(seen, ADA)] == [e.event_id for e in log(ledger)[-2:]]


def test_a_writer_that_is_stuck_stops_nobody(ledger, url):
    """Neither those who write, nor the sequencer, nor whoever follows the log: they go as far as is safe."""
    signed, seen = ledger.audit.checkpoint(), log(ledger)[-1].event_id
    with closing(psycopg.connect(url)) as held:
        held.execute("SET search_path = proofgap")
        held.execute("INSERT INTO audit_event (payload, leaf) VALUES (%s, %s)", denial(ledger))
        live(ledger, "draft")
        assert ledger.audit.checkpoint() == signed
        assert ledger.audit.tail(seen, ADA) == ()
        held.rollback()  # at once; of a connection that is only closed the server hears in its own time
    assert ledger.audit.checkpoint().size == len(log(ledger))
    assert [event.event_id for event in ledger.audit.tail(seen, ADA)] == [e.event_id for e in log(ledger)[-2:]]


def test_the_settled_number_is_that_of_the_last_event_and_waits_for_nobody_who_only_reads(ledger, url):
    with connected(ledger._gate.engine) as connection, transaction(connection, writes=False):
        assert tree.settled(connection) == log(ledger)[-1].event_id


def test_sequencers_and_writers_at_once_leave_a_log_that_verifies(ledger, url, opening):
    def write(_number):
        with opening() as mine:
            for _ in range(3):
                live(mine, "queued")

    def sign(_number):
        with opening() as mine:
            for _ in range(5):
                mine.audit.checkpoint()

    with ThreadPoolExecutor(5) as pool:
        for done in [*(pool.submit(write, n) for n in range(3)), *(pool.submit(sign, n) for n in range(2))]:
            done.result()
    ledger.audit.checkpoint()
    assert found_in(url) == set()
    assert verify_file(url, Anchors(), Depth(now_us=now_us(), jobs=2)).verdict == "OK"


def test_a_permission_that_is_taken_away_meanwhile_is_not_used(ledger, opening, monkeypatch):
    """The law is read after the insert; whoever takes a role away then has to wait for the commit."""
    run_id = live(ledger, "previewed")
    inserting, revoked = gate.inserting, []

    def revoke_first(events):
        if not revoked:
            revoked.append(True)
            with opening() as other:
                other.access.grant(OLGA.id, Role.OPERATOR, HOME, ADA, revoke=True)
        return inserting(events)

    monkeypatch.setattr(gate, "inserting", revoke_first)
    with pytest.raises(NotFoundError, match=run_id):
        ledger.fire(run_id, RunEvent.QUEUE, OLGA)
    assert ledger.peek(run_id, ADA).status == "previewed"


# Verification, the schema, and where it is


TAMPERED = {
    "ROW_MISMATCH": "UPDATE restore_run SET status = 'partial'",
    "EVENT_MISSING": "DELETE FROM audit_event WHERE type = 'restore.decision.projected'",
    "LEAF_MISMATCH": "UPDATE audit_event SET payload = replace(payload, '\"ada\"', '\"eve\"')",
    "NODE_MISMATCH": "UPDATE audit_node SET hash = repeat('0', 64)",
    "STREAM_HEAD": "UPDATE audit_stream SET seq = seq + 1",
}


@pytest.mark.parametrize(("code", "statement"), TAMPERED.items())
def test_what_the_superuser_changes_past_the_guards_is_found(ledger, url, code, statement):
    prove(ledger, live(ledger))
    ledger.audit.checkpoint()
    assert found_in(url) == set()
    with unguarded(ledger) as connection:
        connection.execute(statement)
    assert code in found_in(url)


FORGED = {
    "when the oldest waiting event was recorded": ("system/access", '"rec_us":', '"rec_us":"soon","x":'),
    "where a pruning ended": ("system/audit", '"last":', '"last":"soon","x":'),
}


@pytest.mark.parametrize(("stream", "said", "forged"), FORGED.values(), ids=FORGED)
def test_a_number_that_is_forged_into_none_is_a_finding_and_not_an_error_of_the_database(
    ledger, url, tmp_path, stream, said, forged
):
    live(ledger)
    ledger.audit.checkpoint()
    ledger.audit.prune(PruneOrder(file=str(tmp_path / "old.jsonl"), events=15), ADA)
    with pytest.raises(ForbiddenError):
        ledger.access.grant("eve", Role.ADMIN, HOME, OLGA)
    with unguarded(ledger) as connection:
        connection.execute("DELETE FROM audit_unsequenced WHERE event_id < (SELECT max(event_id) FROM audit_event)")
        connection.execute(
            f"UPDATE audit_event SET payload = replace(payload, '{said}', '{forged}') WHERE stream = '{stream}'"  # noqa: S608 - our own text
        )
    assert found_in(url)
    assert ledger.diagnose().signing.unsequenced == 1


def test_the_recorded_catalogs_are_those_that_the_migrations_make():
    for file, text in postgresql.recorded().items():
        assert file.read_text("utf-8") == text, f"run: python -m tests.postgresql ({file.name})"


def test_a_ledger_of_the_first_schema_is_brought_up_and_goes_on(tmp_path):
    with postgresql.database(empty=True) as url:
        with connected(engine := make_engine(url)) as connection, transaction(connection, writes=True):
            connection.execute("CREATE SCHEMA proofgap")
            for statement in statements("0001_initial", "postgresql"):
                psycopg.Connection.execute(connection, statement)
            connection.execute("CREATE TABLE alembic_version (version_num varchar(32) NOT NULL)")
            connection.execute("INSERT INTO alembic_version VALUES ('0001')")
        engine.dispose()
        with pytest.raises(UnavailableError, match="proofgap db upgrade"):
            Ledger.open(url)
        done = upgrade(url)
        assert (done.before, done.after) == ("0001", REVISION)
        with Ledger.open(url, owner=ADA.id, key=tmp_path / "key", head=tmp_path / "head") as ledger:
            assert ledger.verify().counts == {}
            assert ledger.database.check().missing_guards == ()


def test_a_new_ledger_on_a_server_keeps_its_key_under_the_name_of_its_log(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with postgresql.database(empty=True) as url:
        with Ledger.open(url, owner=ADA.id) as ledger:
            ledger.audit.checkpoint()
            key = ledger.audit.keys(ADA)[0].key
        with Ledger.open(url) as again:
            assert again.audit.checkpoint() is not None
            assert again.diagnose().signing.head_conflict is None
    names = sorted(file.name for file in (tmp_path / "proofgap").iterdir() if file.suffix in {".key", ".head"})
    name = key.partition("+")[0].rpartition("/")[2]
    assert names == [f"{name}.head", f"{name}.key"]


def test_what_a_server_cannot_do_for_a_ledger_is_said(ledger, tmp_path):
    with pytest.raises(BadInputError, match="pg_dump"):
        ledger.database.backup(tmp_path / "copy")
    assert ledger.diagnose().database.startswith("PostgreSQL ")
    assert ledger.database.check().damage == ()


def test_a_database_that_is_none_or_holds_something_else_is_no_ledger(tmp_path):
    with pytest.raises(UnavailableError, match="does not exist"):
        Ledger.open(postgresql.named("zz_nowhere"))
    with postgresql.database(empty=True) as url:
        with pytest.raises(UnavailableError, match="there is no ledger yet"):
            Ledger.open(url, create=False)
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute("CREATE SCHEMA proofgap")
            connection.execute("CREATE TABLE proofgap.other (x int)")
        with pytest.raises(UnavailableError, match="holds something else"):
            Ledger.open(url, key=tmp_path / "key", head=tmp_path / "head")


# When the server is busy, or gone for a moment


def test_connections_that_the_server_ended_while_nobody_used_them_are_replaced_and_nobody_notices(ledger, outside):
    run_id = live(ledger, "running")
    with connected(ledger._gate.engine), connected(ledger._gate.engine):
        pass
    assert ledger._gate.engine.pool.checkedin() == 2
    outside.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE application_name = 'proofgap' AND datname = current_database()"
    )
    assert ledger.fire(run_id, RunEvent.COMPLETE, ADA).status == "completed"
    with connected(ledger._gate.engine) as one, connected(ledger._gate.engine) as other:
        assert {one.execute("SELECT 1").fetchone(), other.execute("SELECT 1").fetchone()} == {(1,)}


def test_a_race_that_is_lost_on_the_server_is_lost_in_silence(ledger, opening, monkeypatch, caplog):
    """The driver warns of what follows from an error that came while it still sent; nobody can do anything about it."""
    run_id = live(expose(ledger), "running")
    inserting, raced = gate.inserting, []

    def overtaken(events):
        if not raced:
            raced.append(True)
            with opening() as other:
                other.fire(run_id, RunEvent.REQUEST_CANCEL, ADA)
        return inserting(events)

    monkeypatch.setattr(gate, "inserting", overtaken)
    slow = Plan("INSERT", "after", lambda _connection: time.sleep(0.5))
    assert armed(slow, lambda: ledger.fire(run_id, RunEvent.COMPLETE, ADA)).version == 8
    assert caplog.records == []


def test_a_lock_that_is_not_let_go_is_waited_for_until_the_limit_and_named(ledger, outside, url):
    run_id = live(ledger, "running")
    event.listen(
        ledger._gate.engine,
        "checkout",
        lambda connection, *_: psycopg.Connection.execute(connection, "SET lock_timeout = 50"),
    )
    before = tables(ledger)
    with closing(psycopg.connect(url)) as held:
        held.execute("LOCK TABLE proofgap.audit_event IN SHARE MODE")
        with pytest.raises(UnavailableError, match="canceling statement due to lock timeout"):
            ledger.fire(run_id, RunEvent.COMPLETE, ADA)
    assert tables(ledger) == before
    assert ledger.fire(run_id, RunEvent.COMPLETE, ADA).status == "completed"


@pytest.mark.parametrize(
    ("work", "verb"), [("sign", "INSERT"), ("sign", "DELETE"), ("beat", "UPDATE"), ("beat", "COMMIT")]
)
def test_a_sequencer_and_a_beat_that_the_server_gave_up_for_somebody_else_are_done_all_the_same(ledger, work, verb):
    """A deadlock is a race that is lost, for whoever writes."""
    worker = expose(ledger).fleet.register(NewWorker(name="host", lease_us=60_000_000), WIM).id
    plan = Plan(verb, "before", outpaced)
    armed(plan, ledger.audit.checkpoint if work == "sign" else lambda: ledger.fleet.beat(worker, WIM))
    assert plan.action is None, "it was struck"
    assert ledger.audit.checkpoint().size == len(log(ledger))
    assert ledger.verify().counts == {}


def test_a_server_that_does_not_even_acknowledge_is_taken_for_lost_after_half_a_minute(ledger):
    with connected(ledger._gate.engine) as connection:
        told = connection.info.get_parameters()
    assert (told["tcp_user_timeout"], told["keepalives_idle"]) == ("30000", "30")


def test_sessions_have_their_limits_whatever_the_database_was_set_to(ledger):
    wanted = {"search_path": "proofgap, proofgap_queue, pg_temp", "lock_timeout": "30s", "statement_timeout": "10min"}
    with connected(ledger._gate.engine) as connection:
        for name, value in wanted.items():
            assert connection.execute(f"SHOW {name}").fetchone() == (value,)


def test_an_address_is_shown_without_its_password():
    assert shown_address("postgresql://ada:secret@db/ledger") == "postgresql://ada:***@db/ledger"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("SELECT :a, :a_1 WHERE x = :a", b"SELECT %(a)s, %(a_1)s WHERE x = %(a)s"),
        ("SELECT x LIKE 'a%'", b"SELECT x LIKE 'a%%'"),
        ("SELECT x::int", b"SELECT x::int"),
    ],
)
def test_parameters_are_written_as_the_driver_has_them(ours, theirs):
    assert translated(ours) == theirs


def test_a_statement_that_an_error_kept_from_being_run_is_prepared_the_next_time(url):
    """However often it was run before: else the driver would take it for prepared, and no later write would succeed."""
    engine, first, wrong = make_engine(url), ("SELECT 1 AS first", {}), ("SELECT 1 / 0", {})
    with connected(engine) as connection:
        for times in range(8):
            asked = f"SELECT {times} AS number", {}
            for statement in (*[first] * times, wrong, first, first):
                refused = (
                    pytest.raises(RefusedByDatabaseError, match="division") if statement is wrong else nullcontext()
                )
                with refused, transaction(connection, writes=True):
                    assert together(connection, statement, asked)[-1] == [(times,)]
    engine.dispose()
