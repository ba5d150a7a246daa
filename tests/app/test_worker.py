"""``proofgap worker``, ``queue`` and ``drill``: what a machine does that executes what is queued, and what operators see of it."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from proofgap.facts import RunEvent
from proofgap.records import RunDetails
from proofgap_app.cli.ledgers import me
from proofgap_app.cli.worker import warn_of_powers
from proofgap_app.drivers import names
from proofgap_app.drivers.base import Plan, Request
from proofgap_app.drivers.files import FilesDriver
from proofgap_app.worker.health import served
from proofgap_app.worker.lease import here
from proofgap_app.worker.serve import Crew
from proofgap_app.worker.unattended import Hands
from proofgap_store import InlineDispatcher, Ledger, NewDrill, NewRun, NewWorker
from proofgap_store.dispatching import Execute, never
from tests import postgresql
from tests.app.restoring import Backup, Shell, backup_of, opened, tree, wait_for

WORKER = replace(me(), kind="worker", via="worker")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a command line with a ledger of its own."""
    return Shell(tmp_path)


@contextmanager
def working(shell: Shell, **new: Any) -> Iterator[Crew]:
    """Let a worker work in this process."""
    wanted = NewWorker(**{"name": "-", "lease_us": 2_000_000, "drivers": names(), **new})
    with opened(shell) as ledger:
        ledger.fleet.deliver_by(InlineDispatcher(idle_seconds=0.02))
        hands = Hands(ledger=ledger, actor=WORKER, patience_s=5)
        crew = Crew(ledger=ledger, actor=WORKER, new=here(wanted), body=hands.execute, look_after=hands.look_after)
        thread = threading.Thread(target=crew.work)
        thread.start()
        try:
            yield crew
        finally:
            crew.drain()
            thread.join()


def queued(shell: Shell, of: Backup, **details: Any) -> str:
    """Queue a run by hand, as somebody without a driver at hand does it."""
    wanted = {"backup": str(of.path), "target": str(shell.target), "driver": "files", **details}
    with opened(shell) as ledger:
        run_id = ledger.create(NewRun(details=RunDetails(**wanted)), me()).run_id
        for event in ("scope", "check", "preview", "queue"):
            ledger.fire(run_id, RunEvent(event), me())
    return run_id


def ended(shell: Shell, run_id: str) -> bool:
    """Tell whether a run has ended, and its evidence too."""
    with opened(shell) as ledger:
        record = ledger.peek(run_id, me())
    pending = [row for row in record.evidence if row.status in {"queued", "generating"}]
    return (
        record.status not in {"queued", "running"}
        and not pending
        and bool(record.evidence or record.details.nothing_written)
    )


def test_a_run_that_was_queued_by_hand_is_executed_as_its_record_says(shell: Shell, tmp_path: Path) -> None:
    """Backup, target and driver of the record suffice; what comes of it has evidence."""
    backup = backup_of("tar", tmp_path)
    run_id = queued(shell, backup)
    with working(shell) as crew:
        wait_for(lambda: ended(shell, run_id))
    told = shell.last()
    told.counts_are_true(backup, shell.target)
    assert told.ended == ("completed_with_evidence", "completed", None)
    assert told.verdicts == [("active", "match")]
    assert (crew.counts["claimed"], crew.counts["ended"], crew.executing) == (1, 1, 0)


def test_a_backup_that_changed_since_the_preview_fails_the_run_and_nothing_is_written(
    shell: Shell, tmp_path: Path
) -> None:
    """What was previewed is what is restored, or nothing."""
    backup = backup_of("tar", tmp_path)
    with opened(shell) as ledger:
        details = RunDetails(backup=str(backup.path), target=str(shell.target), driver="files")
        run_id = ledger.create(NewRun(details=details), me()).run_id
        ledger.fire(run_id, RunEvent.SCOPE, me())
        ledger.fire(run_id, RunEvent.CHECK, me(), given=RunDetails(plan_digest="another plan"))
        for event in (RunEvent.PREVIEW, RunEvent.QUEUE):
            ledger.fire(run_id, event, me())
    with working(shell):
        wait_for(lambda: ended(shell, run_id))
    told = shell.last()
    assert (told.ended, told.details.nothing_written) == (("failed", "failed", "validation"), True)
    assert not shell.target.exists()


