"""Bundles that an attacker made from nothing, with a tree and a key of their own: both verifiers answer, and calmly."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from proofgap.audit import GENESIS, canonical, digest
from proofgap.bundle_verification import verify
from proofgap.bundles import Content, Logged, State, StreamEnd
from proofgap.checkpoints import Checkpoint, sign_checkpoint
from proofgap.findings import Code
from proofgap.merkle import CompactRange, inclusion_proof, leaf_hash
from proofgap.notes import SignerKey
from proofgap.proofs import Log, Policy
from proofgap_store import Ledger
from tests.conformance.bundled import both, content_of, second_word, signed, whole_life
from tests.conformance.lives import ADA, settle

ATTACKER = SignerKey.from_seed("example.com/attacker", bytes(32))
STRANGE = [None, True, 0, -1, 2**70, 1.5, "", "x", "\u202e", [], [[]], [1, 2], {}, {"a": {}}, "run/x", "system/audit"]


@pytest.fixture(scope="module")
def content():
    """What an honest bundle is made of, told as if it were the whole log of the attacker, under the attacker's key."""
    with settle(Ledger.open("sqlite://", owner=ADA.id)) as ledger:
        honest, signer = content_of(ledger, whole_life(ledger))
    place = {event.place: number for number, event in enumerate(honest.events)}
    own, other = signer.verifier.text.encode(), ATTACKER.verifier.text.encode()
    return honest._replace(
        events=[
            event._replace(place=number, payload=event.payload.replace(own, other))
            for number, event in enumerate(honest.events)
        ],
        items=[row._replace(place=place[row.place]) for row in honest.items],
        checks=[row._replace(place=place[row.place]) for row in honest.checks],
    )


@dataclass
class Forged:
    """A log of an attacker's own, over any payloads."""

    payloads: list[bytes]

    def node(self, level, index):
        part = self.payloads[index << level : (index + 1) << level]
        tree = CompactRange()
        for payload in part:
            tree.append(leaf_hash(payload))
        return tree.root()

    def bundle(self, content: Content) -> dict[str, bytes]:
        """Put the payloads into a bundle whose every signature and proof is right, by the attacker's key."""
        size = len(self.payloads)
        root = CompactRange.of(size, self.node).root()
        note = sign_checkpoint(Checkpoint(ATTACKER.name, size, root), ATTACKER, 2_000_000_000)
        events = [
            Logged(place, payload, tuple(inclusion_proof(place, size, self.node)))
            for place, payload in enumerate(self.payloads)
        ]
        facts = replace(content.facts, origin=ATTACKER.name, checkpoint=State(size=size, root=root.hex()))
        return signed(content._replace(facts=facts, checkpoint=note, events=events), ATTACKER)


def places(value, path=()):
    """Name every place in a document."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*path, key))


def changed(document, path, value):
    if not path:
        return value
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


def kinds(payloads):
    """Give the place of one event of each type."""
    return {json.loads(payload)["type"]: place for place, payload in enumerate(payloads)}


def test_an_attackers_log_that_holds_in_itself_is_good_for_whoever_believes_the_attacker(content):
    """So what is found in the forgeries below is found in what they say, and in nothing else."""
    files = Forged([event.payload for event in content.events]).bundle(content)
    assert both(files, Policy((Log(ATTACKER.verifier),)).text) == set()


def test_an_attackers_whole_log_is_told_from_that_of_the_policy_by_its_key(content):
    honest = [event.payload for event in content.events]
    codes = {finding.code for finding in verify(Forged(honest).bundle(content), None)}
    assert Code.KEY_UNKNOWN in codes
    assert Code.PROOF_INVALID not in codes


def test_whatever_an_attacker_writes_into_an_event_there_is_an_answer_and_never_a_good_one(content):
    """The key is the attacker's, so every signature is right: what is left is to read what the events say."""
    payloads = [event.payload for event in content.events]
    dice = random.Random(11)  # noqa: S311 - which places are changed is no secret
    policy = Policy((Log(ATTACKER.verifier),))
    for place in kinds(payloads).values():
        document = json.loads(payloads[place])
        wanted = list(places(document))
        for path in dice.sample(wanted, min(len(wanted), 14)):
            strange = changed(document, path, dice.choice(STRANGE))
            forged = Forged([*payloads[:place], json.dumps(strange).encode(), *payloads[place + 1 :]])
            written = Forged([*payloads[:place], canonical(strange), *payloads[place + 1 :]])
            for files in (forged.bundle(content), written.bundle(content)):
                assert verify(files, None)
                verify(files, policy)
                second_word(files, policy.text)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"{",
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"v":1,"v":1}',
        b'"\\ud800"',
        b"\xff\xfe",
        b"NaN",
        b"1e999",
        b'{"id":"\\u0000"}',
    ],
    ids=range(11),
)
def test_bytes_that_are_no_event_are_named_as_such_by_both(content, payload):
    payloads = [event.payload for event in content.events]
    files = Forged([*payloads[:9], payload, *payloads[10:]]).bundle(content)
    policy = Policy((Log(ATTACKER.verifier),))
    assert Code.FORM_INVALID in {finding.code for finding in verify(files, policy)}
    assert second_word(files, policy.text) == 1


