"""Bundles in the hands of somebody who wants them to say something else: two verifiers, and they agree every time."""

from __future__ import annotations

import json
import random
import struct
import zipfile

import pytest
from msgspec.structs import replace

from proofgap.audit import canonical
from proofgap.bundle_verification import verify
from proofgap.bundles import (
    CHECKPOINT,
    CHECKS,
    CONSISTENCY,
    EVENTS,
    ITEMS,
    MANIFEST,
    PAGE,
    POLICY,
    files_of,
    proof_name,
)
from proofgap.decision_page import FORM
from proofgap.dsse import PAYLOAD_TYPE, seal, unseal
from proofgap.errors import BadInputError
from proofgap.findings import Code, Verdict
from proofgap.notes import SignerKey
from proofgap.proofs import parse_policy
from proofgap_app.bundle_check import verify_bundle
from proofgap_store import Ledger
from tests.conformance.bundled import (
    EXITS,
    SECOND,
    as_programs,
    both,
    content_of,
    first_word,
    made,
    pack,
    second_word,
    signed,
    whole_life,
    with_ends,
)
from tests.conformance.lives import ADA, VERA, settle

SMALL = (CHECKPOINT, POLICY, CONSISTENCY)
OTHER_KEY = SignerKey.from_seed("example.com/other", bytes(range(32)))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A ledger, a bundle of a run, and a second one that proves that the log grew from the first."""
    folder = tmp_path_factory.mktemp("kept")
    with settle(Ledger.open(f"sqlite:///{folder}/ledger.db", owner=ADA.id, synchronous="NORMAL")) as ledger:
        run = whole_life(ledger)
        old = made(ledger, run, folder / "old.zip")
        ledger.show(run, VERA.id, VERA)
        bundle = made(ledger, run, folder / "new.zip", previous=old.path)
        (folder / "policy").write_text(bundle.policy)
        yield ledger, old, bundle


def lines(bundle):
    return bundle.files[EVENTS].splitlines(keepends=True)


def with_events(bundle, order):
    """Give the files with other events, each with its own proof."""
    files = {name: data for name, data in bundle.files.items() if not name.startswith("proofs/")}
    known = lines(bundle)
    files[EVENTS] = b"".join(known[number] for number in order)
    return files | {proof_name(place): bundle.files[proof_name(number)] for place, number in enumerate(order)}


def flipped(data, place, bit=0):
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def test_the_second_verifier_is_short_and_knows_nothing_of_ours():
    text = SECOND.read_text("utf-8")
    assert sum(1 for line in text.splitlines() if line.strip()) < 200
    imported = {line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import", "from"))}
    assert imported == {"base64", "hashlib", "json", "sys", "zipfile", "pathlib", "cryptography"}


@pytest.mark.parametrize("name", SMALL)
def test_every_flipped_byte_of_a_small_file_is_found_by_both(kept, name):
    _, _, bundle = kept
    for place in range(len(bundle.files[name])):
        files = bundle.files | {name: flipped(bundle.files[name], place, place % 8)}
        assert first_word(files, bundle.policy)[0] is Verdict.TAMPERED, place
        assert second_word(files, bundle.policy) == 1, place


@pytest.mark.parametrize("name", [MANIFEST, EVENTS, ITEMS, CHECKS, PAGE, proof_name(0), proof_name(20)])
def test_flipped_bytes_of_a_large_file_are_found_by_both(kept, name):
    _, _, bundle = kept
    data = bundle.files[name]
    dice = random.Random(name)  # noqa: S311 - which bytes are flipped is no secret
    places = {0, len(data) - 1, *(dice.randrange(len(data)) for _ in range(60))}
    for place in places:
        codes = both(bundle.files | {name: flipped(data, place, dice.randrange(8))}, bundle.policy)
        assert codes & {Code.FILE_CHANGED, Code.MANIFEST_INVALID}, place


def test_every_flipped_byte_of_the_manifests_hint_and_signature_is_found_by_both(kept):
    """The hint at the key is not signed: it is found because a bundle writes its envelope in one way only."""
    _, _, bundle = kept
    data = bundle.files[MANIFEST]
    for place in range(data.index(b'"payloadType"'), len(data)):
        assert both(bundle.files | {MANIFEST: flipped(data, place)}, bundle.policy) >= {Code.MANIFEST_INVALID}, place


@pytest.mark.parametrize(
    "name", [PAGE, MANIFEST, CHECKPOINT, POLICY, CONSISTENCY, EVENTS, ITEMS, CHECKS, proof_name(3)]
)
def test_a_file_that_is_missing_empty_or_said_twice_over_is_found_by_both(kept, name):
    _, _, bundle = kept
    without = {other: data for other, data in bundle.files.items() if other != name}
    assert both(without, bundle.policy)
    assert both(bundle.files | {name: b""}, bundle.policy)
    assert both(bundle.files | {name: bundle.files[name] * 2}, bundle.policy)


@pytest.mark.parametrize(
    "name", ["evil.html", "../policy", "/etc/passwd", "proofs/", "EVENTS.JSONL", "proofs/999999.tlog-proof"]
)
def test_a_file_that_does_not_belong_is_found_by_both(kept, name):
    _, _, bundle = kept
    assert Code.FILE_FOREIGN in both(bundle.files | {name: b"x"}, bundle.policy)


def orders(count):
    """Name the ways to drop, double and reorder events."""
    everything = list(range(count))
    middle = count // 2
    return {
        "the first dropped": everything[1:],
        "a middle one dropped": everything[:middle] + everything[middle + 1 :],
        "the last dropped": everything[:-1],
        "a middle one twice": [*everything[: middle + 1], middle, *everything[middle + 1 :]],
        "two exchanged": [*everything[:middle], middle + 1, middle, *everything[middle + 2 :]],
        "backwards": everything[::-1],
        "none at all": [],
    }


@pytest.mark.parametrize("way", orders(9))
def test_events_that_were_dropped_doubled_or_reordered_with_their_proofs_are_found_by_both(kept, way):
    _, _, bundle = kept
    codes = both(with_events(bundle, orders(len(lines(bundle)))[way]), bundle.policy)
    assert codes & {Code.CHAIN_GAP, Code.STREAM_HEAD, Code.EVENT_ORDER, Code.DEFINITION_UNKNOWN}


def test_the_proof_of_another_event_proves_nothing(kept):
    _, _, bundle = kept
    exchanged = {proof_name(4): bundle.files[proof_name(5)], proof_name(5): bundle.files[proof_name(4)]}
    assert Code.PROOF_INVALID in both(bundle.files | exchanged, bundle.policy)


def test_an_older_checkpoint_is_not_that_of_the_bundle(kept):
    _, old, bundle = kept
    codes = both(bundle.files | {CHECKPOINT: old.files[CHECKPOINT]}, bundle.policy)
    assert {Code.FILE_CHANGED, Code.PROOF_INVALID, Code.MANIFEST_INVALID} <= codes


def test_an_older_bundle_with_a_newer_checkpoint_proves_nothing(kept):
    _, old, bundle = kept
    assert Code.PROOF_INVALID in both(old.files | {CHECKPOINT: bundle.files[CHECKPOINT]}, bundle.policy)


def test_with_another_logs_key_or_none_nothing_can_be_told_and_the_key_to_compare_is_named(kept):
    _, _, bundle = kept
    key = bundle.policy.split()[1]
    other = f"log {OTHER_KEY.verifier.text}\nquorum none\n"
    assert both(bundle.files, other) == {Code.KEY_UNKNOWN}
    for policy in (None, parse_policy(other)):
        (finding,) = verify(bundle.files, policy)
        assert finding.code is Code.KEY_UNKNOWN
        assert key in finding.detail


def test_a_tampered_bundle_is_tampered_also_where_its_signer_is_not_known(kept):
    _, _, bundle = kept
    other = f"log {OTHER_KEY.verifier.text}\nquorum none\n"
    files = bundle.files | {ITEMS: flipped(bundle.files[ITEMS], 40)}
    assert first_word(files, other)[0] is Verdict.TAMPERED
    assert second_word(files, other) == 1


def resealed(bundle, signer, change):
    """Change what the manifest says, and sign it with some key."""
    log = parse_policy(bundle.policy).logs[0].key
    statement = json.loads(unseal(bundle.files[MANIFEST], PAYLOAD_TYPE, [log]))
    change(statement)
    return bundle.files | {MANIFEST: seal(PAYLOAD_TYPE, canonical(statement), signer)}


def test_a_manifest_that_somebody_else_signed_is_no_manifest(kept):
    _, _, bundle = kept
    assert both(resealed(bundle, OTHER_KEY, lambda _: None), bundle.policy) == {Code.MANIFEST_INVALID}


def owners_tricks(content):
    """Name what the owner of the log, with its key, can sign: a manifest, but no other history."""
    middle = len(content.events) // 2
    foreign = replace(content.facts, run="rr_other")
    smaller = replace(content.facts, checkpoint=replace(content.facts.checkpoint, size=1))
    changed = [row._replace(document=row.document | {"result": "succeeded"}) for row in content.items]
    passed = [row._replace(document=row.document | {"result": "passed"}) for row in content.checks]
    short = content.events[middle]._replace(proof=content.events[middle].proof[:-1])
    edited = content.events[middle]._replace(payload=content.events[middle].payload.replace(b"ada", b"eve"))
    no_law = [event for event in content.events if b"machine.defined" not in event.payload]
    return {
        "a middle event left out": (content, {"events": [*content.events[:middle], *content.events[middle + 1 :]]}),
        "a middle event left out, and the count made to fit": (
            with_ends(content, 1),
            {"events": [*content.events[:middle], *content.events[middle + 1 :]]},
        ),
        "an event edited": (content, {"events": [*content.events[:middle], edited, *content.events[middle + 1 :]]}),
        "a proof cut short": (content, {"events": [*content.events[:middle], short, *content.events[middle + 1 :]]}),
        "the machines left out": (content, {"events": no_law}),
        "items turned into successes": (content, {"items": changed}),
        "an item left out": (content, {"items": content.items[1:]}),
        "items in another order": (content, {"items": content.items[::-1]}),
        "items of no event": (content, {"items": [row._replace(place=0) for row in content.items]}),
        "failed checks turned into passed ones": (content, {"checks": passed}),
        "no checks at all": (content, {"checks": []}),
        "a run of another name": (content, {"facts": foreign}),
        "another checkpoint named": (content, {"facts": smaller}),
        "streams that are not there": (content, {"facts": replace(content.facts, streams=())}),
        "an earlier checkpoint named without a proof": (
            content,
            {"facts": replace(content.facts, previous=content.facts.checkpoint)},
        ),
    }


NAMES = [
    *("a middle event left out", "a middle event left out, and the count made to fit", "an event edited"),
    *("a proof cut short", "the machines left out", "items turned into successes", "an item left out"),
    *("items in another order", "items of no event", "failed checks turned into passed ones", "no checks at all"),
    *("a run of another name", "another checkpoint named", "streams that are not there"),
    "an earlier checkpoint named without a proof",
]


@pytest.mark.parametrize("trick", NAMES)
def test_what_the_owner_signs_falsely_with_the_right_key_is_found_by_both(kept, trick):
    ledger, _, bundle = kept
    content, signer = content_of(ledger, bundle.run)
    assert both(signed(content, signer), bundle.policy) == set()
    tricks = owners_tricks(content)
    assert [*tricks] == NAMES
    changed, parts = tricks[trick]
    assert both(signed(changed, signer, **parts), bundle.policy)


@pytest.mark.parametrize("part", ["hash", "hash too few", "header", "old root", "old signature", "another log"])
def test_a_consistency_proof_that_proves_nothing_is_found_by_both(kept, part):
    _, _, bundle = kept
    head, _, note = bundle.files[CONSISTENCY].decode().partition("\n\n")
    rows, note_lines = head.split("\n"), note.split("\n")
    if part == "hash":
        rows[1], rows[2] = rows[2], rows[1]
    elif part == "hash too few":
        rows.pop()
    elif part == "header":
        rows[0] = "proofgap consistency v2"
    elif part == "old root":
        note_lines[2] = rows[1]
    elif part == "old signature":
        del note_lines[4]
    else:
        note_lines[0] = "example.com/other"
    files = bundle.files | {CONSISTENCY: ("\n".join(rows) + "\n\n" + "\n".join(note_lines)).encode()}
    assert both(files, bundle.policy)


def test_an_earlier_checkpoint_that_was_kept_is_held_against_the_bundle(kept):
    _, old, bundle = kept
    policy = parse_policy(bundle.policy)

    def found(files, kept_note):
        return [finding.code for finding in verify(files, policy, kept_note)]

    before, now = old.files[CHECKPOINT].decode(), bundle.files[CHECKPOINT].decode()
    assert found(bundle.files, before) == found(bundle.files, now) == found(old.files, before) == []
    assert found(old.files, now) == [Code.ROLLBACK]
    assert found(bundle.files, before.replace("A", "B", 1)) == [Code.KEY_UNKNOWN]
    content, signer = content_of(kept[0], bundle.run)
    fresh = signed(content, signer)
    assert found(fresh, before) == [Code.CONSISTENCY_MISSING]


def test_both_agree_as_programs_whatever_file_was_tampered_with(kept, tmp_path):
    """What they say of bytes in memory, they say of files on disk, and no traceback gets out."""
    _, _, bundle = kept
    policy = bundle.path.with_name("policy")
    assert as_programs(pack(bundle.files, tmp_path / "good.zip"), policy) is Verdict.OK
    for number, name in enumerate(
        [PAGE, MANIFEST, CHECKPOINT, POLICY, EVENTS, ITEMS, CHECKS, CONSISTENCY, proof_name(2)]
    ):
        data = bundle.files[name]
        path = pack(bundle.files | {name: flipped(data, len(data) // 2)}, tmp_path / f"{number}.zip")
        assert as_programs(path, policy) is Verdict.TAMPERED, name


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_a_truncated_file_is_refused_by_both(kept, tmp_path, share):
    _, _, bundle = kept
    data = bundle.path.read_bytes()
    path = tmp_path / "cut.zip"
    path.write_bytes(data[: max(5, int(len(data) * share))])
    assert as_programs(path, bundle.path.with_name("policy")) is Verdict.TAMPERED


def bomb(path, bundle):
    """A file that says that it unpacks to more than any bundle."""
    pack(bundle.files, path)
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 2**31)
    path.write_bytes(data)


def encrypted(path, bundle):
    pack(bundle.files, path)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)


def name_twice(path, bundle):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in bundle.files.items():
            archive.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(EVENTS, b"")


def deflated_bomb(path, bundle):
    pack(bundle.files | {"zeros": bytes(50_000_000)}, path)


@pytest.mark.parametrize("trap", [bomb, encrypted, name_twice, deflated_bomb])
def test_a_file_that_is_made_to_do_harm_is_refused_by_both_before_it_does(kept, tmp_path, trap):
    _, _, bundle = kept
    path = tmp_path / "trap.zip"
    trap(path, bundle)
    assert as_programs(path, bundle.path.with_name("policy")) is Verdict.TAMPERED


def test_flips_anywhere_in_the_packed_file_never_make_a_false_bundle_true(kept, tmp_path):
    """Where a flip changes nothing of any file, the bundle is the same bundle; both say the same in any case."""
    _, _, bundle = kept
    data = bundle.path.read_bytes()
    policy, path = bundle.path.with_name("policy"), tmp_path / "b.zip"
    dice = random.Random(7)  # noqa: S311 - as above
    words = set()
    for _ in range(40):
        path.write_bytes(flipped(data, dice.randrange(4, len(data))))
        words.add(verify_bundle(path, policy).verdict)
    assert Verdict.TAMPERED in words <= {Verdict.OK, Verdict.TAMPERED}


def test_what_is_no_bundle_or_no_policy_is_bad_input(kept, tmp_path):
    _, _, bundle = kept
    policy = bundle.path.with_name("policy")
    for path in (policy, tmp_path, tmp_path / "missing.zip"):
        with pytest.raises(BadInputError, match=r"^BUNDLE: "):
            verify_bundle(path, policy)
    for path in (bundle.path, tmp_path, tmp_path / "missing"):
        with pytest.raises(BadInputError, match=r"^--policy: "):
            verify_bundle(bundle.path, path)


def test_a_verdict_says_whom_it_believes(kept):
    _, _, bundle = kept
    assert verify_bundle(bundle.path, None).anchor == "no policy"
    assert verify_bundle(bundle.path, None).verdict is Verdict.UNVERIFIABLE
    found = verify_bundle(bundle.path, bundle.path.with_name("policy"), previous=bundle.files[CHECKPOINT].decode())
    assert (found.verdict, found.events) == (Verdict.OK, len(lines(bundle)))
    assert found.checkpoint == bundle.files[CHECKPOINT].decode()
    assert EXITS[found.verdict] == 0


def test_a_page_that_says_something_else_than_the_events_is_found_though_the_owner_signed_it(kept):
    ledger, _, bundle = kept
    content, signer = content_of(ledger, bundle.run)
    files = files_of(content, "<h1>All 3 items are back.</h1>", signer)
    assert both(files, bundle.policy) == {Code.PAGE_MISMATCH}
    assert first_word(files, bundle.policy)[0] is Verdict.TAMPERED


def test_a_page_of_another_form_is_not_believed_and_no_forgery_either(kept):
    """Else every bundle would be tampered with as soon as a word of the page is changed."""
    ledger, _, bundle = kept
    content, signer = content_of(ledger, bundle.run)
    files = signed(content._replace(facts=replace(content.facts, page_form=FORM + 1)), signer)
    assert both(files, bundle.policy) == {Code.PAGE_UNKNOWN}
    assert first_word(files, bundle.policy)[0] is Verdict.UNVERIFIABLE
