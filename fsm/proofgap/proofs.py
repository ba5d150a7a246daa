"""Proofs that need nobody: an entry's place in the log in one text file, and the policy that says whom to believe.

Owns the text of a proof and of a policy, and what the two together prove about the bytes of an entry. Refuses to know
where proofs come from, and which policy is a wise one: the policy is the auditor's, and never comes with the proof.

A policy lists logs, and witnesses in groups that may nest; a checkpoint counts if one of the logs signed it and the
quorum of witnesses cosigned it. A quorum that no set of witnesses could ever meet is refused when the policy is read.

Source of the rules: C2SP tlog-proof and tlog-policy. Of the policy's octets only those that are UTF-8 are taken.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from proofgap.checkpoints import Opened, hash_of, number, open_checkpoint
from proofgap.errors import BadInputError, MalformedError, QuorumError
from proofgap.facts import Struct
from proofgap.merkle import verify_inclusion
from proofgap.notes import COSIGNATURE, VerifierKey, check_characters, decoded, parse_note, verify_note
from proofgap.text import shown

NO_QUORUM = "none"
"""The quorum of a policy that asks for no witnesses."""

_HEADER = "c2sp.org/tlog-proof@v1"
_HASHES_MAX = 63
_BLANKS = re.compile("[ \t]+")


class Proof(Struct):
    """That an entry is in a log: its index, hashes from its sibling to the root's child, and the signed checkpoint.

    ``extra`` is not signed: it may help to find the entry, and proves nothing.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    @property
    def text(self) -> str:
        """The proof as it is stored in a file that ends in ``.tlog-proof``."""
        extra = [] if self.extra is None else [f"extra {base64.b64encode(self.extra).decode()}"]
        hashes = (base64.b64encode(part).decode() for part in self.hashes)
        return "\n".join([_HEADER, *extra, f"index {self.index}", *hashes, "", self.checkpoint])


class Log(NamedTuple):
    """A log whose checkpoints count: its key, which bears the name of the log, and where it is reached."""

    key: VerifierKey
    url: str | None = None


class Witness(NamedTuple):
    """Somebody who cosigns checkpoints, under the name that this policy uses."""

    name: str
    key: VerifierKey
    url: str | None = None


class Group(NamedTuple):
    """Witnesses and groups of which ``threshold`` must have cosigned for the group to have."""

    name: str
    threshold: int
    members: tuple[str, ...]


class Policy(NamedTuple):
    """Whom to believe: the logs, the witnesses, and which of them it takes."""

    logs: tuple[Log, ...]
    witnesses: tuple[Witness, ...] = ()
    groups: tuple[Group, ...] = ()
    quorum: str = NO_QUORUM

    @property
    def text(self) -> str:
        """The policy as it is stored in a file."""
        lines: list[Sequence[str | None]] = [("log", log.key.text, log.url) for log in self.logs]
        lines += [("witness", witness.name, witness.key.text, witness.url) for witness in self.witnesses]
        lines += [("group", group.name, str(group.threshold), *group.members) for group in self.groups]
        lines.append(("quorum", self.quorum))
        return "".join(" ".join(filter(None, line)) + "\n" for line in lines)

    @property
    def cosigners(self) -> dict[VerifierKey, str]:
        """The keys whose cosignatures can be verified here, and the witnesses they belong to."""
        return {witness.key: witness.name for witness in self.witnesses if witness.key.algorithm == COSIGNATURE}


def parse_proof(text: str) -> Proof:
    """Read a proof. This says nothing about whether it proves anything: see `verify_proof`.

    Raises:
        MalformedError: it is none.

    """
    head, blank, checkpoint = text.partition("\n\n")
    check_characters("proof", text)
    header, *lines = head.split("\n")
    if header != _HEADER or not blank:
        raise MalformedError("proof", f"it is not {_HEADER} with a checkpoint after an empty line")
    extra = _named("extra", lines.pop(0)) if lines and lines[0].startswith("extra ") else None
    index = number("proof", _named("index", lines.pop(0) if lines else ""))
    if len(lines) > _HASHES_MAX:
        raise MalformedError("proof", f"it has more than {_HASHES_MAX} hashes")
    parse_note(checkpoint)
    hashes = tuple(hash_of("proof", line) for line in lines)
    return Proof(
        index=index, hashes=hashes, checkpoint=checkpoint, extra=None if extra is None else decoded("proof", extra)
    )


