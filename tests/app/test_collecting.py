"""Evidence that somebody else collects: apart from the worker that restored, later, of all of the target or of a sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofgap.audit import Actor
from proofgap.errors import ForbiddenError, NotFoundError
from proofgap_app.cli import ledgers
from proofgap_app.drivers import chosen
from proofgap_app.drivers.base import Request
from proofgap_app.worker.gathering import Sample, collect, drawn
from proofgap_store import Ledger
from tests.app.restoring import FILES, Shell, Told, backup_of


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a command line with a ledger of its own."""
    return Shell(tmp_path)


def restored(shell: Shell, folder: Path, kind: str = "tar.gz") -> Told:
    """Restore a backup, with evidence that matches."""
    assert shell.restore_inside(backup_of(kind, folder)).code == 0
    told = shell.last()
    assert told.verdicts == [("active", "match")]
    return told


@pytest.mark.parametrize("kind", ["tar.gz", "db"])
def test_another_worker_looks_again_and_what_it_finds_takes_the_place_of_what_was_found(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
):
    """Nothing was changed meanwhile: the same verdict, by somebody else, and both are on record."""
    run = restored(shell, tmp_path, kind).run["id"]
    assert shell.inside("grant", "e.vidence", "worker", "--workspace", "default").code == 0
    monkeypatch.setattr(ledgers, "operating_system_user", lambda: "e.vidence")
    ran = shell.inside("evidence", "collect", run)
    monkeypatch.undo()
    assert ran.code == 0
    told = shell.last()
    assert told.verdicts == [("superseded", "match"), ("active", "match")]
    with Ledger.open(shell.url, create=False) as ledger:
        acts = [
            event.entry
            for event in ledger.history(run, ledgers.me().id)
            if event.entry["type"].startswith("restore.evi")
        ]
    assert "e.vidence" in {entry["actor"]["id"] for entry in acts}


def test_what_changed_after_the_run_is_found_by_whoever_looks_again(shell: Shell, tmp_path: Path):
    run = restored(shell, tmp_path).run["id"]
    (shell.target / "b.bin").write_bytes(FILES["b.bin"][::-1])
    assert shell.inside("evidence", "collect", run).code == 0
    told = shell.last()
    assert told.verdicts == [("superseded", "match"), ("active", "mismatch")]
    assert told.evidence[-1][1].checks_failed == 1


def test_a_backup_that_is_another_one_by_now_is_compared_with_nothing(shell: Shell, tmp_path: Path):
    run = restored(shell, tmp_path).run["id"]
    backup_of("tar.gz", tmp_path, {"a.txt": b"other\n"})
    ran = shell.inside("evidence", "collect", run)
    assert (ran.code, "it changed since the plan was made" in ran.err) == (1, True)
    assert shell.last().verdicts == [("active", "match"), ("failed", "inconclusive")]


def test_a_sample_follows_from_size_and_seed_and_says_what_it_is(shell: Shell, tmp_path: Path):
    """The same seed draws the same items on every machine; that it is a sample is in the method, for whoever reads the verdict."""
    told = restored(shell, tmp_path)
    ran = shell.inside("evidence", "collect", told.run["id"], "--sample", "2", "--seed", "7")
    assert ran.code == 0
    status, found = shell.last().evidence[-1]
    assert (status, found.verdict, found.subjects_checked, found.checks_total) == ("active", "match", 2, 2)
    assert found.method.endswith("; a sample of 2 of 4 items by seed 7, no difference tolerated")
    driver, request = chosen(None, Request(backup=told.details.backup, target=told.details.target))
    plan = driver.plan(request)
    keys = [tuple(item.key for item in drawn(plan, Sample(2, seed)).items) for seed in range(20)]
    assert keys[7] == tuple(item.key for item in drawn(driver.plan(request), Sample(2, 7)).items)
    assert len(set(keys)) > 1
    assert {len(drawn(plan, Sample(size, 1)).items) for size in (4, 5, 99)} == {4}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sample", "0"), "--sample: 0 items are none"),
        (("--seed", "7"), "--seed: does not go without --sample"),
        (("--sample", "1.5"), "is no whole number"),
    ],
)
def test_a_sample_that_cannot_be_meant_is_refused_and_nothing_is_begun(shell: Shell, tmp_path: Path, words, said):
    run = restored(shell, tmp_path).run["id"]
    ran = shell.inside("evidence", "collect", run, *words)
    assert (ran.code, said in ran.err) == (2, True)
    assert shell.last().verdicts == [("active", "match")]


def test_a_database_is_one_thing_and_is_not_sampled(shell: Shell, tmp_path: Path):
    run = restored(shell, tmp_path, "db").run["id"]
    ran = shell.inside("evidence", "collect", run, "--sample", "1")
    assert (ran.code, "--sample: sqlite looks at the target as a whole" in ran.err) == (2, True)


def test_nobody_collects_of_a_run_that_is_not_theirs_or_has_not_ended(shell: Shell, tmp_path: Path):
    """A stranger learns nothing, a viewer may not; a dry run has executed nothing that could be looked at."""
    run = restored(shell, tmp_path).run["id"]
    assert shell.inside("grant", "v.iewer", "viewer", "--workspace", "default").code == 0
    with Ledger.open(shell.url, create=False) as ledger:
        with pytest.raises(NotFoundError):
            collect(ledger, run, Actor(id="stranger", via="cli"))
        with pytest.raises((ForbiddenError, NotFoundError)):
            collect(ledger, run, Actor(id="v.iewer", via="cli"))
    assert shell.last().verdicts == [("active", "match")]
    shell.restore_inside(backup_of("zip", tmp_path), "--dry-run")
    dry = shell.last().run["id"]
    ran = shell.inside("evidence", "collect", dry)
    assert (ran.code != 0, shell.last().evidence) == (True, [])
    assert FILES.keys() == {name for name in FILES if (shell.target / name).exists()}
