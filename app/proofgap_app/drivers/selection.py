"""From a listing to planned items: what is selected, where it goes, and what is refused, and why.

Theory. A backup may name a file twice: the later one counts, as in tar. A hard link is restored as a copy of the
content it names. Directories are not counted, except empty ones: they come into being with what lies in them. What
the manifest names and the backup does not hold is an item all the same, and so is the part of a damaged backup that
nobody can list: both were meant to be restored, and neither will be.

Owns these choices. Refuses to look at the target.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from proofgap_app.drivers.archives import Entry, Listing
from proofgap_app.drivers.base import Kind, PlannedItem
from proofgap_app.drivers.manifest import Manifest
from proofgap_app.drivers.names import Parts, link_stays_inside, shown, split

UNREADABLE_KEY = r"\?part of the backup that cannot be read"
"""No file can have this key: in keys of files a backslash is always followed by a backslash, n, r, t, x, u or U."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The items, in the order of the backup, and the directories they lie in."""

    items: tuple[PlannedItem, ...]
    folders: tuple[PlannedItem, ...]


def select(
    listing: Listing, manifest: Manifest, patterns: tuple[str, ...], *, takes_everything: bool = False
) -> Selection:
    """Choose the items whose key matches one of the patterns; without patterns, all.

    ``takes_everything``: whoever restores makes links that lead outside and special files as well, because the backup is of a
    whole system; where something may be written is then its own business.
    """
    latest = _latest(listing.entries, takes_everything=takes_everything)
    occupied = _with_children(latest)
    found = [item for item in latest.values() if item.parts not in occupied or item.kind is not Kind.DIRECTORY]
    found = [replace(item, sha256=manifest.get(item.parts)) if item.position is not None else item for item in found]
    found.extend(_missing(latest, manifest))
    items = [item for item in found if not patterns or any(fnmatchcase(item.key, pattern) for pattern in patterns)]
    if listing.damage is not None:
        items.append(PlannedItem(key=UNREADABLE_KEY, kind=Kind.UNREADABLE, refused=listing.damage.reason_code))
    needed = _with_children({item.parts: item for item in items})
    folders = [item for item in latest.values() if item.kind is Kind.DIRECTORY and item.parts in needed]
    return Selection(items=tuple(items), folders=tuple(folders))


def _latest(entries: tuple[Entry, ...], *, takes_everything: bool) -> dict[Parts, PlannedItem]:
    latest: dict[Parts, PlannedItem] = {}
    contents: dict[Parts, Entry] = {}
    for entry in entries:
        parts = split(entry.name)
        if parts == ():
            continue  # the directory itself
        if parts is None:
            # Two unsafe names must not hide each other, nor a safe one: no safe name has an empty first part.
            latest["", entry.name] = _refused(entry, "unsafe_path")
            continue
        if entry.kind is Kind.FILE:
            contents[parts] = entry
        latest.pop(parts, None)
        is_plain = takes_everything and entry.kind in {Kind.SYMLINK, Kind.SPECIAL}
        latest[parts] = _accepted(entry, parts) if is_plain else _item(entry, parts, contents)
    return latest


def _item(entry: Entry, parts: Parts, contents: dict[Parts, Entry]) -> PlannedItem:
    match entry.kind:
        case Kind.HARDLINK:
            source = contents.get(split(entry.link or "") or ())
            if source is None:
                return _refused(entry, "link_target_missing", parts)
            return _accepted(replace(entry, size=source.size, position=source.position), parts)
        case Kind.SYMLINK if entry.refused is None and not link_stays_inside(parts, entry.link or ""):
            return _refused(entry, "link_leads_outside", parts)
        case Kind.SPECIAL:
            return _refused(entry, "special_file", parts)
        case _:
            return _accepted(entry, parts)


def _accepted(entry: Entry, parts: Parts) -> PlannedItem:
    return PlannedItem(
        key=shown("/".join(parts)),
        kind=entry.kind,
        parts=parts,
        size=entry.size,
        mode=entry.mode,
        mtime_ns=entry.mtime_ns,
        owner=entry.owner,
        link=entry.link if entry.kind is Kind.SYMLINK else None,
        position=entry.position if entry.kind in {Kind.FILE, Kind.HARDLINK} else None,
        refused=entry.refused,
    )


def _refused(entry: Entry, reason_code: str, parts: Parts | None = None) -> PlannedItem:
    name = entry.name if parts is None else "/".join(parts)
    return PlannedItem(key=shown(name), kind=entry.kind, parts=parts or (), refused=reason_code)


def _with_children(items: dict[Parts, PlannedItem]) -> set[Parts]:
    above: set[Parts] = set()
    for item in items.values():
        parts = item.parts[:-1]
        while parts and parts not in above:
            above.add(parts)
            parts = parts[:-1]
    return above


def _missing(latest: dict[Parts, PlannedItem], manifest: Manifest) -> Iterator[PlannedItem]:
    for parts, digest in manifest.items():
        if parts not in latest:
            yield PlannedItem(
                key=shown("/".join(parts)), kind=Kind.MISSING, parts=parts, sha256=digest, refused="not_in_backup"
            )
