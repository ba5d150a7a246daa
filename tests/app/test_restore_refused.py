"""A ledger that says no while a restore goes on: the run still has an end, and the evidence a truthful one."""

from __future__ import annotations

import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as changed

from proofgap.access import Role
from proofgap.errors import BadInputError, ForbiddenError, GuardRefusedError, ProofgapError
from proofgap.facts import RunEvent
from proofgap.records import Verdict
from proofgap_app.cli.ledgers import me
from proofgap_app.drivers.base import EvidenceReport, Execution, Report
from proofgap_app.drivers.files import FilesDriver
from proofgap_store import Ledger, Receipt
from tests.app.restoring import FILES, Shell, Witness, backup_of, carried_out, opened, somebody_else, tree

HOME = ("default", "local")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a command line with a ledger of its own."""
    return Shell(tmp_path)


class Meddling(Witness):
    """Does something to the ledger as soon as an event was recorded."""

    def __init__(self, shell: Shell, event: RunEvent, do: Callable[[Ledger], object]) -> None:
        super().__init__()
        self._shell, self._event, self._do = shell, event, do

    def moved(self, receipt: Receipt) -> None:
        """Do it."""
        if receipt.event == self._event:
            with opened(self._shell) as ledger:
                self._do(ledger)


def only_an_operator(ledger: Ledger) -> None:
    """Leave whoever restores the role of somebody who prepares restores and does not execute them."""
    ledger.access.grant(somebody_else().id, Role.ADMIN, HOME, me())
    ledger.access.grant(me().id, Role.OPERATOR, HOME, me())
    ledger.access.grant(me().id, Role.ADMIN, HOME, somebody_else(), revoke=True)


def test_a_run_that_may_not_be_started_is_cancelled_and_does_not_wait_in_the_queue(
    shell: Shell, tmp_path: Path
) -> None:
    """Whoever released it is the only one who would have executed it."""
    with pytest.raises(ForbiddenError):
        carried_out(shell, backup_of("zip", tmp_path), Meddling(shell, RunEvent.QUEUE, only_an_operator))
    told = shell.last()
    assert told.ended == ("blocked_or_cancelled", "cancelled", "cancel_requested")
    assert told.events[-2:] == ["queue", "cancel"]
    assert (told.details.nothing_written, told.evidence, told.counts) == (True, [], {})
    assert list(shell.target.parent.iterdir()) == []


class Lying(FilesDriver):
    """Restores, and says something else of it than what is so."""

    def __init__(self, lie: Callable[[Execution], Execution]) -> None:
        self._lie = lie

    def execute(self, *arguments: Any, **named: Any) -> Execution:
        """Restore, then lie."""
        return self._lie(super().execute(*arguments, **named))


class Stammering(FilesDriver):
    """Restores, and reports its first item twice."""

    def execute(self, *arguments: Any, report: Report, **named: Any) -> Execution:
        """Report."""
        said = []

        def stammer(outcome: Any) -> None:
            report(outcome)
            if not said:
                said.append(outcome)
                report(outcome)

        return super().execute(*arguments, report=stammer, **named)


class Silent(FilesDriver):
    """Restores, and reports no item that it restored but the first."""

    def execute(self, *arguments: Any, report: Report, **named: Any) -> Execution:
        """Report."""
        said: list[Any] = []

        def once(outcome: Any) -> None:
            if not said:
                said.append(outcome)
                report(outcome)

        return super().execute(*arguments, report=once, **named)


REFUSED_ENDS = {
    "an item that was reported twice": (Stammering(), ProofgapError, 0),
    "a completion of more than was reported": (Silent(), GuardRefusedError, 1),
    "an exit code that is no number of this world": (
        Lying(lambda found: replace(found, exit_code=2**60)),
        BadInputError,
        len(FILES),
    ),
}


@pytest.mark.parametrize(("driver", "error", "items"), REFUSED_ENDS.values(), ids=REFUSED_ENDS)
def test_an_end_that_the_ledger_refuses_leaves_no_run_that_seems_to_go_on(
    shell: Shell, tmp_path: Path, driver: FilesDriver, error: type[ProofgapError], items: int
) -> None:
    """It is ended by what is known: whoever executed it did not get to a result, and counts are lower bounds."""
    with pytest.raises(error):
        carried_out(shell, backup_of("zip", tmp_path), Witness(), driver=driver)
    told = shell.last()
    assert told.run["status"] in {"partial", "failed"}
    assert told.decision["state"] in {"needs_review", "failed"}
    assert (len(told.items), told.details.counts_are_lower_bounds, told.evidence) == (items, True, [])
    assert tree(shell.target) == FILES


class Contradicting(FilesDriver):
    """Reads the target, and says something of it that cannot be."""

    def __init__(self, *, checked: bool, **said: object) -> None:
        self._checked, self._said = checked, said

    def collect(self, *arguments: Any, **named: Any) -> EvidenceReport:
        """Look, and contradict it."""
        report = super().collect(*arguments, **named)
        checks = (changed(report.checks[0], result="failed"), *report.checks[1:])
        return EvidenceReport(changed(report.found, **self._said), checks if self._checked else ())


def test_evidence_that_the_ledger_refuses_is_failed_and_not_for_ever_in_progress(shell: Shell, tmp_path: Path) -> None:
    """A match with a check that failed is none; the run keeps its end."""
    with pytest.raises(BadInputError, match="checks failed"):
        carried_out(
            shell, backup_of("zip", tmp_path), Witness(), driver=Contradicting(checked=True, verdict=Verdict.MATCH)
        )
    told = shell.last()
    assert told.ended == ("completed_proof_incomplete", "completed", None)
    assert told.verdicts == [("failed", None)]


def test_evidence_that_claims_to_have_expected_nothing_does_not_count_for_a_plan_that_did_not(
    shell: Shell, tmp_path: Path
) -> None:
    """That nothing was to be expected is said by the plan, before anybody looked."""
    driver = Contradicting(checked=False, expected_empty=True, subjects_checked=0)
    with pytest.raises(GuardRefusedError) as refused:
        carried_out(shell, backup_of("zip", tmp_path), Witness(), driver=driver)
    assert refused.value.guard == "subjects_were_checked"
    assert (shell.last().ended[0], shell.last().verdicts) == ("completed_proof_incomplete", [("failed", None)])


LONG = "/".join(["d" * 200] * 22)


def test_names_longer_than_what_people_may_write_are_recorded_like_any_other(shell: Shell, tmp_path: Path) -> None:
    """More than 4,000 characters: what the system takes is restored, what it does not take costs one item."""
    path = tmp_path / "long.zip"
    names = (LONG, "n" * 5_000, "a.txt")
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    carried_out(shell, replace(backup_of("zip", tmp_path), path=path), Witness())
    told = shell.last()
    assert {item.key for item in told.items} == set(names)
    assert (shell.target / "a.txt").read_bytes() == b"x"
    assert (told.run["status"], told.counts["total"]) == ("partial", 3)
    assert [item.reason_code for item in told.items if item.key.startswith("n")] == ["name_too_long"]
    assert [status for status, _ in told.verdicts] == ["active"]


def test_a_database_of_400_tables_is_restored_and_its_evidence_names_them_all(shell: Shell, tmp_path: Path) -> None:
    """One of the checks compares the list of all tables, as one text."""
    path = tmp_path / "wide.db"
    with closing(sqlite3.connect(path)) as connection:
        for number in range(400):
            connection.execute(f"CREATE TABLE a_table_with_a_long_name_{number} (x)")
        connection.commit()
    told = carried_out(shell, replace(backup_of("zip", tmp_path), path=path), Witness())
    assert told.ended == ("completed_with_evidence", "completed", None)
    assert (told.counts, told.verdicts) == ({"total": 400, "succeeded": 400}, [("active", "match")])
