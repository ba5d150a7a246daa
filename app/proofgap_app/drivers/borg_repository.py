"""Reading a Borg repository with borg itself: which archive, what it holds, and the digest of each content.

Theory. An archive's id is over its description, and so over all that it holds. ``borg list`` reads names from the archive, and,
where it is asked for digests, all contents, which it checks on the way: at a damaged one it gives up, and what it had not come
to is not known. What ``borg check --repair`` has filled with zeros has a digest too; only its health says that it is not what
was backed up.

Names come as borg prints them: version 1.2 puts ``?`` for bytes that are no UTF-8.

Owns these calls. Refuses to write anywhere.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from proofgap.records import RecoveryPointBasis
from proofgap_app.drivers.archives import DamagedError, Entry
from proofgap_app.drivers.base import Identity, Kind, PlannedItem, Progress, Request, SourceError
from proofgap_app.drivers.names import shown, split
from proofgap_app.drivers.process import Ended, stream
from proofgap_app.drivers.secrets import read_password
from proofgap_app.drivers.target import Target
from proofgap_app.drivers.tool import Kind as ToolKind
from proofgap_app.drivers.tool import remedy_for, tool_for

BORG = ToolKind(
    name="borg",
    install="On Debian: apt install borgbackup.",
    stop_signals=(signal.SIGTERM,),  # SIGINT does not stop an extraction: it goes on to its end, and exits with 0
    environment=(
        *("BORG_PASSPHRASE", "BORG_PASSCOMMAND", "BORG_KEY_FILE", "BORG_KEYS_DIR", "BORG_BASE_DIR", "BORG_CACHE_DIR"),
        *("BORG_CONFIG_DIR", "BORG_SECURITY_DIR", "BORG_RSH", "BORG_REMOTE_PATH", "BORG_HOST_ID", "BORG_SELFTEST"),
        *("BORG_RELOCATED_REPO_ACCESS_IS_OK", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "XDG_*"),
    ),
)
OPTIONS = {
    "no-lock": "yes: take no lock, for a repository that cannot be written",
    "source": "complete or incomplete: what the backup run itself ended as",
}
LATEST = "latest"
_ADDED = {"TZ": "UTC", "BORG_EXIT_CODES": "modern"}
_LISTED = ("type", "mode", "size", "isomtime", "health", "linktarget", "bpath")
_DIGESTED = ("sha256", "size", "mode", "linktarget", "bpath")
_KINDS = {"-": Kind.FILE, "d": Kind.DIRECTORY, "l": Kind.SYMLINK}
_PERMISSIONS = "rwxrwxrwx"
_WHERE_EXECUTED = "where the restore is executed."
_REMEDIES = {
    "newer than repository": (
        "This machine has seen a newer state of it, or of a copy with the same id. To restore from this older one all the same, "
        f"set BORG_CACHE_DIR and BORG_SECURITY_DIR to empty directories {_WHERE_EXECUTED}"
    ),
    "passphrase": "Hand in its passphrase: --password-file FILE.",
    "permission denied": "Execute as somebody who may read it; one that must not be written to needs --option no-lock=yes.",
    "lock": "Wait until whoever holds the lock is done; if nobody is, run borg break-lock. Or --option no-lock=yes.",
    "previously located": f"If it was moved on purpose, set BORG_RELOCATED_REPO_ACCESS_IS_OK=yes {_WHERE_EXECUTED}",
    "previously unknown": f"If it is yours, set BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes {_WHERE_EXECUTED}",
    "remote host": "See that ssh gets there without a question, and that borg is installed there.",
}
_OF_A_PROMPT = re.compile(r"GetPassWarning|passwd = fallback|Password input may be echoed")


class Archive(msgspec.Struct, frozen=True):
    """One archive, as ``borg list --json`` describes it."""

    id: str
    name: str
    time: str

    @property
    def identity(self) -> Identity:
        """Which backup it is; its size is not known before it is listed."""
        nanoseconds = nanoseconds_of(self.time)
        return Identity(size=0, sha256=self.id, mtime_ns=nanoseconds, basis=RecoveryPointBasis.BACKUP_TIME)


class _Archives(msgspec.Struct, frozen=True):
    archives: tuple[Archive, ...] = ()


class Repository:
    """A repository, and the archive that a request names."""

    def __init__(self, request: Request) -> None:
        """Take the request; nothing is called yet. Raises `SourceError` when the password file cannot be read."""
        self.location, self._wanted = split_location(request.backup)
        file = request.password_file
        password = {} if file is None else {"BORG_PASSPHRASE": read_password(file), "BORG_PASSCOMMAND": ""}
        self.tool = tool_for(BORG, request, _ADDED | password)
        self.lock = ("--bypass-lock",) if request.options.get("no-lock") == "yes" else ("--lock-wait", "5")

    def archive(self, archive_id: str | None = None) -> Archive:
        """Give the archive of that id; ``None``: the one that the request names. Raises `SourceError`."""
        listed = self._archives()
        if archive_id is not None:
            found = [one for one in listed if one.id == archive_id]
        elif self._wanted == LATEST:
            found = sorted(listed, key=lambda one: nanoseconds_of(one.time))[-1:]
        else:
            found = [one for one in listed if one.name == self._wanted]
        if not found:
            problem = f"{shown(self.location)} has no archive {shown(self._wanted)}"
            raise SourceError("backup", problem, "Name one that borg list lists.")
        return found[0]

    def entries(self, archive: Archive) -> list[Entry]:
        """List everything in an archive. Raises `SourceError`."""
        rows: list[list[str]] = []
        ended, errors = self._list(archive, _LISTED, rows.append)
        if ended.exit_code:
            raise self._unreadable(errors)
        sizes = {row[6]: row[2] for row in rows}
        return [_entry(row, position, sizes) for position, row in enumerate(rows)]

    def digests(self, archive: Archive, progress: Progress) -> tuple[dict[str, str], DamagedError | None]:
        """Read every content; give the digest of each by its key, and what kept borg from reading on, if anything did."""
        found: dict[str, str] = {}
        done = 0

        def take(row: list[str]) -> None:
            nonlocal done
            digest, size, mode, link, name = row
            found[_key(name)] = found.get(_key(link), "") if mode.startswith("h") else digest
            done += int(size)
            progress(done, len(found))

        ended, errors = self._list(archive, _DIGESTED, take)
        return found, DamagedError("source_damaged", self._reason(errors)) if ended.exit_code else None

    def named(self, archive: Archive) -> str:
        """Give repository and archive in borg's words."""
        return f"{self.location}::{archive.name}"

    def _archives(self) -> tuple[Archive, ...]:
        pieces: list[bytes] = []
        command = self.tool.command("list", "--log-json", *self.lock, "--json", self.location)
        ended, errors = stream(command, pieces.append)
        if ended.exit_code:
            raise self._unreadable(errors)
        try:
            return msgspec.json.decode(b"".join(pieces), type=_Archives).archives
        except msgspec.MsgspecError as error:
            raise self._unreadable([f"borg list printed no JSON that is understood: {error}"]) from error

    def _list(self, archive: Archive, fields: tuple[str, ...], take: Any) -> tuple[Ended, list[str]]:  # noqa: ANN401 - it takes a row
        form = "".join(f"{{{field}}}{{NUL}}" for field in fields)
        rows = _Rows(len(fields), take)
        command = self.tool.command("list", "--log-json", *self.lock, "--format", form, self.named(archive))
        return stream(command, rows.feed)

    def _unreadable(self, errors: Iterable[str]) -> SourceError:
        reason = self._reason(errors)
        problem = f"the repository {shown(self.tool.redact(self.location))} cannot be read ({reason})"
        return SourceError("backup", problem, remedy_for(reason, _REMEDIES, "Name one that this user can read."))

    def _reason(self, errors: Iterable[str]) -> str:
        said = " ".join(filter(None, map(reason_in_line, errors)))
        return self.tool.message(said or "borg gives no reason")