def test_an_event_of_deep_data_and_one_of_lone_surrogates_are_answered(content):
    payloads = [event.payload for event in content.events]
    policy = Policy((Log(ATTACKER.verifier),))
    place = kinds(payloads)["machine.defined"]
    for strange in (b"[1]", b"[" * 400 + b"]" * 400, b"[" * 900 + b"]" * 900, b'"\\udc00"', b"[[[]]]"):
        broken = payloads[place].replace(b'"edges":', b'"edges":' + strange + b',"edgez":', 1)
        files = Forged([*payloads[:place], broken, *payloads[place + 1 :]]).bundle(content)
        assert verify(files, policy)
        assert second_word(files, policy.text) == 1


@pytest.mark.parametrize("guards", [[[]], [["a"]], [1], None, {"a": 1}, [["a", "b", "c"]], "abcd"])
def test_guards_of_another_shape_are_answered(content, guards):
    payloads = [event.payload for event in content.events]
    place = kinds(payloads)["machine.defined"]
    broken = canonical(changed(json.loads(payloads[place]), ("data", "guards"), guards))
    files = Forged([*payloads[:place], broken, *payloads[place + 1 :]]).bundle(content)
    policy = Policy((Log(ATTACKER.verifier),))
    assert {finding.code for finding in verify(files, policy)} & {Code.FORM_INVALID, Code.DEFINITION_UNKNOWN}
    assert second_word(files, policy.text) == 1


def chained(content, change):
    """Change the last decision for the record and everything that names a hash after it: only its meaning is wrong."""
    documents = [json.loads(event.payload) for event in content.events]
    of_record = [one for one in documents if one["data"].get("trigger", "show") not in {"show", "list"}]
    change(of_record[-1]["data"])
    ends = {}
    for document in documents:
        if not document["stream"].startswith("system/"):
            before = ends.get(document["stream"])
            document["prev"] = before.head if before else GENESIS
            leaf = leaf_hash(canonical(document)).hex()
            ends[document["stream"]] = StreamEnd(stream=document["stream"], events=document["seq"] + 1, head=leaf)
    facts = replace(content.facts, streams=tuple(ends.values()))
    return Forged([canonical(document) for document in documents]).bundle(content._replace(facts=facts))


def told(data, status, **others):
    data["facts"]["run"] |= {"status": status} | others
    data["facts_digest"] = digest(data["facts"])


def said(data):
    data["decision"]["reason"] += " And all is well."


@pytest.mark.parametrize(
    ("change", "code", "is_found_by_second"),
    [
        (lambda data: data["facts"]["run"].update(status="running"), Code.PROJECTION_MISMATCH, True),
        (lambda data: data.update(facts_digest="0" * 64), Code.PROJECTION_MISMATCH, True),
        (lambda data: told(data, "running"), Code.FACTS_MISMATCH, True),
        (lambda data: told(data, "completed", counts=None), Code.FACTS_MISMATCH, False),
        (said, Code.PROJECTION_MISMATCH, False),
    ],
    ids=["facts", "digest of facts", "facts that were not the case", "counts", "a decision that does not follow"],
)
def test_a_false_decision_is_found_and_the_second_verifier_misses_only_what_the_format_says(
    content, change, code, is_found_by_second
):
    files = chained(content, change)
    policy = Policy((Log(ATTACKER.verifier),)).text
    assert code in both(files, policy)
    assert second_word(files, policy) == is_found_by_second


def test_the_events_chained_again_without_a_change_are_good(content):
    assert both(chained(content, lambda data: None), Policy((Log(ATTACKER.verifier),)).text) == set()
