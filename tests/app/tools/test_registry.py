"""Drivers are found by their entry points; one that is broken is an error of that driver alone."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from proofgap.errors import BadInputError
from proofgap_app import drivers
from proofgap_app.cli import worker
from proofgap_app.drivers.base import Request
from proofgap_app.drivers.files import FilesDriver
from tests.app.restoring import Shell, backup_of

HERE = "tests.app.tools.test_registry"


class Renamed(FilesDriver):
    """Calls itself something else than its entry point."""

    name = "other"


class Dying:
    """Cannot even be made."""

    def __init__(self) -> None:
        raise OSError("no licence\x1b[31m")


class Thin:
    """Offers next to nothing."""

    name = "thin"


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch):
    """Let further entry points be installed."""
    ours = drivers._installed()

    def offer(**values: str) -> None:
        more = [EntryPoint(name, value, drivers.GROUP) for name, value in values.items()]
        monkeypatch.setattr(drivers, "_installed", lambda: [*ours, *more])

    return offer


def test_our_own_drivers_are_installed_like_anybodys():
    assert {"files", "sqlite"} <= set(drivers.names())


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("gone", "no_such_module:Driver", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("dying", f"{HERE}:Dying", "OSError: no licence\\x1b[31m"),
        ("thin", f"{HERE}:Thin", "it lacks options, settled, plan, preview, place, fingerprint, execute, collect"),
        ("renamed", f"{HERE}:Renamed", "it calls itself 'other'"),
    ],
)
def test_a_broken_driver_is_named_with_its_reason_and_the_others_work(offered, tmp_path: Path, name, value, reason):
    offered(**{name: value})
    shell, backup = Shell(tmp_path), backup_of("zip", tmp_path)
    ran = shell.restore_inside(backup, "--driver", name)
    assert (ran.code, shell.runs()) == (2, 0)
    assert ran.err.startswith(f"proofgap: --driver: '{name}' of a package without a name cannot be used ({reason})")
    assert shell.restore_inside(backup).code == 0


def test_a_driver_that_lacks_a_package_names_the_extra_that_brings_it_and_no_worker_offers_it(monkeypatch):
    """It is declared with its entry point, as that of PostgreSQL is; a worker that took its runs could only fail them."""
    ours = next(point for point in drivers._installed() if point.name == "files")
    lacking = EntryPoint("tape", "no_such_module:Driver [tapes]", drivers.GROUP)._for(ours.dist)
    monkeypatch.setattr(drivers, "_installed", lambda: [ours, lacking])
    with pytest.raises(BadInputError, match=r"\(ModuleNotFoundError.*pip install 'proofgap\[tapes\]'\.$"):
        drivers.driver_for("tape", Path())
    assert drivers.names() == ("files", "tape")
    assert drivers.usable() == worker.wanted().drivers == ("files",)
    with pytest.raises(BadInputError, match=r"^--driver: 'tape' of proofgap"):
        worker.wanted(worker.Labels(driver=("tape",)))


def test_what_an_entry_point_says_that_its_driver_needs_is_an_extra_of_the_package():
    for point in drivers._installed():
        assert set(point.extras) <= set(point.dist.metadata.get_all("Provides-Extra")), point
    assert [point.extras for point in drivers._installed() if point.name == "postgresql"] == [["postgres"]]


def test_two_packages_with_one_name_are_refused_rather_than_chosen_between(offered):
    offered(files=f"{HERE}:Renamed")
    with pytest.raises(BadInputError, match="'files' is offered by several packages"):
        drivers.driver_for("files", Path())
    assert drivers.driver_for("sqlite", Path()).name == "sqlite"


def test_a_driver_that_nobody_has_is_refused_with_those_there_are():
    with pytest.raises(BadInputError, match=r"'tape' is not a driver. Use one of: .*files.*; or install"):
        drivers.driver_for("tape", Path())


def test_the_name_before_the_colon_chooses_the_driver_and_a_file_may_still_have_a_colon(tmp_path: Path):
    backup = backup_of("zip", tmp_path).path
    target = str(tmp_path / "t")
    driver, request = drivers.chosen(None, Request(backup=f"files:{backup}", target=target))
    assert (driver.name, request.backup) == ("files", str(backup))
    odd = backup.rename(tmp_path / "tape:x.zip")
    assert drivers.chosen(None, Request(backup=str(odd), target=target))[1].backup == str(odd)
    odd = odd.rename(tmp_path / "files:x.zip")
    assert drivers.chosen("files", Request(backup=str(odd), target=target))[1].backup == str(odd)


def test_a_backup_that_names_a_driver_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    """Neither a path nor a driver: both ways to put it right are named."""
    with pytest.raises(
        BadInputError, match=r"does not exist\. Name an archive.*installed here before the colon: .*files"
    ):
        drivers.chosen(None, Request(backup="tpae:/x", target=str(tmp_path)))
    with pytest.raises(BadInputError, match=r"does not exist\. Name an archive, directory or database\.$"):
        drivers.chosen(None, Request(backup=str(tmp_path / "none"), target=str(tmp_path)))
