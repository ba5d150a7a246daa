"""Names from a backup: how they are shown, where they may go, and which links are safe.

Owns the rules that keep a restore inside its target as far as *names* can; `target` does the rest with the real
directories. Refuses to know archives and files.
"""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

Parts = tuple[str, ...]

PARTS_MAX = 200
"""Deepest path that is restored; a backup made to hurt can nest without end."""


def shown(name: str | Path) -> str:
    r"""Give a name as one printable line: control, invisible, direction-changing and undecodable characters as escapes.

    Two different names never look the same, because the backslash itself is escaped too; so this is also an item's key.

    >>> shown("a\u202egnp.exe")
    'a\\u202egnp.exe'
    """
    text = str(name)
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(
        letter if letter.isprintable() and letter != "\\" else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def split(name: str) -> Parts | None:
    """Give the parts of a relative name; ``None`` when it is absolute, climbs, is too deep, or cannot be a file name at all.

    >>> split("./a//b/."), split("../a"), split("/a")
    (('a', 'b'), None, None)
    """
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    unsafe = name.startswith("/") or ".." in parts or "\0" in name or len(parts) > PARTS_MAX
    return None if unsafe else parts


def link_stays_inside(parts: Parts, link: str) -> bool:
    """Whether a symbolic link at ``parts`` with this text can only lead to something inside the target.

    ``..`` is allowed only in front: behind a name, that name may itself be a link, and then no text says where ``..`` leads.
    """
    steps = [step for step in link.split("/") if step not in {"", "."}]
    climbs = sum(1 for _ in takewhile("..".__eq__, steps))
    relative = bool(link) and not link.startswith("/") and "\0" not in link
    return relative and ".." not in steps[climbs:] and climbs < len(parts)
