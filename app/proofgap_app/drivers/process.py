"""Running a tool: its output line by line as it comes, and an end of it that is always known.

Theory. A tool gets a process group of its own, so that what it started ends with it. Both of its outputs are read as they come,
so that it never waits for us. A wish to stop is told gently first, with the signals that it understands, and after its patience
the whole group is killed. Whatever ends the reading, an error included, no process of it is left running; and where the system has
``setpriv``, the tool ends with us even if we are killed ourselves. It hears the signals that we may have been started to ignore, as
by a shell in the background (``env``). Nothing of our own environment reaches it but what it was given.

Owns the process. Refuses to know what the tool prints.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from typing import NamedTuple

from proofgap_app.drivers.base import ShouldStop

_LINE_BYTES_MAX = 1 << 20
_CHUNK_BYTES = 1 << 16
_ASK_S = 0.1
_LOOK_S = 0.01
_AFTER_END_S = 2.0


class Stream(Enum):
    """Which output a line came from."""

    OUT = "stdout"
    ERR = "stderr"


OnLine = Callable[[Stream, str], None]
"""Called with each line as it comes, without its end; bytes that are no UTF-8 are kept as surrogates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One call of a tool.

    Attributes:
        arguments: program and arguments; never a secret, because everybody can list them.
        environment: all of it: nothing is inherited.
        folder: where it runs.
        stop_signals: what asks it to end, gentlest first; each gets its patience before the next one.
        patience_s: how long it may take after each of them, in seconds; after the last one its whole group is killed.

    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
    patience_s: float = 10.0


class Ended(NamedTuple):
    """How it ended: its exit code, negative where a signal ended it, and whether it was asked to stop before."""

    exit_code: int
    stopped: bool

    @property
    def signal(self) -> int | None:
        """The number of the signal that ended it, if one did."""
        return -self.exit_code if self.exit_code < 0 else None


class Captured(NamedTuple):
    """All that a call printed, and how it ended."""

    out: tuple[str, ...]
    err: tuple[str, ...]
    ended: Ended


def never() -> bool:
    """Say that nobody asked to stop."""
    return False


def run(command: Command, on_line: OnLine, should_stop: ShouldStop = never) -> Ended:
    """Run a tool to its end. Raises ``OSError`` when it cannot be started, and whatever ``on_line`` raises."""
    with _started(command) as process:
        running = _Running(process, command, should_stop)
        try:
            running.read(on_line)
            return running.end()
        finally:
            running.kill()


def capture(command: Command, should_stop: ShouldStop = never) -> Captured:
    """Run a tool whose output is short, and keep all of it. Raises ``OSError`` when it cannot be started."""
    kept: dict[Stream, list[str]] = {Stream.OUT: [], Stream.ERR: []}
    ended = run(command, lambda stream, line: kept[stream].append(line), should_stop)
    return Captured(tuple(kept[Stream.OUT]), tuple(kept[Stream.ERR]), ended)


def stream(command: Command, take: Callable[[bytes], None], should_stop: ShouldStop = never) -> tuple[Ended, list[str]]:
    """Run a tool whose output is data: ``take`` gets it in pieces; its error lines are given back."""
    errors: list[str] = []
    with _started(command) as process:
        running = _Running(process, command, should_stop)
        try:
            running.read(lambda _stream, line: errors.append(line), take)
            return running.end(), errors
        finally:
            running.kill()


def _started(command: Command) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - arguments are a list, chosen by a driver; no shell reads them
        (*_hearing(), *_tied_to_us(), *command.arguments) if _is_program(command.arguments[0]) else command.arguments,
        bufsize=0,
        env=dict(command.environment),
        cwd=command.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def _is_program(path: str) -> bool:
    """Tell whether the system itself can run it; what it cannot is not to be handed to a shell by whoever ties it to us."""
    try:
        with Path(path).open("rb") as file:
            return os.access(path, os.X_OK) and file.read(4).startswith((b"\x7fELF", b"#!"))
    except OSError:
        return False


