"""Damaged and odd zip archives: each member stands for itself, and one that is lost does not hide the others."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from proofgap_app.drivers.base import Depth, SourceError
from tests.app.drivers.conftest import CONTENTS, cut, flip, go, zip_of


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_byte_in_a_zip_costs_one_member(target: Path, tmp_path: Path, compression: int) -> None:
    """The others are restored, before and after it."""
    backup = zip_of(CONTENTS, tmp_path / "b.zip", compression)
    ran = go(flip(backup, backup.stat().st_size // 2), target)
    failed = [key for key, item in ran.items.items() if item.result == "failed"]
    assert len(failed) == 1
    assert not (target / failed[0]).exists()
    assert (ran.execution.counts.succeeded, ran.outcome.status, ran.outcome.rule) == (9, "partial", 6)
    assert (ran.preview.unavailable, ran.preview.depth) == (1, Depth.METADATA)
    assert (ran.evidence.checks_skipped, ran.evidence.verdict) == (1, "inconclusive")


def test_a_truncated_zip_cannot_be_planned(target: Path, tmp_path: Path) -> None:
    """Its index is at its end; the error says so, and what to do."""
    backup = zip_of(CONTENTS, tmp_path / "b.zip")
    cut(backup, backup.stat().st_size // 2)
    with pytest.raises(SourceError, match=r"no readable index .* Hand in an undamaged copy"):
        go(backup, target)
    assert not target.exists()


def test_an_encrypted_member_of_a_zip_fails(target: Path, tmp_path: Path) -> None:
    """Without its password it cannot be restored; the plan says so already."""
    backup = zip_of({"a": b"secret", "b": b"open"}, tmp_path / "b.zip", zipfile.ZIP_STORED)
    data = bytearray(backup.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    backup.write_bytes(data)
    ran = go(backup, target)
    assert [("failed", "encrypted"), ("succeeded", None)] == ran.ended("a", "b")
    assert ("partial", ("a: encrypted",)) == (ran.outcome.status, ran.plan.problems)


def test_a_zip_member_whose_own_header_is_gone_costs_one_item(target: Path, tmp_path: Path) -> None:
    """The index still names it, and the others are there."""
    backup = flip(zip_of({"a": b"one", "b": b"two"}, tmp_path / "b.zip"), 0)
    ran = go(flip(backup, 0), target)
    backup = flip(
        zip_of({"a": b"one", "b": b"two"}, tmp_path / "c.zip"), 3 + backup.read_bytes().index(b"PK\x03\x04", 1)
    )
    ran = go(backup, tmp_path / "t2")
    assert [("succeeded", None), ("failed", "source_damaged")] == ran.ended("a", "b")


def test_odd_zip_members_are_taken_for_what_they_are(target: Path, tmp_path: Path) -> None:
    """A directory, a date that does not exist, a link that is too long or broken, and a device."""
    backup = tmp_path / "b.zip"
    with zipfile.ZipFile(backup, "w") as archive:
        for name, mode, data in (
            ("folder/", stat.S_IFDIR | 0o755, b""),
            ("long", stat.S_IFLNK | 0o777, b"x" * 5000),
            ("device", stat.S_IFCHR | 0o600, b""),
            ("undated", stat.S_IFREG | 0o644, b"fine"),
            ("broken", stat.S_IFLNK | 0o777, b"target-of-link"),
        ):
            info = zipfile.ZipInfo(name, date_time=(1980, 0, 0, 0, 0, 0))
            info.external_attr = mode << 16
            archive.writestr(info, data)
    flip(backup, backup.read_bytes().index(b"target-of-link"))
    ran = go(backup, target)
    expected = [("succeeded", None), ("failed", "source_damaged"), ("skipped", "special_file"), ("succeeded", None)]
    assert [*expected, ("failed", "source_damaged")] == ran.ended("folder", "long", "device", "undated", "broken")


def test_a_zip_member_without_permissions_gets_the_safest(target: Path, tmp_path: Path) -> None:
    """A zip file from a system without permissions says nothing of them."""
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        info = zipfile.ZipInfo("plain")
        info.create_system, info.external_attr = 0, 0
        archive.writestr(info, b"x")
        info.external_attr = 0
        archive.filelist[0].external_attr = 0
    go(tmp_path / "b.zip", target)
    assert 0o600 == stat.S_IMODE((target / "plain").stat().st_mode)
