"""Backups made to hurt: nothing is ever written outside the target, and nothing grows without end."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from proofgap_app.drivers.names import link_stays_inside, shown, split
from tests.app.drivers.conftest import go, names_in, tree

ABSOLUTE = "/tmp/proofgap-absolute"  # noqa: S108 - nothing is made there, which is the point

Member = tuple[str, bytes | str, dict[str, object]]


def crafted(path: Path, *members: Member) -> Path:
    """Write a tar archive member by member: name, content, and whatever else its header says."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data, more in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, bytes):
                info.size = len(data)
            else:
                info.linkname = data
                info.type = tarfile.SYMTYPE
            for field, value in more.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Give a directory beside the target, with a file that must stay as it is."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "secret").write_bytes(b"untouched")
    return place


def everything(tmp_path: Path) -> dict[str, tuple[str, bytes, int]]:
    """Give all that exists beside the target and the backup."""
    return {name: what for name, what in tree(tmp_path).items() if not name.startswith(("target", "b."))}


@pytest.mark.parametrize(
    "name",
    [
        "../outside/new",
        "../outside/secret",
        "a/../../outside/new",
        ABSOLUTE,
        "/outside",
        "a" + "/a" * 300,
    ],
)
def test_names_that_climb_or_are_absolute_are_refused(target: Path, tmp_path: Path, outside: Path, name: str) -> None:
    """The item is skipped with its reason, an error is noted, and the rest comes back."""
    before = everything(tmp_path)
    ran = go(crafted(tmp_path / "b.tar", (name, b"evil", {}), ("fine", b"ok", {})), target, overwrite=True)
    assert before == everything(tmp_path)
    assert ((outside / "secret").read_bytes(), Path(ABSOLUTE).exists()) == (b"untouched", False)
    assert ran.ended(shown(name), "fine") == [("skipped", "unsafe_path"), ("succeeded", None)]
    assert (ran.outcome.status, ran.outcome.rule) == ("completed_with_errors", 7)
    assert ran.evidence.verdict == "inconclusive"


@pytest.mark.parametrize("name", ["../outside/new", ABSOLUTE])
def test_a_zip_cannot_climb_either(target: Path, tmp_path: Path, outside: Path, name: str) -> None:
    """The same rule holds for every format."""
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr(name, b"evil")
    ran = go(tmp_path / "b.zip", target)
    assert ran.ended(name) == [("skipped", "unsafe_path")]
    assert ("failed", {"secret"}) == (ran.outcome.status, set(tree(outside)))


def test_a_link_in_the_backup_is_not_written_through(target: Path, tmp_path: Path, outside: Path) -> None:
    """A link that leads outside is not made; a file below a name that was a link is not either outside or lost."""
    backup = crafted(
        tmp_path / "b.tar",
        ("door", "../outside", {}),
        ("door/secret", b"evil", {}),
        ("abs", str(outside), {}),
    )
    ran = go(backup, target)
    assert (outside / "secret").read_bytes() == b"untouched"
    assert ran.ended("abs", "door/secret") == [("skipped", "link_leads_outside"), ("succeeded", None)]
    assert (target / "door/secret").read_bytes() == b"evil"
    assert not (target / "door").is_symlink()


def test_a_chain_of_links_that_climbs_is_refused(target: Path, tmp_path: Path) -> None:
    """``..`` behind a name is refused: that name may be a link, and then it leads higher than it looks."""
    backup = crafted(tmp_path / "b.tar", ("a/b/up", "../..", {}), ("x", "a/b/up/../outside", {}))
    ran = go(backup, target)
    assert ran.ended("a/b/up", "x") == [("succeeded", None), ("skipped", "link_leads_outside")]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_in_the_target_is_not_written_through(
    target: Path, tmp_path: Path, outside: Path, overwrite: bool
) -> None:
    """The target's own links may lead anywhere: a restore neither follows a directory link nor writes into a linked file."""
    target.mkdir()
    (target / "dir").symlink_to(outside)
    (target / "file").symlink_to(outside / "secret")
    backup = crafted(tmp_path / "b.tar", ("dir/secret", b"evil", {}), ("dir/new", b"evil", {}), ("file", b"evil", {}))
    ran = go(backup, target, overwrite=overwrite)
    assert {"secret"} == set(tree(outside))
    assert (outside / "secret").read_bytes() == b"untouched"
    assert ran.ended("dir/secret", "dir/new") == [("failed", "not_a_directory")] * 2
    expected = ("succeeded", None) if overwrite else ("skipped", "exists_and_differs")
    assert [expected] == ran.ended("file")
    assert overwrite != (target / "file").is_symlink()