@pytest.mark.parametrize(
    "change", [{"target": None}, {"backup": "/nowhere/at/all.tar"}], ids=["no target", "no backup"]
)
def test_a_run_whose_record_does_not_suffice_fails_with_nothing_written(
    shell: Shell, tmp_path: Path, change: dict[str, Any]
) -> None:
    """It is said why, and the worker goes on."""
    run_id = queued(shell, backup_of("tar", tmp_path), **change)
    with working(shell) as crew:
        wait_for(lambda: ended(shell, run_id))
        wait_for(lambda: crew.counts["failed"] == 1)
    assert shell.last().ended == ("failed", "failed", "validation")


def test_a_run_of_no_driver_or_of_one_that_is_not_here_waits(shell: Shell, tmp_path: Path) -> None:
    """Whoever has it, or knows what to do without one, can still take it."""
    backup = backup_of("tar", tmp_path)
    waiting = [queued(shell, backup, driver=None), queued(shell, backup, driver="some other tool")]
    done = queued(shell, backup)
    with working(shell):
        wait_for(lambda: ended(shell, done))
    with opened(shell) as ledger:
        assert [ledger.peek(run_id, me()).status for run_id in waiting] == ["queued", "queued"]


def test_a_run_whose_target_somebody_else_restores_into_fails_as_busy(shell: Shell, tmp_path: Path) -> None:
    """The lock of the target holds for workers, too."""
    from proofgap_app.worker.target_lock import hold  # noqa: PLC0415 - this test only

    backup = backup_of("tar", tmp_path)
    run_id = queued(shell, backup)
    with hold(shell.target, "rr_other"), working(shell):
        wait_for(lambda: ended(shell, run_id))
    assert shell.last().ended == ("failed", "failed", "target_busy")
    assert not shell.target.exists()


def test_a_worker_is_one_command_that_ends_well_on_a_signal(shell: Shell, tmp_path: Path) -> None:
    """Its log lines are JSON, and it retires."""
    backup = backup_of("tar", tmp_path)
    run_id = queued(shell, backup)
    process = shell.start("worker", "--lease", "5s", "--log", "json", "--metrics", "0")
    try:
        wait_for(lambda: ended(shell, run_id))
        process.send_signal(signal.SIGTERM)
        ran = shell.finish(process)
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    lines = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
    assert (ran.code, ran.out, tree(shell.target)) == (0, "", backup.contents)
    assert {"worker.began", "worker.claimed", "worker.ended", "worker.retired"} <= {line["event"] for line in lines}
    assert "Health and metrics: http://127.0.0.1:" in ran.err


def test_health_and_metrics_say_how_a_worker_is(shell: Shell, tmp_path: Path) -> None:
    """On the loopback interface, and nothing else is served there."""
    run_id = queued(shell, backup_of("tar", tmp_path))
    with working(shell) as crew, served(crew, 0) as port:
        wait_for(lambda: ended(shell, run_id))
        wait_for(lambda: crew.counts["ended"] == 1)
        with urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
            assert json.load(answer)["has_lease"]
        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
        with pytest.raises(HTTPError, match="404") as refused:
            urlopen(f"http://127.0.0.1:{port}/")
        refused.value.close()
        crew.lease.failed_beats = 3  # type: ignore[union-attr]  # it has one
        with pytest.raises(HTTPError, match="503") as unwell:
            urlopen(f"http://127.0.0.1:{port}/healthz")
        unwell.value.close()
    assert "proofgap_worker_claimed_total 1\n" in text
    assert "proofgap_queue_waiting 0\n" in text
    assert all(line.startswith(("#", "proofgap_")) for line in text.splitlines())


@pytest.mark.parametrize(("options", "words"), [
    (("--metrics", "70000"), "--metrics"), (("--lease", "soon"), "--lease"), (("--driver", "tape"), "'tape' is not a driver"),
    (("--concurrency", "0"), "--concurrency"), (("--serve", "production"), "--serve"), (("--lease", "1ms"), "--lease"),
])  # fmt: skip
def test_options_that_are_none_are_refused_in_one_line(shell: Shell, options: tuple[str, ...], words: str) -> None:
    """Exit code 2, the option is named, and no worker is registered."""
    opened(shell).close()
    ran = shell.inside("worker", *options)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert words in ran.err
    with opened(shell) as ledger:
        assert ledger.fleet.queue(me()).workers == ()