class _Rows:
    """Puts pieces of output together to rows of texts that end with NUL."""

    def __init__(self, width: int, take: Any) -> None:  # noqa: ANN401 - it takes a row
        self._width, self._take = width, take
        self._texts: list[str] = []
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        *whole, self._rest = (self._rest + piece).split(b"\0")
        for text in whole:
            self._texts.append(os.fsdecode(text))
            if len(self._texts) == self._width:
                self._take(self._texts)
                self._texts = []


class Contents:
    """What the content of items should be: the digests that borg has of them."""

    method = "SHA-256 of content"

    def __init__(self, repository: Repository, archive: Archive, progress: Progress) -> None:
        """Read all contents of the archive."""
        self._found, self._damage = repository.digests(archive, progress)

    def expected(self, item: PlannedItem) -> str | DamagedError:
        """Give the digest of the content, or the text of a link."""
        if item.kind is Kind.SYMLINK:
            return item.link or ""
        if item.refused is not None:
            return DamagedError(item.refused, "the archive does not hold it as it was")
        return (
            self._found.get(item.key) or self._damage or DamagedError("not_in_backup", "the archive does not name it")
        )

    def observed(self, target: Target, item: PlannedItem) -> str | None:
        """Give the digest of what is in the target."""
        return target.digest(item.parts)


