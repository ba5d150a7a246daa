"""Our own drivers are held to what is asked of everybody's; and drivers that are wrong are found out."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from proofgap.facts import ItemResult
from proofgap_app.drivers.base import Request
from proofgap_app.drivers.borg import BorgDriver
from proofgap_app.drivers.conformance import DriverConformance, Scene
from proofgap_app.drivers.files import FilesDriver
from proofgap_app.drivers.restic import ResticDriver
from proofgap_app.drivers.sqlite import SqliteDriver
from tests.app.restoring import Backup, backup_of, tree
from tests.app.tools.repositories import PASSWORD, Kit, key_of, place_of


class OfFiles(Scene):
    """A backup of files, in whatever holds it."""

    driver = FilesDriver

    def __init__(self, backup: Backup, target: Path) -> None:
        self.backup, self.target = backup, target
        self.request = Request(backup=str(backup.path), target=str(target))

    def held(self) -> set[str]:
        return {key_of(name) for name in self.backup.held(self.target)}

    def seen(self) -> object:
        return tree(self.target)

    def spoil(self) -> None:
        path = self.target / "a.txt"
        path.write_bytes(path.read_bytes()[::-1])

    def lose(self) -> None:
        self.request.backup_path.unlink()


class OfDatabase(OfFiles):
    """A backup of a database, whose items are tables."""

    driver = SqliteDriver

    def seen(self) -> object:
        return self.target.read_bytes() if self.target.exists() else None

    def spoil(self) -> None:
        with closing(sqlite3.connect(self.target)) as connection:
            connection.execute("UPDATE customer SET name = 'customer X' WHERE id = 7")
            connection.commit()


class OfRepository(OfFiles):
    """A repository of a tool, opened with a password file."""

    secret = PASSWORD

    def __init__(self, kit: Kit, folder: Path, password_file: Path) -> None:
        backup = kit.copy(folder)
        super().__init__(backup, folder / "target")
        self.driver = {"restic": ResticDriver, "borg": BorgDriver}[kit.name]
        self.request = Request(backup=str(place_of(backup)), target=str(self.target), password_file=password_file)
        self.request = self.driver().settled(self.request)

    def lose(self) -> None:
        shutil.rmtree(place_of(self.backup))


class TestTarArchives(DriverConformance):
    """Our driver for files, on tar archives."""

    def scene(self, folder: Path) -> Scene:
        return OfFiles(backup_of("tar.gz", folder), folder / "target")


class TestSqlite(DriverConformance):
    """Our driver for databases."""

    def scene(self, folder: Path) -> Scene:
        return OfDatabase(backup_of("db", folder), folder / "target.db")


class _TestTool(DriverConformance):
    @pytest.fixture(autouse=True)
    def _tool(self, request: pytest.FixtureRequest, environment: Path) -> None:
        self.kit: Kit = request.getfixturevalue(self.name)
        self.password_file = environment

    def scene(self, folder: Path) -> Scene:
        return OfRepository(self.kit, folder, self.password_file)


class TestRestic(_TestTool):
    """Our driver for restic, with restic."""

    name = "restic"


class TestBorg(_TestTool):
    """Our driver for BorgBackup, with borg."""

    name = "borg"


class Boaster(FilesDriver):
    """Says that every item succeeded."""

    def execute(self, plan, **how):
        given = how.pop("report")
        return super().execute(plan, report=lambda item: given(_better(item)), **how)


def _better(item):
    return replace(item, result=ItemResult.SUCCEEDED)


class Forgetful(FilesDriver):
    """Reports nothing of the last item."""

    def execute(self, plan, **how):
        given, seen = how.pop("report"), []
        done = super().execute(plan, report=seen.append, **how)
        for item in seen[:-1]:
            given(item)
        return done


class Believer(FilesDriver):
    """Takes what it restored for evidence."""

    last = None

    def collect(self, plan, **how):
        type(self).last = type(self).last or super().collect(plan, **how)
        return type(self).last


class Careless(FilesDriver):
    """Writes whatever the target has become."""

    def execute(self, plan, **how):
        return super().execute(plan, **how | {"target_fingerprint": None})


@pytest.mark.parametrize(
    ("wrong", "rule", "words"),
    [
        (Boaster, "test_a_stop_leaves_nothing_on_record_that_is_not_in_the_target", "counts are those of reports"),
        (Forgetful, "test_every_item_is_reported_once_and_the_counts_are_what_is_in_the_target", "exactly once"),
        (Careless, "test_a_target_that_changed_since_the_preview_is_not_written_to", "TargetChangedError"),
    ],
)
def test_a_driver_that_is_wrong_is_found_out(tmp_path: Path, wrong, rule, words):
    """A kit that cannot fail holds nobody to anything."""

    class Wrong(TestTarArchives):
        def scene(self, folder):
            scene = super().scene(folder)
            scene.driver = wrong
            return scene

    with pytest.raises(AssertionError, match=words):
        getattr(Wrong(), rule)(tmp_path)


def test_a_driver_that_believes_itself_is_found_out(tmp_path: Path):
    """Its first evidence is right, and kept; the second one should have found the change."""

    class Wrong(TestTarArchives):
        def scene(self, folder):
            scene = super().scene(folder)
            scene.driver = Believer
            return scene

    for number, rule in enumerate(("compares_the_target_with_the_backup", "finds_a_change_that_leaves_name_and_size")):
        folder = tmp_path / str(number)
        folder.mkdir()
        check = getattr(Wrong(), f"test_evidence_{rule}")
        if number == 0:
            check(folder)
            continue
        with pytest.raises(AssertionError, match="another content is a mismatch"):
            check(folder)
