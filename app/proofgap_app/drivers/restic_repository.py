"""Reading a restic repository with restic itself: which snapshot, what it holds, and what each content should be.

Theory. A snapshot's id is the SHA-256 of its description, which names a tree by its SHA-256, and so on down to the chunks of
every file: what the id says cannot be something else later. The chunks of a file and their lengths are in trees and index, so
what a content should be is known without reading it, also where the content itself is damaged.

Names come as restic's JSON has them: ``ls`` replaces bytes that are no UTF-8, trees keep them in Go's quoting. So a listing
that has replaced any looks into the tree.

Owns these calls. Refuses to write anywhere, and to take a lock: what is read here can be read while others write.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from io import FileIO
from typing import Any

import msgspec

from proofgap.records import RecoveryPointBasis
from proofgap_app.drivers.archives import CHUNK_BYTES, DamagedError, Entry
from proofgap_app.drivers.base import Identity, Kind, PlannedItem, Request, SourceError
from proofgap_app.drivers.names import Parts, shown
from proofgap_app.drivers.process import Stream, capture, run, stream
from proofgap_app.drivers.target import Target
from proofgap_app.drivers.tool import Kind as ToolKind
from proofgap_app.drivers.tool import remedy_for, tool_for

RESTIC = ToolKind(
    name="restic",
    install="On Debian: apt install restic.",
    version_arguments=("version",),
    environment=(
        *("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND", "RESTIC_KEY_HINT", "RESTIC_CACHE_DIR"),
        *("XDG_CACHE_HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("AWS_*", "B2_*", "AZURE_*", "GOOGLE_*", "ST_*", "OS_*", "RCLONE_*", "RESTIC_REST_*"),
    ),
)
OPTIONS = {
    "host": "take the latest snapshot of this host",
    "path": "take the latest snapshot of this path",
    "tag": "take the latest snapshot with this tag",
    "no-lock": "yes: take no lock, for a repository that cannot be written",
    "source": "complete or incomplete: what the backup run itself ended as",
}
REMEDIES = {
    "locked": "Wait until whoever holds the lock is done; if nobody is, run restic unlock. Or --option no-lock=yes.",
    "create lock": "A repository that cannot be written needs --option no-lock=yes.",
    "permission denied": "Execute as somebody who may read it.",
    "password": "Hand in its password: --password-file FILE.",
    "sftp session": "See that ssh gets there without a question, and that it offers sftp.",
}
_KINDS = {"file": Kind.FILE, "dir": Kind.DIRECTORY, "symlink": Kind.SYMLINK}
_OVERHEAD_BYTES = 32  # what encryption adds to each chunk that is not compressed
_CALLS_AT_ONCE = 4
_NANOSECONDS = re.compile(r"\.(\d{1,9})")
_ESCAPE = re.compile(rb"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[0-7]{3}|.)", re.DOTALL)
_SHORT = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_IS_NODE = re.compile(r'"(struct|message)_type":"node"')  # the word changed between versions
_LOSSY = "\ufffd"


class Snapshot(msgspec.Struct, frozen=True):
    """One snapshot, as ``restic snapshots --json`` describes it."""

    id: str
    time: str
    tree: str
    paths: tuple[str, ...] = ()

    @property
    def identity(self) -> Identity:
        """Which backup it is; its size is not known before it is listed."""
        return Identity(size=0, sha256=self.id, mtime_ns=nanoseconds(self.time), basis=RecoveryPointBasis.BACKUP_TIME)


class Node(msgspec.Struct, frozen=True):
    """One entry of a listing, or of a tree."""

    name: str
    type: str
    path: str = ""
    size: int | None = None
    mode: int | None = None
    mtime: str | None = None
    linktarget: str | None = None
    content: tuple[str, ...] | None = None
    subtree: str | None = None


class _Tree(msgspec.Struct, frozen=True):
    nodes: tuple[Node, ...] = ()


class Repository:
    """A repository, and the snapshot that a request names."""

    def __init__(self, request: Request) -> None:
        """Take the request; nothing is called yet. Raises `SourceError` when the password file cannot be read."""
        self.location, self._wanted = split_location(request.backup)
        self._request = request
        file = request.password_file
        added = (
            {}
            if file is None
            else {"RESTIC_PASSWORD_FILE": str(file), "RESTIC_PASSWORD": "", "RESTIC_PASSWORD_COMMAND": ""}
        )
        self.tool = tool_for(RESTIC, request, added)

    def snapshot(self, snapshot_id: str | None = None) -> Snapshot:
        """Give the snapshot that is asked for; ``None``: the one that the request names. Raises `SourceError`."""
        wanted = snapshot_id or self._wanted
        filters = [f"--{key}={value}" for key, value in self._request.options.items() if key in {"host", "path", "tag"}]
        which = filters if wanted == "latest" else [wanted]
        listed = self._json(list[Snapshot] | None, "snapshots", "--json", *which) or []
        if not listed:
            problem = f"{shown(self.location)} has no snapshot {wanted}"
            raise SourceError("backup", problem, "Name one that restic snapshots lists.")
        newest: Snapshot = max(listed, key=lambda one: nanoseconds(one.time))
        return newest

    def entries(self, snapshot: Snapshot) -> list[Entry]:
        """List everything in a snapshot. Raises `SourceError`."""
        lines: list[str] = []
        errors: list[str] = []
        keep = {Stream.OUT: lines, Stream.ERR: errors}
        ended = run(
            self.tool.command(*self._reading("ls", "--json", snapshot.id)), lambda s, line: keep[s].append(line)
        )
        if ended.exit_code:
            raise self._unreadable(errors)
        nodes = [msgspec.json.decode(line, type=Node) for line in lines if _IS_NODE.search(line)]
        return list(_entries(nodes, Trees(self, snapshot)))

    def tree(self, tree_id: str) -> tuple[Node, ...]:
        """Read one tree. Raises `SourceError`."""
        nodes = self._json(_Tree, "cat", "blob", tree_id).nodes
        return tuple(msgspec.structs.replace(node, name=unquoted(node.name)) for node in nodes)

    def lengths(self) -> dict[str, int]:
        """Give the length in bytes of every chunk that the index knows. Raises `SourceError`."""
        found = capture(self.tool.command(*self._reading("list", "index")))
        if found.ended.exit_code:
            raise self._unreadable(found.err)
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            indexes = pool.map(lambda one: self._json(dict[str, Any], "cat", "index", one), filter(None, found.out))
            return {blob["id"]: _length(blob) for index in indexes for blob in _blobs(index)}

    def _json(self, shape: Any, *arguments: str) -> Any:  # noqa: ANN401 - what the shape says
        pieces: list[bytes] = []
        ended, errors = stream(self.tool.command(*self._reading(*arguments)), pieces.append)
        if ended.exit_code:
            raise self._unreadable(errors)
        try:
            return msgspec.json.decode(b"".join(pieces), type=shape)
        except msgspec.MsgspecError as error:
            raise self._unreadable([f"restic {arguments[0]} printed no JSON that is understood: {error}"]) from error

    def _reading(self, *arguments: str) -> tuple[str, ...]:
        return ("--repo", self.location, "--no-lock", "--quiet", *arguments)

    def _unreadable(self, errors: Iterable[str]) -> SourceError:
        said = [line for line in errors if line.strip() and not line.startswith("Load(")]
        reason = self.tool.message(" ".join(map(plain, said)) or "restic gives no reason")
        problem = f"the repository {shown(self.tool.redact(self.location))} cannot be read ({reason})"
        return SourceError("backup", problem, remedy_for(reason, REMEDIES, "Name one that this user can read."))


class Trees:
    """The trees of a snapshot, read where they are needed."""

    def __init__(self, repository: Repository, snapshot: Snapshot) -> None:
        """Take the snapshot; nothing is read yet."""
        self._repository = repository
        self._ids: dict[Parts, str | None] = {(): snapshot.tree}
        self._read: dict[Parts, dict[str, Node] | DamagedError] = {}

    def folder(self, parts: Parts) -> Mapping[str, Node]:
        """Give what a folder holds, by name. Raises `DamagedError`."""
        if parts not in self._read:
            self._read[parts] = self._tried(parts)
        found = self._read[parts]
        if isinstance(found, DamagedError):
            raise found
        return found

    def load(self, folders: set[Parts]) -> None:
        """Read many folders, some at once."""
        needed = {parts[:depth] for parts in folders for depth in range(len(parts) + 1)}
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            for depth in sorted({len(parts) for parts in needed}):
                level = [parts for parts in needed if len(parts) == depth and parts not in self._read]
                self._read.update(zip(level, pool.map(self._tried, level), strict=True))

    def node(self, parts: Parts) -> Node:
        """Give one entry. Raises `DamagedError`."""
        found = self.folder(parts[:-1]).get(parts[-1])
        if found is None:
            raise DamagedError("not_in_backup", "the tree of the snapshot does not name it")
        return found

    def _tried(self, parts: Parts) -> dict[str, Node] | DamagedError:
        try:
            tree_id = self._ids[()] if not parts else self.node(parts).subtree
            return {node.name: node for node in self._repository.tree(tree_id or "")}
        except SourceError as error:
            return DamagedError("source_damaged", str(error))
        except DamagedError as damage:
            return damage


class Contents:
    """What the content of items should be: the digests of its chunks, as trees and index have them."""

    method = "SHA-256 of the content's chunks"

    def __init__(self, repository: Repository, snapshot: Snapshot, items: Iterable[PlannedItem]) -> None:
        """Read the trees that name these items."""
        self._repository, self._trees = repository, Trees(repository, snapshot)
        self._trees.load({item.parts[:-1] for item in items})

    def expected(self, item: PlannedItem) -> str | DamagedError:
        """Give the digest over the digests of all chunks, or the text of a link."""
        try:
            node = self._trees.node(item.parts)
            if item.kind is Kind.SYMLINK:
                return os.fsdecode((node.linktarget or "").encode())
            self._chunk_lengths(item)
        except DamagedError as damage:
            return damage
        return hashlib.sha256("".join(node.content or ()).encode()).hexdigest()

    def observed(self, target: Target, item: PlannedItem) -> str | None:
        """Give the same digest of what is in the target, cut at the same places."""
        lengths = self._chunk_lengths(item)
        content = target.opened(item.parts)
        if content is None:
            return None
        with content:
            digests = [_digest(content, length) for length in lengths]
            if content.read(1):
                digests.append("more")
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def _chunk_lengths(self, item: PlannedItem) -> list[int]:
        try:
            return [self._lengths[chunk] for chunk in self._trees.node(item.parts).content or ()]
        except KeyError as error:
            raise DamagedError("source_damaged", "the index does not know a chunk of it") from error
        except SourceError as error:
            raise DamagedError("source_damaged", str(error)) from error

    @cached_property
    def _lengths(self) -> dict[str, int]:
        return self._repository.lengths()


def _digest(content: FileIO, length: int) -> str:
    hasher = hashlib.sha256()
    while length > 0 and (piece := content.read(min(length, CHUNK_BYTES))):
        hasher.update(piece)
        length -= len(piece)
    return hasher.hexdigest()


def _blobs(index: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (blob for pack in index.get("packs") or () for blob in pack.get("blobs") or () if blob["type"] == "data")


def _length(blob: dict[str, Any]) -> int:
    return int(blob.get("uncompressed_length") or blob["length"] - _OVERHEAD_BYTES)


def _entries(nodes: list[Node], trees: Trees) -> Iterator[Entry]:
    real: dict[str, str] = {"": ""}
    for position, node in enumerate(nodes):
        above = real[node.path.rpartition("/")[0]]
        name = node.name if _LOSSY not in node.name else _real_name(node, above, trees)
        if node.type == "dir":
            real[node.path] = f"{above}/{name}"
        yield _entry(node, f"{above}/{name}".removeprefix("/"), position)


def _real_name(node: Node, above: str, trees: Trees) -> str:
    """Find the name of which a listing shows only what is UTF-8; when that fails, what is shown."""
    try:
        held = trees.folder(tuple(above.removeprefix("/").split("/")) if above else ())
    except DamagedError:
        return node.name
    return next((name for name in held if lossy(name) == node.name), node.name)


def _entry(node: Node, name: str, position: int) -> Entry:
    kind = _KINDS.get(node.type, Kind.SPECIAL)
    return Entry(
        name=name,
        kind=kind,
        position=position,
        size=(node.size or 0) if kind is Kind.FILE else None,
        mode=None if node.mode is None else node.mode & 0o777,
        mtime_ns=None if node.mtime is None else nanoseconds(node.mtime),
        link=node.linktarget,
    )


def lossy(name: str) -> str:
    """Give a name as JSON of restic's listings has it: each byte that is no UTF-8 replaced."""
    return "".join(_LOSSY if "\udc80" <= letter <= "\udcff" else letter for letter in name)


