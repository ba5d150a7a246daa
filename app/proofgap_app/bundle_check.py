"""Verifying a bundle from its file: no ledger is opened, and nothing is asked of a network.

Owns the reading of the files that are handed in. Refuses to know what must hold of a bundle
(`proofgap.bundle_verification`) and how findings are told.
"""

from __future__ import annotations

from pathlib import Path

from proofgap.bundle_verification import verify
from proofgap.bundles import CHECKPOINT, EVENTS
from proofgap.checkpoints import parse_checkpoint
from proofgap.errors import BadInputError, MalformedError, QuorumError
from proofgap.facts import Struct
from proofgap.findings import Code, Finding, Verdict, verdict
from proofgap.notes import parse_note
from proofgap.proofs import Policy, parse_policy
from proofgap.text import safe, shown
from proofgap_store import packing


class BundleVerification(Struct):
    """What was found in a bundle. ``anchor`` says whom the verdict believes."""

    verdict: Verdict
    anchor: str
    events: int
    checkpoint: str | None  # the signed note, for whoever keeps it
    findings: tuple[Finding, ...]


def verify_bundle(bundle: Path, policy: Path | None, previous: str | None = None) -> BundleVerification:
    """Verify a bundle with nothing but its bytes and a policy.

    Args:
        bundle: the zip file.
        policy: a file that says whose signatures count; without one, the best verdict is "unverifiable".
        previous: a signed checkpoint that was seen before, from which the log must have grown.

    Raises:
        BadInputError: a file cannot be read, or is not what it should be.
        MalformedError: ``previous`` is no signed checkpoint.

    """
    believed = None if policy is None else read_policy(policy)
    try:
        files = packing.unpack(bundle)
    except packing.UnreadableBundleError as error:
        files, findings = {}, [Finding(code=Code.BUNDLE_UNREADABLE, detail=error.problem)]
    else:
        findings = verify(files, believed, previous)
    return BundleVerification(
        verdict=verdict(frozenset(finding.code.meaning.severity for finding in findings), is_quick=False),
        anchor=("no policy" if believed is None else f"policy {safe(str(policy))}") + _pinned(previous),
        events=files.get(EVENTS, b"").count(b"\n"),
        checkpoint=files[CHECKPOINT].decode(errors="replace") if CHECKPOINT in files else None,
        findings=tuple(findings),
    )


def _pinned(previous: str | None) -> str:
    return (
        "" if previous is None else f", and the checkpoint of {parse_checkpoint(parse_note(previous).text).size} events"
    )


def read_policy(file: Path) -> Policy:
    """Read a policy file: whose signatures are believed.

    Raises:
        BadInputError: it cannot be read, or is none.

    """
    try:
        return parse_policy(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        problem = f"'{shown(str(file))}' cannot be read: {reason}"
        raise BadInputError("--policy", problem, "Name a readable file.") from error
    except (MalformedError, QuorumError) as error:
        raise BadInputError(
            "--policy", f"'{shown(str(file))}' is none: {error.problem}", "Get it again: proofgap audit policy."
        ) from error
