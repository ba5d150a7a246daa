"""A bundle, both verifiers of it, and ways to put one together again after something was changed in it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from proofgap.bundle_verification import verify
from proofgap.bundles import POLICY, files_of
from proofgap.facts import Counts, ItemResult, RunEvent, SnapshotEvent
from proofgap.findings import Code, Verdict, verdict
from proofgap.notes import SignerKey
from proofgap.proofs import parse_policy
from proofgap.records import Check, Completeness, Item, PreviewFacts, RecoveryPointBasis, RunDetails
from proofgap_app.bundle_check import verify_bundle
from proofgap_store import Ledger, NewRun, bundling, keys, packing
from tests import second_verifier
from tests.conformance.lives import ADA, OLGA, OTTO, UDO, VERA, WIM, fire

SECOND = Path(second_verifier.__file__)
HOUR_US = 3_600_000_000
WANTED = RunDetails(
    backup="nightly-2026-11-21",
    target="staging",
    driver="files",
    purpose="restore test",
    rto_us_stated=4 * HOUR_US,
    rpo_us_stated=24 * HOUR_US,
    recovery_point_us=1_795_222_800_000_000,
    recovery_point_basis=RecoveryPointBasis.STATED,
)
ITEMS = (
    Item(key="b.txt", result=ItemResult.SUCCEEDED, bytes=3),
    Item(key="a.txt", result=ItemResult.SKIPPED, reason_code="exists", message="it is there already"),
    Item(key="ü/\N{GRINNING FACE}", result=ItemResult.SUCCEEDED),
)
CHECKS = (
    Check(subject="b.txt", method="sha256", level="L5", result="passed", expected="1f0c", observed="1f0c"),
    Check(subject="a.txt", method="sha256", level="L5", result="failed", expected="1f0c", observed="77aa"),
)


def whole_life(ledger: Ledger) -> str:
    """Lead a run through everything that a bundle speaks of; give its id."""
    run = ledger.create(NewRun(details=WANTED), OLGA).run_id
    ledger.fire(run, RunEvent.SCOPE, OLGA, given=RunDetails(selected=3))
    checked = RunDetails(plan_digest="1f0c" * 16, selected=3, source_completeness=Completeness.COMPLETE)
    ledger.fire(run, RunEvent.CHECK, OLGA, given=checked)
    ledger.fire(run, RunEvent.PREVIEW, OLGA, given=RunDetails(preview=PreviewFacts(depth="data", created=3)))
    ledger.fire(run, RunEvent.APPROVE, OTTO)
    fire(ledger, run, "queue", "start")
    ledger.fire(run, RunEvent.REPORT, WIM, items=ITEMS)
    ledger.fire(run, RunEvent.COMPLETE, WIM, given=RunDetails(exit_code=0, counts=Counts(total=3)))
    snapshot = ledger.begin_evidence(run, ADA).subject
    ledger.fire_evidence(snapshot, SnapshotEvent.GENERATE, ADA)
    ledger.fire_evidence(snapshot, SnapshotEvent.ACTIVATE, ADA, checks=CHECKS)
    ledger.show(run, VERA.id, VERA)
    ledger.show(run, UDO.id, UDO)
    return run


class Made(NamedTuple):
    """A ledger's bundle: its file, the files in it, and the key that it is to be held against."""

    path: Path
    run: str
    files: dict[str, bytes]
    policy: str


def made(ledger: Ledger, run: str, path: Path, previous: Path | None = None) -> Made:
    """Make a bundle."""
    ledger.audit.bundle(run, UDO, path, previous=previous)
    files = packing.unpack(path)
    return Made(path, run, files, files[POLICY].decode())


def pack(files: Mapping[str, bytes], path: Path) -> Path:
    """Pack files as anybody might."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def first_word(files: Mapping[str, bytes], policy: str) -> tuple[Verdict, set[Code]]:
    """Ask our verifier."""
    found = verify(files, parse_policy(policy))
    return verdict(frozenset(each.code.meaning.severity for each in found), is_quick=False), {f.code for f in found}


EXITS = {Verdict.OK: 0, Verdict.WARN: 0, Verdict.TAMPERED: 1, Verdict.UNVERIFIABLE: 3}
"""What the second verifier ends with; it does not warn."""


def second_word(files: Mapping[str, bytes], policy: str) -> int:
    """Ask the second verifier, in this process: it is asked thousands of times."""
    try:
        return second_verifier.verify(files, policy)
    except Exception:  # noqa: BLE001 - as its own main does
        return 1


def both(files: Mapping[str, bytes], policy: str) -> set[Code]:
    """Ask both, and demand that they agree; give what ours found."""
    word, codes = first_word(files, policy)
    assert second_word(files, policy) == EXITS[word], (word, codes)
    return codes


def as_programs(path: Path, policy: Path) -> Verdict:
    """Ask both about a file, the second one as a program of its own that can import nothing of ours."""
    found = verify_bundle(path, policy)
    ran = subprocess.run([sys.executable, "-I", SECOND, path, policy], capture_output=True, text=True, check=False)
    assert ran.returncode == EXITS[found.verdict], (found, ran.stderr)
    assert "Traceback" not in ran.stderr
    return found.verdict


def content_of(ledger: Ledger, run: str) -> tuple[bundling.Content, SignerKey]:
    """Read what a bundle is made of, and the key that signs it: what only the owner of a ledger has."""
    order = bundling.Order(run, UDO, Path("bundle.zip"), None, 1)
    checkpoint = ledger.audit.checkpoint()
    part = ledger._gate.read(lambda connection: bundling._read(connection, order, checkpoint))
    return part.content, ledger._custody.key_file.signer(part.signer)


def signed(content: bundling.Content, signer: SignerKey, **changes: object) -> dict[str, bytes]:
    """Sign a bundle whose content was changed, as its owner could; the ends of streams are made to fit if asked."""
    return files_of(content._replace(**changes), "<!DOCTYPE html>", signer)


def with_ends(content: bundling.Content, dropped: int) -> bundling.Content:
    """Say in the manifest that the run's stream has fewer events."""
    ends = [
        replace(end, events=end.events - dropped) if end.stream.startswith("run/") else end
        for end in content.facts.streams
    ]
    return content._replace(facts=replace(content.facts, streams=tuple(ends)))


def rotate(ledger: Ledger, *, lost: bool = False) -> tuple[SignerKey, SignerKey]:
    """Put a new key in force, with the word of the old one or without; give both."""
    key_file = ledger._custody.key_file
    old = key_file.signer(ledger._gate.read(keys.history)[-1].key)
    if lost:
        key_file._in_memory.clear()
        if key_file.path is not None:
            key_file.path.unlink()
    ledger.audit.rotate_key(ADA, lost=lost)
    return old, key_file.signer(ledger._gate.read(keys.history)[-1].key)