def unquoted(name: str) -> str:
    r"""Give a name that Go has quoted; bytes that are no UTF-8 come out as surrogates.

    >>> unquoted(r"a\"b\\c\xe9")
    'a"b\\c\udce9'
    """

    def letter(found: re.Match[bytes]) -> bytes:
        code = found[1]
        if code[:1] in b"xuU" and len(code) > 1:
            number = int(code[1:], 16)
            return bytes([number]) if code[:1] == b"x" else chr(number).encode()
        return bytes([int(code, 8)]) if code.isdigit() else _SHORT.get(code, code)

    return os.fsdecode(_ESCAPE.sub(letter, name.encode()))


def nanoseconds(text: str) -> int:
    """Turn a time as Go writes it into nanoseconds since 1970.

    >>> nanoseconds("1970-01-01T00:00:01.000000001Z"), nanoseconds("1970-01-01T01:00:00+01:00")
    (1000000001, 0)
    """
    fraction = _NANOSECONDS.search(text)
    whole = datetime.fromisoformat(_NANOSECONDS.sub("", text))
    return int(whole.timestamp()) * 1_000_000_000 + int((fraction[1] if fraction else "0").ljust(9, "0"))


def plain(line: str) -> str:
    """Give the words of a line that may be JSON."""
    try:
        said = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        return line
    return str(said.get("message") or said)


def split_location(backup: str) -> tuple[str, str]:
    """Give repository and snapshot of what a request names; the snapshot is the latest where it names none.

    >>> split_location("/srv/repo#1a2b3c4d"), split_location("sftp:me@host:/srv/a#b")
    (('/srv/repo', '1a2b3c4d'), ('sftp:me@host:/srv/a#b', 'latest'))
    """
    location, _, snapshot = backup.rpartition("#")
    if location and re.fullmatch(r"latest|[0-9a-f]{4,64}", snapshot):
        return location, snapshot
    return backup, "latest"


def with_size(identity: Identity, entries: Iterable[Entry]) -> Identity:
    """Give the identity with the size of all contents in bytes."""
    return replace(identity, size=sum(entry.size or 0 for entry in entries))
