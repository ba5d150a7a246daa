"""The directory that is restored into: nothing is ever written outside it, and no file is ever half there.

Theory. Names alone do not keep a restore inside its target, because the target may hold symbolic links. So every
directory on the way is opened by itself, from its parent, and never through a link; all calls are relative to such
an open directory. Content goes into a temporary file in the same directory, is flushed to the disk, and only then
gets its name. Where nothing was to be replaced, the name is given by a call that refuses to replace.

Owns all system calls on the target. Refuses to know backups and results.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from io import FileIO
from pathlib import Path
from typing import Self

from proofgap_app.drivers.base import PlannedItem
from proofgap_app.drivers.draft import Draft, publish, temporary_name
from proofgap_app.drivers.names import Parts, shown

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_FOLDERS_MAX = 64

_REASONS = {
    errno.ENOSPC: "no_space",
    errno.EDQUOT: "no_space",
    errno.EFBIG: "no_space",
    errno.EROFS: "read_only",
    errno.EIO: "target_unreliable",
    errno.EACCES: "permission_denied",
    errno.EPERM: "permission_denied",
    errno.ENOTDIR: "not_a_directory",
    errno.ELOOP: "not_a_directory",
    errno.EISDIR: "is_a_directory",
    errno.EEXIST: "appeared_meanwhile",
    errno.ENAMETOOLONG: "name_too_long",
}
HOPELESS = frozenset({"no_space", "read_only", "target_unreliable"})
"""Reasons that no later item can escape: trying on would only leave a more accidental mixture."""


def reason_of(error: OSError) -> str:
    """Give the reason code of a failed system call on the target."""
    return _REASONS.get(error.errno or 0, "target_error")


def message_of(error: OSError) -> str:
    """Give the system's words for it; names are left out, the item's key says which it was."""
    return shown(error.strerror or type(error).__name__)


class Target:
    """A directory, and everything below it, reached step by step."""

    def __init__(self, root: Path) -> None:
        """Take the path; nothing is opened or made yet. The path itself may be a link: whoever asked chose it.

        ``changed`` is true from the first call on that may leave anything behind: a directory, a name, a leftover.
        """
        self._root = root
        self._folders: dict[Parts, int] = {}
        self._touched: set[Parts] = set()
        self._made: set[Parts] = set()
        self.changed = False

    def __enter__(self) -> Self:
        """Use it as a context, so that open directories are closed."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close all open directories."""
        self._close_folders()

    def lookup(self, parts: Parts) -> os.stat_result | None:
        """Say what is there, without following links; ``None`` when nothing is. Raises ``OSError``."""
        try:
            return os.stat(parts[-1], dir_fd=self._folder(parts[:-1], make=False), follow_symlinks=False)
        except FileNotFoundError:
            return None

    def digest(self, parts: Parts) -> str | None:
        """Give the SHA-256 of a regular file, ``None`` when it is something else. Raises ``OSError``."""
        content = self.opened(parts)
        if content is None:
            return None
        with content:
            return hashlib.file_digest(content, "sha256").hexdigest()

    def opened(self, parts: Parts) -> FileIO | None:
        """Open a regular file to read it, ``None`` when it is something else. Raises ``OSError``."""
        descriptor = os.open(parts[-1], _READ_FLAGS, dir_fd=self._folder(parts[:-1], make=False))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        return FileIO(descriptor, "rb")

    def link_text(self, parts: Parts) -> str | None:
        """Give the text of a symbolic link, ``None`` when it is something else. Raises ``OSError``."""
        status = self.lookup(parts)
        if status is None or not stat.S_ISLNK(status.st_mode):
            return None
        return os.readlink(parts[-1], dir_fd=self._folder(parts[:-1], make=False))

    def draft(self, parts: Parts) -> Draft:
        """Begin a file that gets its name only when it is whole. Raises ``OSError``."""
        draft = Draft(self._folder(parts[:-1], make=True), parts[-1])
        self._touched.add(parts[:-1])
        return draft

    def make_link(self, parts: Parts, text: str, *, replace: bool) -> None:
        """Make a symbolic link. Raises ``OSError``."""
        folder, temporary = self._folder(parts[:-1], make=True), temporary_name(parts[-1])
        os.symlink(text, temporary, dir_fd=folder)
        self.changed = True
        self._touched.add(parts[:-1])
        try:
            publish(folder, temporary, parts[-1], replace=replace)
        except OSError:
            os.unlink(temporary, dir_fd=folder)
            raise

    def make_folder(self, parts: Parts) -> None:
        """Make a directory, and those above it, where they are missing. Raises ``OSError``."""
        self._folder(parts, make=True)

    def dress_folder(self, item: PlannedItem) -> None:
        """Give a directory that was made here its owner, permissions and time of last change. Raises ``OSError``."""
        if item.parts not in self._made:
            return
        folder = self._folder(item.parts, make=False)
        dress(folder, item)

    def settle(self) -> None:
        """Make sure that new names survive a power cut. Raises ``OSError``."""
        for parts in self._touched | {made[:-1] for made in self._made if made}:
            os.fsync(self._folder(parts, make=False))

    def _folder(self, parts: Parts, *, make: bool) -> int:
        if len(self._folders) > _OPEN_FOLDERS_MAX:
            self._close_folders()
        return self._step(parts, make=make)

    def _step(self, parts: Parts, *, make: bool) -> int:
        known = self._folders.get(parts)
        if known is not None:
            return known
        parent = self._step(parts[:-1], make=make) if parts else None
        opened = self._open_root(make=make) if parent is None else self._open_below(parent, parts, make=make)
        self._folders[parts] = opened
        return opened

    def _open_root(self, *, make: bool) -> int:
        if make and not self._root.exists():
            self._root.mkdir(parents=True)
            self._made.add(())
            self.changed = True
        return os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _open_below(self, parent: int, parts: Parts, *, make: bool) -> int:
        try:
            return os.open(parts[-1], _FOLDER_FLAGS, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
        os.mkdir(parts[-1], 0o755, dir_fd=parent)
        self._made.add(parts)
        self.changed = True
        return os.open(parts[-1], _FOLDER_FLAGS, dir_fd=parent)

    def _close_folders(self) -> None:
        for descriptor in self._folders.values():
            os.close(descriptor)
        self._folders.clear()


def dress(descriptor: int, item: PlannedItem) -> None:
    """Give an open file or directory its owner (as root only), permissions and time of last change."""
    if item.owner is not None and os.geteuid() == 0:
        os.fchown(descriptor, *item.owner)
    if item.mode is not None:
        os.fchmod(descriptor, item.mode)
    if item.mtime_ns is not None:
        os.utime(descriptor, ns=(item.mtime_ns, item.mtime_ns))
