"""Which text may come in, and how any text is shown: the rules, in one place.

Owns what makes a text unfit: characters that a reader cannot see, that steer a terminal, or that are no Unicode
text at all; emptiness; and length. Refuses to know where text comes from and what it means.

Refused are control characters (NUL, escape, line breaks), lone surrogates, bidirectional and invisible formatting
characters, and noncharacters. Everything else is text: any script, any emoji. A zero-width joiner is text too;
Persian and family emoji need it.
"""

from __future__ import annotations

import re

from proofgap.errors import BadInputError

ID_LENGTH_MAX = 200
"""The most characters that an id, a name or another short label may have."""

TEXT_LENGTH_MAX = 4_000
"""The most characters that any other text may have."""

_SHOWN_LENGTH_MAX = 60
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(
    f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
)
_KINDS = {
    "a control character": "\x00-\x1f\x7f-\x9f\u2028\u2029",
    "a lone surrogate": "\ud800-\udfff",
    "a bidirectional control character": "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069",
    "an invisible character": "\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f",
    "a noncharacter": _NONCHARACTERS,
}
_UNFIT = re.compile("|".join(f"([{characters}])" for characters in _KINDS.values()))
_KIND_OF_GROUP = ("", *_KINDS)


def unfit(value: str) -> str | None:
    """Say what makes a text unfit to come in, or give ``None``."""
    if value.isprintable():
        return None
    found = _UNFIT.search(value)
    return None if found is None else f"{_KIND_OF_GROUP[found.lastindex or 0]} ({_escaped(found)})"


def check_text(field: str, value: str, *, length_max: int = TEXT_LENGTH_MAX) -> str:
    """Let a text through unchanged, or refuse it.

    Args:
        field: where the text was handed in; the error names it.
        value: the text.
        length_max: the most characters it may have.

    Raises:
        BadInputError: it is no text, it is too long, or it holds a character that may not come in.

    """
    if not _is_text(value):
        raise BadInputError(field, "is no text", "Hand in text.")
    if len(value) > length_max:
        problem = f"'{shown(value)}' has {len(value)} characters"
        raise BadInputError(field, problem, f"Hand in at most {length_max}.")
    character = unfit(value)
    if character is not None:
        raise BadInputError(field, f"'{shown(value)}' holds {character}", "Remove it.")
    return value


def _is_text(value: object) -> bool:
    """Tell whether it is text at all: nothing makes sure of it when a value is handed in from Python."""
    return isinstance(value, str)


def check_id(field: str, value: str) -> str:
    """Let an id, a name or a label through unchanged, or refuse it.

    Raises:
        BadInputError: it is no text, empty, longer than `ID_LENGTH_MAX`, begins or ends with a space, or holds a character
            that may not come in.

    """
    check_text(field, value, length_max=ID_LENGTH_MAX)
    if not value:
        raise BadInputError(field, "is empty", f"Hand in 1 to {ID_LENGTH_MAX} characters.")
    if value != value.strip():
        raise BadInputError(field, f"'{value}' begins or ends with a space", "Remove it.")
    return value


def check_words(field: str, value: str) -> str:
    """Let somebody's own words through unchanged, or refuse them.

    Raises:
        BadInputError: there are none, or they are too long or hold a character that may not come in.

    """
    check_text(field, value)
    if not value.strip():
        raise BadInputError(field, "is empty", "Say it in a few words, or leave it out.")
    return value


def check_code(field: str, value: str) -> str:
    """Let a code through unchanged, or refuse it: a word that names a reason, and no person.

    Raises:
        BadInputError: it is none.

    """
    if not _CODE.fullmatch(value):
        remedy = "Use 1 to 64 letters, digits and . _ - without spaces, such as gdpr-17."
        raise BadInputError(field, f"'{shown(value)}' is no code", remedy)
    return value


def shown(value: str, *, length_max: int = _SHOWN_LENGTH_MAX) -> str:
    """Give a text as it may be written to any terminal or log: unfit characters escaped, the end cut off if long."""
    cut = value if len(value) <= length_max else value[:length_max] + "..."
    return safe(cut)


def safe(value: str) -> str:
    """Give a text with every unfit character escaped, at its full length."""
    return value if value.isprintable() else _UNFIT.sub(_escaped, value)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code <= 0xFF:  # noqa: PLR2004 - two hexadecimal digits
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - four digits
