"""What looks like a secret: the shapes, the refusal of one where it would go on record, and how it is taken out of a text.

Theory. The log keeps for ever what it is told, and everybody who may look reads it. A password reaches a tool by a file, or by the
environment of whoever executes; in the name of a backup, of a target or in an option it is refused, whoever asks. What a tool
said of an item is told by a worker and cannot be refused without losing the item: a tool that fails may repeat its own command
line, or the address that it could not reach. There the secret is taken out, and the rest is kept: a message about a file that is
called like a secret, such as etc/passwd, is what people are to read.

Owns the shapes. Every part of one has a length, so that no text takes long. Refuses to know where texts come from, and the
secrets that somebody knows by value (`drivers.secrets`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec.structs import replace

from proofgap.errors import BadInputError
from proofgap.records import Item, RunDetails
from proofgap.text import shown

HIDDEN = "***"
"""What stands in the place of a secret."""

WORDS = (
    r"(?:(?<!by)(?<!com)pass(?!e[ds]|ing|age|port|enger|ive)(?:word|phrase|wd|code)?|pwd|secret(?!ar|ion|ly)|token(?!i)|credentials?"
    r"|authorization|api[-_]?key|access[-_]?key|private[-_]?key|account[-_]?key)"
)
"""What secrets are called; not what only begins or ends so, such as ``passed``, ``bypass``, ``tokenizer``."""

_SAYS = (
    r"(?:is|are|was|were|has|had|no|none|not|null|nothing|never|cannot|could|unable|failed|failure|error|invalid|incorrect|wrong|bad|missing"
    r"|required|expired|revoked|denied|rejected|refused|permission|operation|access|input|output|file|directory|link|read|write|open"
    r"|stat|owner|group|mode|size|content|contents|checksum|digest|expected|differs?|different|exists|already|unknown|unchanged|unsupported|too|try)"
    r"(?=[\s,;!?)]|[.:](?:\s|$)|$)"
)
"""What tools say of a file or a secret that has such a name, after a colon: it tells what happened, and gives nothing away."""

_VALUE = (
    r"(?:(?:bearer|basic)\s+)?[\"']?)"
    r"(?P<secret>(?<=\")(?:\\.|[^\"\\])*(?=\")|(?<=')(?:\\.|[^'\\])*(?=')|[^\s\"'&;,]+)"
)
_MIXED = r"(?=[a-z+/_.=~-]{0,1024}(?-i:[A-Z0-9]))"  # only small letters are a word
USERINFO = re.compile(
    r"(?P<before>[a-zA-Z][a-zA-Z0-9+.-]{0,30}://[^\s/@:'\"]{0,256}:)(?P<secret>[^\s@'\"]{1,1024})(?=@)"
)
ASSIGNED = re.compile(rf"(?i)(?P<before>{WORDS}[\w.-]{{0,40}}[\"']?\s*=\s*{_VALUE}")
_STATED = re.compile(  # the last part of a path, before a colon, is the name of a file
    rf"(?i)(?P<before>(?<![\w./-])[\w.-]{{0,256}}?{WORDS}[\w-]{{0,40}}[\"']?\s*:\s*(?!{_SAYS}){_VALUE}"
)
_SHAPES = (
    re.compile(
        r"(?P<before>)-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)", re.DOTALL
    ),
    USERINFO,
    re.compile(rf"(?i)(?P<before>\b(?:bearer|basic)\s+){_MIXED}[a-z0-9+/_.=~-]{{8,}}"),
    ASSIGNED,
    _STATED,
    re.compile(rf"(?i)(?P<before>--{WORDS}\s+)\S+"),
    re.compile(r"(?P<before>\b)(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    re.compile(rf"(?P<before>\b)(?:gh[pousr]_|glpat-|xox[abpr]-|sk-){_MIXED}[A-Za-z0-9_-]{{12,}}"),
    re.compile(r"(?P<before>\b)eyJ[A-Za-z0-9_-]{8,2048}\.[A-Za-z0-9_-]{8,2048}\.[A-Za-z0-9_-]{0,2048}"),
)
_NAME = re.compile(rf"(?i)(?:^|[-_.]|[a-z]){WORDS}(?:$|[-_.])")
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
    return USERINFO.search(place) is not None or ASSIGNED.search(place) is not None


def refuse_in_place(field: str, place: str) -> None:
    """Refuse a place that holds a secret. Raises `BadInputError`, which names where it is, and never what it is."""
    if holds_secret(place):
        raise BadInputError(field, "holds a password or another secret", _REMEDY)


def refuse_in_option(key: str, value: str, *, field: str = "option") -> None:
    """Refuse an option that is, or holds, a secret. Raises `BadInputError`, as above."""
    if is_secret_name(key) or holds_secret(value):
        raise BadInputError(field, f"{shown(key)} is, or holds, a secret", _REMEDY)


def refuse_secrets(given: RunDetails) -> None:
    """Refuse facts of a run that hold a secret, and options that nobody can read. Raises `BadInputError`, as above."""
    for field, place in (("backup", given.backup), ("target", given.target)):
        refuse_in_place(field, place or "")
    refuse_in_options(given.options)


def refuse_in_options(options: tuple[str, ...]) -> None:
    """Refuse options that are no ``KEY=VALUE``, or are, or hold, a secret. Raises `BadInputError`, as above."""
    for option in options:
        key, sign, value = option.partition("=")
        if not (key and sign):
            raise BadInputError(
                "options", "hold one that is no KEY=VALUE", "Write each with a name and an equals sign."
            )
        refuse_in_option(key, value, field="options")


def redacted(text: str) -> str:
    """Give a text without what looks like a secret; applying it twice changes nothing more.

    >>> redacted("cannot open sftp://me:pw@host/?token=abc")
    'cannot open sftp://me:***@host/?token=***'
    """
    for shape in _SHAPES:
        text = shape.sub(rf"\g<before>{HIDDEN}", text)
    return text


def without_secrets(items: Sequence[Item]) -> tuple[Item, ...]:
    """Give items with what was said of them redacted; their keys are names from the backup, and stay as they are."""
    return tuple(map(_without_secrets, items))


def _without_secrets(item: Item) -> Item:
    if item.message is None and item.reason_code is None:
        return item
    said = {
        name: None if text is None else redacted(text)
        for name, text in (("message", item.message), ("reason_code", item.reason_code))
    }
    return replace(item, **said)
