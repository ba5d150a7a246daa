"""A file that is written under a temporary name and gets its own only when it is whole and on the disk.

Owns that one file. Refuses to know what is in it and why.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import suppress

_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EXDEV})


def temporary_name(name: str) -> str:
    """Give the name that content has until it is whole: hidden, recognisable, short enough, one per name and process."""
    return f".proofgap-{os.getpid()}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.part"


class Draft:
    """One file on its way. Exactly one of `publish` and `discard` ends it."""

    def __init__(self, folder: int, name: str) -> None:
        """Create the temporary file in the open directory ``folder``. Raises ``OSError``."""
        self._name, self._temporary = name, temporary_name(name)
        # Its own handle on the directory: the caller may close its one while this file is still being written.
        self._folder = os.dup(folder)
        try:
            self.descriptor = os.open(self._temporary, _WRITE_FLAGS, 0o600, dir_fd=self._folder)
        except OSError:
            os.close(self._folder)
            raise

    def write(self, data: bytes) -> None:
        """Write all of it. Raises ``OSError``."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.descriptor, view) :]

    def flush(self) -> None:
        """Put it on the disk. Raises ``OSError``."""
        os.fsync(self.descriptor)

    def publish(self, *, replace: bool) -> None:
        """Give it its name; it must be flushed. Raises ``OSError``; then it is still a draft."""
        publish(self._folder, self._temporary, self._name, replace=replace)
        self._close()

    def discard(self) -> bool:
        """Remove it; false when a leftover could not be removed."""
        try:
            os.unlink(self._temporary, dir_fd=self._folder)
        except OSError:
            return False
        finally:
            self._close()
        return True

    def _close(self) -> None:
        for descriptor in (self.descriptor, self._folder):
            # The data is flushed already: an error here could only come from the handle.
            with suppress(OSError):
                os.close(descriptor)


def publish(folder: int, temporary: str, name: str, *, replace: bool) -> None:
    """Give a temporary file its name, replacing what has it only when asked to. Raises ``OSError``."""
    if not replace:
        try:
            os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            _demand_absent(folder, name)
        else:
            os.unlink(temporary, dir_fd=folder)
            return
    os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)


def _demand_absent(folder: int, name: str) -> None:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
