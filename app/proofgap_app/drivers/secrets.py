"""Secrets: how they reach a tool, and how they are kept out of everything that is stored or shown.

Theory. A secret comes from a file or from the environment of the process that executes; a request goes on record, so a secret
in it is refused. A tool may still print one: the URL of its repository, an option it did not understand. So every text that
came from a tool passes a `Redactor` before it is kept. It knows the values, in the spellings that tools print them in, and
the shapes in which secrets that it does not know appear (`proofgap.secret`).

Owns what is known by value. Refuses to know tools. The keys of items are names from the backup and stay as they are.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from proofgap.secret import HIDDEN, USERINFO, is_secret_name, redacted, refuse_in_option, refuse_in_place
from proofgap.text import shown
from proofgap_app.drivers.base import Request, SourceError

SECRET_LENGTH_MIN = 4
"""Shorter values are not looked for: hiding every "a" would hide everything. Their shapes are found all the same."""

_PASSWORD_BYTES_MAX = 64 << 10


class Redactor:
    """Takes secrets out of texts: those that it was told, and those that look like one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Take the secrets to look for."""
        spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
        known = sorted((one for one in spellings if len(one) >= SECRET_LENGTH_MIN), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        """Give the text without secrets; applying it twice changes nothing more.

        >>> Redactor(["hunter22"])("cannot open sftp://me:pw@host/hunter22?token=abc")
        'cannot open sftp://me:***@host/***?token=***'
        """
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        return redacted(text)


def _spellings(secret: str) -> Iterable[str]:
    """Give a secret as it is, as in a URL, as in JSON, and as in a shell or a Python message."""
    escaped = json.dumps(secret)[1:-1]
    return {secret, quote(secret, safe=""), quote_plus(secret), escaped, repr(secret)[1:-1], *secret.split("\n")}


def secrets_in(environment: Mapping[str, str]) -> list[str]:
    """Give the values of an environment whose names say that they are secrets, and the passwords in its URLs."""
    named = [value for name, value in environment.items() if is_secret_name(name)]
    return named + [found["secret"] for value in environment.values() for found in USERINFO.finditer(value)]


def read_password(file: Path) -> str:
    """Give the first line of a password file.

    Raises:
        SourceError: it cannot be read, holds no password, or may be read by everybody.

    """
    try:
        with file.open("rb") as stream:
            mode, line = os.fstat(stream.fileno()).st_mode, stream.readline(_PASSWORD_BYTES_MAX)
    except OSError as error:
        problem = f"{shown(str(file))} cannot be read ({error.strerror})"
        raise SourceError("password-file", problem, "Name a file that the executing user can read.") from error
    if mode & 0o007:
        problem = f"{shown(str(file))} may be read or changed by everybody"
        raise SourceError("password-file", problem, f"Run: chmod 600 {shown(str(file))}")
    password = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
    if not password:
        problem = f"{shown(str(file))} has an empty first line"
        raise SourceError("password-file", problem, "Write the password into its first line.")
    return password


def refuse_secrets(request: Request) -> None:
    """Refuse a request that holds a secret: it goes on record, where everybody reads it.

    Raises:
        BadInputError: names where it is, and never what it is.

    """
    for field, value in (("backup", request.backup), ("target", request.target)):
        refuse_in_place(field, value)
    for key, value in request.options.items():
        refuse_in_option(key, value)