@cache
def _hearing() -> tuple[str, ...]:
    """Give what makes a program hear the signals that ask it to stop; nothing where the system cannot."""
    return _as_far_as_it_works("env", "--default-signal=INT,TERM")


@cache
def _tied_to_us() -> tuple[str, ...]:
    """Give what makes a program end when we do; nothing where the system cannot."""
    return _as_far_as_it_works("setpriv", "--pdeathsig", "KILL", "--")


def _as_far_as_it_works(name: str, *arguments: str) -> tuple[str, ...]:
    program = shutil.which(name)
    if program is None:
        return ()
    tried = subprocess.run([program, *arguments, program, "--version"], capture_output=True, check=False)  # noqa: S603 - as above
    return (program, *arguments) if tried.returncode == 0 else ()


class _Running:
    """A tool at work."""

    def __init__(self, process: subprocess.Popen[bytes], command: Command, should_stop: ShouldStop) -> None:
        self._process, self._should_stop = process, should_stop
        self._signals, self._patience_s = list(command.stop_signals), command.patience_s
        self._stopped = False
        self._next_signal_s = 0.0
        self._quiet_since_s: float | None = None
        self._rest = {Stream.OUT: b"", Stream.ERR: b""}

    def read(self, on_line: OnLine, take: Callable[[bytes], None] | None = None) -> None:
        """Read both outputs until nobody can write to them any more, or the tool is gone and they stay silent."""
        with selectors.DefaultSelector() as selector:
            for pipe, stream in ((self._process.stdout, Stream.OUT), (self._process.stderr, Stream.ERR)):
                assert pipe is not None  # noqa: S101 - both were asked for
                selector.register(pipe, selectors.EVENT_READ, stream)
            while selector.get_map() and not self._is_abandoned():
                for key, _ in selector.select(_ASK_S):
                    chunk = os.read(key.fd, _CHUNK_BYTES)
                    self._quiet_since_s = None
                    if not chunk:
                        selector.unregister(key.fileobj)
                    if take is not None and key.data is Stream.OUT:
                        take(chunk)
                    else:
                        self._lines(key.data, chunk, on_line)
                self._heed()

    def end(self) -> Ended:
        """Wait for the tool itself, heeding a wish to stop, and end what it left behind."""
        while not self._is_over():
            self._heed()
            time.sleep(_LOOK_S)
        return Ended(self.kill(), self._stopped)

    def kill(self) -> int:
        """Leave nothing of its group behind; give the exit code of the tool."""
        # Until it is waited for, even a tool that is gone keeps the number of its group from being anybody else's.
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def _is_over(self) -> bool:
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _is_abandoned(self) -> bool:
        """Tell whether the tool is gone, and only something that it left behind could still write."""
        if not self._is_over():
            return False
        now_s = time.monotonic()
        self._quiet_since_s = now_s if self._quiet_since_s is None else self._quiet_since_s
        return now_s - self._quiet_since_s > _AFTER_END_S

    def _heed(self) -> None:
        """Ask the tool to end, once somebody wants it; more firmly each time that its patience is over."""
        self._stopped = self._stopped or self._should_stop()
        if not self._stopped or time.monotonic() < self._next_signal_s:
            return
        self._next_signal_s = time.monotonic() + self._patience_s
        number = self._signals.pop(0) if self._signals else signal.SIGKILL
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _lines(self, stream: Stream, chunk: bytes, on_line: OnLine) -> None:
        """Hand on whole lines; one that is too long, or the last one without an end, as it is."""
        *lines, rest = (self._rest[stream] + chunk).split(b"\n")
        if rest and (not chunk or len(rest) > _LINE_BYTES_MAX):
            lines.append(rest)
            rest = b""
        self._rest[stream] = rest
        for line in lines:
            on_line(stream, line.removesuffix(b"\r").decode("utf-8", "surrogateescape"))
