"""Every write broken once at every statement, both ways: lost on the way there, and done but reported as lost."""

from __future__ import annotations

from functools import partial

import pytest
import structlog

from proofgap.errors import NotAllowedError
from proofgap.facts import RunEvent, SnapshotEvent
from proofgap_store import Ledger, NewRun, UnavailableError
from tests.conformance.lives import ADA, HOME, chain_faults, live, log, tables
from tests.store.children import KEYED
from tests.store.faults import Plan, armed, broken, count, expose, interrupted

BEFORE = {"queue": "previewed", "report": "running", "complete": "running", "create": "draft"}


@pytest.fixture
def exposed(ledger):
    """A ledger whose statements can be broken."""
    return expose(ledger)


def subject_of(ledger, write):
    """Give a record that the write can be done to."""
    if write != "activate":
        return live(ledger, BEFORE[write])
    snapshot = ledger.begin_evidence(live(ledger), ADA).subject
    ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, ADA)
    return snapshot


def places(verbs):
    """List the places at which a write can break: before and after each of its statements."""
    return [(number, side) for number in range(len(verbs)) for side in ("before", "after")]


def broken_at(ledger, work, number, side, fault=broken):
    """Break one statement of some work; tell whether the work was done all the same."""
    before = tables(ledger)
    with pytest.raises((UnavailableError, KeyboardInterrupt)):
        armed(Plan(number, side, fault), work)
    return tables(ledger) != before


@pytest.mark.parametrize("write", ["queue", "report", "complete", "activate"])
@pytest.mark.parametrize("fault", [broken, interrupted])
def test_a_keyed_write_that_broke_anywhere_is_asked_again_and_gives_one_result(exposed, write, fault):
    ledger, subject = exposed, subject_of(exposed, write)
    done = [broken_once(ledger, write, place, fault) for place in places(count(lambda: KEYED[write](ledger, subject)))]
    assert done == [False] * (len(done) - 1) + [True]
    assert chain_faults(log(ledger)) == []


def broken_once(ledger, write, place, fault):
    """Break a write at one place, then ask again under its key; tell whether it had been done in spite of all."""
    subject = subject_of(ledger, write)
    done = broken_at(ledger, lambda: KEYED[write](ledger, subject), *place, fault)
    receipt = KEYED[write](ledger, subject)
    assert receipt.replayed is done
    moves = [event for event in log(ledger) if event.data.get("subject") == subject]
    assert [event.event_id for event in moves if event.type.endswith("transitioned")][-1] == receipt.event_id
    return done


def test_a_birth_that_broke_anywhere_is_asked_again_under_its_key_and_there_is_one_run(exposed):
    done = []
    for place in places(count(lambda: exposed.create(NewRun(), ADA, key="count"))):
        create = partial(exposed.create, NewRun(), ADA, key=f"k-{place}")
        done.append(broken_at(exposed, create, *place))
        runs = len(tables(exposed)["restore_run"])
        assert create().replayed is done[-1]
        assert len(tables(exposed)["restore_run"]) == runs + (not done[-1])
    assert done == [False] * (len(done) - 1) + [True]


def test_without_a_key_a_write_whose_commit_was_reported_lost_meets_the_status_it_led_to(exposed):
    run_id = live(exposed, "running")
    last = len(count(lambda: exposed.fire(run_id, RunEvent.REPORT, ADA))) - 1
    assert broken_at(exposed, lambda: exposed.fire(run_id, RunEvent.COMPLETE, ADA), last, "after")
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
    for number, side in places(count(lambda: work(exposed, run_id))):
        if side == "before":
            assert not broken_at(exposed, lambda: work(exposed, run_id), number, side)
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
def test_a_broken_log_stream_changes_no_result_and_every_lost_line_is_counted(path):
    with Ledger.open(f"sqlite:///{path}", owner=ADA.id) as ledger:
        run_id = ledger.create(NewRun(), ADA, key="k1").run_id
        assert ledger.create(NewRun(), ADA, key="k1").run_id == run_id
        assert ledger.fire(run_id, RunEvent.SCOPE, ADA).status == "scoped"
        assert ledger.diagnose().log_failures == len(log(ledger))
        assert chain_faults(log(ledger)) == []
