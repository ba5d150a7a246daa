"""Every write broken once at every statement, both ways: lost on the way there, and done but reported as lost."""

from __future__ import annotations

from functools import partial

import pytest
import structlog

from proofgap.errors import NotAllowedError
from proofgap.facts import RunEvent, SnapshotEvent
from proofgap_store import NewRun, UnavailableError
from tests.conformance.children import KEYED
from tests.conformance.faults import Plan, armed, broken, count, interrupted, outpaced
from tests.conformance.lives import ADA, HOME, chain_faults, live, log, tables

BEFORE = {"queue": "previewed", "report": "running", "complete": "running", "create": "draft"}


def subject_of(ledger, write):
    """Give a record that the write can be done to."""
    if write != "activate":
        return live(ledger, BEFORE[write])
    snapshot = ledger.begin_evidence(live(ledger), ADA).subject
    ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, ADA)
    return snapshot


def places(ledger, work):
    """List the places at which some work can break: before and after each of its statements.

    On a server one cut lies between two statements: before the second, and so after the first.
    """
    last, is_on_server = len(count(work)) - 1, ledger._gate.is_on_server
    return [
        (number, side)
        for number in range(last + 1)
        for side in ("before", "after")
        if side == "before" or number == last or not is_on_server
    ]


def broken_at(ledger, work, number, side, fault=broken):
    """Break one statement of some work; tell whether that was said, and whether the work was done all the same."""
    before, was_told = tables(ledger), False
    try:
        armed(Plan(number, side, fault), work)
    except (UnavailableError, KeyboardInterrupt):
        was_told = True
    return was_told, tables(ledger) != before


def demand_once(ledger, found):
    """Demand that only a commit whose answer is lost was told as broken and is done.

    On a server nobody is told of a cut at the end of what only read: all is read, and the next one connects anew.
    """
    silent = {(False, True)} if ledger._gate.is_on_server else set()
    assert found[-1] == (True, True)
    assert set(found[:-1]) - silent == {(True, False)}
    assert chain_faults(log(ledger)) == []


@pytest.mark.parametrize("write", ["queue", "report", "complete", "activate"])
@pytest.mark.parametrize("fault", [broken, interrupted])
def test_a_keyed_write_that_broke_anywhere_is_asked_again_and_gives_one_result(exposed, write, fault):
    ledger, subject = exposed, subject_of(exposed, write)
    everywhere = places(ledger, lambda: KEYED[write](ledger, subject))
    demand_once(ledger, [broken_once(ledger, write, place, fault) for place in everywhere])


def broken_once(ledger, write, place, fault):
    """Break a write at one place, then ask again under its key; tell what had become of it before."""
    subject = subject_of(ledger, write)
    was_told, done = broken_at(ledger, lambda: KEYED[write](ledger, subject), *place, fault)
    receipt = KEYED[write](ledger, subject)
    assert receipt.replayed is done
    moves = [event for event in log(ledger) if event.data.get("subject") == subject]
    assert [event.event_id for event in moves if event.type.endswith("transitioned")][-1] == receipt.event_id
    return was_told, done


@pytest.mark.parametrize("write", ["queue", "report", "complete", "activate"])
def test_a_write_that_let_somebody_else_go_first_is_computed_anew_and_done(exposed, write, capfd, caplog):
    """A lost race, and on a server a deadlock, is nobody's business: not even a line of the driver tells of it."""
    subject = subject_of(exposed, write)
    verbs = count(lambda: KEYED[write](exposed, subject))
    writing = len(verbs) - 1 - verbs[::-1].index("BEGIN")
    for number in range(writing, len(verbs)):
        subject = subject_of(exposed, write)
        receipt = armed(Plan(number, "before", outpaced), partial(KEYED[write], exposed, subject))
        assert receipt.replayed is False
    assert chain_faults(log(exposed)) == []
    assert (capfd.readouterr().err, caplog.text) == ("", "")


def test_a_birth_that_broke_anywhere_is_asked_again_under_its_key_and_there_is_one_run(exposed):
    found = []
    for place in places(exposed, lambda: exposed.create(NewRun(), ADA, key="count")):
        create = partial(exposed.create, NewRun(), ADA, key=f"k-{place}")
        was_told, done = broken_at(exposed, create, *place)
        runs = len(tables(exposed)["restore_run"])
        assert create().replayed is done
        assert len(tables(exposed)["restore_run"]) == runs + (not done)
        found.append((was_told, done))
    demand_once(exposed, found)


def test_without_a_key_a_write_whose_commit_was_reported_lost_meets_the_status_it_led_to(exposed):
    counted = live(exposed, "running")
    last = len(count(lambda: exposed.fire(counted, RunEvent.COMPLETE, ADA))) - 1
    run_id = live(exposed, "running")
    assert broken_at(exposed, lambda: exposed.fire(run_id, RunEvent.COMPLETE, ADA), last, "after") == (True, True)
    with pytest.raises(NotAllowedError) as caught:
        exposed.fire(run_id, RunEvent.COMPLETE, ADA)
    assert (caught.value.status, caught.value.allowed) == ("completed", ())


def refusal(ledger, run_id):
    """Try what is refused."""
    with pytest.raises(NotAllowedError):
        ledger.fire(run_id, RunEvent.START, ADA)


OTHERS = {
    "show": lambda ledger, run_id: ledger.show(run_id, ADA.id, ADA),
    "list": lambda ledger, _: ledger.list_runs(ADA.id, ADA),
    "grant": lambda ledger, _: ledger.access.grant("sam", "viewer", HOME, ADA),
    "a refusal": refusal,
    "history": lambda ledger, run_id: ledger.history(run_id, ADA.id),
}


@pytest.mark.parametrize("work", OTHERS.values(), ids=OTHERS)
def test_any_other_verb_that_breaks_says_so_and_the_ledger_goes_on(exposed, work):
    run_id = live(exposed, "draft")
    for number, _ in enumerate(count(lambda: work(exposed, run_id))):
        was_told, done = broken_at(exposed, lambda: work(exposed, run_id), number, "before")
        assert not (was_told and done)
    assert exposed.fire(run_id, RunEvent.SCOPE, ADA).status == "scoped"
    assert chain_faults(log(exposed)) == []


class BrokenStream:
    """A stream that nobody reads any more."""

    def __init__(self, error):
        self.error = error

    def write(self, _text):
        raise self.error

    def flush(self):
        raise self.error


@pytest.fixture(params=[OSError(28, "No space left on device"), BrokenPipeError(), ValueError("closed file")])
def broken_stream(request):
    """The log lines go to a stream that fails."""
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        logger_factory=structlog.WriteLoggerFactory(BrokenStream(request.param)),
        cache_logger_on_first_use=False,
    )
    yield
    structlog.configure(**before)
    structlog.reset_defaults()


@pytest.mark.usefixtures("broken_stream")
def test_a_broken_log_stream_changes_no_result_and_every_lost_line_is_counted(place):
    with place.open() as ledger:
        before = len(log(ledger))
        run_id = ledger.create(NewRun(), ADA, key="k1").run_id
        assert ledger.create(NewRun(), ADA, key="k1").run_id == run_id
        assert ledger.fire(run_id, RunEvent.SCOPE, ADA).status == "scoped"
        assert ledger.diagnose().log_failures == len(log(ledger)) - before
        assert chain_faults(log(ledger)) == []
