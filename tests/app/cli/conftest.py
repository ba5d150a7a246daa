"""A command line of its own for each test: a fresh ledger, a known user, quiet logs."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from proofgap_app.cli import ledgers, run

ROOTS = [str(Path(__file__).parents[3] / root) for root in ("fsm", "persistence", "app")]


class Result(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Give its only line of output as JSON."""
        (line,) = self.out.splitlines()
        return json.loads(line)

    @property
    def problem(self) -> dict[str, Any]:
        """Give its only line on standard error as a problem object."""
        (line,) = self.err.splitlines()
        return json.loads(line)


class Kept(NamedTuple):
    """What the commands that made the first run of a ledger left behind."""

    run_id: str
    files: dict[str, tuple[int, bytes]]


_KEPT: dict[tuple[object, ...], Kept] = {}


def made_once(make: Callable[..., str]) -> Callable[..., str]:
    """Run the commands that make the first run of a ledger for the first test only: later ones get copies of its files."""

    @wraps(make)
    def made(cli: Cli, *given: object) -> str:
        if cli.file.exists():
            return make(cli, *given)
        same = make.__name__, repr(given), repr(ledgers.me()), cli.settings()
        if same in _KEPT:
            cli.put(_KEPT[same].files)
        else:
            _KEPT[same] = Kept(make(cli, *given), cli.files())
        return _KEPT[same].run_id

    return made


class Cli:
    """Runs commands in this process, or as a program."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self._patch, self._capture = folder, monkeypatch, capture
        self.file = folder / "proofgap.db"
        self.url = f"sqlite:///{self.file}"
        self._patch.setenv("PROOFGAP_LEDGER", self.url)
        self._patch.setenv("PROOFGAP_LOG", "off")
        for variable in (
            "PROOFGAP_WORKSPACE",
            "PROOFGAP_ENVIRONMENT",
            "PROOFGAP_DEBUG",
            "PROOFGAP_KEY",
            "PROOFGAP_HEAD",
        ):
            self._patch.delenv(variable, raising=False)
        self.as_user("owner")

    def as_user(self, name: str) -> None:
        """Continue as another operating-system user."""
        self._patch.setattr(ledgers, "operating_system_user", lambda: name)

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Result:
        """Run one command in this process."""
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._capture.readouterr()
        code = run(arguments)
        captured = self._capture.readouterr()
        return Result(int(code), captured.out, captured.err)

    def ok(self, *arguments: str, stdin: bytes = b"") -> Result:
        """Run one command that has to succeed."""
        result = self(*arguments, stdin=stdin)
        assert result.code == 0, result
        return result

    def program(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run one command as a program of its own."""
        command = [sys.executable, "-m", "proofgap_app", *arguments]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS), **options.pop("env", {})}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | options
        if "input" in options:
            del options["stdin"]
        return subprocess.run(command, env=env, check=False, timeout=60, **options)

    def settings(self) -> tuple[tuple[str, str], ...]:
        """Give the variables that commands go by, but for where the ledger is."""
        ours = (pair for pair in os.environ.items() if pair[0].startswith("PROOFGAP_") and pair[1] != self.url)
        return tuple(sorted(ours))

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Read the files of the ledger, with who may read them."""
        return {path.name: (path.stat().st_mode, path.read_bytes()) for path in self.folder.glob("proofgap.db*")}

    def put(self, files: dict[str, tuple[int, bytes]]) -> None:
        """Write the files of a ledger, with who may read them."""
        for name, (mode, content) in files.items():
            path = self.folder / name
            path.write_bytes(content)
            path.chmod(mode)

    @made_once
    def created(self, *options: str) -> str:
        """Create a run and give its id."""
        return self.ok("run", "create", "nightly", "--into", "staging", "--json", *options).json["run_id"]

    @made_once
    def running(self, *options: str) -> str:
        """Create a run, prepare it and start it; give its id."""
        run_id = self.created(*options)
        for event in ("scope", "check", "preview", "queue"):
            self.ok("run", event, run_id)
        self.ok("run", "fire", run_id, "start")
        return run_id

    @made_once
    def ended(self, event: str, facts: dict[str, object] | None = None) -> str:
        """Give the id of a run that ended by an event."""
        run_id = self.running()
        self.ok("run", "fire", run_id, event, "--facts", json.dumps(facts or {}))
        return run_id

    @made_once
    def in_state(self, state: str) -> str:
        """Give the id of a run that means this to its owner."""
        match state:
            case "not_executed":
                return self.created()
            case "in_progress":
                return self.running()
            case "needs_review":
                return self.ended("complete_partially", {"counts": {"total": 3, "failed": 1}})
            case "failed":
                return self.ended("fail", {"end_reason": "tool_aborted"})
            case "blocked_or_cancelled":
                run_id = self.created()
                self.ok("run", "cancel", run_id)
                return run_id
        run_id = self.ended("complete", {"counts": {"total": 48, "succeeded": 44, "skipped": 4}})
        if state == "completed_with_evidence":
            self.ok("evidence", "add", run_id, "--subjects-checked", "44", "--verdict", "match")
        return run_id


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Give a command line with a ledger of its own."""
    return Cli(tmp_path, monkeypatch, capsys)
