"""The five roles of a ledger on PostgreSQL: what each can do, what each cannot, and whose rows nobody sees."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager

import psycopg
import pytest

from proofgap.audit import NOTE, EventType
from proofgap.errors import BadInputError
from proofgap.facts import RunEvent
from proofgap_store import Erasure, Ledger, LogQuery, NewWorker, PruneOrder, UnavailableError, upgrade
from proofgap_store import postgresql as store
from proofgap_store.engine import connected, transaction
from tests import postgresql
from tests.conformance.lives import ADA, HOME, OLGA, SAM, UDO, WIM, live, log, open_scope, prove, settle, tables

AWAY = ("other", "far")
"""A workspace in which nobody from home holds a role."""
TABLES = sorted({line.split(" ")[2].removesuffix("_is_never_emptied").strip()
                 for line in max(postgresql.recorded_files()).read_text("utf-8").splitlines()
                 if line.endswith("_is_never_emptied")})  # fmt: skip
ROWS_OF_SOMEBODY = (
    *("operation_run", "restore_run", "evidence_snapshot", "result_item", "evidence_check", "receipt", "audit_hold"),
    *("audit_event", "audit_private", "drill", "drill_tick", "access_token", "access_token_use", "access_session"),
    *("access_grant", "worker"),
)
NAMED_BY_NOBODY = ("environment", "worker_lease")
"""Read whole by every reader: that there is no such place, and nobody at work, is not true of a part."""


@pytest.fixture(scope="module")
def url():
    """A ledger in which much happened, in two workspaces; nobody changes it."""
    with postgresql.database() as made:
        yield made


@pytest.fixture(scope="module")
def opening(url, tmp_path_factory):
    """Give a way to open the ledger as a member of roles; without any as the superuser."""
    folder = tmp_path_factory.mktemp("custody")

    def opened(*groups):
        login = postgresql.as_member(url, *groups) if groups else url
        return Ledger.open(login, owner=ADA.id, synchronous="NORMAL", key=folder / "key", head=folder / "head")

    with opened() as ledger:
        settle(ledger)
        run_id = live(ledger)
        prove(ledger, run_id)
        open_scope(ledger, AWAY, SAM, "away")
        with ledger:
            ledger.fire(live(ledger, "draft"), RunEvent.CANCEL, OLGA, note="a slip of olga", key="k1")
        ledger.audit.checkpoint()
        live(ledger, "draft")
        ledger.fleet.register(NewWorker(name="host-1", lease_us=60_000_000), WIM)
        for somebody in (OLGA, SAM):
            ledger.sessions.offer(somebody, 60)
    return opened


@contextmanager
def raw(url, *groups, reader="*"):
    """Connect with the bare driver as a member of roles."""
    with closing(psycopg.connect(postgresql.as_member(url, *groups))) as connection:
        connection.execute("SET search_path = proofgap, pg_temp")
        connection.execute("SELECT set_config('proofgap.reader', %s, false)", (reader,))
        connection.commit()
        yield connection


def refusal(connection, statement):
    """Try a statement, and take it back; give the error that it met, or None."""
    try:
        connection.execute(statement)
    except psycopg.Error as error:
        return type(error).__name__
    finally:
        connection.rollback()
    return None


# What each role cannot do


@pytest.mark.usefixtures("opening")
@pytest.mark.parametrize("role", ["app", "sequencer", "auditor", "privacy"])
@pytest.mark.parametrize("statement", ["TRUNCATE {}", "UPDATE {0} SET {1} = {1}", "DELETE FROM {}", "ALTER TABLE {} DISABLE TRIGGER ALL", "DROP TABLE {} CASCADE"])  # fmt: skip
def test_no_role_but_the_owner_changes_a_table_or_its_guards(url, role, statement):
    allowed = {("sequencer", "DELETE FROM {}"): "audit_unsequenced", ("privacy", "DELETE FROM {}"): "audit_private"}
    with raw(url, role) as connection:
        for table in TABLES:
            (column,) = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1", (f"proofgap.{table}",)
            ).fetchone()
            met = refusal(connection, statement.format(table, column))
            if allowed.get((role, statement)) == table:  # a guard says when
                assert met == "IntegrityConstraintViolation"
            else:
                assert met == "InsufficientPrivilege", table


INSERTS = {
    "app": {
        *("audit_private", "evidence_check", "receipt", "result_item"),
        *("access_session", "access_link", "access_token_use"),
    },
    "sequencer": {"audit_leaf", "audit_node", "audit_checkpoint"},
    "auditor": set(),
    "privacy": {"audit_private"},
}
"""Table: into which tables a role writes whole rows; events come by payload and hash only."""


def written(connection, table):
    """Give the columns of a table that are not computed."""
    (names,) = connection.execute(
        "SELECT string_agg(attname, ',') FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attnum > 0 AND attgenerated = ''",
        (f"proofgap.{table}",),
    ).fetchone()
    return names


@pytest.mark.usefixtures("opening")
@pytest.mark.parametrize("role", INSERTS)
def test_a_role_writes_into_its_own_tables_only(url, role):
    with raw(url, role) as connection:
        for table in set(TABLES) - {"audit_event"}:
            names = written(connection, table)
            met = refusal(connection, f"INSERT INTO {table} ({names}) SELECT {names} FROM {table} WHERE FALSE")  # noqa: S608 - names only
            assert met == (None if table in INSERTS[role] else "InsufficientPrivilege"), table
        for number in ("event_id, payload", "payload, leaf, event_id"):
            statement = f"INSERT INTO audit_event ({number}) SELECT {number} FROM audit_event WHERE FALSE"  # noqa: S608 - names only
            assert refusal(connection, statement) == "InsufficientPrivilege"


@pytest.mark.usefixtures("opening")
@pytest.mark.parametrize("role", INSERTS)
@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        "CREATE TRIGGER zz BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION refuse('x')",
        "CREATE TABLE proofgap.zz (x int)",
        "CREATE OR REPLACE FUNCTION proofgap.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "ALTER TABLE restore_run DISABLE ROW LEVEL SECURITY",
        "CREATE POLICY zz ON restore_run USING (TRUE)",
        "SET ROLE proofgap_owner",
        "SELECT nextval('audit_event_number')",
        "SELECT setval('audit_event_number', 1)",
    ],
)
def test_no_role_but_the_owner_gets_past_the_guards(url, role, statement):
    with raw(url, role) as connection:
        assert refusal(connection, statement) in {"InsufficientPrivilege", "InsufficientPrivilegeError"}


@pytest.mark.usefixtures("opening")
def test_nobody_hangs_a_function_of_the_guards_on_a_table_of_their_own(url):
    """It runs with the rights of the owner, and would believe whatever event that table holds."""
    with raw(url, "app") as connection:
        connection.execute("CREATE TEMP TABLE mine AS SELECT * FROM audit_event WHERE FALSE")
        hang = "CREATE TRIGGER zz AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION proofgap.audit_event_moves_run()"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(hang)


@pytest.mark.usefixtures("opening")
def test_the_sequencer_reads_no_names_no_notes_no_runs_and_no_grants(url):
    with raw(url, "sequencer") as connection:
        for table in ("audit_private", "restore_run", "access_grant", "receipt", "result_item"):
            assert refusal(connection, f"SELECT * FROM {table}") == "InsufficientPrivilege"  # noqa: S608 - names only


# What each role does


def test_workers_append_and_do_not_sign(opening):
    with opening("app") as ledger:
        run_id = live(ledger)
        assert ledger.show(run_id, OLGA.id, OLGA).decision.state
        assert ledger.diagnose().warnings == ()
        before = tables(ledger)
        with pytest.raises(UnavailableError, match="permission denied for table audit_leaf"):
            ledger.audit.checkpoint()
        assert tables(ledger) == before


def test_the_sequencer_signs_what_workers_wrote(opening):
    with opening("app") as worker, opening("sequencer") as signer:
        live(worker, "draft")
        assert signer.audit.checkpoint().size == len(log(worker))


def test_an_auditor_verifies_everything_and_writes_nothing(opening):
    with opening("auditor") as ledger:
        found = ledger.verify()
        assert (set(found.counts) - {"UNSEQUENCED"}, found.events > 0) == (set(), True)
        assert ledger.audit.list(LogQuery(), UDO).events
        with pytest.raises(UnavailableError, match="permission denied"):
            live(ledger, "draft")


def noted(ledger):
    """Give the number of an event with a note."""
    return next(event.event_id for event in reversed(log(ledger)) if NOTE in event.entry["commit"])


def test_privacy_erases_and_nobody_else_does(opening):
    with opening("app") as ledger:
        ledger.fire(live(ledger, "draft"), RunEvent.CANCEL, OLGA, note="a slip of olga")
        wanted, before = Erasure(event=str(noted(ledger)), path=NOTE, reason="gdpr-17"), tables(ledger)
        with pytest.raises(UnavailableError, match="row-level security"):
            ledger.audit.redact(wanted, ADA)
        assert tables(ledger) == before
    with opening("privacy") as ledger:
        assert ledger.audit.redact(wanted, ADA).event_id == log(ledger)[-1].event_id
        with pytest.raises(UnavailableError, match="row-level security"):
            ledger.access.grant("eve", "admin", HOME, ADA)


def test_the_owner_prunes_and_a_worker_does_not(opening, tmp_path):
    order = PruneOrder(file=str(tmp_path / "old.jsonl"), events=30)
    with opening("app") as ledger, pytest.raises(UnavailableError, match="row-level security"):
        ledger.audit.prune(order, ADA)
    with opening("owner") as ledger:
        assert "owns tables of the ledger" in ledger.diagnose().warnings[0]
        assert ledger.audit.prune(order, ADA).tombstones


# Whose rows


def seen(connection, table):
    """Count the rows of a table that this connection sees."""
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - names only
    connection.commit()
    return count


@pytest.mark.usefixtures("opening")
@pytest.mark.parametrize("reader", ["", "[]", '["nobody"]'])
def test_without_a_reader_who_holds_a_role_there_is_no_row_of_anybody(url, reader):
    with raw(url, "app", reader=reader) as connection:
        for table in ROWS_OF_SOMEBODY:
            events = "audit_event WHERE ws IS NOT NULL" if table == "audit_event" and reader else table
            assert seen(connection, events) == 0, table
        assert reader or [seen(connection, table) for table in NAMED_BY_NOBODY] == [0] * len(NAMED_BY_NOBODY)


@pytest.mark.usefixtures("opening")
@pytest.mark.parametrize("reader", ["nonsense", "{", '"olga"', "**"])
def test_a_reader_that_is_none_sees_nothing(url, reader):
    with raw(url, "app", reader=reader) as connection:
        for table in ROWS_OF_SOMEBODY:
            assert refusal(connection, f"SELECT 1 / count(*) FROM {table}"), table  # noqa: S608 - names only


@pytest.mark.usefixtures("opening")
def test_a_reader_sees_the_rows_of_their_workspaces_and_none_of_another(url):
    here, there = json.dumps([OLGA.id]), json.dumps([SAM.id])
    with raw(url, "app") as everybody, raw(url, "app", reader=here) as home, raw(url, "app", reader=there) as away:
        counts = [seen(connection, "restore_run") for connection in (home, away, everybody)]
        assert (counts[0] > 0, counts[1], counts[0] + counts[1]) == (True, 1, counts[2])
        assert away.execute("SELECT id FROM restore_run").fetchall() == [("away",)]
        assert home.execute("SELECT DISTINCT ws FROM audit_event WHERE ws IS NOT NULL").fetchall() == [(HOME[0],)]
        for table in ("operation_run", "evidence_snapshot", "evidence_check", "receipt"):
            assert (seen(home, table) > 0, seen(away, table)) == (True, 0), table


@pytest.mark.usefixtures("opening")
def test_a_reader_learns_no_name_from_another_workspace(url):
    here, there = json.dumps([OLGA.id]), json.dumps([SAM.id])
    people = "SELECT DISTINCT principal FROM access_grant"
    with raw(url, "app", reader=here) as home, raw(url, "app", reader=there) as away:
        assert {name for (name,) in away.execute(people)} == {ADA.id, SAM.id}, "ada opened it, and handed it over"
        assert SAM.id not in {name for (name,) in home.execute(people)}
        workers = "SELECT details::json ->> 'name' FROM worker UNION SELECT payload::json #>> '{data,details,name}' FROM audit_event WHERE type = 'worker.registered'"
        assert home.execute(workers).fetchall() == [("host-1",)]
        assert away.execute(workers).fetchall() == []
        sign_ins = "SELECT actor FROM audit_event WHERE type = 'access.link_made'"
        assert home.execute(sign_ins).fetchall() == [(OLGA.id,)]
        assert away.execute(sign_ins).fetchall() == [(SAM.id,)]


@pytest.mark.usefixtures("opening")
def test_nothing_is_appended_for_a_workspace_that_the_reader_does_not_see(url):
    with raw(url, "app") as everybody, raw(url, "app", reader=json.dumps([OLGA.id])) as home:
        (payload,) = everybody.execute("SELECT payload FROM audit_event WHERE run = 'away' LIMIT 1").fetchone()
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            home.execute("INSERT INTO audit_event (payload, leaf) VALUES (%s, repeat('0', 64))", (payload,))


def test_the_reader_ends_with_the_transaction(opening):
    with opening("app") as ledger, connected(ledger._gate.engine) as connection:
        with transaction(connection, writes=False, readers=(OLGA.id,)):
            assert connection.execute("SELECT count(*) FROM restore_run").fetchone()[0] > 0
        assert connection.execute("SELECT count(*) FROM restore_run").fetchone() == (0,)


def verbs(ledger, run_id):
    """Use most of what people ask of a ledger, each for one person."""
    ledger.peek(run_id, OLGA)
    ledger.show(run_id, OLGA.id, OLGA)
    ledger.list_runs(OLGA.id, OLGA)
    ledger.history(run_id, OLGA.id)
    ledger.items(run_id, OLGA.id)
    ledger.fire(run_id, RunEvent.SCOPE, OLGA)
    ledger.audit.list(LogQuery(), UDO)
    ledger.audit.why(run_id, UDO)
    ledger.audit.history(run_id, UDO)


def test_every_verb_that_somebody_uses_reads_as_that_person(opening, monkeypatch):
    """A verb that forgot to say who asks would see everything."""
    named = []

    def noting(connection, writes, readers):
        named.append(readers)
        return begin(connection, writes, readers)

    with opening("app") as ledger:
        run_id, begin = live(ledger, "draft"), store.POSTGRESQL.begin
        noticed = store.POSTGRESQL._replace(begin=noting)
        monkeypatch.setattr(store.Connection, "dialect", noticed)
        verbs(ledger, run_id)
    assert {reader for readers in named for reader in (readers or ("*",))} == {OLGA.id, UDO.id}


# The rights themselves


@pytest.fixture
def ours(tmp_path):
    """A new ledger, and the superuser beside it."""
    with (
        postgresql.database() as url,
        closing(psycopg.connect(url, autocommit=True)) as superuser,
        Ledger.open(url, owner=ADA.id, key=tmp_path / "key", head=tmp_path / "head") as ledger,
    ):
        yield ledger, superuser


def test_the_rights_are_compared_and_put_right(ours):
    ledger, superuser = ours
    assert (ledger.database.roles().missing, ledger.database.roles().excess) == ((), ())
    superuser.execute("GRANT UPDATE ON proofgap.audit_event TO proofgap_app")
    superuser.execute("GRANT SELECT ON proofgap.receipt TO PUBLIC")
    superuser.execute("GRANT EXECUTE ON FUNCTION proofgap.refuse() TO PUBLIC")
    superuser.execute("ALTER TABLE proofgap.receipt OWNER TO CURRENT_USER")
    superuser.execute("REVOKE SELECT ON proofgap.audit_leaf FROM proofgap_auditor")
    found = ledger.database.roles()
    assert found.missing == ("proofgap_auditor: SELECT on audit_leaf",)
    assert set(found.excess) >= {
        "another than proofgap_owner owns receipt", "PUBLIC: EXECUTE on refuse()",
        "PUBLIC: SELECT on receipt", "proofgap_app: UPDATE on audit_event",
    }  # fmt: skip
    assert "REVOKE UPDATE" in ledger.database.roles_script()
    done = ledger.database.apply_roles()
    assert (done.missing, done.excess) == ((), ())
    assert ledger.guards() == ((), ())


def test_a_file_has_no_roles(tmp_path):
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", owner=ADA.id) as ledger:
        assert ledger.database.powers() == ()
        for verb in (ledger.database.roles, ledger.database.roles_script, ledger.database.apply_roles):
            with pytest.raises(BadInputError, match="a file has no roles"):
                verb()


def test_whoever_is_not_the_owner_gives_nobody_rights(opening):
    with opening("app") as ledger, pytest.raises(UnavailableError):
        ledger.database.apply_roles()


def test_the_security_of_rows_is_put_back_by_a_declaration(ours):
    ledger, superuser = ours
    superuser.execute("ALTER TABLE proofgap.restore_run DISABLE ROW LEVEL SECURITY")
    superuser.execute("DROP POLICY receipt_of_readers ON proofgap.receipt")
    superuser.execute("ALTER FUNCTION proofgap.audit_event_links() SECURITY INVOKER")
    named = ("audit_event_links()", "receipt_of_readers on receipt", "restore_run")
    assert ledger.guards().missing == named
    ledger.audit.declare_gap("a test of the second wall", ADA)
    assert ledger.guards() == ((), ())
    assert [event.type for event in log(ledger)][-1] == EventType.GAP_DECLARED


def test_a_member_of_the_owner_brings_the_schema_up(url):
    done = upgrade(postgresql.as_member(url, "owner"))
    assert done.before == done.after