def reason_in_line(line: str) -> str:
    """Give what a line says of an error: of borg's JSON the message, of other programs, such as ssh, the line itself.

    A prompt may stand before the JSON, and warnings that nobody is there to answer it.

    >>> reason_in_line('Enter passphrase: {"type": "log_message", "levelname": "ERROR", "message": "none is set."}')
    'none is set.'
    """
    start = line.find('{"')
    if start < 0:
        return "" if _OF_A_PROMPT.search(line) else line.strip()
    try:
        said = msgspec.json.decode(line[start:], type=dict[str, Any])
    except msgspec.MsgspecError:
        return line.strip()
    is_error = said.get("levelname") in {"ERROR", "CRITICAL"} or str(said.get("type", "")).startswith("question_")
    text = str(said.get("message") or "").partition("\n")[0]
    return text if is_error and not text.startswith("Traceback") else ""


def _key(name: str) -> str:
    return shown("/".join(split(name) or ()))


def _entry(row: list[str], position: int, sizes: dict[str, str]) -> Entry:
    kind_letter, mode, size, changed, health, link, name = row
    kind = Kind.HARDLINK if mode.startswith("h") else _KINDS.get(kind_letter, Kind.SPECIAL)
    length = sizes.get(link, size) if kind is Kind.HARDLINK else size
    return Entry(
        name=name,
        kind=kind,
        position=position,
        size=int(length) if kind in {Kind.FILE, Kind.HARDLINK} else None,
        mode=_bits(mode),
        mtime_ns=nanoseconds_of(changed),
        link=link or None,
        refused=None if health == "healthy" else "source_damaged",
    )


def _bits(mode: str) -> int:
    """Turn ``-rw-r--r--`` into permission bits."""
    return sum(1 << (8 - place) for place, letter in enumerate(mode[1:10]) if letter == _PERMISSIONS[place])


def nanoseconds_of(text: str) -> int:
    """Turn a time as borg prints it, in UTC because it was told so, into nanoseconds since 1970.

    >>> nanoseconds_of("1970-01-01T00:00:01.000002"), nanoseconds_of("1970-01-01T00:00:01+00:00")
    (1000002000, 1000000000)
    """
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000_000 + moment.microsecond * 1000


def split_location(backup: str) -> tuple[str, str]:
    """Give repository and archive of what a request names; the archive is the latest where it names none.

    >>> split_location("/srv/repo::monday"), split_location("ssh://me@host/./r#latest"), split_location("/srv/repo")
    (('/srv/repo', 'monday'), ('ssh://me@host/./r', 'latest'), ('/srv/repo', 'latest'))
    """
    for mark in ("::", "#"):
        location, found, archive = backup.rpartition(mark)
        if found and location and re.fullmatch(r"[^/]+", archive):
            return location, archive
    return backup, LATEST
