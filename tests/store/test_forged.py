"""Events that somebody puts into the log by hand: only the next one, only a legal one, only for what is there."""

from __future__ import annotations

import pytest

from proofgap_store import Ledger
from tests.conformance.lives import ADA, PATHS, TERMINAL, chain_faults, live, log, prove, settle
from tests.store.raw import APPEND, SETTINGS, connect, forged, head, moved, refused, row_of


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The file of a ledger with a run in every status."""
    path = tmp_path_factory.mktemp("forged") / "ledger.db"
    with Ledger.open(f"sqlite:///{path}", owner=ADA.id, synchronous="NORMAL") as ledger:
        ids = {status: live(settle(ledger), status) for status in PATHS}
        ids["active"] = prove(ledger, ids["completed"])
    return path, ids


@pytest.fixture(params=SETTINGS)
def connection(place, request):
    """A connection of somebody else."""
    opened = connect(place[0], request.param)
    yield opened
    opened.close()


def answer(connection, entry, statement=APPEND):
    """Put a forged event into the log; give what the database says."""
    return refused(connection, statement, *row_of(entry))


def test_the_next_legal_event_passes_so_the_refusals_below_are_refusals_of_what_is_wrong(place, connection):
    _, ids = place
    assert answer(connection, forged(connection, ids["draft"], "scope", "scoped")) is None
    assert answer(connection, forged(connection, ids["running"], "fail", "failed")) is None
    assert answer(connection, forged(connection, ids["active"], "expire", "expired")) is None


@pytest.mark.parametrize("status", TERMINAL)
def test_no_event_leads_out_of_an_end_whatever_it_is_called_and_wherever_it_leads(place, connection, status):
    run_id = place[1][status]
    for event in ("scope", "start", "complete", "fail", "cancel", "reopen", None):
        for target in (*PATHS, None, "reopened"):
            said = answer(connection, forged(connection, run_id, event, target))
            assert said is not None
            assert "illegal edge" in said or "never after its end" in said


ILLEGAL = {
    "an edge that the machine does not have": ("draft", "complete", "completed", {}),
    "the right event to the wrong status": ("queued", "start", "completed", {}),
    "an unknown status": ("running", "complete", "verified", {}),
    "no status": ("running", "complete", None, {}),
    "no event": ("draft", None, "scoped", {}),
    "a definition that is not in force": ("draft", "scope", "scoped", {"definition": "0" * 64}),
    "no definition": ("draft", "scope", "scoped", {"definition": None}),
    "a source that is not where the run stands, and no edge": ("draft", "start", "running", {"source": "draft"}),
}


@pytest.mark.parametrize(("status", "event", "target", "data"), ILLEGAL.values(), ids=ILLEGAL)
def test_an_edge_that_the_machine_in_force_does_not_have_is_refused(place, connection, status, event, target, data):
    entry = forged(connection, place[1][status], event, target, data=data)
    said = answer(connection, entry)
    assert said is not None
    assert any(words in said for words in ("illegal edge", "through the log only", "CHECK constraint failed"))


def test_the_definition_of_another_machine_is_none_for_a_run(place, connection):
    operation = connection.execute("SELECT definition FROM machine_definition WHERE machine = 'operation'").fetchone()[
        0
    ]
    entry = forged(connection, place[1]["queued"], "start", "running", data={"definition": operation})
    assert "illegal edge" in answer(connection, entry)


STALE = {
    "a version too low": {"version": 2},
    "a version too high": {"version": 99},
    "no version": {"version": None},
    "a status that the run is not in": {"source": "queued", "event": "start", "target": "running"},
    "a run that does not exist": {"subject": "rr_NONE"},
    "no run": {"subject": None},
}


@pytest.mark.parametrize("data", STALE.values(), ids=STALE)
def test_an_event_that_does_not_fit_the_record_as_it_stands_is_refused(place, connection, data):
    entry = forged(connection, place[1]["checked"], "check", "checked", data=data)
    assert answer(connection, entry) == "proofgap: stale record: its status or version is not the one the event names"


def test_an_event_of_another_workspace_does_not_move_the_run(place, connection):
    for scope in ({"ws": "w9"}, {"env": "e9"}, {"ws": None}, {"env": None}):
        entry = forged(connection, place[1]["checked"], "check", "checked", **scope)
        assert "stale record" in answer(connection, entry)


LINKS = {
    "a predecessor that is none": lambda _: {"prev": "f" * 64},
    "no predecessor": lambda _: {"prev": None},
    "the genesis hash": lambda _: {"prev": "0" * 64},
    "a number too low": lambda seq: {"seq": seq},
    "a number too high": lambda seq: {"seq": seq + 2},
    "the first number": lambda _: {"seq": 0},
    "a new stream that does not begin at its beginning": lambda _: {"stream": "run/new"},
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_an_event_that_does_not_follow_the_head_of_its_stream_is_refused(place, connection, link):
    run_id = place[1]["checked"]
    changes = link(head(connection, f"run/{run_id}")[0])
    said = answer(connection, forged(connection, run_id, "check", "checked", **changes))
    assert said is not None
    assert "stale stream" in said or "UNIQUE" in said


def test_an_event_never_comes_twice_and_never_takes_the_place_of_another(place, connection):
    run_id = place[1]["checked"]
    for statement in (APPEND, APPEND.replace("INSERT", "INSERT OR REPLACE"), APPEND.replace("INSERT", "REPLACE")):
        assert refused(connection, statement, *row_of(moved(connection, run_id))) is not None
        entry = forged(connection, run_id, "check", "checked", id=moved(connection, run_id)["id"])
        assert answer(connection, entry, statement) == "proofgap: audit_event is append-only"
        earlier = forged(connection, run_id, "check", "checked", seq=0, prev="0" * 64)
        assert answer(connection, earlier, statement) is not None


def test_the_number_of_an_event_is_given_by_the_database_and_by_nobody_else(place, connection):
    row = row_of(forged(connection, place[1]["checked"], "check", "checked"))
    for number in (1, 10**9, -5, 0):
        for verb in ("INSERT", "INSERT OR REPLACE"):
            statement = f"{verb} INTO audit_event (event_id, payload, leaf) VALUES (?, ?, ?)"
            assert "proofgap: " in (refused(connection, statement, number, *row) or "")


BIRTHS = {
    "a run that begins at its end": ("restore.run.created", "completed", "a run begins as a draft"),
    "a run that begins nowhere": ("restore.run.created", None, "a run begins as a draft"),
    "an operation run that begins at its end": ("restore.operation.created", "completed", "begins as queued"),
    "evidence that begins active": ("restore.evidence.created", "active", "begins as queued"),
    "an imported run of an unknown status": ("restore.run.imported", "verified", "CHECK constraint failed"),
    "an imported run of no status": ("restore.run.imported", None, "proofgap: "),
}


@pytest.mark.parametrize(("kind", "target", "said"), BIRTHS.values(), ids=BIRTHS)
def test_a_record_begins_at_its_beginning_and_never_with_an_unknown_status(place, connection, kind, target, said):
    data = {"subject": "new", "is_dry_run": False, "details": {}, "outcome": None, "captured_at_us": None}
    entry = forged(connection, place[1]["draft"], "scope", target, type=kind, data=data)
    assert said in (answer(connection, entry) or "")


def test_a_run_that_is_there_is_not_born_again(place, connection):
    for verb in ("INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE"):
        entry = forged(connection, place[1]["completed"], None, "draft", type="restore.run.created")
        assert "written through the log only" in (answer(connection, entry, APPEND.replace("INSERT", verb)) or "")


@pytest.mark.parametrize("payload", ["", "{}", "null", "[]", "not json", '{"type": 1}', None, b"\x00"])
def test_what_is_no_event_is_not_taken(connection, payload):
    assert refused(connection, APPEND, payload, "0" * 64) is not None
    assert refused(connection, APPEND, payload, None) is not None


def test_a_new_definition_cannot_open_the_ends_again(place, connection):
    entry = forged(connection, place[1]["draft"], "scope", "scoped", type="machine.defined", run=None)
    opened = [[status, "reopen", "draft"] for status in TERMINAL]
    entry["data"] = {"machine": "run", "definition": "e" * 64, "edges": opened, "guards": []}
    connection.execute("BEGIN")
    try:
        connection.execute(APPEND, row_of(entry))
        edges = connection.execute("SELECT count(*) FROM machine_edge WHERE definition = ?", ("e" * 64,)).fetchone()
        assert edges == (0,)
    finally:
        connection.execute("ROLLBACK")


def test_after_all_of_this_the_chain_is_what_it_was(place):
    with Ledger.open(f"sqlite:///{place[0]}", create=False) as ledger:
        assert chain_faults(log(ledger)) == []
        assert {ledger.show(place[1][status], ADA.id, ADA).record.status for status in PATHS} == set(PATHS)