def test_a_run_whose_execution_breaks_off_without_an_end_is_ended_by_the_worker_that_lives_on(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for a run that is over; what was reported is a lower bound."""
    run_id = queued(shell, backup_of("tar", tmp_path))

    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(Hands, "execute", broken)
    with working(shell) as crew, opened(shell) as ledger:
        wait_for(lambda: ledger.peek(run_id, me()).status == "failed")
        assert crew.counts["failed"] == 1
    told = shell.last()
    assert (told.ended, told.details.counts_are_lower_bounds) == (("failed", "failed", "tool_aborted"), True)


def lost(shell: Shell, backup: Backup) -> str:
    """Leave an environment behind that the run of a lost worker holds; give the run."""
    run_id = queued(shell, backup)
    with opened(shell) as ledger:
        worker = ledger.fleet.register(NewWorker(name="gone:1", lease_us=100_000), me())
        ledger.fleet.claim(worker.id, me())
        time.sleep(0.15)
        assert ledger.fleet.reap(me()).failed == (run_id,)
    return run_id


def test_operators_see_what_waits_what_is_held_and_why_and_release_it(shell: Shell, tmp_path: Path) -> None:
    """In words, in JSON, and in the log; a restore there says what to do until then."""
    backup = backup_of("tar", tmp_path)
    gone = lost(shell, backup)
    behind = queued(shell, backup)
    ran = shell.inside("queue")
    rows = [line.split("\t") for line in ran.out.splitlines()]
    assert [row[:3] for row in rows] == [["held", gone, "default/local"], ["waiting", behind, "default/local"]]
    assert (rows[0][4], rows[1][4]) == ("worker_lost", f"behind {gone}")
    assert "proofgap queue release default/local" in ran.err
    sheet = shell.inside("show", gone).out
    for said in ("Nothing starts there until somebody has looked.", "proofgap queue release default/local"):
        assert said in sheet
    document = json.loads(shell.inside("queue", "--json").out)
    assert [(held["run"], held["needs_release"]) for held in document["held"]] == [(gone, True)]
    blocked = shell.restore_inside(backup)
    assert (blocked.code, "its worker was lost" in blocked.err) == (15, True)
    released = shell.inside("queue", "release", "local", "--note", "looked")
    assert (released.code, released.out.startswith("default/local is released")) == (0, True)
    assert shell.inside("queue", "release", "default/local").code == 7
    assert "Still held" not in shell.inside("show", gone).out
    assert json.loads(shell.inside("show", gone, "--json").out)["run"]["holds_environment"] is False
    with working(shell):
        wait_for(lambda: ended(shell, behind))
    assert "Nothing waits" in shell.inside("queue").err


def test_a_drill_restores_at_its_tick_with_evidence_and_purpose_test(shell: Shell, tmp_path: Path) -> None:
    """Declared once; a worker does the rest, each time into a place of its own."""
    backup = backup_of("tar", tmp_path)
    opened(shell).close()
    into = f"{shell.target}/{{tick}}"
    ran = shell.inside("drill", "declare", "* * * * * *", backup.path, "--into", into, "--rto", "1h")
    drill = ran.out.split("\t")[0]
    assert (ran.code, drill[:3]) == (0, "dr_")
    with working(shell) as crew:
        wait_for(lambda: crew.counts["ended"] >= 2)
        assert shell.inside("drill", "retire", drill).code == 0
    runs = _runs(shell)
    finished = sorted((record for record in runs if record.status == "completed"), key=lambda record: record.id)
    assert len(finished) >= 2
    assert {record.details.purpose for record in runs} == {"test"}
    assert {record.evidence[0].details.verdict for record in finished} == {"match"}
    assert {record.details.target for record in finished} == {str(place) for place in shell.target.iterdir()}
    assert json.loads(shell.inside("drill", "list", "--json").out)["is_active"] is False


def test_a_drill_that_finds_everything_in_place_as_the_one_before_left_it_proves_nothing(
    shell: Shell, tmp_path: Path
) -> None:
    declared(shell, backup_of("tar", tmp_path))
    with working(shell) as crew:
        wait_for(lambda: crew.counts["ended"] >= 2)
    finished = sorted((record for record in _runs(shell) if record.status == "completed"), key=lambda record: record.id)
    first, *later = (record.evidence[0].details.verdict for record in finished)
    assert (first, set(later)) == ("match", {"inconclusive"})


def declared(shell: Shell, backup: Backup, **details: Any) -> str:
    """Declare a drill that is due every second; give its id."""
    wanted = {"backup": str(backup.path), "target": str(shell.target), "driver": "files", **details}
    with opened(shell) as ledger:
        new = NewDrill(cron="* * * * * *", details=RunDetails(**wanted), overwrite=True)
        return ledger.fleet.declare_drill(new, me()).id


def test_a_driver_that_breaks_while_a_drill_is_prepared_ends_that_run_and_not_the_worker(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next worker that looks would end as well, and the one after it."""

    def broken(*_: object) -> None:
        raise RuntimeError("a bug in the driver")

    monkeypatch.setattr(FilesDriver, "plan", broken)
    declared(shell, backup_of("tar", tmp_path))
    with working(shell) as crew:
        wait_for(lambda: [record.status for record in _runs(shell)].count("cancelled") >= 2)
        assert crew.lease is not None
        assert not crew.lease.is_lost
    assert {record.details.end_reason for record in _runs(shell) if record.status == "cancelled"} == {"validation"}


def test_a_drill_whose_driver_is_none_ends_its_run_as_blocked(shell: Shell, tmp_path: Path) -> None:
    """What became of a tick is on record; no draft waits for ever, and is tried again and again."""
    declared(shell, backup_of("tar", tmp_path), driver="tape")
    with working(shell, drivers=("tape",)):
        wait_for(lambda: [record.status for record in _runs(shell)].count("cancelled") >= 1)


@pytest.mark.parametrize("labels", [{"environments": ("default/other",)}, {"drivers": ("sqlite",)}], ids=str)
def test_a_worker_fires_no_drill_that_its_labels_keep_it_from(
    shell: Shell, tmp_path: Path, labels: dict[str, Any]
) -> None:
    """It has not the backup, perhaps, and would say that there is none."""
    declared(shell, backup_of("tar", tmp_path))
    with opened(shell) as ledger:
        ledger.access.declare_environment(("default", "other"), me())
    looked = threading.Event()
    with working(shell, **labels) as crew:
        look_after, crew.look_after = crew.look_after, lambda *given: (look_after(*given), looked.set())[0]
        time.sleep(1.1)
        assert looked.wait(10)
    assert _runs(shell) == []


def test_a_worker_that_just_came_gives_the_others_time_to_beat(shell: Shell) -> None:
    """After the database was away everybody was silent for longer than a lease, and nobody is lost."""
    with opened(shell) as ledger:
        other = ledger.fleet.register(NewWorker(name="x", lease_us=100_000), me())
        time.sleep(0.15)
        with working(shell, lease_us=30_000_000) as crew:
            wait_for(lambda: crew.lease is not None)
            time.sleep(0.3)
            assert not ledger.fleet.beat(other.id, me()).is_lost


def left_running(shell: Shell, backup: Backup) -> str:
    """Leave a run behind whose process was killed, and that nobody has looked at."""
    run_id = queued(shell, backup)
    with opened(shell) as ledger:
        worker = ledger.fleet.register(NewWorker(name="gone:1", lease_us=100_000), me())
        ledger.fleet.claim(worker.id, me())
    time.sleep(0.15)
    return run_id


def test_where_no_worker_works_the_next_restore_finds_out_that_the_one_before_was_killed(
    shell: Shell, tmp_path: Path
) -> None:
    """Else its run would be running for ever, and hold the environment."""
    backup = backup_of("tar", tmp_path)
    gone = left_running(shell, backup)
    ran = shell.restore_inside(backup)
    assert (
        ran.code,
        "its worker was lost. See that no tool is at work there; then: proofgap queue release" in ran.err,
    ) == (15, True)
    assert {record.id: record.status for record in _runs(shell)}[gone] == "failed"


def test_releasing_an_environment_finds_out_that_its_run_was_killed(shell: Shell, tmp_path: Path) -> None:
    """Whoever was at the machine knows it; the lease has run out; no worker need be there."""
    backup = backup_of("tar", tmp_path)
    left_running(shell, backup)
    assert shell.inside("queue", "release", "local").code == 0
    assert shell.restore_inside(backup).code == 0


def _runs(shell: Shell) -> list[Any]:
    with Ledger.open(shell.url, create=False) as ledger:
        return [row.record for row in ledger.list_runs(me().id, me()).rows]


def test_a_worker_reaps_on_while_a_drill_is_prepared(shell: Shell, tmp_path: Path) -> None:
    """A preview reads a whole backup: nobody waits for that."""
    began, may_end = threading.Event(), threading.Event()
    with working(shell, lease_us=900_000, drivers=("sqlite",)) as crew:  # it claims none of this test's runs
        crew.look_after = lambda *_given: (began.set(), may_end.wait(60))[0]
        assert began.wait(30)
        lost = left_running(shell, backup_of("tar", tmp_path))
        wait_for(lambda: crew.ledger.peek(lost, me()).status == "failed")
        may_end.set()


def test_a_worker_that_previews_a_large_drill_decides_the_others_and_fires_nothing_more_of_that_one(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else ticks of small drills are missed for a large one, or its runs pile up."""
    plan, began, may_end = FilesDriver.plan, threading.Event(), threading.Event()
    for name in ("large", "small"):
        (tmp_path / name).mkdir()
    large, small = (backup_of("tar", tmp_path / name) for name in ("large", "small"))

    def slow(driver: FilesDriver, request: Request) -> Plan:
        if request.backup == str(large.path):
            began.set()
            may_end.wait(60)
        return plan(driver, request)

    monkeypatch.setattr(FilesDriver, "plan", slow)
    declared(shell, large)
    with working(shell, concurrency=2) as crew:
        try:
            assert began.wait(30)
            declared(shell, small, target=f"{shell.target}/{{tick}}")
            wait_for(lambda: crew.counts["ended"] >= 2)
            (only,) = (record for record in _runs(shell) if record.details.backup == str(large.path))
        finally:
            may_end.set()
        wait_for(lambda: ended(shell, only.id))


def test_a_worker_that_is_told_twice_to_end_does_not_wait_for_a_drill_that_is_being_prepared(shell: Shell) -> None:
    """A preview reads a whole backup, and nothing of it is lost: others take the drill up."""
    began, may_end = threading.Event(), threading.Event()
    with opened(shell) as ledger:
        ledger.fleet.deliver_by(InlineDispatcher(idle_seconds=0.02))
        crew = Crew(
            ledger=ledger, actor=WORKER, new=here(NewWorker(name="-", lease_us=900_000)), body=lambda _job: None
        )
        crew.look_after = lambda *_given: (began.set(), may_end.wait(60))[0]
        thread = threading.Thread(target=crew.work)
        thread.start()
        try:
            assert began.wait(30)
            crew.halt()
            thread.join(20)
            assert not thread.is_alive()
        finally:
            may_end.set()
            thread.join()


def test_what_an_engine_brings_after_the_drain_began_is_left_to_others(shell: Shell, tmp_path: Path) -> None:
    run_id = queued(shell, backup_of("tar", tmp_path))
    answers = []

    class Late(InlineDispatcher):
        def serve(self, execute: Execute, *, name: str, concurrency: int, stop: threading.Event) -> None:
            crew.drain()
            answers.append(execute(run_id, never))

    with opened(shell) as ledger:
        ledger.fleet.deliver_by(Late())
        wanted = here(NewWorker(name="-", lease_us=2_000_000, drivers=names()))
        hands = Hands(ledger=ledger, actor=WORKER, patience_s=5)
        crew = Crew(ledger=ledger, actor=WORKER, new=wanted, body=hands.execute)
        crew.work()
        assert ([False], "queued") == (answers, ledger.peek(run_id, me()).status)


@pytest.mark.parametrize(("groups", "powers"), [((), 3), (("app",), 0)])
def test_a_worker_that_no_guard_holds_says_so_when_it_begins(
    tmp_path: Path, groups: tuple[str, ...], powers: int
) -> None:
    """A superuser could switch off what keeps the log; whoever only appends to it cannot."""
    with postgresql.database() as url:
        Ledger.open(url, owner=me().id, key=tmp_path / "key").close()
        login = postgresql.as_member(url, *groups) if groups else url
        with Ledger.open(login, create=False, key=tmp_path / "key") as ledger, capture_logs() as lines:
            warn_of_powers(ledger)
    assert len([line for line in lines if line["event"] == "worker.held_by_no_guard"]) == powers
