"""A command line tool that a driver drives: where it is, which version it is, what of the environment it may see, its secrets.

Theory. Which program is run is decided on the machine that executes, and never by a request: by the name of the tool on the
path, or by ``PROOFGAP_TOOL_<NAME>``. The environment of the tool is made anew: the few variables that every program needs, those
that the tool declares, and those that the driver adds, such as where the password is. All of its texts pass one redactor.

Owns these choices. Refuses to know what any tool does.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from proofgap.errors import BadInputError
from proofgap.text import safe
from proofgap_app.drivers.base import Request, SourceError
from proofgap_app.drivers.process import Command, capture
from proofgap_app.drivers.secrets import Redactor, read_password, secrets_in

_NEEDED = ("HOME", "PATH", "TMPDIR", "TZ", "USER", "LOGNAME", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK")
_OUR_LANGUAGE = {"LC_ALL": "C.UTF-8"}
_VERSION = re.compile(r"\d+(?:\.\d+)+")
MESSAGE_LENGTH_MAX = 500
"""The most characters that are kept of what a tool said about one thing."""

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is known of a tool without looking for it.

    Attributes:
        name: what it is called, and the program that is looked for.
        install: how to get it, in one sentence.
        version_arguments: what makes it say its version.
        environment: names of variables that it may see; one that ends in ``*`` stands for all that begin so.
        stop_signals: what asks it to end, gentlest first.
        patience_s: how long it may take after each, in seconds.

    """

    name: str
    install: str
    version_arguments: tuple[str, ...] = ("--version",)
    environment: tuple[str, ...] = ()
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
    patience_s: float = 10.0


@dataclass(frozen=True)
class Tool:
    """A tool as it is used for one request: found when it is first needed."""

    kind: Kind
    password: str | None = None
    added: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def program(self) -> str:
        """The program that is run. Raises `SourceError` when there is none."""
        name = self.kind.name
        wanted = os.environ.get(f"PROOFGAP_TOOL_{name.upper().replace('-', '_')}", name)
        found = shutil.which(wanted)
        if found is None:
            raise SourceError("driver", f"the program {safe(wanted)} is not on this machine", self.kind.install)
        return found

    @cached_property
    def environment(self) -> dict[str, str]:
        """All that the tool sees of the environment; an empty value takes a variable out."""
        passed = {name: value for name, value in os.environ.items() if self._may_see(name)}
        return {name: value for name, value in (passed | _OUR_LANGUAGE | dict(self.added)).items() if value}

    @cached_property
    def redact(self) -> Redactor:
        """What takes its secrets out of texts."""
        own = [] if self.password is None else [self.password]
        return Redactor([*own, *secrets_in(self.environment)])

    @cached_property
    def version(self) -> Version:
        """The version of the program, as numbers. Raises `SourceError` when it does not say one."""
        found = capture(self.command(*self.kind.version_arguments))
        numbers = _VERSION.search(" ".join([*found.out, *found.err]))
        if found.ended.exit_code or numbers is None:
            raise SourceError("driver", f"{safe(self.program)} does not say which version it is", self.kind.install)
        return tuple(map(int, numbers[0].split(".")))

    @property
    def said(self) -> str:
        """Name and version, as they go on record."""
        return f"{self.kind.name} {'.'.join(map(str, self.version))}"

    def command(self, *arguments: str) -> Command:
        """Give a call of the tool."""
        return Command(
            arguments=(self.program, *arguments),
            environment=self.environment,
            stop_signals=self.kind.stop_signals,
            patience_s=self.kind.patience_s,
        )

    def message(self, text: str) -> str:
        """Give what the tool said as it may be stored and shown: one line, printable, without secrets, not endless."""
        return safe(" ".join(self.redact(text).split()))[:MESSAGE_LENGTH_MAX]

    def _may_see(self, name: str) -> bool:
        known = (*_NEEDED, *self.kind.environment)
        return any(name == one or (one.endswith("*") and name.startswith(one[:-1])) for one in known)


def tool_for(kind: Kind, request: Request, added: Mapping[str, str] | None = None) -> Tool:
    """Give the tool for a request; its password, if it has one, is in nothing but the redactor.

    ``added`` are variables of the driver's own, such as the one that names the password file. Raises `SourceError`.
    """
    file = request.password_file
    return Tool(kind, None if file is None else read_password(file), added or {})


def remedy_for(said: str, remedies: Mapping[str, str], otherwise: str) -> str:
    """Choose what to do about what a tool said: of the first words that it holds, in any case; else the general remedy.

    >>> remedy_for("Fatal: Wrong Password", {"wrong password": "Hand in the right one."}, "Look at it.")
    'Hand in the right one.'
    """
    lower = said.lower()
    return next((remedy for words, remedy in remedies.items() if words in lower), otherwise)


def demand_known_options(request: Request, known: Mapping[str, str]) -> None:
    """Refuse options that a driver does not have; ``known`` says what each is for.

    Raises:
        BadInputError: names the first one, and those that there are.

    """
    for key in request.options:
        if key not in known:
            offered = "; ".join(f"{name}: {meaning}" for name, meaning in sorted(known.items()))
            remedy = f"There are: {offered}." if offered else "Leave it out; this driver has none."
            raise BadInputError("option", f"{safe(key)} is none of this driver", remedy)