@pytest.mark.parametrize("link", ["../outside/secret", "/etc/passwd", "not-there", "link-to-secret"])
def test_a_hard_link_gives_only_content_of_the_backup(target: Path, tmp_path: Path, outside: Path, link: str) -> None:
    """A hard link to anything that is no member of the backup fails: nothing outside is linked or read."""
    target.mkdir()
    (target / "link-to-secret").symlink_to(outside / "secret")
    backup = crafted(tmp_path / "b.tar", ("hard", link, {"type": tarfile.LNKTYPE}))
    ran = go(backup, target)
    assert ran.ended("hard") == [("failed", "link_target_missing")]
    assert not (target / "hard").exists()
    assert (outside / "secret").stat().st_nlink == 1


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_never_made(target: Path, tmp_path: Path, kind: bytes) -> None:
    """They are skipped, with their reason, and an error is noted."""
    backup = crafted(tmp_path / "b.tar", ("node", b"", {"type": kind, "devmajor": 1, "devminor": 3}), ("fine", b"", {}))
    ran = go(backup, target)
    assert ran.ended("node") == [("skipped", "special_file")]
    assert ({"fine"}, "completed_with_errors") == (set(tree(target)), ran.outcome.status)


def test_a_pipe_in_a_source_directory_does_not_block(source: Path, target: Path) -> None:
    """Nobody opens it: it is skipped."""
    os.mkfifo(source / "pipe")
    assert go(source, target).ended("pipe") == [("skipped", "special_file")]


def test_a_pipe_in_the_target_does_not_block(source: Path, target: Path) -> None:
    """It exists and differs; with overwrite it is replaced."""
    target.mkdir()
    os.mkfifo(target / "a.txt")
    assert go(source, target).ended("a.txt") == [("skipped", "exists_and_differs")]
    assert go(source, target, overwrite=True).ended("a.txt") == [("succeeded", None)]


def test_special_permission_bits_are_dropped(target: Path, tmp_path: Path) -> None:
    """No restore makes a program that runs with somebody else's rights."""
    go(crafted(tmp_path / "b.tar", ("tool", b"#!", {"mode": 0o6755})), target)
    assert stat.S_IMODE((target / "tool").stat().st_mode) == 0o755


def test_a_zip_bomb_writes_no_more_than_planned(target: Path, tmp_path: Path) -> None:
    """A member that says 10 bytes and holds 50 million gives an error after 10, and the preview warns of great expansion."""
    backup = tmp_path / "b.zip"
    with zipfile.ZipFile(backup, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("bomb", bytes(50_000_000))
    honest = go(backup, tmp_path / "honest")
    assert any("expands to 50000000" in problem for problem in honest.preview.problems)
    data = backup.read_bytes().replace((50_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    backup.write_bytes(data)
    ran = go(backup, target)
    assert ran.ended("bomb") == [("failed", "source_damaged")]
    assert (tree(target), ran.outcome.status) == ({}, "failed")


def test_a_huge_header_is_not_read_into_memory(target: Path, tmp_path: Path) -> None:
    """An extended header that claims a gigabyte is damage, and nothing is allocated for it."""
    backup = crafted(tmp_path / "b.tar", ("fine", b"ok", {}))
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    backup.write_bytes(backup.read_bytes()[:1024] + info.tobuf(tarfile.USTAR_FORMAT) + bytes(10_240))
    ran = go(backup, target)
    assert (ran.outcome.status, ran.plan.source_completeness) == ("partial", "incomplete")


@pytest.mark.parametrize(
    "name", ["line\nbreak", "\x1b[31mred", "right\u202eleft", "not\udcffutf8", "back\\slash", "-rf", " "]
)
def test_odd_names_come_back_and_are_shown_harmlessly(target: Path, tmp_path: Path, name: str) -> None:
    """The name on disk is exact; the key is printable, on one line, and encodable."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / name).write_bytes(b"x")
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        archive.add(tmp_path / "s", ".")
    for backup in (tmp_path / "s", tmp_path / "b.tar"):
        place = target / backup.name
        ran = go(backup, place)
        key = next(iter(ran.items))
        assert [name] == names_in(place)
        assert (True, key.encode().decode()) == (key.isprintable(), shown(name))
        assert ran.evidence.verdict == "match"


def test_a_name_that_is_too_long_costs_one_item(target: Path, tmp_path: Path) -> None:
    """The system's limit is reported as what it is."""
    ran = go(crafted(tmp_path / "b.tar", ("n" * 300, b"x", {}), ("fine", b"", {})), target)
    assert ran.ended("n" * 300) == [("failed", "name_too_long")]
    assert ran.outcome.status == "partial"


def test_names_are_split_and_shown_by_rule() -> None:
    """No part of an accepted name climbs, and different names never look the same."""
    assert [split(name) for name in ("./a//b/.", "../a", "a/..", "/a", "a\0b", "./")] == [
        ("a", "b"),
        None,
        None,
        None,
        None,
        (),
    ]
    assert len({shown(name) for name in ("\n", "\\n", "\\\\n", "n")}) == 4


CASES: list[tuple[str, str, bool]] = [
    ("l", "x", True),
    ("a/l", "../x", True),
    ("a/l", "..", True),
    ("l", "..", False),
    ("l", "../x", False),
    ("a/l", "../../x", False),
    ("a/l", "x/../y", False),
    ("l", "/x", False),
    ("l", "", False),
    ("l", "x\0y", False),
    ("l", "./x/.", True),
]


@pytest.mark.parametrize(("name", "link", "safe"), CASES)
def test_links_are_judged_by_rule(name: str, link: str, safe: bool) -> None:
    """A link is safe when no link on its way can make it lead outside."""
    judge: Callable[[tuple[str, ...], str], bool] = link_stays_inside
    assert safe == judge(tuple(name.split("/")), link)
