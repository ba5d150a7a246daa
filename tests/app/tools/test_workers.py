"""A worker that has nothing but the record executes a run of a tool, and a drill takes the newest snapshot each time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from proofgap.records import RunRecord
from proofgap_app.cli.ledgers import me
from proofgap_app.drivers import names
from proofgap_app.worker.lease import here
from proofgap_app.worker.serve import Crew
from proofgap_app.worker.unattended import Hands
from proofgap_store import InlineDispatcher, NewWorker
from tests.app.restoring import Backup, Shell, opened, wait_for
from tests.app.tools.repositories import PASSWORD, SMALL, Kit, call, is_nowhere, place_of, written


def worked(shell: Shell, until: Callable[[], bool]) -> None:
    """Let a worker work in this process until something is so."""
    with opened(shell) as ledger:
        ledger.fleet.deliver_by(InlineDispatcher(idle_seconds=0.02))
        actor = replace(me(), kind="worker", via="worker")
        hands = Hands(ledger=ledger, actor=actor, patience_s=5)
        new = here(NewWorker(name="-", lease_us=5_000_000, drivers=names()))
        crew = Crew(ledger=ledger, actor=actor, new=new, body=hands.execute, look_after=hands.look_after)
        thread = threading.Thread(target=crew.work)
        thread.start()
        try:
            wait_for(until, 90)
        finally:
            crew.drain()
            thread.join()


def test_a_drill_of_a_repository_is_executed_by_a_worker_from_its_record_alone(
    shell: Shell, restic: Kit, tmp_path: Path, environment: Path
):
    """Repository, snapshot, options and where the password is are on record; what the password is, is not."""
    backup = restic.copy(tmp_path)
    added = shell.inside(
        *("drill", "declare", "*/2 * * * * *", f"{backup.path}#latest", "--into", shell.target, "--json"),
        *("--password-file", environment, "--option", "source=complete"),
    )
    assert added.code == 0, added.err
    newer = SMALL | {"new.txt": b"new\n"}
    call("restic", "--repo", place_of(backup), "backup", ".", folder=written(tmp_path / "newer", newer))

    def looked_at() -> list[RunRecord]:
        with opened(shell) as ledger:
            records = [row.record for row in ledger.list_runs(me().id, me()).rows]
        return [one for one in records if any(snapshot.status == "active" for snapshot in one.evidence)]

    worked(shell, lambda: bool(looked_at()))
    run = looked_at()[0]
    assert (run.status, run.details.item_counts.succeeded, run.details.item_counts.total) == ("completed", 9, 9)
    assert [snapshot.details.verdict for snapshot in run.evidence] == ["match"]
    assert (run.details.source_completeness, run.details.password_file) == ("complete", str(environment))
    assert Backup(backup.path, newer).held(shell.target) == newer.keys()
    assert is_nowhere(PASSWORD, tmp_path)