def verify_proof(payload: bytes, proof: Proof, policy: Policy) -> Opened:
    """Verify that an entry with these bytes is in a log of the policy; give the checkpoint that says so, and its time.

    Raises:
        MalformedError: the checkpoint is none.
        ProofError: that the entry is there does not follow from the proof.
        QuorumError: too few witnesses cosigned the checkpoint.
        SignatureError: a line bears the name and the id of a key of the policy, and that key did not make it.
        UnknownKeyError: no log of the policy signed the checkpoint.

    """
    opened = accept(proof.checkpoint, policy)
    checkpoint = opened.checkpoint
    verify_inclusion(payload, proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return opened


def accept(note_text: str, policy: Policy) -> Opened:
    """Open a signed checkpoint if the policy says that it counts. Errors: those of `verify_proof`, but `ProofError`."""
    cosigners = policy.cosigners
    keys = [*(log.key for log in policy.logs), *cosigners]
    opened = open_checkpoint(note_text, keys)
    verified = verify_note(parse_note(note_text), keys)
    cosigned = {cosigners[found.key] for found in verified if found.key in cosigners}
    if not _is_met(policy, cosigned):
        names = ", ".join(map(shown, sorted(cosigned))) or "nobody"
        raise QuorumError(shown(policy.quorum), f"of its witnesses, {names} cosigned the checkpoint")
    return opened


def parse_policy(text: str) -> Policy:
    """Read a policy.

    Raises:
        MalformedError: it is none, or names and keys in it are used twice or not defined.
        QuorumError: it asks for more witnesses than there can ever be.

    """
    check_characters("policy", text.replace("\t", " "))
    if "\x7f" in text:
        raise MalformedError("policy", "it holds the control character \\x7f")
    policy = Policy((), quorum="")
    for line in text.split("\n"):
        items = _BLANKS.split(line.strip(" \t"))
        if items[0] and not items[0].startswith("#"):
            policy = _extended(policy, items)
    if not policy.quorum:
        raise MalformedError("policy", "it has no quorum line")
    if not _is_met(policy, policy.cosigners.values()):
        raise QuorumError(shown(policy.quorum), "all witnesses whose kind of key is known here would not be enough")
    return policy


def policy_text(policy: Policy) -> str:
    """Write a policy that reads back as it is. Errors: those of `parse_policy`, and `BadInputError` if it would not."""
    text = policy.text
    if parse_policy(text) != policy:
        raise BadInputError("policy", "would not read back as it is", "Hand in names and addresses without spaces.")
    return text


def _named(name: str, line: str) -> str:
    word, space, value = line.partition(" ")
    if word != name or not space:
        raise MalformedError("proof", f"'{shown(line)}' is where the {name} belongs")
    return value


def _is_met(policy: Policy, cosigned: Iterable[str]) -> bool:
    """Tell whether these witnesses are enough. A group names only what stands before it, so one pass does."""
    done = {NO_QUORUM, *cosigned}
    for group in policy.groups:
        if sum(member in done for member in group.members) >= group.threshold:
            done.add(group.name)
    return policy.quorum in done


def _extended(policy: Policy, items: list[str]) -> Policy:
    """Add a line to the policy that the lines before it make."""
    match items:
        case ["log", key, *url] if len(url) <= 1:
            added = Log(_new_key(key, (log.key for log in policy.logs)), *url)
            return policy._replace(logs=(*policy.logs, added))
        case ["witness", name, key, *url] if len(url) <= 1:
            known = _new_key(key, (witness.key for witness in policy.witnesses))
            added_witness = Witness(_new_name(policy, name), known, *url)
            return policy._replace(witnesses=(*policy.witnesses, added_witness))
        case ["group", name, threshold, _, *_]:
            return policy._replace(groups=(*policy.groups, _group(policy, name, threshold, items[3:])))
        case ["quorum", name] if not policy.quorum:
            if name != NO_QUORUM and name not in _names(policy):
                raise MalformedError("policy", f"the quorum '{shown(name)}' is not defined before it")
            return policy._replace(quorum=name)
        case _:
            raise MalformedError("policy", f"'{shown(' '.join(items))}' is no line of it, or a second quorum")


def _group(policy: Policy, name: str, threshold: str, members: list[str]) -> Group:
    used = {member for group in policy.groups for member in group.members}
    if len(set(members)) != len(members) or not used.isdisjoint(members):
        raise MalformedError("policy", f"a member of '{shown(name)}' is in a group already")
    if not _names(policy).issuperset(members):
        raise MalformedError("policy", f"a member of '{shown(name)}' is not defined before it")
    words = {"any": 1, "all": len(members)}
    least = words[threshold] if threshold in words else number("policy", threshold)
    if not 1 <= least <= len(members):
        raise QuorumError(shown(name), f"{least} of {len(members)} can never cosign")
    return Group(_new_name(policy, name), least, tuple(members))


def _names(policy: Policy) -> set[str]:
    return {witness.name for witness in policy.witnesses} | {group.name for group in policy.groups}


def _new_name(policy: Policy, name: str) -> str:
    if name in _names(policy) or name == NO_QUORUM:
        raise MalformedError("policy", f"'{shown(name)}' is a name already")
    return name


def _new_key(text: str, known: Iterable[VerifierKey]) -> VerifierKey:
    """Read a key. One public key under two names is one key: it must not count twice."""
    key = VerifierKey.parse(text)
    if key.public_key in {other.public_key for other in known}:
        raise MalformedError("policy", f"the key of '{shown(key.name)}' is in it twice")
    return key
