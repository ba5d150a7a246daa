"""What looks like a secret: the shapes, and the refusal of one where it would go on record.

Theory. The log keeps for ever what it is told, and everybody who may look reads it. A password reaches a tool by a file, or by the
environment of whoever executes; in the name of a backup, of a target or in an option it is refused, whoever asks.

Owns the shapes. Refuses to know where texts come from, and how a secret is taken out of one (`drivers.secrets`).
"""

from __future__ import annotations

import re

from proofgap.errors import BadInputError
from proofgap.records import RunDetails
from proofgap.text import shown

WORDS = r"pass(?:word|phrase|wd|code)?|pwd|secret|token|credentials?|api[-_]?key|access[-_]?key|private[-_]?key|account[-_]?key"
USERINFO = re.compile(r"(?P<before>[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/@:'\"]*:)(?P<secret>[^\s@'\"]+)(?=@)")
ASSIGNED = re.compile(rf"(?i)(?P<before>\b[\w.-]*(?:{WORDS})[\w.-]*[\"']?\s*[=:]\s*[\"']?)(?P<secret>[^\s\"'&;,]+)")
_NAME = re.compile(rf"(?i)(?:^|[-_.]|[a-z])(?:{WORDS})(?:$|[-_.])")
_NO_SECRETS = re.compile(r"(?i)(?:file|fd|command|path|id|name)$")
_REMEDY = "Hand it in by --password-file, or in the environment of whoever executes."


def is_secret_name(name: str) -> bool:
    """Tell whether what has this name is a secret.

    >>> [is_secret_name(name) for name in ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "AWS_ACCESS_KEY_ID", "compact")]
    [True, False, False, False]
    """
    return _NAME.search(name) is not None and _NO_SECRETS.search(name) is None


def holds_secret(place: str) -> bool:
    """Tell whether a place holds a secret; a host or a folder may be called like one, so a colon alone says nothing.

    >>> [holds_secret(place) for place in ("sftp://me:pw@host/repo", "https://host/?token=abc", "secret:/srv/repo")]
    [True, True, False]
    """
    assigned = (found["before"] for found in ASSIGNED.finditer(place))
    return USERINFO.search(place) is not None or any("=" in before for before in assigned)


def refuse_in_place(field: str, place: str) -> None:
    """Refuse a place that holds a secret. Raises `BadInputError`, which names where it is, and never what it is."""
    if holds_secret(place):
        raise BadInputError(field, "holds a password or another secret", _REMEDY)


def refuse_in_option(key: str, value: str) -> None:
    """Refuse an option that is, or holds, a secret. Raises `BadInputError`, as above."""
    if is_secret_name(key) or holds_secret(value):
        raise BadInputError("option", f"{shown(key)} is, or holds, a secret", _REMEDY)


def refuse_secrets(given: RunDetails) -> None:
    """Refuse facts of a run that hold a secret. Raises `BadInputError`, as above."""
    for field, place in (("backup", given.backup), ("target", given.target)):
        refuse_in_place(field, place or "")
    refuse_in_options(given.options)


def refuse_in_options(options: tuple[str, ...]) -> None:
    """Refuse options, each ``KEY=VALUE``, that are, or hold, a secret. Raises `BadInputError`, as above."""
    for option in options:
        key, _, value = option.partition("=")
        refuse_in_option(key, value)
