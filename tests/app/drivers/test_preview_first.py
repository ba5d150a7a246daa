"""A preview takes the target's fingerprint before it looks: what changes while it looks is found before it is acted on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proofgap_app.drivers import driver_for, files, sqlite
from proofgap_app.drivers.base import Driver, Plan, Preview, Request, TargetChangedError, no_progress
from tests.app.drivers.conftest import CONTENTS, zip_of


def changing(module: Any, look: str, change: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Change the target as soon as a preview has looked at it."""
    original = getattr(module, look)

    def looked(*arguments: Any, **named: Any) -> Any:
        seen = original(*arguments, **named)
        change()
        return seen

    monkeypatch.setattr(module, look, looked)


def acted_on(driver: Driver, plan: Plan, preview: Preview) -> None:
    """Execute what was previewed."""
    driver.execute(
        plan,
        target_fingerprint=preview.target_fingerprint,
        report=lambda _item: None,
        progress=no_progress,
        should_stop=lambda: False,
    )


def test_a_file_that_appears_behind_the_back_of_a_preview_is_not_written_over(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said that the file would be created; whoever agreed to that did not agree to lose one."""
    backup = zip_of(CONTENTS, tmp_path / "b.zip")
    driver = driver_for(None, backup)
    plan = driver.plan(Request(backup=str(backup), target=str(target), overwrite=True))
    target.mkdir()
    changing(files, "foresee", lambda: (target / "f0").write_bytes(b"mine"), monkeypatch)
    preview = driver.preview(plan)
    with pytest.raises(TargetChangedError):
        acted_on(driver, plan, preview)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {"f0": b"mine"}


def test_a_database_that_appears_behind_the_back_of_a_preview_is_not_written_over(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for a database, which is one file."""
    target = tmp_path / "new.db"
    driver = driver_for(None, database)
    plan = driver.plan(Request(backup=str(database), target=str(target), overwrite=True))
    changing(sqlite, "_place", lambda: target.write_bytes(b"mine"), monkeypatch)
    preview = driver.preview(plan)
    with pytest.raises(TargetChangedError):
        acted_on(driver, plan, preview)
    assert target.read_bytes() == b"mine"
