"""``make demo``: four real restores of real data, each ending in another decision, and what the ledger says of them.

Owns the story. Everything in it is done by the commands that a person would type; nothing is staged but the damage.
The backups are of this interpreter's own standard library and of a SQLite database that describes it.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shlex
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from proofgap.facts import utc_text
from proofgap.records import instant
from proofgap_app import logs
from proofgap_app.cli.ledgers import me
from proofgap_store import HistoryEvent, Ledger
from proofgap_store.clock import now_us
from proofgap_store.sqlite_library import sqlite

_HOME = Path(".demo")
_GUEST = "m.guest"
_DAMAGED_PACKAGES = ("asyncio", "concurrent", "email", "http", "json", "logging", "unittest", "urllib", "xml")
_DAMAGE_BYTES = 4
_NOT_THE_LIBRARY = {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test"}


def main() -> None:
    """Make the backups, restore them in four ways, and show what is recorded."""
    folder = _HOME / utc_text(instant(now_us())).replace(":", "")[:17]
    folder.mkdir(parents=True)
    ledger = f"sqlite:///{_HOME / 'ledger.db'}"
    unset = dict.fromkeys(("PROOFGAP_WORKSPACE", "PROOFGAP_ENVIRONMENT", "PROOFGAP_KEY", "PROOFGAP_HEAD"), "")
    os.environ |= {"PROOFGAP_LEDGER": ledger, "PROOFGAP_LOG": "off", **unset}
    logs.configure()
    _introduce(ledger)
    library_files = list(_standard_library())
    _say(f"Backing up {len(library_files)} files of the standard library and a SQLite database about them ...")
    archive, manifest = _archive(folder, library_files)
    database = _database(folder, library_files)
    damaged = _damaged_archive(folder, library_files)

    _say("1. A clean archive: it is restored, and the target is read afterwards.")
    _proofgap("restore", archive, "--into", folder / "library", "--manifest", manifest, "--yes")
    _say(f"2. An archive in which {_DAMAGE_BYTES} bytes were flipped.")
    _proofgap("restore", damaged, "--into", folder / "packages", "--yes")
    _say("3. A dry run: nothing is written.")
    _proofgap("restore", archive, "--into", folder / "nowhere", "--dry-run")
    _say(f"4. A database; then the same run as {_GUEST} is shown it, who may not see its evidence.")
    _proofgap("restore", database, "--into", folder / "restored.db", "--yes")
    _proofgap("grant", _GUEST, "viewer")
    run_id = _last_run(ledger)
    _proofgap("show", run_id, "--as", _GUEST)

    _say("Everything that was recorded of that run:")
    for event in _history(ledger, run_id):
        print(_line(event))
    _say("All of it is signed, so that nobody can change it unseen, not even its owner, once somebody kept this line:")
    _proofgap("audit", "checkpoint", must=False)
    _say(f"The ledger is {_HOME / 'ledger.db'}; the diagrams of its machines are in {Path('diagrams')}.")
    _take_leave(ledger)


def _introduce(ledger: str) -> None:
    """Say what must be typed first, so that every command which is shown can be typed too."""
    _say("Every command below can be typed in this folder, after these two:")
    _print_first(ledger)


def _take_leave(ledger: str) -> None:
    """Say how to look around, with what must be typed first: it was said hundreds of lines ago."""
    print("To look around, type these two in this folder, unless you have:")
    _print_first(ledger)
    print("Then:  proofgap list\nOr, in a browser:  proofgap serve")


def _print_first(ledger: str) -> None:
    print(shlex.join(["export", f"PROOFGAP_LEDGER={ledger}"]))
    print(f"alias proofgap={shlex.quote(_program())}")


def _program() -> str:
    """Give the path of the program that belongs to this interpreter: whoever tries the demo has it on no path."""
    beside = Path(sys.executable).with_name("proofgap")
    return str(beside) if beside.exists() else shlex.join([sys.executable, "-m", "proofgap_app"])


def _standard_library() -> Iterator[tuple[str, Path]]:
    """List the files of the standard library, without its tests, what was installed into it, and what Python wrote itself."""
    root = Path(sysconfig.get_path("stdlib"))
    for folder, folders, names in os.walk(root):
        folders[:] = sorted({*folders} - _NOT_THE_LIBRARY)
        for path in (Path(folder, name) for name in sorted(names)):
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(root).as_posix(), path


def _archive(folder: Path, files: list[tuple[str, Path]]) -> tuple[Path, Path]:
    archive, manifest = folder / "library.tar.gz", folder / "library.sha256"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for name, path in files:
            tar.add(path, arcname=name)
    sums = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n" for name, path in files)
    manifest.write_text("".join(sums), encoding="utf-8")
    return archive, manifest


def _database(folder: Path, files: list[tuple[str, Path]]) -> Path:
    """Write what every module of the library defines into a database."""
    path = folder / "library.db"
    with closing(sqlite.connect(str(path))) as connection:
        connection.execute("CREATE TABLE module (name TEXT PRIMARY KEY, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL)")
        connection.execute("CREATE TABLE definition (module TEXT NOT NULL REFERENCES module, name TEXT, line INTEGER)")
        for name, file in files:
            if name.endswith(".py"):
                _describe(connection, name, file.read_bytes())
        connection.commit()
    return path


def _describe(connection: Any, name: str, source: bytes) -> None:  # noqa: ANN401 - whichever SQLite library it is
    execute = connection.execute
    execute("INSERT INTO module VALUES (?, ?, ?)", (name, len(source), hashlib.sha256(source).hexdigest()))
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            execute("INSERT INTO definition VALUES (?, ?, ?)", (name, node.name, node.lineno))


def _damaged_archive(folder: Path, files: list[tuple[str, Path]]) -> Path:
    """Write some packages into a zip archive, then flip bytes in the middle of one member's content."""
    path = folder / "packages.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in files:
            if name.startswith(tuple(f"{package}/" for package in _DAMAGED_PACKAGES)):
                archive.write(file, name)
        victim = max(archive.infolist(), key=lambda member: member.compress_size)
    with path.open("r+b") as stream:
        place = victim.header_offset + 30 + len(victim.filename) + victim.compress_size // 2
        stream.seek(place)
        flipped = bytes(byte ^ 0xFF for byte in stream.read(_DAMAGE_BYTES))
        stream.seek(place)
        stream.write(flipped)
    return path


def _proofgap(*arguments: object, must: bool = True) -> None:
    """Run a command as a person would, and show it; one that must succeed ends the demo if it does not."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ proofgap {shlex.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "proofgap_app", *words], check=must)  # noqa: S603 - our own command


def _last_run(ledger: str) -> str:
    with Ledger.open(ledger, create=False) as opened:
        return opened.list_runs(me().id, me()).rows[0].record.id


def _history(ledger: str, run_id: str) -> list[HistoryEvent]:
    with Ledger.open(ledger, create=False) as opened:
        return opened.history(run_id, me().id)


def _line(event: HistoryEvent) -> str:
    entry, data = event.entry, event.entry["data"]
    if "decision" in data:
        what = f"{data['decision']['state']}, rule {data['rule']}, for {data['viewer']['id']} ({data['trigger']})"
    else:
        what = f"{data['source'] or 'new'} -> {data['target']}" + (f" ({data['event']})" if data["event"] else "")
    return f"  {event.event_id:>5}  {utc_text(instant(entry['at_us']))}  {entry['type']:<32} {what}"


def _say(text: str) -> None:
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    main()
